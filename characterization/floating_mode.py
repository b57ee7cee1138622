"""FloatingCore: a timed core as arrays of whole attoseconds, and when it settles for given vectors in floating mode.

Floating mode (XBD0): nothing is known of the state before, and every gate takes any time from 0 to its delay. A net is
stable at its value by the time that some prime implicant of that value has all its literals stable, each the delay of
its pin earlier. That is the latest time at which the net can still change; `settle_as` computes it exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numba
import numpy as np

from characterization.errors import CertifyError
from characterization.netlist import CONST0, CONST1
from characterization.primes import prime_cubes
from characterization.timed import FALL, RISE, Gate, Sink, TimedNetlist
from characterization.units import AS_PER_PS

# Stable since ever, and a delay that is none. Sums of the longest path stay far away from both.
EVER = -(1 << 50)
NO_ARC = 1 << 50
N_CONSTANTS = 2
# Extrapolated tables have delays of zero and less; simulation takes a femtosecond then.
SHORTEST_AS = 1000
compiled: Callable[..., Any] = numba.njit(cache=True)
# Functions that allocate nothing: without counting references to the arrays of a tuple, which takes most of the time.
borrowing: Callable[..., Any] = numba.njit(cache=True, _nrt=False)
# And small ones: a call passes a tuple of arrays word by word.
inlined: Callable[..., Any] = numba.njit(cache=True, _nrt=False, forceinline=True)


class Gates(NamedTuple):
    """The gates of a core in topological order, as compiled functions take them.

    Attributes:
        pin_start: where a gate's pins begin in `pin_net` and `delay_as` `[gate + 1]`.
        pin_net: net on each pin.
        delay_as: `[pin, input edge, output edge]`, NO_ARC where none is.
        function: of each gate, half a row of `cube_start`.
        cube_start: where the primes of a function's value begin: row `2 * function + value` `[2 * functions + 1]`.
        cube_mask, cube_value: pins a prime names, and their bits.
    """

    pin_start: np.ndarray
    pin_net: np.ndarray
    delay_as: np.ndarray
    function: np.ndarray
    cube_start: np.ndarray
    cube_mask: np.ndarray
    cube_value: np.ndarray


@dataclass(frozen=True, eq=False)
class FloatingCore:
    """A timed core as arrays. Nets are numbered: CONST0, CONST1, sources, then gates in topological order.

    Attributes:
        names: nets by number.
        launch_as: when a source has settled to each value `[source, value]`.
        twin: number of the source of which this one is the complement, or -1 `[source]`.
        live: whether a sink depends on a source `[source]`.
        gates: the gates that a sink depends on.
        sink_net, setup_as: places where a net must be stable, and how long before `[sink]`, `[sink, value]`; EVER where
            an edge is not checked.
    """

    names: tuple[str, ...]
    launch_as: np.ndarray
    twin: np.ndarray
    live: np.ndarray
    gates: Gates
    sink_net: np.ndarray
    setup_as: np.ndarray

    @property
    def n_sources(self) -> int:
        """Number of sources."""
        return len(self.launch_as)

    @property
    def sources(self) -> tuple[str, ...]:
        """Nets of the sources."""
        return self.names[N_CONSTANTS : N_CONSTANTS + self.n_sources]



def whole_as(time_ps: float) -> int:
    """Return a time in whole attoseconds, rounded up: a bound may not lose the part of one that it cannot hold.

    >>> whole_as(1.2345671), whole_as(1.2345), whole_as(-0.5)
    (1234568, 1234500, -500000)
    """
    # A thousandth of an attosecond absorbs the error of numbers like 0.003 ps in binary.
    return ceil(time_ps * AS_PER_PS - 1e-3)


def arc_as(delay_ps: float) -> int:
    """Return the delay of an arc in whole attoseconds, no shorter than simulation takes it; NO_ARC for none."""
    return NO_ARC if np.isnan(delay_ps) else max(SHORTEST_AS, whole_as(delay_ps))


def floating_core(timed: TimedNetlist, sinks: Iterable[Sink]) -> FloatingCore:
    """Return the arrays of `timed` with the given sinks.

    Raises:
        CertifyError: a gate lacks an arc through which its output can move.
    """
    sources, sinks = [source.net for source in timed.sources], tuple(sinks)
    gates, reached = cone_of(timed.gates, {sink.net for sink in sinks})
    names = (CONST0, CONST1, *sources, *(gate.net for gate in gates))
    number = {net: index for index, net in enumerate(names)}
    for gate in gates:
        check_arcs(gate)
    ends = sorted({(number[sink.net], setup_of(sink, FALL), setup_of(sink, RISE)) for sink in sinks})
    return FloatingCore(
        names=names,
        launch_as=np.array([[max(0, whole_as(time)) for time in source.launch_ps] for source in timed.sources],
                           dtype=np.int64).reshape(-1, 2),
        twin=np.array([sources.index(s.complement_of) if s.complement_of else -1 for s in timed.sources],
                      dtype=np.int32),
        live=np.array([net in reached for net in sources]),
        gates=gate_arrays(gates, number),
        sink_net=np.array([net for net, _, _ in ends], dtype=np.int64),
        setup_as=np.array([times for _, *times in ends], dtype=np.int64).reshape(-1, 2),
    )


def cone_of(gates: Sequence[Gate], nets: set[str]) -> tuple[list[Gate], set[str]]:
    """Return the gates, in order, that `nets` depend on, and all nets that they do."""
    reached, kept = set(nets), []
    for gate in reversed(gates):
        if gate.net in reached:
            reached.update(gate.nets)
            kept.append(gate)
    return kept[::-1], reached


def gate_arrays(gates: Sequence[Gate], number: Mapping[str, int]) -> Gates:
    """Return the arrays of `gates`, nets by number."""
    functions = list(dict.fromkeys((gate.truth, len(gate.nets)) for gate in gates))
    row = {function: index for index, function in enumerate(functions)}
    cubes = [list(side) for function in functions for side in prime_cubes(*function)]
    delays = [np.vectorize(arc_as, otypes=[np.int64])(gate.delay_ps) for gate in gates if gate.nets]
    return Gates(
        pin_start=offsets([len(gate.nets) for gate in gates]),
        pin_net=np.array([number[net] for gate in gates for net in gate.nets], dtype=np.int64),
        delay_as=np.concatenate([*delays, np.zeros((0, 2, 2), dtype=np.int64)]),
        function=np.array([row[gate.truth, len(gate.nets)] for gate in gates], dtype=np.int64),
        cube_start=offsets([len(side) for side in cubes]),
        cube_mask=np.array([mask for side in cubes for mask, _ in side], dtype=np.int64),
        cube_value=np.array([value for side in cubes for _, value in side], dtype=np.int64),
    )


def offsets(lengths: Iterable[int]) -> np.ndarray:
    """Return where each of several runs begins, and where the last ends.

    >>> offsets([2, 3])
    array([0, 2, 5])
    """
    return np.concatenate([[0], np.cumsum(list(lengths), dtype=np.int64)]).astype(np.int64)


def setup_of(sink: Sink, edge: int) -> int:
    """Return a sink's setup time for one data edge, EVER if it is not checked."""
    time_ps = float(sink.setup_ps[edge])
    return whole_as(time_ps) if np.isfinite(time_ps) else EVER


