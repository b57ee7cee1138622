"""DvfsPlan: which loads run at which voltage and frequency, in which order, and what each change of clock costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from characterization.artifact import Provenance
from halo.errors import ConfigError
from halo.loads import LayerPlan, LoadGroup
from halo.objective import Objective
from halo.operating_point import PointConfig
from halo.workload import Kind, Phase

ALL_VALUES = "all"
SwitchKind = Literal["on-die", "off-chip", "driver"]
Scope = Literal["linear", "all"]


@dataclass(frozen=True, slots=True)
class SwitchPreset:
    """How long clock and supply take to move, and the clock generator's power meanwhile."""

    clock_ns: float
    supply_ns: float
    clock_mw: float
    source: str


SWITCH_PRESETS: Mapping[SwitchKind, SwitchPreset] = {
    "on-die": SwitchPreset(1.0, 147.8, 2.7, "all-digital PLL, within one cycle, 2.7 mW (Hoeppner, TVLSI 2013); "
                                            "digital low-dropout regulator settles in 147.8 ns (65 nm)"),
    "off-chip": SwitchPreset(1.0, 20_000.0, 2.7, "off-chip regulator, tens of us (Kim, HPCA 2008); clock as on-die"),
    "driver": SwitchPreset(5e7, 5e7, 2.7, "GPU driver call, 5 to 500 ms measured (arXiv 2502.20075); 50 ms taken"),
}


@dataclass(frozen=True, slots=True)
class DvfsConfig:
    """The array that is planned for, what is best, within what, and what a change of clock costs.

    Attributes:
        array_rows, array_cols: R (one fold of the reduction axis) and C of the array.
        objective: least time, least energy (memory included), or least energy x time.
        prefill_tokens_per_s, decode_tokens_per_s: throughput that each phase must reach; 0 for none. Under "energy"
            the slack buys lower voltages.
        power_cap_w: what no group of loads may draw; slower clocks than a class allows are then tried too.
        voltages: nominal voltages to choose from, each a typical voltage of the profile; () for `points.voltage_v`.
        every_voltage: take all typical voltages of the profile that can be signed off.
        slowdowns: under a power cap, factors on a class's period.
        switch: how clock and supply change; see `SWITCH_PRESETS` for figures and sources.
        change: within a stage two wavefronts meet: `wavefront` runs at the slower clock until the old one has left,
            `drain` empties the array first.
        rail_ff, supply_efficiency: capacitance of the switched supply, and the share of its energy recovered; only
            spent where the voltage moves.
        gap: to the LP bound, at which the MILP is left out.
        milp_nodes: of the MILP's search tree; a limit on seconds would make plans depend on the machine.
    """

    array_rows: int = 128
    array_cols: int = 128
    objective: Objective = "time"
    prefill_tokens_per_s: float = 0.0
    decode_tokens_per_s: float = 0.0
    power_cap_w: float = 0.0
    voltages: tuple[float, ...] = ()
    every_voltage: bool = False
    slowdowns: tuple[float, ...] = (1.5, 2.0, 3.0, 4.0, 8.0)
    switch: SwitchKind = "on-die"
    change: Literal["wavefront", "drain"] = "wavefront"
    rail_ff: float = 1e6
    supply_efficiency: float = 0.9
    gap: float = 1e-3
    milp_nodes: int = 500

    def __post_init__(self) -> None:
        """Check signs and combinations.

        Raises:
            ConfigError: a budget is negative, a slowdown speeds up, or the product of energy and time has a deadline.
        """
        names = ("prefill_tokens_per_s", "decode_tokens_per_s", "power_cap_w", "rail_ff", "gap", "milp_nodes")
        budgets = {name: getattr(self, name) for name in names}
        if wrong := [f"{name} = {value:g}" for name, value in budgets.items() if value < 0]:
            raise ConfigError(f"dvfs: {', '.join(wrong)} must not be negative.")
        if self.switch not in SWITCH_PRESETS:
            raise ConfigError(f"dvfs.switch = {self.switch!r}; known are {', '.join(SWITCH_PRESETS)}.")
        if any(factor <= 1 for factor in self.slowdowns):
            raise ConfigError(f"dvfs.slowdowns = {list(self.slowdowns)}: each must be above 1.")
        if self.objective == "edp" and (self.prefill_tokens_per_s or self.decode_tokens_per_s):
            raise ConfigError("dvfs: the energy-delay product takes no required throughput; use objective = \"energy\" "
                              "with it.")

    def tokens_per_s(self, phase: Phase) -> float:
        """Return the throughput that a phase must reach."""
        return {"prefill": self.prefill_tokens_per_s, "decode": self.decode_tokens_per_s, "any": 0.0}[phase]


