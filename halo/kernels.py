"""Codes and scales of a few columns of all rows, compiled for the processor: rows run in parallel, each on its own.

A row's share of the columns stays in the processor's cache while they are rounded one after the other; in error
feedback many rows go side by side, as many as vector instructions take. `feedback.py` and `rounding.py` do the same
with torch where tensors live on another device.

Arguments of the same name mean the same: `scales` float32 and `classes` int8 of every weight, `kept` bool its sparse
positions; `tables` float32 `[classes, most]` the sorted codes of each class, `counts` how many of them count, `prices`
what each costs, which counts only where `priced`; `worth` float32 `[rows]` what a unit of a row's error costs.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

LARGEST_VALUE = 127.0
FEW = 32
# Rows that a processor's vector instructions take side by side; fewer make loops so short that they stay scalar.
LANES = 64


@njit(cache=True)  # type: ignore[untyped-decorator]
def nearest_code(unit: float, codes: np.ndarray, count: int) -> float:
    """Return the nearest of the first `count` sorted codes; a tie goes to the lower one."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if unit > (codes[middle] + codes[middle + 1]) * np.float32(0.5):
            low = middle + 1
        else:
            high = middle
    return codes[low]  # type: ignore[no-any-return]


@njit(cache=True)  # type: ignore[untyped-decorator]
def cheapest_code(unit: float, codes: np.ndarray, count: int, prices: np.ndarray, weight: float) -> float:
    """Return the code of least weight x (unit - code)^2 + price; a tie goes to the lower one."""
    best, least = 0, np.float32(np.inf)
    for at in range(count):
        cost = prices[at] + weight * (unit - codes[at]) * (unit - codes[at])
        if cost < least:
            best, least = at, cost
    return codes[best]  # type: ignore[no-any-return]


