"""A GPU with tensor cores: waves of tiles, compute or memory, one clock for the chip, and power with its uncertainty.

The MAC's profile says how long codebooks take, and what they spend, relative to all values at the nominal voltage; a
preset says what the GPU does with all values. T_compute = waves x tile cycles / clock; time is the longest of compute,
L2 and DRAM, plus a launch. Only the clock of the SMs scales with the class; memory has its own. Power is idle power +
tensor operations (operand delivery fixed, multipliers and adders scaled by the table) + DRAM.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from characterization.profile import MacProfile
from characterization.units import FJ_PER_PJ
from halo.cost import CostReport, Energy, Price
from halo.dataflow import ceil_div
from halo.errors import ConfigError
from halo.estimate import estimate_on, setup_from
from halo.loads import LayerPlan, LoadGroup, LoadUnit
from halo.machine import ClockPoint, Setup, supply_change
from halo.memory import Dram, find_dram
from halo.plan import DvfsPlan, Transition
from halo.weight_stream import mean_pair_fj
from halo.workload import Product, Workload

BITS_PER_GB = 8e9
FJ_PER_J = 1e15
# What a codebook can change of an int8 multiply-accumulate: 160 pJ for 512 of them, 16 % of it overhead, at 45 nm
# (Dally's table of instruction energies, as quoted in talks). Newer nodes spend less: a bound from above.
MULTIPLIER_PJ = 160.0 / 512 * (1 - 0.16)
ENERGY_RANGE = 0.30
# The least that one MMA instruction takes of each dimension, and what a split of the reduction keeps.
MMA_ROWS, SPLIT_K = 8, 512


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        tensor_cores: per SM.
        macs_per_cycle: int8 multiply-accumulates per tensor core and clock.
        clock_ghz: at which the peak is stated; all 256 values run here.
        most_ghz: highest clock that the chip offers, which is what its other paths allow.
        idle_w, board_w: idle, and the limit of the board.
        operand_bits: of weights and activations where nothing is quantized further.
    """

    n_sms: int
    tensor_cores: int
    macs_per_cycle: int
    clock_ghz: float
    most_ghz: float
    dram: str
    l2_gb_per_s: float
    idle_w: float
    board_w: float
    source: str
    operand_bits: int = 8

    @property
    def tops(self) -> float:
        """Peak operations per second at `operand_bits`, dense, in units of 1e12; a multiply-accumulate is two."""
        return 2e-3 * self.n_sms * self.tensor_cores * self.macs_per_cycle * self.clock_ghz

    @property
    def mac_pj(self) -> float:
        """Energy of one multiply-accumulate with everything that brings its operands: the board's limit at the peak."""
        return 2 * (self.board_w - self.idle_w) / self.tops


GPUS: Mapping[str, Gpu] = {
    "rtx-2080-ti": Gpu(68, 8, 128, 1.545, 2.1, "gddr6", 2150.0, 30.0, 250.0,
                       "Turing white paper: 68 SMs x 8 tensor cores, 1545 MHz boost, 215 INT8 TOPS, 616 GB/s, 250 W; "
                       "clock range 300 to 2100 MHz as drivers list it; L2 and idle power assumed"),
    "a100": Gpu(108, 4, 512, 1.41, 1.41, "hbm2", 5120.0, 52.0, 400.0,
                "A100 white paper: 108 SMs x 4, 1410 MHz, 624 INT8 TOPS dense, 1555 GB/s (40 GB), L2 5120 bytes per "
                "clock taken at 1 GHz, 400 W; idle power assumed"),
    "a100-80gb": Gpu(108, 4, 512, 1.41, 1.41, "hbm2e", 5120.0, 52.0, 400.0,
                     "A100 white paper and 80 GB data sheet: 108 SMs x 4, 1410 MHz, 624 INT8 TOPS dense, 2039 GB/s, "
                     "400 W; L2 as a100; idle power assumed"),
    "h100": Gpu(132, 4, 1024, 1.83, 1.98, "hbm3", 5500.0, 80.0, 700.0,
                "H100 SXM white paper: 132 SMs x 4, 1979 INT8 TOPS dense at 1830 MHz, at most 1980 MHz, 3350 GB/s, "
                "700 W; idle 80 W as published for H200; L2 assumed"),
}


