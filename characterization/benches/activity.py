"""simulate_core(): every weight's stimulus through a timed core on Icarus: when it settles, and what toggles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from characterization.artifact import atomic_path, digest_bytes, write_text
from characterization.benches.cells import Count
from characterization.benches.core import core_verilog, net_order
from characterization.benches.expectation import expected_sinks
from characterization.benches.icarus import compile_bench, run_bench
from characterization.benches.registers import Registers
from characterization.benches.stimulus import Stimulus
from characterization.design import MacDesign
from characterization.errors import SimulationError
from characterization.timed import TimedNetlist
from characterization.units import FS_PER_PS

Progress = Callable[[int, int], None]
# What bounds settle times, in words.
Bound = Literal["topological", "certified"]
POLL_S = 0.2


@dataclass(frozen=True, eq=False)
class CoreTrace:
    """What was seen, for every weight of a stimulus.

    Attributes:
        weights: the weight of each block.
        settle_ps: requirement of the latest watched sink, last change plus setup; 0 where none moves
            `[weight, transition]`.
        cost: summed edge costs, int64 `[weight, transition]`.
        nets: names of the counted nets.
        edges: falls and rises over the counted transitions `[weight, net, edge]`.
    """

    weights: tuple[int, ...]
    settle_ps: np.ndarray
    cost: np.ndarray
    nets: tuple[str, ...]
    edges: np.ndarray


def watched_sinks(timed: TimedNetlist, design: MacDesign) -> list[int]:
    """Return the positions of the sinks that the weight registers reach through gates.

    Raises:
        SimulationError: there are none.
    """
    reached = timed.fanout_of(Registers(timed, design).weight_nets)
    found = [index for index, sink in enumerate(timed.sinks) if sink.net in reached]
    if not found:
        raise SimulationError(f"{design.name}: no sink of {timed.top} depends on the weight registers.")
    return found


def simulate_core(
    timed: TimedNetlist, design: MacDesign, stimulus: Stimulus, edge_cost: np.ndarray, work: Path,
    workers: int = 2, progress: Progress | None = None,
) -> CoreTrace:
    """Return the trace of `stimulus` through a MAC's core, every settled state checked against the reference.

    Args:
        timed: the core.
        design: what its registers mean.
        stimulus: the states to step through.
        edge_cost: int64 [net, edge] in the order of `net_order`; sums of them come back as `cost`.
        work: folder for the bench, its logs, and finished blocks.
        workers: simulator processes.
        progress: called with (weights done, weights).

    Raises:
        SimulationError: the core settles to something else than its reference says, or the simulator failed.
        ToolMissingError: Icarus is not installed.
    """
    watched = watched_sinks(timed, design)
    expected = np.stack([expected_sinks(timed, design, states) for states in stimulus.states])
    return simulate_states(timed, stimulus, expected, watched, edge_cost, work, workers, progress)


def simulate_states(
    timed: TimedNetlist, stimulus: Stimulus, expected: np.ndarray, watched: Sequence[int], edge_cost: np.ndarray,
    work: Path, workers: int = 2, progress: Progress | None = None,
) -> CoreTrace:
    """Return the trace of `stimulus` through a core, the same whatever `workers`.

    Each weight's block is saved when done; a run that was killed takes up what is there.

    Args:
        timed: the core.
        stimulus: the states to step through.
        expected: what the sinks must settle to, uint8 [weight, step, sink].
        watched: positions of the sinks whose requirement counts.
        edge_cost: int64 [net, edge] in the order of `net_order`; sums of them come back as `cost`.
        work: folder for the bench, its logs, and finished blocks.
        workers: simulator processes.
        progress: called with (weights done, weights).

    Raises:
        SimulationError: a sink settles to something else, or the simulator failed.
        ToolMissingError: Icarus is not installed.
    """
    count: Count = "always" if stimulus.cost_steps[1:].all() else "gated"
    folder = prepare(timed, stimulus, expected, watched, edge_cost, work, count)
    pending = [block for block, weight in enumerate(stimulus.weights) if not block_path(folder, weight).is_file()]
    if pending:
        run_blocks(folder, stimulus, pending, workers, progress)
    return read_blocks(folder, stimulus, net_order(timed))


def prepare(
    timed: TimedNetlist, stimulus: Stimulus, expected: np.ndarray, watched: Sequence[int], edge_cost: np.ndarray,
    work: Path, count: Count,
) -> Path:
    """Return the folder of a compiled bench and its plan; all but `count` as `simulate_states` has it.

    Raises:
        SimulationError: Icarus rejects the bench.
        ToolMissingError: Icarus is not installed.
    """
    text = core_verilog(timed, edge_cost, watched, count)
    folder = work / f"core-{digest_of_run(text, stimulus)[:20]}"
    if not (folder / "plan.npz").is_file():
        write_text(folder / "core.v", text)
        compile_bench([folder / "core.v"], "core", folder / "build")
        write_plan(folder / "plan.npz", timed, stimulus, expected, gated=count == "gated")
    return folder


def digest_of_run(text: str, stimulus: Stimulus) -> str:
    """Return a digest of everything a block's result depends on."""
    arrays = (stimulus.states, stimulus.settle_steps, stimulus.cost_steps)
    return digest_bytes(text.encode() + b"".join(array.tobytes() for array in arrays))


