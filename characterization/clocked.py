"""run_clocked(): an array of equal elements under a running clock: what every flop captures, cycle after cycle.

Elements are bounded by registers, so an array is one element many times, in lockstep. Within a cycle an element's gates
are visited in topological order, as in `waveform.py`: exact inertial waveforms in whole femtoseconds. Nothing is taken
as settled at the clock edge: an edge that is still pending then belongs to the next cycle, where new inputs may cancel
it. A flop takes what its data net holds at the edge, and the opposite if that moved within the setup window: wrong
values travel on, as they would. Pulses shorter than their edges cost in proportion, as in `inertial.py`, within a
cycle.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from characterization.inertial import LIMIT, NEVER, NONE_YET

# Returned in place of a number of edges: no room for those of a cycle, or a gate without the arc that it needs.
FULL, STUCK = -1, -2
# Expected in place of a result: none that counts.
NOTHING = -1


class ElementCore(NamedTuple):
    """An array element as flat arrays. Nets are numbered sources, gates, CONST0, CONST1; edges are FALL=0, RISE=1.

    Attributes:
        launch: when a source moves, fs, int64 `[source, edge]`.
        source_cost: of a source's edge, int64 `[source, edge]`.
        launch_cost: of the clock edge at a source, int64 `[source, bit before, bit after]`.
        gates: first pin, number of pins, first row of `truth`, first row of `cost`, int64 `[gate, 4]`.
        pin_net: net on each pin of each gate, int64 `[pin]`.
        truth: output by input pattern, a gate after the other, uint8.
        delay: int64 fs `[pin * 4 + input edge * 2 + output edge]`.
        cost, hidden: of an output edge by the pin and input pattern that caused it, and of an input edge itself, int64
            `[gate's row + (pin << pins) + pattern]`.
        rail: how long an edge of a gate's output takes from rail to rail, as in `FlatCore`, int64 fs `[gate]`.
        pulse: what two of them cost for each fs of that, float64 `[gate]`.
        fan_start, fan_gate, fan_pins: gates on each net and the mask of their pins on it.
        flops: net of the data pin, source that carries Q and the one that carries its complement (-1 for none), whether
            it holds a result, int64 `[flop, 4]`.
        setup: of a flop's data, int64 fs `[flop, edge]`.
        ports: source, the neighbour's source it follows (-1: driven from outside in every element), whether inverted,
            and whether the neighbour is above (1) or to the left (0), int64 `[port bit, 4]`.
        outputs: source, whether inverted, and the place of its bit in the result, int64 `[output bit, 3]`.
        valid: source of the bit that marks results, and whether inverted, int64 `[2]`.
    """

    launch: np.ndarray
    source_cost: np.ndarray
    launch_cost: np.ndarray
    gates: np.ndarray
    pin_net: np.ndarray
    truth: np.ndarray
    delay: np.ndarray
    cost: np.ndarray
    hidden: np.ndarray
    rail: np.ndarray
    pulse: np.ndarray
    fan_start: np.ndarray
    fan_gate: np.ndarray
    fan_pins: np.ndarray
    flops: np.ndarray
    setup: np.ndarray
    ports: np.ndarray
    outputs: np.ndarray
    valid: np.ndarray


class Lanes(NamedTuple):
    """What every element holds between two cycles, and the scratch space of the one that is visited.

    Attributes:
        value: of every net at the clock edge, uint8 `[element, net]`.
        coming: what the sources launch next, uint8 `[element, source]`.
        pattern: input pattern of every gate, int64 `[element, gate]`.
        due, cause: the pending edge of a gate's output, fs after the clock edge (NEVER for none), and its place in
            `cost`, int64 `[element, gate]`.
        times: edges of one element's cycle, fs, int64.
        span: where a net's edges lie in `times`, int64 `[net, begin and end]`; of this cycle if `stamp` says so.
        stamp: the visit in which a net last moved, int64 `[net]`.
        moved: mask of a gate's pins that have edges, int64 `[gate]`.
        pin, head, end, now: of the pins that a gate is merging.
    """

    value: np.ndarray
    coming: np.ndarray
    pattern: np.ndarray
    due: np.ndarray
    cause: np.ndarray
    times: np.ndarray
    span: np.ndarray
    stamp: np.ndarray
    moved: np.ndarray
    pin: np.ndarray
    head: np.ndarray
    end: np.ndarray
    now: np.ndarray


class Program(NamedTuple):
    """What an array is driven with, and what must come out.

    Attributes:
        columns: of the array; elements are numbered row by row.
        driven: port bits from outside in each cycle, uint8 `[cycle, element, port bit]`.
        excused: whether the result that an element captures after a cycle counts for nothing `[cycle, element]`.
        expected: result at the foot of each column after a cycle, NOTHING where none counts, int64 `[cycle, column]`.
        marked: whether the foot's valid bit must be set after a cycle, uint8 `[cycle, column]`.
        counted: whether a cycle's energy counts `[cycle]`.
        result_mask: bits of a result.
    """

    columns: int
    driven: np.ndarray
    excused: np.ndarray
    expected: np.ndarray
    marked: np.ndarray
    counted: np.ndarray
    result_mask: int


class Seen(NamedTuple):
    """What was seen, filled by the run.

    Attributes:
        late: latest requirement of a captured value that counts, last edge plus setup, fs, int64 `[cycle]`.
        corrupted: flops that took a value within its setup window, where it counts, int64 `[cycle]`.
        wrong: results or valid bits that differ from what is expected, int64 `[cycle]`.
        data_cost, register_cost: of the counted cycles, int64 `[element]`.
        states: what every flop captured, uint8 `[cycle, element, flop]`; no cycles where it is not recorded.
    """

    late: np.ndarray
    corrupted: np.ndarray
    wrong: np.ndarray
    data_cost: np.ndarray
    register_cost: np.ndarray
    states: np.ndarray


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def settle_at_zero(core: ElementCore, lanes: Lanes, lane: int) -> None:
    """Set every net and gate of an element to its settled value with all sources 0."""
    n_sources, n_nets = len(core.launch), len(lanes.span)
    for net in range(n_nets):
        lanes.value[lane, net] = 0
    lanes.value[lane, n_nets - 1] = 1
    for source in range(n_sources):
        lanes.coming[lane, source] = 0
    for gate in range(len(core.gates)):
        first, pins, row = core.gates[gate, 0], core.gates[gate, 1], core.gates[gate, 2]
        pattern = 0
        for pin in range(pins):
            pattern |= int(lanes.value[lane, core.pin_net[first + pin]]) << pin
        lanes.pattern[lane, gate] = pattern
        lanes.due[lane, gate] = NEVER
        lanes.value[lane, n_sources + gate] = core.truth[row + pattern]


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def wake(core: ElementCore, lanes: Lanes, net: int, begin: int, end: int, visit: int) -> None:
    """Note a net's edges and mark the gates on it."""
    lanes.span[net, 0], lanes.span[net, 1] = begin, end
    lanes.stamp[net] = visit
    for i in range(core.fan_start[net], core.fan_start[net + 1]):
        lanes.moved[core.fan_gate[i]] |= core.fan_pins[i]


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def launch_sources(core: ElementCore, lanes: Lanes, lane: int, visit: int) -> tuple[int, int, int]:
    """Move an element's sources; return the number of edges, their cost, and the cost of the clock edge."""
    top, cost, register_cost = 0, 0, 0
    for source in range(len(core.launch)):
        before, after = lanes.value[lane, source], lanes.coming[lane, source]
        register_cost += core.launch_cost[source, before, after]
        if before != after:
            lanes.value[lane, source] = after
            lanes.times[top] = core.launch[source, after]
            cost += core.source_cost[source, after]
            wake(core, lanes, source, top, top + 1, visit)
            top += 1
    return top, cost, register_cost


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def gather(core: ElementCore, lanes: Lanes, first: int, pins: int, moved: int) -> tuple[int, int]:
    """Note the pins of a gate that move and where their edges lie; return how many they are, and all their edges."""
    n_moving, n_edges = 0, 0
    for pin in range(pins):
        if moved >> pin & 1:
            net = core.pin_net[first + pin]
            lanes.pin[n_moving], lanes.head[n_moving], lanes.end[n_moving] = pin, lanes.span[net, 0], lanes.span[net, 1]
            lanes.now[n_moving] = lanes.times[lanes.span[net, 0]]
            n_edges += lanes.span[net, 1] - lanes.span[net, 0]
            n_moving += 1
    return n_moving, n_edges


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def take_instant(
    core: ElementCore, lanes: Lanes, gate: int, n_moving: int, time: int, pattern: int, out: int, due: int, cause: int
) -> tuple[int, int, int, int, int, int]:
    """Move every pin that has an edge now; return how many do, the pattern, the pending edge, its cause, and the cost.

    While function and output differ the earliest cause wins; when they agree nothing is pending, and what was costs as
    much as it swings until the edge back.
    """
    first, pins, row, costs = core.gates[gate, 0], core.gates[gate, 1], core.gates[gate, 2], core.gates[gate, 3]
    now, taken, cost, arrival, charge = lanes.now, 0, 0, NEVER, 0
    for i in range(n_moving):
        pattern ^= int(now[i] == time) << lanes.pin[i]
    value = int(core.truth[row + pattern])
    for i in range(n_moving):
        if now[i] == time:
            pin = lanes.pin[i]
            at = costs + (pin << pins) + pattern
            if len(core.hidden):
                cost += core.hidden[at]
            after = time + core.delay[(first + pin) << 2 | (pattern >> pin & 1) << 1 | value]
            if after < arrival:
                arrival, charge = after, at
            taken += 1
            lanes.head[i] += 1
            now[i] = lanes.times[lanes.head[i]] if lanes.head[i] < lanes.end[i] else NEVER
    if value != out:
        if arrival < due:
            due, cause = arrival, charge
        return taken, pattern, due, cause, cost, 0
    if due < LIMIT and arrival < LIMIT:
        swung = min(max(arrival - due, 0), core.rail[gate])
        return taken, pattern, NEVER, cause, cost, swung
    return taken, pattern, NEVER, cause, cost, 0


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def follow(
    core: ElementCore, lanes: Lanes, lane: int, gate: int, period: int, top: int, visit: int
) -> tuple[int, int]:
    """Append the output edges of a gate until the clock edge; return their end (or FULL, STUCK), and the cost."""
    net, times, now = len(core.launch) + gate, lanes.times, lanes.now
    n_moving, n_edges = gather(core, lanes, core.gates[gate, 0], core.gates[gate, 1], lanes.moved[gate])
    lanes.moved[gate] = 0
    if top + n_edges + 1 >= len(times):
        return FULL, 0
    begin, pattern, out = top, lanes.pattern[lane, gate], int(lanes.value[lane, net])
    due, cause, cost = lanes.due[lane, gate], lanes.cause[lane, gate], 0
    rail, last, swings = core.rail[gate], NONE_YET, 0
    while n_edges > 0:
        time = now[0]
        for i in range(1, n_moving):
            time = min(time, now[i])
        if due <= time:
            times[top] = due
            top += 1
            cost += core.cost[cause]
            swings -= max(rail - (due - last), 0)
            out ^= 1
            last, due = due, NEVER
        taken, pattern, due, cause, spent, swung = take_instant(core, lanes, gate, n_moving, time, pattern, out, due,
                                                                cause)
        n_edges -= taken
        cost += spent
        swings += swung
    if due < period:
        times[top] = due
        top += 1
        cost += core.cost[cause]
        swings -= max(rail - (due - last), 0)
        out ^= 1
        due = NEVER
    cost += int(np.float64(swings) * core.pulse[gate])
    if LIMIT <= due < NEVER:
        return STUCK - gate, 0
    lanes.pattern[lane, gate], lanes.cause[lane, gate] = pattern, cause
    lanes.due[lane, gate] = due - period if due < NEVER else NEVER
    if top > begin:
        lanes.value[lane, net] = out
        wake(core, lanes, net, begin, top, visit)
    return top, cost


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def capture(
    core: ElementCore, lanes: Lanes, seen: Seen, cycle: int, lane: int, period: int, visit: int, excused: int
) -> None:
    """Clock an element's flops: `coming` is what their sources launch next."""
    for flop in range(len(core.flops)):
        net = core.flops[flop, 0]
        taken = lanes.value[lane, net]
        if lanes.stamp[net] == visit:
            required = lanes.times[lanes.span[net, 1] - 1] + core.setup[flop, taken]
            counts = not (excused and core.flops[flop, 3])
            if counts:
                seen.late[cycle] = max(seen.late[cycle], required)
            if required > period:
                taken ^= 1
                if counts:
                    seen.corrupted[cycle] += 1
        if core.flops[flop, 1] >= 0:
            lanes.coming[lane, core.flops[flop, 1]] = taken
        if core.flops[flop, 2] >= 0:
            lanes.coming[lane, core.flops[flop, 2]] = taken ^ 1
        if len(seen.states):
            seen.states[cycle, lane, flop] = taken


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def drive(core: ElementCore, lanes: Lanes, program: Program, cycle: int, lane: int) -> None:
    """Put on an element's ports what its neighbours hold, and at the array's edge what comes from outside."""
    for port in range(len(core.ports)):
        source, follows, inverted, above = (core.ports[port, 0], core.ports[port, 1], core.ports[port, 2],
                                            core.ports[port, 3])
        outer = lane < program.columns if above else lane % program.columns == 0
        if follows < 0 or outer:
            lanes.coming[lane, source] = program.driven[cycle, lane, port]
        else:
            neighbour = lane - (program.columns if above else 1)
            lanes.coming[lane, source] = lanes.coming[neighbour, follows] ^ inverted