@dataclass(frozen=True, slots=True)
class Config:
    """A GPU, and how its kernels cut products.

    Attributes:
        preset: of `GPUS`.
        tile_m, tile_n: outputs of one thread block, of which each SM runs `blocks_per_sm` at once.
        efficiency: share of the tensor cores' peak that a full wave reaches.
        launch_us: of one kernel.
        cap: whether no clock exceeds what the chip's other paths allow (registers, shared memory, ALUs).
        power_cap_w: what the chip may draw in a kernel; the board's limit when 0. Its clock is lowered to keep it.
        rows, cols: what the plan's array is called; a matrix runs at one clock whatever they are.
    """

    preset: str = "a100"
    tile_m: int = 128
    tile_n: int = 128
    blocks_per_sm: int = 1
    efficiency: float = 0.85
    launch_us: float = 3.0
    cap: bool = True
    power_cap_w: float = 0.0
    rows: int = 128
    cols: int = 128

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            ConfigError: a GPU that is not known, a size below one, or a cap below idle power.
        """
        if self.preset not in GPUS:
            raise ConfigError(f"accelerator.tensor_core.preset = {self.preset!r}; known are {', '.join(GPUS)}.")
        if min(self.tile_m, self.tile_n, self.blocks_per_sm) < 1 or not 0 < self.efficiency <= 1 or self.launch_us < 0:
            raise ConfigError(f"accelerator.tensor_core: tile_m = {self.tile_m}, tile_n = {self.tile_n}, "
                              f"blocks_per_sm = {self.blocks_per_sm}, efficiency = {self.efficiency}, launch_us = "
                              f"{self.launch_us}; give positive sizes, a share in (0, 1] and no negative time.")
        idle = GPUS[self.preset].idle_w
        if 0 < self.power_cap_w <= idle:
            raise ConfigError(f"accelerator.tensor_core.power_cap_w = {self.power_cap_w:g} is not above the {idle:g} W "
                              f"that {self.preset} draws when idle; give more.")


PRESETS: Mapping[str, Mapping[str, Any]] = {name: {} for name in GPUS}


@dataclass(frozen=True, eq=False)
class TensorCore:
    """The GPU set up for a plan.

    Attributes:
        energy_fj: voltage -> energy per operation of each value, in the profile's terms `[256]`.
        pair_fj: voltage -> the same by `[previous weight, weight]`; none where the profile lacks it.
    """

    config: Config
    gpu: Gpu
    profile: MacProfile
    setup: Setup
    energy_fj: Mapping[float, np.ndarray]
    pair_fj: Mapping[float, np.ndarray]

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        return f"{self.config.preset}{'' if self.config.cap else ' without clock cap'}"

    @property
    def unit(self) -> LoadUnit:
        """A kernel runs at one clock, that of its slowest tile."""
        return "matrix"

    @property
    def weights_move(self) -> bool:
        """A tensor core takes new weights every cycle."""
        return True

    @property
    def dram(self) -> Dram:
        """Its memory."""
        return find_dram(self.gpu.dram, "dram")

    def n_loads(self, product: Product) -> int:  # noqa: ARG002 (a machine is asked)
        """A product is one kernel, whatever it is."""
        return 1

    def freq_ghz(self, point: ClockPoint) -> float:
        """Return the SM clock at a point of the plan: all values at the nominal voltage run at the stated clock."""
        wanted = self.gpu.clock_ghz * self.setup.all_values_ps[self.setup.nominal_v] / point.period_ps
        return min(wanted, self.gpu.most_ghz) if self.config.cap else wanted

    def wave_cycles(self, product: Product) -> int:
        """Return the cycles of all waves of a product: a part of a wave takes as long as a whole one.

        Few rows take flat tiles, and where tiles leave SMs idle the reduction is split among them.
        """
        config, gpu = self.config, self.gpu
        tile_m = min(config.tile_m, MMA_ROWS * ceil_div(product.m, MMA_ROWS))
        tiles = ceil_div(product.m, tile_m) * ceil_div(product.n, config.tile_n) * product.count
        slots = gpu.n_sms * config.blocks_per_sm
        splits = max(1, min(slots // tiles, ceil_div(product.k, SPLIT_K)))
        per_cycle = gpu.tensor_cores * gpu.macs_per_cycle * config.efficiency
        block = tile_m * config.tile_n * config.blocks_per_sm * ceil_div(product.k, splits)
        return ceil_div(tiles * splits, slots) * math.ceil(block / per_cycle)

    def moved_bits(self, product: Product, layer: LayerPlan | None) -> tuple[float, float]:
        """Return the bits that DRAM moves, and those that L2 delivers, operands for each row or column of tiles."""
        operand_bits = self.gpu.operand_bits
        stored = product.n * product.k * product.count * (self.setup.bits if layer else operand_bits)
        inputs = product.m * product.k * product.count * operand_bits
        outputs = product.m * product.n * product.count * operand_bits
        scores = product.kind == "attention"  # made and used part by part
        from_dram = stored + product.written_bits + (0 if scores else inputs + outputs)
        from_l2 = stored * ceil_div(product.m, self.config.tile_m) + inputs * ceil_div(product.n, self.config.tile_n)
        return from_dram, from_l2

    def operation_fj(self, group: LoadGroup, voltage_v: float) -> float:
        """Return the energy of one multiply-accumulate with these values at this voltage; operand delivery is fixed."""
        ratio = self.relative_energy(group, voltage_v)
        own = min(MULTIPLIER_PJ, self.gpu.mac_pj)
        delivery = (self.gpu.mac_pj - own) * (voltage_v / self.setup.nominal_v) ** 2
        return FJ_PER_PJ * (delivery + own * ratio)

    def relative_energy(self, group: LoadGroup, voltage_v: float) -> float:
        """Return the MAC's energy with these values over that of all values alike at the nominal voltage."""
        if self.pair_fj:
            own = mean_pair_fj(self.pair_fj[voltage_v], group.followers, group.code_counts)
            return own / float(self.pair_fj[self.setup.nominal_v].mean())
        table, nominal = self.energy_fj[voltage_v], self.energy_fj[self.setup.nominal_v]
        counts = np.array(group.code_counts or (1,) * 256, dtype=np.float64)
        return float(counts @ table / counts.sum() / nominal.mean())

    def price(self, product: Product, layer: LayerPlan | None, group: LoadGroup, point: ClockPoint) -> Price:
        """Return time and energy of a kernel at `point`, all copies of the product together."""
        cycles, (dram_bits, l2_bits) = self.wave_cycles(product), self.moved_bits(product, layer)
        launch_s = self.config.launch_us * 1e-6
        freq_ghz = self.freq_ghz(point)
        on_sm_s = max(cycles / freq_ghz * 1e-9, l2_bits / (self.gpu.l2_gb_per_s * BITS_PER_GB))
        memory_s = dram_bits / (self.dram.gb_per_s * BITS_PER_GB)
        work_fj = product.n_macs * self.operation_fj(group, point.voltage_v)
        dram_fj = dram_bits * self.dram.pj_per_bit * FJ_PER_PJ
        # Under the cap the clock falls until what is left above idle does the work.
        cap_w = self.config.power_cap_w or self.gpu.board_w
        needed_s = (work_fj + dram_fj) / FJ_PER_J / (cap_w - self.gpu.idle_w)
        compute_s = max(on_sm_s, needed_s) + launch_s
        total_s = max(compute_s, memory_s)
        idle_fj = self.gpu.idle_w * total_s * FJ_PER_J
        return Price(cycles, compute_s, 0.0, memory_s, Energy(mac_fj=work_fj, fixed_fj=idle_fj, dram_fj=dram_fj))

    def change(self, old: ClockPoint, new: ClockPoint, inside: bool) -> Transition:  # noqa: ARG002 (a machine is asked)
        """Return what a change of point costs: every SM waits for it; points that give one clock need none."""
        if old.voltage_v == new.voltage_v and self.freq_ghz(old) == self.freq_ghz(new):
            return Transition(0, 0.0, 0.0)
        supply = supply_change(self.setup.dvfs, old, new)
        return Transition(0, supply.time_s, supply.energy_fj + self.gpu.idle_w * supply.time_s * FJ_PER_J)

    def split_fj(self, product: Product, n_outputs: int) -> float:  # noqa: ARG002 (a machine is asked)
        """A kernel keeps its sums in registers to the end."""
        return 0.0

    def half_precision(self) -> TensorCore:
        """Return the GPU on FP16 operands: half the int8 rate, as all these white papers state, at the same limit."""
        half = replace(self.gpu, macs_per_cycle=self.gpu.macs_per_cycle // 2, operand_bits=16,
                       source=f"{self.gpu.source}; FP16 at half the int8 rate, as stated there")
        return replace(self, gpu=half)

    @property
    def energy_words(self) -> str:
        """On which table the values' energies rest, in words."""
        pairs, head = self.profile.pairs, self.profile.head
        if pairs is None or not self.pair_fj:
            return ("energy of a value is the mean over all weights before it and beside it; "
                    f"{head.design}'s profile has no energies by previous weight and weight")
        return (f"energy by [previous weight, weight], {pairs.transitions} activation transitions of each pair, "
                f"{head.lanes} lanes that add up; a linear layer's weights follow each other as they lie along the "
                "reduction axis, a new one in each lane and cycle; other products are independent draws of all values")

    def assumptions(self) -> tuple[str, ...]:
        """Return what the estimate rests on, one sentence each."""
        config, gpu = self.config, self.gpu
        cap = ("CLOCK CAP OFF: clocks beyond what registers, shared memory and ALUs of this GPU allow" if not config.cap
               else f"no clock above {1000 * gpu.most_ghz:g} MHz, which registers, shared memory and ALUs allow")
        switch = ("clocks change by the driver, as on every GPU sold" if self.setup.dvfs.switch == "driver" else
                  "NO GPU SOLD changes its clock this fast; dvfs.switch = \"driver\" is what there is")
        return (
            f"{config.preset}: {gpu.source}",
            f"all 256 values run at {1000 * gpu.clock_ghz:g} MHz; codebooks relative to that, by the profile of "
            f"{self.profile.head.design}, which is no part of this GPU",
            cap, switch,
            f"tiles of at most {config.tile_m} x {config.tile_n}, {config.blocks_per_sm} per SM, reductions split "
            f"where SMs are idle, {config.efficiency:.0%} of the peak in a full wave, {config.launch_us:g} us a launch",
            f"{gpu.mac_pj:.2f} pJ per int8 multiply-accumulate (board limit less idle power, at the peak); at most "
            f"{MULTIPLIER_PJ:.2f} pJ of it (Dally's table, 45 nm) is multiplier and adder, which codebooks scale",
            f"energy of a GPU is known to about +-{ENERGY_RANGE:.0%}: the best published models miss by 11 to 32 %",
            self.energy_words,
            f"idle {gpu.idle_w:g} W throughout; clocks fall to keep {config.power_cap_w or gpu.board_w:g} W",
            f"memory: {self.dram.source}; activations go through it between layers, attention scores do not",
        )


def machine(profile: MacProfile, setup: Setup, config: Config) -> TensorCore:
    """Return the GPU set up for a plan."""
    tables = {voltage: profile.energy_fj[profile.corner_index(corner)] for voltage, corner in setup.typical.items()}
    pairs = {voltage: table for voltage, corner in setup.typical.items()
             if (table := profile.pair_fj(corner)) is not None}
    return TensorCore(config, GPUS[config.preset], profile, setup, tables, pairs if len(pairs) == len(tables) else {})


def estimate(workload: Workload, plan: DvfsPlan, profile: MacProfile, config: Config) -> CostReport:
    """Return time and energy of `workload` under `plan`.

    Raises:
        PlanError: the plan is of another model.
    """
    return estimate_on(workload, plan, machine(profile, setup_from(plan, profile), config))