def block_path(folder: Path, weight: int) -> Path:
    """Return where a weight's result is saved."""
    return folder / f"block{weight}.npz"


def write_plan(path: Path, timed: TimedNetlist, stimulus: Stimulus, expected: np.ndarray, gated: bool) -> None:
    """Save states and expected sinks as the bench reads them: bits packed into bytes, lowest first."""
    with atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez(
            stream, weights=np.array(stimulus.weights), gated=np.array(gated), settle_steps=stimulus.settle_steps,
            cost_steps=stimulus.cost_steps,
            states=np.packbits(stimulus.states, axis=-1, bitorder="little"),
            expected=np.packbits(expected, axis=-1, bitorder="little"),
            sinks=np.array([f"{sink.net} at {sink.origin}" for sink in timed.sinks]),
        )


def run_blocks(
    folder: Path, stimulus: Stimulus, pending: Sequence[int], workers: int, progress: Progress | None
) -> None:
    """Simulate the pending blocks with several simulators at once.

    Raises:
        SimulationError: the first failure among them.
    """
    shares = [share for i in range(max(1, workers)) if (share := list(pending[i :: max(1, workers)]))]
    with ThreadPoolExecutor(len(shares)) as pool:
        runs = [pool.submit(run_share, folder, index, share) for index, share in enumerate(shares)]
        report_progress(folder, stimulus, runs, progress)
        for run in runs:
            run.result()


def run_share(folder: Path, index: int, blocks: Sequence[int]) -> None:
    """Simulate some blocks in one simulator process."""
    environment = {
        "HALO_BENCH_PLAN": str((folder / "plan.npz").resolve()), "HALO_BENCH_OUT": str(folder.resolve()),
        "HALO_BENCH_BLOCKS": ",".join(map(str, blocks)),
    }
    module = "characterization.benches.core_bench"
    run_bench("core", module, folder / "build", folder / f"worker{index}", environment)


def report_progress(
    folder: Path, stimulus: Stimulus, runs: Sequence[Future[None]], progress: Progress | None
) -> None:
    """Call `progress` as blocks appear, until all runs have ended."""
    reported = -1
    while progress is not None:
        ended = all(run.done() for run in runs)
        done = sum(block_path(folder, weight).is_file() for weight in stimulus.weights)
        if done != reported:
            progress(done, len(stimulus.weights))
            reported = done
        if ended:
            return
        time.sleep(POLL_S)


def read_blocks(folder: Path, stimulus: Stimulus, nets: tuple[str, ...]) -> CoreTrace:
    """Return the saved blocks of all weights as one trace."""
    settle, cost, edges = [], [], []
    for weight in stimulus.weights:
        with np.load(block_path(folder, weight)) as block:
            settle.append(block["settle_fs"] / FS_PER_PS)
            cost.append(block["cost"])
            edges.append(block["edges"])
    return CoreTrace(stimulus.weights, np.stack(settle), np.stack(cost), nets, np.stack(edges))


def check_observed(weights: Sequence[int], settle_ps: np.ndarray, bound_ps: np.ndarray, kind: Bound) -> None:
    """Check that no simulated transition settles after its weight's bound.

    Args:
        weights: the weight of each row.
        settle_ps: `[weight, transition]`.
        bound_ps: of the same weights `[weight]`.
        kind: what bounds them, for the message.

    Raises:
        SimulationError: naming the first weight and transition that do.
    """
    late = np.argwhere(settle_ps > np.asarray(bound_ps)[:, None] + 1e-6)
    if late.size:
        row, column = late[0]
        raise SimulationError(
            f"weight {weights[row]}, transition {column}: settles at {settle_ps[row, column]:.3f} ps, after its {kind} "
            f"delay of {bound_ps[row]:.3f} ps; timing and simulation do not share one delay set."
        )
