"""Settled values of a core by its truth tables alone, without time: what simulation must end in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from characterization.netlist import CONSTANTS
from characterization.timed import TimedNetlist


def settled_values(timed: TimedNetlist, sources: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the settled value of every net, uint8 [state], from the values of all sources, uint8 [state]."""
    states = len(next(iter(sources.values())))
    values = {net: np.full(states, value, dtype=np.uint8) for net, value in CONSTANTS.items()} | dict(sources)
    for gate in timed.gates:
        pattern = np.zeros(states, dtype=np.intp)
        for bit, net in enumerate(gate.nets):
            pattern |= values[net].astype(np.intp) << bit
        values[gate.net] = truth_array(gate.truth, len(gate.nets))[pattern]
    return values


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
