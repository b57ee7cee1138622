"""follow_*(): the edges of a gate's output from those of its inputs, in all transitions that are simulated together.

A gate merges the edges of its inputs in time and holds at most one pending edge of its output. Inputs that move in one
instant are one batch; a pending edge that is due commits before it; while function and output differ the earliest cause
wins; when they agree again the pending edge is dropped. What edges cost may depend on the time between them: a pulse
shorter than its edges take swings through a part of the supply only, and a dropped one leaves a runt (`energy.py`).

Nobody can predict whether an edge commits, so the loops choose without jumps. Pins that move in one instant are rare,
and have code of their own. Indices are unsigned, which spares each look-up the test for a negative one. All of it is
compiled into `waveform.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from characterization.flat_arrays import FlatCore, Working

# In femtoseconds: the delay of an arc that the library lacks, when an edge is due that is not pending, and what all
# true times stay below.
MISSING, NEVER, LIMIT = 1 << 61, 1 << 62, 1 << 60
U64 = np.uint64
ZERO, ONE = U64(0), U64(1)
NONE_DUE, NONE_YET, NOTHING = np.int64(NEVER), np.int64(-LIMIT), np.int64(0)
# Costs are whole numbers below 2^53, so floating point adds them without error, in registers that times do not need.
FREE = 0.0
# Of a gate: its output net, first pin, first rows of its truth table and costs, number of pins, how long its edges take
# from rail to rail, and what two of them cost for each femtosecond of it.
Gate = tuple[Any, ...]
# Of its output: when an edge is due and its cause; the value; the end of `times`; when the last edge was; for how long
# pairs of edges swing, less what whole ones would; and the cost of whole edges.
Output = tuple[Any, ...]
# Reference counting is off, as no array is made here.
INLINE = {"inline": "always", "_nrt": False}


@intrinsic  # type: ignore[untyped-decorator]
def choose(_: Any, __: Any, yes: Any, no: Any) -> tuple[Any, Any]:
    """Return `yes` or `no`, without a jump: a select marked unpredictable, which LLVM leaves one."""

    def emit(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        chosen = builder.select(*arguments)
        chosen.set_metadata("unpredictable", builder.module.add_metadata([]))
        return chosen

    return types.unliteral(no)(types.boolean, types.unliteral(yes), types.unliteral(no)), emit


@njit(**INLINE)  # type: ignore[untyped-decorator]
def tables(core: FlatCore, gate: int) -> Gate:
    """Return what `Gate` says of a gate."""
    return (U64(len(core.launch)) + U64(gate), core.gates[gate, 0], core.gates[gate, 2], core.gates[gate, 3],
            U64(core.gates[gate, 1]), core.rail[gate], core.pulse[gate])


@njit(**INLINE)  # type: ignore[untyped-decorator]
def part(gate: Gate, time: int) -> float:
    """Return the part of the cost of two edges that goes into as much of a swing as an edge makes in a time, whole."""
    return np.float64(np.int64(np.float64(time) * gate[6]))


@njit(**INLINE)  # type: ignore[untyped-decorator]
def arrive(core: FlatCore, gate: Gate, pin: int, pattern: int, time: int, due: int, cause: int) -> tuple[Any, ...]:
    """Let an edge of a pin make a pattern; return the output's earliest edge, its cause, and the pin's own cost."""
    charge = gate[3] + (pin << gate[4]) + pattern
    arrival = time + core.delay[charge]
    earlier = arrival < due
    own = core.hidden[charge] if len(core.hidden) > 0 else FREE
    return choose(earlier, arrival, due), choose(earlier, charge, cause), own


@njit(**INLINE)  # type: ignore[untyped-decorator]
def step(
    core: FlatCore, work: Working, gate: Gate, time: int, function: U64, fresh: tuple[Any, ...], output: Output
) -> Output:
    """Commit what is due at a time, then let a fresh edge come before what is pending, or cancel it.

    Two edges that are closer than one takes cost no more than they swing, committed or cancelled.
    """
    due, cause, value, top, last, swings, cost = output
    arrival, charge, own = fresh
    commits, spent = due <= time, core.cost[cause]
    work.times[top] = due
    value ^= U64(commits)
    agrees = function == value
    swung = choose(commits, due, arrival) - choose(commits, last, due)
    swung = min(max(swung, NOTHING), gate[5]) - choose(commits, gate[5], NOTHING)
    swings += choose(commits | agrees & (arrival < LIMIT), swung, NOTHING)
    cost += own + choose(commits, spent, FREE)
    last, due = choose(commits, due, last), choose(commits, NONE_DUE, due)
    earlier = arrival < due
    due = choose(agrees, NONE_DUE, choose(earlier, arrival, due))
    return due, choose(earlier, charge, cause), value, top + U64(commits), last, swings, cost


@njit(**INLINE)  # type: ignore[untyped-decorator]
def begin(work: Working, gate: Gate, lane: int, function: U64, fresh: tuple[Any, ...], top: U64) -> Output:
    """Return the output of a gate after the first edge of its pins: nothing was due before it."""
    value, (arrival, charge, own) = U64(work.value[gate[0], lane]), fresh
    return choose(function == value, NONE_DUE, arrival), charge, value, top, NONE_YET, NOTHING, own


@njit(**INLINE)  # type: ignore[untyped-decorator]
def close(core: FlatCore, work: Working, gate: Gate, lane: int, start: U64, output: Output) -> U64:
    """Commit what is pending, note where the edges of a net lie in a lane, and what they cost; return their end."""
    net = gate[0]
    due, cause, _, top, last, swings, cost = output
    commits, spent = due < LIMIT, core.cost[cause]
    work.times[top] = due
    top += U64(commits)
    work.times[top] = NEVER
    work.begin[net, lane] = start
    work.n_edges[net, lane] = top - start
    swings -= choose(commits, max(gate[5] - (due - last), NOTHING), NOTHING)
    work.cost[lane] += cost + part(gate, swings) + choose(commits, spent, FREE)
    end: U64 = top + U64(top > start)
    return end


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow_single(core: FlatCore, work: Working, gate: Gate, lanes: tuple[U64, U64], top: U64) -> U64:
    """Write the edges of a gate in lanes where one pin moves once; return their end."""
    net, first, row = gate[:3]
    for place in range(lanes[0], lanes[1]):
        lane = work.lanes[place]
        pin = U64(core.low_of[work.mask[lane]])
        time = work.times[work.begin[core.pin_net[first + pin], lane]]
        pattern = U64(work.pattern[lane]) ^ ONE << pin
        due, cause, own = arrive(core, gate, pin, pattern, time, NONE_DUE, ZERO)
        commits = (core.truth[row + pattern] != work.value[net, lane]) & (due < LIMIT)
        work.times[top], work.times[top + ONE] = due, NEVER
        work.begin[net, lane] = top
        work.n_edges[net, lane] = commits
        work.cost[lane] += own + choose(commits, core.cost[cause], FREE)
        top += U64(commits) << ONE
    return top


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow_pulse(core: FlatCore, work: Working, gate: Gate, lanes: tuple[U64, U64], top: U64) -> U64:
    """Do the same where one pin moves and moves back: the output does likewise, or has a runt, or none."""
    net, first, row = gate[:3]
    for place in range(lanes[0], lanes[1]):
        lane, begun = work.lanes[place], top
        pin = U64(core.low_of[work.mask[lane]])
        head, pattern = U64(work.begin[core.pin_net[first + pin], lane]), U64(work.pattern[lane])
        then = work.times[head + ONE]
        due, there, own = arrive(core, gate, pin, pattern ^ ONE << pin, work.times[head], NONE_DUE, ZERO)
        arrival, back, cost = arrive(core, gate, pin, pattern, then, NONE_DUE, ZERO)
        turns = core.truth[row + (pattern ^ ONE << pin)] != work.value[net, lane]
        commits, returns = turns & (due <= then), arrival < LIMIT
        swung = min(max(arrival - due, NOTHING), gate[5]) - choose(commits, gate[5], NOTHING)
        cost += own + part(gate, choose(turns & returns, swung, NOTHING))
        cost += choose(commits, core.cost[there], FREE) + choose(commits & returns, core.cost[back], FREE)
        work.times[top] = due
        top += U64(commits)
        work.times[top] = arrival
        top += U64(commits & returns)
        work.times[top] = NEVER
        work.begin[net, lane] = begun
        work.n_edges[net, lane] = top - begun
        work.cost[lane] += cost
        top += U64(commits)
    return top


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow_one(core: FlatCore, work: Working, gate: Gate, lanes: tuple[U64, U64], top: U64) -> U64:
    """Do the same where one pin moves more often."""
    first, row = gate[1], gate[2]
    for place in range(lanes[0], lanes[1]):
        lane = work.lanes[place]
        pin = U64(core.low_of[work.mask[lane]])
        head = U64(work.begin[core.pin_net[first + pin], lane])
        pattern = U64(work.pattern[lane]) ^ ONE << pin
        fresh = arrive(core, gate, pin, pattern, work.times[head], NONE_DUE, ZERO)
        output = begin(work, gate, lane, U64(core.truth[row + pattern]), fresh, top)
        head += ONE
        time = work.times[head]
        while time < LIMIT:
            pattern ^= ONE << pin
            fresh = arrive(core, gate, pin, pattern, time, NONE_DUE, ZERO)
            output = step(core, work, gate, time, U64(core.truth[row + pattern]), fresh, output)
            head += ONE
            time = work.times[head]
        top = close(core, work, gate, lane, top, output)
    return top


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow_pair(core: FlatCore, work: Working, gate: Gate, lanes: tuple[U64, U64], top: U64) -> U64:
    """Do the same where two pins move once each."""
    net, first, row = gate[:3]
    for place in range(lanes[0], lanes[1]):
        lane, start = work.lanes[place], top
        low, high = U64(core.low_of[work.mask[lane]]), U64(core.high_of[work.mask[lane]])
        time_low = work.times[work.begin[core.pin_net[first + low], lane]]
        time_high = work.times[work.begin[core.pin_net[first + high], lane]]
        in_order, together = time_low <= time_high, time_low == time_high
        a, b = choose(in_order, low, high), choose(in_order, high, low)
        time, then = choose(in_order, time_low, time_high), choose(in_order, time_high, time_low)
        value, pattern = work.value[net, lane], U64(work.pattern[lane]) ^ ONE << a
        if together:
            pattern ^= ONE << b
        due, cause, cost = arrive(core, gate, a, pattern, time, NONE_DUE, ZERO)
        if together:
            arrival, charge, own = arrive(core, gate, b, pattern, time, due, cause)
            due = NONE_DUE
        else:
            due = choose(core.truth[row + pattern] == value, NONE_DUE, due)
            pattern ^= ONE << b
            arrival, charge, own = arrive(core, gate, b, pattern, then, NONE_DUE, ZERO)
        # At most two edges: the first is committed, cancelled, or overtaken by the second.
        commits, spent = due <= then, core.cost[cause]
        agrees = (core.truth[row + pattern] ^ value) == np.uint8(commits)
        swung = min(max(arrival - due, NOTHING), gate[5]) - choose(commits, gate[5], NOTHING)
        swung = choose((commits ^ agrees) & (arrival < LIMIT), swung, NOTHING)
        last = commits | (arrival < due)
        work.times[top] = due
        top += U64(commits)
        cost += own + part(gate, swung) + choose(commits, spent, FREE)
        due = choose(agrees, NONE_DUE, choose(last, arrival, due))
        work.times[top] = due
        cost += choose(due < LIMIT, choose(last, core.cost[charge], spent), FREE)
        top += U64(due < LIMIT)
        work.times[top] = NEVER
        work.begin[net, lane] = start
        work.n_edges[net, lane] = top - start
        work.cost[lane] += cost
        top += U64(top > start)
    return top


@njit(**INLINE)  # type: ignore[untyped-decorator]
def take(core: FlatCore, work: Working, gate: Gate, pins: tuple[U64, U64], pattern: U64, heads: tuple[U64, U64],
         times: tuple[Any, Any]) -> tuple[Any, ...]:  # fmt: skip
    """Take the next edge of two pins, or both if in one instant; return what it makes, and what then is next."""
    (a, b), (head_a, head_b), (time_a, time_b) = pins, heads, times
    time = choose(time_a < time_b, time_a, time_b)
    moves_a, together = time_a == time, time_a == time_b
    pin = choose(moves_a, a, b)
    pattern ^= ONE << pin
    if together:
        pattern ^= ONE << b
    fresh = arrive(core, gate, pin, pattern, time, NONE_DUE, ZERO)
    if together:
        due, cause, own = arrive(core, gate, b, pattern, time, fresh[0], fresh[1])
        fresh = due, cause, fresh[2] + own
    head_a += U64(moves_a)
    head_b += ONE if together else U64(not moves_a)
    return time, fresh, pattern, (head_a, head_b), (work.times[head_a], work.times[head_b])


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow_two(core: FlatCore, work: Working, gate: Gate, lanes: tuple[U64, U64], top: U64) -> U64:
    """Do the same where two pins move any number of times."""
    first, row = gate[1], gate[2]
    for place in range(lanes[0], lanes[1]):
        lane = work.lanes[place]
        pins = U64(core.low_of[work.mask[lane]]), U64(core.high_of[work.mask[lane]])
        heads = (U64(work.begin[core.pin_net[first + pins[0]], lane]),
                 U64(work.begin[core.pin_net[first + pins[1]], lane]))  # fmt: skip
        times, pattern = (work.times[heads[0]], work.times[heads[1]]), U64(work.pattern[lane])
        time, fresh, pattern, heads, times = take(core, work, gate, pins, pattern, heads, times)
        output = begin(work, gate, lane, U64(core.truth[row + pattern]), fresh, top)
        while min(times[0], times[1]) < LIMIT:
            time, fresh, pattern, heads, times = take(core, work, gate, pins, pattern, heads, times)
            output = step(core, work, gate, time, U64(core.truth[row + pattern]), fresh, output)
        top = close(core, work, gate, lane, top, output)
    return top


@njit(**INLINE)  # type: ignore[untyped-decorator]
def gather(core: FlatCore, work: Working, first: int, lane: int) -> U64:
    """Note the pins that move in a lane and their first edges; return how many they are."""
    moved, moving = U64(work.mask[lane]), ZERO
    while moved:
        pin = U64(core.low_of[moved])
        moved &= moved - ONE
        head = U64(work.begin[core.pin_net[first + pin], lane])
        work.pin[moving], work.head[moving], work.time[moving] = pin, head, work.times[head]
        moving += ONE
    return moving


@njit(**INLINE)  # type: ignore[untyped-decorator]
def earliest(work: Working, moving: U64) -> tuple[Any, ...]:
    """Return the next edge of the pins that are merged, the first of them that has it, and how many have."""
    time, pick, together = work.time[0], ZERO, ONE
    for i in range(ONE, moving):
        earlier, same = work.time[i] < time, work.time[i] == time
        time, pick = choose(earlier, work.time[i], time), choose(earlier, i, pick)
        together = choose(earlier, ONE, together + U64(same))
    return time, pick, together


@njit(**INLINE)  # type: ignore[untyped-decorator]
def take_some(
    core: FlatCore, work: Working, gate: Gate, moving: U64, following: tuple[Any, ...], pattern: U64
) -> tuple[Any, ...]:
    """Take the next edges of the pins that are merged; return what they make, and the pattern."""
    time, pick, together = following
    pattern ^= ONE << work.pin[pick]
    for i in range(pick + ONE, moving if together > ONE else ZERO):
        pattern ^= U64(work.time[i] == time) << work.pin[i]
    due, cause, cost = NONE_DUE, ZERO, FREE
    for _ in range(ZERO, together):
        due, cause, own = arrive(core, gate, work.pin[pick], pattern, time, due, cause)
        cost += own
        work.head[pick] += ONE
        work.time[pick] = work.times[work.head[pick]]
        while together > ONE and pick + ONE < moving and work.time[pick] != time:
            pick += ONE
    return (due, cause, cost), pattern


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow_many(core: FlatCore, work: Working, gate: Gate, lanes: tuple[U64, U64], top: U64) -> U64:
    """Do the same where any number of pins move."""
    first, row = gate[1], gate[2]
    for place in range(lanes[0], lanes[1]):
        lane = work.lanes[place]
        moving = gather(core, work, first, lane)
        fresh, pattern = take_some(core, work, gate, moving, earliest(work, moving), U64(work.pattern[lane]))
        output = begin(work, gate, lane, U64(core.truth[row + pattern]), fresh, top)
        following = earliest(work, moving)
        while following[0] < LIMIT:
            fresh, pattern = take_some(core, work, gate, moving, following, pattern)
            output = step(core, work, gate, following[0], U64(core.truth[row + pattern]), fresh, output)
            following = earliest(work, moving)
        top = close(core, work, gate, lane, top, output)
    return top
