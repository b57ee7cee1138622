"""compare_models(): methods on one MAC at one voltage, one throughput and one power, and where each gain comes from.

All methods may use the same voltages, the baseline too. At one throughput the slack of a faster method buys a lower
voltage; at one power it buys speed. The waterfall leads from the baseline at the nominal voltage to a method at its
throughput, part by part; its steps add up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from characterization.profile import MacProfile
from halo.clocks import planned_voltages
from halo.cost import CostReport
from halo.dvfs import Build, plan_dvfs
from halo.estimate import estimate_on, setup_from
from halo.layers import QuantizedModel
from halo.operating_point import PointConfig
from halo.page import Grid
from halo.plan import DvfsConfig, DvfsPlan
from halo.plan_check import check_plan
from halo.workload import Workload

Mode = Literal["one voltage", "one throughput", "one power"]
MODES: tuple[Mode, ...] = ("one voltage", "one throughput", "one power")
FJ_PER_MJ = 1e12
# Bars of the waterfall: name, and the parts of the energy that it holds.
BARS: Mapping[str, tuple[str, ...]] = {
    "values: MAC cells": ("mac",), "values: registers, clock": ("registers",),
    "idle, padding, loading": ("idle", "loading"), "fold scaling": ("scaling",), "sparse engine": ("sparse",),
    "SRAM": ("sram",), "clock: leakage": ("leakage", "waiting", "fixed"), "split columns": ("grouping",),
    "clock changes": ("switching",), "bits: DRAM": ("dram",), "level shifters": ("shifting",),
}


@dataclass(frozen=True, eq=False)
class Standing:
    """One method in one mode.

    Attributes:
        voltages: nominal, of the linear layers.
    """

    method: str
    mode: Mode
    plan: DvfsPlan
    report: CostReport

    @property
    def voltages(self) -> tuple[float, ...]:
        """The voltages that are used, ascending."""
        return tuple(sorted({segment.voltage_v for segment in self.plan.segments_of()}))


@dataclass(frozen=True, eq=False)
class Comparison:
    """All methods in all modes on one MAC.

    Attributes:
        standings: by mode, then method; the baseline first.
        front: method -> (voltage, time in s, energy in fJ), at one voltage at a time.
    """

    design: str
    library: str
    nominal_v: float
    standings: Mapping[Mode, tuple[Standing, ...]]
    front: Mapping[str, tuple[tuple[float, float, float], ...]]

    @property
    def base(self) -> Standing:
        """The baseline at the nominal voltage."""
        return self.standings["one voltage"][0]


def compare_models(
    models: Mapping[str, QuantizedModel], profile: MacProfile, points: PointConfig, config: DvfsConfig, work: Workload,
    build: Build, progress: Callable[[int, int], None] | None = None, *, with_front: bool = True,
) -> Comparison:
    """Return how methods stand beside the first of `models` on one workload, all at the profile's voltages.

    Args:
        models: by label, the baseline first.
        profile: of the MAC.
        points: the nominal voltage.
        config: how clock and supply change; its objective and budgets are set here.
        work: one phase; linear layers alone where attention is not to dilute.
        build: makes the machine.
        progress: told methods done and in all.
        with_front: whether every method is planned at each voltage by itself too.
    """
    plain = replace(config, objective="time", voltages=(), every_voltage=False, power_cap_w=0.0,
                    prefill_tokens_per_s=0.0, decode_tokens_per_s=0.0)
    wide = replace(plain, every_voltage=True)

    def stand(label: str, mode: Mode, chosen: DvfsConfig, at: PointConfig = points) -> Standing:
        plan = plan_dvfs(models[label], profile, at, chosen, workloads=(work,), build=build)
        check_plan(plan, profile)
        return Standing(label, mode, plan, estimate_on(work, plan, build(profile, setup_from(plan, profile))))

    labels = list(models)
    base = stand(labels[0], "one voltage", plain)
    throughput = {f"{work.phase}_tokens_per_s": work.tokens / base.plan.results[0].time_s * (1 - 1e-9)}
    power_w = max(s.energy_fj * 1e-15 / s.time_s for s in base.plan.segments_of()) * (1 + 1e-9)
    options: dict[Mode, DvfsConfig] = {
        "one voltage": plain, "one power": replace(wide, power_cap_w=power_w),
        "one throughput": replace(wide, objective="energy", **throughput)}  # type: ignore[arg-type]
    standings: dict[Mode, list[Standing]] = {mode: [] for mode in MODES}
    front: dict[str, tuple[tuple[float, float, float], ...]] = {}
    for done, label in enumerate(labels):
        for mode in MODES:
            standings[mode].append(stand(label, mode, options[mode]))
        front[label] = tuple(point_of(voltage, stand(label, "one voltage", plain, replace(points, voltage_v=voltage)))
                             for voltage in (planned_voltages(profile, points, wide)[0] if with_front else ()))
        if progress:
            progress(done + 1, len(labels))
    return Comparison(profile.head.design, profile.head.library, base.plan.points.voltage_v,
                      {mode: tuple(found) for mode, found in standings.items()}, front)


def point_of(voltage_v: float, standing: Standing) -> tuple[float, float, float]:
    """Return one point of a front."""
    total = standing.report.total("all")
    return voltage_v, total.total_s, total.energy.total_fj


def waterfall(comparison: Comparison, method: str) -> tuple[tuple[str, float], ...]:
    """Return the steps from the baseline's energy to the method's at one throughput, in fJ; they add up.

    The parts are compared at the nominal voltage; the last step is what the slack buys in voltage.
    """
    fixed = find(comparison, "one voltage", method).report.total("all").energy.parts()
    slack = find(comparison, "one throughput", method).report.total("all").energy.total_fj
    start = comparison.base.report.total("all").energy.parts()
    steps = [(name, sum(fixed[part] - start[part] for part in parts)) for name, parts in BARS.items()]
    return (("baseline", sum(start.values())), *((name, step) for name, step in steps if step),
            ("voltage that the slack buys", slack - sum(fixed.values())), ("result", slack))


def find(comparison: Comparison, mode: Mode, method: str) -> Standing:
    """Return the standing of a method."""
    return next(item for item in comparison.standings[mode] if item.method == method)


def mode_grid(comparison: Comparison, mode: Mode, quality: Mapping[str, tuple[str, str]]) -> Grid:
    """Return one table: a method a row, absolute and over the baseline; `quality` has KL and perplexity by method."""
    base = comparison.base.report.total("all")
    rows = []
    for item in comparison.standings[mode]:
        total = item.report.total("all")
        ratios = (total.compute_s / base.compute_s, total.total_s / base.total_s,
                  total.energy.on_chip_fj / base.energy.on_chip_fj, total.energy.total_fj / base.energy.total_fj)
        array = sum(getattr(total.energy, f"{part}_fj") for part in ARRAY_PARTS)
        array /= sum(getattr(base.energy, f"{part}_fj") for part in ARRAY_PARTS)
        rows.append((item.method, *quality.get(item.method, ("-", "-")), f"{1e3 * total.total_s:.4g}",
                     f"{total.energy.total_fj / FJ_PER_MJ:.4g}", *(f"{ratio:.3f}" for ratio in ratios), f"{array:.3f}",
                     f"{ratios[1] * ratios[3]:.3f}", " ".join(f"{voltage:g}" for voltage in item.voltages)))
    columns = ("method", "KL net", "perplexity", "ms", "mJ", "time", "time with DRAM", "on-chip energy",
               "energy with DRAM", "array energy", "energy x time", "V")
    what = {"one voltage": f"at {comparison.nominal_v:g} V", "one power": "at the baseline's power, every voltage open",
            "one throughput": "at the baseline's throughput, every voltage open: slack buys voltage"}[mode]
    caption = (f"{comparison.design} ({comparison.library}), {comparison.base.report.workload}, {what}. Ratios to "
               f"{comparison.base.method} at {comparison.nominal_v:g} V; array: MAC cells, registers, clock, idle, "
               "loading, leakage.")
    return Grid(columns, tuple(rows), caption)


ARRAY_PARTS = ("mac", "registers", "idle", "loading", "leakage")


def waterfall_grid(comparison: Comparison, methods: Sequence[str]) -> Grid:
    """Return the waterfalls as one table: a step a row, a method a column, as shares of the baseline's energy."""
    whole = comparison.base.report.total("all").energy.total_fj
    made = {method: dict(waterfall(comparison, method)) for method in methods}
    names = ["baseline", *BARS, "voltage that the slack buys", "result"]
    rows = tuple((name, *(f"{made[method].get(name, 0.0) / whole:+.4f}" for method in methods)) for name in names
                 if any(name in made[method] for method in methods))
    return Grid(("step", *methods), rows, f"From {comparison.base.method} at {comparison.nominal_v:g} V to each method "
                                          "at its throughput, shares of its energy with DRAM; rows add up.")


def front_grid(comparison: Comparison) -> Grid:
    """Return time and energy of every method at every voltage, and who is not beaten in both by anyone."""
    points = [(method, *point) for method, found in comparison.front.items() for point in found]
    rows = []
    for method, voltage_v, time_s, energy_fj in sorted(points, key=lambda point: point[2]):
        beaten = any(t <= time_s and e <= energy_fj and (t, e) != (time_s, energy_fj) for _, _, t, e in points)
        rows.append((f"{method} at {voltage_v:g} V", f"{1e3 * time_s:.4g}", f"{energy_fj / FJ_PER_MJ:.4g}",
                     "no" if beaten else "yes"))
    return Grid(("method", "ms", "mJ", "on the joint front"), tuple(rows),
                "Each method at one voltage at a time; accuracy is not in this front.")


def grids_of(comparison: Comparison, quality: Mapping[str, tuple[str, str]]) -> tuple[Grid, ...]:
    """Return every table of a comparison: one per mode, the waterfalls, the front."""
    return (*(mode_grid(comparison, mode, quality) for mode in MODES),
            waterfall_grid(comparison, list(comparison.front)[1:]), front_grid(comparison))