@njit(inline="always", _nrt=False)  # type: ignore[untyped-decorator]
def check(core: ElementCore, lanes: Lanes, program: Program, seen: Seen, cycle: int) -> None:
    """Compare what stands at the foot of every column with what must stand there."""
    foot = len(lanes.value) - program.columns
    for column in range(program.columns):
        valid = lanes.coming[foot + column, core.valid[0]] ^ core.valid[1]
        seen.wrong[cycle] += valid != program.marked[cycle, column]
        if program.expected[cycle, column] != NOTHING:
            found = 0
            for bit in range(len(core.outputs)):
                held = int(lanes.coming[foot + column, core.outputs[bit, 0]]) ^ core.outputs[bit, 1]
                found += held << core.outputs[bit, 2]
            seen.wrong[cycle] += (found & program.result_mask) != program.expected[cycle, column]


@njit(cache=True, nogil=True, _nrt=False)  # type: ignore[untyped-decorator]
def run_clocked(
    core: ElementCore, lanes: Lanes, program: Program, seen: Seen, period: int, stop_when_wrong: bool
) -> tuple[int, int]:
    """Clock an array through a program, from all flops at 0.

    Args:
        core: the element.
        lanes: of every element, in any condition.
        program: what it is driven with.
        seen: filled; `late`, `corrupted`, `wrong` and costs are added to.
        period: of the clock, fs; no source may launch later.
        stop_when_wrong: whether to stop after the first cycle with a wrong result.

    Returns:
        Cycles run, and 0; or the cycle that failed and why: FULL, or STUCK - gate.
    """
    visit = 0
    n_lanes = len(lanes.value)
    lanes.moved[:] = 0
    lanes.stamp[:] = -1
    for lane in range(n_lanes):
        settle_at_zero(core, lanes, lane)
    for cycle in range(len(program.driven)):
        for lane in range(n_lanes):
            drive(core, lanes, program, cycle, lane)
        counted = int(program.counted[cycle])
        for lane in range(n_lanes):
            visit += 1
            top, cost, register_cost = launch_sources(core, lanes, lane, visit)
            for gate in range(len(core.gates)):
                if lanes.moved[gate] or lanes.due[lane, gate] < period:
                    top, more = follow(core, lanes, lane, gate, period, top, visit)
                    if top < 0:
                        return cycle, top
                    cost += more
                elif lanes.due[lane, gate] < NEVER:
                    lanes.due[lane, gate] -= period
            seen.data_cost[lane] += counted * cost
            seen.register_cost[lane] += counted * register_cost
            capture(core, lanes, seen, cycle, lane, period, visit, program.excused[cycle, lane])
        check(core, lanes, program, seen, cycle)
        if stop_when_wrong and seen.wrong[cycle]:
            return cycle + 1, 0
    return len(program.driven), 0
