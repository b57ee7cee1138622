"""`characterize certify` as a user meets it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from characterization.codebook_file import write_codebooks
from characterization.design import read_design
from characterization.pdk import read_pdk
from characterization.pipeline import map_design
from characterization.profile_file import load_profile, save_profile
from tests.characterization.synthetic import synthetic_profile
from tests.characterization.test_cli import ROOT, invoke, is_one_line

SMALL = ROOT / "rtl" / "systolic_pe_int4"


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> tuple[Path, str]:
    """A work folder in which a small design is mapped already, and its netlist's digest."""
    work, pdk = tmp_path_factory.mktemp("work"), read_pdk("osu018")
    netlist = map_design(read_design(SMALL), pdk, work / f"systolic_pe_int4-{pdk.name}", lambda *_: None)
    return work, netlist.digest


def saved_profile(path: Path, digest: str = "ab", **changes) -> Path:
    """A made-up profile of the small design."""
    made = synthetic_profile((("typical", "tt", 25.0, 1.8),), weights=range(-8, 8), **changes)
    head = replace(made.head, design="systolic_pe_int4", library="osu018", netlist_digest=digest)
    save_profile(replace(made, head=head, free_ps=made.free_ps * 100), path)
    return path


@pytest.mark.tool
def test_certificates_of_weights_come_with_their_witnesses(monkeypatch, capsys, mapped):
    given = ("certify", SMALL, "--weights", "3,-8", "--mode", "all", "--work", mapped[0], "--json")
    code, out, _ = invoke(monkeypatch, capsys, *given)
    rows = json.loads(out)
    assert code == 0
    assert [(row["name"], row["mode"]) for row in rows] == [
        ("3", "stationary"), ("-8", "stationary"), ("3", "swap"), ("-8", "swap")]
    assert all(row["exact"] and 0 < row["certified_ps"] <= row["topological_ps"] + 0.001 for row in rows)
    assert [row["witness"][f"weight_q[{bit}]"] for row in rows[:2] for bit in range(4)] == [1, 1, 0, 0, 0, 0, 0, 1]


@pytest.mark.tool
def test_without_values_the_clock_of_all_values_is_certified(monkeypatch, capsys, mapped):
    code, out, _ = invoke(monkeypatch, capsys, "certify", SMALL, "--mode", "swap", "--work", mapped[0])
    assert (code, "all values, swap: " in out, "launched" in out, "exactly" in out) == (0, True, True, True)


@pytest.mark.tool
def test_codebooks_are_added_to_a_profile(monkeypatch, capsys, mapped, tmp_path):
    profile, books = saved_profile(tmp_path / "p.nc", mapped[1]), tmp_path / "books.json"
    write_codebooks(books, {"few": [-8, 0, 3], "one": [5]})
    given = ("certify", profile, "--codebooks", books, "--design", SMALL, "--work", mapped[0])
    code, out, _ = invoke(monkeypatch, capsys, *given)
    first, second = load_profile(profile).certificates
    assert (code, f"written: {profile}" in out) == (0, True)
    assert (first.corner, first.mode, first.codes, second.codes) == ("typical", "swap", (-8, 0, 3), (5,))
    assert 0 < second.upper_ps <= first.upper_ps


@pytest.mark.parametrize(("given", "message"), [
    (("certify", SMALL, "--weights", "3,8"), "systolic_pe_int4: no weight has the value 8; they lie in -8..7."),
    (("timing", SMALL, "--weight", "8"), "systolic_pe_int4: no weight has the value 8; they are -8..7."),
])  # fmt: skip
def test_a_value_that_the_design_lacks_is_refused_before_anything_is_mapped(
    monkeypatch, capsys, tmp_path, given, message
):
    code, _, err = invoke(monkeypatch, capsys, *given, "--work", tmp_path / "work")
    assert (code, is_one_line(err), message in err) == (2, True, True)
    assert not (tmp_path / "work").exists()


def test_a_profile_needs_codebooks(monkeypatch, capsys, tmp_path):
    code, _, err = invoke(monkeypatch, capsys, "certify", saved_profile(tmp_path / "p.nc"))
    assert (code, is_one_line(err), "name the sets of values to certify with --codebooks" in err) == (2, True, True)


@pytest.mark.parametrize(("codes", "given", "message"), [
    ([-9, 0], (), "weight -9 is none of the 16 values of systolic_pe_int4, -8..7"),
    ([], (), "codebook 'few' must be a list of integers, not empty"),
    ([0], ("--corner", "hot"), "no corner 'hot' in this profile; it has typical"),
])  # fmt: skip
def test_wrong_codebooks_and_corners_of_a_profile_end_with_one_line(
    monkeypatch, capsys, tmp_path, codes, given, message
):
    profile, books = saved_profile(tmp_path / "p.nc"), tmp_path / "books.json"
    write_codebooks(books, {"few": codes})
    before = profile.read_bytes()
    code, _, err = invoke(monkeypatch, capsys, "certify", profile, "--codebooks", books, "--design", SMALL, *given)
    assert (code, is_one_line(err), message in err) == (2, True, True)
    assert profile.read_bytes() == before


@pytest.mark.parametrize(("given", "message"), [
    (("--weights", "1,two"), "--weights '1,two': 'two' is no integer; write them with commas between: 64,-127"),
    (("--mode", "fast"), "mode 'fast' must be stationary, swap or all"),
    (("--time-limit", "0"), "time limit 0.0 s must be positive"),
    (("--corner", "no corner 'hot'"), "hot"),
])  # fmt: skip
def test_wrong_options_for_a_design_end_with_one_line(monkeypatch, capsys, tmp_path, given, message):
    code, _, err = invoke(monkeypatch, capsys, "certify", SMALL, *given, "--work", tmp_path)
    assert (code, is_one_line(err), message in err) == (2, True, True)


@pytest.mark.tool
def test_a_weight_that_the_design_does_not_have_ends_with_one_line(monkeypatch, capsys, mapped):
    code, _, err = invoke(monkeypatch, capsys, "certify", SMALL, "--weights", "3,64", "--work", mapped[0])
    assert (code, is_one_line(err), "no weight has the value 64; they lie in -8..7" in err) == (2, True, True)
