"""Pictures of the report: weight values with their codebooks, energy by part, accuracy against time and energy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter, SymmetricalLogLocator
from matplotlib.transforms import Bbox

from characterization.artifact import atomic_path
from characterization.profile import MacProfile
from halo.cost import CostReport
from halo.operating_point import Footing
from halo.plan import ALL_VALUES, ClockClass

# Delays below this share of the median would press all others together.
FAR_BELOW = 0.6
INK, GRAY, PALE = "#1f2933", "#7b8794", "#cbd2d9"
CLASS_COLORS = ("#c2410c", "#0f766e", "#6d28d9", "#1d4ed8", "#a16207", "#be185d")
PART_STYLE: Mapping[str, tuple[str, str]] = {
    "mac": ("MAC cells and nets", "#1d4ed8"), "registers": ("registers, clock", "#60a5fa"),
    "idle": ("idle and padding", "#cbd2d9"), "loading": ("weight loading", "#a78bfa"),
    "scaling": ("fold scaling", "#c2410c"), "sparse": ("sparse engine", "#f59e0b"),
    "sram": ("SRAM", "#0f766e"), "leakage": ("leakage", "#7b8794"), "grouping": ("split columns", "#86198f"),
    "shifting": ("level shifters", "#d946ef"), "switching": ("clock changes", "#be185d"),
    "fixed": ("constant power", "#9ca3af"),
    "dram": ("DRAM", "#334155"), "waiting": ("leakage, waiting for DRAM", "#94a3b8"),
}
STYLE: Any = {  # matplotlib types its keys one by one
    "font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": GRAY, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left", "legend.frameon": False,
    "axes.grid": True, "grid.color": "#e4e7eb", "grid.linewidth": 0.6, "axes.axisbelow": True,
}
OFFSETS = ((9, 0), (-9, 0), (9, 10), (9, -10), (-9, 10), (-9, -10), (0, 14), (0, -14), (9, 20), (9, -20), (-9, 20),
           (-9, -20))


@dataclass(frozen=True, slots=True)
class Mark:
    """One method in the accuracy pictures: times and energies are shares of W8A8's; KL with its interval."""

    method: str
    time: float
    energy: float
    kl: float
    low: float
    high: float
    ours: bool


@contextmanager
def canvas(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield a figure in the house's style and write it to `path` as PNG, the same bytes each time."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with atomic_path(path) as partial:
            figure.savefig(partial, format="png", dpi=150, metadata={"Software": None})


def draw_weights(profile: MacProfile, place: Footing, classes: Sequence[ClockClass], path: Path) -> None:
    """Draw delay and energy of all weight values, and below them which values each codebook holds."""
    at = profile.corner_indices(place.corners)
    proved = profile.swap_ps if place.arrival == "swap" else profile.certified_ps
    kinds = "topological" if np.isnan(proved[at]).any() else "certified"
    bound_ps = profile.bound_ps(place.corners, place.arrival)
    books = [item for item in classes if item.name != ALL_VALUES]
    with canvas(path, 10, 6.2 + 0.22 * len(books)) as figure:
        ratios = (3.0, 3.0, 0.35 + 0.28 * len(books))
        delay, energy, rug = figure.subplots(3, 1, sharex=True, height_ratios=ratios)
        draw_series(delay, profile.weights, bound_ps, books, "delay (ps)")
        draw_floor(delay, profile.weights, bound_ps, float(profile.floor_ps[at].max()))
        delay.set_title(f"Delay bound, register to register ({kinds}, {' and '.join(place.corners)})")
        typical = profile.energy_fj[profile.corner_index(place.typical)]
        draw_series(energy, profile.weights, typical, books, "energy per operation (fJ)")
        energy.set_title(f"Energy per operation, clock and registers included (leakage apart, {place.typical})")
        energy.set_ylim(bottom=0)
        draw_rug(rug, books)


def draw_floor(axes: Axes, weights: np.ndarray, bound_ps: np.ndarray, floor_ps: float) -> None:
    """Draw the floor; where it and a few weights, 0 as a rule, lie far below all others, tell them in words instead."""
    far = bound_ps < FAR_BELOW * np.median(bound_ps)
    low, high = float(bound_ps[~far].min()), float(bound_ps.max())
    if floor_ps > FAR_BELOW * low:
        axes.axhline(floor_ps, color=GRAY, lw=1, ls="--")
        axes.annotate("floor: no weight beats it", (127, floor_ps), (0, 3), ha="right", color=GRAY,
                      textcoords="offset points", fontsize=8)  # fmt: skip
        return
    lower = [f"weight {weight} at {bound_ps[weights == weight][0]:.0f} ps" for weight in weights[far][:4]]
    axes.set_ylim(low - 0.12 * (high - low) - 1, high + 0.06 * (high - low) + 1)
    axes.text(0.005, 0.03, "below: " + ", ".join([*lower, f"floor, which no weight beats, at {floor_ps:.0f} ps"]),
              transform=axes.transAxes, color=GRAY, fontsize=8)  # fmt: skip


def draw_series(
    axes: Axes, weights: np.ndarray, values: np.ndarray, books: Sequence[ClockClass], label: str
) -> None:
    """Draw one value per weight; those of a codebook carry its colour, the smallest codebook on top."""
    axes.plot(weights, values, ".", ms=3.5, color=PALE, mec=GRAY, mew=0.4)
    for book, color in sorted(zip(books, CLASS_COLORS, strict=False), key=lambda pair: -len(pair[0].codes)):
        at = np.isin(weights, book.codes)
        axes.plot(weights[at], values[at], "o", ms=5, color=color, alpha=0.9)
    axes.set_ylabel(label)


def draw_rug(axes: Axes, books: Sequence[ClockClass]) -> None:
    """Draw one row per codebook with a tick for each value it holds."""
    for row, (book, color) in enumerate(zip(books, CLASS_COLORS, strict=False)):
        axes.plot(book.codes, [row] * len(book.codes), "|", ms=10, mew=2, color=color)
    axes.set_yticks(range(len(books)), [f"{book.name} ({len(book.codes)})" for book in books])
    axes.set_ylim(len(books) - 0.4, -0.6)
    axes.set_xlim(-131, 130)
    axes.set_xticks([*range(-128, 128, 32), 127])
    axes.set_xlabel("weight value")
    axes.set_title("Values of each codebook")


def draw_energy(reports: Mapping[str, Mapping[str, CostReport]], baseline: str, path: Path) -> None:
    """Draw energy by part, linear layers, as shares of the baseline's: one panel per phase, one bar per method."""
    phases = list(next(iter(reports.values())))
    with canvas(path, 10, 1.7 + 0.34 * len(reports)) as figure:
        panels = figure.subplots(1, len(phases), squeeze=False, sharey=True)[0]
        for axes, phase in zip(panels, phases, strict=True):
            draw_bars(axes, {name: by_phase[phase] for name, by_phase in reports.items()}, baseline)
            whole = reports[baseline][phase].total().energy.total_fj
            axes.set_title(f"{phase}: {baseline} = {engineering(whole)}")
            axes.set_xlabel(f"energy of the linear layers / {baseline}")
        panels[0].invert_yaxis()  # shared: once turns both
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8)


