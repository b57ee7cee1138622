"""A weight-stationary systolic array of R x C processing elements: cycles, time and energy of a pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from characterization.profile import MacProfile
from characterization.units import FJ_PER_NW_PS, FJ_PER_PJ, PS_PER_S
from halo.cost import CostReport, CostRow, Energy
from halo.errors import ConfigError, PlanError
from halo.memory import Dram, find_dram, find_sram
from halo.operating_point import footing
from halo.plan import DvfsPlan, LayerPlan, Scope, Segment
from halo.workload import Product, Workload

MAX_PRODUCT = 128 * 128
OPERAND_BITS = 8
PARTIAL_SUM_BITS = 32
BITS_PER_GB = 8e9


@dataclass(frozen=True, slots=True)
class Config:
    """The array and its memories.

    Attributes:
        rows, cols: R and C.
        mode: `overlapped` loads the next weights while it computes; `scalesim` counts as SCALE-Sim does.
        sparse_lane_share: multipliers of the sparse engine, as a share of R x C.
        activation_sram, weight_sram, accumulator_sram, dram: presets of `halo.memory`.
        sram_scale: factor on all SRAM energies, for a node other than the preset's.
        dram_pj_per_bit, dram_gb_per_s: in place of the preset's when not 0.
        scale_macs: energy of one fold's scale multiply-add, in int8 MACs: about 8 % of 128.
        add_macs: energy of a 32-bit integer add, in int8 MACs: 0.1 pJ of 0.23 pJ at 45 nm (Horowitz, ISSCC 2014).
    """

    rows: int = 128
    cols: int = 128
    mode: Literal["overlapped", "scalesim"] = "overlapped"
    sparse_lane_share: float = 0.005
    activation_sram: str = "45nm-256KB"
    weight_sram: str = "45nm-256KB"
    accumulator_sram: str = "45nm-32KB"
    sram_scale: float = 1.0
    dram: str = "lpddr4"
    dram_pj_per_bit: float = 0.0
    dram_gb_per_s: float = 0.0
    scale_macs: float = 0.08 * 128
    add_macs: float = 0.1 / 0.23

    def __post_init__(self) -> None:
        """Check sizes and names.

        Raises:
            ConfigError: an array without elements or lanes, or a memory that is not known.
        """
        if min(self.rows, self.cols) < 1 or not 0 < self.sparse_lane_share <= 1:
            raise ConfigError(f"accelerator.systolic: rows = {self.rows}, cols = {self.cols}, sparse_lane_share = "
                              f"{self.sparse_lane_share}; give positive sizes and a share in (0, 1].")
        for key in ("activation_sram", "weight_sram", "accumulator_sram"):
            find_sram(getattr(self, key), f"accelerator.systolic.{key}")
        find_dram(self.dram, "accelerator.systolic.dram")

    @property
    def lanes(self) -> int:
        """Multipliers of the sparse engine."""
        return max(1, round(self.sparse_lane_share * self.rows * self.cols))


@dataclass(frozen=True, slots=True)
class Loads:
    """Loads of one product in one clock class; energies are sums over their weights, for one row of activations."""

    n_loads: int
    n_values: int
    period_ps: float
    data_fj: float
    registers_fj: float


@dataclass(frozen=True, eq=False)
class Machine:
    """The array with everything looked up that all products share."""

    config: Config
    profile: MacProfile
    plan: DvfsPlan
    energy_fj: np.ndarray
    registers_fj: np.ndarray
    leakage_nw: float
    dram: Dram
    has_sparse: bool
    layers: Mapping[str, LayerPlan] = field(default_factory=dict)
    segments: Mapping[str, tuple[Segment, ...]] = field(default_factory=dict)

    @property
    def mean_mac_fj(self) -> float:
        """Energy of one operation, mean over all 256 values."""
        return float(self.energy_fj.mean())

    @property
    def idle_fj(self) -> float:
        """Energy of an element in a cycle without operands: clock and registers at weight 0."""
        return float(self.registers_fj[self.profile.weights == 0][0])

    def sram_fj(self, name: str, bits: float) -> float:
        """Return the energy of moving `bits` through an SRAM of the table."""
        return bits * find_sram(name, "sram").read_pj_per_bit * self.config.sram_scale * FJ_PER_PJ


def estimate(workload: Workload, plan: DvfsPlan, profile: MacProfile, config: Config) -> CostReport:
    """Return time and energy of `workload` under `plan`.

    Raises:
        PlanError: the plan is of another array or model, or R products do not fit the accumulator.
    """
    check_fit(plan, profile, config)
    machine = build_machine(plan, profile, config)
    check_layers(workload, machine)
    rows = [product_row(product, machine) for product in workload.products]
    rows += switch_rows(machine)
    return CostReport(plan.method, workload.name, workload.phase,
                      f"systolic {config.rows}x{config.cols} {config.mode}", tuple(rows), assumptions(machine))


def check_fit(plan: DvfsPlan, profile: MacProfile, config: Config) -> None:
    """Refuse an array that the plan was not made for, or whose sums overflow.

    Raises:
        PlanError: with both figures.
    """
    if (plan.rows, plan.cols) != (config.rows, config.cols):
        raise PlanError(f"the plan is for an array of {plan.rows} x {plan.cols}, accelerator.systolic is "
                        f"{config.rows} x {config.cols}; make them equal.")
    limit = (2 ** (profile.head.accumulator_bits - 1) - 1) // MAX_PRODUCT
    if config.rows > limit:
        raise PlanError(f"{config.rows} products of 8 x 8 bits do not fit the {profile.head.accumulator_bits}-bit "
                        f"accumulator of {profile.head.design}; at most {limit} rows do.")


def check_layers(workload: Workload, machine: Machine) -> None:
    """Refuse a workload whose linear layers are neither planned nor skipped, or have other shapes.

    Raises:
        PlanError: all of them in one message.
    """
    faults = []
    for product in workload.products:
        layer = machine.layers.get(product.layer)
        if product.kind == "linear" and layer is None and product.layer not in machine.plan.skipped:
            faults.append(f"{product.layer} is not in the plan")
        if product.kind == "linear" and layer is not None and (layer.n, layer.k) != (product.n, product.k):
            faults.append(f"{product.layer} is {layer.n} x {layer.k} in the plan, {product.n} x {product.k} here")
    if faults:
        raise PlanError(f"plan of {machine.plan.method} and workload {workload.name} disagree: {'; '.join(faults)}.")


def build_machine(plan: DvfsPlan, profile: MacProfile, config: Config) -> Machine:
    """Return the machine that runs `plan`."""
    index = profile.corner_index(footing(profile, plan.points).typical)
    dram = find_dram(config.dram, "dram")
    dram = replace(dram, pj_per_bit=config.dram_pj_per_bit or dram.pj_per_bit,
                   gb_per_s=config.dram_gb_per_s or dram.gb_per_s)
    segments: dict[str, tuple[Segment, ...]] = {}
    for segment in plan.segments:
        segments[segment.layer] = (*segments.get(segment.layer, ()), segment)
    return Machine(
        config, profile, plan, profile.energy_fj[index], profile.register_energy_fj[index],
        float(profile.leakage_nw[index]), dram, any(layer.n_sparse for layer in plan.layers),
        {layer.layer: layer for layer in plan.layers}, segments,
    )


def cycles_scalesim(m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Return the cycles SCALE-Sim reports for a weight-stationary `[m, k] x [k, n]`.

    >>> cycles_scalesim(32, 32, 32, 8, 8)
    863
    """
    return math.ceil(k / rows) * math.ceil(n / cols) * fold_cycles(m, rows, cols, "scalesim") - 1


