"""`characterize timing`: static timing of a design at one corner, path by path."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from characterization.commands.options import DEFAULT_PDK, DesignPath, LibertyPath, PdkName, PdkRoot, WorkPath
from characterization.commands.progress import progress_bars

if TYPE_CHECKING:
    from characterization.hold import HoldReport
    from characterization.timing_path import PathStep
    from characterization.timing_report import TimingReport


def timing(
    design: DesignPath,
    weight: Annotated[int | None, typer.Option(help="the value that all lanes hold; default: nothing is held")] = None,
    pdk: PdkName = DEFAULT_PDK,
    pdk_root: PdkRoot = None,
    liberty: LibertyPath = None,
    corner: Annotated[
        str | None, typer.Option("--corner", help="a corner by name; default: the slowest, hold at the fastest")
    ] = None,
    period: Annotated[float | None, typer.Option(min=0.0, help="clock period in ps, for slacks")] = None,
    skew: Annotated[float, typer.Option(min=0.0, help="clock skew in ps, against setup and hold")] = 0.0,
    jitter: Annotated[float, typer.Option(min=0.0, help="clock jitter in ps, against setup")] = 0.0,
    paths: Annotated[int, typer.Option(min=0, help="how many of the worst endpoints to show with their path")] = 1,
    wire_load: Annotated[str, typer.Option(help="a wire-load model of the library; default: wires weigh nothing")] = "",
    sdf: Annotated[Path | None, typer.Option(help="write the netlist's delays as SDF, and the netlist beside")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the report as JSON, for machines")] = False,
    work: WorkPath = Path("build/characterize"),
) -> None:
    """Report the slowest paths of a design with a weight fixed, its slack at a period, its floor, and hold.

    Examples: `characterize timing rtl/systolic_pe --weight 64 --period 4500`, and with delays for a simulator
    `characterize timing rtl/systolic_pe --pdk sky130hd --corner tt_025C_1v80 --sdf build/pe.sdf`
    """
    from characterization.pipeline import select_pdk
    from characterization.time_design import time_design
    from characterization.timing_report import Clock

    clock = Clock(period, skew, jitter)
    with progress_bars() as progress:
        report = time_design(design, select_pdk(pdk, liberty, pdk_root), corner, weight, paths, clock, wire_load, sdf,
                             work, progress)
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
        return
    show_report(report, Console())
    if sdf is not None:
        print(f"written: {sdf} and {sdf.with_suffix('.v')}")


def show_report(report: TimingReport, console: Console) -> None:
    """Print a report as timing engineers read it."""
    held = "nothing held" if report.weight is None else f"weight {report.weight}, compute mode"
    shown = [f"[bold]{report.design}[/bold] at {report.corner}, {held}; ps, ideal clock",
             f"topological bound {report.topological_ps:.2f}"]
    shown += [] if report.weight is None else [f"as OpenSTA {report.sta_ps:.2f}"]
    console.print("; ".join([*shown, f"floor {report.floor_ps:.2f}"]), highlight=False)
    clock = report.clock
    if clock.period_ps is not None:
        console.print(f"period {clock.period_ps:.2f}, skew {clock.skew_ps:.2f}, jitter {clock.jitter_ps:.2f}",
                      highlight=False)
    for end in report.ends:
        slack_ps = clock.setup_slack_ps(end.needed_ps)
        register = f" of {end.sink.captures}" if end.sink.captures else ""
        title = f"endpoint {end.sink.origin}{register} ({end.edge}): needs {end.needed_ps:.2f}{slack_text(slack_ps)}"
        console.print(path_table(title, end.steps, "setup"))
    console.print(hold_table(report.hold, report.hold_corner, clock.skew_ps))


def slack_text(slack_ps: float | None) -> str:
    """Return a slack in words; nothing where none was asked for."""
    return "" if slack_ps is None else f", slack {slack_ps:.2f} {'met' if slack_ps >= 0 else 'VIOLATED'}"


def path_table(title: str, steps: Iterable[PathStep], check: str) -> Table:
    """Return a path, one row for each step."""
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    shown.add_column("pin")
    shown.add_column("cell")
    shown.add_column("edge")
    for name in ("slew", "load fF", "delay", "arrival"):
        shown.add_column(name, justify="right")
    rows = list(steps)
    for i, step in enumerate(rows):
        where = f"{step.cell}/{step.pin}" if step.pin else step.cell
        cell = check if step is rows[-1] else step.kind or ("launch" if i == 0 else "")
        numbers = (step.slew_ps, step.load_ff, step.delay_ps, step.arrival_ps)
        shown.add_row(where, cell, step.edge, *(f"{number:.2f}" for number in numbers))
    return shown


def hold_table(hold: HoldReport, corner: str, skew_ps: float) -> Table | str:
    """Return the tightest hold check."""
    if not hold.steps:
        return "hold: no register reaches another"
    title = (f"hold at {corner}, endpoint {hold.endpoint} (earliest path, nothing held): slack "
             f"{hold.slack_ps - skew_ps:.2f}{'' if hold.slack_ps >= skew_ps else ' VIOLATED'}, tolerates a skew of "
             f"{hold.tolerated_skew_ps:.2f}")
    return path_table(title, hold.steps, "hold")
