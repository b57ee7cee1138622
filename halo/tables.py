"""Tables of a run: the summary of all methods, and their costs in full, for the report and the terminal alike."""

from __future__ import annotations

from collections.abc import Sequence

from halo.cost import CostReport, Ratio, Scope, compare
from halo.page import Grid
from halo.recipes import W8A8
from halo.results import MethodResult
from halo.verdict import strongest_baseline


def reference_of(results: Sequence[MethodResult]) -> MethodResult:
    """Return the method that ratios are against: W8A8, or the first."""
    return next((result for result in results if result.label == W8A8), results[0])


def labels_of_ours(results: Sequence[MethodResult]) -> frozenset[str]:
    """Return the labels of methods with searched codebooks."""
    return frozenset(result.label for result in results if result.ours)


def bases_of(results: Sequence[MethodResult]) -> tuple[MethodResult, ...]:
    """Return W8A8 and, where it is in the run, the strongest shifted grid."""
    strong = strongest_baseline(results)
    return (reference_of(results), *((strong,) if strong else ()))


def summary_grid(results: Sequence[MethodResult]) -> Grid:
    """Return one row per method: accuracy, bits, absolute times, and ratios for the linear layers."""
    bases = bases_of(results)
    rows = tuple(summary_row(result, bases) for result in results)
    ratios = tuple(f"{what} / {base.label}" for base in bases for what in ("prefill time", "prefill energy"))
    columns = ("method", "KL net", "perplexity", "effective bits", "prefill µs", "decode µs", *ratios)
    caption = ("Linear layers. KL to the original in nats per token, net of int8 activations. Prefill: compute time "
               "and on-chip energy; decode: with DRAM. Ratios below 1 are better.")
    return Grid(columns, rows, caption, labels_of_ours(results))


def summary_row(result: MethodResult, bases: Sequence[MethodResult]) -> tuple[str, ...]:
    """Return one row of the summary."""
    found = result.accuracy.quality
    perplexity = f"{found.perplexity:.4f} ({100 * found.perplexity_change:+.2f} %)"
    cells = [result.label, f"{found.net_kl.mean:.5f}", perplexity,
             f"{result.bits.total:.2f}", f"{1e6 * result.costs['prefill'].total().compute_s:.1f}",
             f"{1e6 * result.costs['decode'].total().total_s:.1f}"]
    for base in bases:
        ratio = compare(result.costs["prefill"], base.costs["prefill"])
        cells += [f"{1 / ratio.speedup:.3f}", f"{ratio.energy:.3f}"]
    return tuple(cells)


def comparison_grid(results: Sequence[MethodResult]) -> Grid:
    """Return one row per method: KL with its interval, perplexity, bits, and ratios for the linear layers."""
    base = reference_of(results)
    rows = tuple(comparison_row(result, base) for result in results)
    protocol = base.accuracy.quality.protocol
    caption = (f"Linear layers; KL to the original in nats per token, net of int8 activations, with its 95 % interval "
               f"over {protocol['windows']} windows of {protocol['window']} tokens. Ratios to {base.label}, prefill on "
               "chip; MAC energy: cells, nets and registers at the weights' own values. Below 1 is better.")
    columns = ("method", "KL net", "95 % interval", "perplexity", "effective bits", "time", "energy", "MAC energy")
    return Grid(columns, rows, caption, labels_of_ours(results))


def comparison_row(result: MethodResult, base: MethodResult) -> tuple[str, ...]:
    """Return one row of a comparison."""
    found, net = result.accuracy.quality, result.accuracy.quality.net_kl
    ratio = compare(result.costs["prefill"], base.costs["prefill"])
    return (result.label, f"{net.mean:.5f}", f"{net.low:.5f} .. {net.high:.5f}",
            f"{found.perplexity:.4f} ({100 * found.perplexity_change:+.2f} %)", f"{result.bits.total:.3f}",
            f"{1 / ratio.speedup:.3f}", f"{ratio.energy:.3f}", f"{mac_energy(result) / mac_energy(base):.3f}")


def mac_energy(result: MethodResult) -> float:
    """Return the energy of multipliers, adders and their registers in a prefill of the linear layers, fJ."""
    energy = result.costs["prefill"].total().energy
    return energy.mac_fj + energy.registers_fj


def cost_grid(
    costs: Sequence[CostReport], bases: Sequence[CostReport], scope: Scope, ours: frozenset[str] = frozenset()
) -> Grid:
    """Return one table of costs of one phase: absolute first, then as shares of each base, without and with DRAM."""
    columns = ("method", "compute µs", "memory µs", "binds", "with DRAM µs", "on chip mJ", "with DRAM mJ",
               *(f"{what} / {base.method}" for base in bases
                 for what in ("time", "time with DRAM", "energy", "energy with DRAM")))
    rows = tuple(cost_row(report, [compare(report, base, scope) for base in bases], scope) for report in costs)
    what = "linear layers" if scope == "linear" else "attention products and head included (int8, all-values clock)"
    caption = f"{costs[0].phase.capitalize()}, {what}; {costs[0].accelerator}. Ratios below 1 are better."
    return Grid(columns, rows, caption, ours)


def cost_row(report: CostReport, ratios: Sequence[Ratio], scope: Scope) -> tuple[str, ...]:
    """Return one row of a table of costs."""
    total = report.total(scope)
    cells = [report.method, f"{1e6 * total.compute_s:.1f}", f"{1e6 * total.memory_s:.1f}", total.binds,
             f"{1e6 * total.total_s:.1f}", *(f"{energy_fj / 1e12:.3f}" for energy_fj in
                                             (total.energy.on_chip_fj, total.energy.total_fj))]
    for ratio in ratios:
        cells += [f"{1 / ratio.speedup:.3f}", f"{1 / ratio.speedup_with_memory:.3f}", f"{ratio.energy:.3f}",
                  f"{ratio.energy_with_memory:.3f}"]
    return tuple(cells)