def fold_cycles(
    m: int, rows: int, cols: int, mode: Literal["overlapped", "scalesim"], *, bubble: bool = True
) -> int:
    """Return the cycles of one load: overlapped with the next one's weights and one bubble, or all by itself."""
    return max(m, rows) + bubble if mode == "overlapped" else 2 * rows + cols + m - 2


def edge_cycles(rows: int, cols: int, mode: Literal["overlapped", "scalesim"]) -> int:
    """Return the cycles a matrix adds to those of its loads: fill and drain once when overlapped."""
    return rows + cols - 2 if mode == "overlapped" else -1


def planned_loads(segment: Segment, machine: Machine) -> Loads:
    """Return the loads of a segment with the energy of its real values."""
    counts = np.array(segment.code_counts, dtype=np.float64)
    registers = float(counts @ machine.registers_fj)
    return Loads(segment.n_loads, segment.n_values, segment.period_ps, float(counts @ machine.energy_fj) - registers,
                 registers)


def all_value_loads(product: Product, machine: Machine) -> Loads:
    """Return the loads of a product in the all-values class, its values taken as uniform."""
    n_loads = math.ceil(product.k / machine.config.rows) * math.ceil(product.n / machine.config.cols)
    n_values, registers = product.n * product.k, float(machine.registers_fj.mean())
    return Loads(n_loads, n_values, machine.plan.all_values.period_ps, n_values * (machine.mean_mac_fj - registers),
                 n_values * registers)


