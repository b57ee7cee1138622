"""Fronts of loss against cost: what they dominate, and between which losses one of them is the cheaper."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from halo.comparison import Comparison, Standing
from halo.comparison_grids import is_dedicated
from halo.contenders import Merit
from halo.page import Grid


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A method: what it loses (KL, nats per token), and what it costs over the baseline."""

    method: str
    loss: float
    cost: float


@dataclass(frozen=True, slots=True)
class Win:
    """Between two losses the searched methods are the cheaper ones."""

    low: float
    high: float


def undominated(points: Iterable[FrontPoint]) -> tuple[FrontPoint, ...]:
    """Return the points that none beats in both, by growing loss and falling cost."""
    kept: list[FrontPoint] = []
    for point in sorted(points, key=lambda item: (item.loss, item.cost)):
        if not kept or point.cost < kept[-1].cost:
            kept.append(point)
    return tuple(kept)


def hypervolume(points: Iterable[FrontPoint], loss: float, cost: float) -> float:
    """Return the area that points dominate within a greatest loss and cost.

    >>> hypervolume([FrontPoint("a", 0.0, 0.5), FrontPoint("b", 0.5, 0.25)], 1.0, 1.0)
    0.625
    """
    front = [point for point in undominated(points) if point.loss < loss and point.cost < cost]
    ends = [*(point.loss for point in front[1:]), loss][: len(front)]
    return sum((end - point.loss) * (cost - point.cost) for point, end in zip(front, ends, strict=True))


def wins(ours: Iterable[FrontPoint], theirs: Iterable[FrontPoint], loss: float) -> tuple[Win, ...]:
    """Return the intervals of allowed loss, up to `loss`, in which the cheapest of `ours` costs less than of `theirs`.

    >>> wins([FrontPoint("h", 0.2, 0.5)], [FrontPoint("a", 0.1, 0.9), FrontPoint("b", 0.4, 0.5)], 1.0)
    (Win(low=0.2, high=0.4),)
    """
    fronts = undominated(ours), undominated(theirs)
    edges = sorted({point.loss for front in fronts for point in front if point.loss < loss} | {loss})
    found: list[Win] = []
    for low, high in pairwise(edges):
        own, other = (min((point.cost for point in front if point.loss <= low), default=math.inf) for front in fronts)
        if own < other:
            start = found.pop().low if found and found[-1].high == low else low
            found.append(Win(start, high))
    return tuple(found)


# The reference lies this far beyond the largest loss, so that the point that has it counts too.
BEYOND = 1.1
# What a point costs: the mode in which it is looked at, and the figure.
COSTS: Mapping[str, tuple[str, Callable[[Standing], float]]] = {
    "array energy at one throughput": ("one throughput", lambda item: item.array_fj),
    "on-chip energy at one throughput": ("one throughput", lambda item: item.on_chip_fj),
    "time at one voltage": ("one voltage", lambda item: item.time_s),
}


def points_of(comparison: Comparison, merits: Mapping[str, Merit], cost: str) -> tuple[FrontPoint, ...]:
    """Return every method on the MAC itself as a point of one cost."""
    mode, figure = COSTS[cost]
    base = figure(comparison.base)
    return tuple(FrontPoint(item.method, max(merits[item.method].kl, 0.0), figure(item) / base)
                 for item in comparison.standings[mode]  # type: ignore[index]
                 if item.method in merits and not is_dedicated(comparison, item))


def hypervolume_grid(comparison: Comparison, merits: Mapping[str, Merit], same: Sequence[str] = ()) -> Grid:
    """Return, per cost, what the front of searched methods dominates beside the baselines' joint front.

    Args:
        comparison: what was found.
        merits: of the methods.
        same: searched methods that ended at a fixed grid for all tiles: they are baselines themselves.
    """
    rows = []
    for cost in COSTS:
        points = points_of(comparison, merits, cost)
        ours = [point for point in points if merits[point.method].ours and point.method not in same]
        theirs = [point for point in points if not merits[point.method].ours or point.method in same]
        if not ours or not theirs:
            continue
        loss = BEYOND * max(point.loss for point in points)
        own, other, joint = (hypervolume(some, loss, 1.0) for some in (ours, theirs, points))
        found = wins(ours, theirs, loss)
        least = min(ours, key=lambda point: point.cost), min(theirs, key=lambda point: point.cost)
        rows.append((cost, f"{own:.5f}", f"{other:.5f}", f"{own / other:.3f}" if other else "-",
                     f"{joint / other:.3f}" if other else "-",
                     ", ".join(f"{win.low:.4f} .. {win.high:.4f}" for win in found) or "nowhere",
                     " ".join(point.method for point in undominated(ours)),
                     " ".join(point.method for point in undominated(theirs)),
                     f"{least[0].cost:.3f}, {least[1].cost:.3f}"))
    columns = ("cost, over the baseline's", "searched", "baselines", "ratio", "both over baselines",
               "KL net where searched is cheaper", "front of searched", "front of baselines", "least cost of each")
    left = f" Counted among the baselines, as all their tiles use one fixed grid: {', '.join(same)}." if same else ""
    return Grid(columns, tuple(rows), f"Area that each front dominates, in KL net x cost, up to {BEYOND:g} times the "
                                      f"largest KL of any method and the cost of {comparison.base.method}.{left} "
                                      f"{comparison.note}")


def matched_grid(comparison: Comparison, merits: Mapping[str, Merit], same: Sequence[str] = ()) -> Grid:
    """Return for each baseline the searched method that spends least in the array at no higher KL, and what it gains.

    Args:
        comparison: what was found.
        merits: of the methods.
        same: searched methods that are baselines themselves.
    """
    rows = []
    bought = {item.method: item for item in comparison.standings["one throughput"]
              if item.method in merits and not is_dedicated(comparison, item)}
    plain = {item.method: item for item in comparison.standings["one voltage"]}
    ours = [item for item in bought.values() if merits[item.method].ours and item.method not in same]
    for method, item in bought.items():
        if item in ours:
            continue
        able = [one for one in ours if merits[one.method].kl <= merits[method].kl]
        head = (method, f"{merits[method].kl:.5f}", f"{item.array_fj / comparison.base.array_fj:.3f}")
        if not able:
            rows.append((*head, "none", *["-"] * 4))
            continue
        best = min(able, key=lambda one: one.array_fj)
        rows.append((*head, best.method, f"{merits[best.method].kl:.5f}", f"{best.array_fj / item.array_fj:.3f}",
                     f"{best.on_chip_fj / item.on_chip_fj:.3f}",
                     f"{plain[best.method].time_s / plain[method].time_s:.3f}"))
    columns = ("baseline", "KL net", f"array energy / {comparison.base.method}", "searched, no higher KL", "its KL net",
               "array energy / baseline", "on-chip energy / baseline", "time at one voltage / baseline")
    return Grid(columns, tuple(rows), "At one throughput, every voltage open: the searched method that spends least in "
                                      "the array among those that lose no more than the baseline does. "
                                      f"{comparison.note}")