def check_arcs(gate: Gate) -> None:
    """Check that every literal of every prime has a delay.

    Raises:
        CertifyError: one has none.
    """
    for value, cubes in enumerate(prime_cubes(gate.truth, len(gate.nets))):
        for mask, bits in cubes:
            for pin in range(len(gate.nets)):
                edge = bits >> pin & 1
                if mask >> pin & 1 and np.isnan(gate.delay_ps[pin, edge, value]):
                    into, out = ("fall", "rise")[edge], ("fall", "rise")[value]
                    raise CertifyError(
                        f"cell {gate.cell} ({gate.kind}): its output {gate.pin} can {out} when {gate.pins[pin]} "
                        f"{into}s, but the library has no such arc; a bound needs the delay of every one."
                    )


def settle_as(core: FloatingCore, vectors: np.ndarray, launch_as: np.ndarray | None = None) -> np.ndarray:
    """Return when the last sink is required, stable time plus setup, int64 `[vector]`; 0 where nothing moves.

    Args:
        core: the core.
        vectors: final values of the sources, uint8 `[vector, source]`.
        launch_as: when sources settle `[source, value]`, EVER for one that never moves; the core's own if not given.
    """
    launch_as = core.launch_as if launch_as is None else launch_as
    value, time = np.zeros(len(core.names), dtype=np.uint8), np.full(len(core.names), EVER)
    required = np.zeros(len(vectors), dtype=np.int64)
    settle(core.gates, core.sink_net, core.setup_as, launch_as, np.ascontiguousarray(vectors), value, time, required)
    return required


