"""best_schedule(): the schedule that is best in time, energy, their product, or energy within a time, and how surely.

Least cost at one price of time is exact (`schedule.py`). Such schedules are the corners of the convex front of time and
energy. The energy-delay product is quasi-concave, so its least value over all schedules lies on a corner; corners
are searched between tangents until none can be better. Under a limit on time, the price at which the front crosses it
gives the LP bound (Lagrangian duality: the choice is a shortest path, whose LP is integral). Arrangements that could
still be part of something better than the corner within the limit, found by their reduced cost, go to an exact MILP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import Bounds, LinearConstraint
from scipy.sparse import coo_array

from halo.mixed_integer import solve_mixed_integer
from halo.schedule import (
    Changes,
    Columns,
    Schedule,
    Stage,
    cheapest_schedule,
    min_plus,
    schedule_of,
    stage_columns,
    stage_cost,
    step_table,
    weigh,
)

Objective = Literal["time", "energy", "edp"]
# A price of time at which a millionth of the time is worth all energy: ties in time are broken by energy.
DEAR = 1e6
EXACT = 1e-9
MAX_COLUMNS = 10_000


@dataclass(frozen=True, slots=True)
class Best:
    """A schedule, and what bounds it.

    Attributes:
        value: of the objective: s, fJ, or fJ s.
        bound: nothing is better than this; of the LP where a limit on time binds.
        heuristic: value of the best corner of the convex front, without the MILP.
        how: which methods were needed.
    """

    schedule: Schedule
    value: float
    bound: float
    heuristic: float
    how: str

    @property
    def gap(self) -> float:
        """Value over bound, less one."""
        return max(self.value / self.bound - 1.0, 0.0) if self.bound > 0 else 0.0

    @property
    def heuristic_gap(self) -> float:
        """The corner's value over the bound, less one."""
        return max(self.heuristic / self.bound - 1.0, 0.0) if self.bound > 0 else 0.0


def fastest_schedule(stages: Sequence[Stage], changes: Changes) -> Schedule:
    """Return the schedule of least time; where times are equal within a millionth, that of least energy."""
    cheap = cheapest_schedule(stages, changes, 0.0)
    return cheapest_schedule(stages, changes, DEAR * cheap.energy_fj / cheap.time_s)


def best_schedule(
    stages: Sequence[Stage], changes: Changes, objective: Objective, max_time_s: float = np.inf, gap: float = 1e-3,
    nodes: int = 500,
) -> Best | None:
    """Return the best schedule within `max_time_s`, or None where even the fastest takes longer.

    Args:
        stages: of one pass, in order.
        changes: what changing the point costs.
        objective: what is least.
        max_time_s: limit on the pass; the product has none.
        gap: the corner is taken without a MILP when it is this close to the LP bound.
        nodes: of the MILP's search tree; a limit on seconds would make plans depend on the machine.
    """
    fastest = fastest_schedule(stages, changes)
    if fastest.time_s > max_time_s * (1 + EXACT):
        return None
    if objective == "time":
        return Best(fastest, fastest.time_s, fastest.time_s * (1 - 1 / DEAR), fastest.time_s, "dynamic programming")
    cheap = cheapest_schedule(stages, changes, 0.0)
    if objective == "edp":
        return least_product(stages, changes, cheap, fastest)
    if cheap.time_s <= max_time_s * (1 + EXACT):
        return Best(cheap, cheap.energy_fj, cheap.energy_fj, cheap.energy_fj, "dynamic programming")
    return within(stages, changes, max_time_s, cheap, fastest, gap, nodes)


def least_product(stages: Sequence[Stage], changes: Changes, cheap: Schedule, fast: Schedule) -> Best:
    """Return the schedule of least energy x time, from the corners of the convex front."""
    best = min((cheap, fast), key=product_of)
    open_edges = [(cheap, 0.0, fast, DEAR * cheap.energy_fj / cheap.time_s)]
    while open_edges:
        slow, low, quick, high = open_edges.pop()
        run, rise = slow.time_s - quick.time_s, quick.energy_fj - slow.energy_fj
        if run <= EXACT * slow.time_s or rise <= EXACT * slow.energy_fj:
            continue
        floor = apex_product(slow, low, quick, high)
        if floor >= product_of(best) * (1 - EXACT):
            continue
        price = rise / run
        corner = cheapest_schedule(stages, changes, price)
        if corner.energy_fj + price * corner.time_s >= (slow.energy_fj + price * slow.time_s) * (1 - EXACT):
            continue
        best = min((best, corner), key=product_of)
        open_edges += [(slow, low, corner, price), (corner, price, quick, high)]
    value = product_of(best)
    return Best(best, value, value * (1 - EXACT), value, "dynamic programming, corners of the convex front")


def product_of(schedule: Schedule) -> float:
    """Return energy x time."""
    return schedule.energy_fj * schedule.time_s


