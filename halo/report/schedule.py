"""tile_section(), plan_section(): which tile has which codebook, and what runs when, at which voltage and clock."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from halo.checkpoint import load_tile_maps
from halo.page import Chart, Grid, Section, Source
from halo.plan import DvfsPlan, Segment
from halo.plan_tables import class_grid, phase_grid
from halo.report.mac import classes_of
from halo.report.run import COOL, WARM, Run, short
from halo.results import MethodResult
from halo.tables import labels_of_ours
from halo.tiles import TileMap

LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
AXIS_PX = 40


def class_colors(run: Run) -> dict[str, str]:
    """Return a colour for each clock class."""
    ours = {item.name for result in run.ours for item in result.plan.classes}
    warm, cool = iter(WARM * 40), iter(COOL * 40)
    return {name: "#7f8c9b" if name == "all" else next(warm if name in ours else cool) for name in classes_of(run)}


def tile_section(run: Run) -> Section:
    """Return the codebook of every tile of every searched method: a picture of one layer, all of them counted."""
    found = {result.label: load_tile_maps(run.out / "models" / result.label) for result in run.ours
             if (run.out / "models" / result.label).is_dir()}
    if not found:
        return Section("Tiles", ("No method with searched codebooks is in this run, or its models are gone.",))
    grids = tuple(tile_grid(label, names, maps) for label, (names, maps) in found.items())
    tile = next(iter(found.values()))[1][0]
    text = (f"Tiles of {tile.tile_in} inputs x {tile.tile_out} outputs; a load of the array runs at the clock of its "
            "slowest tile.",)
    sources = tuple(Source(f"models/{r.label} (content, as planned)", r.plan.provenance.inputs["model"])
                    for r in run.ours if r.label in found)
    return Section("Tiles", text, grids=grids, charts=(tile_chart(run, found),), sources=sources)


def tile_grid(label: str, names: tuple[str, ...], maps: tuple[TileMap, ...]) -> Grid:
    """Return how many tiles of each layer use each codebook."""
    rows = []
    for item in maps:
        counts = np.bincount(item.classes.reshape(-1), minlength=len(names))
        rows.append((item.name, f"{item.classes.shape[0]} x {item.classes.shape[1]}", *map(str, counts.tolist())))
    total = np.sum([np.bincount(item.classes.reshape(-1), minlength=len(names)) for item in maps], axis=0)
    rows.append(("all layers", str(int(total.sum())), *map(str, total.tolist())))
    words = ", ".join(f"{count} of {name}" for name, count in zip(names, total.tolist(), strict=True))
    return Grid(("layer", "tiles, out x in", *names), tuple(rows), folded=f"{label}: {words}; layer by layer")


def tile_chart(run: Run, found: dict[str, tuple[tuple[str, ...], tuple[TileMap, ...]]]) -> Chart:
    """Return the map of one layer of one method; every layer travels along as one letter per tile."""
    values = [{"method": label, "layer": item.name, "cols": item.classes.shape[1],
               "tiles": "".join(LETTERS[code] for code in item.classes.reshape(-1).tolist()),
               "names": list(names)} for label, (names, maps) in found.items() for item in maps]
    label = next((result.label for result in run.ours if result.label in found and mixed(found[result.label][1])), None)
    label = label or next(iter(found))
    layers = [item.name for item in found[label][1]]
    chosen = max(found[label][1], key=lambda item: (len(np.unique(item.classes)), balance(item.classes))).name
    used = list(dict.fromkeys(name for names, _ in found.values() for name in names))
    colors = class_colors(run)
    return Chart("tiles", {
        "height": 300, "title": "Codebook of each tile",
        "params": [
            {"name": "method", "value": label, "bind": {"input": "select", "options": list(found), "name": "method "}},
            {"name": "layer", "value": chosen, "bind": {"input": "select", "options": layers, "name": "layer "}}],
        "data": {"values": values},
        "transform": [
            {"filter": "datum.method == method && datum.layer == layer"},
            {"calculate": "split(datum.tiles, '')", "as": "letter"}, {"flatten": ["letter"]},
            {"window": [{"op": "row_number", "as": "place"}]},
            {"calculate": "(datum.place - 1) % datum.cols", "as": "input"},
            {"calculate": "floor((datum.place - 1) / datum.cols)", "as": "output"},
            {"calculate": f"datum.names[indexof('{LETTERS}', datum.letter)]", "as": "codebook"}],
        "mark": {"type": "rect", "stroke": "#dde2e7", "strokeWidth": 0.5},
        "encoding": {
            "x": {"field": "input", "type": "ordinal", "title": "tile along the inputs",
                  "axis": {"labelAngle": 0, "labelOverlap": True}},
            "y": {"field": "output", "type": "ordinal", "title": "tile along the outputs",
                  "axis": {"labelOverlap": True}},
            "color": {"field": "codebook", "type": "nominal", "title": None,
                      "scale": {"domain": used, "range": [colors[name] for name in used]}},
            "tooltip": [{"field": "codebook"}, {"field": "output"}, {"field": "input"}]}},
        f"Shown without scripts: {label}, {chosen}; any other layer is counted below.")


def mixed(maps: tuple[TileMap, ...]) -> bool:
    """Return whether any layer has tiles of several codebooks."""
    return any(len(np.unique(item.classes)) > 1 for item in maps)


def balance(classes: np.ndarray) -> float:
    """Return how evenly tiles are spread over codebooks: the share of all but the most frequent."""
    return float(1 - np.bincount(classes.reshape(-1)).max() / classes.size)


def plan_section(run: Run) -> Section:
    """Return what runs when: the timeline of a pass, its clocks and voltages, how often they change, at what cost."""
    shown = [run.w8a8, *([run.strongest] if run.strongest else []), *run.ours]
    shown = list({result.label: result for result in shown}.values())
    plan = run.results[0].plan
    text = ("Changes are made where they pay, at the least cost of the whole pass: at least K - 1 per dependent stage "
            "for K classes that are kept apart, again for each decoded token; where two wavefronts meet the slower "
            "clock runs until the old one has left, or the array drains. The paper's 2 to 3 per inference is not "
            "attainable: layers depend on each other, and loads reorder only within a matrix or among those with one "
            "input.",
            f"Voltage: {plan.frequency_only or 'chosen for each class, layer and phase'}.")
    charts = (timeline_chart(run, shown, "MHz", "clock (MHz)"), timeline_chart(run, shown, "V", "supply (V)"))
    grids = [switch_grid(run), usage_grid(shown)]
    for result in run.ours:
        grids += [class_grid(result.plan), phase_grid(result.plan)]
    return Section("The plan", text, grids=tuple(grids), charts=charts, sources=run.sources("plan.json"))


def switch_grid(run: Run) -> Grid:
    """Return how often the clock changes and what that costs."""
    rows = []
    for result in run.results:
        plan, total = result.plan, result.costs["prefill"].total()
        change = next(row for row in result.costs["prefill"].rows if row.kind == "switch")
        loads = ", ".join(f"{item.name} {plan.n_loads(item.name)}" for item in plan.classes if plan.n_loads(item.name))
        rows.append((result.label, loads, str(plan.n_switches), str(len(plan.switches_of("all"))),
                     f"{1e6 * change.compute_s:.2f}", f"{100 * change.compute_s / total.compute_s:.2f} %"))
    columns = ("method", "loads per class", "changes per pass", "with attention and head", "µs per pass",
               "of prefill time")
    return Grid(columns, tuple(rows), "Changes of voltage or clock, prefill.", labels_of_ours(run.results))


Point = tuple[str, float, float]


def usage_grid(shown: list[MethodResult]) -> Grid:
    """Return how long each point runs in a pass, attention and head included."""
    rows = []
    for result in shown:
        for phase in result.plan.phases:
            spent: dict[Point, list[float]] = defaultdict(lambda: [0.0, 0.0])
            for segment in result.plan.segments_of(phase):
                point = spent[segment.codebook, segment.voltage_v, segment.period_ps]
                point[0] += segment.time_s
                point[1] += segment.energy_fj
            whole = sum(time for time, _ in spent.values())
            rows += [(f"{result.label}, {phase}", name, f"{voltage:g}", f"{1e6 / period:.1f}", f"{1e6 * time:.2f}",
                      f"{time / whole:.1%}", f"{energy / 1e12:.4g}")
                     for (name, voltage, period), (time, energy) in sorted(spent.items())]
    columns = ("plan", "class", "V", "MHz", "µs", "of the pass", "mJ")
    return Grid(columns, tuple(rows), "What runs at which point, attention and head included; changes are apart.")


def blocks_of(plan: DvfsPlan, phase: Any) -> list[dict[str, Any]]:
    """Return the stretches of a pass that run at one point, in order: start and end in us, changes between them."""
    segments = plan.segments_of(phase)
    due = {switch.segment: switch.cost.time_s for switch in plan.switches_of("all", phase)}
    blocks: list[dict[str, Any]] = []
    now = 0.0
    last: Segment | None = None
    for at, segment in enumerate(segments):
        now += due.get(at, 0.0)
        same = last is not None and (last.codebook, last.voltage_v, last.period_ps) == (
            segment.codebook, segment.voltage_v, segment.period_ps)
        if not same:
            blocks.append({"start": short(1e6 * now), "class": segment.codebook, "MHz": short(1e6 / segment.period_ps),
                           "V": segment.voltage_v, "first": segment.layer})
        now += segment.time_s
        blocks[-1] |= {"end": short(1e6 * now), "last": segment.layer}
        last = segment
    return blocks


def timeline_chart(run: Run, shown: list[MethodResult], field: str, title: str) -> Chart:
    """Return clock or voltage over the time of one pass of one method."""
    values = [{"plan": f"{result.label}, {phase}", **block} for result in shown for phase in result.plan.phases
              for block in blocks_of(result.plan, phase)]
    plans = list(dict.fromkeys(item["plan"] for item in values))
    first = next((name for result in run.ours for name in plans if name.startswith(result.label)), plans[0])
    used = list(dict.fromkeys(item["class"] for item in values))
    colors, name = class_colors(run), {"MHz": "clock", "V": "supply"}[field]
    low, high = min(item[field] for item in values), max(item[field] for item in values)
    spare = max(0.15 * (high - low), 0.02 * high)
    # One width for both axes keeps their times one above the other; a supply has only the voltages that are used.
    volts = {"values": sorted({item["V"] for item in values}), "format": ".3~f"}
    axis = {"minExtent": AXIS_PX} | (volts if field == "V" else {})
    return Chart(f"timeline-{name}", {
        "height": 150 if field == "MHz" else 90, "title": f"{title} over one pass",
        "params": [{"name": "plan", "value": first, "bind": {"input": "select", "options": plans, "name": "plan "}}],
        "data": {"values": values}, "transform": [{"filter": "datum.plan == plan"}],
        "mark": {"type": "rect", "height": 9},
        "encoding": {
            "x": {"field": "start", "type": "quantitative", "title": "time (µs)", "scale": {"nice": False}},
            "x2": {"field": "end"},
            "y": {"field": field, "type": "quantitative", "title": title, "axis": axis,
                  "scale": {"domain": [short(low - spare), short(high + spare)], "nice": False}},
            "color": {"field": "class", "type": "nominal", "title": None,
                      "scale": {"domain": used, "range": [colors[item] for item in used]}},
            "tooltip": [{"field": "class"}, {"field": "MHz", "format": ".1f"}, {"field": "V"},
                        {"field": "start", "title": "from µs", "format": ".2f"},
                        {"field": "end", "title": "to µs", "format": ".2f"},
                        {"field": "first", "title": "first"}, {"field": "last", "title": "last"}]}},
        f"Attention and head included. Shown without scripts: {first}. Colour: clock class.")
