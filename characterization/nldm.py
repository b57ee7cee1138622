"""Delay tables read at a known load: piecewise linear curves over the input slew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from characterization.liberty_tables import Table


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
        piece = np.searchsorted(self.knots_ps, slew_ps)
        result: np.ndarray = self.values[piece] + self.slopes[piece] * (slew_ps - self.starts_ps[piece])
        return result

    def outside(self, slew_ps: float) -> bool:
        """Return whether a look-up at this slew leaves the table."""
        return self.load_outside or not self.lowest_ps <= slew_ps <= self.highest_ps


def curve_at(table: Table, other: float) -> Curve:
    """Return a table as a curve over slew at one load (of a check: at one clock slew), linear inside and outside."""
    axis, load_outside = table.other, False
    column = table.values[:, 0]
    if axis.size > 1:
        i = int(np.clip(np.searchsorted(axis, other, side="right") - 1, 0, axis.size - 2))
        share = (other - axis[i]) / (axis[i + 1] - axis[i])
        column = table.values[:, i] * (1 - share) + table.values[:, i + 1] * share
        load_outside = not axis[0] <= other <= axis[-1]
    slews = table.slew_ps
    if slews.size == 1:
        return Curve(np.zeros(0), slews, column, np.zeros(1), -np.inf, np.inf, load_outside)
    slopes = np.diff(column) / np.diff(slews)
    return Curve(slews[1:-1], slews[:-1], column[:-1], slopes, float(slews[0]), float(slews[-1]), load_outside)
