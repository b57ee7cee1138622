"""cost_section(), waterfall_section(): time and energy of every method, by part, and where a gain comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo.cost import CostReport, Scope
from halo.page import Chart, Grid, Section
from halo.page.vega import SOFT
from halo.report.run import COOL, WARM, Run, short
from halo.results import PHASES, MethodResult
from halo.tables import bases_of, cost_grid, labels_of_ours

FJ_PER_MJ = 1e12
# Parts of the energy in the words of people, with a hue that holds on white and on black.
PARTS = {
    "mac": ("MAC cells and nets", "#4c7fd0"), "registers": ("registers, clock", "#8fb6ec"),
    "idle": ("idle and padding", "#9aa5b1"), "loading": ("weight loading", "#a78bda"),
    "scaling": ("fold scaling", "#e4572e"), "sparse": ("sparse engine", "#e0a030"), "sram": ("SRAM", "#2a9d8f"),
    "leakage": ("leakage", "#7f8c9b"), "grouping": ("split columns", "#8e44ad"),
    "shifting": ("level shifters", "#d45fd0"), "switching": ("clock changes", "#c2185b"),
    "fixed": ("constant power", "#a0785a"), "dram": ("DRAM", "#5a6b7d"),
    "waiting": ("leakage, waiting for DRAM", "#b0a090"),
}


def cost_section(run: Run) -> Section:
    """Return time and energy of every method: linear layers and everything, prefill and decode."""
    bases = bases_of(run.results)
    scopes: tuple[Scope, ...] = ("linear", "all")
    grids = [cost_grid([result.costs[phase] for result in run.results], [base.costs[phase] for base in bases], scope,
                       labels_of_ours(run.results)) for scope in scopes for phase in PHASES]
    text = ("All ratios are on the same MAC and library, with the same voltages open. With every weight zero, "
            f"{run.results[0].label} would still cost {run.facts['zero_floor']:.2f} of its on-chip energy (prefill, "
            "linear layers): no codebook goes below that.",)
    points = tuple(f"{result.label}: the sparse engine, not the array, sets the time of {count} layers"
                   for result in run.results if (count := sparse_bound(result)))
    return Section("Time and energy", text, points, (*grids, *(part_grid(run, phase) for phase in PHASES)),
                   charts=tuple(part_chart(run, phase) for phase in PHASES),
                   sources=run.sources("cost-prefill.json", "cost-decode.json", "run.json"))


def sparse_bound(result: MethodResult) -> int:
    """Return the linear layers whose time the sparse engine sets (prefill)."""
    return sum(0 < row.sparse_s == row.compute_s for row in result.costs["prefill"].rows)


def parts_of(report: CostReport) -> dict[str, float]:
    """Return the energy of the linear layers by part, fJ."""
    return report.total().energy.parts()


def part_grid(run: Run, phase: str) -> Grid:
    """Return the energy of the linear layers by part: a method a row, in mJ."""
    found = {result.label: parts_of(result.costs[phase]) for result in run.results}
    used = [part for part in PARTS if any(parts[part] for parts in found.values())]
    rows = tuple((label, *(f"{parts[part] / FJ_PER_MJ:.4g}" for part in used), f"{sum(parts.values()) / FJ_PER_MJ:.4g}")
                 for label, parts in found.items())
    return Grid(("method", *(PARTS[part][0] for part in used), "sum"), rows,
                f"{phase.capitalize()}, linear layers: energy by part, mJ, DRAM included.", labels_of_ours(run.results))


def part_chart(run: Run, phase: str) -> Chart:
    """Return energy by part as stacked bars, one per method, shares of W8A8's."""
    whole = sum(parts_of(run.w8a8.costs[phase]).values())
    found = {result.label: parts_of(result.costs[phase]) for result in run.results}
    used = [part for part in PARTS if any(parts[part] for parts in found.values())]
    values = [{"method": label, "part": PARTS[part][0], "order": at, "share": short(parts[part] / whole),
               "mJ": short(parts[part] / FJ_PER_MJ)}
              for label, parts in found.items() for at, part in enumerate(used) if parts[part]]
    names = [PARTS[part][0] for part in used]
    return Chart(f"energy-{phase}", {
        "height": {"step": 26}, "title": f"{phase.capitalize()}: energy by part",
        "data": {"values": values}, "mark": {"type": "bar"},
        "params": [{"name": "parts", "select": {"type": "point", "fields": ["part"]}, "bind": "legend"}],
        "encoding": {
            "y": {"field": "method", "type": "nominal", "sort": list(found), "title": None},
            "x": {"field": "share", "type": "quantitative", "title": f"energy / {run.w8a8.label}, DRAM included",
                  "axis": {"tickCount": 10}},
            "color": {"field": "part", "type": "nominal", "title": None,
                      "scale": {"domain": names, "range": [PARTS[part][1] for part in used]}},
            "order": {"field": "order"}, "opacity": {"condition": {"param": "parts", "value": 1}, "value": 0.15},
            "tooltip": [{"field": "method"}, {"field": "part"}, {"field": "share", "title": "share", "format": ".4f"},
                        {"field": "mJ", "format": ".4g"}]}},
        f"Linear layers. Shares of the energy of {run.w8a8.label}, which is {whole / FJ_PER_MJ:.4g} mJ ({phase}).")


