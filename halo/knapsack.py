"""Multiple-choice knapsack: one choice for each item, least loss within budgets; exact, or with its gap told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog
from scipy.sparse import coo_array

from halo.errors import ConfigError
from halo.mixed_integer import solve_mixed_integer

EXACT_ITEMS = 20_000
SECONDS = 60.0
ROUNDS = 60
OPTIMAL, INFEASIBLE = 0, 2  # of scipy.optimize.milp
CLOSE, ROUNDING = 1e-6, 1e-9
# Prices above this many times the whole loss per unit of a budget buy nothing more.
DEAREST = 1e6


@dataclass(frozen=True, eq=False)
class Choices:
    """What each item may be, and what that takes.

    Attributes:
        loss: float64 `[items, choices]`; infinite where an item has no such choice.
        usage: resource -> float64 `[items, choices]`; sums over items count.
    """

    loss: np.ndarray
    usage: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Solution:
    """One choice for each item.

    Attributes:
        picks: int64 `[items]`.
        loss: their sum.
        gap: at most this share above the least possible loss; 0 where proved exact.
    """

    picks: np.ndarray
    loss: float
    gap: float


@dataclass(frozen=True, eq=False)
class Priced:
    """What prices of the budgets say.

    Attributes:
        picks: the best choice found that keeps every budget, int64 `[items]`; None where none was.
        bound: no choice that keeps the budgets loses less, as a share of the whole loss.
        dearer: how much more each choice costs at the best prices than its item's best, `[items, choices]`.
    """

    picks: np.ndarray | None
    bound: float
    dearer: np.ndarray


def solve(choices: Choices, budgets: Mapping[str, float], exact_items: int = EXACT_ITEMS) -> Solution:
    """Return the choice of least loss that keeps every budget.

    Lagrange multipliers give a choice and a bound. Whatever costs more at their prices than lies between the two is in
    no better choice; the items that still have several are chosen for by branch and bound (HiGHS), where they are at
    most `exact_items`, until nothing better is left or a minute has passed.

    Raises:
        ConfigError: no choice keeps the budgets; the message says what the least usage is.
    """
    limits = {name: limit for name, limit in budgets.items() if np.isfinite(limit)}
    for name, limit in limits.items():
        least = float(np.where(np.isfinite(choices.loss), choices.usage[name], np.inf).min(1).sum())
        if least > limit * (1 + 1e-12):
            raise ConfigError(f"budget {name} = {limit:.4g} cannot be kept: no choice of codebooks takes less than "
                              f"{least:.4g}.")
    if not limits:
        picks = choices.loss.argmin(1)
        return Solution(picks, total(choices.loss, picks), 0.0)
    whole = max(float(np.where(np.isfinite(choices.loss), choices.loss, 0.0).max(1).sum()), 1e-300)
    share = Choices(choices.loss / whole, {name: choices.usage[name] / limit for name, limit in limits.items()})
    found = finish(share, priced(share), exact_items)
    if found is None:
        raise ConfigError(f"budgets {', '.join(f'{name} = {limit:.4g}' for name, limit in limits.items())} cannot be "
                          "kept together; loosen one.")
    return Solution(found.picks, total(choices.loss, found.picks), found.gap)


def total(values: np.ndarray, picks: np.ndarray) -> float:
    """Return the sum of the picked values."""
    return float(values[np.arange(len(picks)), picks].sum())


def finish(share: Choices, found: Priced, exact_items: int) -> Solution | None:
    """Return the best choice of all, from what prices found; None where none keeps the budgets."""
    upper = np.inf if found.picks is None else total(share.loss, found.picks)
    open_choice = np.isfinite(share.loss) & (found.dearer <= upper - found.bound + ROUNDING)
    cheapest = np.where(open_choice, found.dearer, np.inf).argmin(1)
    core = np.flatnonzero(open_choice.sum(1) > 1)
    gap = max(0.0, (upper - found.bound) / max(abs(found.bound), 1e-300))
    if gap <= CLOSE or not 0 < len(core) <= exact_items:
        return None if found.picks is None else Solution(found.picks, upper, gap if len(core) else 0.0)
    fixed = np.setdiff1d(np.arange(len(share.loss)), core)
    left = [1.0 - float(usage[fixed, cheapest[fixed]].sum()) for usage in share.usage.values()]
    inside, proved = branch_and_bound(Choices(np.where(open_choice, share.loss, np.inf)[core],
                                              {name: usage[core] for name, usage in share.usage.items()}), left)
    picks = cheapest.copy()
    if inside is not None:
        picks[core] = inside
    if inside is None or (found.picks is not None and upper < total(share.loss, picks)):
        return None if found.picks is None else Solution(found.picks, upper, 0.0 if proved else gap)
    loss = total(share.loss, picks)
    return Solution(picks, loss, 0.0 if proved else max(0.0, (loss - found.bound) / max(abs(found.bound), 1e-300)))


def branch_and_bound(choices: Choices, left: list[float]) -> tuple[np.ndarray | None, bool]:
    """Return the best choice found whose usages stay within `left`, or None, and whether nothing better is left."""
    items, options = choices.loss.shape
    allowed = np.isfinite(choices.loss).ravel()
    columns = np.arange(items * options)
    one_each = coo_array((np.ones(items * options), (columns // options, columns)), (items, items * options))
    usage = np.stack([each.ravel() for each in choices.usage.values()])
    loss = np.where(allowed, choices.loss.ravel(), 0.0)
    unit = max(float(loss.max()), 1e-300)
    found = solve_mixed_integer(
        loss / unit, np.ones(items * options), Bounds(0, allowed.astype(float)),
        [LinearConstraint(one_each, 1, 1), LinearConstraint(usage, -np.inf, left)],
        {"time_limit": SECONDS, "mip_rel_gap": CLOSE})
    picks = None if found.x is None else found.x.reshape(items, options).argmax(1)
    return picks, found.status in (OPTIMAL, INFEASIBLE)


def priced(share: Choices) -> Priced:
    """Return what the best prices of the budgets say, all budgets being 1.

    Each round asks what is best at the present prices: that is one more plane above the dual function, whose highest
    point gives the next prices.
    """
    usage = np.stack(list(share.usage.values()))
    prices, best_prices, bound = np.zeros(len(usage)), np.zeros(len(usage)), -np.inf
    planes: list[np.ndarray] = []
    heights: list[float] = []
    best: np.ndarray | None = None
    for _ in range(ROUNDS):
        picks = (share.loss + np.tensordot(prices, usage, 1)).argmin(1)
        excess = np.array([total(each, picks) - 1.0 for each in usage])
        loss = total(share.loss, picks)
        if loss + float(prices @ excess) > bound:
            bound, best_prices = loss + float(prices @ excess), prices
        if (excess <= ROUNDING).all() and (best is None or loss < total(share.loss, best)):
            best = picks
        planes.append(excess)
        heights.append(loss)
        # Greatest theta with theta <= loss_j + prices . excess_j for all rounds j.
        above = np.column_stack([-np.array(planes), np.ones(len(planes))])
        master = linprog(np.append(np.zeros(len(usage)), -1.0), above, heights,
                         bounds=[(0, DEAREST)] * len(usage) + [(None, None)])
        if not master.success or -master.fun - bound <= CLOSE * abs(bound):
            break
        prices = master.x[:-1]
    cost = share.loss + np.tensordot(best_prices, usage, 1)
    mended_picks = mended(share.loss, usage, cost.argmin(1))
    if mended_picks is not None and (best is None or total(share.loss, mended_picks) < total(share.loss, best)):
        best = mended_picks
    return Priced(best, bound, cost - cost.min(1, keepdims=True))


def mended(loss: np.ndarray, usage: np.ndarray, picks: np.ndarray) -> np.ndarray | None:
    """Return `picks` moved item by item until every budget is kept, and then back where room is left; None if neither.

    Items move first to choices that cost least loss for the excess they remove, of both budgets together, and then to
    those that save most. A move that removes nothing of the excess at its turn, or brings some, is left out; rates are
    asked anew as long as some move is made.
    """
    index = np.arange(len(loss))
    for repairing in (True, False):
        used, moves = usage[:, index, picks].sum(1), -1
        while moves and not (repairing and (used <= 1.0).all()):
            moves, over = 0, np.maximum(used - 1.0, 0.0)
            change = loss - loss[index, picks][:, None]
            moved = usage - usage[:, index, picks][:, :, None]
            relief = np.minimum(-np.tensordot(over, moved, 1), float(over @ over)) if repairing else 1.0
            useful = (relief > 0) & np.isfinite(change) if repairing else change < 0
            rate = np.full_like(change, np.inf)
            np.divide(change, relief, out=rate, where=useful)
            option = rate.argmin(1)
            for item in np.argsort(rate[index, option], kind="stable"):
                target = option[item]
                if not np.isfinite(rate[item, target]) or (repairing and (used <= 1.0).all()):
                    break
                after = used + moved[:, item, target]
                if np.maximum(after - 1.0, 0.0).sum() < np.maximum(used - 1.0, 0.0).sum() or (
                        not repairing and (after <= 1.0).all()):
                    picks[item], used, moves = target, after, moves + 1
    return picks if (usage[:, index, picks].sum(1) <= 1.0 + ROUNDING).all() else None