@njit(cache=True)  # type: ignore[untyped-decorator]
def nearest_codes(units: np.ndarray, codes: np.ndarray, count: int, taken: np.ndarray) -> None:
    """Set `taken` to the nearest of the first `count` sorted integer codes for each of LANES units."""
    taken[:] = codes[0]
    for at in range(count - 1):
        border, gap = (codes[at] + codes[at + 1]) * np.float32(0.5), codes[at + 1] - codes[at]
        for lane in range(LANES):
            taken[lane] += gap if units[lane] > border else np.float32(0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def cheapest_codes(
    units: np.ndarray, codes: np.ndarray, count: int, prices: np.ndarray, weights: np.ndarray, taken: np.ndarray,
    least: np.ndarray,
) -> None:
    """Set `taken` to the code of least weight x (unit - code)^2 + price for each of LANES units, and `least` to that.

    A tie goes to the lower code, which a unit that is no number gets too.
    """
    taken[:], least[:] = codes[0], np.float32(np.inf)
    for at in range(count):
        code, price = codes[at], prices[at]
        for lane in range(LANES):
            cost = price + weights[lane] * (units[lane] - code) * (units[lane] - code)
            taken[lane] = code if cost < least[lane] else taken[lane]
            least[lane] = cost if cost < least[lane] else least[lane]


@njit(cache=True)  # type: ignore[untyped-decorator]
def choose_codes(
    units: np.ndarray, classes: np.ndarray, tables: np.ndarray, counts: np.ndarray, prices: np.ndarray, priced: bool,
    weights: np.ndarray, chosen: np.ndarray, taken: np.ndarray, least: np.ndarray,
) -> None:
    """Set `chosen` to the best code of each lane's class; `taken` and `least` are overwritten."""
    for own in range(len(tables)):
        if own != classes[0] and not (classes == own).any():
            continue
        if priced:
            cheapest_codes(units, tables[own], counts[own], prices[own], weights, taken, least)
        else:
            nearest_codes(units, tables[own], counts[own], taken)
        for lane in range(LANES):
            chosen[lane] = taken[lane] if classes[lane] == own else chosen[lane]


@njit(cache=True)  # type: ignore[untyped-decorator]
def round_kept(
    wanted: np.ndarray, kept: np.ndarray, row_scales: np.ndarray, codes: np.ndarray, values: np.ndarray, got: np.ndarray
) -> None:
    """Round the sparse weights of one column: set their `codes` to 0, their `values`, and what they have `got`."""
    for lane in range(len(kept)):
        if kept[lane]:
            codes[lane] = np.float32(0)
            if row_scales[lane] > 0:
                integer = min(max(np.rint(wanted[lane] / row_scales[lane]), -LARGEST_VALUE), LARGEST_VALUE)
                values[lane], got[lane] = np.int8(integer), np.float32(integer) * row_scales[lane]
            else:
                got[lane] = np.float32(0)


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def feed_back_lanes(
    rest: np.ndarray, upper: np.ndarray, scales: np.ndarray, classes: np.ndarray, kept: np.ndarray,
    row_scales: np.ndarray, tables: np.ndarray, counts: np.ndarray, prices: np.ndarray, priced: bool,
    worth: np.ndarray, codes: np.ndarray, values: np.ndarray,
) -> None:
    """Do the share of up to LANES rows of `feed_back_block`, one lane each; lanes without a row hold zeros."""
    width, here = rest.shape
    wide, own, price = np.zeros((width, LANES), np.float32), np.zeros(LANES, np.int8), np.zeros(LANES, np.float32)
    scale, units, weights = np.ones(LANES, np.float32), np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    chosen, taken, least = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    wide[:, :here], price[:here] = rest, worth
    for at in range(width):
        pivot, errors = upper[at, at], wide[at]
        scale[:here], own[:here] = scales[at], classes[at]
        for lane in range(LANES):
            units[lane] = errors[lane] / scale[lane]
            # An error in this column costs error^2 / U_jj^2 once the later ones have made up for it.
            weights[lane] = price[lane] * ((scale[lane] / pivot) * (scale[lane] / pivot))
        choose_codes(units, own, tables, counts, prices, priced, weights, chosen, taken, least)
        codes[at], values[at] = chosen[:here], np.int8(0)
        for lane in range(LANES):
            taken[lane] = chosen[lane] * scale[lane]
        if kept[at].any():
            round_kept(errors, kept[at], row_scales, codes[at], values[at], taken)
        for lane in range(LANES):
            errors[lane] = (errors[lane] - taken[lane]) / pivot
        for later in range(at + 1, width):
            share = upper[at, later]
            for lane in range(LANES):
                wide[later, lane] -= errors[lane] * share
    rest[:] = wide[:, :here]


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]
def feed_back_block(
    rest: np.ndarray, upper: np.ndarray, scales: np.ndarray, classes: np.ndarray, kept: np.ndarray,
    row_scales: np.ndarray, tables: np.ndarray, counts: np.ndarray, prices: np.ndarray, priced: bool,
    worth: np.ndarray, codes: np.ndarray, values: np.ndarray,
) -> None:
    """Round a block of columns from the first to the last; `rest` becomes what each left over, in units of U_jj.

    `rest` is what the columns are to stand for, `upper` the block of U on the diagonal, float32 `[width, width]`,
    `row_scales` the scale of each row's sparse values, 0 where it has none; results go to `codes` and `values` (int8).
    All but `upper` and the tables are of `[width, rows]` or `[rows]`: many rows' weights of a column lie side by side.
    """
    for group in prange((rest.shape[1] + LANES - 1) // LANES):
        rows = slice(group * LANES, min((group + 1) * LANES, rest.shape[1]))
        feed_back_lanes(rest[:, rows], upper, scales[:, rows], classes[:, rows], kept[:, rows], row_scales[rows],
                        tables, counts, prices, priced, worth[rows], codes[:, rows], values[:, rows])


@njit(cache=True)  # type: ignore[untyped-decorator]
def descend_row(
    gradient: np.ndarray, hessian: np.ndarray, scales: np.ndarray, classes: np.ndarray, kept: np.ndarray,
    tables: np.ndarray, counts: np.ndarray, prices: np.ndarray, priced: bool, worth: float, codes: np.ndarray,
) -> None:
    """Do one row's share of `descend_block`."""
    for at in range(len(gradient)):
        curvature = hessian[at, at]
        if kept[at] or not curvature > 0:
            continue
        scale, own, before = scales[at], classes[at], codes[at]
        unit = before + gradient[at] / (curvature * scale)
        if priced:
            best = cheapest_code(unit, tables[own], counts[own], prices[own], worth * curvature * scale * scale)
        else:
            best = nearest_code(unit, tables[own], counts[own])
        if best != before:
            move = (best - before) * scale
            codes[at] = best
            for later in range(at + 1, len(gradient)):
                gradient[later] -= move * hessian[at, later]


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]
def descend_block(
    gradient: np.ndarray, hessian: np.ndarray, scales: np.ndarray, classes: np.ndarray, kept: np.ndarray,
    tables: np.ndarray, counts: np.ndarray, prices: np.ndarray, priced: bool, worth: np.ndarray, codes: np.ndarray,
) -> None:
    """Give each column in turn the code that is best for its row while all others hold; `codes` are overwritten.

    `gradient`, overwritten too, is that of each row's error, e H of this block's columns, `[rows, width]`; `hessian` is
    the block on the diagonal, and columns with 0 there hold still.
    """
    for row in prange(len(gradient)):
        descend_row(gradient[row], hessian, scales[row], classes[row], kept[row], tables, counts, prices, priced,
                    worth[row], codes[row])


