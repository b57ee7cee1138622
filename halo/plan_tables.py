"""Tables of a plan for the terminal and the report: its clock classes, its phases, and how often the clock changes."""

from __future__ import annotations

from collections.abc import Iterator

from halo.page import Grid
from halo.plan import DvfsPlan, PhaseResult, Segment


def class_grid(plan: DvfsPlan) -> Grid:
    """Return the clock classes at every voltage, with the loads of each phase that run there."""
    rows = []
    for item in plan.clocks:
        used = [counted(plan, result, item.name, item.voltage_v) for result in plan.results]
        rows.append((item.name, str(len(item.codes)), f"{item.voltage_v:g}", f"{1000 * item.freq_ghz:.1f}",
                     f"{item.period_ps:.1f}", *used))
    columns = ("class", "values", "V", "MHz at most", "period ps", *(f"{r.phase} loads" for r in plan.results))
    return Grid(columns, tuple(rows), f"Plan of {plan.method} on {plan.accelerator}: clock classes, and the loads of "
                                      "the linear layers that run at each voltage.")


def counted(plan: DvfsPlan, result: PhaseResult, name: str, voltage_v: float) -> str:
    """Return how many loads of a class run at a voltage in one phase, and which share of all that is."""
    n_loads = sum(s.n_loads for s in plan.segments_of(result.phase, "linear")
                  if (s.codebook, s.voltage_v) == (name, voltage_v))
    return f"{n_loads} ({n_loads / max(plan.n_loads(phase=result.phase), 1):.1%})"


def phase_grid(plan: DvfsPlan) -> Grid:
    """Return one row per phase: time, energy, throughput, power, what binds, changes, gap to the bound."""
    columns = ("phase", "ms", "mJ", "tokens/s", "W", "mJ/token", "bound by memory", "changes", "with attention",
               "per token", "gap to bound", "corner's gap", "how")
    rows = tuple(phase_row(plan, result) for result in plan.results)
    return Grid(columns, rows, "A whole pass with attention and head. Gap: of the objective to what nothing is better "
                               "than; corner: the best plan of the convex front, without the MILP.")


def phase_row(plan: DvfsPlan, result: PhaseResult) -> tuple[str, ...]:
    """Return the row of one phase."""
    segments = plan.segments_of(result.phase)
    linear, whole = len(plan.switches_of("linear", result.phase)), len(plan.switches_of("all", result.phase))
    energy_j = result.energy_fj * 1e-15
    waiting = sum(s.time_s for s in segments if memory_bound(s)) / sum(s.time_s for s in segments)
    corner = max(result.heuristic / result.bound - 1, 0.0) if result.bound else 0.0
    tokens = max(result.tokens, 1)
    return (result.phase, f"{1e3 * result.time_s:.4g}", f"{1e3 * energy_j:.4g}", f"{tokens / result.time_s:.4g}",
            f"{energy_j / result.time_s:.3g}", f"{1e3 * energy_j / tokens:.3g}", f"{waiting:.0%} of the time",
            str(linear), str(whole), f"{whole / tokens:.3g}", f"{result.gap:.1e}", f"{corner:.1e}", result.how)


def memory_bound(segment: Segment) -> bool:
    """Return whether a segment waits for off-chip memory."""
    return segment.memory_s > segment.compute_s


def plan_lines(plan: DvfsPlan) -> Iterator[str]:
    """Yield what must be said beside the tables."""
    if plan.frequency_only:
        yield f"{plan.frequency_only}."
    for basis in dict.fromkeys(item.basis for item in plan.classes):
        yield f"periods of {', '.join(c.name for c in plan.classes if c.basis == basis)} rest on: {basis}"
    for result in plan.results:
        linear, whole = plan.switches_of("linear", result.phase), plan.switches_of("all", result.phase)
        lost_us = 1e6 * sum(switch.cost.time_s for switch in whole)
        stages = len({segment.stage for segment in plan.segments_of(result.phase, "linear")})
        paper = ("The paper's 2 to 3 per inference is not attainable where classes are kept apart: layers depend on "
                 f"each other, and each of {stages} dependent stages then changes the clock at least once."
                 if whole else
                 "Everything runs at one point, below the paper's 2 to 3 per inference, and no class is kept apart.")
        yield (f"{result.phase}: {len(linear)} clock changes per pass of the linear layers ({len(whole)} with "
               f"attention and head), that is {len(whole) / max(result.tokens, 1):.3g} per token; {lost_us:.3f} us. "
               f"{paper}")