def waterfall(base: CostReport, report: CostReport) -> tuple[tuple[str, float], ...]:
    """Return the steps from one report's energy of the linear layers to another's, fJ; they add up."""
    start, end = parts_of(base), parts_of(report)
    steps = [(PARTS[part][0], end[part] - start[part]) for part in PARTS]
    return (("baseline", sum(start.values())), *((name, step) for name, step in steps if step),
            ("result", sum(end.values())))


def waterfall_section(run: Run) -> Section:
    """Return the way from W8A8's energy to each method's, part by part, at the run's plan."""
    base, others = run.w8a8, [result for result in run.results if result is not run.w8a8]
    if not others:
        return Section("Where the energy goes", ("The run has one method: nothing to compare it with.",))
    made = {result.label: dict(waterfall(base.costs["prefill"], result.costs["prefill"])) for result in others}
    whole = next(iter(made.values()))["baseline"]
    names = ["baseline", *(name for name, _ in PARTS.values()), "result"]
    rows = tuple((name, *(f"{steps.get(name, 0.0) / whole:+.4f}" for steps in made.values())) for name in names
                 if any(name in steps for steps in made.values()))
    shares = {label: {name: value / whole for name, value in steps.items()} for label, steps in made.items()}
    first = next((result.label for result in run.ours if result.label in made), next(iter(made)))
    grid = Grid(("step", *made), rows, f"Prefill, linear layers, at the run's plan: from {base.label} "
                                       f"({whole / FJ_PER_MJ:.4g} mJ with DRAM) to each method, in shares of it; "
                                       "columns add up.")
    text = ("Values, bits and sparsity of the weights change the parts below; what fold scaling, the sparse engine and "
            "clock changes take back stands beside what MAC cells and registers save. `halo compare` adds what the "
            "slack buys in voltage.",)
    chart = waterfall_chart("waterfall", base.label, shares, first)
    return Section("Where the energy goes", text, grids=(grid,), charts=(chart,),
                   sources=run.sources("cost-prefill.json"))


def waterfall_chart(name: str, base: str, made: Mapping[str, Mapping[str, float]], first: str) -> Chart:
    """Return the waterfall of one method, which a reader may choose.

    Args:
        name: of the chart.
        base: what shares are of.
        made: by method, the steps in shares: first the baseline, last the result.
        first: the method shown before anyone chooses.
    """
    values: list[dict[str, Any]] = []
    for label, steps in made.items():
        level = 0.0
        for at, (step, share) in enumerate(steps.items()):
            total = at in {0, len(steps) - 1}
            start, level = (0.0, share) if total else (level, level + share)
            values.append({"method": label, "step": step, "order": at, "from": short(start), "to": short(level),
                           "kind": "total" if total else "less" if share < 0 else "more",
                           "words": f"{share:.3f}" if total else f"{share:+.3f}"})
    y = {"field": "step", "type": "nominal", "sort": {"field": "order"}, "title": None}
    return Chart(name, {
        "height": {"step": 24}, "title": f"From {base} to one method",
        "params": [{"name": "method", "value": first,
                    "bind": {"input": "select", "options": list(made), "name": "method "}}],
        "data": {"values": values}, "transform": [{"filter": "datum.method == method"}],
        "encoding": {"y": y}, "layer": [
            {"mark": {"type": "bar", "height": {"band": 0.7}}, "encoding": {
                "x": {"field": "from", "type": "quantitative", "title": f"share of {base}'s energy",
                      "axis": {"tickCount": 10}},
                "x2": {"field": "to"},
                "color": {"field": "kind", "type": "nominal", "title": None, "scale": {
                    "domain": ["total", "less", "more"], "range": [COOL[2], COOL[1], WARM[0]]}},
                "tooltip": [{"field": "step"}, {"field": "words", "title": "share"}]}},
            {"mark": {"type": "text", "align": "left", "dx": 5, "color": SOFT},
             "transform": [{"calculate": "max(datum.from, datum.to)", "as": "end"}],
             "encoding": {"x": {"field": "end", "type": "quantitative"}, "text": {"field": "words"}}}]},
        f"Shown without scripts: {first}. Steps add up.")