@dataclass(frozen=True, slots=True)
class ClockClass:
    """A codebook with a voltage and the period that its slowest value needs there.

    Attributes:
        codes: what its tiles may hold.
        corner: of the profile, the one whose delay rules.
    """

    name: str
    codes: tuple[int, ...]
    voltage_v: float
    period_ps: float
    delay_ps: float
    corner: str
    basis: str
    signed_off: bool
    capped: bool

    @property
    def freq_ghz(self) -> float:
        """The clock frequency."""
        return 1000.0 / self.period_ps


@dataclass(frozen=True, slots=True)
class Segment:
    """The loads of one product that run at one point, in the order of execution.

    Attributes:
        stage: the dependent stage: matrices that share an input.
        compute_s, memory_s: of the array, and of off-chip memory beside it.
        time_s: the longer of both.
        energy_fj: everything, off-chip memory included.
    """

    phase: Phase
    stage: str
    kind: Kind
    loads: LoadGroup
    voltage_v: float
    period_ps: float
    cycles: int
    compute_s: float
    memory_s: float
    time_s: float
    energy_fj: float

    @property
    def freq_ghz(self) -> float:
        """The clock frequency."""
        return 1000.0 / self.period_ps

    @property
    def layer(self) -> str:
        """The product."""
        return self.loads.layer

    @property
    def codebook(self) -> str:
        """The clock class."""
        return self.loads.codebook

    @property
    def n_loads(self) -> int:
        """Loads of one copy."""
        return self.loads.n_loads

    @property
    def n_tiles(self) -> int:
        """Tiles in these loads."""
        return self.loads.n_tiles

    @property
    def n_values(self) -> int:
        """Weights in these loads, without padding."""
        return self.loads.n_values

    @property
    def code_counts(self) -> tuple[int, ...]:
        """How often each value of -128..127 occurs; () where all are equally likely."""
        return self.loads.code_counts


@dataclass(frozen=True, slots=True)
class Transition:
    """What one change of operating point costs: cycles lost in the array, time and energy in all."""

    cycles: int
    time_s: float
    energy_fj: float


@dataclass(frozen=True, slots=True)
class Switch:
    """One change of point in a pass, which is a circle: the next pass begins at the point this one began with.

    Attributes:
        scope: `linear`: in a pass of the linear layers alone; `all`: in a pass with attention and head.
        segment: position, among the segments of the phase, of the first one at the new point.
        before, after: stages.
        old, new: clock classes.
        inside: both sides belong to one stage, so that two wavefronts meet in the array.
    """

    phase: Phase
    scope: Scope
    segment: int
    before: str
    after: str
    old: str
    new: str
    old_v: float
    new_v: float
    old_ps: float
    new_ps: float
    inside: bool
    cost: Transition

    @property
    def steps(self) -> str:
        """What moves first: the supply before a faster clock, the clock before a lower supply."""
        if self.old_v == self.new_v:
            return "clock"
        return "voltage, then clock" if self.new_v > self.old_v else "clock, then voltage"


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """How good the plan of one phase is.

    Attributes:
        tokens: that a pass takes in.
        time_s, energy_fj: of a pass, changes and split columns included.
        split_fj: of that, partial sums put aside because the loads of one column run in several blocks.
        value, bound: of the objective, and what nothing is better than.
        heuristic: value of the best corner of the convex front, without the MILP.
        how: which methods were needed.
    """

    phase: Phase
    workload: str
    tokens: int
    time_s: float
    energy_fj: float
    split_fj: float
    value: float
    bound: float
    heuristic: float
    how: str

    @property
    def gap(self) -> float:
        """Value over bound, less one."""
        return max(self.value / self.bound - 1.0, 0.0) if self.bound > 0 else 0.0


