"""cheapest_schedule(): which point every group of loads runs at and in which order, exactly, for one price of time.

A pass is a circle of stages. A stage holds groups of loads that may run in any order; each takes one point (a voltage
and a clock). Cost is energy + price x time, of the groups, of every change of point, and of partial sums that are put
aside where one column's loads run in several blocks. Two groups at one point run as one block and change nothing.

The optimum is found by dynamic programming over the point a stage leaves the array at. Within a stage all assignments
and orders are tried that can be optimal: a point that costs a group more than its best one by more than all changes
and partial sums of the stage could save is left out, which loses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, permutations, product

import numpy as np

from halo.errors import PlanError

MAX_ARRANGEMENTS = 300_000


@dataclass(frozen=True, eq=False)
class Stage:
    """Groups of loads that depend on nothing in the same stage.

    Attributes:
        time_s, energy_fj: of each group at each point; infinite where it may not run `[group, point]`.
        spills: (groups, energy): what it costs each time the columns that these groups share are left and come back to.
    """

    name: str
    time_s: np.ndarray
    energy_fj: np.ndarray
    spills: tuple[tuple[tuple[int, ...], float], ...] = ()


@dataclass(frozen=True, eq=False)
class Changes:
    """What a change from one point to another costs; nothing on the diagonal `[point, point]`.

    Attributes:
        between_s, between_fj: between stages, where the array is empty.
        inside_s, inside_fj: within a stage, where two wavefronts meet.
    """

    between_s: np.ndarray
    between_fj: np.ndarray
    inside_s: np.ndarray
    inside_fj: np.ndarray


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How one stage runs: the point of each of its groups, and their order."""

    points: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def route(self) -> tuple[int, ...]:
        """The points in the order of execution."""
        return tuple(self.points[group] for group in self.order)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a whole pass runs, one arrangement per stage, with its time and energy."""

    arrangements: tuple[Arrangement, ...]
    time_s: float
    energy_fj: float


@dataclass(frozen=True, eq=False)
class Columns:
    """The arrangements of one stage that can be optimal, `[column]`; `first` and `last` are points."""

    arrangements: tuple[Arrangement, ...]
    first: np.ndarray
    last: np.ndarray
    time_s: np.ndarray
    energy_fj: np.ndarray


def cheapest_schedule(stages: Sequence[Stage], changes: Changes, fj_per_s: float) -> Schedule:
    """Return the schedule of least energy + `fj_per_s` x time.

    Complexity: stages x (points^3 + arrangements), with only the points that are left over anywhere.

    Raises:
        PlanError: some stage has too many arrangements.
    """
    columns = [stage_columns(stage, changes, fj_per_s) for stage in stages]
    return schedule_of([item.arrangements[at] for item, at in zip(columns, best_route(columns, changes, fj_per_s),
                                                                  strict=True)], stages, changes)


def weigh(energy_fj: np.ndarray, time_s: np.ndarray, fj_per_s: float) -> np.ndarray:
    """Return energy + price x time, infinite where either is, whatever the price."""
    return np.where(np.isinf(energy_fj), np.inf, energy_fj + fj_per_s * np.where(np.isinf(time_s), 0.0, time_s))


def stage_columns(stage: Stage, changes: Changes, fj_per_s: float, slack: float = 0.0) -> Columns:
    """Return the arrangements of a stage that can be part of a schedule within `slack` of the cheapest."""
    cost = weigh(stage.energy_fj, stage.time_s, fj_per_s)
    n_groups = len(cost)
    dearest = max(float(weigh(e, s, fj_per_s).max()) for e, s in (
        (changes.between_fj, changes.between_s), (changes.inside_fj, changes.inside_s)))
    spilled = sum(energy * (len(groups) - 1) for groups, energy in stage.spills)
    allowance = (n_groups + 1) * dearest + spilled + slack
    best = cost.min(axis=1)
    # A hair more than nothing: equal costs differ by rounding.
    options = [np.flatnonzero(row <= low + allowance + 1e-12 * abs(low)) for row, low in zip(cost, best, strict=True)]
    count = math.prod(map(len, options)) * math.factorial(n_groups)
    if count > MAX_ARRANGEMENTS:
        raise PlanError(f"{stage.name}: {n_groups} clock classes at {max(map(len, options))} points make {count} "
                        "arrangements, too many to be sure of the best; plan fewer voltages (dvfs.voltages).")
    return enumerate_columns(stage, changes, tuple(tuple(row.tolist()) for row in options))


def enumerate_columns(stage: Stage, changes: Changes, options: tuple[tuple[int, ...], ...]) -> Columns:
    """Return all assignments of points out of `options` to groups, in all orders that differ."""
    points, orders = arrangements_of(options)
    groups = np.arange(points.shape[1])
    energy = stage.energy_fj[groups, points].sum(axis=1)
    time = stage.time_s[groups, points].sum(axis=1)
    for members, each in stage.spills:
        inside = np.sort(points[:, list(members)], axis=1)
        energy = energy + each * (np.diff(inside, axis=1) != 0).sum(axis=1)
    route = np.take_along_axis(points, orders, axis=1)
    for at in range(route.shape[1] - 1):
        energy = energy + changes.inside_fj[route[:, at], route[:, at + 1]]
        time = time + changes.inside_s[route[:, at], route[:, at + 1]]
    made = tuple(Arrangement(tuple(p), tuple(o)) for p, o in zip(points.tolist(), orders.tolist(), strict=True))
    return Columns(made, route[:, 0], route[:, -1], time, energy)


@lru_cache(maxsize=4096)
def arrangements_of(options: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return points and orders `[arrangement, group]`; orders that give the same route count once."""
    points, orders = [], []
    for chosen in product(*options):
        seen = set()
        for order in permutations(range(len(chosen))):
            route = tuple(chosen[group] for group in order)
            if blocks(route) and route not in seen:
                seen.add(route)
                points.append(chosen)
                orders.append(order)
    return np.array(points), np.array(orders)