def product_row(product: Product, machine: Machine) -> CostRow:
    """Return cycles, time and energy of one product (all `count` of them)."""
    layer = machine.layers.get(product.layer) if product.kind == "linear" else None
    loads = ([planned_loads(segment, machine) for segment in machine.segments[product.layer]] if layer
             else [all_value_loads(product, machine)])
    config = machine.config
    fold = fold_cycles(product.m, config.rows, config.cols, config.mode, bubble=machine.plan.points.bubble)
    edge = edge_cycles(config.rows, config.cols, config.mode)
    cycles = sum(group.n_loads for group in loads) * fold + edge
    # Fill and drain at the slowest clock of the matrix: a bound, whichever class is last.
    array_ps = sum(group.n_loads * fold * group.period_ps for group in loads) + edge * max(g.period_ps for g in loads)
    sparse_ps = sparse_time_ps(product, layer, machine)
    compute_s = max(array_ps, sparse_ps) * product.count / PS_PER_S
    bits = stored_bits(product, layer, machine)
    memory_s = bits / (machine.dram.gb_per_s * BITS_PER_GB)
    parts = array_energy(product, loads, cycles, machine)
    parts = replace(
        parts, scaling_fj=scaling_fj(product, layer, machine), sparse_fj=sparse_fj(product, layer, machine),
        sram_fj=traffic_fj(product, bits, machine), dram_fj=bits * machine.dram.pj_per_bit * FJ_PER_PJ,
        leakage_fj=leakage_fj(compute_s, machine), waiting_fj=leakage_fj(max(memory_s - compute_s, 0.0), machine))
    return CostRow(product.layer, product.kind, cycles * product.count, compute_s,
                   sparse_ps * product.count / PS_PER_S, memory_s, product.n_macs, parts)


def stored_bits(product: Product, layer: LayerPlan | None, machine: Machine) -> float:
    """Return the bits of the stationary operand: effective bits per planned weight, int8 for everything else."""
    return product.n * product.k * product.count * (machine.plan.effective_bits if layer else OPERAND_BITS)


def array_energy(product: Product, loads: list[Loads], cycles: int, machine: Machine) -> Energy:
    """Return what the array itself spends: useful operations, registers, idle elements, loading of weights."""
    config, count = machine.config, product.count
    size, n_loads = config.rows * config.cols, sum(group.n_loads for group in loads)
    padded = n_loads * size - sum(group.n_values for group in loads)
    waiting = cycles - n_loads * product.m
    zero_fj = float(machine.energy_fj[machine.profile.weights == 0][0])
    weight_share = OPERAND_BITS / (2 * OPERAND_BITS + machine.profile.head.accumulator_bits)
    shift_fj = float(machine.registers_fj.mean()) * weight_share
    return Energy(
        mac_fj=count * product.m * sum(group.data_fj for group in loads),
        registers_fj=count * product.m * sum(group.registers_fj for group in loads),
        idle_fj=count * (product.m * padded * zero_fj + waiting * size * machine.idle_fj),
        loading_fj=count * n_loads * config.rows * size * shift_fj,
    )


def scaling_fj(product: Product, layer: LayerPlan | None, machine: Machine) -> float:
    """Return the energy outside the array: a multiply-add per scale, an integer add for each fold without its own."""
    folds = math.ceil(product.k / machine.config.rows)
    n_scalings = layer.n_scalings if layer else 1
    per_output = n_scalings * machine.config.scale_macs + (folds - n_scalings) * machine.config.add_macs
    return product.count * product.m * product.n * per_output * machine.mean_mac_fj


def sparse_time_ps(product: Product, layer: LayerPlan | None, machine: Machine) -> float:
    """Return the time of the sparse engine, which runs beside the array at the all-values period."""
    n_sparse = layer.n_sparse if layer else 0
    return math.ceil(n_sparse / machine.config.lanes) * product.m * machine.plan.all_values.period_ps


