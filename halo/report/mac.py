"""mac_section(), codebook_section(): delay and energy of every weight value, and the codebooks taken from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from halo.operating_point import Footing, footing
from halo.page import Chart, Grid, Section
from halo.page.vega import SOFT
from halo.plan import ALL_VALUES, ClockClass
from halo.report.run import COOL, WARM, Run, short

# Delays below this share of the median would press all others together.
FAR_BELOW = 0.6
KINDS = {"topological": COOL[2], "certified": WARM[0], "observed": COOL[1]}
X = {"field": "weight", "type": "quantitative", "title": "weight value",
     "scale": {"domain": [-130, 129], "nice": False},
     "axis": {"values": [*range(-128, 128, 16), 127], "labelOverlap": True}}


def mac_section(run: Run) -> Section:
    """Return delay and energy of every weight value: topological, certified, observed."""
    profile, head = run.profile, run.profile.head
    place = footing(profile, run.results[0].plan.points)
    rows, delays = weight_rows(run, place), delay_table(run, place)
    text = (f"{head.design}, {head.n_cells} cells, {head.area_um2:.0f} µm² in {head.library}; {head.stimulus}.",
            *head.notes)
    known = [kind for kind in KINDS if not np.isnan(delays[kind]).any()]
    missing = "" if "certified" in known else " No certificates in this profile: periods rest on topological delays."
    caption = (f"Delay in ps, register to register, of the slowest of {' and '.join(place.corners)}, from which "
               "periods are taken: topological, the longest path with the weight held; certified, the latest time at "
               "which any register can still change, over all other inputs; observed, the latest seen in timed "
               f"simulation. Energy in fJ per operation at {place.typical}, leakage apart, {profile.n_transitions} "
               f"transitions for each value; registers: clock pins and flops, a part of it.{missing}")
    grid = Grid(("weight", "topological ps", "certified ps", "observed ps", "energy fJ", "standard error fJ", "5 % fJ",
                 "95 % fJ", "registers fJ", "in codebooks"), rows, caption, folded=f"All {len(rows)} weight values")
    whole = summary_row(run, place, delays)
    return Section("Delay and energy of every weight value", text, grids=(whole, grid),
                   charts=(delay_chart(run, place, delays, known), energy_chart(run, place)),
                   sources=(run.profile_source,))


def delay_table(run: Run, place: Footing) -> dict[str, np.ndarray]:
    """Return the delays that periods are taken from, and what is known beside them, ps `[weight]` by kind."""
    profile = run.profile
    at = profile.corner_indices(place.corners)
    proved = profile.swap_ps if place.arrival == "swap" else profile.certified_ps
    return {"topological": profile.topological_ps[at].max(0), "certified": proved[at].max(0),
            "observed": profile.observed_ps[at].max(0)}


def weight_rows(run: Run, place: Footing) -> tuple[tuple[str, ...], ...]:
    """Return one row per weight value."""
    profile, delays = run.profile, delay_table(run, place)
    typical = profile.corner_index(place.typical)
    energies = [table[typical] for table in (profile.energy_fj, profile.energy_sem_fj, profile.energy_p05_fj,
                                             profile.energy_p95_fj, profile.register_energy_fj)]
    books = {item.name: set(item.codes) for item in classes_of(run).values() if item.name != ALL_VALUES}
    rows = []
    for index, weight in enumerate(profile.weights.tolist()):
        cells = ["-" if np.isnan(d[index]) else f"{d[index]:.2f}" for d in delays.values()]
        inside = ", ".join(name for name, codes in books.items() if weight in codes) or "-"
        rows.append((str(weight), *cells, *(f"{values[index]:.1f}" for values in energies), inside))
    return tuple(rows)


def summary_row(run: Run, place: Footing, delays: dict[str, np.ndarray]) -> Grid:
    """Return the range of delay and energy over the values, and what none of them beats."""
    profile = run.profile
    at, typical = profile.corner_indices(place.corners), profile.corner_index(place.typical)
    rows = []
    for kind, values in delays.items():
        if not np.isnan(values).any():
            order = np.argsort(values)
            rows.append((f"{kind} delay, ps", f"{values[order[0]]:.1f} ({profile.weights[order[0]]})",
                         f"{values[order[8]]:.1f}", f"{values[order[15]]:.1f}", f"{np.median(values):.1f}",
                         f"{values[order[-1]]:.1f} ({profile.weights[order[-1]]})"))
    energy = profile.energy_fj[typical]
    order = np.argsort(energy)
    rows.append(("energy, fJ", f"{energy[order[0]]:.1f} ({profile.weights[order[0]]})", f"{energy[order[8]]:.1f}",
                 f"{energy[order[15]]:.1f}", f"{np.median(energy):.1f}",
                 f"{energy[order[-1]]:.1f} ({profile.weights[order[-1]]})"))
    registers = profile.register_energy_fj[typical].sum() / energy.sum()
    caption = (f"Least and greatest with the weight in brackets. Floor, which no weight beats: "
               f"{profile.floor_ps[at].max():.1f} ps. Registers and clock are {registers:.1%} of the mean energy. "
               f"{place.says[:1].upper()}{place.says[1:]}.")
    return Grid(("over the values", "least", "9th", "16th", "median", "greatest"), tuple(rows), caption)


def delay_chart(run: Run, place: Footing, delays: dict[str, np.ndarray], kinds: list[str]) -> Chart:
    """Return the delays by weight; a few values far below all others are told in words."""
    profile = run.profile
    floor_ps = float(profile.floor_ps[profile.corner_indices(place.corners)].max())
    bound = delays[kinds[1] if "certified" in kinds else "topological"]
    far = bound < FAR_BELOW * np.median(bound)
    shown = {kind: delays[kind][~far] for kind in kinds}
    low, high = min(float(v.min()) for v in shown.values()), max(float(v.max()) for v in shown.values())
    words = [f"weight {weight} at {bound[index]:.0f} ps" for index, weight in enumerate(profile.weights) if far[index]]
    above = floor_ps > FAR_BELOW * low
    words += [] if above else [f"floor, which no weight beats, at {floor_ps:.0f} ps"]
    low = min(low, floor_ps) if above else low
    values = [{"weight": int(weight), "kind": kind, "ps": short(delays[kind][index])} for kind in kinds
              for index, weight in enumerate(profile.weights) if not far[index]]
    layers: list[dict[str, Any]] = [{
        "mark": {"type": "point", "filled": True, "size": 26, "opacity": 0.9},
        "params": [{"name": "kinds", "select": {"type": "point", "fields": ["kind"]}, "bind": "legend"}],
        "encoding": {"x": X, "y": {"field": "ps", "type": "quantitative", "title": "delay (ps)", "scale": {
            "domain": [short(low - 0.04 * (high - low)), short(high + 0.04 * (high - low))], "nice": True}},
            "color": {"field": "kind", "type": "nominal", "title": None,
                      "scale": {"domain": kinds, "range": [KINDS[kind] for kind in kinds]}},
            "opacity": {"condition": {"param": "kinds", "value": 0.9}, "value": 0.08},
            "tooltip": [{"field": "weight", "title": "weight"}, {"field": "kind", "title": "delay"},
                        {"field": "ps", "title": "ps", "format": ".2f"}]}}]
    if above:
        layers.append({"data": {"values": [{"ps": short(floor_ps)}]}, "mark": {"type": "rule", "strokeDash": [5, 4],
                       "color": SOFT}, "encoding": {"y": {"field": "ps", "type": "quantitative"}}})
    told = ("Dashed: the floor. " if above else "") + (f"Below the picture: {', '.join(words)}. " if words else "")
    return Chart("delay", {"height": 260, "title": "Delay of each weight value", "data": {"values": values},
                           "layer": layers},
                 f"Delay in ps, the slowest of {' and '.join(place.corners)}. {told}Where scripts run, a click on the "
                 "legend picks a kind; values on hover.")


def energy_chart(run: Run, place: Footing) -> Chart:
    """Return energy by weight: the mean, the 5th to 95th percentile, the part of registers and clock."""
    profile = run.profile
    typical = profile.corner_index(place.typical)
    columns = {"mean": profile.energy_fj, "low": profile.energy_p05_fj, "high": profile.energy_p95_fj,
               "registers": profile.register_energy_fj, "error": profile.energy_sem_fj}
    values = [{"weight": int(weight), **{name: short(table[typical, index]) for name, table in columns.items()}}
              for index, weight in enumerate(profile.weights)]
    tips = [{"field": "weight", "title": "weight"}, {"field": "mean", "title": "mean fJ", "format": ".1f"},
            {"field": "error", "title": "standard error fJ", "format": ".1f"},
            {"field": "low", "title": "5 % fJ", "format": ".1f"},
            {"field": "high", "title": "95 % fJ", "format": ".1f"},
            {"field": "registers", "title": "registers and clock fJ", "format": ".1f"}]
    names = {"5th to 95th percentile": COOL[7], "mean": WARM[0], "registers and clock": COOL[1]}

    def color(name: str) -> dict[str, Any]:
        return {"datum": name, "scale": {"domain": list(names), "range": list(names.values())}, "title": None}

    y = {"type": "quantitative", "title": "energy per operation (fJ)"}
    layers = [
        {"mark": {"type": "rule", "opacity": 0.55, "strokeWidth": 1.5},
         "encoding": {"y": {"field": "low", **y}, "y2": {"field": "high"}, "color": color("5th to 95th percentile")}},
        {"mark": {"type": "point", "filled": True, "size": 20},
         "encoding": {"y": {"field": "registers", **y}, "color": color("registers and clock"), "tooltip": tips}},
        {"mark": {"type": "point", "filled": True, "size": 28},
         "encoding": {"y": {"field": "mean", **y}, "color": color("mean"), "tooltip": tips}}]
    return Chart("energy-by-weight", {"height": 240, "title": f"Energy per operation, {place.typical}",
                                      "data": {"values": values}, "encoding": {"x": X}, "layer": layers},
                 "Energy of each weight value in fJ per operation, clock and registers included, leakage apart.")


def classes_of(run: Run) -> dict[str, ClockClass]:
    """Return every clock class of the run at the nominal voltage, slowest first."""
    found = {item.name: item for result in run.results for item in result.plan.classes}
    return dict(sorted(found.items(), key=lambda pair: -pair[1].period_ps))


def searched_names(run: Run) -> frozenset[str]:
    """Return the names of searched codebooks."""
    return frozenset(item.name for result in run.ours for item in result.plan.classes if item.name != ALL_VALUES)


def codebook_section(run: Run) -> Section:
    """Return every codebook: its values, delay, clock and mean energy, and why the searched ones are what they are."""
    points = run.results[0].plan.points
    place = footing(run.profile, points)
    classes = classes_of(run)
    rows = tuple(class_row(item, classes[ALL_VALUES], run, place.typical) for item in classes.values())
    columns = ("class", "values", "delay ps", "of corner", "period ps", "MHz", "over all values", "fJ per operation",
               "capped")
    caption = (f"period = delay x {1 + points.margin:g} + {points.jitter_ps:g} ps jitter + {points.skew_ps:g} ps skew, "
               f"not faster than {points.cap_ghz:g} GHz (what is not the MAC); {place.says}; energy: plain mean over "
               f"the values, at {place.typical}")
    held = tuple((item.name, " ".join(map(str, item.codes)) if len(item.codes) < 256 else "-128 .. 127")
                 for item in classes.values())
    reasons = tuple(f"{c['name']}: {c['reason']}" for c in run.facts["codebooks"])
    bases = {basis: [name for name, item in classes.items() if item.basis == basis]
             for basis in dict.fromkeys(item.basis for item in classes.values())}
    rests = tuple(f"periods of {', '.join(names)} rest on: {basis}" for basis, names in bases.items())
    ours = searched_names(run)
    return Section("Codebooks and their clocks", points=(*reasons, *rests), charts=(codebook_chart(run, place),),
                   grids=(Grid(columns, rows, caption, ours), Grid(("class", "holds"), held, "", ours)),
                   sources=(run.profile_source, *run.sources("plan.json")))


def class_row(item: ClockClass, whole: ClockClass, run: Run, corner: str) -> tuple[str, ...]:
    """Return one row of the table of clock classes."""
    energy_fj = run.profile.operation_energy_fj(item.period_ps, corner)[[code + 128 for code in item.codes]].mean()
    return (item.name, str(len(item.codes)), f"{item.delay_ps:.0f}", item.corner, f"{item.period_ps:.0f}",
            f"{1000 * item.freq_ghz:.0f}", f"{whole.period_ps / item.period_ps:.3f}x", f"{energy_fj:.0f}",
            "yes" if item.capped else "no")


def codebook_chart(run: Run, place: Footing) -> Chart:
    """Return which values each codebook holds, coloured by energy."""
    typical = run.profile.corner_index(place.typical)
    energy = dict(zip(run.profile.weights.tolist(), run.profile.energy_fj[typical].tolist(), strict=True))
    bound = dict(zip(run.profile.weights.tolist(), run.profile.bound_ps(place.corners, place.arrival).tolist(),
                     strict=True))
    items = [item for item in classes_of(run).values() if item.name != ALL_VALUES]
    values = [{"class": item.name, "weight": code, "fJ": short(energy[code]), "ps": short(bound[code])}
              for item in items for code in item.codes]
    names = [item.name for item in items]
    return Chart("codebooks", {
        "height": {"step": 26}, "title": "Values of each codebook, slowest clock on top",
        "data": {"values": values}, "mark": {"type": "tick", "thickness": 3, "size": 20},
        "encoding": {"x": X, "y": {"field": "class", "type": "nominal", "sort": names, "title": None},
                     "color": {"field": "fJ", "type": "quantitative", "title": "fJ per operation",
                               "scale": {"range": ["#2a9d8f", "#e9b949", "#d1495b"]},
                               "legend": {"gradientLength": 160}},
                     "tooltip": [{"field": "class"}, {"field": "weight"}, {"field": "ps", "title": "delay bound ps",
                                 "format": ".1f"}, {"field": "fJ", "title": "fJ per operation", "format": ".1f"}]}},
        "Weight values that each codebook holds; colour: mean energy of the value.")


