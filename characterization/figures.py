"""Pictures of a profile: delay and energy over the 256 weight values."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from characterization.artifact import atomic_path
from characterization.profile import WEIGHTS, MacProfile

FASTEST = 16


def draw_profile(profile: MacProfile, path: Path, corner: str | None = None) -> None:
    """Write a picture of delay and energy against weight value to `path` (PNG or SVG by its suffix)."""
    index = profile.corner_index(corner)
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 6.4), layout="constrained")
        delay, energy = figure.subplots(2, 1, sharex=True)
        draw_delay(delay, profile, index)
        draw_energy(energy, profile, index)
        energy.set_xlabel("weight value")
        energy.set_xticks(range(-128, 129, 16))
        figure.suptitle(title_of(profile, index), fontsize=10)
        with atomic_path(path) as partial:
            figure.savefig(partial, format=path.suffix.lstrip("."), dpi=130, metadata={})


def title_of(profile: MacProfile, index: int) -> str:
    """Return one line that says what is drawn."""
    voltage, temperature = profile.voltage_v[index], profile.temp_c[index]
    place = f"{profile.head.library} {profile.corners[index]}, {voltage:g} V, {temperature:g} °C"
    return f"{profile.head.design} on {place}: {profile.head.n_cells} cells, {profile.head.area_um2:.0f} µm²"


def draw_delay(axes: Axes, profile: MacProfile, index: int) -> None:
    """Draw the three delays and mark the fastest values."""
    fastest = profile.fastest(FASTEST, profile.corners[index])
    axes.plot(WEIGHTS, profile.topological_ps[index], ".", ms=4, color="#1f4e79", label="topological (the bound)")
    axes.plot(WEIGHTS, profile.sta_ps[index], "_", ms=4, color="#7f7f7f", label="STA (as OpenSTA)")
    seen = f"observed in {profile.n_transitions} transitions"
    axes.plot(WEIGHTS, profile.observed_ps[index], ".", ms=3, color="#e08214", label=seen)
    at = fastest + 128
    axes.plot(WEIGHTS[at], profile.topological_ps[index][at], "o", ms=7, mfc="none", color="#2ca02c",
              label=f"fastest {FASTEST} values")  # fmt: skip
    axes.axhline(profile.floor_ps[index], color="#d62728", lw=0.8, ls="--", label="floor (no weight beats it)")
    axes.set_ylabel("delay, clk->q to setup (ps)")
    axes.set_ylim(bottom=0)
    legend_above(axes)


def draw_energy(axes: Axes, profile: MacProfile, index: int) -> None:
    """Draw mean energy per operation with its standard error, and the share of clock and registers."""
    mean, error = profile.energy_fj[index], 1.96 * profile.energy_sem_fj[index]
    axes.errorbar(WEIGHTS, mean, error, fmt=".", ms=4, lw=0.6, color="#1f4e79", label="mean, 95 % interval")
    axes.fill_between(WEIGHTS, 0, profile.register_energy_fj[index], color="#bdbdbd", lw=0, label="clock and registers")
    average = float(np.mean(mean))
    axes.axhline(average, color="#7f7f7f", lw=0.8, ls=":", label=f"mean of all values, {average:.0f} fJ")
    axes.set_ylabel("energy per operation (fJ)")
    axes.set_ylim(bottom=0)
    legend_above(axes)


def legend_above(axes: Axes) -> None:
    """Put the legend in one row above the data, where it hides nothing."""
    axes.legend(ncols=5, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, frameon=False)
