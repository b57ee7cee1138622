"""Floating mode a second time, by another road: no primes and no solver, all vectors at once in numpy.

A gate's inputs are let become stable one after the other, in the order of their stable time plus delay. The output is
stable as soon as those so far force it, whatever the rest do.
"""

from functools import cache

import numpy as np

from characterization.timed import TimedNetlist

EVER = -(10**15)


def requirement_as(timed: TimedNetlist, sinks, vectors: np.ndarray, still=()) -> np.ndarray:
    """Return when the last of `sinks` is required for each vector of final source values `[vector, source]`.

    Attoseconds; delays must be whole femtoseconds.
    """
    n = len(vectors)
    value = {"CONST0": np.zeros(n, dtype=int), "CONST1": np.ones(n, dtype=int)}
    stable = {net: np.full(n, EVER) for net in value}
    for column, source in enumerate(timed.sources):
        value[source.net] = vectors[:, column].astype(int)
        launch = np.maximum(0, fs(source.launch_ps))[value[source.net]]
        stable[source.net] = np.full(n, EVER) if source.net in still else launch
    for gate in timed.gates:
        value[gate.net], stable[gate.net] = gate_settles(gate, value, stable, n)
    required = np.zeros(n, dtype=int)
    for sink in sinks:
        setup = fs(sink.setup_ps)[value[sink.net]]
        moves = stable[sink.net] > EVER // 2
        required = np.maximum(required, np.where(moves, stable[sink.net] + setup, 0))
    return required * 1000


def fs(times_ps) -> np.ndarray:
    """Return times of whole femtoseconds."""
    return np.round(np.asarray(times_ps) * 1000).astype(int)


def gate_settles(gate, value, stable, n):
    """Return final values and stable times of one gate."""
    width = len(gate.nets)
    pattern = sum((value[net] << pin for pin, net in enumerate(gate.nets)), np.zeros(n, dtype=int))
    out = np.array([gate.truth >> p & 1 for p in range(1 << width)])[pattern]
    if width == 0:
        return out, np.full(n, EVER)
    delays = np.nan_to_num(gate.delay_ps, nan=1e9)
    late = []
    for pin, net in enumerate(gate.nets):
        delay = np.maximum(1, fs(delays[pin]))[value[net], out]
        late.append(np.where(stable[net] > EVER // 2, stable[net] + delay, EVER))
    times = np.array(late)
    order = np.argsort(times, axis=0, kind="stable")
    known = np.cumsum(1 << order, axis=0)
    forced = forcing(gate.truth, width)[known, pattern]
    place = np.argmax(forced, axis=0)
    place[forced_by_nothing(gate.truth, width)[pattern]] = -1
    first = np.take_along_axis(times, np.take_along_axis(order, place[None], 0), 0)[0]
    return out, np.where(place < 0, EVER, first)


@cache
def forcing(truth: int, width: int) -> np.ndarray:
    """Return whether the inputs of a set, at their bits of a pattern, force the output `[set, pattern]`."""
    found = np.zeros((1 << width, 1 << width), dtype=bool)
    for known in range(1 << width):
        for pattern in range(1 << width):
            agreeing = [p for p in range(1 << width) if (p ^ pattern) & known == 0]
            found[known, pattern] = len({truth >> p & 1 for p in agreeing}) == 1
    return found


def forced_by_nothing(truth: int, width: int) -> np.ndarray:
    """Return whether the function is constant `[pattern]`."""
    return forcing(truth, width)[0]


def all_vectors(n: int) -> np.ndarray:
    """Return every vector of n bits, the first bit slowest."""
    return np.array(np.meshgrid(*[[0, 1]] * n, indexing="ij"), dtype=np.uint8).reshape(n, -1).T
