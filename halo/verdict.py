"""Verdicts: what searched codebooks gain over the strongest fixed grid, in plain sentences, and where nothing."""

from __future__ import annotations

from collections.abc import Sequence

from halo.cost import compare
from halo.evaluation import Estimate, EvaluationConfig, bootstrap
from halo.recipes import SHIFTED_W4A8
from halo.results import MethodResult

SAME = 0.005


def shifted_baselines(results: Sequence[MethodResult]) -> list[MethodResult]:
    """Return the methods on int4 shifted to the fast end."""
    return [r for r in results if not r.ours and "w4-shifted" in {item.name for item in r.plan.classes}]


def strongest_baseline(results: Sequence[MethodResult]) -> MethodResult | None:
    """Return int4 shifted to the fast end through our own optimizer; else the most accurate other such method."""
    shifted = shifted_baselines(results)
    named = [r for r in shifted if r.label == SHIFTED_W4A8]
    return next(iter(named or sorted(shifted, key=lambda r: r.accuracy.quality.net_kl.mean)), None)


def kl_difference(result: MethodResult, baseline: MethodResult) -> Estimate:
    """Return the mean KL of `result` less that of `baseline`, paired over windows, with its 95 % interval."""
    return bootstrap(result.accuracy.window_kl - baseline.accuracy.window_kl, EvaluationConfig())


def verdicts(results: Sequence[MethodResult], w8a8: MethodResult) -> tuple[str, ...]:
    """Return a sentence per method against W8A8, and per searched method against each shifted 4-bit baseline."""
    strong = strongest_baseline(results)
    ours = [result for result in results if result.ours]
    lines = [sentence(result, w8a8) for result in ([strong] if strong else []) + ours if result is not w8a8]
    if strong is None:
        lines.append("No 4-bit grid shifted to the fast end is in this run: these gains are against W8A8 only, which "
                     "is not the strongest honest baseline.")
    else:
        lines += [judgement(result, base) for result in ours for base in shifted_baselines(results)]
    return tuple(lines)


def sentence(result: MethodResult, baseline: MethodResult) -> str:
    """Return time, energy and divergence of `result` over `baseline`, for both phases."""
    prefill = compare(result.costs["prefill"], baseline.costs["prefill"])
    decode = compare(result.costs["decode"], baseline.costs["decode"])
    own = result.accuracy.quality
    return (f"{result.label} against {baseline.label}: prefill {prefill.speedup:.3f}x as fast at {prefill.energy:.3f} "
            f"of the on-chip energy; decode {decode.speedup_with_memory:.3f}x as fast with DRAM at "
            f"{decode.energy_with_memory:.3f} of the energy; perplexity {100 * own.perplexity_change:+.2f} %, "
            f"KL net {own.net_kl.mean:.4f}, {result.bits.total:.2f} bits.")


def judgement(result: MethodResult, strong: MethodResult) -> str:
    """Return whether a searched method beats the strongest baseline, in which respect, and in which it does not."""
    ratio = compare(result.costs["prefill"], strong.costs["prefill"])
    difference = kl_difference(result, strong)
    better: list[str] = []
    worse: list[str] = []
    for name, value in (("time", 1 / ratio.speedup), ("on-chip energy", ratio.energy)):
        if abs(value - 1) > SAME:
            (better if value < 1 else worse).append(f"{name} {100 * (value - 1):+.1f} %")
    kl = f"KL {difference.mean:+.2g} ({difference.low:+.2g} .. {difference.high:+.2g})"
    if difference.excludes_zero:
        (better if difference.mean < 0 else worse).append(kl)
    start = f"{result.label} against {strong.label}, prefill: "
    if better and not worse:
        return f"{start}gained {', '.join(better)}; lost nothing that can be told apart."
    if worse and not better:
        return f"{start}gained nothing; worse in {', '.join(worse)}. The shifted grid is the better choice."
    if better:
        return f"{start}a trade: better in {', '.join(better)}; worse in {', '.join(worse)}."
    return f"{start}no difference that counts: the shifted grid is as good ({kl}, time and energy within 0.5 %)."
