"""simulate(): when every transition of a stimulus settles, what toggles, and what it costs. Glitches included.

Waveforms are exact: inertial delays for each pin, input edge and output edge, in whole femtoseconds. Blocks of a
stimulus run in threads (the engine holds no lock) and are saved when done: a killed run takes up what is there.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from characterization.artifact import atomic_path
from characterization.benches.core import net_order
from characterization.benches.stimulus import Stimulus
from characterization.errors import SimulationError
from characterization.flat import EdgeCosts, flatten, no_costs, sink_places, working_of
from characterization.timed import TimedNetlist
from characterization.units import FS_PER_PS
from characterization.waveform import FULL, STUCK, FlatCore, Working, run_chain

# Raised when a result of the same core and states would be another: saved blocks of older versions are not read.
VERSION = 1
Progress = Callable[[int, int], None]
# Called with the states and settled sinks of a block; raises if they are wrong.
SinkCheck = Callable[[np.ndarray, np.ndarray], None]
# Transitions saved in one file, and edges of one transition to make room for, at first and at most.
GROUP_TRANSITIONS = 100_000
CAPACITY, MOST_EDGES = 1 << 13, 1 << 26


@dataclass(frozen=True, eq=False)
class SettleTrace:
    """What was seen, for every block of a stimulus.

    Attributes:
        weights: the weight of each block.
        settle_ps: requirement, last change plus setup, of the latest watched sink; 0 where none moves
            `[weight, transition]`.
        cost: summed costs of edges, int64 `[weight, transition]`.
        launch_cost: costs of the clock edge that launched them, int64 `[weight, transition]`.
        nets: names of the counted nets.
        edges: falls and rises over the transitions that cost `[weight, net, edge]`.
    """

    weights: tuple[int, ...]
    settle_ps: np.ndarray
    cost: np.ndarray
    launch_cost: np.ndarray
    nets: tuple[str, ...]
    edges: np.ndarray


@dataclass(frozen=True, eq=False)
class Engine:
    """What all blocks of a run share."""

    timed: TimedNetlist
    stimulus: Stimulus
    core: FlatCore
    launch_cost: np.ndarray
    sinks: np.ndarray
    check: SinkCheck | None
    folder: Path | None


def simulate(
    timed: TimedNetlist, stimulus: Stimulus, watched: Sequence[int] | None = None, costs: EdgeCosts | None = None,
    check: SinkCheck | None = None, folder: Path | None = None, workers: int = 2, progress: Progress | None = None,
    keep: bool = True,
) -> SettleTrace:
    """Return the trace of `stimulus` through a core; to the bit the same whatever `workers`.

    Args:
        timed: the core.
        stimulus: the states to step through.
        watched: positions of the sinks whose requirement counts; None for all.
        costs: of edges; None for none.
        check: called with states [step, source] and settled sinks [step, sink] of every block that is run.
        folder: where finished blocks are saved and looked for; None to save nothing.
        workers: threads.
        progress: called with (blocks done, blocks).
        keep: whether saved blocks stay when all are done; they are for runs that are killed, and may be large.

    Raises:
        SimulationError: a gate lacks the arc that would bring it to its function, or whatever `check` raises.
    """
    costs = costs or no_costs(timed)
    core = flatten(timed, range(len(timed.sinks)) if watched is None else watched, costs)
    home = folder / f"simulation-{digest_of_core(core, costs)[:20]}" if folder else None
    engine = Engine(timed, stimulus, core, costs.launch, sink_places(timed), check, home)
    size = max(1, GROUP_TRANSITIONS // len(stimulus.settle_steps))
    blocks = range(len(stimulus.weights))
    groups = [blocks[start : start + size] for start in range(0, len(blocks), size)]
    found = run_groups(engine, groups, workers, progress)
    settle_fs, cost, launch_cost, edges = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if home and not keep:
        shutil.rmtree(home, ignore_errors=True)
    return SettleTrace(stimulus.weights, settle_fs / FS_PER_PS, cost, launch_cost, net_order(timed), edges)


def digest_of_core(core: FlatCore, costs: EdgeCosts) -> str:
    """Return a digest of all that a block's result depends on besides its states."""
    digest = hashlib.sha256(f"version {VERSION}".encode())
    for array in (*core, costs.launch):
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def run_groups(
    engine: Engine, groups: Sequence[Sequence[int]], workers: int, progress: Progress | None
) -> list[tuple[np.ndarray, ...]]:
    """Return the results of groups of blocks, in order.

    Raises:
        SimulationError: the first failure among them.
    """
    results, total = [], len(engine.stimulus.weights)
    report = progress or unreported
    report(0, total)
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        for group, run in [(group, pool.submit(run_group, engine, group)) for group in groups]:
            results.append(run.result())
            report(group[-1] + 1, total)
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def unreported(done: int, total: int) -> None:
    """Take progress that nobody asked for."""


