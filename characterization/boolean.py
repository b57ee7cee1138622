"""Function: a Boolean function as a truth table, read from Liberty's expression language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from characterization.errors import LibertyError

TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z_][\w.]*(?:\[\d+\])?)|(?P<symbol>[!'&*+|^()01]))")
MAX_PINS = 12


@dataclass(frozen=True, slots=True)
class Function:
    """A truth table: bit i of `truth` is the value for input pattern i, `pins[0]` the lowest bit of i.

    >>> parse_function("A B + !C", ("A", "B", "C"))
    Function(pins=('A', 'B', 'C'), truth=143)
    """

    pins: tuple[str, ...]
    truth: int

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


def parse_function(text: str, pins: Sequence[str]) -> Function:
    """Return the function that a Liberty expression describes, over those of `pins` it names, in the order of `pins`.

    Precedence as in Liberty: `!` and postfix `'`, then `^`, then AND (`&`, `*`, or a space), then OR (`+`, `|`).

    Raises:
        LibertyError: the expression is malformed or names something that is not in `pins`.
    """
    tokens = tokenize(text)
    used = {token for token in tokens if token[0].isalpha() or token[0] == "_"}
    if missing := sorted(used - set(pins)):
        raise LibertyError(f"expression {text!r} names {missing[0]}, which is none of {', '.join(pins) or 'no pins'}.")
    support = tuple(pin for pin in pins if pin in used)
    if len(support) > MAX_PINS:
        raise LibertyError(f"expression {text!r} has {len(support)} inputs; at most {MAX_PINS} are supported.")
    columns = {pin: column(i, len(support)) for i, pin in enumerate(support)}
    truth, rest = read_or(tokens, 0, columns, (1 << (1 << len(support))) - 1)
    if rest != len(tokens):
        raise LibertyError(f"expression {text!r} cannot be read beyond its token {rest + 1}, {tokens[rest]!r}.")
    return Function(support, truth)


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


def read_or(tokens: list[str], at: int, columns: dict[str, int], ones: int) -> tuple[int, int]:
    """Read a sum of products; return its truth table and the position after it."""
    value, at = read_and(tokens, at, columns, ones)
    while at < len(tokens) and tokens[at] in "+|":
        other, at = read_and(tokens, at + 1, columns, ones)
        value |= other
    return value, at


def read_and(tokens: list[str], at: int, columns: dict[str, int], ones: int) -> tuple[int, int]:
    """Read a product; two factors side by side are a product too."""
    value, at = read_xor(tokens, at, columns, ones)
    while at < len(tokens) and tokens[at] not in "+|)":
        other, at = read_xor(tokens, at + (tokens[at] in "&*"), columns, ones)
        value &= other
    return value, at


def read_xor(tokens: list[str], at: int, columns: dict[str, int], ones: int) -> tuple[int, int]:
    """Read an exclusive or."""
    value, at = read_factor(tokens, at, columns, ones)
    while at < len(tokens) and tokens[at] == "^":
        other, at = read_factor(tokens, at + 1, columns, ones)
        value ^= other
    return value, at


def read_factor(tokens: list[str], at: int, columns: dict[str, int], ones: int) -> tuple[int, int]:
    """Read a name, constant, negation or bracket, with any postfix negations."""
    token = tokens[at] if at < len(tokens) else "end"
    if token == "!":
        value, at = read_factor(tokens, at + 1, columns, ones)
        return value ^ ones, at
    if token == "(":
        value, at = read_or(tokens, at + 1, columns, ones)
        if at >= len(tokens) or tokens[at] != ")":
            raise LibertyError(f"expression {' '.join(tokens)!r} lacks a closing bracket.")
    elif token in ("0", "1"):
        value = ones * int(token)
    elif token in columns and at < len(tokens):
        value = columns[token]
    else:
        raise LibertyError(f"expression {' '.join(tokens)!r} has {token!r} where an operand should be.")
    at += 1
    while at < len(tokens) and tokens[at] == "'":
        value, at = value ^ ones, at + 1
    return value, at
