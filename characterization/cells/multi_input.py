"""measure_multi_input: how much slower or faster than its single-input arcs a cell is when several inputs switch.

What is simulated, for each cell and condition (`joint_switching.py` says what the factors mean):

- every pair of input patterns in which two or more inputs differ and an output does (equal outputs too where an input
  acts in both senses), both ways, without skew;
- for `late`, of each output and edge: the LATE_SKEWS skewed transitions (`late_skews`) that resemble the slowest ones
  without skew;
- for `early`, of each output and edge: the EARLY_PAIRS transitions that were fastest, skewed (`early_skews`).

Skews are NEAR and FAR times the mean of the cell's single-input delays, or balance those. All inputs have the same
slew, and each moves once. The first two are simulated at LATE, the last at EARLY; slews scale with the condition's
slowness, and each factor is a ratio to single-input delays simulated at the same point. The points are those of the
gates with several inputs of a mapped 8 x 8 PE (systolic_pe on sky130 at typical 1.8 V, 701 gates): three quarters
have no flatter input than LATE's slew, nine tenths none steeper than EARLY's; the load is the median of its nand2.
`late` grows with the slew (nand2, fall, no skew: 1.07 at 20 ps, 1.10 at 53, 1.19 at 122, 1.30 at 282), `early` falls
as it gets steeper (nand3, rise: 0.67 at 122 ps, 0.63 at 53, 0.55 at 20).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean

from characterization.cells.deck import Bench
from characterization.cells.extraction import Extracted
from characterization.cells.joint_response import Crossings, Point, Response, Rig, respond, rig_at
from characterization.cells.joint_switching import (
    Delays,
    Joint,
    at_once,
    early_factor,
    early_skews,
    late_factor,
    late_skews,
    pairs,
    steps,
    value,
)
from characterization.cells.points import MeasureConfig
from characterization.cells.switch_level import directions
from characterization.cells.tables import Condition, MultiInput
from characterization.cells.wheel import Wheel
from characterization.constants import FALL, RISE
from characterization.errors import CellsError

LATE = Point(122.0, 12.0)
EARLY = Point(60.0, 12.0)
NEAR, FAR = 0.25, 1.0
LATE_SKEWS = 24
EARLY_PAIRS = 5

Tried = list[tuple[Joint, Response]]
ByOutput = Mapping[str, Mapping[tuple[int, int, int], float]]


def measure_multi_input(
    cell: Extracted, condition: Condition, wheel: Wheel, config: MeasureConfig, work: Path,
) -> tuple[MultiInput, ...]:
    """Return the factors of a cell's outputs and edges; none for a cell with fewer than two inputs.

    Raises:
        CellsError: an output does not settle, or a delay is not positive, so that no factor describes it.
        ToolMissingError: ngspice is not installed.
    """
    inputs, outputs = directions(cell.circuit)
    if len(inputs) < 2:
        return ()
    bench = Bench(cell, inputs, outputs, condition, wheel)
    late, early = rig_at(bench, LATE), rig_at(bench, EARLY)
    singles = [at_once(pair, len(inputs)) for pair in steps(len(inputs))]
    joints = [at_once(pair, len(inputs)) for pair in pairs(list(late.truths.values()), len(inputs))]
    joint, slow, fast = respond_all([(late, joints), (late, singles), (early, singles)], config, work)
    most = {output: delays(late, output, slow, max) for output in outputs}
    least = {output: delays(early, output, fast, min) for output in outputs}
    skewed, hurried = respond_all([(late, slowest(late, joint, slow, most)),
                                   (early, fastest(late, joint, slow, least))], config, work)
    return tuple(
        MultiInput(output, edge,
                   max([1.0, *lates(late, output, edge, joint + skewed, most[output])]),
                   min([1.0, *(factor for _, factor in earlies(output, edge, hurried, least[output]))]))
        for output in outputs for edge in (FALL, RISE))


def respond_all(runs: Sequence[tuple[Rig, Sequence[Joint]]], config: MeasureConfig, work: Path) -> list[Tried]:
    """Return the transitions of several runs with what the cell did, all in one ngspice process."""
    responses = iter(respond([(rig, joint) for rig, joints in runs for joint in joints], config, work))
    return [[(joint, next(responses)) for joint in joints] for _, joints in runs]


def both_ways(tried: Iterable[tuple[Joint, Response]]) -> Iterator[tuple[Joint, Crossings]]:
    """Yield each transition and the one back."""
    for joint, response in tried:
        yield joint, response.there
        yield joint.back, response.back


def delays(
    rig: Rig, output: str, singles: Tried, pick: Callable[[float, float], float],
) -> dict[tuple[int, int, int], float]:
    """Return (input, its edge, output edge) -> the greatest (or least) delay over the states of the others.

    Raises:
        CellsError: a delay is not positive.
    """
    found: dict[tuple[int, int, int], float] = {}
    truth = rig.truths[output]
    for way, crossings in both_ways(singles):
        edge = value(truth, way.end)
        if value(truth, way.start) != edge:
            pin, = way.moving
            delay_ps = crossings[output][-1].time_ps
            if delay_ps <= 0.0:
                raise CellsError(f"{rig.bench.cell.circuit.name}: {rig.bench.inputs[pin]} -> {output} takes "
                                 f"{delay_ps:.3g} ps at a slew of {rig.slew_ps:.4g} ps; a factor for several inputs "
                                 "needs a positive delay. Leave the cell out.")
            key = pin, way.end >> pin & 1, edge
            found[key] = pick(found.get(key, delay_ps), delay_ps)
    return found


def lates(rig: Rig, output: str, edge: int, tried: Tried, most: Delays) -> list[float]:
    """Return the factor that each transition to an output edge needs."""
    return [late_factor(rig.truths[output], way, crossings[output][-1].time_ps, most)
            for way, crossings in both_ways(tried)
            if value(rig.truths[output], way.end) == edge and crossings[output]]


def earlies(output: str, edge: int, tried: Tried, least: Delays) -> list[tuple[Joint, float]]:
    """Return transitions that begin with an output edge, and the factor that each allows."""
    return [(way, early_factor(way, edge, crossings[output][0].time_ps, least))
            for way, crossings in both_ways(tried)
            if crossings[output] and crossings[output][0].edge == edge]


def slowest(rig: Rig, tried: Tried, singles: Tried, most: ByOutput) -> list[Joint]:
    """Return the LATE_SKEWS skewed transitions to each output's edge that promise the greatest factors."""
    far = FAR * mean(delay for of in most.values() for delay in of.values())
    found: list[Joint] = []
    for output, truth in rig.truths.items():
        factor = {way: late_factor(truth, way, crossings[output][-1].time_ps, most[output])
                  for way, crossings in both_ways(tried + singles) if crossings[output]}
        for edge in (FALL, RISE):
            skews = [skew for way, _ in both_ways(tried) if value(truth, way.end) == edge
                     for skew in late_skews(truth, way, most[output], far)]
            ranked = sorted(skews, key=lambda skew: -factor.get(skew[1], 0.0))
            found += [joint.either for joint, _ in ranked[:LATE_SKEWS]]
    return list(dict.fromkeys(found))


def fastest(rig: Rig, tried: Tried, singles: Tried, least: ByOutput) -> list[Joint]:
    """Return the EARLY_PAIRS transitions of each output and edge that promise the least factors, skewed."""
    near = NEAR * mean(delay for of in least.values() for delay in of.values())
    found: list[Joint] = []
    for output in rig.truths:
        here = delays(rig, output, singles, min)
        for edge in (FALL, RISE):
            ranked = sorted(earlies(output, edge, tried, here), key=lambda each: each[1])
            for way, _ in ranked[:EARLY_PAIRS]:
                found += [each.either for each in early_skews(way, edge, least[output], near)]
    return list(dict.fromkeys(found))
