"""Errors as a user meets them: one line on stderr, exit code 2, nothing half-written."""

import csv
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from characterization.cli import main
from characterization.pdk import read_pdk
from characterization.profile_file import load_profile, save_profile
from tests.characterization.synthetic import MANY, synthetic_profile

ROOT = Path(__file__).parent.parent.parent
PE = ROOT / "rtl" / "systolic_pe"


def invoke(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["characterize", *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def is_one_line(text: str) -> bool:
    lines = [line for line in text.splitlines() if "characterize:" in line]
    return len(lines) == 1 and "Traceback" not in text


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_profile(synthetic_profile(MANY, certified=0.95), tmp_path / "toy.nc")
    return tmp_path / "toy.nc"


def test_help_shows_an_example_for_every_command(monkeypatch, capsys):
    for command in ("run", "new", "table", "show", "bench"):
        code, out, _ = invoke(monkeypatch, capsys, command, "--help")
        assert code == 0
        assert f"characterize {command}" in out


def test_table_prints_every_weight_as_csv(monkeypatch, capsys, saved: Path):
    code, out, _ = invoke(monkeypatch, capsys, "table", saved, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [int(row["weight"]) for row in rows] == list(range(-128, 128)) * len(MANY)
    assert float(rows[255]["certified_ps"]) == load_profile(saved).certified_ps[0, 255]
    assert (rows[255]["corner"], rows[255]["swap_ps"], rows[255]["certified_exact"]) == ("tt_025C_1v80", "", "1")


def test_the_summary_has_a_row_for_every_corner(monkeypatch, capsys, saved: Path):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = invoke(monkeypatch, capsys, "table", saved)
    assert code == 0
    assert all(name in out for name, *_ in MANY)
    assert "1330c" in out


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_show_draws_the_ranks_at_three_voltages(monkeypatch, capsys, saved: Path, suffix: str):
    for name in ("a", "b"):
        picture = saved.with_name(name + suffix)
        code, _, _ = invoke(monkeypatch, capsys, "show", saved, "--ranks", "all", "--out", picture)
        assert code == 0
    assert saved.with_name("a" + suffix).read_bytes() == saved.with_name("b" + suffix).read_bytes()


@pytest.mark.parametrize(("arguments", "message"), [
    (("--ranks", "tt_025C_1v80"), "ranks are compared at two or three corners, not at 1"),
    (("--ranks", "tt_025C_1v80,none"), "no corner 'none' in this profile"),
    (("--corner", "none"), "no corner 'none' in this profile"),
    (("--out", "picture.pdf"), "pictures are written as .png or .svg, not as '.pdf'"),
])  # fmt: skip
def test_pictures_that_cannot_be_drawn_are_refused(monkeypatch, capsys, saved: Path, arguments, message):
    code, _, err = invoke(monkeypatch, capsys, "show", saved, *arguments)
    assert (code, is_one_line(err), message in err) == (2, True, True)


def test_ranks_need_several_typical_voltages(monkeypatch, capsys, tmp_path: Path):
    save_profile(synthetic_profile(), tmp_path / "one.nc")
    code, _, err = invoke(monkeypatch, capsys, "show", tmp_path / "one.nc", "--ranks", "all")
    assert (code, "this profile has 1 typical voltages; name some of tt" in err) == (2, True)


def test_a_voltage_that_is_none_is_reported(monkeypatch, capsys, tmp_path: Path):
    for text in ("1.8,low", "1.8,-1", "inf"):
        code, _, err = invoke(monkeypatch, capsys, "run", PE, "--voltages", text, "--out", tmp_path / "p.nc")
        assert (code, is_one_line(err), "is no voltage; write volts separated by commas" in err) == (2, True, True)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_show_draws_the_profile(monkeypatch, capsys, saved: Path, suffix: str):
    picture = saved.with_suffix(suffix)
    code, out, _ = invoke(monkeypatch, capsys, "show", saved, "--out", picture)
    assert code == 0
    assert str(picture) in out
    assert picture.stat().st_size > 10_000


def test_a_missing_profile_ends_with_one_line(monkeypatch, capsys, tmp_path: Path):
    code, _, err = invoke(monkeypatch, capsys, "table", tmp_path / "none.nc")
    assert code == 2
    assert is_one_line(err)
    assert "no such profile" in err


def test_a_truncated_liberty_file_is_named_and_nothing_is_written(monkeypatch, capsys, tmp_path: Path):
    library = read_pdk("osu018").corners[0].liberty[0]
    cut = tmp_path / "cut.lib"
    cut.write_text(library.read_text()[:30_000])
    code, _, err = invoke(
        monkeypatch, capsys, "run", PE, "--liberty", cut, "--out", tmp_path / "p.nc", "--work", tmp_path / "w"
    )
    assert code == 2
    assert is_one_line(err)
    assert "cut.lib" in err
    assert not (tmp_path / "p.nc").exists()


@pytest.mark.tool
def test_verilog_that_yosys_rejects_is_reported_with_its_own_words(monkeypatch, capsys, tmp_path: Path):
    folder = tmp_path / "bad"
    shutil.copytree(PE, folder)
    source = folder / "systolic_pe.v"
    source.write_text(source.read_text().replace("endmodule", "endmodul"))
    code, _, err = invoke(monkeypatch, capsys, "run", folder, "--out", tmp_path / "p.nc", "--work", tmp_path / "w")
    assert code == 2
    assert is_one_line(err)
    assert "syntax error" in err
    assert not (tmp_path / "p.nc").exists()


def test_a_wrong_role_in_the_design_is_reported(monkeypatch, capsys, tmp_path: Path):
    folder = tmp_path / "bad"
    shutil.copytree(PE, folder)
    toml = folder / "design.toml"
    toml.write_text(toml.read_text().replace('activation = "act_in"', 'activaton = "act_in"'))
    code, _, err = invoke(monkeypatch, capsys, "run", folder, "--out", tmp_path / "p.nc", "--work", tmp_path / "w")
    assert code == 2
    assert is_one_line(err)
    assert "activaton" in err


@pytest.mark.tool
def test_a_design_that_disagrees_with_its_reference_shows_the_first_vector(monkeypatch, capsys, tmp_path: Path):
    folder = tmp_path / "bad"
    shutil.copytree(PE, folder)
    source = folder / "systolic_pe.v"
    source.write_text(source.read_text().replace("act_in * weight_q", "act_in * (weight_q | 8'sd1)"))
    code, _, err = invoke(monkeypatch, capsys, "run", folder, "--out", tmp_path / "p.nc", "--work", tmp_path / "w")
    assert code == 2
    assert is_one_line(err)
    assert "weight_q" in err
    assert not (tmp_path / "p.nc").exists()


@pytest.mark.tool
def test_a_missing_icarus_is_named_with_its_package(tmp_path: Path):
    work = tmp_path / "w"
    command = [str(Path(sys.executable).parent / "characterize"), "bench", str(PE), "--work", str(work)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": str(tmp_path), "HOME": str(tmp_path)}
    )
    assert done.returncode == 2
    assert is_one_line(done.stderr)
    assert "iverilog" in done.stderr


def test_an_unknown_pdk_is_named_with_the_known_ones(monkeypatch, capsys, tmp_path: Path):
    code, _, err = invoke(monkeypatch, capsys, "run", PE, "--pdk", "osu999", "--out", tmp_path / "p.nc")
    assert code == 2
    assert "osu018" in err


def test_new_refuses_to_overwrite(monkeypatch, capsys, tmp_path: Path):
    (tmp_path / "design.toml").write_text("mine")
    code, _, err = invoke(monkeypatch, capsys, "new", PE / "systolic_pe.v", "--out", tmp_path / "design.toml")
    assert code == 2
    assert "exists already" in err
    assert (tmp_path / "design.toml").read_text() == "mine"


def test_a_keyboard_interrupt_says_how_to_go_on(monkeypatch, capsys):
    """Inside a command, where typer meets it first."""
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("characterization.scaffold.new_design_toml", stop)
    code, _, error = invoke(monkeypatch, capsys, "new", "mac.v")
    assert (code, error) == (130, "characterize: stopped; run the same command again to go on where it was.\n")
