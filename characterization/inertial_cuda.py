"""run_on_device(): the same transitions as `waveform.py` follows, one thread for each, on a CUDA device.

A thread takes its transition through all gates in topological order. The rules by which edges arrive, commit and cost
are those of `inertial.py`, compiled for the device from the same source: results are equal to the bit. Each thread has
a stretch of `times` of its own; when one is too short, all are made longer and the batch runs again.

The CPU engine keeps what weights have in common and sorts transitions by their edges; this one does neither.
"""

from __future__ import annotations

import types
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from characterization import inertial
from characterization.errors import SimulationError, ToolMissingError
from characterization.flat_arrays import FlatCore, Results, Working
from characterization.inertial import NEVER, U64
from characterization.waveform import DONE, FULL, MAX_PINS, MOST_EDGES, STUCK, UNWATCHED

# Threads of a block; edges of a transition to make room for, at first and at most.
THREADS, CAPACITY, MOST_CAPACITY = 128, 1 << 12, 1 << 20
# Edges of all transitions that are in flight: half a gibibyte of them.
MOST_TIMES = 1 << 26


class Lanes(NamedTuple):
    """The transitions of a batch, and what becomes of them.

    Attributes:
        before, after: states, uint8 `[source, lane]`.
        weight: position of the weight, int64 `[lane]`.
        counted: whether edges count, int64 `[lane]`.
        settled: settled values after the transition, uint8 `[net, lane]`.
        edges: counted falls and rises of each net, int64 `[weight, net, edge]`.
        ended, stuck: DONE, FULL or STUCK, and the gate that is, int64 `[lane]`.
    """

    before: np.ndarray
    after: np.ndarray
    weight: np.ndarray
    counted: np.ndarray
    settled: np.ndarray
    edges: np.ndarray
    ended: np.ndarray
    stuck: np.ndarray


class Failure(NamedTuple):
    """How the first transition that did not end well ended: its weight's position, step, and gate."""

    ended: int
    weight: int
    step: int
    gate: int


def require_cuda() -> None:
    """Check that there is a CUDA device that numba can use.

    Raises:
        ToolMissingError: there is none, with what numba says.
    """
    if not cuda.is_available():
        raise ToolMissingError(f"--device cuda: numba finds no CUDA device ({why_not()}); use --device cpu, of which "
                               "the numbers are the same.")


def why_not() -> str:
    """Return why numba has no device, in one line."""
    try:
        cuda.detect()
        return "no driver, or no device"
    except Exception as error:  # whatever a driver says is the reason
        words = " ".join(str(error).removeprefix("Error at driver init:").split())
        return words.split(". ")[0].rstrip(".:") or type(error).__name__


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def choose_on_device(condition: bool, yes: Any, no: Any) -> Any:
    """Return `yes` or `no`."""
    return yes if condition else no


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def larger(one: Any, other: Any) -> Any:
    """Return the larger of two: numba's own max does not compile for a device."""
    return one if one > other else other


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def smaller(one: Any, other: Any) -> Any:
    """Return the smaller of two."""
    return one if one < other else other


