"""run_jobs(): cells measured by a pool of processes. Each result is a file under its digest, so a killed run goes on.

The result does not depend on the number of workers, nor on what was there before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from characterization.artifact import write_text
from characterization.cells.tables import CellTables, Condition
from characterization.cells.tables_file import read_tables, tables_text
from characterization.errors import CellsError, CharacterizationError
from characterization.pdk import corner_name

# Called with (stage, done, total); the stage is the corner's name.
Progress = Callable[[str, int, int], None]
# A function of the top level of a module, for it goes to other processes.
Measure = Callable[[str, Condition], CellTables]


@dataclass(frozen=True, slots=True)
class Job:
    """One cell at one condition; `cell` is its full name."""

    cell: str
    condition: Condition

    @property
    def corner(self) -> str:
        """The name of the condition."""
        return corner_name(self.condition.process, self.condition.temp_c, self.condition.voltage_v)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a job took: on the clock, and of processors, simulator included."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of a job.

    Attributes:
        tables: None if it failed.
        problem: why it failed; '' if it did not.
        spent: wall and processor time of the measurement in s; None where it was there from an earlier run.
    """

    job: Job
    tables: CellTables | None
    problem: str
    spent: Spent | None


def run_jobs(
    jobs: Mapping[Job, Path], measure: Measure, workers: int, progress: Progress
) -> tuple[Outcome, ...]:
    """Return what became of each job, in the order given. One that fails does not stop the others.

    Args:
        jobs: each job with the file of its result, named after a digest of everything that the result depends on.
            They are started in this order: long ones first keep all workers busy to the end.
        measure: measures one cell; called in other processes.
        workers: processes at a time.
        progress: called when a corner has one more cell.

    Raises:
        CellsError: a worker died, or a file of an earlier run is damaged.
    """
    found = {job: Outcome(job, read_tables(path.read_text(encoding="utf-8"), str(path)), "", None)
             for job, path in jobs.items() if path.is_file()}  # fmt: skip
    counter = Counter(list(jobs), progress)
    for job in found:
        counter.one_more(job)
    missing = [job for job in jobs if job not in found]
    if missing:
        # Started afresh, so that a worker has nothing of its parent but its arguments.
        pool = ProcessPoolExecutor(min(workers, len(missing)), get_context("spawn"), leave_with_parent)
        try:
            waiting = {pool.submit(measure_job, job, measure, jobs[job]): job for job in missing}
            for future in as_completed(waiting):
                found[waiting[future]] = outcome_of(waiting[future], future, jobs[waiting[future]])
                counter.one_more(waiting[future])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return tuple(found[job] for job in jobs)


def leave_with_parent() -> None:
    """Make this worker end when its parent is killed; else it would wait for work for ever."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Counter:
    """How many cells of each corner are done."""

    def __init__(self, jobs: Sequence[Job], progress: Progress) -> None:
        """Show every corner with nothing done."""
        self.progress = progress
        self.total = {job.corner: sum(other.corner == job.corner for other in jobs) for job in jobs}
        self.done = dict.fromkeys(self.total, 0)
        for corner, total in self.total.items():
            progress(corner, 0, total)

    def one_more(self, job: Job) -> None:
        """Show one more cell."""
        self.done[job.corner] += 1
        self.progress(job.corner, self.done[job.corner], self.total[job.corner])


def measure_job(job: Job, measure: Measure, path: Path) -> tuple[Spent, str]:
    """Measure one cell and leave its tables at `path`; return what it took and what went wrong ('' for nothing)."""
    started, before = time.monotonic(), cpu_s()
    problem = ""
    try:
        text = tables_text(measure(job.cell, job.condition))
    except CharacterizationError as error:
        problem = str(error)
    else:
        write_text(path, text)
    return Spent(time.monotonic() - started, cpu_s() - before), problem


def cpu_s() -> float:
    """Return the processor time of this process and of its children that have ended."""
    both = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def outcome_of(job: Job, future: Future[tuple[Spent, str]], path: Path) -> Outcome:
    """Return the outcome of a finished job."""
    try:
        spent, problem = future.result()
    except BrokenProcessPool as error:
        raise CellsError(f"cell {job.cell} at {job.corner}: a worker process died (out of memory, or killed); "
                         "run the same command again to go on where it was.") from error
    # Read back from the file also when it was just measured, so that a resumed run cannot differ.
    tables = None if problem else read_tables(path.read_text(encoding="utf-8"), str(path))
    return Outcome(job, tables, problem, spent)
