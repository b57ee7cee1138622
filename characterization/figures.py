"""Pictures of a profile: delay and energy over the weight values, and how voltage changes the order of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from characterization.artifact import atomic_path
from characterization.errors import ArtifactError
from characterization.profile import MacProfile

FASTEST = 16
# As many weights have a tick each.
FEW = 32
# Values below this share of the median are told in words: they would press all others together.
LOW_SHARE = 0.6
BLUE, ORANGE, GREEN, RED, GRAY, PALE = "#1f4e79", "#e08214", "#2ca02c", "#d62728", "#7f7f7f", "#bdbdbd"
STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}  # matplotlib types keys one by one


@contextmanager
def canvas(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield a figure and write it to `path`, PNG or SVG by its suffix, the same bytes each time.

    Raises:
        ArtifactError: the suffix names another format.
    """
    if path.suffix not in {".png", ".svg"}:
        raise ArtifactError(f"{path}: pictures are written as .png or .svg, not as {path.suffix or 'nothing'!r}.")
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with mpl.rc_context(STYLE | {"svg.hashsalt": "halo"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with atomic_path(path) as partial:
            figure.savefig(partial, format=path.suffix.lstrip("."), dpi=130, metadata=metadata)


def draw_profile(profile: MacProfile, path: Path, corner: str | None = None) -> None:
    """Write a picture of delays and energy against weight value to `path` (PNG or SVG by its suffix)."""
    index = profile.corner_index(corner)
    with canvas(path, 10, 6.6) as figure:
        delay, energy = figure.subplots(2, 1, sharex=True)
        draw_delay(delay, profile, index)
        draw_energy(energy, profile, index)
        energy.set_xlabel("weight value")
        mark_weights(energy, profile)
        figure.suptitle(title_of(profile, index), fontsize=10)


def title_of(profile: MacProfile, index: int) -> str:
    """Return one line that says what is drawn."""
    head = profile.head
    return f"{head.design} on {head.library} {place_of(profile, index)}: {head.n_cells} cells, {head.area_um2:.0f} µm²"


def place_of(profile: MacProfile, index: int) -> str:
    """Return a corner in words."""
    between = f" (between {profile.interpolated[index]})" if profile.interpolated[index] else ""
    return f"{profile.corners[index]}{between}, {profile.voltage_v[index]:g} V, {profile.temp_c[index]:g} °C"


def abscissa(profile: MacProfile) -> np.ndarray:
    """Return where each weight stands: at its value, or side by side where there are few."""
    return np.arange(profile.weights.size) if profile.weights.size <= FEW else profile.weights


def mark_weights(axes: Axes, profile: MacProfile) -> None:
    """Put ticks on round weight values, or on each of a few."""
    if profile.weights.size <= FEW:
        axes.set_xticks(range(profile.weights.size), [str(weight) for weight in profile.weights])
        return
    first, last = int(profile.weights[0]), int(profile.weights[-1])
    axes.set_xticks(range(first, last + 2, max(1, (last - first + 1) // 16)))


def draw_delay(axes: Axes, profile: MacProfile, index: int) -> None:
    """Draw what is proved, what is bounded, and what was seen, of every weight."""
    corner = profile.corners[index]
    weights, bound = abscissa(profile), profile.bound_ps(corner)
    axes.vlines(weights, profile.observed_ps[index], profile.topological_ps[index], color=PALE, lw=0.6, zorder=0)
    axes.plot(weights, profile.topological_ps[index], "_", ms=4, color=GRAY, label="topological")
    if not np.isnan(profile.certified_ps[index]).any():
        open_ended = ~profile.certified_exact[index]
        axes.plot(weights, profile.certified_ps[index], ".", ms=4, color=BLUE, label="certified")
        if open_ended.any():
            axes.plot(weights[open_ended], profile.certified_ps[index][open_ended], "^", ms=4, color=BLUE,
                      label="proved, not attained")  # fmt: skip
    seen = f"observed in {profile.n_transitions} transitions"
    axes.plot(weights, profile.observed_ps[index], ".", ms=3, color=ORANGE, label=seen)
    at = profile.positions(profile.fastest(min(FASTEST, weights.size // 4), corner))
    axes.plot(weights[at], bound[at], "o", ms=7, mfc="none", color=GREEN, label=f"fastest {len(at)}")
    axes.axhline(profile.floor_ps[index], color=RED, lw=0.8, ls="--", label="floor")
    crop_below(axes, profile, np.minimum(profile.observed_ps[index], bound), float(profile.floor_ps[index]))
    if profile.head.weight_mode == "streaming":
        axes.axhline(profile.free_ps[index], color=GRAY, lw=0.8, ls=":", label="any weights, in any order")
    axes.set_ylabel("delay, clk->q to setup (ps)")
    legend_above(axes)


def crop_below(axes: Axes, profile: MacProfile, values: np.ndarray, floor: float | None) -> None:
    """End the axis below most values, and say in words what lies lower: weight 0 lets nothing pass, as a rule."""
    far = values < LOW_SHARE * np.median(values)
    top = axes.get_ylim()[1]
    bottom = float(values[~far].min())
    bottom -= 0.08 * (top - bottom)
    lower = [f"weight {weight} at {value:.4g}" for weight, value in zip(profile.weights[far], values[far], strict=True)]
    if floor is not None and floor < bottom:
        lower.append(f"floor at {floor:.4g}")
    axes.set_ylim(bottom, top)
    if lower:
        axes.text(0.005, 0.02, f"below: {', '.join(lower[:6])}", transform=axes.transAxes, fontsize=8, color=GRAY)


def draw_energy(axes: Axes, profile: MacProfile, index: int) -> None:
    """Draw mean energy per operation with its standard error, and the share of clock and registers."""
    mean, error = profile.energy_fj[index], 1.96 * profile.energy_sem_fj[index]
    weights = abscissa(profile)
    axes.errorbar(weights, mean, error, fmt=".", ms=4, lw=0.6, color=BLUE, label="mean, 95 % interval")
    axes.fill_between(weights, 0, profile.register_energy_fj[index], color=PALE, lw=0, label="clock and registers")
    average = float(np.mean(mean))
    axes.axhline(average, color=GRAY, lw=0.8, ls=":", label=f"mean of all values, {average:.0f} fJ")
    axes.set_ylabel("energy per operation (fJ)")
    axes.set_ylim(bottom=0)
    legend_above(axes)


def legend_above(axes: Axes) -> None:
    """Put the legend in one row above the data, where it hides nothing."""
    axes.legend(ncols=7, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, frameon=False,
                handletextpad=0.3, columnspacing=1.2)  # fmt: skip


def spread_corners(profile: MacProfile) -> tuple[str, ...]:
    """Return the typical corners of lowest, middle and highest voltage, lowest first.

    Raises:
        ArtifactError: the profile has fewer than two typical voltages.
    """
    typical = sorted(profile.grid.of_speed("typical"), key=lambda index: profile.voltage_v[index])
    if len(typical) < 2:
        raise ArtifactError(f"ranks need two corners or more, and this profile has {len(typical)} typical voltages; "
                            f"name some of {', '.join(profile.corners)}.")
    picks = dict.fromkeys((typical[0], typical[len(typical) // 2], typical[-1]))
    return tuple(profile.corners[index] for index in picks)


def draw_ranks(profile: MacProfile, path: Path, corners: Sequence[str]) -> None:
    """Write a picture of the weights' delays at two or three corners, and of their ranks there against the last one's.

    Raises:
        ArtifactError: fewer than two corners are named, more than three, or unknown ones.
    """
    if not 2 <= len(corners) <= 3:
        raise ArtifactError(f"ranks are compared at two or three corners, not at {len(corners)}.")
    indices = profile.corner_indices(corners)
    with canvas(path, 10, 7.2) as figure:
        top, bottom = np.ravel(figure.subfigures(2, 1, height_ratios=(1.0, 1.1), squeeze=False))
        delay, lowest = top.subplots(), np.ones(profile.weights.size)
        for index, color in zip(indices, (BLUE, ORANGE, GREEN), strict=False):
            bound = profile.bound_ps(profile.corners[index])
            delay.plot(abscissa(profile), bound / bound.max(), ".", ms=3.5, color=color,
                       label=f"{place_of(profile, index)}: slowest {bound.max():.0f} ps")  # fmt: skip
            lowest = np.minimum(lowest, bound / bound.max())
        delay.set_ylim(top=1.01)
        crop_below(delay, profile, lowest, None)
        delay.set_ylabel("delay bound / slowest weight's")
        delay.set_xlabel("weight value")
        mark_weights(delay, profile)
        delay.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=1, frameon=False)
        panels = bottom.subplots(1, len(indices) - 1, squeeze=False)[0]
        for axes, index in zip(panels, indices[:-1], strict=True):
            draw_rank(axes, profile, index, indices[-1])
        what = f"{profile.head.design} on {profile.head.library}"
        figure.suptitle(f"{what}: weights ranked anew at each corner", fontsize=10)


def draw_rank(axes: Axes, profile: MacProfile, index: int, reference: int) -> None:
    """Draw the ranks of the weights at one corner against those at another."""
    here, there = (profile.corners[i] for i in (index, reference))
    x, y = (ranks_of(profile.bound_ps(corner)) for corner in (there, here))
    limit = min(FASTEST, profile.weights.size // 4)
    stay = np.intersect1d(profile.fastest(limit, here), profile.fastest(limit, there))
    axes.plot([1, x.size], [1, x.size], color=PALE, lw=0.8, zorder=0)
    axes.plot(x, y, "o", ms=4, mew=0, color=BLUE, alpha=0.3)  # the darker, the more weights share both ranks
    axes.axvspan(0.5, limit + 0.5, color=PALE, alpha=0.35, lw=0)
    axes.axhspan(0.5, limit + 0.5, color=PALE, alpha=0.35, lw=0)
    kept = f"{len(stay)} of the fastest {limit} stay"
    axes.set_title(f"rank correlation {rank_correlation(x, y):.3f}; {kept}", fontsize=9)
    axes.set_xlabel(f"rank at {there} (1: fastest)")
    axes.set_ylabel(f"rank at {here}")


def ranks_of(delay_ps: np.ndarray) -> np.ndarray:
    """Return the rank of each delay, 1 for the fastest; equal delays share their mean rank.

    >>> ranks_of(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, group, counts = np.unique(delay_ps, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[group])


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rank correlation of two rankings; 1 where either does not vary.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0]))
    -1.0
    """
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 1.0
    return float(np.round(np.corrcoef(x, y)[0, 1], 9))
