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
from typing import Literal

import numpy as np

from characterization.artifact import atomic_path
from characterization.benches.core import net_order
from characterization.benches.stimulus import Stimulus
from characterization.errors import SimulationError
from characterization.flat import EdgeCosts, flatten, levels_of, no_costs, sink_places, working_of
from characterization.flat_arrays import Block, FlatCore, Results
from characterization.timed import TimedNetlist
from characterization.units import FS_PER_PS
from characterization.waveform import DONE, FULL, run_lanes

# Raised when a result of the same core and states would be another: saved blocks of older versions are not read.
VERSION = 2
Progress = Callable[[int, int], None]
Device = Literal["cpu", "cuda"]
# Called with the states and settled sinks of a block; raises if they are wrong.
SinkCheck = Callable[[np.ndarray, np.ndarray], None]
# Weights that share what they have in common, and are saved in one file; and how many transitions that may be.
GROUP_WEIGHTS, GROUP_TRANSITIONS = 32, 1 << 20
# Transitions that a gate is followed through in one go: their waveforms should fit into the second cache.
LANES = 128
# Edges of so many transitions to make room for, at first and at most.
CAPACITY, MOST_EDGES = 1 << 18, 1 << 26


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
    device: Device = "cpu"


def simulate(
    timed: TimedNetlist, stimulus: Stimulus, watched: Sequence[int] | None = None, costs: EdgeCosts | None = None,
    check: SinkCheck | None = None, folder: Path | None = None, workers: int = 2, progress: Progress | None = None,
    keep: bool = True, device: Device = "cpu",
) -> SettleTrace:
    """Return the trace of `stimulus` through a core; to the bit the same whatever `workers` and `device`.

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
        device: `cuda` takes transitions through a GPU, group after group of weights, and `workers` does not matter.

    Raises:
        ToolMissingError: numba finds no CUDA device.
        SimulationError: a gate lacks the arc that would bring it to its function, or whatever `check` raises.
    """
    costs = costs or no_costs(timed)
    core = flatten(timed, range(len(timed.sinks)) if watched is None else watched, costs)
    home = folder / f"simulation-{digest_of_core(core, costs)[:20]}" if folder else None
    engine = Engine(timed, stimulus, core, costs.launch, sink_places(timed), check, home, device)
    size = min(GROUP_WEIGHTS, max(1, GROUP_TRANSITIONS // (len(stimulus.settle_steps) - 1)))
    blocks = range(len(stimulus.weights))
    groups = [blocks[start : start + size] for start in range(0, len(blocks), size)]
    found = run_groups(engine, groups, 1 if device == "cuda" else workers, progress)
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
    states = np.ascontiguousarray(engine.stimulus.blocks(group).transpose(0, 2, 1))
    path = engine.folder / f"blocks-{digest_of_states(engine.stimulus, states)[:20]}.npz" if engine.folder else None
    names = ("settle_fs", "cost", "launch_cost", "edges")
    if path and path.is_file():
        with np.load(path) as saved:
            return tuple(saved[name] for name in names)
    arrays = run_states(engine, group, states)
    if path:
        with atomic_path(path) as partial, partial.open("wb") as stream:
            settle_fs, cost, launch_cost, edges = arrays
            np.savez(stream, settle_fs=settle_fs, cost=cost, launch_cost=launch_cost, edges=edges)
    return arrays


def digest_of_states(stimulus: Stimulus, states: np.ndarray) -> str:
    """Return a digest of the states of some blocks and of which steps count."""
    digest = hashlib.sha256(stimulus.settle_steps.tobytes() + stimulus.cost_steps.tobytes())
    digest.update(f"{states.shape}".encode())
    digest.update(states.data)
    return digest.hexdigest()


def run_states(engine: Engine, group: Sequence[int], states: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return settle times in fs, costs, launch costs [block, transition], and edges [block, net, edge].

    Args:
        engine: what to run.
        group: positions of the blocks.
        states: uint8 [block, source, step].

    Raises:
        SimulationError: a gate does not settle to its function.
    """
    weights, _, steps = states.shape
    settle_steps, cost_steps = engine.stimulus.settle_steps[1:], engine.stimulus.cost_steps[1:]
    out = Results(
        np.zeros((weights, steps - 1), np.int64), np.zeros((weights, steps - 1), np.int64),
        np.zeros((weights, len(engine.sinks), steps), np.uint8),
        np.zeros((weights, len(engine.core.setup) - 2), np.int64),
    )
    edges = (run_blocks if engine.device == "cpu" else run_blocks_on_device)(engine, group, states, out)
    if engine.check:
        for block, sinks in zip(states, out.sinks, strict=True):
            engine.check(block.T, sinks.T)
    launch_cost = launch_costs_of_blocks(engine.launch_cost, states)
    return (
        out.settle_fs[:, settle_steps], out.cost[:, cost_steps], launch_cost[:, cost_steps],
        np.stack([edges & 0xFFFFFFFF, edges >> 32], axis=2),
    )


def run_blocks(engine: Engine, group: Sequence[int], states: np.ndarray, out: Results) -> np.ndarray:
    """Fill `out` block by block; return the counted falls, and rises << 32, of each net [weight, net].

    Raises:
        SimulationError: a gate does not settle to its function.
    """
    levels, total = levels_of(engine.core, states), np.zeros_like(out.edges)
    work = working_of(engine.core, levels, min(LANES, states.shape[2] - 1), CAPACITY)
    counted = engine.stimulus.cost_steps.astype(np.uint8)
    for step in range(0, states.shape[2] - 1, LANES):
        block = Block(step, min(LANES, states.shape[2] - 1 - step), counted)
        while True:
            ended, weight, gate, lane = run_lanes(engine.core, levels, work, block, states, engine.sinks, out)
            if ended == DONE:
                break
            if ended != FULL or len(work.times) >= MOST_EDGES:
                raise SimulationError(reason(engine, group[weight], block, ended, gate, lane))
            work = work._replace(times=np.zeros(2 * len(work.times), np.int64))
        total += out.edges
    return total


def run_blocks_on_device(engine: Engine, group: Sequence[int], states: np.ndarray, out: Results) -> np.ndarray:
    """Do what `run_blocks` does on a CUDA device.

    Raises:
        ToolMissingError: there is none.
        SimulationError: a gate does not settle to its function.
    """
    from characterization.inertial_cuda import require_cuda, run_on_device  # noqa: PLC0415  (starts numba's CUDA side)

    require_cuda()
    counted = engine.stimulus.cost_steps.astype(np.uint8)
    edges, failure = run_on_device(engine.core, engine.sinks, states, counted, out)
    if failure:
        block = Block(failure.step, 1, counted)
        raise SimulationError(reason(engine, group[failure.weight], block, failure.ended, failure.gate, 0))
    return edges


def reason(engine: Engine, index: int, block: Block, ended: int, gate: int, lane: int) -> str:
    """Return why transitions of the block of states at `index` could not be simulated."""
    where, first = f"{engine.timed.top}: weight {engine.stimulus.weights[index]}, transition", block.step + 1
    if ended == FULL:
        return f"{where}s {first} to {block.step + block.lanes}: too many edges; the netlist multiplies its glitches."
    stuck = engine.timed.gates[gate]
    return (
        f"{where} {first + lane}: {stuck.pin} of {stuck.cell} ({stuck.kind}) does not settle to its function; the "
        "library has no timing arc for this edge."
    )


def launch_costs(cost: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return the summed costs of the sources' clock edges, int64 [transition].

    Args:
        cost: int64 [source, bit before, bit after].
        states: uint8 [source, step].
    """
    total = np.zeros(states.shape[1] - 1, np.int64)
    for costs, bits in zip(cost, states, strict=True):
        total += np.take(costs.ravel(), bits[:-1] << 1 | bits[1:])
    return total


def launch_costs_of_blocks(cost: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return the same for blocks of which most sources move alike, int64 [block, transition].

    Args:
        cost: int64 [source, bit before, bit after].
        states: uint8 [block, source, step].
    """
    total = np.tile(launch_costs(cost, states[0]), (len(states), 1))
    for index, block in enumerate(states[1:], 1):
        others = [source for source, bits in enumerate(block) if not np.array_equal(bits, states[0, source])]
        total[index] += launch_costs(cost[others], block[others]) - launch_costs(cost[others], states[0, others])
    return total
