"""compare_models(): methods on one MAC at one voltage, one throughput and one power, and where each gain comes from.

All methods may use the same voltages, the baseline too. At one throughput the slack of a faster method buys a lower
voltage, and a method that does not reach it stands at its fastest, marked late; at one power slack buys speed. The
waterfall leads from the baseline at the nominal voltage to a method at its throughput, part by part; its steps add up.
Methods on a dedicated PE stand beside them, held to the same throughput and power.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from characterization.profile import MacProfile
from halo.clocks import planned_voltages
from halo.contenders import Contender
from halo.cost import CostReport
from halo.dvfs import loads_of, plan_loads
from halo.errors import ThroughputError
from halo.estimate import estimate_on, setup_from
from halo.loads import ModelLoads
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig, DvfsPlan
from halo.plan_check import check_plan
from halo.workload import Workload

Mode = Literal["one voltage", "one throughput", "one power"]
MODES: tuple[Mode, ...] = ("one voltage", "one throughput", "one power")
# Bars of the waterfall: name, and the parts of the energy that it holds.
BARS: Mapping[str, tuple[str, ...]] = {
    "values: MAC cells": ("mac",), "values: registers, clock": ("registers",),
    "idle, padding, loading": ("idle", "loading"), "fold scaling": ("scaling",), "sparse engine": ("sparse",),
    "SRAM": ("sram",), "clock: leakage": ("leakage", "waiting", "fixed"), "split columns": ("grouping",),
    "clock changes": ("switching",), "bits: DRAM": ("dram",), "level shifters": ("shifting",),
}
# What is spent in the array itself.
ARRAY_PARTS = ("mac", "registers", "idle", "loading", "leakage")


@dataclass(frozen=True, eq=False)
class Standing:
    """One method in one mode.

    Attributes:
        profile: of the MAC that it runs on.
    """

    method: str
    mode: Mode
    plan: DvfsPlan
    report: CostReport
    profile: MacProfile

    @property
    def voltages(self) -> tuple[float, ...]:
        """The nominal voltages that are used, ascending."""
        return tuple(sorted({segment.voltage_v for segment in self.plan.segments_of()}))

    @property
    def time_s(self) -> float:
        """Compute time of the pass."""
        return self.report.total("all").compute_s

    @property
    def array_fj(self) -> float:
        """Energy spent in the array itself: MAC cells, registers, clock, idle, loading, leakage."""
        energy = self.report.total("all").energy
        return float(sum(getattr(energy, f"{part}_fj") for part in ARRAY_PARTS))

    @property
    def on_chip_fj(self) -> float:
        """Energy without off-chip memory."""
        return self.report.total("all").energy.on_chip_fj


@dataclass(frozen=True, eq=False)
class Comparison:
    """All methods in all modes.

    Attributes:
        design, library: of the baseline's MAC.
        standings: by mode, then method; the baseline first.
        front: method -> (voltage, time in s, energy in fJ), at one voltage at a time.
        note: what every table must say: on which delays clocks rest, and whose shapes these are.
    """

    design: str
    library: str
    nominal_v: float
    standings: Mapping[Mode, tuple[Standing, ...]]
    front: Mapping[str, tuple[tuple[float, float, float], ...]]
    note: str = ""

    @property
    def base(self) -> Standing:
        """The baseline at the nominal voltage."""
        return self.standings["one voltage"][0]


def unchanged(loads: ModelLoads) -> ModelLoads:
    """Return the loads as they are."""
    return loads


def compare_models(
    contenders: Mapping[str, Contender], points: PointConfig, config: DvfsConfig, work: Workload,
    progress: Callable[[int, int], None] | None = None, *, with_front: bool = True,
    reshape: Callable[[ModelLoads], ModelLoads] = unchanged, note: str = "",
) -> Comparison:
    """Return how methods stand beside the first of `contenders` on one workload, each at its profile's voltages.

    Args:
        contenders: by label, the baseline first.
        points: the nominal voltage.
        config: how clock and supply change; its objective and budgets are set here.
        work: one phase; linear layers alone where attention is not to dilute.
        progress: told methods done and in all.
        with_front: whether every method is planned at each voltage by itself too.
        reshape: of a model's loads, where `work` is of another model.
        note: what every table must say of it.
    """
    plain = replace(config, objective="time", voltages=(), every_voltage=False, power_cap_w=0.0,
                    prefill_tokens_per_s=0.0, decode_tokens_per_s=0.0)
    wide = replace(plain, every_voltage=True)

    def stand(label: str, mode: Mode, chosen: DvfsConfig, at: PointConfig = points) -> Standing:
        who = contenders[label]
        loads = reshape(loads_of(who.model, who.profile, at, chosen, who.build))
        try:
            plan = plan_loads(loads, who.profile, at, chosen, (work,), who.build)
        except ThroughputError:  # then it stands at its fastest, and its time shows that it is late
            plan = plan_loads(loads, who.profile, at, wide, (work,), who.build)
        check_plan(plan, who.profile)
        report = estimate_on(work, plan, who.build(who.profile, setup_from(plan, who.profile)))
        return Standing(label, mode, plan, report, who.profile)

    labels = list(contenders)
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
        open_v = planned_voltages(contenders[label].profile, points, wide)[0] if with_front else ()
        places = [replace(points, voltage_v=voltage_v) for voltage_v in open_v]
        front[label] = tuple(point_of(at.voltage_v, stand(label, "one voltage", plain, at)) for at in places)
        if progress:
            progress(done + 1, len(labels))
    head = contenders[labels[0]].profile.head
    footing = f"Clocks rest on: {base.plan.all_values.basis}."
    return Comparison(head.design, head.library, base.plan.points.voltage_v,
                      {mode: tuple(found) for mode, found in standings.items()}, front, f"{note} {footing}".strip())


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
