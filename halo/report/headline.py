"""headline(): what a reader learns in a minute: what was gained, what was not, against which baseline."""

from __future__ import annotations

from halo.cost import compare
from halo.page import Fact, Section
from halo.report.proof import Proofs
from halo.report.run import Run
from halo.results import MethodResult
from halo.tables import summary_grid
from halo.verdict import judgement, verdicts


def headline(run: Run, proofs: Proofs) -> Section:
    """Return the summary: a few facts, and one row per method."""
    facts = [*(method_facts(run) if run.ours else ()), proof_fact(proofs), footing_fact(run)]
    return Section("Summary", text=says(run), facts=tuple(facts), grids=(summary_grid(run.results),),
                   sources=run.sources("run.json", "cost-prefill.json", "cost-decode.json", "accuracy.json"))


def says(run: Run) -> tuple[str, ...]:
    """Return what to compare with what, and how that comes out for the most frugal method."""
    strong = run.strongest
    words = f"Gains count against {run.w8a8.label} (int8 weights, all 256 values)"
    words += (f" and, which is harder, against {strong.label} ({strong.says}), on the same MAC and library, with the "
              "same voltages open."
              if strong else "; no 4-bit grid shifted to the fast end is in this run: the strongest is missing.")
    return (words, *([judgement(frugal(run), strong)] if strong and run.ours else []))


def frugal(run: Run) -> MethodResult:
    """Return the searched method with the least on-chip energy of a prefill."""
    return min(run.ours, key=lambda r: r.costs["prefill"].total().energy.on_chip_fj)


def method_facts(run: Run) -> tuple[Fact, ...]:
    """Return the frugal method's energy and time against W8A8, its loss, and its standing beside the strongest grid."""
    best, base, strong = frugal(run), run.w8a8, run.strongest
    ratio, quality = compare(best.costs["prefill"], base.costs["prefill"]), best.accuracy.quality
    net = quality.net_kl
    facts = [
        Fact(f"{ratio.energy:.3f}x", f"on-chip energy of {best.label} over {base.label}", "prefill, linear layers"),
        Fact(f"{1 / ratio.speedup:.3f}x", f"time of {best.label} over {base.label}", "prefill, linear layers"),
        Fact(f"{net.mean:.5f}", f"KL of {best.label}, nats per token",
             f"{net.low:.5f} .. {net.high:.5f}; perplexity {100 * quality.perplexity_change:+.2f} %"),
    ]
    if strong:
        beside = compare(best.costs["prefill"], strong.costs["prefill"])
        against = strong.accuracy.quality.net_kl.mean
        facts.append(Fact(
            f"{beside.energy:.3f}x", f"on-chip energy of {best.label} over {strong.label}, the strongest shifted grid",
            f"{1 / beside.speedup:.3f}x its time; KL {net.mean:.5f} against {against:.5f}"))
    return tuple(facts)


def proof_fact(proofs: Proofs) -> Fact:
    """Return how far the plans are proved on gates."""
    if not proofs.found:
        why = "a proof lies there, of another plan" if proofs.stale else "`characterize prove` was not run"
        return Fact("not proved", "plan at its clock, on gates", why)
    if proofs.failed:
        return Fact("FAILED", "plan at its clock, on gates", ", ".join(proofs.failed))
    return Fact(f"{proofs.mismatches} wrong", f"results in {proofs.cycles} cycles on gates, at the planned clocks",
                f"plan of {', '.join(proofs.found)}; wrong 1 ps below what it needs")


def footing_fact(run: Run) -> Fact:
    """Return on what the clocks rest."""
    whole = run.results[0].plan.all_values
    return Fact("signed off" if whole.signed_off else "not signed off", f"clocks at {whole.voltage_v:g} V", whole.basis)


def gained_section(run: Run) -> Section:
    """Return what was gained over the strongest honest baseline, and what was not, method by method."""
    return Section("What was gained, and what was not", points=verdicts(run.results, run.w8a8),
                   sources=run.sources("cost-prefill.json", "cost-decode.json", "accuracy.json"))
