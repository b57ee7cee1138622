"""follow_*(): the edges of a gate's output from those of its inputs, in all transitions that are simulated together.

A gate merges the edges of its inputs in time and holds at most one pending edge of its output. Inputs that move in one
instant are one batch; a pending edge that is due commits before it; while function and output differ the earliest cause
wins; when they agree again the pending edge is dropped.

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
ZERO, ONE, TWO = U64(0), U64(1), U64(2)
NONE_DUE, NOTHING = np.int64(NEVER), np.int64(0)
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
def tables(core: FlatCore, gate: int) -> tuple[Any, ...]:
    """Return a gate's output net, first pin, first rows of its truth table and costs, and its number of pins."""
    pins = U64(core.gates[gate, 1])
    return U64(len(core.launch)) + U64(gate), core.gates[gate, 0], core.gates[gate, 2], core.gates[gate, 3], pins


@njit(**INLINE)  # type: ignore[untyped-decorator]
def commit(core: FlatCore, work: Working, time: int, due: int, cause: int, out: int, top: U64) -> tuple[Any, ...]:
    """Commit what is due at a time; return what is pending then, the output, the end of `times`, and the cost."""
    commits = due <= time
    work.times[top] = due
    cost = choose(commits, core.cost[cause], NOTHING)
    return choose(commits, NONE_DUE, due), out ^ U64(commits), top + U64(commits), cost


@njit(**INLINE)  # type: ignore[untyped-decorator]
def arrive(
    core: FlatCore, gate: tuple[Any, ...], pin: int, pattern: int, value: int, time: int, due: int, cause: int
) -> tuple[Any, ...]:
    """Let an edge of a pin bring the output to `value`; return when that is due, its cause, and the pin's own cost."""
    charge = gate[3] + (pin << gate[4]) + pattern
    arrival = time + core.delay[(gate[1] + pin) << TWO | (pattern >> pin & ONE) << ONE | value]
    earlier = arrival < due
    cost = core.hidden[charge] if len(core.hidden) > 0 else NOTHING
    return choose(earlier, arrival, due), choose(earlier, charge, cause), cost


