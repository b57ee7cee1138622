"""The tables of a comparison: one per mode, the waterfalls, the fronts, and dedicated PEs beside the MAC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halo.comparison import BARS, MODES, Comparison, Mode, Standing, find, waterfall
from halo.contenders import Merit
from halo.page import Grid

FJ_PER_MJ = 1e12
SAME = 0.005
SAME_KL = 1e-4


def grids_of(comparison: Comparison, merits: Mapping[str, Merit]) -> tuple[Grid, ...]:
    """Return every table of a comparison: one per mode, dedicated PEs, the waterfalls, time and energy by voltage."""
    dedicated = [dedicated_grid(comparison, merits), verdict_grid(comparison, merits)]
    if not dedicated_methods(comparison):
        dedicated = []
    return (*(mode_grid(comparison, mode, merits) for mode in MODES), *dedicated,
            waterfall_grid(comparison, list(comparison.front)[1:]), front_grid(comparison))


def merit_cells(merit: Merit | None) -> tuple[str, str, str]:
    """Return KL, perplexity and bits as printed; dashes where they are not known."""
    return (f"{merit.kl:.5f}", f"{merit.perplexity:.4f}", f"{merit.bits:.2f}") if merit else ("-", "-", "-")


def mode_grid(comparison: Comparison, mode: Mode, merits: Mapping[str, Merit]) -> Grid:
    """Return one table: a method a row, absolute and over the baseline."""
    base = comparison.base.report.total("all")
    rows = []
    for item in comparison.standings[mode]:
        total = item.report.total("all")
        ratios = (total.compute_s / base.compute_s, total.total_s / base.total_s,
                  total.energy.on_chip_fj / base.energy.on_chip_fj, total.energy.total_fj / base.energy.total_fj)
        array = item.array_fj / comparison.base.array_fj
        rows.append((item.method, *merit_cells(merits.get(item.method)), f"{1e3 * total.total_s:.4g}",
                     f"{total.energy.total_fj / FJ_PER_MJ:.4g}", *(f"{ratio:.3f}" for ratio in ratios), f"{array:.3f}",
                     f"{ratios[1] * ratios[3]:.3f}",
                     " ".join(f"{voltage:g}" for voltage in item.voltages) + late(mode, ratios[1])))
    columns = ("method", "KL net", "perplexity", "bits", "ms", "mJ", "time", "time with DRAM", "on-chip energy",
               "energy with DRAM", "array energy", "energy x time", "V")
    what = {"one voltage": f"at {comparison.nominal_v:g} V", "one power": "at the baseline's power, every voltage open",
            "one throughput": "at the baseline's throughput, every voltage open: slack buys voltage"}[mode]
    caption = (f"{comparison.design} ({comparison.library}), {comparison.base.report.workload}, {what}. Ratios to "
               f"{comparison.base.method} at {comparison.nominal_v:g} V; array: MAC cells, registers, clock, idle, "
               "loading, leakage.")
    return Grid(columns, tuple(rows), f"{caption} {comparison.note}".strip(), ours_of(merits))


def late(mode: Mode, time: float) -> str:
    """Return a mark where a method does not reach the throughput that it is held to.

    >>> late("one throughput", 1.003), late("one throughput", 1.0), late("one power", 1.2)
    (' (late)', '', '')
    """
    return " (late)" if mode == "one throughput" and time > 1 + 1e-6 else ""


def ours_of(merits: Mapping[str, Merit]) -> frozenset[str]:
    """Return the methods with searched codebooks."""
    return frozenset(label for label, merit in merits.items() if merit.ours)


def waterfall_grid(comparison: Comparison, methods: Sequence[str]) -> Grid:
    """Return the waterfalls as one table: a step a row, a method a column, as shares of the baseline's energy."""
    whole = comparison.base.report.total("all").energy.total_fj
    made = {method: dict(waterfall(comparison, method)) for method in methods}
    names = ["baseline", *BARS, "voltage that the slack buys", "result"]
    rows = tuple((name, *(f"{made[method].get(name, 0.0) / whole:+.4f}" for method in methods)) for name in names
                 if any(name in made[method] for method in methods))
    return Grid(("step", *methods), rows, f"From {comparison.base.method} at {comparison.nominal_v:g} V to each method "
                                          "at its throughput, shares of its energy with DRAM; rows add up. "
                                          f"{comparison.note}")


