import sys
from contextlib import suppress

import numpy as np
import pytest

from characterization import cli, prove_plan
from characterization.array_energy import ArrayBooks
from characterization.array_icarus import ArrayAgreement
from characterization.artifact import Provenance
from characterization.commands.prove import array_size, energy_table, failing_table, profile_beside, timing_table
from characterization.errors import ArtifactError, SimulationError
from characterization.profile_file import save_profile
from characterization.proof_file import load_proof, save_proof
from characterization.proof_vectors import ProofClass, ProofTile, ProofVectors, save_vectors
from characterization.prove import ClassProof, Outcome, Outsider
from characterization.prove_plan import PlanProof
from tests.characterization.synthetic import synthetic_profile

FAST = ProofClass("fast", (-8, 0, 8), 1.8, 1200.0, 1100.0, "ss", "tt")


@pytest.fixture
def folder(tmp_path):
    """A plan's folder in a run's folder, with its profile."""
    profile = synthetic_profile()
    tile = ProofTile("fast", "made up", False, np.zeros((6, 4), np.int8), np.zeros((9, 6), np.int8))
    vectors = ProofVectors("toy", profile.digest, profile.head.netlist_digest, "halo-bal", (FAST,), (tile,),
                           Provenance("proof vectors"))
    save_profile(profile, tmp_path / "toy.nc")
    save_vectors(vectors, tmp_path / "results" / "halo-bal" / "vectors.nc")
    return tmp_path / "results" / "halo-bal"


def complaint(monkeypatch, capsys, *arguments):
    """What one command prints when it refuses."""
    monkeypatch.setattr(sys, "argv", ["characterize", "prove", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


def test_what_cannot_be_proved_is_refused_in_one_line_each(folder, monkeypatch, capsys, tmp_path):
    assert "--period 0: a clock needs a positive period" in complaint(monkeypatch, capsys, folder, "--period", "0")
    assert "--array '4': write rows and columns" in complaint(monkeypatch, capsys, folder, "--array", "4")
    assert "no such file; `halo run` writes one" in complaint(monkeypatch, capsys, tmp_path / "nowhere")
    np.save(tmp_path / "narrow.npy", np.zeros((5, 3), int))
    narrow = complaint(monkeypatch, capsys, folder, "--activations", tmp_path / "narrow.npy")
    assert "of shape [5, 3]" in narrow
    assert "have 6 rows" in narrow


def test_another_profile_than_the_plans_is_refused_with_both_digests(folder, monkeypatch, capsys, tmp_path):
    other = synthetic_profile(certified=0.9)
    save_profile(other, tmp_path / "other.nc")
    text = complaint(monkeypatch, capsys, folder, "--profile", tmp_path / "other.nc", "--pdk", "osu018")
    assert f"was made from profile {synthetic_profile().digest[:12]}, this one is {other.digest[:12]}" in text


def test_the_profile_is_looked_for_in_the_runs_folder(folder):
    assert profile_beside(folder, "toy") == folder.resolve().parents[1] / "toy.nc"
    with pytest.raises(ArtifactError, match=r"no other\.nc in .*name the plan's profile with --profile"):
        profile_beside(folder, "other")


def test_an_array_is_rows_by_columns():
    assert array_size("8x4") == (8, 4)
    for text in ("0x4", "4x17", "four", "4x4x4"):
        with pytest.raises(SimulationError, match="write rows and columns"):
            array_size(text)


def cells(table, row):
    return dict(zip([column.header for column in table.columns], [list(c.cells)[row] for c in table.columns],
                    strict=True))


def found_proofs():
    run, early = Outcome(1200.0, 20_100, 80_000, 0, 0, 1090.5), Outcome(1089.5, 77, 300, 2, 3, 1090.5)
    outside = Outsider(7, 1095.0, Outcome(1100.0, 100, 400, 5, 1, 1110.0))
    books = ArrayBooks(100.0, 104.0, 130.0, 25.0, 40.0, 50.0, 45.0, 1000)
    timing = ClassProof(FAST, ("made up",), run, ((8, 1100.0, 1090.5),), early, 1090.5, outside)
    return (PlanProof(timing, books, ArrayAgreement(241, 192_800, 0, 0)),)


def test_a_proof_is_kept_beside_the_plan_and_read_back_the_same(folder, monkeypatch, capsys):
    monkeypatch.setattr(prove_plan, "prove_plan", lambda *_: found_proofs())
    monkeypatch.setattr(sys, "argv", ["characterize", "prove", str(folder), "--pdk", "osu018"])
    with suppress(SystemExit):
        cli.main()
    assert f"written: {folder / 'proof.json'}" in capsys.readouterr().out
    kept = load_proof(folder / "proof.json")
    assert kept.why_stale(folder, synthetic_profile().digest) == ""
    (one,) = kept.classes
    assert (one.name, one.holds, one.planned.cycles, one.early.mismatches) == ("fast", True, 20_100, 2)
    assert (one.outside.run.mismatches, one.energy.table_fj, one.replay.captures) == (5, 104.0, 192_800)
    save_proof(kept, folder / "again.json")
    assert (folder / "again.json").read_bytes() == (folder / "proof.json").read_bytes()
    assert "made on profile" in kept.why_stale(folder, "another")
    (folder / "vectors.nc").unlink()
    assert "vectors.nc beside the plan is missing" in kept.why_stale(folder, synthetic_profile().digest)


def test_a_proof_that_cannot_be_read_is_named(tmp_path):
    for text, said in (("{", "not a readable proof"), ('{"schema": 9}', "proof schema 9, this program reads 1")):
        (tmp_path / "proof.json").write_text(text)
        with pytest.raises(ArtifactError, match=f"{said}.*run `characterize prove"):
            load_proof(tmp_path / "proof.json")


def test_tables_show_slack_failures_and_what_margin_hides():
    run, early = Outcome(1200.0, 20_100, 80_000, 0, 0, 1090.5), Outcome(1089.5, 77, 300, 2, 3, 1090.5)
    hidden = Outsider(7, 1095.0, Outcome(1100.0, 100, 400, 0, 0, 1090.0))
    proofs = [ClassProof(FAST, ("made up",), run, ((8, 1100.0, 1090.5),), early, 1090.5, hidden),
              ClassProof(FAST, ("made up",), run, (), early, 1090.5, None)]
    shown = cells(timing_table("halo-bal", "4x4", proofs), 0)
    assert (shown["worst slack"], shown["mismatches"], shown["shortest working"]) == ("109.50", "0", "1090.50")
    failing = failing_table(proofs)
    assert cells(failing, 0)["verdict"] == "hidden by margin: no gain"
    assert cells(failing, 0)["1 ps too short: wrong after cycles"] == "77"
    assert cells(failing, 1)["verdict"] == "has all values"
    books = ArrayBooks(100.0, 104.0, 130.0, 25.0, 40.0, 50.0, 45.0, 1000)
    energy = cells(energy_table([("fast", books)]), 0)
    assert (energy["off"], energy["registers and clock"], energy["all-zero matrix"]) == ("+4.0%", "25.0%", "0.40x")