def settle_flips_as(core: FloatingCore, vector: np.ndarray, flips: np.ndarray, launch_as: np.ndarray) -> np.ndarray:
    """Return when the last sink is required for a vector with one source flipped, int64 `[flip]`.

    Args:
        core: the core.
        vector: final values of the sources, uint8 `[source]`.
        flips: the sources to flip, each by itself; a complement follows its twin.
        launch_as: when sources settle `[source, value]`.
    """
    value, time = np.zeros(len(core.names), dtype=np.uint8), np.full(len(core.names), EVER)
    required = np.zeros(max(1, flips.size), dtype=np.int64)
    settle(core.gates, core.sink_net, core.setup_as, launch_as, vector[None], value, time, required)
    settle_flips(core.gates, core.twin, core.sink_net, core.setup_as, launch_as, flips, value, time,
                 np.empty_like(value), np.empty_like(time), np.empty(value.size, dtype=np.bool_), required)
    return required[: flips.size]


@borrowing
def settle(
    gates: Gates, sink_net: np.ndarray, setup_as: np.ndarray, launch_as: np.ndarray, vectors: np.ndarray,
    value: np.ndarray, time: np.ndarray, required: np.ndarray,
) -> None:
    """Write the latest requirement of each vector; see `settle_as`. `value` and `time` end as of the last one."""
    first_gate = value.size - gates.function.size
    value[1] = 1
    for row in range(vectors.shape[0]):
        for source in range(launch_as.shape[0]):
            launch(launch_as, source, vectors[row, source], value, time)
        for gate in range(gates.function.size):
            settle_gate(gates, gate, first_gate + gate, value, time)
        required[row] = latest(sink_net, setup_as, value, time)


@borrowing
def settle_flips(
    gates: Gates, twin: np.ndarray, sink_net: np.ndarray, setup_as: np.ndarray, launch_as: np.ndarray,
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
                settle_gate(gates, gate, net, new_value, new_time)
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
def settle_gate(gates: Gates, gate: int, net: int, value: np.ndarray, time: np.ndarray) -> None:
    """Note value and stable time of a gate's output: that of the first prime to be stable among those that hold."""
    begin, row = gates.pin_start[gate], 2 * gates.function[gate]
    pattern = 0
    for pin in range(gates.pin_start[gate + 1] - begin):
        pattern |= int(value[gates.pin_net[begin + pin]]) << pin
    best = NO_ARC
    for cube in range(gates.cube_start[row], gates.cube_start[row + 2]):
        if pattern & gates.cube_mask[cube] == gates.cube_value[cube]:
            value[net] = cube >= gates.cube_start[row + 1]
            stable = EVER
            for pin in range(gates.pin_start[gate + 1] - begin):
                before = time[gates.pin_net[begin + pin]]
                if gates.cube_mask[cube] >> pin & 1 and before != EVER:
                    stable = max(stable, before + gates.delay_as[begin + pin, pattern >> pin & 1, value[net]])
            best = min(best, stable)
    time[net] = best
