"""Constants and edges under case analysis the way OpenSTA sees them: along the text of a cell's function.

Operator by operator, `!A*!B + !A2*!B` with A2 = 0 still seems to depend on A, though it is just !B. Our own figures
use truth tables, which know better (`constants.py`); this is for the figure that has to equal OpenSTA's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from characterization.boolean import read_expression
from characterization.constants import FALL, RISE, UNKNOWN


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A subexpression: its value `[case]`, and whether it rises or falls with a rising input `[input, case]`."""

    value: np.ndarray
    rises: np.ndarray
    falls: np.ndarray


class Cases:
    """The algebra of three-valued constants and unateness over many cases."""

    def __init__(self, pins: Sequence[str], values: Sequence[np.ndarray]) -> None:
        """Take the values of the pins over the cases."""
        self._pins, self._values = tuple(pins), values
        self._shape = (len(pins), len(values[0]))

    def _term(self, value: np.ndarray, rises: np.ndarray, falls: np.ndarray) -> Term:
        """Return a term that depends on nothing where it is constant."""
        unknown = value == UNKNOWN
        return Term(value.astype(np.int8), rises & unknown, falls & unknown)

    def name(self, name: str) -> Term:
        """Return a pin."""
        index = self._pins.index(name)
        rises = np.zeros(self._shape, dtype=bool)
        rises[index] = True
        return self._term(self._values[index], rises, np.zeros(self._shape, dtype=bool))

    def constant(self, bit: int) -> Term:
        """Return a constant."""
        none = np.zeros(self._shape, dtype=bool)
        return self._term(np.full(self._shape[1], bit), none, none)

    def negation(self, value: Term) -> Term:
        """Return the complement."""
        return self._term(np.where(value.value == UNKNOWN, UNKNOWN, 1 - value.value), value.falls, value.rises)

    def conjunction(self, left: Term, right: Term) -> Term:
        """Return the AND."""
        zero = (left.value == 0) | (right.value == 0)
        one = (left.value == 1) & (right.value == 1)
        return self._term(np.select([zero, one], [0, 1], UNKNOWN), left.rises | right.rises, left.falls | right.falls)

    def disjunction(self, left: Term, right: Term) -> Term:
        """Return the OR."""
        return self.negation(self.conjunction(self.negation(left), self.negation(right)))

    def difference(self, left: Term, right: Term) -> Term:
        """Return the exclusive OR."""
        known = (left.value != UNKNOWN) & (right.value != UNKNOWN)
        value = np.where(known, left.value ^ right.value, UNKNOWN)
        # A constant side keeps (0) or turns (1) the other; a moving one lets both edges through.
        keep_left, turn_left = right.value != 1, right.value != 0
        keep_right, turn_right = left.value != 1, left.value != 0
        rises = (left.rises & keep_left) | (left.falls & turn_left)
        rises |= (right.rises & keep_right) | (right.falls & turn_right)
        falls = (left.falls & keep_left) | (left.rises & turn_left)
        falls |= (right.falls & keep_right) | (right.rises & turn_right)
        return self._term(value, rises, falls)


def follow(text: str, pins: Sequence[str], values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return a function's value `[case]` and the edges that pass `[input, input edge, output edge, case]`.

    >>> zero, free = np.zeros(1, dtype=np.int8), np.full(1, UNKNOWN, dtype=np.int8)
    >>> value, passes = follow("!A*!B + !C*!B", ("A", "B", "C"), [free, free, zero])
    >>> passes[0, RISE, FALL]
    array([ True])
    """
    term = read_expression(text, Cases(pins, values))
    passes = np.zeros((len(pins), 2, 2, len(values[0])), dtype=bool)
    passes[:, RISE, RISE] = passes[:, FALL, FALL] = term.rises
    passes[:, RISE, FALL] = passes[:, FALL, RISE] = term.falls
    return term.value, passes
