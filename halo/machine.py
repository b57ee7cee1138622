"""Machine: what a planner asks of an accelerator: prices of loads at a point, of changes of point, of split columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from halo.cost import Price
from halo.loads import LayerPlan, LoadGroup, LoadUnit
from halo.plan import SWITCH_PRESETS, DvfsConfig, Transition
from halo.workload import Product

PS_PER_NS = 1000.0
FJ_PER_MW_NS = 1e3


@dataclass(frozen=True, order=True, slots=True)
class ClockPoint:
    """A nominal voltage and a clock period."""

    voltage_v: float
    period_ps: float


@dataclass(frozen=True, eq=False)
class Setup:
    """What a machine must know of a plan before it can price anything.

    Attributes:
        nominal_v: the voltage that memories stay at.
        typical: voltage -> the profile's corner whose energy and leakage count there.
        all_values_ps: voltage -> period of the class of all 256 values.
        bits: stored bits of a quantized weight.
        has_sparse: whether any layer has a sparse part.
        bubble: whether every load spends a cycle before its first result.
        dvfs: how clock and supply change.
    """

    nominal_v: float
    typical: Mapping[float, str]
    all_values_ps: Mapping[float, float]
    bits: float
    has_sparse: bool
    bubble: bool
    dvfs: DvfsConfig


class Machine(Protocol):
    """An accelerator set up for one plan."""

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        ...

    @property
    def config(self) -> Any:
        """The accelerator's own configuration."""
        ...

    @property
    def unit(self) -> LoadUnit:
        """What shares a clock."""
        ...

    @property
    def weights_move(self) -> bool:
        """Whether weights change every cycle, so that codebooks need a streaming certificate."""
        ...

    def n_loads(self, product: Product) -> int:
        """Return the loads of a product that is not planned tile by tile."""
        ...

    def price(self, product: Product, layer: LayerPlan | None, group: LoadGroup, point: ClockPoint) -> Price:
        """Return time and energy of the loads of `group` at `point`, all copies of the product together."""
        ...

    def change(self, old: ClockPoint, new: ClockPoint, inside: bool) -> Transition:
        """Return what a change of point costs; `inside` a stage two wavefronts meet."""
        ...

    def split_fj(self, product: Product, n_outputs: int) -> float:
        """Return the energy each time `n_outputs` columns are left with unfinished sums and come back to."""
        ...

    def half_precision(self) -> Machine | None:
        """Return the same machine on FP16 operands; None where no published figure says what that takes."""
        ...

    def assumptions(self) -> tuple[str, ...]:
        """Return what the estimate rests on, one sentence each."""
        ...


def supply_change(config: DvfsConfig, old: ClockPoint, new: ClockPoint) -> Transition:
    """Return what clock and supply themselves need: settling, the clock generator, and the charge of the rail.

    Energy of the supply is (1 - eta) C |V1^2 - V2^2| (Burd).
    """
    preset = SWITCH_PRESETS[config.switch]
    moves = old.voltage_v != new.voltage_v
    time_ns = preset.clock_ns + (preset.supply_ns if moves else 0.0) + max(old.period_ps, new.period_ps) / PS_PER_NS
    supply_fj = (1 - config.supply_efficiency) * config.rail_ff * abs(old.voltage_v**2 - new.voltage_v**2)
    return Transition(0, time_ns * 1e-9, supply_fj + preset.clock_mw * time_ns * FJ_PER_MW_NS)
