"""settle_as(), settle_flips_as(): when the last sink of a case is required, for given vectors, exactly."""

from __future__ import annotations

import numpy as np

# Compiled functions call none of another file: numba keeps what it compiled until the file itself changes.
from characterization.floating_case import FloatingCase, State
from characterization.floating_mode import EVER, N_CONSTANTS, NO_ARC, Gates, borrowing, inlined


def settle_as(case: FloatingCase, vectors: np.ndarray) -> np.ndarray:
    """Return when the last sink is required, stable time plus setup, int64 `[vector]`; 0 where nothing moves.

    Args:
        case: what is fixed.
        vectors: final values of the sources, uint8 `[vector, source]`, those of fixed ones as the case has them.
    """
    core, (value, time) = case.core, empty_nets(case)
    required = np.zeros(len(vectors), dtype=np.int64)
    settle(core.gates, case.state, core.sink_net, core.setup_as, case.launch_as, np.ascontiguousarray(vectors),
           value, time, required)
    return required


def settle_flips_as(case: FloatingCase, vector: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Return when the last sink is required for a vector with one source flipped, int64 `[flip]`.

    Args:
        case: what is fixed.
        vector: final values of the sources, uint8 `[source]`.
        flips: the sources to flip, each by itself; a complement follows its twin.
    """
    core, (value, time) = case.core, empty_nets(case)
    required = np.zeros(max(1, flips.size), dtype=np.int64)
    settle(core.gates, case.state, core.sink_net, core.setup_as, case.launch_as, vector[None], value, time, required)
    settle_flips(core.gates, case.state, core.twin, core.sink_net, core.setup_as, case.launch_as, flips, value, time,
                 np.empty_like(value), np.empty_like(time), np.empty(value.size, dtype=np.bool_), required)
    return required[: flips.size]


def empty_nets(case: FloatingCase) -> tuple[np.ndarray, np.ndarray]:
    """Return room for value and stable time of every net."""
    return np.zeros(len(case.core.names), dtype=np.uint8), np.full(len(case.core.names), EVER)


@borrowing
def settle(
    gates: Gates, state: State, sink_net: np.ndarray, setup_as: np.ndarray, launch_as: np.ndarray,
    vectors: np.ndarray, value: np.ndarray, time: np.ndarray, required: np.ndarray,
) -> None:
    """Write the latest requirement of each vector; see `settle_as`. `value` and `time` end as of the last one."""
    first_gate = value.size - gates.function.size
    value[1] = 1
    for row in range(vectors.shape[0]):
        for source in range(launch_as.shape[0]):
            launch(launch_as, source, vectors[row, source], value, time)
        for gate in range(gates.function.size):
            settle_gate(gates, state, gate, first_gate + gate, value, time)
        required[row] = latest(sink_net, setup_as, value, time)


@borrowing
def settle_flips(
    gates: Gates, state: State, twin: np.ndarray, sink_net: np.ndarray, setup_as: np.ndarray, launch_as: np.ndarray,
    flips: np.ndarray, value: np.ndarray, time: np.ndarray, new_value: np.ndarray, new_time: np.ndarray,
    changed: np.ndarray, required: np.ndarray,
) -> None:
    """Write the latest requirement after each flip; only what a flip changes is settled anew."""
    first_gate = value.size - gates.function.size
    for row in range(flips.size):
        for net in range(value.size):
            new_value[net], new_time[net], changed[net] = value[net], time[net], False
        for source in range(launch_as.shape[0]):
            if source == flips[row] or twin[source] == flips[row]:
                launch(launch_as, source, 1 - value[N_CONSTANTS + source], new_value, new_time)
                changed[N_CONSTANTS + source] = True
        for gate in range(gates.function.size):
            if touched(gates, gate, changed):
                net = first_gate + gate
                settle_gate(gates, state, gate, net, new_value, new_time)
                changed[net] = new_value[net] != value[net] or new_time[net] != time[net]
        required[row] = latest(sink_net, setup_as, new_value, new_time)


@inlined
def touched(gates: Gates, gate: int, changed: np.ndarray) -> bool:
    """Return whether an input of a gate has changed."""
    found = False
    for place in range(gates.pin_start[gate], gates.pin_start[gate + 1]):
        found |= changed[gates.pin_net[place]]
    return found


@inlined
def launch(launch_as: np.ndarray, source: int, bit: int, value: np.ndarray, time: np.ndarray) -> None:
    """Note value and stable time of a source."""
    value[N_CONSTANTS + source] = bit
    time[N_CONSTANTS + source] = launch_as[source, bit]


@inlined
def latest(sink_net: np.ndarray, setup_as: np.ndarray, value: np.ndarray, time: np.ndarray) -> int:
    """Return the latest requirement of any sink; 0 where nothing moves."""
    required = 0
    for sink in range(sink_net.size):
        net = sink_net[sink]
        setup = setup_as[sink, value[net]]
        if time[net] != EVER and setup != EVER:
            required = max(required, time[net] + setup)
    return required


@borrowing
def settle_gate(gates: Gates, state: State, gate: int, net: int, value: np.ndarray, time: np.ndarray) -> None:
    """Note value and stable time of a gate's output: that of the first cube to be stable among those that hold."""
    begin = gates.pin_start[gate]
    pattern = 0
    for pin in range(gates.pin_start[gate + 1] - begin):
        pattern |= int(value[gates.pin_net[begin + pin]]) << pin
    best = NO_ARC
    for cube in range(state.cube_start[2 * gate], state.cube_start[2 * gate + 2]):
        if pattern & state.cube_mask[cube] == state.cube_value[cube]:
            value[net] = cube >= state.cube_start[2 * gate + 1]
            stable = EVER
            for pin in range(gates.pin_start[gate + 1] - begin):
                before = time[gates.pin_net[begin + pin]]
                if state.cube_mask[cube] >> pin & 1 and before != EVER:
                    stable = max(stable, before + gates.delay_as[begin + pin, pattern >> pin & 1, value[net]])
            best = min(best, stable)
    time[net] = best
