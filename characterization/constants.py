"""What stays constant, and which edges can still pass, when some nets are fixed; many cases at once.

A case is one assignment of the fixed nets, such as one weight value. A net's values over the cases are an int8 array
`[case]` of 0, 1, or UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from characterization.netlist import CONSTANTS

UNKNOWN = 2
FALL, RISE = 0, 1


class LogicGate(Protocol):
    """What of a gate matters here: `truth` over `nets`, the first net the lowest bit of the pattern."""

    @property
    def net(self) -> str: ...  # noqa: D102
    @property
    def nets(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def truth(self) -> int: ...  # noqa: D102


class Constants:
    """The values of all nets over the cases; a net that is not fixed and follows from nothing is UNKNOWN."""

    def __init__(self, gates: Iterable[LogicGate], fixed: Mapping[str, np.ndarray], n_cases: int) -> None:
        """Propagate `fixed` (net -> int8 `[case]`) through `gates`, which must be in topological order."""
        self.n_cases = n_cases
        self._unknown = np.full(n_cases, UNKNOWN, dtype=np.int8)
        self._known = {net: np.full(n_cases, value, dtype=np.int8) for net, value in CONSTANTS.items()}
        self._known |= {net: np.asarray(values, dtype=np.int8) for net, values in fixed.items()}
        for gate in gates:
            if not gate.nets:
                self.learn(gate.net, self.tied(gate.truth))
            elif gate.net not in self._known and self.any_known(gate.nets):
                self.learn(gate.net, evaluate(gate.truth, [self[net] for net in gate.nets]))

    def tied(self, truth: int) -> np.ndarray:
        """Return the value of a gate without inputs (a tie cell) `[case]`."""
        return np.full(self.n_cases, truth & 1, dtype=np.int8)

    def learn(self, net: str, value: np.ndarray) -> None:
        """Note the value of a net over the cases."""
        if (value != UNKNOWN).any():
            self._known[net] = value

    def __getitem__(self, net: str) -> np.ndarray:
        """Return the net's values over the cases `[case]`."""
        return self._known.get(net, self._unknown)

    def moves(self, net: str) -> np.ndarray:
        """Return in which cases the net is not constant `[case]`."""
        result: np.ndarray = self[net] == UNKNOWN
        return result

    def any_known(self, nets: Sequence[str]) -> bool:
        """Return whether any of `nets` is constant in any case."""
        return any(net in self._known for net in nets)


def agreement(values: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Return `[input][bit]` the cases in which an input may have that bit."""
    return [[(value == UNKNOWN) | (value == bit) for bit in (0, 1)] for value in values]


def evaluate(truth: int, values: Sequence[np.ndarray]) -> np.ndarray:
    """Return a function's value over the cases `[case]`, exact over its own inputs.

    >>> evaluate(0b1000, [np.array([0, 1, 2], dtype=np.int8), np.array([2, 2, 2], dtype=np.int8)])
    array([0, 2, 2], dtype=int8)
    """
    agrees = agreement(values)
    can = [np.zeros(len(values[0]), dtype=bool), np.zeros(len(values[0]), dtype=bool)]
    for pattern in range(1 << len(values)):
        can[truth >> pattern & 1] |= matching(agrees, pattern, -1)
    return np.where(can[0] & can[1], UNKNOWN, can[1]).astype(np.int8)


def matching(agrees: list[list[np.ndarray]], pattern: int, skipped: int) -> np.ndarray:
    """Return the cases that allow an input pattern, one input left out."""
    result = np.ones(len(agrees[0][0]), dtype=bool)
    for i, bits in enumerate(agrees):
        if i != skipped:
            result &= bits[pattern >> i & 1]
    return result


def passing(truth: int, values: Sequence[np.ndarray]) -> np.ndarray:
    """Return which edges can pass: `[input, input edge, output edge, case]`.

    An edge passes if some assignment of the other inputs, within their constants, makes the output follow this way.
    """
    agrees = agreement(values)
    result = np.zeros((len(values), 2, 2, len(values[0]) if values else 1), dtype=bool)
    for pin, value in enumerate(values):
        for pattern in range(1 << len(values)):
            low, high = truth >> pattern & 1, truth >> (pattern | 1 << pin) & 1
            if pattern >> pin & 1 == 0 and low != high:
                cases = matching(agrees, pattern, pin) & (value == UNKNOWN)
                result[pin, RISE, high] |= cases
                result[pin, FALL, low] |= cases
    return result