def draw_bars(axes: Axes, reports: Mapping[str, CostReport], baseline: str) -> None:
    """Draw the stacked bars of one phase."""
    whole = reports[baseline].total().energy.total_fj
    names = list(reports)
    left = np.zeros(len(names))
    for part, (label, color) in PART_STYLE.items():
        share = np.array([reports[name].total().energy.parts()[part] for name in names]) / whole
        axes.barh(names, share, left=left, color=color, label=label, height=0.72, edgecolor="white", linewidth=0.4)
        left += share
    for row, total in enumerate(left):
        axes.annotate(f"{total:.2f}", (total, row), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, left.max() * 1.12)


def draw_front(marks: Sequence[Mark], path: Path) -> None:
    """Draw KL divergence against time and against energy, with intervals; lower left is better."""
    with canvas(path, 10, 4.6) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, axis in zip(panels, ("time", "energy"), strict=True):
            for mark in marks:
                draw_mark(axes, mark, getattr(mark, axis))
            axes.set_xlabel(f"{axis} of the linear layers, prefill, without DRAM / W8A8")
            axes.margins(x=0.16, y=0.1)
            scale_kl(axes, marks)
        panels[0].set_ylabel("KL to the original, net of\nint8 activations (nats/token)")
        panels[0].set_title("Accuracy and time")
        panels[1].set_title("Accuracy and on-chip energy")
        figure.draw_without_rendering()
        for axes, axis in zip(panels, ("time", "energy"), strict=True):
            place_labels(axes, marks, [getattr(mark, axis) for mark in marks])


def scale_kl(axes: Axes, marks: Sequence[Mark]) -> None:
    """Give the KL axis a logarithmic scale, linear around zero where a net value is not positive."""
    if all(mark.low > 0 for mark in marks):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    else:
        axes.set_yscale("symlog", linthresh=1e-3, linscale=0.5)
        axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1e-3, subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def draw_mark(axes: Axes, mark: Mark, x: float) -> None:
    """Draw one method with its interval."""
    low, high = max(mark.kl - mark.low, 0.0), max(mark.high - mark.kl, 0.0)
    axes.errorbar([x], [mark.kl], yerr=[[low], [high]], fmt="o" if mark.ours else "s", ms=6, color=mark_color(mark),
                  capsize=3, lw=1, mec="white", mew=0.6)


def mark_color(mark: Mark) -> str:
    """Return the colour of a method of ours, or of a baseline."""
    return CLASS_COLORS[0] if mark.ours else CLASS_COLORS[3]


def place_labels(axes: Axes, marks: Sequence[Mark], xs: Sequence[float]) -> None:
    """Write each method's name where it covers no other name or mark: the first free place around its own mark."""
    pixels = axes.transData.transform([(x, mark.kl) for x, mark in zip(xs, marks, strict=True)])
    taken = [Bbox.from_extents(x - 9, y - 9, x + 9, y + 9) for x, y in pixels]
    for mark, x in zip(marks, xs, strict=True):
        candidates: list[tuple[int, int, Annotation, Bbox]] = []
        for offset in OFFSETS:
            side = "left" if offset[0] > 0 else "right" if offset[0] < 0 else "center"
            text = axes.annotate(mark.method, (x, mark.kl), offset, textcoords="offset points", ha=side, va="center",
                                 color=mark_color(mark), fontsize=8)
            box = text.get_window_extent()
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            candidates.append((box.count_overlaps(taken) + 2 * (not inside), len(candidates), text, box))
        _, chosen, _, box = min(candidates, key=lambda item: item[:2])
        taken.append(box)
        for index, (_, _, text, _) in enumerate(candidates):
            if index != chosen:
                text.remove()


def engineering(value_fj: float) -> str:
    """Return an energy with the prefix that suits it.

    >>> engineering(2.06e12)
    '2.06 mJ'
    """
    for factor, unit in ((1e15, "J"), (1e12, "mJ"), (1e9, "µJ"), (1e6, "nJ"), (1e3, "pJ")):
        if abs(value_fj) >= factor:
            return f"{value_fj / factor:.3g} {unit}"
    return f"{value_fj:.3g} fJ"
