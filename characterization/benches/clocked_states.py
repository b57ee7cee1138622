"""clocked_states(): the states that a netlist's registers go through when its ports are clocked in, cycle by cycle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from characterization.benches.settled import settled_values
from characterization.errors import SimulationError
from characterization.timed import TimedNetlist


def clocked_states(timed: TimedNetlist, ports: np.ndarray) -> np.ndarray:
    """Return the value of every source in every cycle, uint8 `[cycle, source]`, all registers starting at 0.

    Args:
        timed: a netlist with its ports, not abutted.
        ports: what each clock edge captures, `[edge, port]`, in the order of the sources that are ports. A port moves
            right after the edge, so in a cycle it already has the next row: there is one row more than cycles.

    Raises:
        SimulationError: a flop of which only QN is used; its next value is not told by its data pin alone.
    """
    captured = {sink.captures: sink.net for sink in timed.sinks if sink.captures is not None}
    columns = port_columns(timed)
    registers = [source for column, source in enumerate(timed.sources) if column not in columns]
    for source in registers:
        if source.net not in captured and source.complement_of not in captured:
            raise SimulationError(f"{timed.top}: {source.origin} shows only the complement of its flop; clocked states "
                                  "need a library with flops of Q.")
    states = np.zeros((len(ports) - 1, len(timed.sources)), np.uint8)
    now = {source.net: np.zeros(1, np.uint8) for source in timed.sources}
    for cycle in range(len(states)):
        # What the edge captures settled in the cycle before, in which the ports had this cycle's row.
        now |= {timed.sources[column].net: ports[cycle, i : i + 1].astype(np.uint8) for i, column in enumerate(columns)}
        settled = settled_values(timed, now)
        now |= {source.net: next_value(source.net, source.complement_of, captured, settled) for source in registers}
        now |= {timed.sources[column].net: ports[cycle + 1, i : i + 1].astype(np.uint8)
                for i, column in enumerate(columns)}
        states[cycle] = [now[source.net][0] for source in timed.sources]
    return states


def next_value(
    net: str, complement_of: str | None, captured: Mapping[str, str], settled: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Return what a flop's output takes at the clock edge."""
    if complement_of is not None:
        return 1 - settled[captured[complement_of]]
    return settled[captured[net]]


def port_columns(timed: TimedNetlist) -> list[int]:
    """Return the positions of the sources that are ports."""
    return [column for column, source in enumerate(timed.sources) if "/" not in source.origin]
