"""run_chain(): a series of states through a timed core, the exact waveform of every net, one transition after another.

There is no event queue. Gates are visited in topological order; each merges the edges of its inputs in time and holds
at most one pending edge of its output. Inputs that move in one instant are one batch; a pending edge that is due
commits before it; while function and output differ the earliest cause wins; when they agree again the pending edge is
dropped. Deciding what moved is most of the work, so a net that moved marks its gates and their pins, and a pin that
moved once, one pin, and two pins have code of their own.

Index arrays are unsigned, which spares each look-up the test for a negative index. Reference counting is off, as no
array is made here: with it, handing the two bundles of arrays on costs more than all else. All of the engine stands in
this file, since its compiled form is cached by this file's date alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

# In femtoseconds: the delay of an arc that the library lacks, and when an edge is due that is not pending.
MISSING, NEVER, LIMIT = 1 << 61, 1 << 62, 1 << 60
# Setup of a net that nobody watches: its requirement never is the latest.
UNWATCHED = -(1 << 62)
# Returned in place of a position: no room for the edges of a transition, or an output that cannot follow its function.
FULL, STUCK = -1, -2
MAX_PINS = 12
PATTERNS = (1 << MAX_PINS) - 1
COSTS = 0xFFFFFFFF
# Classes of pin masks: one pin (its position), two pins, more.
TWO, MORE = 64, 65
# The position of the only set bit of x is `bit_of[x * DE_BRUIJN >> 58]`.
DE_BRUIJN, SHIFT, ONE = np.uint64(0x03F79D71B4CB0A89), np.uint64(58), np.uint64(1)


class FlatCore(NamedTuple):
    """A core as flat arrays. Nets are numbered sources, gates, CONST0, CONST1; edges are FALL=0, RISE=1.

    Attributes:
        launch: when a source moves, fs, int64 `[source, edge]`.
        source_cost: of a source's edge, int64 `[source, edge]`.
        gates: first pin, number of pins, first row of `truth`, first row of `cost`, uint32 `[gate, 4]`.
        pin_net: net on each pin of each gate, uint32 `[pin]`.
        truth: output by input pattern, a gate after the other, uint8.
        delay: int64 fs `[pin * 4 + input edge * 2 + output edge]`.
        cost: of an output edge, by the pin that caused it and the input pattern it came with, int64
            `[gate's row + (pin << pins) + pattern]`.
        hidden: of an input edge itself, as `cost`; empty where no gate has any.
        fan_start, fan: gates and pins on each net, uint32 `[net + 1]` and `gate << 16 | 1 << pin`.
        setup: of a net's last edge, the worst among its sinks, int64 fs `[net, edge]`.
        bit_of, pins_of, low_of, high_of: look-ups of bit positions and of pin masks, uint8.
    """

    launch: np.ndarray
    source_cost: np.ndarray
    gates: np.ndarray
    pin_net: np.ndarray
    truth: np.ndarray
    delay: np.ndarray
    cost: np.ndarray
    hidden: np.ndarray
    fan_start: np.ndarray
    fan: np.ndarray
    setup: np.ndarray
    bit_of: np.ndarray
    pins_of: np.ndarray
    low_of: np.ndarray
    high_of: np.ndarray


class Working(NamedTuple):
    """What a chain of transitions carries along.

    Attributes:
        value: settled value of every net, uint8 `[net]`.
        pattern: settled input pattern of every gate, uint16 `[gate]`.
        span: where a net's edges of this transition lie in `times`, uint32 `[net, begin and end]`.
        moved: mask of a gate's pins that have edges, uint16 `[gate]`.
        waiting: gates with such pins, a bit each, uint64.
        times: edges of this transition, fs, int64.
        edges: falls, and rises << 32, of each net, int64 `[net]`.
        pin, head, end, time: of the pins that a gate is merging.
    """

    value: np.ndarray
    pattern: np.ndarray
    span: np.ndarray
    moved: np.ndarray
    waiting: np.ndarray
    times: np.ndarray
    edges: np.ndarray
    pin: np.ndarray
    head: np.ndarray
    end: np.ndarray
    time: np.ndarray


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def settle_at(core: FlatCore, work: Working, state: np.ndarray) -> None:
    """Set every net and gate to its settled value in `state` [source]."""
    n_sources, n_nets = len(core.launch), len(core.setup)
    work.value[n_nets - 1] = 1
    for source in range(n_sources):
        work.value[source] = state[source]
    for gate in range(len(core.gates)):
        first, pins, row = core.gates[gate, 0], core.gates[gate, 1], core.gates[gate, 2]
        pattern = 0
        for pin in range(pins):
            pattern |= int(work.value[core.pin_net[first + pin]]) << pin
        work.pattern[gate] = pattern
        work.value[n_sources + gate] = core.truth[row + (pattern & PATTERNS)]


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def wake(core: FlatCore, work: Working, net: int) -> None:
    """Mark the gates and pins on a net that moved."""
    for i in range(core.fan_start[net], core.fan_start[net + 1]):
        gate = core.fan[i] >> 16
        work.moved[gate] |= core.fan[i] & 0xFFFF
        work.waiting[gate >> 6] |= ONE << np.uint64(gate & 63)


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def launch_sources(core: FlatCore, work: Working, state: np.ndarray, counted: int) -> tuple[int, int, int]:
    """Move the sources to `state`; return the number of edges, their cost, and the latest requirement."""
    top, cost, late = 0, 0, 0
    for source in range(len(core.launch)):
        value = state[source]
        if value != work.value[source]:
            work.value[source] = value
            time = core.launch[source, value]
            work.times[top] = time
            work.span[source, 0], work.span[source, 1] = top, top + 1
            top += 1
            cost += core.source_cost[source, value]
            work.edges[source] += counted << (value * 32)
            late = max(late, time + core.setup[source, value])
            wake(core, work, source)
    return top, cost, late


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def follow_one(core: FlatCore, work: Working, gate: int, pin: int, top: int) -> tuple[int, int, int]:
    """Append the output edges of a gate of which one pin moves; return their end, the last pattern, and the cost."""
    first, pins, row, costs = core.gates[gate, 0], core.gates[gate, 1], core.gates[gate, 2], core.gates[gate, 3]
    times, pattern, bit, delays = work.times, int(work.pattern[gate]), 1 << pin, (first + pin) << 2
    costs = int(costs) + (pin << pins)
    out = int(work.value[len(core.launch) + gate])
    net = core.pin_net[first + pin]
    head, end = int(work.span[net, 0]), int(work.span[net, 1])
    if top + end - head >= len(times):
        return FULL, 0, 0
    cost = 0
    if end - head == 1 and len(core.hidden) == 0:
        pattern = (pattern ^ bit) & PATTERNS
        value = int(core.truth[row + pattern])
        if value != out:
            times[top] = times[head] + core.delay[delays | (pattern >> pin & 1) << 1 | value]
            return top + 1, pattern, core.cost[costs + pattern]
        return top, pattern, 0
    due, cause, value = NEVER, 0, out
    for i in range(head, end):
        time = times[i]
        commits = due <= time
        times[top] = due
        cost += core.cost[cause] if commits else 0
        top += commits
        out ^= commits
        due = NEVER if commits else due
        pattern = (pattern ^ bit) & PATTERNS
        value = int(core.truth[row + pattern])
        at = (costs + pattern) & COSTS
        if len(core.hidden):
            cost += core.hidden[at]
        arrival = time + core.delay[delays | (pattern >> pin & 1) << 1 | value]
        earlier = arrival < due
        cause = at if earlier else cause
        due = arrival if earlier else due
        due = NEVER if value == out else due
    times[top] = due
    commits = due < LIMIT
    cost += core.cost[cause] if commits else 0
    return (top + commits if out ^ commits == value else STUCK), pattern, cost


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def follow_two(core: FlatCore, work: Working, gate: int, moved: int, top: int) -> tuple[int, int, int]:
    """Do the same for a gate of which two pins move."""
    first, pins, row, costs = core.gates[gate, 0], core.gates[gate, 1], core.gates[gate, 2], core.gates[gate, 3]
    times, pattern = work.times, int(work.pattern[gate])
    out = int(work.value[len(core.launch) + gate])
    pin_a, pin_b = int(core.low_of[moved]), int(core.high_of[moved])
    delays_a, delays_b = (first + pin_a) << 2, (first + pin_b) << 2
    costs_a, costs_b = int(costs) + (pin_a << pins), int(costs) + (pin_b << pins)
    net_a, net_b = core.pin_net[first + pin_a], core.pin_net[first + pin_b]
    head_a, end_a = work.span[net_a, 0], work.span[net_a, 1]
    head_b, end_b = work.span[net_b, 0], work.span[net_b, 1]
    if top + (end_a - head_a) + (end_b - head_b) >= len(times):
        return FULL, 0, 0
    time_a, time_b = times[head_a], times[head_b]
    due, cause, cost, value = NEVER, 0, 0, out
    while True:
        time = min(time_a, time_b)
        if time == NEVER:
            break
        commits = due <= time
        times[top] = due
        cost += core.cost[cause] if commits else 0
        top += commits
        out ^= commits
        due = NEVER if commits else due
        moves_a, moves_b = int(time_a == time), int(time_b == time)
        pattern = (pattern ^ (moves_a << pin_a | moves_b << pin_b)) & PATTERNS
        value = int(core.truth[row + pattern])
        if len(core.hidden):
            cost += core.hidden[(costs_a + pattern) & COSTS] if moves_a else 0
            cost += core.hidden[(costs_b + pattern) & COSTS] if moves_b else 0
        arrival_a = time + core.delay[delays_a | (pattern >> pin_a & 1) << 1 | value]
        arrival_b = time + core.delay[delays_b | (pattern >> pin_b & 1) << 1 | value]
        earlier = (arrival_a < due) & (moves_a > 0)
        cause = (costs_a + pattern) & COSTS if earlier else cause
        due = arrival_a if earlier else due
        earlier = (arrival_b < due) & (moves_b > 0)
        cause = (costs_b + pattern) & COSTS if earlier else cause
        due = arrival_b if earlier else due
        due = NEVER if value == out else due
        head_a += np.uint32(moves_a)
        head_b += np.uint32(moves_b)
        time_a = times[head_a] if head_a < end_a else NEVER
        time_b = times[head_b] if head_b < end_b else NEVER
    times[top] = due
    commits = due < LIMIT
    cost += core.cost[cause] if commits else 0
    return (top + commits if out ^ commits == value else STUCK), pattern, cost


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def gather(core: FlatCore, work: Working, first: int, moved: int) -> tuple[int, int]:
    """Note the pins of a gate that move and where their edges lie; return how many they are, and all their edges."""
    n_moving, n_edges = 0, 0
    while moved:
        pin = core.low_of[moved]
        moved &= moved - 1
        net = core.pin_net[first + pin]
        head, end = work.span[net, 0], work.span[net, 1]
        work.pin[n_moving], work.head[n_moving], work.end[n_moving] = pin, head, end
        work.time[n_moving] = work.times[head]
        n_moving += 1
        n_edges += end - head
    return n_moving, n_edges


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def follow_many(core: FlatCore, work: Working, gate: int, moved: int, top: int) -> tuple[int, int, int]:
    """Do the same for a gate of which any number of pins move."""
    first, pins, row, costs = core.gates[gate, 0], core.gates[gate, 1], core.gates[gate, 2], core.gates[gate, 3]
    times, pattern, now = work.times, int(work.pattern[gate]), work.time
    out = int(work.value[len(core.launch) + gate])
    n_moving, n_edges = gather(core, work, first, moved)
    if top + n_edges >= len(times):
        return FULL, 0, 0
    due, cause, cost, value = NEVER, 0, 0, out
    while True:
        time = now[0]
        for i in range(1, n_moving):
            time = min(time, now[i])
        if time == NEVER:
            break
        commits = due <= time
        times[top] = due
        cost += core.cost[cause] if commits else 0
        top += commits
        out ^= commits
        due = NEVER if commits else due
        for i in range(n_moving):
            pattern ^= int(now[i] == time) << work.pin[i]
        pattern &= PATTERNS
        value = int(core.truth[row + pattern])
        for i in range(n_moving):
            pin, moves = int(work.pin[i]), now[i] == time
            at = (int(costs) + (pin << pins) + pattern) & COSTS
            if len(core.hidden):
                cost += core.hidden[at] if moves else 0
            arrival = time + core.delay[(first + pin) << 2 | (pattern >> pin & 1) << 1 | value]
            earlier = moves & (arrival < due)
            cause = at if earlier else cause
            due = arrival if earlier else due
            head = work.head[i] + np.uint32(moves)
            work.head[i] = head
            now[i] = (times[head] if head < work.end[i] else NEVER) if moves else now[i]
        due = NEVER if value == out else due
    times[top] = due
    commits = due < LIMIT
    cost += core.cost[cause] if commits else 0
    return (top + commits if out ^ commits == value else STUCK), pattern, cost


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def finish(core: FlatCore, work: Working, gate: int, begin: int, top: int, counted: int) -> int:
    """Note the edges of a gate's output; return their requirement, NEVER if the library lacks the arc."""
    net, n_edges = len(core.launch) + gate, top - begin
    before = int(work.value[net])
    value = before ^ (n_edges & 1)
    work.value[net] = value
    work.span[net, 0], work.span[net, 1] = begin, top
    more, less = (n_edges + 1) >> 1, n_edges >> 1
    work.edges[net] += (counted * more << ((1 - before) << 5)) + (counted * less << (before << 5))
    wake(core, work, net)
    time = work.times[top - 1]
    return NEVER if time >= LIMIT else time + core.setup[net, value]


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def react(core: FlatCore, work: Working, gate: int, top: int, counted: int) -> tuple[int, int, int]:
    """Follow the edges of a gate's inputs; return the end of its own, their cost, and their requirement."""
    moved = int(work.moved[gate]) & PATTERNS
    work.moved[gate] = 0
    kind = core.pins_of[moved]
    if kind < TWO:
        end, pattern, cost = follow_one(core, work, gate, int(kind), top)
    elif kind == TWO:
        end, pattern, cost = follow_two(core, work, gate, moved, top)
    else:
        end, pattern, cost = follow_many(core, work, gate, moved, top)
    if end < 0:
        return end, 0, 0
    work.pattern[gate] = pattern
    late = finish(core, work, gate, top, end, counted) if end > top else 0
    return end, cost, late


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def move_to(core: FlatCore, work: Working, state: np.ndarray, counted: int) -> tuple[int, int, int]:
    """Make one transition; return its number of edges, its latest requirement, and its cost.

    In place of the number of edges: FULL where they do not fit, and STUCK - gate for a gate that does not settle to its
    function for want of an arc.
    """
    top, cost, late = launch_sources(core, work, state, counted)
    for word in range(len(work.waiting)):
        while work.waiting[word]:
            bits = work.waiting[word]
            lowest = bits & (~bits + ONE)
            work.waiting[word] = bits ^ lowest
            gate = (word << 6) + core.bit_of[(lowest * DE_BRUIJN) >> SHIFT]
            end, more, required = react(core, work, gate, top, counted)
            if end < 0 or required == NEVER:
                return (FULL if end == FULL else STUCK - gate), 0, 0
            top = end
            cost += more
            late = max(late, required)
    return top, late, cost