def front_grid(comparison: Comparison) -> Grid:
    """Return time and energy of every method at every voltage, and who is not beaten in both by anyone."""
    points = [(method, *point) for method, found in comparison.front.items() for point in found]
    rows = []
    for method, voltage_v, time_s, energy_fj in sorted(points, key=lambda point: point[2]):
        beaten = any(t <= time_s and e <= energy_fj and (t, e) != (time_s, energy_fj) for _, _, t, e in points)
        rows.append((f"{method} at {voltage_v:g} V", f"{1e3 * time_s:.4g}", f"{energy_fj / FJ_PER_MJ:.4g}",
                     "no" if beaten else "yes"))
    return Grid(("method", "ms", "mJ", "on the joint front"), tuple(rows),
                f"Each method at one voltage at a time; accuracy is not in this front. {comparison.note}")


def dedicated_methods(comparison: Comparison) -> list[str]:
    """Return the methods that run on another PE than the baseline."""
    return [item.method for item in comparison.standings["one voltage"] if is_dedicated(comparison, item)]


def is_dedicated(comparison: Comparison, item: Standing) -> bool:
    """Return whether a method runs on another PE than the baseline."""
    return item.profile.head.netlist_digest != comparison.base.profile.head.netlist_digest


def dedicated_grid(comparison: Comparison, merits: Mapping[str, Merit]) -> Grid:
    """Return what building another PE gets, beside the searched methods on the MAC: a method a row."""
    base, alternatives = comparison.base, dedicated_methods(comparison)
    rows = []
    for plain, bought in zip(comparison.standings["one voltage"], comparison.standings["one throughput"], strict=True):
        merit = merits.get(plain.method)
        if plain.method not in alternatives and not (merit and merit.ours) and plain is not base:
            continue
        area = plain.profile.head.area_um2 / base.profile.head.area_um2
        rows.append((plain.method, *merit_cells(merit), f"{plain.profile.head.area_um2:.0f}", f"{area:.3f}",
                     f"{plain.time_s / base.time_s:.3f}", f"{plain.array_fj / base.array_fj:.3f}",
                     f"{base.time_s / plain.time_s / area:.3f}", f"{bought.array_fj / base.array_fj:.3f}",
                     f"{bought.on_chip_fj / base.on_chip_fj:.3f}"))
    columns = ("method", "KL net", "perplexity", "bits", "PE um2", "area", "time", "array energy",
               "throughput per area", "array energy at one throughput", "on-chip energy at one throughput")
    caption = ("The designer's alternative: a PE that has only those values, of the same library, its clocks found "
               f"alike; areas of one PE, ratios to {base.method} on {comparison.design}. Sparse part, scaling and adds "
               f"are those of int8 MACs ({comparison.design}) beside the array; attention and head need such MACs "
               "too.")
    return Grid(columns, tuple(rows), f"{caption} {comparison.note}".strip(), ours_of(merits))


def verdict_grid(comparison: Comparison, merits: Mapping[str, Merit]) -> Grid:
    """Return which is better of each method on a dedicated PE and each searched one on the MAC, and by what."""
    ours = [item.method for item in comparison.standings["one voltage"]
            if item.method in merits and merits[item.method].ours and not is_dedicated(comparison, item)]
    rows = tuple(verdict_row(comparison, merits, method, other) for method in dedicated_methods(comparison)
                 for other in ours)
    columns = ("on a PE of its own", "against, on the MAC", "verdict", "time", "array energy at one throughput", "area",
               "KL net")
    return Grid(columns, rows, f"A verdict counts ratios beyond {SAME:.1%} and KL beyond {SAME_KL:g} nats. "
                               f"{comparison.note}".strip())


def verdict_row(comparison: Comparison, merits: Mapping[str, Merit], method: str, other: str) -> tuple[str, ...]:
    """Return how a method on a dedicated PE stands against a searched one on the MAC."""
    (one, bought), (theirs, paid) = (tuple(find(comparison, mode, name) for mode in MODES[:2])
                                     for name in (method, other))
    ratios = (one.time_s / theirs.time_s, bought.array_fj / paid.array_fj,
              one.profile.head.area_um2 / theirs.profile.head.area_um2)
    difference = merits[method].kl - merits[other].kl if method in merits else 0.0
    signs = [0 if abs(ratio - 1) <= SAME else 1 if ratio > 1 else -1 for ratio in ratios]
    signs.append(0 if abs(difference) <= SAME_KL else 1 if difference > 0 else -1)
    verdict = {(True, False): "beats it", (False, True): "loses to it", (False, False): "alike",
               (True, True): "a trade"}[min(signs) < 0, max(signs) > 0]
    return (method, other, verdict, *(f"{ratio:.3f}" for ratio in ratios), f"{difference:+.4f}")
