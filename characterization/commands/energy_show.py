"""`characterize energy-show`: energy tables under any distribution of the operand: printed, as CSV, as a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

# Characters that a summary needs.
WIDTH = 116

if TYPE_CHECKING:
    import numpy as np

    from characterization.energy_table import EnergyTable


def energy_show(
    tables: Annotated[list[Path], typer.Argument(help="energy tables made by `characterize energy`")],
    out: Annotated[Path | None, typer.Option("--out", help="also a picture (PNG or SVG), a panel each")] = None,
    histogram: Annotated[
        Path | None, typer.Option(help="how often each move occurs, [previous, next] in a .npy file; default: all")
    ] = None,
    as_csv: Annotated[
        Path | None, typer.Option("--csv", help="also mean, spread and quantiles of every weight, for machines")
    ] = None,
) -> None:
    """Show what every weight costs under any distribution of its operand's moves.

    Example: `characterize energy-show build/systolic_pe_energy.nc --histogram moves.npy --out energy.png`
    """
    from characterization.artifact import atomic_path
    from characterization.energy_figures import draw_energies
    from characterization.energy_table import load_table

    loaded = [load_table(path) for path in tables]
    counts = [counts_of(table, histogram) for table in loaded]
    Console(width=max(WIDTH, Console().width)).print(energy_summary(
        [(f"{table.design} at {table.corner}", table, some) for table, some in zip(loaded, counts, strict=True)]
    ))
    if as_csv is not None:
        rows = [row for table, some in zip(loaded, counts, strict=True) for row in weight_rows(table, some)]
        with atomic_path(as_csv) as partial, partial.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        print(f"written: {as_csv}")
    if out is not None:
        draw_energies(loaded, counts, out)
        print(f"written: {out}")


def counts_of(table: EnergyTable, histogram: Path | None) -> np.ndarray:
    """Return how often each move of a table occurs: as a file has it, or once."""
    import numpy as np

    from characterization.energy_counts import read_histogram

    shape = table.energy_fj.shape[1:]
    return np.ones(shape) if histogram is None else read_histogram(histogram, table.design, shape)


def weight_rows(table: EnergyTable, counts: np.ndarray) -> Iterator[dict[str, str]]:
    """Yield every weight's figures."""
    columns = table.weights, table.mean_fj(counts), table.std_fj(counts), table.quantiles_fj(counts), table.register_fj
    for weight, mean, std, quantiles, register in zip(*columns, strict=True):
        names = ("mean_fj", "std_fj", "p05_fj", "p50_fj", "p95_fj", "register_fj")
        figures = dict(zip(names, (mean, std, *quantiles, register), strict=True))
        yield {"design": table.design, "corner": table.corner, "weight": str(weight)} | {
            name: f"{value:.3f}" for name, value in figures.items()}


def energy_summary(rows: list[tuple[str, EnergyTable, np.ndarray]]) -> Table:
    """Return energies of some tables under some counts, named, as a table to print."""
    stimuli = ". ".join(dict.fromkeys(table.stimulus for _, table, _ in rows))
    shown = Table(title="fJ per operation, leakage apart", box=SIMPLE_HEAD, caption_justify="left", pad_edge=False,
                  collapse_padding=True,
                  caption="spread: standard deviation over the moves of one weight, and their 5th and 95th percentile, "
                  "means over weights; w=0: of weights that are held, what a matrix of zeros costs; 9th, 16th: "
                  f"the cheapest; regs: of clock and registers, all moves alike. {stimuli}")  # fmt: skip
    shown.add_column("design", no_wrap=True)
    for name in ("mean", "spread", "p05", "p95", "w=0", "9th", "16th", "dearest", "weight", "regs"):
        shown.add_column(name, justify="right")
    for name, table, counts in rows:
        mean, quantiles = table.mean_fj(counts), table.quantiles_fj(counts).mean(axis=0)
        ranked, last = sorted(mean), len(mean) - 1
        zero = [digits(value) for value in mean[table.weights == 0]] or ["-"]
        shown.add_row(
            name, digits(mean.mean()), digits(table.std_fj(counts).mean()), digits(quantiles[0]),
            digits(quantiles[2]), *zero, digits(ranked[min(8, last)]), digits(ranked[min(15, last)]),
            digits(ranked[last]), str(table.weights[mean.argmax()]),
            f"{table.register_fj.mean() / table.mean_fj(counts * 0 + 1).mean():.0%}",
        )  # fmt: skip
    return shown


def digits(value: float) -> str:
    """Return a number with four digits, or all before the point.

    >>> digits(12.3456), digits(123456.7)
    ('12.35', '123457')
    """
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