@njit(cache=True, nogil=True, _nrt=False)  # type: ignore[untyped-decorator]
def run_chain(
    core: FlatCore, work: Working, states: np.ndarray, counted: np.ndarray, sinks: np.ndarray, settle_fs: np.ndarray,
    cost: np.ndarray, sink_values: np.ndarray,
) -> tuple[int, int]:
    """Step through `states` and fill `settle_fs`, `cost` [step - 1] and `sink_values` [step, sink].

    Args:
        core: the flat core.
        work: its working arrays, in any condition; `edges` is added to.
        states: uint8 [step, source].
        counted: whether a transition's edges are counted [step].
        sinks: nets of the sinks [sink].
        settle_fs: latest requirement of each transition, filled.
        cost: of each transition, filled also where edges are not counted.
        sink_values: settled sinks, filled.

    Returns:
        The step that failed and why, as `move_to` has it; (0, number of edges) if none did.
    """
    work.moved[:] = 0
    work.waiting[:] = 0
    settle_at(core, work, states[0])
    total = 0
    for step in range(len(states)):
        if step:
            n_edges, late, spent = move_to(core, work, states[step], int(counted[step]))
            if n_edges < 0:
                return step, n_edges
            total += n_edges
            settle_fs[step - 1] = late
            cost[step - 1] = spent
        for sink in range(len(sinks)):
            sink_values[step, sink] = work.value[sinks[sink]]
    return 0, total
