"""simulate_weights(): settle times and energy of every weight value, from timed toggles and the arcs' energies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from characterization.benches.activity import Progress, simulate_core
from characterization.benches.core import net_order
from characterization.benches.stimulus import Stimulus, StimulusConfig, make_stimulus
from characterization.design import MacDesign
from characterization.timed import FALL, RISE, TimedNetlist

# Energies are summed in the simulator as integers: a millionth of a femtojoule, so that rounding an edge costs
# less than a part in 10^6 and an operation of a microjoule still fits into 64 bits.
UNITS_PER_FJ = 1_000_000


@dataclass(frozen=True, eq=False)
class CoreActivity:
    """What one operation costs and when it settles, for every weight simulated.

    Leakage is not in the energies: it depends on the period (`TimedNetlist.leakage_nw`).

    Attributes:
        weights: the weight of each row.
        settle_ps: latest requirement, last change plus setup, of the sinks the weight reaches `[weight, transition]`.
        energy_fj: data, clock and registers together `[weight, transition]`.
        register_energy_fj: the part of it spent inside flops and clock pins `[weight, transition]`.
        nets: names of the nets counted.
        edges: falls and rises of each net over all transitions of a weight `[weight, net, edge]`.
        description: the stimulus in words.
    """

    weights: tuple[int, ...]
    settle_ps: np.ndarray
    energy_fj: np.ndarray
    register_energy_fj: np.ndarray
    nets: tuple[str, ...]
    edges: np.ndarray
    description: str

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.settle_ps, self.energy_fj, self.register_energy_fj, self.edges):
            array.setflags(write=False)

    @cached_property
    def toggles(self) -> np.ndarray:
        """Edges of each net over all transitions of a weight, `[weight, net]`."""
        total: np.ndarray = self.edges.sum(axis=2, dtype=np.int64)
        return total

    @property
    def observed_ps(self) -> np.ndarray:
        """Latest settle time seen, `[weight]`."""
        latest: np.ndarray = self.settle_ps.max(axis=1)
        return latest

    @property
    def mean_fj(self) -> np.ndarray:
        """Mean energy of an operation, `[weight]`."""
        mean: np.ndarray = self.energy_fj.mean(axis=1)
        return mean

    @property
    def std_fj(self) -> np.ndarray:
        """Standard deviation of the energy over transitions, `[weight]`; 0 for a single transition."""
        spread: np.ndarray = self.energy_fj.std(axis=1, ddof=min(1, self.energy_fj.shape[1] - 1))
        return spread

    @property
    def register_fj(self) -> np.ndarray:
        """Mean energy spent inside flops and clock pins, `[weight]`."""
        mean: np.ndarray = self.register_energy_fj.mean(axis=1)
        return mean


def simulate_weights(
    timed: TimedNetlist, design: MacDesign, config: StimulusConfig, work: Path, workers: int = 2,
    progress: Progress | None = None,
) -> CoreActivity:
    """Return settle times and energies of every weight of `config`, from timed simulation on Icarus.

    Args:
        timed: the core, abutted to itself where the design pairs inputs with outputs.
        design: what its registers mean.
        config: transitions, seed and weights.
        work: folder for the bench, its logs, and finished weights; a killed run takes up what is there.
        workers: simulator processes; the result does not depend on it.
        progress: called with (weights done, weights).

    Raises:
        SimulationError: the core disagrees with its reference, or the simulator failed.
        ToolMissingError: Icarus is not installed.
    """
    stimulus = make_stimulus(timed, design, config)
    cost = np.round(edge_energy_fj(timed) * UNITS_PER_FJ).astype(np.int64)
    trace = simulate_core(timed, design, stimulus, cost, work, workers, progress)
    return CoreActivity(
        weights=trace.weights, settle_ps=trace.settle_ps,
        energy_fj=trace.cost / UNITS_PER_FJ + timed.clock_energy_fj,
        register_energy_fj=register_energy_fj(timed, stimulus), nets=trace.nets, edges=trace.edges,
        description=stimulus.text,
    )


def edge_energy_fj(timed: TimedNetlist) -> np.ndarray:
    """Return the energy of one edge of every net, `[net, edge]`, nets in the order of the bench's counters.

    Half C V^2, the internal energy of what drives the net, and that of the input pins it drives.
    """
    driver = {source.net: source.energy_fj for source in timed.sources}
    driver |= {gate.net: gate.energy_fj for gate in timed.gates}
    charge = np.array([0.5 * timed.load_ff.get(net, 0.0) * timed.voltage_v**2 for net in net_order(timed)])
    inside = np.stack([driver[net] + timed.input_energy_fj.get(net, np.zeros(2)) for net in net_order(timed)])
    return np.asarray(charge[:, None] + inside)


def register_energy_fj(timed: TimedNetlist, stimulus: Stimulus) -> np.ndarray:
    """Return the energy inside flops and clock pins of every counted transition, `[weight, transition]`.

    A source moves at most once a cycle, so the states alone tell its edges.
    """
    internal = np.stack([source.energy_fj for source in timed.sources])
    before, after = stimulus.states[:, :-1].astype(np.int8), stimulus.states[:, 1:].astype(np.int8)
    moved = (after - before)[:, stimulus.cost_steps[1:]]
    energy = (moved > 0) @ internal[:, RISE] + (moved < 0) @ internal[:, FALL] + timed.clock_energy_fj
    return np.asarray(energy)
