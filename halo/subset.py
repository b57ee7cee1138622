"""The best few of many values: which at most K of the allowed codes represent a histogram of weights best, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Histogram:
    """Where the weights lie, in units of their row's spread, and what an error there costs.

    Attributes:
        position: float64 `[bins]`, increasing.
        mass: float64 `[bins]`: a squared error of one unit of all weights of a bin costs this much.
        count: float64 `[bins]`, the weights of each bin.
    """

    position: np.ndarray
    mass: np.ndarray
    count: np.ndarray

    @cached_property
    def sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Running sums of mass, mass x position, mass x position^2 and count, float64 `[bins + 1]`, from 0."""
        terms = (self.mass, self.mass * self.position, self.mass * self.position**2, self.count)
        first, second, third, fourth = (np.concatenate([[0.0], np.cumsum(term)]) for term in terms)
        return first, second, third, fourth

    @property
    def energy(self) -> float:
        """What rounding every weight to 0 costs."""
        return float(self.sums[2][-1])


@dataclass(frozen=True, slots=True)
class Subset:
    """The chosen codes, and what they cost.

    Attributes:
        codes: sorted, with 0.
        step: between two codes, in units of spread.
        loss: squared error as a share of what rounding every weight to 0 costs.
        energy: mean energy of a weight's code.
        cost: squared error and prices together: what the choice minimizes.
        shares: of the weights that each code stands for.
    """

    codes: tuple[int, ...]
    step: float
    loss: float
    energy: float
    cost: float
    shares: tuple[float, ...]


def squared_error(histogram: Histogram, low: np.ndarray, high: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return sum of mass x (position - level)^2 over bins `low` to `high`, for arrays of index pairs and levels."""
    mass, first, second = (total[high] - total[low] for total in histogram.sums[:3])
    return np.asarray(second - 2 * level * first + level**2 * mass)


def borders(histogram: Histogram, low: np.ndarray, high: np.ndarray, dearer: np.ndarray) -> np.ndarray:
    """Return the first bin that goes to the level `high` instead of `low`, where that costs `dearer` more per weight.

    A weight of mean mass goes where error and price together are least: the border lies off the middle.
    """
    mean_mass = histogram.mass.sum() / histogram.count.sum()
    gap = np.maximum(high - low, 1e-300)
    at = np.clip((low + high) / 2 + dearer / (2 * mean_mass * gap), low, high)
    return np.asarray(np.searchsorted(histogram.position, at))


def gap_costs(histogram: Histogram, levels: np.ndarray, prices: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what the weights outside and between levels cost if nothing between them is chosen.

    Returns:
        Below each level `[n]`, above each level `[n]`, and between each pair `[n, n]` (upper triangle).
    """
    count, bins = histogram.sums[3], len(histogram.position)
    at = np.searchsorted(histogram.position, levels)
    below = squared_error(histogram, np.zeros_like(at), at, levels) + prices * count[at]
    above = squared_error(histogram, at, np.full_like(at, bins), levels) + prices * (count[-1] - count[at])
    low, high = np.broadcast_arrays(levels[:, None], levels[None, :])
    middle = borders(histogram, low, high, prices[None, :] - prices[:, None])
    left = squared_error(histogram, np.broadcast_to(at[:, None], middle.shape), middle, low)
    right = squared_error(histogram, middle, np.broadcast_to(at[None, :], middle.shape), high)
    paid = prices[:, None] * (count[middle] - count[at][:, None]) + prices[None, :] * (count[at] - count[middle])
    return below, above, left + right + paid


def choose_levels(
    histogram: Histogram, levels: np.ndarray, prices: np.ndarray, zero: int, count: int
) -> tuple[tuple[int, ...], float]:
    """Return the positions in `levels` of the best at most `count` levels, `zero` among them, and their cost.

    Dynamic programming over the last chosen level: exact, where a weight goes to one of the two levels around it.
    """
    below, above, between = gap_costs(histogram, levels, prices)
    index = np.arange(len(levels))
    forbidden = (index[:, None] >= index[None, :]) | ((index[:, None] < zero) & (index[None, :] > zero))
    between = np.where(forbidden, np.inf, between)
    cost = np.where(index <= zero, below, np.inf)
    end = np.where(index >= zero, above, np.inf)
    came_from: list[np.ndarray] = []
    best = (float((cost + end).min()), 0, int((cost + end).argmin()))
    for used in range(1, min(count, len(levels))):
        reach = cost[:, None] + between
        came_from.append(reach.argmin(0))
        cost = reach.min(0)
        best = min(best, (float((cost + end).min()), used, int((cost + end).argmin())))
    least, used, last = best
    chosen = [last]
    for step in reversed(came_from[:used]):
        chosen.append(int(step[chosen[-1]]))
    return tuple(reversed(chosen)), least


def best_subset(
    histogram: Histogram, allowed: np.ndarray, count: int, reaches: np.ndarray, prices: np.ndarray | None = None,
    energy: np.ndarray | None = None,
) -> Subset:
    """Return the best at most `count` of the `allowed` codes (sorted, with 0), the common scale being free.

    Args:
        histogram: of weights in units of their spread.
        allowed: int codes that may be chosen.
        count: K.
        reaches: candidate positions of the code of largest magnitude, in units of spread.
        prices: what a weight in each allowed code costs beside its error; None for nothing.
        energy: of each allowed code, to be told of the result; None for 0.
    """
    paid, spent = (np.zeros(len(allowed)) if each is None else each for each in (prices, energy))
    zero = int(np.flatnonzero(allowed == 0)[0])
    widest = max(1, int(np.abs(allowed).max()))
    found = describe(histogram, allowed, (zero,), 0.0, paid, spent)
    for reach in reaches:
        step = float(reach) / widest
        chosen, cost = choose_levels(histogram, allowed * step, paid, zero, count)
        if cost < found.cost:
            found = describe(histogram, allowed, chosen, step, paid, spent)
    return found


def describe(
    histogram: Histogram, allowed: np.ndarray, chosen: tuple[int, ...], step: float, prices: np.ndarray,
    energy: np.ndarray,
) -> Subset:
    """Return what the `chosen` positions of `allowed` cost at a given step, error and energy apart."""
    picked = list(chosen)
    levels = allowed[picked] * step
    cuts = borders(histogram, levels[:-1], levels[1:], np.diff(prices[picked]))
    edges = np.concatenate([[0], cuts, [len(histogram.position)]]).astype(int)
    error = float(squared_error(histogram, edges[:-1], edges[1:], levels).sum())
    count = np.diff(histogram.sums[3][edges])
    return Subset(tuple(int(code) for code in allowed[picked]), step, error / max(histogram.energy, 1e-300),
                  float((count * energy[picked]).sum() / count.sum()), error + float((count * prices[picked]).sum()),
                  tuple((count / count.sum()).tolist()))
