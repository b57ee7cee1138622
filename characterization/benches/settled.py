"""Settled values of a core by its truth tables alone, without time: what simulation must end in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from characterization.netlist import CONST0, CONSTANTS
from characterization.timed import TimedNetlist


def settled_values(
    timed: TimedNetlist, sources: Mapping[str, np.ndarray], nets: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Return the settled value of `nets` (all of them if None), uint8 [state], from that of all sources, uint8 [state].

    Eight states are evaluated at once, a bit each.
    """
    states = len(next(iter(sources.values())))
    packed = {net: np.full(-(-states // 8), -value, dtype=np.int8).view(np.uint8) for net, value in CONSTANTS.items()}
    packed |= {net: np.packbits(values) for net, values in sources.items()}
    for gate in timed.gates:
        packed[gate.net] = combine(gate.truth, [packed[net] for net in gate.nets], len(packed[CONST0]))
    wanted = packed if nets is None else nets
    return {net: np.unpackbits(packed[net], count=states) for net in wanted}


def combine(truth: int, inputs: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return a function of packed inputs, uint8 [size], by splitting its truth table at the last input.

    >>> combine(0b0111, [np.array([0b0011], np.uint8), np.array([0b0101], np.uint8)], 1) & 0b1111
    array([14], dtype=uint8)
    """
    ones = (1 << (1 << len(inputs))) - 1
    if truth in (0, ones):
        return np.full(size, 255 if truth else 0, dtype=np.uint8)
    half = 1 << (len(inputs) - 1)
    high, low = truth >> half, truth & ((1 << half) - 1)
    if high == low:
        return combine(low, inputs[:-1], size)
    full, last = (1 << half) - 1, inputs[-1]
    if high == low ^ full:
        return np.asarray(last ^ combine(low, inputs[:-1], size))
    if_high = last if high == full else last & combine(high, inputs[:-1], size) if high else None
    if_low = ~last if low == full else ~last & combine(low, inputs[:-1], size) if low else None
    if if_high is None or if_low is None:
        return np.asarray(if_low if if_high is None else if_high)
    return np.asarray(if_high | if_low)


def truth_array(truth: int, inputs: int) -> np.ndarray:
    """Return a truth table as uint8 [2 ** inputs].

    >>> truth_array(0b0111, 2).tolist()
    [1, 1, 1, 0]
    """
    return np.array([truth >> pattern & 1 for pattern in range(2**inputs)], dtype=np.uint8)


def source_columns(timed: TimedNetlist, states: np.ndarray) -> dict[str, np.ndarray]:
    """Return the values of each source by net, from states [state, source] in the order of `timed.sources`."""
    return {source.net: states[:, column] for column, source in enumerate(timed.sources)}


def sink_values(timed: TimedNetlist, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the values of all sinks, uint8 [state, sink], in the order of `timed.sinks`."""
    return np.stack([values[sink.net] for sink in timed.sinks], axis=1)
