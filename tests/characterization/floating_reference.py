"""Floating mode a second time, by another road: no primes and no solver, all vectors at once in numpy.

A gate's inputs are let become stable one after the other, in the order of their stable time plus delay. The output is
stable as soon as those so far force it, whatever the rest do. Where some inputs act in both senses, as the select of a
multiplexer does, they must be among those, if every value can be had with them. Inputs that are constant are no inputs.
"""

from functools import cache

import numpy as np

from characterization.timed import TimedNetlist

EVER = -(10**15)


def requirement_as(timed: TimedNetlist, sinks, vectors: np.ndarray, still=(), fixed=None) -> np.ndarray:
    """Return when the last of `sinks` is required for each vector of final source values `[vector, source]`.

    Sources of `still` never move; of those, the ones in `fixed` (all, if not given) have one value in every vector.
    Attoseconds; delays must be whole femtoseconds.
    """
    n = len(vectors)
    value = {"CONST0": np.zeros(n, dtype=int), "CONST1": np.ones(n, dtype=int)}
    stable = {net: np.full(n, EVER) for net in value}
    constant = {"CONST0": 0, "CONST1": 1}
    for column, source in enumerate(timed.sources):
        value[source.net] = vectors[:, column].astype(int)
        launch = np.maximum(0, fs(source.launch_ps))[value[source.net]]
        stable[source.net] = np.full(n, EVER) if source.net in still else launch
        if source.net in still and (fixed is None or source.net in fixed):
            [constant[source.net]] = set(vectors[:, column].tolist())
    for gate in timed.gates:
        value[gate.net], stable[gate.net] = gate_settles(gate, value, stable, constant, n)
    required = np.zeros(n, dtype=int)
    for sink in sinks:
        setup = fs(sink.setup_ps)[value[sink.net]]
        moves = stable[sink.net] > EVER // 2
        required = np.maximum(required, np.where(moves, stable[sink.net] + setup, 0))
    return required * 1000


def fs(times_ps) -> np.ndarray:
    """Return times of whole femtoseconds."""
    return np.round(np.asarray(times_ps) * 1000).astype(int)


def gate_settles(gate, value, stable, constant, n):
    """Return final values and stable times of one gate; note its net if it is constant."""
    width = len(gate.nets)
    pattern = sum((value[net] << pin for pin, net in enumerate(gate.nets)), np.zeros(n, dtype=int))
    out = np.array([gate.truth >> p & 1 for p in range(1 << width)])[pattern]
    quiet = sum(1 << pin for pin, net in enumerate(gate.nets) if net in constant)
    bits = sum(constant[net] << pin for pin, net in enumerate(gate.nets) if net in constant)
    relied = reliable(gate.truth, width, quiet, bits)
    if relied[quiet].all():
        constant[gate.net] = gate.truth >> bits & 1
        return out, np.full(n, EVER)
    delays = np.nan_to_num(gate.delay_ps, nan=1e9)
    late = []
    for pin, net in enumerate(gate.nets):
        delay = np.maximum(1, fs(delays[pin]))[value[net], out]
        late.append(np.where(stable[net] > EVER // 2, stable[net] + delay, EVER))
    times = np.array(late)
    order = np.argsort(times, axis=0, kind="stable")
    known = np.bitwise_or.accumulate(1 << order, axis=0) | quiet
    place = np.argmax(relied[known, pattern], axis=0)
    first = np.take_along_axis(times, np.take_along_axis(order, place[None], 0), 0)[0]
    return out, first


@cache
def reliable(truth: int, width: int, quiet: int, bits: int) -> np.ndarray:
    """Return whether the inputs of a set, at their bits of a pattern, settle the output `[set, pattern]`.

    Args:
        truth, width: the function.
        quiet, bits: inputs that are constant, and their bits; in every set, whatever it says.
    """
    patterns = np.arange(1 << width)
    out = np.array([truth >> (p & ~quiet | bits) & 1 for p in range(1 << width)])
    both = sum(1 << pin for pin in range(width) if acts_in_both_senses(out, pin))
    # Whether all patterns that agree on the set have one output.
    agree = ((patterns[:, None] ^ patterns)[None] & (patterns | quiet)[:, None, None]) == 0
    forces = (~agree | (out[:, None] == out)[None]).all(axis=2)
    # The least sets that force: without any of their inputs they do not.
    least = forces.copy()
    for pin in range(width):
        if not quiet >> pin & 1:
            least &= ~forces[patterns & ~(1 << pin)] | (patterns >> pin & 1 == 0)[:, None]
    told = (least & (patterns & both == both)[:, None]).any(axis=0)
    every = np.array([told[out == side].all() for side in (0, 1)])[out]
    return forces & (~every | (patterns & both == both)[:, None])


def acts_in_both_senses(out: np.ndarray, pin: int) -> bool:
    """Return whether an input raises the output in some pattern and lowers it in another."""
    patterns = np.arange(out.size)
    step = out[patterns | 1 << pin] - out[patterns & ~(1 << pin)]
    return step.max() > 0 > step.min()


def all_vectors(n: int) -> np.ndarray:
    """Return every vector of n bits, the first bit slowest."""
    return np.array(np.meshgrid(*[[0, 1]] * n, indexing="ij"), dtype=np.uint8).reshape(n, -1).T
