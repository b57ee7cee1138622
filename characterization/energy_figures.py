"""draw_energies(): the energy of every weight value of some designs, one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from characterization.energy_table import EnergyTable
from characterization.figures import BLUE, FEW, GRAY, ORANGE, PALE, canvas, legend_above


def draw_energies(tables: Sequence[EnergyTable], counts: Sequence[np.ndarray], path: Path) -> None:
    """Write a picture of energies against weight value, a panel for each table, to `path` (PNG or SVG by its suffix).

    Args:
        tables: at least one.
        counts: how often each move occurs, for each table.
        path: the picture.

    Raises:
        ArtifactError: the suffix names another format.
    """
    with canvas(path, 10, 0.6 + 2.7 * len(tables)) as figure:
        panels = figure.subplots(len(tables), 1, squeeze=False)[:, 0]
        for axes, table, some in zip(panels, tables, counts, strict=True):
            draw_energy(axes, table, some)
        panels[-1].set_xlabel("weight value")


def draw_energy(axes: Axes, table: EnergyTable, counts: np.ndarray) -> None:
    """Draw the mean of every weight, how far its moves spread, and what clock and registers take of it."""
    few = table.weights.size <= FEW
    places = np.arange(table.weights.size) if few else table.weights
    mean, quantiles = table.mean_fj(counts), table.quantiles_fj(counts)
    axes.vlines(places, quantiles[:, 0], quantiles[:, 2], color=PALE, lw=4.0 if few else 1.6,
                label="5 to 95 % of all moves")  # fmt: skip
    axes.plot(places, mean, ".", ms=4, color=BLUE, label="mean")
    axes.plot(places, table.register_fj, "-", lw=0.9, color=ORANGE, label="clock and registers")
    axes.axhline(mean.mean(), color=GRAY, lw=0.8, ls=":", label=f"mean of all values, {mean.mean():.0f} fJ")
    if few:
        axes.set_xticks(places, [str(weight) for weight in table.weights])
    else:
        axes.set_xticks(range(int(table.weights[0]), int(table.weights[-1]) + 2, table.weights.size // 16))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("energy per operation (fJ)")
    axes.set_title(f"{table.design} at {table.corner}", fontsize=9, loc="right")
    legend_above(axes)
