import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from characterization.cells.jobs import Job, run_jobs
from characterization.cells.tables import Condition
from characterization.cells.tables_file import read_tables, tables_text
from characterization.errors import CellsError
from tests.characterization.cells.made_cells import LOGIC, made_cell, made_flop

KINDS = ["nor3_1", "nand2_1", "inv_1", "buf_2"]
LOW, HIGH = Condition("tt", 25.0, 1.2), Condition("tt", 25.0, 1.8)


def made(cell, condition):
    return made_cell(cell, seed=int(condition.voltage_v * 100), condition=condition, prefix="")


def stubborn(cell, condition):
    if (cell, condition) == ("inv_1", LOW):
        raise CellsError("inv_1 does not switch at 1.2 V")
    return made(cell, condition)


def deadly(cell, condition):
    if cell == "inv_1":
        os._exit(1)
    return made(cell, condition)


def endless(cell, condition):
    Path(cell).write_text(str(os.getpid()))
    while True:
        time.sleep(0.1)


def jobs_in(folder):
    jobs = [Job(kind, condition) for kind in KINDS for condition in (LOW, HIGH)]
    return {job: folder / f"{job.cell}-{job.corner}.json" for job in jobs}


def ignore(*_):
    pass


@pytest.mark.parametrize("cell", [made_flop(2), *(made_cell(kind, 3) for kind in LOGIC)], ids=lambda cell: cell.name)
def test_tables_are_read_back_to_the_last_bit(cell):
    cell = replace(cell, notes=("settled at the second attempt",))
    text = tables_text(cell)
    assert tables_text(read_tables(text, "x")) == text
    assert text == tables_text(read_tables(text, "x"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', tables_text(made_flop()).replace("delay_ps", "x")])
def test_a_damaged_file_of_tables_is_named(text):
    with pytest.raises(CellsError, match=r"here.json: not the tables of a cell .*; remove it and measure again"):
        read_tables(text, "here.json")


def test_every_cell_of_every_corner_is_measured_and_shown(tmp_path):
    seen = []
    outcomes = run_jobs(jobs_in(tmp_path), made, 2, lambda *row: seen.append(row))
    assert [(outcome.job.cell, outcome.job.condition) for outcome in outcomes] == [
        (kind, condition) for kind in KINDS for condition in (LOW, HIGH)]
    for outcome in outcomes:
        assert tables_text(outcome.tables) == tables_text(made(outcome.job.cell, outcome.job.condition))
    assert seen[:2] == [("tt_025C_1v20", 0, 4), ("tt_025C_1v80", 0, 4)]
    assert sorted(seen[2:]) == sorted((corner, n, 4) for corner in ("tt_025C_1v20", "tt_025C_1v80")
                                      for n in (1, 2, 3, 4))


def test_the_number_of_workers_changes_nothing(tmp_path):
    for workers in (1, 3):
        run_jobs(jobs_in(tmp_path / str(workers)), made, workers, ignore)
    for path in (tmp_path / "1").iterdir():
        assert (tmp_path / "3" / path.name).read_bytes() == path.read_bytes()


def test_a_cell_that_fails_is_told_and_the_others_are_measured(tmp_path):
    outcomes = run_jobs(jobs_in(tmp_path), stubborn, 2, ignore)
    failed = [outcome for outcome in outcomes if outcome.tables is None]
    assert [(outcome.job.cell, outcome.problem) for outcome in failed] == [
        ("inv_1", "inv_1 does not switch at 1.2 V")]
    assert len(list(tmp_path.iterdir())) == len(outcomes) - 1


def test_a_run_goes_on_where_it_was_killed(tmp_path):
    with pytest.raises(CellsError, match=r"a worker process died .*; run the same command again"):
        run_jobs(jobs_in(tmp_path), deadly, 1, ignore)
    left = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert 0 < len(left) < len(jobs_in(tmp_path))
    outcomes = run_jobs(jobs_in(tmp_path), made, 2, ignore)
    assert {path: path.stat().st_mtime_ns for path in left} == left
    assert sum(outcome.spent is None for outcome in outcomes) == len(left)
    run_jobs(jobs_in(tmp_path / "fresh"), made, 2, ignore)
    for path in (tmp_path / "fresh").iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert not list(Path(tmp_path).glob(".*.partial"))


def test_workers_end_when_the_run_is_killed(tmp_path):
    mark = tmp_path / "worker"
    text = f"""
from pathlib import Path
from tests.characterization.cells.test_jobs import HIGH, endless, ignore
from characterization.cells.jobs import Job, run_jobs
if __name__ == "__main__":
    run_jobs({{Job({str(mark)!r}, HIGH): Path({str(tmp_path / "result.json")!r})}}, endless, 1, ignore)
"""
    (tmp_path / "program.py").write_text(text)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    program = subprocess.Popen([sys.executable, str(tmp_path / "program.py")], env=environment)
    while not (mark.is_file() and mark.read_text()):
        assert program.poll() is None
        time.sleep(0.05)
    program.kill()
    program.wait()
    while Path(f"/proc/{mark.read_text()}").exists():
        time.sleep(0.05)
    assert not (tmp_path / "result.json").exists()
