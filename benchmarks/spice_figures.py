"""Pictures of benchmarks/spice.py: settle times and energies on gates over those on transistors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from characterization.artifact import atomic_path
from characterization.cells.netlist_trial import Trial

BAND = 0.1
COLOURS = ("#1f4e79", "#e08214")


def draw(path: Path, trials: Mapping[float, tuple[Trial, np.ndarray]]) -> None:
    """Draw both figures of every voltage's trial into one picture; witnesses are marked by rings."""
    with mpl.rc_context({"font.size": 9, "svg.hashsalt": "spice"}):
        figure = Figure(figsize=(9.0, 4.3), layout="constrained")
        settle, energy = figure.subplots(1, 2)
        for colour, (volt, (trial, witness)) in zip(COLOURS, sorted(trials.items(), reverse=True), strict=False):
            gates, spice = trial.gates, trial.transistors
            scatter(settle, spice.settle_ps, gates.settle_ps, witness, f"{volt:g} V", colour)
            scatter(energy, spice.energy_fj / 1000, gates.energy_fj / 1000, witness, f"{volt:g} V", colour)
        for axes, what in ((settle, "last output edge, ps"), (energy, "energy from the supply, pJ")):
            finish(axes, what)
        with atomic_path(path) as partial:
            figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})


def scatter(
    axes: Axes, spice: np.ndarray, gates: np.ndarray, witness: np.ndarray, name: str, colour: str,
) -> None:
    """Draw one voltage's points."""
    axes.plot(spice, gates, ".", color=colour, markersize=4, alpha=0.6, label=name)
    axes.plot(spice[witness], gates[witness], "o", color=colour, markersize=7, fillstyle="none", linewidth=0.8,
              label=f"{name}, witnesses")


def finish(axes: Axes, what: str) -> None:
    """Draw the line of equality and a band of ten per cent, and name the axes."""
    top = 1.05 * max(axes.get_xlim()[1], axes.get_ylim()[1])
    line = np.array([0.0, top])
    axes.fill_between(line, (1 - BAND) * line, (1 + BAND) * line, color="#cccccc", alpha=0.4, linewidth=0)
    axes.plot(line, line, color="#555555", linewidth=0.8)
    axes.set(xlim=(0, top), ylim=(0, top), xlabel=f"{what}, transistors (SPICE)", ylabel=f"{what}, gates")
    axes.legend(frameon=False, loc="upper left")
