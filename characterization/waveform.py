"""run_lanes(): consecutive transitions through a timed core, the exact waveform of every net in each of them.

There is no event queue. Gates are visited in topological order, and each follows its inputs (`inertial.py`) through all
transitions of a block, its lanes, before the next gate's turn: its tables stay at hand, and lanes with equally many
edges on equally many pins come one after the other, so that loops end where the processor expects it.

The same transitions run for several weights. Sources and gates are sorted into levels by how often what they depend on
changes from one weight to the next; what stands above the changed level is kept, waveforms, costs and all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from characterization.flat_arrays import Block, FlatCore, Levels, Results, Working
from characterization.inertial import (
    FREE,
    INLINE,
    LIMIT,
    NEVER,
    ONE,
    U64,
    ZERO,
    choose,
    follow_many,
    follow_one,
    follow_pair,
    follow_pulse,
    follow_single,
    follow_two,
    tables,
)

# Setup of a net that nobody watches: its requirement never is the latest.
UNWATCHED = -(1 << 62)
# How a block ended: well; no room for its edges; an output that cannot follow its function.
DONE, FULL, STUCK = 0, 1, 2
MAX_PINS = 12
# Truth tables of so many pins fit into the word of a gate.
WORD_PINS = 5
# Edges of one net in one transition: those of all pins of a gate must be countable in 16 bits.
MOST_EDGES = 4095
# Lanes are sorted by how many pins move (one, two, more) and by the edges on them, of which many count alike.
ALIKE = 7
IDLE = 3 * ALIKE
U8, U16, U32 = np.uint8, np.uint16, np.uint32


@njit(**INLINE)  # type: ignore[untyped-decorator]
def launch_source(core: FlatCore, work: Working, source: int, block: Block, states: np.ndarray, top: U64) -> U64:
    """Move a source through its states [step]; return the end of its edges."""
    falls, rises, moves = 0, 0, U8(0)
    for lane in range(block.lanes):
        before, after = states[block.step + lane], states[block.step + lane + 1]
        moves |= before ^ after
        work.value[source, lane] = before
        work.n_edges[source, lane] = before ^ after
        time, moved = core.launch[source, after], before != after
        work.times[top], work.times[top + ONE] = time, NEVER
        work.begin[source, lane] = top
        top += U64(moved) << ONE
        work.cost[lane] += choose(moved, core.source_cost[source, after], FREE)
        work.late[lane] = choose(moved, max(work.late[lane], time + core.setup[source, after]), work.late[lane])
        falls += block.counted[block.step + lane + 1] & before & ~after
        rises += block.counted[block.step + lane + 1] & after & ~before
    work.value[source, block.lanes] = states[block.step + block.lanes]
    work.moves[source] = moves
    work.edges[source] = falls + (rises << 32)
    return top


@njit(**INLINE)  # type: ignore[untyped-decorator]
def settle(core: FlatCore, work: Working, gate: int, lanes: int) -> int:
    """Find a gate's settled inputs and outputs and the pins that move; return the edges on them in all lanes."""
    first, pins, row = core.gates[gate, 0], core.gates[gate, 1], core.gates[gate, 2]
    net, still, moved = len(core.launch) + gate, U16(0), 0
    for pin in range(pins):
        if not work.moves[core.pin_net[first + pin]]:
            still |= work.value[core.pin_net[first + pin], 0] << pin
    for lane in range(lanes + 1):
        work.pattern[lane] = still
    for pin in range(pins):
        source, bit = core.pin_net[first + pin], U16(1 << pin)
        if work.moves[source]:
            for lane in range(lanes + 1):
                work.pattern[lane] |= U16(work.value[source, lane] * bit)
            for lane in range(lanes):
                count = work.n_edges[source, lane]
                work.total[lane] = count if not moved else work.total[lane] + count
                work.mask[lane] = U16((count > 0) * bit) | (work.mask[lane] if moved else U16(0))
            moved += 1
    if not moved:
        work.value[net, 0] = core.truth[row + still]
        return 0
    settle_output(core, work, gate, lanes)
    edges, most = U32(0), U16(0)
    for lane in range(lanes):
        edges = U32(edges + work.total[lane])
        most = max(most, work.total[lane])
    return int(edges) if most <= MOST_EDGES else LIMIT


