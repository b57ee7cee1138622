"""Signed words of any width over an and-inverter graph: what a reference computes with when it is proved.

A `Word` has its bits lowest first, the last one the sign; it grows as results need it, as Python's integers do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from characterization.aig import FALSE, TRUE, Aig


@dataclass(frozen=True)
class Word:
    """A two's complement number: `bits` are literals of `graph`, lowest first, the last one the sign."""

    graph: Aig
    bits: tuple[int, ...]

    def extended(self, width: int) -> tuple[int, ...]:
        """Return `width` bits, sign-extended or cut."""
        return (*self.bits[:width], *[self.bits[-1]] * (width - len(self.bits)))

    @property
    def is_constant(self) -> bool:
        """Whether every bit is known."""
        return all(bit in (FALSE, TRUE) for bit in self.bits)

    def __add__(self, other: Word | int) -> Word:
        right = as_word(other, self.graph)
        width = max(len(self.bits), len(right.bits)) + 1
        return Word(self.graph, add_bits(self.graph, self.extended(width), right.extended(width), FALSE))

    __radd__ = __add__

    def __neg__(self) -> Word:
        width = len(self.bits) + 1
        flipped = tuple(bit ^ 1 for bit in self.extended(width))
        return Word(self.graph, add_bits(self.graph, flipped, (FALSE,) * width, TRUE))

    def __sub__(self, other: Word | int) -> Word:
        right = as_word(other, self.graph)
        width = max(len(self.bits), len(right.bits)) + 1
        flipped = tuple(bit ^ 1 for bit in right.extended(width))
        return Word(self.graph, add_bits(self.graph, self.extended(width), flipped, TRUE))

    def __rsub__(self, other: int) -> Word:
        return as_word(other, self.graph) - self

    def __mul__(self, other: Word | int) -> Word:
        right = as_word(other, self.graph)
        # The known operand selects rows, so that constant rows vanish.
        rows, digits = (right, self) if self.is_constant else (self, right)
        width = len(rows.bits) + len(digits.bits)
        total = (FALSE,) * width
        for i, digit in enumerate(digits.bits):
            shifted = Word(self.graph, (*[FALSE] * i, *rows.bits)).extended(width)
            row = tuple(self.graph.both(digit, bit) for bit in shifted)
            # The sign bit has negative weight.
            if i == len(digits.bits) - 1:
                row = tuple(bit ^ 1 for bit in row)
            total = add_bits(self.graph, total, row, TRUE if i == len(digits.bits) - 1 else FALSE)
        return Word(self.graph, total)

    __rmul__ = __mul__

    def __and__(self, other: Word | int) -> Word:
        return self.bitwise(other, self.graph.both)

    def __or__(self, other: Word | int) -> Word:
        return self.bitwise(other, self.graph.either)

    def __xor__(self, other: Word | int) -> Word:
        return self.bitwise(other, self.graph.differ)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> Word:
        return Word(self.graph, tuple(bit ^ 1 for bit in self.bits))

    def __lshift__(self, places: int) -> Word:
        return Word(self.graph, (*[FALSE] * places, *self.bits))

    def __rshift__(self, places: int) -> Word:
        return Word(self.graph, self.bits[places:] or self.bits[-1:])

    def bitwise(self, other: Word | int, gate: Callable[[int, int], int]) -> Word:
        """Return a gate applied to each pair of bits, sign extended to one width."""
        right = as_word(other, self.graph)
        width = max(len(self.bits), len(right.bits))
        return Word(self.graph, tuple(map(gate, self.extended(width), right.extended(width))))


def add_bits(graph: Aig, left: Sequence[int], right: Sequence[int], carry: int) -> tuple[int, ...]:
    """Return the sum of two bit lists of one width and a carry, by a ripple of full adders."""
    total = []
    for one, other in zip(left, right, strict=True):
        half = graph.differ(one, other)
        total.append(graph.differ(half, carry))
        carry = graph.either(graph.both(one, other), graph.both(half, carry))
    return tuple(total)


def as_word(value: Word | int, graph: Aig) -> Word:
    """Return an integer as a word of constants; a word as itself."""
    if isinstance(value, Word):
        return value
    width = value.bit_length() + 1
    return Word(graph, tuple(TRUE if value >> i & 1 else FALSE for i in range(width)))


def wrap_word(value: Word, bits: int) -> Word:
    """Return `value` reduced to `bits` bits."""
    return Word(value.graph, value.extended(bits))


def select_word(condition: Word, one: Word | int, other: Word | int) -> Word:
    """Return `one` where the lowest bit of `condition` holds, else `other`."""
    graph = condition.graph
    first, second = as_word(one, graph), as_word(other, graph)
    width = max(len(first.bits), len(second.bits))
    pairs = zip(first.extended(width), second.extended(width), strict=True)
    return Word(graph, tuple(graph.choose(condition.bits[0], x, y) for x, y in pairs))
