"""half_grid(): what FP16 takes over every method, by a model that others published; no FP16 unit is measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from halo.comparison import Comparison, Standing
from halo.comparison_grids import is_dedicated, ours_of
from halo.contenders import Merit
from halo.cost import sum_prices
from halo.dvfs import whole_group
from halo.machine import ClockPoint, Machine
from halo.page import Grid
from halo.paper import ENERGY_OVER_BAL, FP16_OVER_W8A8
from halo.workload import Workload

# Horowitz, ISSCC 2014, 45 nm, 0.9 V, pJ: FP16 multiply and add, int8 multiply, int32 add.
FP16_MULTIPLY_PJ, FP16_ADD_PJ, INT8_MULTIPLY_PJ, INT32_ADD_PJ = 1.1, 0.4, 0.2, 0.1
ENERGY_OVER_W8A8 = ENERGY_OVER_BAL["fp16"] / ENERGY_OVER_BAL["w8a8"]
ARITHMETIC_OVER_INT8 = (FP16_MULTIPLY_PJ + FP16_ADD_PJ) / (INT8_MULTIPLY_PJ + INT32_ADD_PJ)
PUBLISHED = ("HALO's published ratios (arXiv 2502.19662, figures 8 and 10, its own 22 nm array: time "
             f"{FP16_OVER_W8A8:.2f}x, energy {ENERGY_OVER_W8A8:.2f}x W8A8's), chained to our time and on-chip energy "
             "at one voltage: NOT OUR ACCOUNT")


@dataclass(frozen=True, slots=True)
class Half:
    """FP16 over the baseline at one voltage, and who says so.

    Attributes:
        off_chip: whether time and energy are those with off-chip memory.
    """

    time: float
    energy: float
    off_chip: bool
    source: str


def find_half(comparison: Comparison, work: Workload, machine: Machine) -> Half:
    """Return what FP16 takes over the baseline: on the accelerator's own published figures, or else as HALO has it.

    Args:
        comparison: what was found.
        work: the workload that it is of.
        machine: set up for the baseline's plan.
    """
    half, plan = machine.half_precision(), comparison.base.plan
    if half is None:
        return Half(FP16_OVER_W8A8, ENERGY_OVER_W8A8, off_chip=False, source=PUBLISHED)
    point = ClockPoint(plan.all_values.voltage_v, plan.all_values.period_ps)
    prices = [half.price(product, None, whole_group(product, half), point) for product in work.products]
    time_s, energy_fj = sum(price.total_s for price in prices), sum_prices(prices).energy.total_fj
    base = comparison.base.report.total("all")
    return Half(time_s / base.total_s, energy_fj / base.energy.total_fj, off_chip=True,
                source=f"{half.name} on 16-bit operands, with off-chip memory: {half.assumptions()[0]}")


def costs_of(item: Standing, half: Half) -> tuple[float, float]:
    """Return time and energy of a method, with off-chip memory where FP16's are."""
    total = item.report.total("all")
    return (total.total_s, total.energy.total_fj) if half.off_chip else (item.time_s, item.on_chip_fj)


def half_grid(comparison: Comparison, merits: Mapping[str, Merit], half: Half) -> Grid:
    """Return FP16 over every method on the MAC: time, energy, and their product."""
    base_s, base_fj = costs_of(comparison.base, half)
    perplexity = merits[comparison.base.method].original_perplexity
    rows = [("fp16", "0 by definition", f"{perplexity:.4f}", "1.000", "1.000", "1.000")]
    for item in comparison.standings["one voltage"]:
        if item.method in merits and not is_dedicated(comparison, item):
            time_s, energy_fj = costs_of(item, half)
            time, energy = half.time * base_s / time_s, half.energy * base_fj / energy_fj
            merit = merits[item.method]
            rows.append((item.method, f"{merit.kl:.5f}", f"{merit.perplexity:.4f}", f"{time:.3f}", f"{energy:.3f}",
                         f"{time * energy:.3f}"))
    columns = ("method", "KL net", "perplexity", "time: FP16 / it", "energy: FP16 / it", "energy x time: FP16 / it")
    caption = (f"FP16 where a cited model exists. {half.source}. Multiplier and adder alone take "
               f"{ARITHMETIC_OVER_INT8:.1f}x int8's energy in FP16 ({FP16_MULTIPLY_PJ:g} + {FP16_ADD_PJ:g} against "
               f"{INT8_MULTIPLY_PJ:g} + {INT32_ADD_PJ:g} pJ, 45 nm; Horowitz, ISSCC 2014). Accuracy of FP16 is that of "
               "the original, run here in float32.")
    return Grid(columns, tuple(rows), f"{caption} {comparison.note}".strip(), ours_of(merits))