def device_rules() -> dict[str, Any]:
    """Return `inertial.py` for the device: each of its functions calls the others' device versions."""
    scope = dict(vars(inertial)) | {"choose": choose_on_device, "max": larger, "min": smaller}
    for name, function in vars(inertial).items():
        if hasattr(function, "py_func"):
            scope[name] = cuda.jit(device=True)(types.FunctionType(function.py_func.__code__, scope, name))
    return scope


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def launch(core: FlatCore, work: Working, lanes: Lanes, lane: int, top: U64) -> U64:
    """Move the sources of a lane; return the end of its edges."""
    late, cost = 0, 0
    for source in range(len(core.launch)):
        before, after = lanes.before[source, lane], lanes.after[source, lane]
        work.value[source, lane], lanes.settled[source, lane] = before, after
        work.n_edges[source, lane] = before ^ after
        work.begin[source, lane] = top
        if before != after:
            work.times[top], work.times[top + U64(1)] = core.launch[source, after], NEVER
            top += U64(2)
            cost += core.source_cost[source, after]
            needed = core.launch[source, after] + core.setup[source, after]
            late = choose_on_device(needed > late, needed, late)
            cuda.atomic.add(lanes.edges, (lanes.weight[lane], source, after), lanes.counted[lane])
    work.cost[lane], work.late[lane] = cost, late
    return top


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def settle(core: FlatCore, work: Working, lanes: Lanes, gate: int, lane: int) -> int:
    """Find a gate's settled inputs and outputs and the pins that move; return the edges on them."""
    first, pins, row = core.gates[gate, 0], core.gates[gate, 1], core.gates[gate, 2]
    net, before, after, mask, total = len(core.launch) + gate, 0, 0, 0, 0
    for pin in range(pins):
        source = core.pin_net[first + pin]
        edges = int(work.n_edges[source, lane])
        before |= int(work.value[source, lane]) << pin
        after |= int(lanes.settled[source, lane]) << pin
        mask |= (1 if edges > 0 else 0) << pin
        total += edges
    work.pattern[lane], work.mask[lane] = before, mask
    work.value[net, lane], lanes.settled[net, lane] = core.truth[row + before], core.truth[row + after]
    work.n_edges[net, lane] = 0
    return total


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def finish(core: FlatCore, work: Working, lanes: Lanes, gate: int, lane: int) -> bool:
    """Count a gate's edges and note their requirement; return whether it ends in the right value."""
    net = len(core.launch) + gate
    count, before, after = int(work.n_edges[net, lane]), int(work.value[net, lane]), int(lanes.settled[net, lane])
    if count > 0:
        if lanes.counted[lane]:
            cuda.atomic.add(lanes.edges, (lanes.weight[lane], net, 0), (count + before) >> 1)
            cuda.atomic.add(lanes.edges, (lanes.weight[lane], net, 1), (count + 1 - before) >> 1)
        if core.setup[net, 0] > UNWATCHED or core.setup[net, 1] > UNWATCHED:
            needed = work.times[work.begin[net, lane] + count - 1] + core.setup[net, after]
            work.late[lane] = choose_on_device(needed > work.late[lane], needed, work.late[lane])
    return (count ^ before ^ after) & 1 == 0


@cache
def make_kernel() -> Any:
    """Return the kernel: a thread per lane, all gates in order."""
    rules = device_rules()
    tables, follow_many = rules["tables"], rules["follow_many"]

    @cuda.jit  # type: ignore[untyped-decorator]
    def kernel(core: FlatCore, shared: Working, lanes: Lanes, capacity: int) -> None:
        lane = cuda.grid(1)
        if lane >= len(lanes.weight):
            return
        pin, head = cuda.local.array(MAX_PINS, np.uint64), cuda.local.array(MAX_PINS, np.uint64)
        time = cuda.local.array(MAX_PINS, np.int64)
        work = Working(
            shared.value, shared.moves, shared.begin, shared.n_edges, shared.times, shared.edges, shared.cost,
            shared.late, shared.cost_above, shared.late_above, shared.top_above, shared.pattern, shared.mask,
            shared.total, shared.key, shared.lanes, shared.place, pin, head, time,
        )
        net, end = len(core.setup), U64((lane + 1) * capacity)
        for constant in range(2):
            work.value[net - 2 + constant, lane] = lanes.settled[net - 2 + constant, lane] = constant
            work.n_edges[net - 2 + constant, lane] = 0
        top = U64(lane * capacity)
        top = launch(core, work, lanes, lane, top)
        for gate in range(len(core.gates)):
            edges = settle(core, work, lanes, gate, lane)
            if edges == 0:
                continue
            if edges > MOST_EDGES or top + U64(edges + 2) > end:
                lanes.ended[lane] = FULL
                return
            top = follow_many(core, work, tables(core, gate), (U64(lane), U64(lane + 1)), top)
            if not finish(core, work, lanes, gate, lane):
                lanes.ended[lane], lanes.stuck[lane] = STUCK, gate
                return

    return kernel


