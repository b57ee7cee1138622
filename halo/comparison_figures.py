"""write_comparison(): tables and pictures of a comparison, waterfalls and fronts, in a folder of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from characterization.artifact import write_text
from halo.comparison import Comparison, waterfall
from halo.comparison_grids import grids_of
from halo.contenders import Merit
from halo.figures import CLASS_COLORS, GRAY, INK, canvas
from halo.page import Grid, Picture, Section, save_sections, to_html, to_markdown

LOSS, GAIN = CLASS_COLORS[0], CLASS_COLORS[1]


def write_comparison(
    found: Comparison, merits: Mapping[str, Merit], out: Path, more: Mapping[str, Sequence[Grid]] | None = None
) -> Path:
    """Write compare.html, compare.md, their pictures, and compare.json for reports into `out`; `more` is by title.

    Returns:
        The page's path.
    """
    methods = list(found.front)
    fall, front = out / "waterfall.png", out / "front.png"
    draw_waterfalls(found, methods[1:], fall)
    draw_fronts(found, front)
    *modes, steps, points = grids_of(found, merits)
    sections = (
        Section("At one voltage, one throughput, one power", grids=tuple(modes)),
        Section("Where the gain comes from", grids=(steps,),
                pictures=(Picture(fall, f"From {found.base.method} to each method at its throughput; steps add up."),)),
        Section("Time and energy at every voltage", grids=(points,),
                pictures=(Picture(front, "One line per method, one mark per voltage; lower left is better."),)),
        *(Section(title, grids=tuple(grids)) for title, grids in (more or {}).items()),
        Section("What this rests on", points=found.base.report.assumptions),
    )
    title, lead = f"Methods on {found.design}", f"{found.library}; nominal {found.nominal_v:g} V; linear layers."
    write_text(out / "compare.md", to_markdown(title, lead, sections, out))
    save_sections(title, lead, sections, out / "compare.json")
    write_text(out / "compare.html", to_html(title, lead, sections))
    return out / "compare.html"


def draw_waterfalls(found: Comparison, methods: list[str], path: Path) -> None:
    """Draw one waterfall per method, as shares of the baseline's energy."""
    with canvas(path, 10, 0.6 + 2.9 * max(len(methods), 1)) as figure:
        panels = figure.subplots(max(len(methods), 1), 1, squeeze=False)[:, 0]
        for axes, method in zip(panels, methods, strict=False):
            draw_waterfall(axes, found, method)


def draw_waterfall(axes: Axes, found: Comparison, method: str) -> None:
    """Draw the steps from the baseline's energy to one method's."""
    steps = waterfall(found, method)
    whole, level = steps[0][1], 0.0
    for row, (_, value) in enumerate(steps):
        share = value / whole
        total = row in {0, len(steps) - 1}
        start = 0.0 if total else level
        color = GRAY if total else LOSS if share > 0 else GAIN
        axes.barh(row, share, left=start, color=color, height=0.7)
        level = share if total else level + share
        axes.annotate(f"{share:.3f}" if total else f"{share:+.3f}", (max(start, start + share), row), (4, 0),
                      textcoords="offset points", va="center", fontsize=7, color=INK)
    axes.set_yticks(range(len(steps)), [name for name, _ in steps], fontsize=7)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    axes.set_title(f"{method} against {found.base.method}")
    axes.set_xlabel("share of the baseline's energy, DRAM included")


def draw_fronts(found: Comparison, path: Path) -> None:
    """Draw time against energy of every method over the voltages."""
    with canvas(path, 10, 4.8) as figure:
        axes = figure.subplots()
        colors = [*CLASS_COLORS, INK, GRAY]
        for at, (method, points) in enumerate(found.front.items()):
            times, energies = [1e3 * p[1] for p in points], [p[2] / 1e12 for p in points]
            axes.plot(times, energies, "o-", ms=4, lw=1, color=colors[at % len(colors)], label=method)
            if at == 0:
                for (voltage_v, *_), x, y in zip(points, times, energies, strict=True):
                    axes.annotate(f"{voltage_v:g} V", (x, y), (5, 4), textcoords="offset points", fontsize=7)
        axes.set_xlabel("time of the linear layers (ms)")
        axes.set_ylabel("energy (mJ), DRAM included")
        axes.legend(fontsize=8)
