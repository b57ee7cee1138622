"""hold_against_icarus(): the engine and Icarus on one netlist, one set of delays and one stimulus, side by side."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from characterization.benches.activity import CoreTrace, prepare, read_blocks, run_share, watched_sinks
from characterization.benches.cells import Count
from characterization.benches.core import net_order
from characterization.benches.expectation import expected_sinks
from characterization.benches.operands import StimulusConfig
from characterization.benches.stimulus import Stimulus, make_stimulus
from characterization.design import MacDesign
from characterization.errors import SimulationError
from characterization.flat import net_costs
from characterization.simulation import SettleTrace, simulate
from characterization.timed import TimedNetlist

# Each net and edge gets a weight of its own, so that the sum over a transition tells which nets moved, and how often.
HASH_SEED, HASH_BITS = 20260101, 40
# Settle times are whole femtoseconds in both.
SAME_PS = 0.5e-3
REPEATS = 100


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two engines said of the same transitions. Settled sinks are checked in both, against the reference.

    Attributes:
        transitions: compared; of a streaming design those that tell settle times and those that tell toggles.
        settle_differ: transitions whose settle times differ.
        toggles_differ: transitions whose weighted sum of all nets' falls and rises differs.
        nets_differ: nets whose falls or rises of a weight differ.
        icarus_cpu_s, bare_cpu_s: of Icarus, its edge counters on and off, start included.
        engine_cpu_s: of the engine, with settle times, edges and costs; weights share what they have in common.
        alone_cpu_s: of the engine, each weight by itself.
        steps: transitions stepped through in each of these runs, counted or not.
        events: edges of all nets in them.
    """

    design: str
    transitions: int
    settle_differ: int
    toggles_differ: int
    nets_differ: int
    icarus_cpu_s: float
    bare_cpu_s: float
    engine_cpu_s: float
    alone_cpu_s: float
    steps: int
    events: float

    @property
    def mismatches(self) -> int:
        """All differences."""
        return self.settle_differ + self.toggles_differ + self.nets_differ


@dataclass(frozen=True, eq=False)
class Trial:
    """What both engines are given."""

    timed: TimedNetlist
    design: MacDesign
    stimulus: Stimulus
    longer: Stimulus
    watched: list[int]
    edge_cost: np.ndarray


def hold_against_icarus(
    timed: TimedNetlist, design: MacDesign, config: StimulusConfig, work: Path, bare: bool = False
) -> Agreement:
    """Return how far the engine agrees with Icarus, and the time each takes.

    Args:
        timed: the core.
        design: what its registers mean.
        config: the stimulus.
        work: folder for the bench.
        bare: also time Icarus without its counters (0 s if not).

    Raises:
        SimulationError: either engine's settled sinks are not what the reference says.
        ToolMissingError: Icarus is not installed.
    """
    edge_cost = np.random.default_rng(HASH_SEED).integers(1, 1 << HASH_BITS, (len(net_order(timed)), 2))
    longer = replace(config, transitions=REPEATS * config.transitions)
    trial = Trial(timed, design, make_stimulus(timed, design, config), make_stimulus(timed, design, longer),
                  watched_sinks(timed, design), edge_cost)
    theirs, icarus_cpu_s = run_icarus(trial, work / "counted", "gated")
    bare_cpu_s = run_icarus(trial, work / "bare", "never")[1] if bare else 0.0
    ours = run_engine(trial)
    engine_cpu_s, alone_cpu_s, events = time_engine(trial)
    kinds, steps = (2 if design.weight_mode == "streaming" else 1), len(trial.stimulus.settle_steps) - 1
    return Agreement(
        design.name, kinds * ours.settle_ps.size, int((np.abs(ours.settle_ps - theirs.settle_ps) > SAME_PS).sum()),
        int((ours.cost != theirs.cost).sum()), int((ours.edges != theirs.edges).any(axis=2).sum()), icarus_cpu_s,
        bare_cpu_s, engine_cpu_s, alone_cpu_s, len(config.weights) * steps, events,
    )


def run_icarus(trial: Trial, work: Path, count: Count) -> tuple[CoreTrace, float]:
    """Return what Icarus saw, and its processor time, compilation apart."""
    timed, stimulus = trial.timed, trial.stimulus
    expected = np.stack([expected_sinks(timed, trial.design, states) for states in stimulus.states])
    folder = prepare(timed, stimulus, expected, trial.watched, trial.edge_cost, work, count)
    begin = children_cpu_s()
    run_share(folder, 0, range(len(stimulus.weights)))
    return read_blocks(folder, stimulus, net_order(timed)), children_cpu_s() - begin


def run_engine(trial: Trial) -> SettleTrace:
    """Return what the engine saw.

    Raises:
        SimulationError: its settled sinks are not what the truth tables and the reference say.
    """
    costs = net_costs(trial.timed, trial.edge_cost)
    return simulate(trial.timed, trial.stimulus, trial.watched, costs, partial(check_sinks, trial))


def time_engine(trial: Trial) -> tuple[float, float, float]:
    """Return the engine's processor time for all weights together and each alone, and the edges of all nets.

    Measured over more transitions, so that the work of compiling the netlist to arrays, which is once for all weights,
    does not count.
    """
    longer, costs = trial.longer, net_costs(trial.timed, trial.edge_cost)
    alone = [replace(longer, weights=(weight,), blocks=partial(lambda index, _: longer.blocks([index]), index))
             for index, weight in enumerate(longer.weights)]
    times_s, events = [], 0
    for runs in ([longer], alone):
        begin = time.process_time()
        events = sum(int(simulate(trial.timed, run, trial.watched, costs, workers=1).edges.sum()) for run in runs)
        times_s.append((time.process_time() - begin) / REPEATS)
    return times_s[0], times_s[1], events / REPEATS


def check_sinks(trial: Trial, states: np.ndarray, sinks: np.ndarray) -> None:
    """Check settled sinks [step, sink].

    Raises:
        SimulationError: they differ from the truth tables' or the reference's.
    """
    wrong = np.argwhere(sinks != expected_sinks(trial.timed, trial.design, states))
    if wrong.size:
        step, sink = wrong[0]
        raise SimulationError(f"{trial.design.name}: sink {trial.timed.sinks[sink].origin} settles to the wrong value "
                              f"in step {step}.")


def children_cpu_s() -> float:
    """Return the processor time of the processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