@dataclass(frozen=True, eq=False)
class DvfsPlan:
    """A voltage and frequency for every load of a quantized model, in order, for each phase.

    Attributes:
        method: what quantized the model.
        accelerator: what it was priced on.
        rows, cols: the array.
        classes: every clock class at the nominal voltage, the one of all 256 values included.
        clocks: every clock class at every voltage that was open.
        segments: phase by phase, in order of execution.
        switches: every change of point of one pass, for each phase and both scopes.
        effective_bits: all bits stored per quantized weight.
        points: at the nominal voltage.
        frequency_only: why no voltage is planned; '' where one is.
    """

    method: str
    accelerator: str
    rows: int
    cols: int
    classes: tuple[ClockClass, ...]
    clocks: tuple[ClockClass, ...]
    layers: tuple[LayerPlan, ...]
    segments: tuple[Segment, ...]
    switches: tuple[Switch, ...]
    results: tuple[PhaseResult, ...]
    effective_bits: float
    skipped: Mapping[str, str]
    points: PointConfig
    config: DvfsConfig
    frequency_only: str
    assumptions: tuple[str, ...]
    provenance: Provenance

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that are planned."""
        return tuple(result.phase for result in self.results)

    def phase_for(self, phase: Phase | None) -> Phase:
        """Return the phase that serves `phase`: its own, or the only one there is; None means the first."""
        return phase if phase in self.phases else self.phases[0]

    def segments_of(self, phase: Phase | None = None, scope: Scope = "all") -> tuple[Segment, ...]:
        """Return the segments of one phase, of the linear layers alone or of everything."""
        wanted = self.phase_for(phase)
        return tuple(s for s in self.segments if s.phase == wanted and (scope == "all" or s.kind == "linear"))

    @property
    def all_values(self) -> ClockClass:
        """The clock class of all 256 values, at the nominal voltage."""
        return next(item for item in self.classes if item.name == ALL_VALUES)

    def switches_of(self, scope: Scope, phase: Phase | None = None) -> tuple[Switch, ...]:
        """Return the changes of a pass of the linear layers alone, or of everything."""
        wanted = self.phase_for(phase)
        return tuple(switch for switch in self.switches if (switch.scope, switch.phase) == (scope, wanted))

    @property
    def n_switches(self) -> int:
        """Changes of point in one pass of the linear layers, of the first phase."""
        return len(self.switches_of("linear"))

    @property
    def switch_us(self) -> float:
        """Time of those changes."""
        return 1e6 * sum(switch.cost.time_s for switch in self.switches_of("linear"))

    @property
    def switch_energy_fj(self) -> float:
        """Energy of those changes."""
        return sum(switch.cost.energy_fj for switch in self.switches_of("linear"))

    def n_loads(self, codebook: str | None = None, phase: Phase | None = None) -> int:
        """Return the loads of the linear layers in one clock class, or in all."""
        return sum(s.n_loads for s in self.segments_of(phase, "linear") if codebook in {None, s.codebook})


def point_changes(segments: Sequence[Segment], scope: Scope) -> Iterator[tuple[int, Segment, Segment, bool]]:
    """Yield where a pass, taken as a circle, changes its point: segment, the ones before and after, if inside a stage.

    Args:
        segments: of one phase, in order.
        scope: whether the linear layers alone are looked at; positions count all segments.
    """
    chosen = [(at, s) for at, s in enumerate(segments) if scope == "all" or s.kind == "linear"]
    for (last, before), (at, after) in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        if (before.voltage_v, before.period_ps) != (after.voltage_v, after.period_ps):
            # Between two passes the array is empty, even where one stage is all there is.
            yield at, before, after, before.stage == after.stage and at > last


def all_zero(plan: DvfsPlan) -> DvfsPlan:
    """Return `plan` with every weight zero and the same clocks: the floor below which no codebook takes the energy."""
    def zeros(segment: Segment) -> Segment:
        if not segment.code_counts:
            return segment
        counts = [0] * 256
        counts[128] = segment.n_values
        return replace(segment, loads=replace(segment.loads, code_counts=tuple(counts), followers=""))

    return replace(plan, segments=tuple(map(zeros, plan.segments)))
