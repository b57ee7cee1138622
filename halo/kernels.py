"""Codes and scales of a few columns of all rows, compiled for the processor: rows run in parallel, each on its own.

A row's share of the columns stays in the processor's cache while they are rounded one after the other. `feedback.py`
and `rounding.py` do the same with torch where tensors live on another device.

Arguments of the same name mean the same: `scales` float32 and `classes` int8 of every weight, `kept` bool its sparse
positions; `tables` float32 `[classes, most]` the sorted codes of each class, `counts` how many of them count, `prices`
what each costs, which counts only where `priced`; `worth` float32 `[rows]` what a unit of a row's error costs.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

LARGEST_VALUE = 127.0
FEW = 32


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
def feed_back_row(
    rest: np.ndarray, upper: np.ndarray, scales: np.ndarray, classes: np.ndarray, kept: np.ndarray, row_scale: float,
    tables: np.ndarray, counts: np.ndarray, prices: np.ndarray, priced: bool, worth: float, codes: np.ndarray,
    values: np.ndarray,
) -> None:
    """Do one row's share of `feed_back_block`."""
    for at in range(len(rest)):
        wanted, scale, pivot = rest[at], scales[at], upper[at, at]
        codes[at], values[at], got = np.float32(0), np.float32(0), np.float32(0)
        if kept[at]:
            if row_scale > 0:
                values[at] = min(max(np.rint(wanted / row_scale), -LARGEST_VALUE), LARGEST_VALUE)
                got = values[at] * row_scale
        else:
            own, unit = classes[at], wanted / scale
            if priced:
                # An error in this column costs error^2 / U_jj^2 once the later ones have made up for it.
                codes[at] = cheapest_code(unit, tables[own], counts[own], prices[own], worth * (scale / pivot) ** 2)
            else:
                codes[at] = nearest_code(unit, tables[own], counts[own])
            got = codes[at] * scale
        error = (wanted - got) / pivot
        rest[at] = error
        for later in range(at + 1, len(rest)):
            rest[later] -= error * upper[at, later]


@njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]
def feed_back_block(
    rest: np.ndarray, upper: np.ndarray, scales: np.ndarray, classes: np.ndarray, kept: np.ndarray,
    row_scales: np.ndarray, tables: np.ndarray, counts: np.ndarray, prices: np.ndarray, priced: bool,
    worth: np.ndarray, codes: np.ndarray, values: np.ndarray,
) -> None:
    """Round a block of columns from the first to the last; `rest` becomes what each left over, in units of U_jj.

    `rest` is what the columns are to stand for, `upper` the block of U on the diagonal, float32 `[width, width]`,
    `row_scales` the scale of each row's sparse values, 0 where it has none; results go to `codes` and `values`. All
    but `upper` and the tables are of `[rows, width]` or `[rows]`.
    """
    for row in prange(len(rest)):
        feed_back_row(rest[row], upper, scales[row], classes[row], kept[row], row_scales[row], tables, counts, prices,
                      priced, worth[row], codes[row], values[row])


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
