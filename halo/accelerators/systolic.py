"""A systolic array of R x C processing elements with its memories: cycles, time and energy of loads at any point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from characterization.profile import MacProfile
from characterization.units import FJ_PER_NW_PS, FJ_PER_PJ, PS_PER_S
from halo.cost import CostReport, Energy, Price
from halo.dataflow import (
    Array,
    Dataflow,
    Mode,
    accesses,
    ceil_div,
    edge_cycles,
    fold_cycles,
    grid,
    n_folds,
    streamed,
)
from halo.errors import ConfigError, PlanError
from halo.estimate import estimate_on, setup_from
from halo.loads import LayerPlan, LoadGroup, LoadUnit
from halo.machine import ClockPoint, Setup, supply_change
from halo.memory import Dram, find_dram, find_sram
from halo.plan import DvfsPlan, Transition
from halo.rail import Rail, moving_words, rail_at, rail_beside
from halo.workload import Product, Workload

MAX_PRODUCT = 128 * 128
OPERAND_BITS = 8
SUM_BITS = 32
BITS_PER_GB = 8e9
UNITS: Mapping[Dataflow, LoadUnit] = {"ws": "fold-panel", "os": "panel", "is": "fold"}


@dataclass(frozen=True, slots=True)
class Config:
    """The array and its memories.

    Attributes:
        preset: name of `PRESETS` whose options these are, '' for none.
        rows, cols: R and C.
        dataflow: what stays in the array: weights (ws), sums (os) or activations (is).
        mode: `overlapped` loads the next weights while it computes; `scalesim` counts as SCALE-Sim does.
        sparse_lane_share: multipliers of the sparse engine, as a share of R x C.
        activation_sram, weight_sram, accumulator_sram, dram: presets of `halo.memory`.
        global_sram: what takes activations that do not fit beside the array, before they go off the chip; '' for none.
        sram_scale: factor on all SRAM energies, for a node other than the preset's.
        dram_pj_per_bit, dram_gb_per_s: in place of the preset's when not 0.
        scale_macs: energy of one fold's scale multiply-add, in int8 MACs: about 8 % of 128.
        add_macs: energy of a 32-bit integer add, in int8 MACs: 0.1 pJ of 0.23 pJ at 45 nm (Horowitz, ISSCC 2014).
        shifter_fj_per_bit: level shifters to memories at another voltage; an assumption, not from a source.
    """

    preset: str = ""
    rows: int = 128
    cols: int = 128
    dataflow: Dataflow = "ws"
    mode: Mode = "overlapped"
    sparse_lane_share: float = 0.005
    activation_sram: str = "45nm-256KB"
    weight_sram: str = "45nm-256KB"
    accumulator_sram: str = "45nm-256KB"
    global_sram: str = "45nm-4MB"
    sram_scale: float = 1.0
    dram: str = "lpddr4"
    dram_pj_per_bit: float = 0.0
    dram_gb_per_s: float = 0.0
    scale_macs: float = 0.08 * 128
    add_macs: float = 0.1 / 0.23
    shifter_fj_per_bit: float = 50.0

    def __post_init__(self) -> None:
        """Check sizes and names.

        Raises:
            ConfigError: an array without elements or lanes, or a preset or memory that is not known.
        """
        if self.preset not in {"", *PRESETS}:
            raise ConfigError(f"accelerator.systolic.preset = {self.preset!r}; known are {', '.join(PRESETS)}.")
        if min(self.rows, self.cols) < 1 or not 0 < self.sparse_lane_share <= 1:
            raise ConfigError(f"accelerator.systolic: rows = {self.rows}, cols = {self.cols}, sparse_lane_share = "
                              f"{self.sparse_lane_share}; give positive sizes and a share in (0, 1].")
        for key in ("activation_sram", "weight_sram", "accumulator_sram"):
            find_sram(getattr(self, key), f"accelerator.systolic.{key}")
        find_dram(self.dram, "accelerator.systolic.dram")
        if self.global_sram:
            find_sram(self.global_sram, "accelerator.systolic.global_sram")

    @property
    def lanes(self) -> int:
        """Multipliers of the sparse engine."""
        return max(1, round(self.sparse_lane_share * self.rows * self.cols))


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Jouppi, ISCA 2017: 256 x 256, 24 MiB unified buffer, weight FIFO of four tiles, 4 MiB accumulators, 34 GB/s.
    "tpu-v1": {"rows": 256, "cols": 256, "activation_sram": "45nm-16MB", "weight_sram": "45nm-256KB",
               "accumulator_sram": "45nm-4MB", "global_sram": "", "dram": "ddr3"},
    # Our own: one core of the size that TPUs from v2 on have, with memories of an edge device.
    "edge-128": {"rows": 128, "cols": 128, "activation_sram": "45nm-256KB", "weight_sram": "45nm-256KB",
                 "accumulator_sram": "45nm-256KB", "global_sram": "45nm-4MB", "dram": "lpddr4"},
    # Our own: a microcontroller's companion, with half the memory channel.
    "small-32": {"rows": 32, "cols": 32, "activation_sram": "45nm-256KB", "weight_sram": "45nm-32KB",
                 "accumulator_sram": "45nm-32KB", "global_sram": "45nm-1MB", "dram": "lpddr4",
                 "dram_gb_per_s": 12.8},
}


@dataclass(frozen=True, eq=False)
class Systolic:
    """The array set up for a plan.

    Attributes:
        rails: of the array's elements, by voltage.
        outside: of the int8 MACs beside the array (sparse engine, scaling, adds), by voltage; the same where the
            array's elements are such MACs themselves.
    """

    config: Config
    profile: MacProfile
    setup: Setup
    rails: Mapping[float, Rail]
    outside: Mapping[float, Rail]

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        config = self.config
        flow = "" if config.dataflow == "ws" else f" {config.dataflow}"
        return f"systolic {config.rows}x{config.cols} {config.mode}{flow}"

    @property
    def unit(self) -> LoadUnit:
        """What shares a clock."""
        return UNITS[self.config.dataflow]

    @property
    def weights_move(self) -> bool:
        """Whether weights change every cycle."""
        return self.config.dataflow != "ws"

    @cached_property
    def array(self) -> Array:
        """The array as cycle counts see it."""
        config = self.config
        return Array(config.rows, config.cols, config.dataflow, config.mode, self.setup.bubble)

    @property
    def size(self) -> int:
        """Processing elements."""
        return self.config.rows * self.config.cols

    @cached_property
    def dram(self) -> Dram:
        """Off-chip memory with the figures that are counted."""
        found = find_dram(self.config.dram, "dram")
        return replace(found, pj_per_bit=self.config.dram_pj_per_bit or found.pj_per_bit,
                       gb_per_s=self.config.dram_gb_per_s or found.gb_per_s)

    def sram_fj(self, name: str, bits: float) -> float:
        """Return the energy of moving `bits` through an SRAM of the table."""
        return bits * find_sram(name, "sram").read_pj_per_bit * self.config.sram_scale * FJ_PER_PJ

    def leakage_fj(self, voltage_v: float, time_s: float) -> float:
        """Return the leakage of all elements, and of the sparse engine's where there is one."""
        lanes = self.config.lanes * self.setup.has_sparse
        leakage_nw = self.size * self.rails[voltage_v].leakage_nw + lanes * self.outside[voltage_v].leakage_nw
        return leakage_nw * time_s * PS_PER_S * FJ_PER_NW_PS

    def slices(self, m: int) -> list[int]:
        """Return into how many rows each a prompt is cut, so that a panel's sums fit the accumulators."""
        if self.config.dataflow != "ws" or self.config.mode == "scalesim":
            return [m]
        most = max(1, find_sram(self.config.accumulator_sram, "").bits // (self.config.cols * SUM_BITS))
        return [most] * (m // most) + ([m % most] if m % most else [])

    def unit_cycles(self, product: Product) -> tuple[int, int]:
        """Return the cycles of one unit that shares a clock, and in how many of them operands pass."""
        m, n, k = product.m, product.n, product.k
        if self.config.dataflow == "ws":
            return sum(fold_cycles(part, n, k, self.array) for part in self.slices(m)), m
        down, across = grid(m, n, k, self.array)
        repeats = down if self.config.dataflow == "os" else across
        return repeats * fold_cycles(m, n, k, self.array), repeats * streamed(m, n, k, self.config.dataflow)

    def n_loads(self, product: Product) -> int:
        """Return the units of a product: folds of panels, panels, or folds."""
        down, across = grid(product.m, product.n, product.k, self.array)
        return {"ws": down * across, "os": across, "is": down}[self.config.dataflow]

    def price(self, product: Product, layer: LayerPlan | None, group: LoadGroup, point: ClockPoint) -> Price:
        """Return time and energy of the loads of `group` at `point`, all copies of the product together."""
        rail, outside, count = self.rails[point.voltage_v], self.outside[point.voltage_v], product.count
        per_unit, passing = self.unit_cycles(product)
        cycles = group.n_loads * per_unit + edge_cycles(self.array) * group.leads
        sparse_ps = ceil_div(group.n_sparse, self.config.lanes) * product.m * self.setup.all_values_ps[point.voltage_v]
        compute_s = max(cycles * point.period_ps, sparse_ps) * count / PS_PER_S
        share = group.n_values / (product.n * product.k)
        stored = group.n_values * count * (self.setup.bits if layer else OPERAND_BITS)
        fetched, spread = (bits * share for bits in self.moved_bits(product, stored / share))
        moved = fetched + spread * (not self.spills_on_chip(product))
        memory_s = moved / (self.dram.gb_per_s * BITS_PER_GB)
        energy = self.array_energy(product, group, cycles, passing, rail)
        energy = replace(
            energy, scaling_fj=self.scaling_fj(product, layer, outside) * share,
            sparse_fj=self.sparse_fj(product, layer, group, outside),
            sram_fj=self.traffic_fj(product, stored / share) * share + (
                self.sram_fj(self.config.global_sram, spread) if self.spills_on_chip(product) else 0.0),
            shifting_fj=self.shifting_fj(product, stored / share, point) * share,
            grouping_fj=self.scattered_fj(product, layer) * share, dram_fj=moved * self.dram.pj_per_bit * FJ_PER_PJ,
            leakage_fj=self.leakage_fj(point.voltage_v, compute_s),
            waiting_fj=self.leakage_fj(point.voltage_v, max(memory_s - compute_s, 0.0)))
        return Price(cycles * count, compute_s, sparse_ps * count / PS_PER_S, memory_s, energy)

    def array_energy(self, product: Product, group: LoadGroup, cycles: int, passing: int, rail: Rail) -> Energy:
        """Return what the array itself spends: useful operations, registers, idle elements, loading."""
        count, (whole, registers) = product.count, rail.weights_fj(group, moves=self.weights_move)
        slots = group.n_loads * passing
        padded = slots * self.size - product.m * group.n_values
        weight_bits, sum_bits = self.profile.head.weight_bits, self.profile.head.accumulator_bits
        moving = {"ws": weight_bits, "os": sum_bits, "is": OPERAND_BITS}[self.config.dataflow]
        shift_fj = rail.mean_registers_fj * moving / (weight_bits + OPERAND_BITS + sum_bits)
        reloads, shifts = len(self.slices(product.m)), (self.config.rows + 1) / 2  # row r: in clocks r .. rows-1
        if self.weights_move:
            reloads = n_folds(product.m, product.n, product.k, self.array) // self.n_loads(product)
            shifts = self.config.rows
        return Energy(
            mac_fj=count * product.m * (whole - registers), registers_fj=count * product.m * registers,
            idle_fj=count * (padded * float(rail.energy_fj[128]) + (cycles - slots) * self.size * rail.idle_fj),
            loading_fj=count * group.n_loads * reloads * shifts * self.size * shift_fj)

    def scaling_fj(self, product: Product, layer: LayerPlan | None, rail: Rail) -> float:
        """Return the energy outside the array: a multiply-add per scale, an integer add for a fold without its own."""
        folds = 1 if self.config.dataflow == "os" else ceil_div(product.k, self.config.rows)
        n_scalings = layer.n_scalings if layer else 1
        per_output = n_scalings * self.config.scale_macs + max(folds - n_scalings, 0) * self.config.add_macs
        return product.count * product.m * product.n * per_output * rail.mean_fj

    def sparse_fj(self, product: Product, layer: LayerPlan | None, group: LoadGroup, rail: Rail) -> float:
        """Return the energy of sparse products, of gathering an activation for each, of scaling and adding each sum."""
        if layer is None or not group.n_sparse:
            return 0.0
        share = group.n_sparse / layer.n_sparse
        products = float(np.array(layer.sparse_counts) @ rail.energy_fj) * share
        gather = self.sram_fj(self.config.activation_sram, OPERAND_BITS * group.n_sparse)
        add = self.sram_fj(self.config.accumulator_sram, 2 * SUM_BITS * layer.n_sparse_rows) * share
        scaling = layer.n_sparse_rows * self.config.scale_macs * rail.mean_fj * share
        return product.m * (products + gather + add + scaling)

    def moved_bits(self, product: Product, stored: float) -> tuple[float, float]:
        """Return the bits of weights (or cached keys and values) fetched, and of activations that do not fit moved.

        Such activations are read and written once, with the weights fetched again for each part of them that fits, or
        are read again for each panel of columns, whichever moves less.
        """
        kept = stored + product.written_bits
        inputs, outputs = product.m * product.k * OPERAND_BITS, product.m * product.n * OPERAND_BITS
        capacity = find_sram(self.config.activation_sram, "").bits
        if product.kind == "attention" or inputs + outputs <= capacity:
            return kept, 0.0
        parts = 1 if stored <= find_sram(self.config.weight_sram, "").bits else -(-(inputs + outputs) // capacity)
        again, panels = stored * (parts - 1), ceil_div(product.n, self.config.cols)
        if again <= inputs * (panels - 1):
            return kept + again, inputs + outputs
        return kept, inputs * panels + outputs

    def spills_on_chip(self, product: Product) -> bool:
        """Return whether activations that do not fit beside the array fit the chip's larger memory."""
        bits = product.m * (product.k + product.n) * OPERAND_BITS
        return bool(self.config.global_sram) and bits <= find_sram(self.config.global_sram, "").bits

    def traffic_fj(self, product: Product, stored: float) -> float:
        """Return SRAM energy: activations once per column of loads, weights in and out, sums per fold, results."""
        outputs = product.m * product.n * product.count
        found = accesses(product.m, product.n, product.k, self.array)
        activations = found.activation_reads * product.count + outputs
        # Every fold but a column's first reads its sums back.
        sums = (2 * found.sum_writes * product.count - outputs) * SUM_BITS
        reads = found.weight_reads / (product.n * product.k) * len(self.slices(product.m))
        config = self.config
        return (self.sram_fj(config.activation_sram, activations * OPERAND_BITS)
                + self.sram_fj(config.weight_sram, (1 + reads) * stored) + self.sram_fj(config.accumulator_sram, sums))

    def shifting_fj(self, product: Product, stored: float, point: ClockPoint) -> float:
        """Return the energy of level shifters, where the array is not at the memories' voltage."""
        if point.voltage_v == self.setup.nominal_v:
            return 0.0
        found = accesses(product.m, product.n, product.k, self.array)
        bits = (found.activation_reads * OPERAND_BITS + found.sum_writes * SUM_BITS) * product.count + stored
        return bits * self.config.shifter_fj_per_bit

    def split_fj(self, product: Product, n_outputs: int) -> float:
        """Return the energy each time `n_outputs` columns are left with unfinished sums and come back to."""
        rows = max(self.slices(product.m))
        fits = rows * product.n * SUM_BITS <= find_sram(self.config.accumulator_sram, "").bits
        if self.config.dataflow != "ws" or fits:
            return 0.0
        return self.sram_fj(self.config.activation_sram, 2.0 * product.m * n_outputs * SUM_BITS) * product.count

    def scattered_fj(self, product: Product, layer: LayerPlan | None) -> float:
        """Return the energy of sums put aside where each fold packs its column blocks anew."""
        panels = layer.panels if layer else ()
        return sum((panel.visits - 1) * self.split_fj(product, panel.n_outputs) for panel in panels)

    def change(self, old: ClockPoint, new: ClockPoint, inside: bool) -> Transition:
        """Return what a change of point costs; `inside` a stage two wavefronts meet."""
        slow_ps, fast_ps = max(old.period_ps, new.period_ps), min(old.period_ps, new.period_ps)
        highest_v = max(old.voltage_v, new.voltage_v)
        low, high = (self.rails[voltage_v] for voltage_v in sorted((old.voltage_v, new.voltage_v)))
        cycles = self.array.skew_cycles if inside and self.config.mode == "overlapped" else 0
        if self.setup.dvfs.change == "drain":
            lost_s, extra_fj = cycles * slow_ps / PS_PER_S, cycles * self.size * high.idle_fj
        else:
            # Half of the elements run at the higher voltage although the lower one would do.
            lost_s = cycles * (slow_ps - fast_ps) / PS_PER_S
            extra_fj, cycles = cycles * self.size * (high.mean_fj - low.mean_fj) / 2, 0
        supply = supply_change(self.setup.dvfs, old, new)
        leaked = self.leakage_fj(highest_v, lost_s + supply.time_s)
        return Transition(cycles, lost_s + supply.time_s, supply.energy_fj + max(extra_fj, 0.0) + leaked)

    def half_precision(self) -> None:
        """No FP16 element of the MAC's library is known here."""

    def assumptions(self) -> tuple[str, ...]:
        """Return what the estimate rests on, one sentence each."""
        return describe(self)


def describe(machine: Systolic) -> tuple[str, ...]:
    """Return what an estimate rests on, one sentence each."""
    config = machine.config
    own = [
        "energy per operation is the profile's mean for each weight value: activations and partial sums as in "
        f"\"{machine.profile.head.stimulus}\"",
        "attention operands and the head's weights are taken as uniform over the 256 values",
        "padding counts as weight 0; idle cycles count as clock and registers at weight 0, without clock gating",
        f"on-chip memories: {find_sram(config.weight_sram, '').source}; accumulators "
        f"{config.accumulator_sram}; not scaled to the MAC's library (factor {config.sram_scale:g})",
        f"off-chip: {machine.dram.source}; activations stay beside the array where they fit {config.activation_sram}, "
        f"then on the chip where they fit {config.global_sram or 'nothing more'}; attention scores always (made and "
        "used part by part)",
        f"sparse engine of {config.lanes} lanes beside the array, at the all-values clock, gated when idle",
        "decoding codebook indices into int8 at the array's edge is not counted",
    ]
    if config.mode == "scalesim":
        own.append("cycles as SCALE-Sim counts them: no overlap, no bubble per load")
    if machine.weights_move:
        own.append("weights move every cycle: periods are those of weights that launch with the activations, and "
                   f"{moving_words(machine.profile, machine.rails.values())}")
    if len(machine.rails) > 1:
        own.append(f"memories stay at {machine.setup.nominal_v:g} V; level shifters cost "
                   f"{config.shifter_fj_per_bit:g} fJ per bit (assumed) and a pipeline stage at the array's edge")
    return tuple(own)


def machine(profile: MacProfile, setup: Setup, config: Config, int8: MacProfile | None = None) -> Systolic:
    """Return the array set up for a plan.

    Args:
        profile: of its elements.
        setup: what it must know of the plan.
        config: its size and memories.
        int8: of the MACs beside the array, where its elements are a dedicated PE; its weights are all int8 values.

    Raises:
        PlanError: R products do not fit the accumulator.
    """
    limit = (2 ** (profile.head.accumulator_bits - 1) - 1) // MAX_PRODUCT
    if config.rows > limit and config.dataflow == "ws":
        raise PlanError(f"{config.rows} products of 8 x 8 bits do not fit the {profile.head.accumulator_bits}-bit "
                        f"accumulator of {profile.head.design}; at most {limit} rows do.")
    rails = {voltage: rail_at(profile, profile.corner_index(corner)) for voltage, corner in setup.typical.items()}
    outside = rails
    if int8 is not None:
        outside = {voltage: rail_beside(int8, voltage) for voltage in setup.typical}
    return Systolic(config, profile, setup, rails, outside)


def estimate(workload: Workload, plan: DvfsPlan, profile: MacProfile, config: Config) -> CostReport:
    """Return time and energy of `workload` under `plan`.

    Raises:
        PlanError: the plan is of another array or model, or R products do not fit the accumulator.
    """
    if (plan.rows, plan.cols) != (config.rows, config.cols):
        raise PlanError(f"the plan is for an array of {plan.rows} x {plan.cols}, accelerator.systolic is "
                        f"{config.rows} x {config.cols}; make them equal.")
    return estimate_on(workload, plan, machine(profile, setup_from(plan, profile), config))