@njit(**INLINE)  # type: ignore[untyped-decorator]
def settle_output(core: FlatCore, work: Working, gate: int, lanes: int) -> None:
    """Look up a gate's settled outputs."""
    pins, row, net = core.gates[gate, 1], core.gates[gate, 2], len(core.launch) + gate
    word = core.word[gate]
    if pins <= WORD_PINS:
        for lane in range(lanes + 1):
            work.value[net, lane] = word >> U32(work.pattern[lane]) & U32(1)
    else:
        for lane in range(lanes + 1):
            work.value[net, lane] = core.truth[row + work.pattern[lane]]


@njit(**INLINE)  # type: ignore[untyped-decorator]
def sort_lanes(work: Working, lanes: int) -> None:
    """Sort the lanes by their class, fours of them side by side; `place` then says where each class ends."""
    for row in range(len(work.place)):
        for quarter in range(4):
            work.place[row, quarter] = ZERO
    for lane in range(lanes, lanes + 3):
        work.key[lane] = IDLE
    for lane in range(lanes):
        mask, total = work.mask[lane], work.total[lane]
        more = mask & U16(mask - U16(1))
        most = more & U16(more - U16(1))
        pins = U16(U16(more > 0) + U16(most > 0))
        key = U16(min(U16(total - pins), U16(ALIKE)) + U16(pins * U16(ALIKE)) - U16(1))
        work.key[lane] = key if total > 0 else U16(IDLE)
    for lane in range(0, lanes, 4):
        for quarter in range(4):
            work.place[work.key[lane + quarter], quarter] += ONE
    end = ZERO
    for row in range(len(work.place)):
        for quarter in range(4):
            begin = end
            end += work.place[row, quarter]
            work.place[row, quarter] = begin
    for lane in range(0, lanes, 4):
        for quarter in range(4):
            key = work.key[lane + quarter]
            work.lanes[work.place[key, quarter]] = lane + quarter
            work.place[key, quarter] += ONE


@njit(**INLINE)  # type: ignore[untyped-decorator]
def finish(core: FlatCore, work: Working, gate: int, block: Block) -> int:
    """Count a gate's edges and note their requirements; return the first lane that ends in the wrong value, or -1."""
    net = len(core.launch) + gate
    falls, rises, moves, wrong = U32(0), U32(0), U16(0), U16(0)
    for lane in range(block.lanes):
        count, value = work.n_edges[net, lane], U16(work.value[net, lane])
        moves |= count
        wrong |= count ^ value ^ U16(work.value[net, lane + 1])
        counted = U16(count * U16(block.counted[block.step + lane + 1]))
        falls = U32(falls + (U16(counted + value) >> U16(1)))
        rises = U32(rises + (U16(counted + U16(1) - value) >> U16(1)))
    work.moves[net] = moves > 0
    work.edges[net] = int(falls) + (int(rises) << 32)
    if moves and max(core.setup[net, 0], core.setup[net, 1]) > UNWATCHED:
        for lane in range(block.lanes):
            count = U64(work.n_edges[net, lane])
            last = work.times[choose(count > ZERO, U64(work.begin[net, lane]) + count - ONE, ZERO)]
            late = max(work.late[lane], last + core.setup[net, work.value[net, lane + 1]])
            work.late[lane] = choose(count > ZERO, late, work.late[lane])
    if wrong & U16(1):
        for lane in range(block.lanes):
            if (work.n_edges[net, lane] ^ work.value[net, lane] ^ work.value[net, lane + 1]) & 1:
                return lane
    return -1


@njit(**INLINE)  # type: ignore[untyped-decorator]
def follow(core: FlatCore, work: Working, gate: int, top: U64, lanes: int) -> U64:
    """Write the edges of a gate of which some pin moves; return their end."""
    net = len(core.launch) + gate
    for lane in range(lanes):
        work.n_edges[net, lane] = 0
    sort_lanes(work, lanes)
    single, pulse, one, pair = work.place[0, 3], work.place[1, 3], work.place[ALIKE - 1, 3], work.place[ALIKE, 3]
    two, all_of_them = work.place[2 * ALIKE - 1, 3], work.place[3 * ALIKE - 1, 3]
    own = tables(core, gate)
    top = follow_single(core, work, own, (ZERO, single), top)
    top = follow_pulse(core, work, own, (single, pulse), top)
    top = follow_one(core, work, own, (pulse, one), top)
    top = follow_pair(core, work, own, (one, pair), top)
    top = follow_two(core, work, own, (pair, two), top)
    end: U64 = follow_many(core, work, own, (two, all_of_them), top)
    return end


