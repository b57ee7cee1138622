"""`characterize bench`: the cocotb benches of a design, RTL and gates, against its `reference.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from characterization.commands.options import DEFAULT_PDK, DesignPath, LibertyPath, PdkName, PdkRoot, WorkPath
from characterization.commands.progress import progress_bars
from characterization.errors import DesignError

if TYPE_CHECKING:
    from characterization.benches.functional import Coverage, FunctionalResult

LEVELS: dict[str, tuple[Literal["rtl", "netlist"], ...]] = {
    "rtl": ("rtl",), "gates": ("netlist",), "all": ("rtl", "netlist"),
}  # fmt: skip
# Where no terminal tells.
WIDTH = 120


def bench(
    design: DesignPath,
    level: Annotated[str, typer.Option(help="`rtl`, `gates` (the mapped netlist with its delays), or `all`")] = "all",
    pdk: PdkName = DEFAULT_PDK,
    pdk_root: PdkRoot = None,
    liberty: LibertyPath = None,
    corner: Annotated[str | None, typer.Option("--corner", help="delays of the gates; default: the slowest")] = None,
    period: Annotated[
        float | None, typer.Option(help="clock period of the gates in ps; default: one in which all settles")
    ] = None,
    vectors: Annotated[
        str, typer.Option(help="random operations, or `exhaustive`: every weight at every activation in each lane")
    ] = "1000",
    wave: Annotated[bool, typer.Option("--wave", help="write waves.fst beside the log")] = False,
    prepare: Annotated[
        Path | None, typer.Option(help="write the RTL's bench and plan into this folder, for cocotb's own makefiles")
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the vectors")] = 1,
    work: WorkPath = Path("build/characterize"),
) -> None:
    """Run the cocotb benches: RTL and mapped netlist, each against `reference.py`; exits with 2 at a mismatch.

    Examples: `characterize bench rtl/systolic_pe --vectors 2000`, and
    `characterize bench rtl/systolic_pe --level gates --corner typical --period 6000 --wave`
    """
    from characterization.benches.functional import LEVEL_NAMES, BenchConfig, prepare_functional
    from characterization.design import read_design
    from characterization.pipeline import run_benches, select_pdk

    config = BenchConfig(number_of(vectors), seed, period, wave)
    if level not in LEVELS:
        raise DesignError(f"--level {level!r}: no such level; it is one of {', '.join(LEVELS)}.")
    if prepare is not None:
        print(f"written: {prepare_functional(read_design(design), prepare, None, config).folder}")
        return
    with progress_bars() as progress:
        rows = run_benches(design, select_pdk(pdk, liberty, pdk_root), LEVELS[level], corner, config, work, progress)
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    console.print(results_table(rows))
    print(coverage_words(rows[0].coverage))
    for row in rows:
        files = ("results.xml", "waves.fst") if wave else ("results.xml",)
        print(f"{LEVEL_NAMES[row.level]}: {', '.join(str(row.folder / name) for name in files)}")


def number_of(vectors: str) -> int | None:
    """Return how many random operations are asked for; None for all operands.

    Raises:
        DesignError: neither a positive number nor `exhaustive`.
    """
    if vectors == "exhaustive":
        return None
    if not vectors.isdecimal() or int(vectors) < 1:
        raise DesignError(f"--vectors {vectors!r}: give a number of operations from 1, or `exhaustive`.")
    return int(vectors)


def coverage_words(coverage: Coverage) -> str:
    """Return which operands were seen, in words."""
    counts = {"weights": coverage.weights, "activations": coverage.activations, "weight x activation": coverage.pairs}
    return "seen over all lanes: " + "; ".join(f"{name} {seen} of {total}" for name, (seen, total) in counts.items())


def results_table(rows: tuple[FunctionalResult, ...]) -> Table:
    """Return what passed, as a table to print."""
    from characterization.benches.functional import LEVEL_NAMES

    shown = Table(title=f"{rows[0].design}: all equal to its reference", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("level", "operations", "clocks", "checked", "period", "observed"):
        shown.add_column(name)
    for row in rows:
        period = "-" if row.level == "rtl" else f"{row.period_ps:.0f} ps"
        shown.add_row(LEVEL_NAMES[row.level], str(row.n_operations), str(row.n_clocks), str(row.n_checked), period,
                      ", ".join(row.observed))
    return shown