@njit(**INLINE)  # type: ignore[untyped-decorator]
def close(
    core: FlatCore, work: Working, net: int, lane: int, start: U64, top: U64, due: int, cause: int, cost: int
) -> U64:
    """Commit what is pending, note where the edges of a net lie in a lane, and what they cost; return their end."""
    commits = due < LIMIT
    work.times[top] = due
    top += U64(commits)
    work.times[top] = NEVER
    work.begin[net, lane] = start
    work.n_edges[net, lane] = top - start
    work.cost[lane] += cost + choose(commits, core.cost[cause], NOTHING)
    return top + U64(top > start)


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow_single(core: FlatCore, work: Working, gate: tuple[Any, ...], lanes: tuple[U64, U64], top: U64) -> U64:
    """Write the edges of a gate in lanes where one pin moves once; return their end."""
    net, first, row = gate[:3]
    for place in range(lanes[0], lanes[1]):
        lane = work.lanes[place]
        pin = U64(core.low_of[work.mask[lane]])
        time = work.times[work.begin[core.pin_net[first + pin], lane]]
        pattern = U64(work.pattern[lane]) ^ ONE << pin
        value = U64(core.truth[row + pattern])
        due, cause, cost = arrive(core, gate, pin, pattern, value, time, NONE_DUE, ZERO)
        commits = (value != U64(work.value[net, lane])) & (due < LIMIT)
        work.times[top], work.times[top + ONE] = due, NEVER
        work.begin[net, lane] = top
        work.n_edges[net, lane] = commits
        work.cost[lane] += cost + choose(commits, core.cost[cause], NOTHING)
        top += U64(commits) << ONE
    return top


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow_one(core: FlatCore, work: Working, gate: tuple[Any, ...], lanes: tuple[U64, U64], top: U64) -> U64:
    """Do the same where one pin moves any number of times."""
    net, first, row = gate[:3]
    for place in range(lanes[0], lanes[1]):
        lane, start = work.lanes[place], top
        pin = U64(core.low_of[work.mask[lane]])
        head = U64(work.begin[core.pin_net[first + pin], lane])
        pattern, out = U64(work.pattern[lane]), U64(work.value[net, lane])
        due, cause, cost, time = NONE_DUE, ZERO, NOTHING, work.times[head]
        while time < LIMIT:
            due, out, top, spent = commit(core, work, time, due, cause, out, top)
            pattern ^= ONE << pin
            value = U64(core.truth[row + pattern])
            due, cause, own = arrive(core, gate, pin, pattern, value, time, due, cause)
            due = choose(value == out, NONE_DUE, due)
            cost += spent + own
            head += ONE
            time = work.times[head]
        top = close(core, work, net, lane, start, top, due, cause, cost)
    return top


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow_pair(core: FlatCore, work: Working, gate: tuple[Any, ...], lanes: tuple[U64, U64], top: U64) -> U64:
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
        out, pattern = U64(work.value[net, lane]), U64(work.pattern[lane]) ^ ONE << a
        if together:
            pattern ^= ONE << b
        value = U64(core.truth[row + pattern])
        due, cause, cost = arrive(core, gate, a, pattern, value, time, NONE_DUE, ZERO)
        if not together:
            due = choose(value == out, NONE_DUE, due)
            due, out, top, spent = commit(core, work, then, due, cause, out, top)
            pattern ^= ONE << b
            value = U64(core.truth[row + pattern])
            cost += spent
        due, cause, own = arrive(core, gate, b, pattern, value, then, due, cause)
        due = choose(value == out, NONE_DUE, due)
        top = close(core, work, net, lane, start, top, due, cause, cost + own)
    return top


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow_two(core: FlatCore, work: Working, gate: tuple[Any, ...], lanes: tuple[U64, U64], top: U64) -> U64:
    """Do the same where two pins move any number of times."""
    net, first, row = gate[:3]
    for place in range(lanes[0], lanes[1]):
        lane, start = work.lanes[place], top
        a, b = U64(core.low_of[work.mask[lane]]), U64(core.high_of[work.mask[lane]])
        head_a = U64(work.begin[core.pin_net[first + a], lane])
        head_b = U64(work.begin[core.pin_net[first + b], lane])
        pattern, out = U64(work.pattern[lane]), U64(work.value[net, lane])
        due, cause, cost = NONE_DUE, ZERO, NOTHING
        time_a, time_b = work.times[head_a], work.times[head_b]
        time = choose(time_a < time_b, time_a, time_b)
        while time < LIMIT:
            due, out, top, spent = commit(core, work, time, due, cause, out, top)
            moves_a, together = time_a == time, time_a == time_b
            pin = choose(moves_a, a, b)
            pattern ^= ONE << pin
            if together:
                pattern ^= ONE << b
            value = U64(core.truth[row + pattern])
            due, cause, own = arrive(core, gate, pin, pattern, value, time, due, cause)
            cost += spent + own
            if together:
                due, cause, own = arrive(core, gate, b, pattern, value, time, due, cause)
                cost += own
            due = choose(value == out, NONE_DUE, due)
            head_a += U64(moves_a)
            head_b += ONE if together else U64(not moves_a)
            time_a, time_b = work.times[head_a], work.times[head_b]
            time = choose(time_a < time_b, time_a, time_b)
        top = close(core, work, net, lane, start, top, due, cause, cost)
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
def follow_many(core: FlatCore, work: Working, gate: tuple[Any, ...], lanes: tuple[U64, U64], top: U64) -> U64:
    """Do the same where any number of pins move."""
    net, first, row = gate[:3]
    for place in range(lanes[0], lanes[1]):
        lane, start = work.lanes[place], top
        moving = gather(core, work, first, lane)
        pattern, out = U64(work.pattern[lane]), U64(work.value[net, lane])
        due, cause, cost = NONE_DUE, ZERO, NOTHING
        time, pick, together = earliest(work, moving)
        while time < LIMIT:
            due, out, top, spent = commit(core, work, time, due, cause, out, top)
            pattern ^= ONE << work.pin[pick]
            for i in range(pick + ONE, moving if together > ONE else ZERO):
                pattern ^= U64(work.time[i] == time) << work.pin[i]
            value = U64(core.truth[row + pattern])
            for _ in range(ZERO, together):
                due, cause, own = arrive(core, gate, work.pin[pick], pattern, value, time, due, cause)
                cost += own
                work.head[pick] += ONE
                work.time[pick] = work.times[work.head[pick]]
                while together > ONE and pick + ONE < moving and work.time[pick] != time:
                    pick += ONE
            cost += spent
            due = choose(value == out, NONE_DUE, due)
            time, pick, together = earliest(work, moving)
        top = close(core, work, net, lane, start, top, due, cause, cost)
    return top
