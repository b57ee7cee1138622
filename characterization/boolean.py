"""Function: a Boolean function as a truth table, read from Liberty's expression language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from characterization.errors import LibertyError

TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z_][\w.]*(?:\[\d+\])?)|(?P<symbol>[!'&*+|^()01]))")
MAX_PINS = 12
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Function:
    """A truth table: bit i of `truth` is the value for input pattern i, `pins[0]` the lowest bit of i.

    Functions are equal if their tables are; `text` is the expression they were read from.

    >>> parse_function("A B + !C", ("A", "B", "C")).truth == 0b10001111
    True
    """

    pins: tuple[str, ...]
    truth: int
    text: str = field(default="", compare=False)

    def value(self, pattern: int) -> int:
        """Return the value for input `pattern`."""
        return self.truth >> pattern & 1

    @property
    def share(self) -> float:
        """The share of patterns for which the function is 1."""
        return float(self.truth.bit_count() / (1 << len(self.pins)))


def column(index: int, n_pins: int) -> int:
    """Return the truth table of the projection to input `index` of `n_pins`.

    >>> bin(column(1, 3))
    '0b11001100'
    """
    half = 1 << index
    block = ((1 << half) - 1) << half
    return sum(block << shift for shift in range(0, 1 << n_pins, 2 * half))


class Algebra(Protocol[T]):
    """What the operators of an expression mean: truth tables, or values over many cases."""

    def name(self, name: str) -> T: ...  # noqa: D102
    def constant(self, bit: int) -> T: ...  # noqa: D102
    def negation(self, value: T) -> T: ...  # noqa: D102
    def conjunction(self, left: T, right: T) -> T: ...  # noqa: D102
    def disjunction(self, left: T, right: T) -> T: ...  # noqa: D102
    def difference(self, left: T, right: T) -> T: ...  # noqa: D102


class TruthTables:
    """The algebra of truth tables over `pins`."""

    def __init__(self, pins: tuple[str, ...]) -> None:
        """Make the tables of the pins themselves."""
        self._columns = {pin: column(i, len(pins)) for i, pin in enumerate(pins)}
        self._ones = (1 << (1 << len(pins))) - 1

    def name(self, name: str) -> int:
        """Return the table of a pin."""
        return self._columns[name]

    def constant(self, bit: int) -> int:
        """Return the table of a constant."""
        return self._ones * bit

    def negation(self, value: int) -> int:
        """Return the complement."""
        return value ^ self._ones

    def conjunction(self, left: int, right: int) -> int:
        """Return the AND."""
        return left & right

    def disjunction(self, left: int, right: int) -> int:
        """Return the OR."""
        return left | right

    def difference(self, left: int, right: int) -> int:
        """Return the exclusive OR."""
        return left ^ right


def parse_function(text: str, pins: Sequence[str]) -> Function:
    """Return the function that a Liberty expression describes, over those of `pins` it names, in the order of `pins`.

    Raises:
        LibertyError: the expression is malformed or names something that is not in `pins`.
    """
    used = {token for token in tokenize(text) if token[0].isalpha() or token[0] == "_"}
    if missing := sorted(used - set(pins)):
        raise LibertyError(f"expression {text!r} names {missing[0]}, which is none of {', '.join(pins) or 'no pins'}.")
    support = tuple(pin for pin in pins if pin in used)
    if len(support) > MAX_PINS:
        raise LibertyError(f"expression {text!r} has {len(support)} inputs; at most {MAX_PINS} are supported.")
    return Function(support, read_expression(text, TruthTables(support)), text)


def read_expression(text: str, algebra: Algebra[T]) -> T:
    """Return the value of a Liberty expression in an algebra.

    Precedence as in Liberty: `!` and postfix `'`, then `^`, then AND (`&`, `*`, or a space), then OR (`+`, `|`).

    Raises:
        LibertyError: the expression is malformed.
    """
    tokens = tokenize(text)
    value, rest = read_or(tokens, 0, algebra)
    if rest != len(tokens):
        raise LibertyError(f"expression {text!r} cannot be read beyond its token {rest + 1}, {tokens[rest]!r}.")
    return value


def tokenize(text: str) -> list[str]:
    """Return the names and symbols of an expression."""
    tokens, at = [], 0
    while text[at:].strip():
        found = TOKEN.match(text, at)
        if not found:
            raise LibertyError(f"expression {text!r} has an unknown character {text[at:].strip()[0]!r}.")
        tokens.append(found["name"] or found["symbol"])
        at = found.end()
    return tokens


def read_or(tokens: list[str], at: int, algebra: Algebra[T]) -> tuple[T, int]:
    """Read a sum of products; return its value and the position after it."""
    value, at = read_and(tokens, at, algebra)
    while at < len(tokens) and tokens[at] in "+|":
        other, at = read_and(tokens, at + 1, algebra)
        value = algebra.disjunction(value, other)
    return value, at


def read_and(tokens: list[str], at: int, algebra: Algebra[T]) -> tuple[T, int]:
    """Read a product; two factors side by side are a product too."""
    value, at = read_xor(tokens, at, algebra)
    while at < len(tokens) and tokens[at] not in "+|)":
        other, at = read_xor(tokens, at + (tokens[at] in "&*"), algebra)
        value = algebra.conjunction(value, other)
    return value, at


def read_xor(tokens: list[str], at: int, algebra: Algebra[T]) -> tuple[T, int]:
    """Read an exclusive or."""
    value, at = read_factor(tokens, at, algebra)
    while at < len(tokens) and tokens[at] == "^":
        other, at = read_factor(tokens, at + 1, algebra)
        value = algebra.difference(value, other)
    return value, at


def read_factor(tokens: list[str], at: int, algebra: Algebra[T]) -> tuple[T, int]:
    """Read a name, constant, negation or bracket, with any postfix negations."""
    token = tokens[at] if at < len(tokens) else "its end"
    if token == "!":
        value, at = read_factor(tokens, at + 1, algebra)
        return algebra.negation(value), at
    if token == "(":
        value, at = read_or(tokens, at + 1, algebra)
        if at >= len(tokens):
            raise LibertyError(f"expression {' '.join(tokens)!r} lacks a closing bracket.")
    elif token in ("0", "1"):
        value = algebra.constant(int(token))
    elif at < len(tokens) and (token[0].isalpha() or token[0] == "_"):
        value = algebra.name(token)
    else:
        raise LibertyError(f"expression {' '.join(tokens)!r} has {token!r} where an operand should be.")
    at += 1
    while at < len(tokens) and tokens[at] == "'":
        value, at = algebra.negation(value), at + 1
    return value, at
