"""`characterize energy`: what every weight value costs at every move of its operand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from characterization.commands.options import DEFAULT_PDK, DesignPath, LibertyPath, PdkName, PdkRoot, WorkPath
from characterization.commands.progress import progress_bars

if TYPE_CHECKING:
    import numpy as np

    from characterization.energy_table import EnergyTable


def energy(
    design: DesignPath,
    out: Annotated[Path, typer.Option("--out", help="the energy table to write (compressed NetCDF)")],
    pdk: PdkName = DEFAULT_PDK,
    pdk_root: PdkRoot = None,
    liberty: LibertyPath = None,
    corner: Annotated[str | None, typer.Option("--corner", help="a corner by name; default: the slowest")] = None,
    recorded: Annotated[
        Path | None, typer.Option(help="activations of a model, integers in a .npy file: print the means under them")
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="of a streaming design: how often each previous weight comes before each")
    ] = 16,
    partial_sum: Annotated[int | None, typer.Option(help="a partial sum that stands still; default: random")] = None,
    seed: Annotated[int, typer.Option(help="seed of what is drawn")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="threads")] = 2,
    work: WorkPath = Path("build/characterize"),
) -> None:
    """Measure the energy of every weight at every pair of activations, glitches included; minutes.

    Of a design whose weights stream: at every pair of previous weight and weight.

    Example: `characterize energy rtl/systolic_pe --out build/systolic_pe_energy.nc --recorded activations.npy`
    """
    import numpy as np

    from characterization.design import read_design
    from characterization.energy_design import TableConfig, measure_table, read_recorded
    from characterization.energy_table import save_table
    from characterization.pipeline import select_pdk

    chain = None if recorded is None else read_recorded(recorded, read_design(design))
    config = TableConfig(rounds, seed, partial_sum, workers)
    with progress_bars() as progress:
        table = measure_table(design, select_pdk(pdk, liberty, pdk_root), corner, config, work, progress)
    save_table(table, out)
    means = {"uniform": table.mean_fj(np.ones(table.energy_fj.shape[1:]))}
    if chain is not None:
        means["recorded"] = table.mean_fj(table.moves(chain))
    Console().print(summary(table, means))
    print(f"written: {out}")


def summary(table: EnergyTable, means: Mapping[str, np.ndarray]) -> Table:
    """Return mean energies [weight] under some distributions of the operand, as a table to print."""
    shown = Table(title=f"{table.design} at {table.corner}: fJ per operation, leakage apart", box=SIMPLE_HEAD,
                  caption=table.stimulus)  # fmt: skip
    for name in ("operands", "mean", "at 0", "9th cheapest", "16th cheapest", "dearest", "its weight"):
        shown.add_column(name, justify="right")
    for name, mean in means.items():
        ranked, last = sorted(mean), len(mean) - 1
        zero = [f"{value:.1f}" for value in mean[table.weights == 0]] or ["-"]
        figures = [f"{value:.1f}" for value in (ranked[min(8, last)], ranked[min(15, last)], ranked[last])]
        shown.add_row(name, f"{mean.mean():.1f}", *zero, *figures, str(table.weights[mean.argmax()]))
    return shown