@njit(cache=True, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def error_of_few(
    weight: np.ndarray, importance: np.ndarray, codes: np.ndarray, count: int, scale: float, taken: np.ndarray
) -> float:
    """Return what nearest codes lose a row whose weights share few codes: one pass per code, many weights at once."""
    taken[:] = codes[0]
    for code in range(count - 1):
        border, gap = (codes[code] + codes[code + 1]) * np.float32(0.5) * scale, codes[code + 1] - codes[code]
        for at in range(len(weight)):
            taken[at] += gap if weight[at] > border else np.float32(0)
    loss = 0.0
    for at in range(len(weight)):
        error = weight[at] - taken[at] * scale
        loss += error * error * importance[at]
    return loss


@njit(cache=True)  # type: ignore[untyped-decorator]
def best_scale(
    weight: np.ndarray, importance: np.ndarray, classes: np.ndarray, tables: np.ndarray, counts: np.ndarray,
    scales: np.ndarray,
) -> int:
    """Return which of `scales` loses one row least; all arguments are that row's."""
    best, least, own, taken = 0, np.inf, classes[0], np.empty_like(weight)
    few = counts[own] <= FEW and (classes == own).all()
    for which in range(len(scales)):
        scale, loss = scales[which], 0.0
        if few:
            loss = error_of_few(weight, importance, tables[own], counts[own], scale, taken)
        else:
            for at in range(len(weight)):
                kind = classes[at]
                error = weight[at] - nearest_code(weight[at] / scale, tables[kind], counts[kind]) * scale
                loss += error * error * importance[at]
        if loss < least:
            best, least = which, loss
    return best


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]
def best_scales(
    weight: np.ndarray, importance: np.ndarray, classes: np.ndarray, tables: np.ndarray, counts: np.ndarray,
    scales: np.ndarray,
) -> np.ndarray:
    """Return which of its scales loses each row least when its weights take the nearest code, int64 `[rows]`.

    Of equal ones the first. `weight` is `[rows, width]`, `importance` what a squared error costs, `[rows, width]` or
    `[1, width]` for all rows, `scales` `[rows, scales]`.
    """
    best = np.zeros(len(weight), np.int64)
    for row in prange(len(weight)):
        own = importance[row] if len(importance) > 1 else importance[0]
        best[row] = best_scale(weight[row], own, classes[row], tables, counts, scales[row])
    return best
