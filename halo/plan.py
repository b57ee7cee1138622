"""DvfsPlan: which loads run at which voltage and frequency, in which order, and what each change of clock costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from characterization.artifact import Provenance, write_text
from halo.errors import PlanError
from halo.operating_point import PointConfig

SCHEMA = 2
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
    """The array that is planned for, and what a change of clock costs.

    Attributes:
        array_rows, array_cols: R (one fold of the reduction axis) and C of the array.
        switch: how clock and supply change; see `SWITCH_PRESETS` for figures and sources.
        order: `alternating` changes the clock least; `forward` takes classes as they come (for comparison).
        rail_ff, supply_efficiency: capacitance of the switched supply, and the share of its energy recovered; only
            spent where the voltage moves.
    """

    array_rows: int = 128
    array_cols: int = 128
    switch: SwitchKind = "on-die"
    order: Literal["alternating", "forward"] = "alternating"
    rail_ff: float = 1e6
    supply_efficiency: float = 0.9


@dataclass(frozen=True, slots=True)
class ClockClass:
    """A codebook with the voltage and period that its slowest value allows.

    Attributes:
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
    """All loads of one layer that run in one clock class.

    Attributes:
        stage: the dependent stage: matrices that share an input.
        codebook: name of the clock class: the slowest among the tiles of each of these loads.
        n_values: weights in these loads, without padding.
        code_counts: how often each value of -128..127 occurs among them.
    """

    layer: str
    stage: str
    codebook: str
    n_loads: int
    n_tiles: int
    n_values: int
    code_counts: tuple[int, ...]
    voltage_v: float
    period_ps: float

    @property
    def freq_ghz(self) -> float:
        """The clock frequency."""
        return 1000.0 / self.period_ps


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A quantized layer as an accelerator sees it.

    Attributes:
        n, k: outputs and inputs.
        n_scalings: scales per output channel: one per fold, or one in all.
        n_sparse_rows: outputs that have a sparse part.
        sparse_counts: how often each value of -128..127 occurs in the sparse part.
    """

    layer: str
    stage: str
    n: int
    k: int
    n_scalings: int
    n_sparse_rows: int
    sparse_counts: tuple[int, ...]

    @property
    def n_sparse(self) -> int:
        """Weights kept in the sparse part."""
        return sum(self.sparse_counts)


@dataclass(frozen=True, slots=True)
class Transition:
    """What one change of operating point costs, the drain of the array apart."""

    time_ns: float
    energy_fj: float


@dataclass(frozen=True, slots=True)
class Switch:
    """One change of clock class in a pass.

    Attributes:
        scope: `linear`: in a pass of the linear layers alone; `all`: in a pass with attention and head.
        inside: both sides belong to one stage, so that the array is full and must drain.
        drain_period_ps: the slower of both periods, at which it drains.
    """

    scope: Scope
    before: str
    after: str
    old: str
    new: str
    inside: bool
    drain_period_ps: float
    cost: Transition


@dataclass(frozen=True, eq=False)
class DvfsPlan:
    """A voltage and frequency for every load of a quantized model, in order.

    Attributes:
        method: what quantized the model.
        rows, cols: the array.
        classes: every clock class with its values, the one of all 256 values included.
        segments: in order of execution.
        switches: every change of clock of one pass, for both scopes.
        effective_bits: all bits stored per quantized weight.
        frequency_only: why no voltage is planned; '' where one is.
    """

    method: str
    rows: int
    cols: int
    classes: tuple[ClockClass, ...]
    layers: tuple[LayerPlan, ...]
    segments: tuple[Segment, ...]
    switches: tuple[Switch, ...]
    effective_bits: float
    skipped: Mapping[str, str]
    points: PointConfig
    config: DvfsConfig
    frequency_only: str
    assumptions: tuple[str, ...]
    provenance: Provenance

    @property
    def all_values(self) -> ClockClass:
        """The clock class of all 256 values."""
        return next(item for item in self.classes if item.name == ALL_VALUES)

    def switches_of(self, scope: Scope) -> tuple[Switch, ...]:
        """Return the changes of a pass of the linear layers alone, or of everything."""
        return tuple(switch for switch in self.switches if switch.scope == scope)

    @property
    def n_switches(self) -> int:
        """Changes of clock in one pass of the linear layers."""
        return len(self.switches_of("linear"))

    @property
    def switch_us(self) -> float:
        """Time of those changes, drains apart."""
        return sum(switch.cost.time_ns for switch in self.switches_of("linear")) / 1000.0

    @property
    def switch_energy_fj(self) -> float:
        """Energy of those changes, drains apart."""
        return sum(switch.cost.energy_fj for switch in self.switches_of("linear"))

    def n_loads(self, codebook: str | None = None) -> int:
        """Return the loads of one clock class, or all."""
        return sum(s.n_loads for s in self.segments if codebook in {None, s.codebook})


def all_zero(plan: DvfsPlan) -> DvfsPlan:
    """Return `plan` with every weight zero and the same clocks: the floor below which no codebook takes the energy."""
    def zeros(segment: Segment) -> Segment:
        counts = [0] * 256
        counts[128] = segment.n_values
        return replace(segment, code_counts=tuple(counts))

    return replace(plan, segments=tuple(map(zeros, plan.segments)))


def pack_counts(counts: tuple[int, ...]) -> dict[str, int]:
    """Return the counts that are not zero, by value."""
    return {str(i - 128): n for i, n in enumerate(counts) if n}


def unpack_counts(packed: Mapping[str, int]) -> tuple[int, ...]:
    """Return 256 counts from those that are not zero.

    >>> unpack_counts(pack_counts((1, *[0] * 254, 2)))[255]
    2
    """
    counts = [0] * 256
    for value, n in packed.items():
        counts[int(value) + 128] = n
    return tuple(counts)


def plan_to_json(plan: DvfsPlan) -> str:
    """Return the plan as JSON with its schema; equal plans give equal text."""
    fields = asdict(plan)
    for segment in fields["segments"]:
        segment["code_counts"] = pack_counts(segment["code_counts"])
    for layer in fields["layers"]:
        layer["sparse_counts"] = pack_counts(layer["sparse_counts"])
    summary = {"n_switches": plan.n_switches, "n_switches_with_attention": len(plan.switches_of("all")),
               "switch_us": plan.switch_us, "switch_energy_fj": plan.switch_energy_fj}
    return json.dumps({"schema": SCHEMA, "kind": "halo.DvfsPlan", "summary": summary, **fields}, indent=1) + "\n"


def save_plan(plan: DvfsPlan, path: Path) -> None:
    """Write the plan as JSON, in one step."""
    write_text(path, plan_to_json(plan))


def load_plan(path: Path) -> DvfsPlan:
    """Return the plan saved at `path`.

    Raises:
        PlanError: the file is missing, damaged, or of another schema.
    """
    if not path.is_file():
        raise PlanError(f"{path}: no such plan; make one with `halo plan QUANTIZED --profile P.nc --out {path}`.")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        found = fields.pop("schema")
        if found == SCHEMA:
            return plan_from_fields(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"{path}: not a readable plan ({error!r}); make it again with `halo plan`.") from error
    raise PlanError(f"{path}: plan schema {found}, this program reads {SCHEMA}; make it again with `halo plan`.")


def plan_from_fields(fields: dict[str, Any]) -> DvfsPlan:
    """Return the plan whose JSON fields these are."""
    del fields["kind"], fields["summary"]
    layers = (LayerPlan(**{**f, "sparse_counts": unpack_counts(f["sparse_counts"])}) for f in fields.pop("layers"))
    segments = (Segment(**{**f, "code_counts": unpack_counts(f["code_counts"])}) for f in fields.pop("segments"))
    return DvfsPlan(
        classes=tuple(ClockClass(**{**f, "codes": tuple(f["codes"])}) for f in fields.pop("classes")),
        layers=tuple(layers), segments=tuple(segments),
        switches=tuple(Switch(**{**f, "cost": Transition(**f["cost"])}) for f in fields.pop("switches")),
        points=PointConfig(**fields.pop("points")), config=DvfsConfig(**fields.pop("config")),
        provenance=Provenance(**fields.pop("provenance")), assumptions=tuple(fields.pop("assumptions")), **fields,
    )
