"""FloatingCore: a timed core as arrays of whole attoseconds, for delays in floating mode.

Floating mode (XBD0): nothing is known of the state before, and every gate takes any time from 0 to its delay. A net is
stable at its value by the time that some prime implicant of that value has all its literals stable, each the delay of
its pin earlier. That is the latest time at which the net can still change. Only primes that last count: a multiplexer's
output is not relied on while its select moves, whatever its data (`primes.lasting_cubes`).
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
from characterization.primes import is_binate, prime_cubes
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
        all_last: whether every prime names all inputs that act in both senses `[function]`.
    """

    pin_start: np.ndarray
    pin_net: np.ndarray
    delay_as: np.ndarray
    function: np.ndarray
    cube_start: np.ndarray
    cube_mask: np.ndarray
    cube_value: np.ndarray
    all_last: np.ndarray


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
        all_last=np.array([all_last(*function) for function in functions], dtype=np.bool_),
    )


def all_last(truth: int, n_inputs: int) -> bool:
    """Return whether every prime names all inputs that act in both senses; so it is then whatever is constant.

    >>> all_last(0b0110, 2), all_last(0b11001010, 3)
    (True, False)
    """
    both = sum(1 << pin for pin in range(n_inputs) if is_binate(truth, n_inputs, pin))
    return all(mask & both == both for side in prime_cubes(truth, n_inputs) for mask, _ in side)


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
