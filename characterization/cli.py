"""`characterize`: the door for MAC designers and verification engineers. Parses, calls one function, prints."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from characterization.commands.cells import cells
from characterization.commands.cells_show import cells_show
from characterization.commands.options import CornerName, DesignPath, LibertyPath, PdkName, PdkRoot, WorkPath
from characterization.commands.pdks import pdks
from characterization.commands.progress import progress_bars
from characterization.errors import CharacterizationError

if TYPE_CHECKING:
    from characterization.profile import MacProfile

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    help="Hardware to tables: delay and energy of every weight value of a Verilog MAC.",
)  # fmt: skip

app.command()(pdks)
app.command()(cells)
app.command()(cells_show)


@app.command()
def run(
    design: DesignPath,
    out: Annotated[Path, typer.Option("--out", help="the profile to write (NetCDF)")],
    pdk: PdkName = "osu018",
    pdk_root: PdkRoot = None,
    liberty: LibertyPath = None,
    corner: CornerName = None,
    transitions: Annotated[int, typer.Option(min=300, help="simulated transitions for each weight value")] = 300,
    seed: Annotated[int, typer.Option(help="seed of the stimulus")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="simulator processes")] = 2,
    work: WorkPath = Path("build/characterize"),
) -> None:
    """Measure delay and energy of every weight value of a MAC design: RTL to MacProfile.

    Example: `characterize run rtl/systolic_pe --pdk osu018 --out build/systolic_pe.nc`
    """
    from characterization.pipeline import CharacterizeConfig, profile_mac, select_pdk

    config = CharacterizeConfig(transitions, seed, workers)
    with progress_bars() as progress:
        profile = profile_mac(design, select_pdk(pdk, liberty, corner, pdk_root), config, work, progress)
    from characterization.profile import save_profile

    save_profile(profile, out)
    Console().print(summary_table(profile))
    print(f"written: {out}")


@app.command()
def new(
    source: Annotated[Path, typer.Argument(help="a Verilog file")],
    out: Annotated[Path | None, typer.Option("--out", help="where to write the design.toml; default: print it")] = None,
) -> None:
    """Read a Verilog file and write a `design.toml` to fill in; what was guessed is marked so.

    Example: `characterize new my_mac.v --out my_mac/design.toml`
    """
    from characterization.artifact import write_text
    from characterization.scaffold import new_design_toml

    text = new_design_toml(source)
    if out is None:
        print(text)
        return
    if out.exists():
        raise CharacterizationError(f"{out} exists already; choose another name or remove it first.")
    write_text(out, text)
    print(f"written: {out}; fill in every line marked `guess`, then: characterize run {out} --out profile.nc")


@app.command()
def table(
    profile: Annotated[Path, typer.Argument(help="a profile made by `characterize run`")],
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV of every corner and weight, for machines")] = False,
) -> None:
    """Print a profile: a summary, or every row as CSV.

    Example: `characterize table build/systolic_pe.nc --csv > systolic_pe.csv`
    """
    from characterization.profile import load_profile

    loaded = load_profile(profile)
    if not as_csv:
        Console().print(summary_table(loaded))
        return
    rows = list(loaded.rows())
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


@app.command()
def show(
    profile: Annotated[Path, typer.Argument(help="a profile made by `characterize run`")],
    out: Annotated[Path | None, typer.Option("--out", help="picture (PNG or SVG); default: beside the profile")] = None,
    corner: CornerName = None,
) -> None:
    """Draw delay and energy over the 256 weight values.

    Example: `characterize show build/systolic_pe.nc --out systolic_pe.svg`
    """
    from characterization.figures import draw_profile
    from characterization.profile import load_profile

    loaded = load_profile(profile)
    path = out or profile.with_suffix(".png")
    draw_profile(loaded, path, corner or loaded.corners[0])
    print(f"written: {path}")


@app.command()
def bench(
    design: DesignPath,
    pdk: PdkName = "osu018",
    pdk_root: PdkRoot = None,
    liberty: LibertyPath = None,
    operations: Annotated[int, typer.Option(min=1, help="operations for each of RTL and netlist")] = 1000,
    seed: Annotated[int, typer.Option(help="seed of the vectors")] = 1,
    work: WorkPath = Path("build/characterize"),
) -> None:
    """Run the cocotb benches: the RTL and the mapped netlist, each against `reference.py`.

    Example: `characterize bench rtl/systolic_pe --operations 2000`
    """
    from characterization.pipeline import run_benches, select_pdk

    with progress_bars() as progress:
        rows = run_benches(design, select_pdk(pdk, liberty, None, pdk_root), operations, seed, work, progress)
    shown = Table("level", "operations", "clocks", "clocks checked", "observed", title=f"{rows[0].design}: all equal")
    for row in rows:
        counts = (row.n_operations, row.n_clocks, row.n_checked)
        shown.add_row(row.level, *map(str, counts), ", ".join(row.observed))
    Console().print(shown)


def summary_table(profile: MacProfile) -> Table:
    """Return the closing table: worst delay, the fastest 9 and 16 values, floor, energy, area; one row per corner."""
    head = profile.head
    title = f"{head.design} on {head.library}: {head.n_cells} cells, {head.area_um2:.0f} um2"
    caption = ("delay bounds in ps, register to register, topological; energy in fJ per operation; not signed off. "
               f"{head.stimulus}")
    shown = Table(title=title, caption=caption, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("corner", "V", "worst", "9th fastest", "16th fastest", "floor", "observed", "energy", "at w=0",
                 "clock, regs"):  # fmt: skip
        shown.add_column(name, justify="right", overflow="fold")
    for index, corner in enumerate(profile.corners):
        bound, energy = profile.topological_ps[index], profile.energy_fj[index]
        share, ranked = profile.register_energy_fj[index].mean() / energy.mean(), sorted(bound)
        shown.add_row(
            corner, f"{profile.voltage_v[index]:g}", f"{bound.max():.0f}",
            f"{ranked[8]:.0f}", f"{ranked[15]:.0f}", f"{profile.floor_ps[index]:.0f}",
            f"{profile.observed_ps[index].max():.0f}", f"{energy.mean():.0f}", f"{energy[128]:.0f}", f"{share:.0%}",
        )  # fmt: skip
    return shown


def main() -> None:
    """Run the command line; our own errors become one line and exit code 2, anything else is a bug."""
    try:
        app()
    except CharacterizationError as error:
        print(f"characterize: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("characterize: stopped; run the same command again to go on where it was.", file=sys.stderr)
        sys.exit(130)