def apex_product(slow: Schedule, low: float, quick: Schedule, high: float) -> float:
    """Return the least product that the tangents through two corners leave possible between them."""
    if high <= low:
        return np.inf
    time = (quick.energy_fj + high * quick.time_s - slow.energy_fj - low * slow.time_s) / (high - low)
    energy = slow.energy_fj + low * (slow.time_s - time)
    corners = (time * energy, product_of(slow), product_of(quick))
    return float(min(corners))


def within(
    stages: Sequence[Stage], changes: Changes, max_time_s: float, cheap: Schedule, fast: Schedule, gap: float,
    nodes: int,
) -> Best:
    """Return the schedule of least energy within `max_time_s`, between one that is too slow and one that is not."""
    slow, quick = cheap, fast
    while True:
        price = (quick.energy_fj - slow.energy_fj) / (slow.time_s - quick.time_s)
        corner = cheapest_schedule(stages, changes, price)
        line = slow.energy_fj + price * slow.time_s
        if corner.energy_fj + price * corner.time_s >= line * (1 - EXACT):
            break
        if corner.time_s <= max_time_s:
            quick = corner
        else:
            slow = corner
    bound = min(line, corner.energy_fj + price * corner.time_s) - price * max_time_s
    found = Best(quick, quick.energy_fj, bound, quick.energy_fj, "dynamic programming, LP bound")
    if found.gap <= gap:
        return found
    mixed = mixed_corners(slow, quick, stages, changes, max_time_s)
    if mixed is not None and mixed.energy_fj < quick.energy_fj:
        found = Best(mixed, mixed.energy_fj, bound, quick.energy_fj, f"{found.how}, two corners in turn")
        if found.gap <= gap:
            return found
    better, how = solve_milp(stages, changes, max_time_s, price, found, nodes)
    chosen = better or found.schedule
    return Best(chosen, chosen.energy_fj, bound, quick.energy_fj, f"{found.how}, {how}")


def mixed_corners(
    slow: Schedule, quick: Schedule, stages: Sequence[Stage], changes: Changes, max_time_s: float
) -> Schedule | None:
    """Return the schedule of least energy in time that runs one stretch of stages as `slow` does, the rest as `quick`.

    Both cost the least at one price of time, so that a stretch of any length costs no more than the two changes at its
    ends: where stages are many and alike, the front's corners lie far apart and a MILP searches long. Every stretch of
    the circle is tried, by running sums: stages^2. None where no stretch is fast enough.
    """
    n = len(stages)
    stretches = np.arange(n)[:, None], np.arange(1, n)[None, :]
    ends = (stretches[0] + stretches[1]) % n
    totals = []
    for kind, between in (("time_s", changes.between_s), ("energy_fj", changes.between_fj)):
        own = [np.array([getattr(stage_cost(stage, changes, item), kind)[0]
                         for stage, item in zip(stages, plan.arrangements, strict=True)]) for plan in (slow, quick)]
        first, last = ([np.array([item.route[at] for item in plan.arrangements]) for plan in (slow, quick)]
                       for at in (0, -1))
        before = [np.roll(points, 1) for points in last]
        link = [between[before[at], first[at]] for at in (0, 1)]
        gain = np.concatenate([[0.0], np.cumsum(np.tile(own[0] + link[0] - own[1] - link[1], 2))])
        inside = gain[stretches[0] + stretches[1]] - gain[stretches[0]]
        into, out = between[before[1], first[0]] - link[0], between[before[0], first[1]] - link[1]
        totals.append(getattr(quick, kind) + inside + into[stretches[0]] + out[ends])
    time_s, energy_fj = totals
    if not n or not (time_s <= max_time_s).any():
        return None
    start, length = np.unravel_index(np.where(time_s <= max_time_s, energy_fj, np.inf).argmin(), time_s.shape)
    members = {(int(start) + at) % n for at in range(int(length) + 1)}
    return schedule_of([(slow if at in members else quick).arrangements[at] for at in range(n)], stages, changes)


def solve_milp(
    stages: Sequence[Stage], changes: Changes, max_time_s: float, price: float, found: Best, nodes: int
) -> tuple[Schedule | None, str]:
    """Return the schedule of least energy within the limit, out of arrangements whose reduced cost allows a better one.

    One binary per arrangement, one flow per pair of points between stages: what leaves a stage at a point enters the
    next one. Also returns what became of it; None where no better one is
    found.
    """
    slack = found.value - found.bound
    columns = prune([stage_columns(stage, changes, price, slack) for stage in stages], changes, price, slack)
    size = sum(len(item.arrangements) for item in columns)
    if size > MAX_COLUMNS:
        return None, f"no MILP: {size} arrangements could be better, at most {MAX_COLUMNS} are searched"
    model = Flow(columns, changes)
    result = solve_mixed_integer(model.cost, model.integrality, Bounds(0, 1), model.constraints(max_time_s),
                                 {"node_limit": nodes, "mip_rel_gap": 1e-6})
    if result.x is None:
        return None, f"MILP (HiGHS): nothing found in {nodes} nodes"
    chosen = model.chosen(result.x)
    schedule = schedule_of([item.arrangements[at] for item, at in zip(columns, chosen, strict=True)], stages, changes)
    feasible = schedule.time_s <= max_time_s * (1 + EXACT)
    if feasible and schedule.energy_fj < found.value:
        return schedule, "MILP (HiGHS)"
    return None, "MILP (HiGHS): nothing better"


