"""The best few of many values: which at most K of the allowed codes represent a histogram of weights best, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Histogram:
    """Where the weights lie, in units of their row's spread, and what an error there costs.

    Attributes:
        position: float64 `[bins]`, increasing.
        mass: float64 `[bins]`, the summed sensitivity of the weights of each bin.
    """

    position: np.ndarray
    mass: np.ndarray

    def prefix_sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return running sums of mass, mass x position and mass x position^2, float64 `[bins + 1]`, from 0."""
        terms = (self.mass, self.mass * self.position, self.mass * self.position**2)
        first, second, third = (np.concatenate([[0.0], np.cumsum(term)]) for term in terms)
        return first, second, third


@dataclass(frozen=True, slots=True)
class Subset:
    """The chosen codes, the step between two codes in units of spread, and the loss as a share of all energy."""

    codes: tuple[int, ...]
    step: float
    loss: float


def squared_error(
    sums: tuple[np.ndarray, np.ndarray, np.ndarray], low: np.ndarray, high: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Return sum of mass x (position - level)^2 over bins `low` to `high`, for arrays of index pairs and levels."""
    mass, first, second = (total[high] - total[low] for total in sums)
    return np.asarray(second - 2 * level * first + level**2 * mass)


def gap_costs(histogram: Histogram, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the weights outside and between levels cost if nothing between them is chosen.

    Returns:
        Below each level `[n]`, above each level `[n]`, and between each pair `[n, n]` (upper triangle).
    """
    sums, bins = histogram.prefix_sums(), len(histogram.position)
    at = np.searchsorted(histogram.position, levels)
    below = squared_error(sums, np.zeros_like(at), at, levels)
    above = squared_error(sums, at, np.full_like(at, bins), levels)
    middle = np.searchsorted(histogram.position, (levels[:, None] + levels[None, :]) / 2)
    left = squared_error(sums, np.broadcast_to(at[:, None], middle.shape), middle, levels[:, None])
    right = squared_error(sums, middle, np.broadcast_to(at[None, :], middle.shape), levels[None, :])
    return below, above, left + right


def choose_levels(histogram: Histogram, levels: np.ndarray, zero: int, count: int) -> tuple[tuple[int, ...], float]:
    """Return the positions in `levels` of the best at most `count` levels, `zero` among them, and their loss.

    Dynamic programming over the last chosen level: exact, since a weight goes to one of the two levels around it.
    """
    below, above, between = gap_costs(histogram, levels)
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
    loss, used, last = best
    chosen = [last]
    for step in reversed(came_from[:used]):
        chosen.append(int(step[chosen[-1]]))
    return tuple(reversed(chosen)), loss


def best_subset(histogram: Histogram, allowed: np.ndarray, count: int, reaches: np.ndarray) -> Subset:
    """Return the best at most `count` of the `allowed` codes (sorted, with 0), the common scale being free.

    Args:
        histogram: of weights in units of their spread.
        allowed: int codes that may be chosen.
        count: K.
        reaches: candidate positions of the code of largest magnitude, in units of spread.
    """
    zero = int(np.flatnonzero(allowed == 0)[0])
    energy = float((histogram.mass * histogram.position**2).sum())
    widest = max(1, int(np.abs(allowed).max()))
    found = Subset((0,), 0.0, 1.0)
    for reach in reaches:
        step = float(reach) / widest
        chosen, loss = choose_levels(histogram, allowed * step, zero, count)
        if loss / energy < found.loss:
            found = Subset(tuple(int(allowed[i]) for i in chosen), step, loss / energy)
    return found