def sparse_fj(product: Product, layer: LayerPlan | None, machine: Machine) -> float:
    """Return the energy of sparse products, of gathering an activation for each, and of scaling and adding each sum."""
    if layer is None or not layer.n_sparse:
        return 0.0
    products = float(np.array(layer.sparse_counts) @ machine.energy_fj)
    gather = machine.sram_fj(machine.config.activation_sram, OPERAND_BITS * layer.n_sparse)
    add = machine.sram_fj(machine.config.accumulator_sram, 2 * PARTIAL_SUM_BITS * layer.n_sparse_rows)
    scaling = layer.n_sparse_rows * machine.config.scale_macs * machine.mean_mac_fj
    return product.m * (products + gather + add + scaling)


def traffic_fj(product: Product, bits: float, machine: Machine) -> float:
    """Return SRAM energy: activations once per column of loads, weights in and out, accumulators per fold, results."""
    config, outputs = machine.config, product.m * product.n * product.count
    folds, columns = math.ceil(product.k / config.rows), math.ceil(product.n / config.cols)
    activations = product.m * product.k * product.count * columns + outputs
    accumulators = outputs * (2 * folds - 1) * PARTIAL_SUM_BITS
    return (machine.sram_fj(config.activation_sram, activations * OPERAND_BITS)
            + machine.sram_fj(config.weight_sram, 2 * bits) + machine.sram_fj(config.accumulator_sram, accumulators))


def leakage_fj(time_s: float, machine: Machine) -> float:
    """Return the leakage of all elements, and of the sparse engine's where there is one."""
    elements = machine.config.rows * machine.config.cols + machine.config.lanes * machine.has_sparse
    return elements * machine.leakage_nw * time_s * PS_PER_S * FJ_PER_NW_PS


def switch_rows(machine: Machine) -> list[CostRow]:
    """Return the clock changes among the linear layers, and those that attention and head add."""
    linear, whole = switch_sum(machine, "linear"), switch_sum(machine, "all")
    extra = CostRow("clock changes around attention and head", "switch-fixed", whole[0] - linear[0],
                    whole[1] - linear[1], 0.0, 0.0, 0, Energy(switching_fj=whole[2] - linear[2]))
    inner = CostRow("clock changes", "switch", linear[0], linear[1], 0.0, 0.0, 0, Energy(switching_fj=linear[2]))
    return [inner, extra]


def switch_sum(machine: Machine, scope: Scope) -> tuple[int, float, float]:
    """Return cycles, seconds and femtojoules of all changes; inside a stage the array drains first."""
    config, cycles, time_s, energy = machine.config, 0, 0.0, 0.0
    drain = config.rows + config.cols - 2 if config.mode == "overlapped" else 0
    for switch in machine.plan.switches_of(scope):
        drained = drain if switch.inside else 0
        drain_s = drained * switch.drain_period_ps / PS_PER_S
        cycles += drained
        time_s += drain_s + switch.cost.time_ns * 1e-9
        idle = drained * config.rows * config.cols * machine.idle_fj
        energy += switch.cost.energy_fj + idle + leakage_fj(drain_s, machine)
    return cycles, time_s, energy


def assumptions(machine: Machine) -> tuple[str, ...]:
    """Return what the estimate rests on, one sentence each."""
    config = machine.config
    own = [
        "energy per operation is the profile's mean for each weight value: activations and partial sums as in "
        f"\"{machine.profile.head.stimulus}\"",
        "attention operands and the head's weights are taken as uniform over the 256 values",
        "padding counts as weight 0; idle cycles count as clock and registers at weight 0, without clock gating",
        f"on-chip memories: {find_sram(config.weight_sram, '').source}; accumulators "
        f"{config.accumulator_sram}; not scaled to the MAC's library (factor {config.sram_scale:g})",
        f"off-chip: {machine.dram.source}; activations stay on the chip",
        f"sparse engine of {config.lanes} lanes beside the array, at the all-values clock, gated when idle",
        "decoding codebook indices into int8 at the array's edge is not counted",
    ]
    if config.mode == "scalesim":
        own.append("cycles as SCALE-Sim counts them: no overlap, no bubble per load")
    return (*machine.plan.assumptions, *own)