def prune(columns: Sequence[Columns], changes: Changes, price: float, slack: float) -> list[Columns]:
    """Return only the columns that lie on a circle within `slack` of the cheapest."""
    used = np.unique(np.concatenate([item.last for item in columns] + [item.first for item in columns]))
    between = weigh(changes.between_fj, changes.between_s, price)
    tables = [step_table(item, used, between, price)[0] for item in columns]
    unit = np.where(np.eye(len(used), dtype=bool), 0.0, np.inf)
    before, after = [unit], [unit]
    for table in tables:
        before.append(min_plus(before[-1], table))
    for table in reversed(tables):
        after.append(min_plus(table, after[-1]))
    least = float(np.diagonal(before[-1]).min())
    kept = []
    for at, item in enumerate(columns):
        # From the end of this stage once around to the point before it.
        around = min_plus(after[len(columns) - 1 - at], before[at])
        entry = min_plus(around, between[np.ix_(used, item.first)])
        cost = entry[np.searchsorted(used, item.last), np.arange(len(item.first))]
        cost = cost + weigh(item.energy_fj, item.time_s, price)
        kept.append(take(item, np.flatnonzero(cost <= least + slack + 1e-12 * abs(least))))
    return kept


def take(columns: Columns, at: np.ndarray) -> Columns:
    """Return some of the columns."""
    return Columns(tuple(columns.arrangements[i] for i in at), columns.first[at], columns.last[at], columns.time_s[at],
                   columns.energy_fj[at])


class Flow:
    """The MILP: one unit flows around the circle of stages."""

    def __init__(self, columns: Sequence[Columns], changes: Changes) -> None:
        cost: list[float] = []
        time: list[float] = []
        rows: list[tuple[int, int, float]] = []
        self.spans: list[tuple[int, int]] = []
        self.bounds: list[float] = []
        for item in columns:
            start = len(cost)
            self.spans.append((start, start + len(item.arrangements)))
            cost += item.energy_fj.tolist()
            time += item.time_s.tolist()
            rows += [(len(self.bounds), start + i, 1.0) for i in range(len(item.arrangements))]
            self.bounds.append(1.0)
        self.n_binary = len(cost)
        for at, item in enumerate(columns):
            following = (at + 1) % len(columns)
            self.link(item, columns[following], self.spans[at], self.spans[following], changes, cost, time, rows)
        self.cost, self.time, self.rows = np.array(cost), np.array(time), rows
        self.integrality = (np.arange(len(cost)) < self.n_binary).astype(int)

    def link(
        self, left: Columns, right: Columns, span: tuple[int, int], next_span: tuple[int, int], changes: Changes,
        cost: list[float], time: list[float], rows: list[tuple[int, int, float]],
    ) -> None:
        """Add the flows from each point that `left` can end at to each that `right` can begin at."""
        outs = {int(point): len(self.bounds) + i for i, point in enumerate(np.unique(left.last))}
        self.bounds += [0.0] * len(outs)
        ins = {int(point): len(self.bounds) + i for i, point in enumerate(np.unique(right.first))}
        self.bounds += [0.0] * len(ins)
        rows += [(outs[int(point)], span[0] + i, 1.0) for i, point in enumerate(left.last)]
        rows += [(ins[int(point)], next_span[0] + i, -1.0) for i, point in enumerate(right.first)]
        for start, out_row in outs.items():
            for end, in_row in ins.items():
                rows += [(out_row, len(cost), -1.0), (in_row, len(cost), 1.0)]
                cost.append(float(changes.between_fj[start, end]))
                time.append(float(changes.between_s[start, end]))

    def constraints(self, max_time_s: float) -> list[LinearConstraint]:
        """Return flow conservation, and the limit on time as a share of it."""
        row, col, value = (np.array(part) for part in zip(*self.rows, strict=True))
        matrix = coo_array((value, (row, col)), shape=(len(self.bounds), len(self.cost))).tocsr()
        shares = coo_array((self.time / max_time_s, (np.zeros(len(self.time), int), np.arange(len(self.time)))),
                           shape=(1, len(self.cost))).tocsr()
        return [LinearConstraint(matrix, self.bounds, self.bounds), LinearConstraint(shares, -np.inf, 1.0)]

    def chosen(self, values: np.ndarray) -> list[int]:
        """Return which column of each stage a solution takes."""
        return [int(values[start:end].argmax()) for start, end in self.spans]
