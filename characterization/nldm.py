"""Delay tables read at a known load: piecewise linear curves over the input slew."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from characterization.liberty_tables import Table

NOTHING = np.zeros(0)
FLAT = np.zeros(1)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A piecewise linear function of slew; its first and last pieces go on beyond the table.

    Attributes:
        knots_ps: slews between two pieces `[piece - 1]`.
        starts_ps, values, slopes: where each piece starts, its value there, and its slope `[piece]`.
        lowest_ps, highest_ps: the range of the table; an axis of length one covers everything.
        load_outside: whether the load lay outside the table.
    """

    knots_ps: np.ndarray
    starts_ps: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    lowest_ps: float
    highest_ps: float
    load_outside: bool

    def at(self, slew_ps: np.ndarray) -> np.ndarray:
        """Return the value at each slew, any shape.

        >>> axis = np.array([1.0, 2.0, 4.0])
        >>> curve_at(Table(axis, np.zeros(1), np.array([[1.0], [2.0], [6.0]])), 0.0).at(np.array([0.0, 3.0, 5.0]))
        array([0., 4., 8.])
        """
        piece = self.knots_ps.searchsorted(slew_ps)
        result: np.ndarray = self.values[piece] + self.slopes[piece] * (slew_ps - self.starts_ps[piece])
        return result

    def range(self, low_ps: float, high_ps: float) -> tuple[float, float]:
        """Return the least and the greatest value over all slews between two: at the ends or at a knot in between."""
        slews = np.concatenate([[low_ps, high_ps], self.knots_ps.clip(low_ps, high_ps)])
        values = self.at(slews)
        return float(values.min()), float(values.max())

    def outside(self, slew_ps: float) -> bool:
        """Return whether a look-up at this slew leaves the table."""
        return self.load_outside or not self.lowest_ps <= slew_ps <= self.highest_ps


def curve_at(table: Table, other: float) -> Curve:
    """Return a table as a curve over slew at one load (of a check: at one clock slew), linear inside and outside."""
    columns, load_outside = columns_at(table, np.array([other]))
    column, slews = columns[0], table.slew_ps
    if slews.size == 1:
        return Curve(NOTHING, slews, column, FLAT, -np.inf, np.inf, bool(load_outside[0]))
    slopes = (column[1:] - column[:-1]) / (slews[1:] - slews[:-1])
    return Curve(slews[1:-1], slews[:-1], column[:-1], slopes, float(slews[0]), float(slews[-1]), bool(load_outside[0]))


def columns_at(table: Table, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a table's values over slew at many loads `[load, slew]`, and which loads lie outside it `[load]`."""
    axis, values = table.other, table.values
    if axis.size == 1:
        return np.repeat(values[:, :1].T, others.size, axis=0), np.zeros(others.size, dtype=bool)
    i = np.minimum(np.maximum(axis.searchsorted(others, side="right") - 1, 0), axis.size - 2)
    share = ((others - axis[i]) / (axis[i + 1] - axis[i]))[:, None]
    found: np.ndarray = values.T[i] * (1 - share) + values.T[i + 1] * share
    return found, (others < axis[0]) | (others > axis[-1])


def value_at(table: Table, other: float, slew_ps: float) -> float:
    """Return `curve_at(table, other).at(slew_ps)`, for those who need one number and no curve.

    >>> axis = np.array([1.0, 2.0, 4.0])
    >>> value_at(Table(axis, np.array([1.0, 3.0]), np.array([[1.0, 3.0], [2.0, 4.0], [6.0, 8.0]])), 2.0, 3.0)
    5.0
    """
    return float(looked_up(table.slew_ps, table.other, table.values, other, slew_ps))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def looked_up(slews_ps: np.ndarray, others: np.ndarray, values: np.ndarray, other: float, slew_ps: float) -> float:
    """Return a table's value, linear inside and outside, in the same steps as `Curve`: to the last bit."""
    piece = 0
    while piece < slews_ps.size - 2 and slews_ps[piece + 1] < slew_ps:
        piece += 1
    before = row_at(others, values[piece], other)
    if slews_ps.size == 1:
        return float(before)
    slope = (row_at(others, values[piece + 1], other) - before) / (slews_ps[piece + 1] - slews_ps[piece])
    return float(before + slope * (slew_ps - slews_ps[piece]))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def row_at(others: np.ndarray, row: np.ndarray, other: float) -> float:
    """Return a row of a table between two loads."""
    if others.size == 1:
        return float(row[0])
    i = 0
    while i < others.size - 2 and others[i + 1] <= other:
        i += 1
    share = (other - others[i]) / (others[i + 1] - others[i])
    return float(row[i] * (1 - share) + row[i + 1] * share)
