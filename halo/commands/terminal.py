"""What commands print with: tables as wide as ours, and one bar per stage."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

# As shells count a program that Ctrl-C ends.
INTERRUPTED = 130


def heed_interrupts() -> None:
    """Have the first Ctrl-C raise KeyboardInterrupt, as ever, and the next end the program where it stands.

    After the first one, threads that still compute are waited for: Python aborts when it ends under one.
    """
    def first(*_: object) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
        raise KeyboardInterrupt

    # Where someone ignores it, as for jobs in the background, it stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, first)


def console() -> Console:
    """Return the terminal, wide enough for our tables where it is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=180)


def rich_table(grid: Any) -> Table:
    """Return a table of the report for the terminal."""
    shown = Table(caption=grid.caption, caption_justify="left")
    for index, name in enumerate(grid.columns):
        shown.add_column(name, justify="left" if index == 0 else "right", no_wrap=index == 0)
    for row in grid.rows:
        shown.add_row(*row, style="bold" if row[0] in grid.ours else "")
    return shown


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a callback (stage, done, total) that shows one bar per stage on the terminal."""
    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def show_stage(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        yield show_stage