def run_on_device(
    core: FlatCore, sinks: np.ndarray, states: np.ndarray, counted: np.ndarray, out: Results
) -> tuple[np.ndarray, Failure | None]:
    """Fill `out`, but for its edges, with all transitions of some weights.

    Args:
        core: the flat core.
        sinks: nets of the sinks.
        states: uint8 `[weight, source, step]`.
        counted: which steps' edges count, uint8 `[step]`.
        out: filled.

    Returns:
        Counted falls, and rises << 32, of each net, int64 `[weight, net]`; and the first failure, if any.

    Raises:
        SimulationError: the sources' own edges leave a transition no room.
    """
    if 2 * len(core.launch) + 2 > CAPACITY:
        raise SimulationError(f"{len(core.launch)} sources are beyond what the CUDA engine takes; use --device cpu.")
    n_weights, _, steps = states.shape
    edges = np.zeros((n_weights, len(core.setup), 2), np.int64)
    on_device = FlatCore(*map(cuda.to_device, core))
    start, capacity, total = 0, CAPACITY, n_weights * (steps - 1)
    while start < total:
        weight, step = np.divmod(np.arange(start, min(start + MOST_TIMES // capacity, total)), steps - 1)
        found, work = run_batch(core, on_device, states, (weight, step), counted, capacity)
        ended = fetch(found.ended)
        if (ended == FULL).any() and capacity < MOST_CAPACITY:
            capacity *= 2
            continue
        if (wrong := np.flatnonzero(ended != DONE)).size:
            lane = int(wrong[0])
            gate = int(fetch(found.stuck)[lane])
            return pack(edges), Failure(int(ended[lane]), int(weight[lane]), int(step[lane]), gate)
        edges += fetch(found.edges)
        out.settle_fs[weight, step], out.cost[weight, step] = fetch(work.late), fetch(work.cost)
        out.sinks[weight, :, step + 1] = fetch(found.settled)[sinks].T
        first = step == 0
        out.sinks[weight[first], :, 0] = fetch(work.value)[sinks][:, first].T
        start += len(weight)
    return pack(edges), None


def fetch(array: Any) -> np.ndarray:
    """Return an array of the device."""
    return np.asarray(array.copy_to_host())


def pack(edges: np.ndarray) -> np.ndarray:
    """Return counts as the CPU engine has them: falls, and rises << 32, of each net but the constants."""
    return np.asarray(edges[:, :-2, 0] + (edges[:, :-2, 1] << 32))


def run_batch(
    core: FlatCore, on_device: FlatCore, states: np.ndarray, places: tuple[np.ndarray, np.ndarray],
    counted: np.ndarray, capacity: int,
) -> tuple[Lanes, Working]:
    """Return what becomes of the transitions at some weights and steps, as arrays on the device.

    Args:
        core: the flat core.
        on_device: the same on the device.
        states: uint8 `[weight, source, step]`.
        places: weight and step of each lane, int64 `[lane]`.
        counted: which steps' edges count.
        capacity: edges that a transition has room for.
    """
    (weight, step), n_nets = places, len(core.setup)
    n_lanes = len(weight)
    lanes = Lanes(*map(cuda.to_device, (
        np.ascontiguousarray(states[weight, :, step].T), np.ascontiguousarray(states[weight, :, step + 1].T), weight,
        counted[step + 1].astype(np.int64), np.zeros((n_nets, n_lanes), np.uint8),
        np.zeros((len(states), n_nets, 2), np.int64), np.full(n_lanes, DONE), np.zeros(n_lanes, np.int64))))
    work = working_on_device(core, n_lanes, capacity)
    make_kernel()[-(-n_lanes // THREADS), min(THREADS, n_lanes)](on_device, work, lanes, capacity)
    return lanes, work


def working_on_device(core: FlatCore, n_lanes: int, capacity: int) -> Working:
    """Return working arrays on the device; what only the CPU engine uses is empty."""
    none, grid = np.zeros(0, np.int64), (len(core.setup), n_lanes)
    arrays = Working(
        value=np.zeros(grid, np.uint8), moves=none, begin=np.zeros(grid, np.uint32), n_edges=np.zeros(grid, np.uint16),
        times=none, edges=none, cost=np.zeros(n_lanes, core.cost.dtype), late=np.zeros(n_lanes, np.int64),
        cost_above=none, late_above=none, top_above=none, pattern=np.zeros(n_lanes, np.uint16),
        mask=np.zeros(n_lanes, np.uint16), total=none, key=none, lanes=np.arange(n_lanes), place=none, pin=none,
        head=none, time=none,
    )
    work = Working(*map(cuda.to_device, arrays))
    return work._replace(times=cuda.device_array(n_lanes * capacity, np.int64))