@njit(**INLINE)  # type: ignore[untyped-decorator]
def run_level(
    core: FlatCore, levels: Levels, work: Working, level: int, block: Block, states: np.ndarray
) -> tuple[int, int, int]:
    """Move sources and gates of a level through a block; return how that ended, with the gate and lane."""
    top, above = U64(work.top_above[level]), level + 1 < len(levels.gate_end)
    for lane in range(block.lanes):
        work.cost[lane], work.late[lane] = work.cost_above[level, lane], work.late_above[level, lane]
    for place in range(levels.source_end[level + 1] if above else 0, levels.source_end[level]):
        if top + U64(2 * block.lanes + 1) > U64(len(work.times)):
            return FULL, 0, 0
        source = levels.sources[place]
        top = launch_source(core, work, source, block, states[source], top)
    for place in range(levels.gate_end[level + 1] if above else 0, levels.gate_end[level]):
        gate = levels.gates[place]
        edges = settle(core, work, gate, block.lanes)
        if not edges:
            work.moves[len(core.launch) + gate] = 0
            work.edges[len(core.launch) + gate] = 0
            continue
        if top + U64(edges + block.lanes + 2) > U64(len(work.times)):
            return FULL, gate, 0
        top = follow(core, work, gate, top, block.lanes)
        lane = finish(core, work, gate, block)
        if lane >= 0:
            return STUCK, gate, lane
    if level:
        for lane in range(block.lanes):
            work.cost_above[level - 1, lane], work.late_above[level - 1, lane] = work.cost[lane], work.late[lane]
        work.top_above[level - 1] = top
    return DONE, 0, 0


@njit(**INLINE)  # type: ignore[untyped-decorator]
def visit(
    core: FlatCore, levels: Levels, work: Working, block: Block, states: np.ndarray, sinks: np.ndarray, out: Results
) -> tuple[int, int, int, int]:
    """Run a block of transitions for every weight and fill its part of `out`.

    Args:
        core: the flat core.
        levels: the order of visits.
        work: working arrays, in any condition.
        block: which transitions.
        states: uint8 [weight, source, step].
        sinks: nets of the sinks [sink].
        out: filled.

    Returns:
        How it ended, and where it did not end well: the weight's position, the gate, and the lane.
    """
    net = len(core.setup)
    work.value[net - 2, 0], work.value[net - 1, 0] = 0, 1
    work.moves[net - 2], work.moves[net - 1] = 0, 0
    top_level = len(levels.gate_end) - 1
    work.top_above[top_level] = 0
    for lane in range(block.lanes):
        work.cost_above[top_level, lane], work.late_above[top_level, lane] = FREE, 0
    for weight in range(len(states)):
        for level in range(levels.changed[weight], -1, -1):
            ended, gate, lane = run_level(core, levels, work, level, block, states[weight])
            if ended != DONE:
                return ended, weight, gate, lane
        for lane in range(block.lanes):
            out.cost[weight, block.step + lane] = work.cost[lane]
            out.settle_fs[weight, block.step + lane] = work.late[lane]
        for i in range(len(sinks)):
            net, moving = sinks[i], work.moves[sinks[i]]
            for lane in range(block.lanes + 1):
                out.sinks[weight, i, block.step + lane] = work.value[net, lane if moving else 0]
        for i in range(out.edges.shape[1]):
            out.edges[weight, i] = work.edges[i]
    return DONE, 0, 0, 0


def compiled(stamp: int) -> Callable[..., Any]:
    """Return `visit`, compiled; its cache is good for this file's date and one `stamp` of all that is compiled in."""

    @njit(cache=True, nogil=True, _nrt=False)  # type: ignore[untyped-decorator]
    def run(
        core: FlatCore, levels: Levels, work: Working, block: Block, states: np.ndarray, sinks: np.ndarray, out: Results
    ) -> tuple[int, int, int, int]:
        _ = stamp
        return visit(core, levels, work, block, states, sinks, out)  # type: ignore[no-any-return]

    return run  # type: ignore[no-any-return]


SOURCES = (Path(__file__), Path(__file__).with_name("inertial.py"))
run_lanes = compiled(int(hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:12], 16))