def blocks(route: tuple[int, ...]) -> bool:
    """Return whether each point is visited once: coming back to one saves nothing.

    >>> blocks((3, 3, 1)), blocks((3, 1, 3))
    (True, False)
    """
    return len({*route}) == 1 + sum(a != b for a, b in pairwise(route))


def best_route(columns: Sequence[Columns], changes: Changes, fj_per_s: float) -> list[int]:
    """Return which column of each stage the cheapest circle takes."""
    used = np.unique(np.concatenate([item.last for item in columns] + [item.first for item in columns]))
    between = weigh(changes.between_fj, changes.between_s, fj_per_s)
    tables = [step_table(item, used, between, fj_per_s) for item in columns]
    whole = np.where(np.eye(len(used), dtype=bool), 0.0, np.inf)
    for table, _ in tables:
        whole = min_plus(whole, table)
    end = int(np.diagonal(whole).argmin())
    costs = [np.where(np.arange(len(used)) == end, 0.0, np.inf)]
    for table, _ in tables:
        costs.append((costs[-1][:, None] + table).min(axis=0))
    route, at = [], end
    for (table, taken), before in zip(reversed(tables), reversed(costs[:-1]), strict=True):
        previous = int((before + table[:, at]).argmin())
        route.append(int(taken[previous, at]))
        at = previous
    return route[::-1]


def step_table(
    columns: Columns, used: np.ndarray, between: np.ndarray, fj_per_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least cost from each point before the stage to each it ends at, and the column that has it."""
    cost = weigh(columns.energy_fj, columns.time_s, fj_per_s)
    through = between[np.ix_(used, columns.first)] + cost
    table, taken = np.full((len(used), len(used)), np.inf), np.zeros((len(used), len(used)), dtype=np.int64)
    for to, point in enumerate(used):
        at = np.flatnonzero(columns.last == point)
        if at.size:
            chosen = through[:, at].argmin(axis=1)
            table[:, to], taken[:, to] = through[np.arange(len(used)), at[chosen]], at[chosen]
    return table, taken


def min_plus(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the least sums over paths of two steps, `[from, to]`."""
    return np.asarray((left[:, :, None] + right[None, :, :]).min(axis=1))


def stage_cost(stage: Stage, changes: Changes, item: Arrangement) -> Columns:
    """Return one arrangement of a stage with its time and energy, what comes before and after it apart."""
    only = enumerate_columns(stage, changes, tuple((point,) for point in item.points))
    at = [[made.route for made in only.arrangements].index(item.route)]
    return Columns((item,), only.first[at], only.last[at], only.time_s[at], only.energy_fj[at])


def schedule_of(arrangements: Sequence[Arrangement], stages: Sequence[Stage], changes: Changes) -> Schedule:
    """Return a schedule with its time and energy summed from its parts."""
    time = energy = 0.0
    for i, (stage, item) in enumerate(zip(stages, arrangements, strict=True)):
        own = stage_cost(stage, changes, item)
        before = arrangements[i - 1].route[-1]
        time += float(own.time_s[0] + changes.between_s[before, item.route[0]])
        energy += float(own.energy_fj[0] + changes.between_fj[before, item.route[0]])
    return Schedule(tuple(arrangements), time, energy)