def run_group(engine: Engine, group: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Return settle times in fs, costs, launch costs [block, transition], and edges [block, net, edge] of some blocks.

    They are read where this core and these states were run before.
    """
    states = [engine.stimulus.block(index) for index in group]
    path = engine.folder / f"blocks-{digest_of_states(engine.stimulus, states)[:20]}.npz" if engine.folder else None
    names = ("settle_fs", "cost", "launch_cost", "edges")
    if path and path.is_file():
        with np.load(path) as saved:
            return tuple(saved[name] for name in names)
    parts = [run_block(engine, index, block) for index, block in zip(group, states, strict=True)]
    arrays = tuple(np.stack(part) for part in zip(*parts, strict=True))
    if path:
        with atomic_path(path) as partial, partial.open("wb") as stream:
            settle_fs, cost, launch_cost, edges = arrays
            np.savez(stream, settle_fs=settle_fs, cost=cost, launch_cost=launch_cost, edges=edges)
    return arrays


def digest_of_states(stimulus: Stimulus, states: Sequence[np.ndarray]) -> str:
    """Return a digest of the states of some blocks and of which steps count."""
    digest = hashlib.sha256(stimulus.settle_steps.tobytes() + stimulus.cost_steps.tobytes())
    for block in states:
        digest.update(f"{block.shape}".encode() + block.tobytes())
    return digest.hexdigest()


def run_block(engine: Engine, index: int, states: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return settle times in fs, costs, launch costs [transition], and edges [net, edge] of one block.

    Raises:
        SimulationError: a gate does not settle to its function.
    """
    steps, counted = len(states), engine.stimulus.cost_steps
    settle_fs, cost = np.zeros(steps - 1, np.int64), np.zeros(steps - 1, np.int64)
    sinks, states = np.zeros((steps, len(engine.sinks)), np.uint8), np.ascontiguousarray(states)
    capacity = max(CAPACITY, 2 * states.shape[1])
    while True:
        work = working_of(engine.core, capacity)
        step, code = run_chain(engine.core, work, states, counted, engine.sinks, settle_fs, cost, sinks)
        if not step:
            break
        if code != FULL or capacity >= MOST_EDGES:
            raise SimulationError(reason(engine, index, step, code))
        capacity *= 2
    if engine.check:
        engine.check(states, sinks)
    launch_cost = launch_costs(engine.launch_cost, states)
    return settle_fs[engine.stimulus.settle_steps[1:]], cost[counted[1:]], launch_cost[counted[1:]], edges_of(work)


def reason(engine: Engine, index: int, step: int, code: int) -> str:
    """Return why a block could not be simulated."""
    where = f"{engine.timed.top}: weight {engine.stimulus.weights[index]}, transition {step}"
    if code == FULL:
        return f"{where}: more than {MOST_EDGES} edges in one transition; the netlist multiplies its glitches."
    gate = engine.timed.gates[STUCK - code]
    return (
        f"{where}: {gate.pin} of {gate.cell} ({gate.kind}) does not settle to its function; the library has no timing "
        "arc for this edge."
    )


def edges_of(work: Working) -> np.ndarray:
    """Return the counted falls and rises of every net, int64 [net, edge], constants left out."""
    edges = work.edges[:-2]
    return np.stack([edges & 0xFFFFFFFF, edges >> 32], axis=1)


def launch_costs(cost: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return the summed costs of the sources' clock edges, int64 [transition].

    Args:
        cost: int64 [source, bit before, bit after].
        states: uint8 [step, source].
    """
    bits = states.astype(np.int64)
    before, after = bits[:-1], bits[1:]
    still, falls, rises = cost[:, 0, 0], cost[:, 1, 0] - cost[:, 0, 0], cost[:, 0, 1] - cost[:, 0, 0]
    both = cost[:, 1, 1] - cost[:, 1, 0] - rises
    total: np.ndarray = still.sum() + before @ falls + after @ rises + (before & after) @ both
    return total
