"""simulate_weights(): settle times and energy of every weight value, from timed toggles and the arcs' energies.

An output that turns round before it has reached the rail has moved less charge, E = C V dV. Edges that are closer than
one takes from rail to rail therefore cost in proportion to the time between them, by the mean cost of two; so do those
of a pulse that a gate swallows, between when its edge was due and when the edge back would have been. Times and counts
of edges know nothing of it: they are those of inertial gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from characterization.benches.activity import watched_sinks
from characterization.benches.core import net_order
from characterization.benches.expectation import check_reference
from characterization.benches.operands import StimulusConfig
from characterization.benches.registers import Registers
from characterization.benches.settled import truth_array
from characterization.benches.stimulus import make_stimulus
from characterization.design import MacDesign
from characterization.flat import EdgeCosts
from characterization.reference import load_reference
from characterization.simulation import Device, Progress, simulate
from characterization.timed import TimedNetlist
from characterization.units import FS_PER_PS

# Energies are summed in the engine as integers: a millionth of a femtojoule, so that rounding an edge costs
# less than a part in 10^6 and an operation of a microjoule still fits into 64 bits.
UNITS_PER_FJ = 1_000_000
# Edges slow down towards the rail: by so much they take longer than straight lines through their slews' thresholds.
# With this factor pulses of single cells cost on transistors what they cost here, in the least squares, at 1.80 and
# at 1.35 V (`benchmarks/spice_runts.py`).
TAILS = 1.35


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

    @cached_property
    def quantiles_fj(self) -> np.ndarray:
        """5th, 50th and 95th percentile of the energy over transitions, `[weight, percentile]`."""
        found: np.ndarray = np.quantile(self.energy_fj, (0.05, 0.5, 0.95), axis=1).T
        return found

    @property
    def register_fj(self) -> np.ndarray:
        """Mean energy spent inside flops and clock pins, `[weight]`."""
        mean: np.ndarray = self.register_energy_fj.mean(axis=1)
        return mean


def simulate_weights(
    timed: TimedNetlist, design: MacDesign, config: StimulusConfig, work: Path, workers: int = 2,
    progress: Progress | None = None, device: Device = "cpu",
) -> CoreActivity:
    """Return settle times and energies of every weight of `config`, from timed simulation.

    Args:
        timed: the core, abutted to itself where the design pairs inputs with outputs.
        design: what its registers mean.
        config: transitions, seed and weights.
        work: folder for finished weights until all are; a killed run takes up what is there.
        workers: threads; the result does not depend on it.
        progress: called with (weights done, weights).
        device: that transitions are taken through; the result does not depend on it.

    Raises:
        SimulationError: the core disagrees with its reference, or the library lacks an arc.
    """
    stimulus = make_stimulus(timed, design, config)
    registers, reference = Registers(timed, design), load_reference(design)
    trace = simulate(
        timed, stimulus, watched_sinks(timed, design), edge_costs(timed),
        partial(check_reference, registers, reference), work, workers, progress, keep=False, device=device,
    )
    register_energy_fj = trace.launch_cost / UNITS_PER_FJ + timed.clock_energy_fj
    return CoreActivity(
        weights=trace.weights, settle_ps=trace.settle_ps,
        energy_fj=trace.cost / UNITS_PER_FJ + register_energy_fj,
        register_energy_fj=register_energy_fj, nets=trace.nets, edges=trace.edges, description=stimulus.text,
    )


def edge_costs(timed: TimedNetlist) -> EdgeCosts:
    """Return the energies of edges in the engine's unit, inside flops and outside of them apart."""
    outside, sources = net_energy_fj(timed), len(timed.sources)
    gates = []
    for gate, net in zip(timed.gates, outside[sources:], strict=True):
        gates.append(in_units(gate.energy_fj + net[truth_array(gate.truth, len(gate.nets))]))
    hidden: tuple[np.ndarray, ...] = ()
    if any(gate.hidden_fj.size for gate in timed.gates):
        hidden = tuple(in_units(gate.hidden_fj if gate.hidden_fj.size else np.zeros_like(gate.energy_fj))
                       for gate in timed.gates)
    launch = np.stack([source.energy_fj for source in timed.sources])
    return EdgeCosts(in_units(outside[:sources]), tuple(gates), hidden, rails_fs(timed), pair_costs(timed, gates),
                     in_units(launch))


def pair_costs(timed: TimedNetlist, costs: Sequence[np.ndarray]) -> np.ndarray:
    """Return what a fall and a rise of each gate's output cost, the mean over their causes, int64 `[gate]`.

    `costs` are those of its edges `[input, pattern]`; those count by which one input alone moves the output.
    """
    found = np.zeros(len(costs), np.int64)
    for place, (gate, cost) in enumerate(zip(timed.gates, costs, strict=True)):
        to, patterns, pins = truth_array(gate.truth, len(gate.nets)), np.arange(cost.shape[1]), np.arange(len(cost))
        causes = to != to[patterns ^ 1 << pins[:, None]]
        if causes.any():
            found[place] = round(sum(float(cost[causes & (to == edge)].mean()) for edge in (0, 1)))
    return found


def rails_fs(timed: TimedNetlist) -> np.ndarray:
    """Return how long an edge of each gate's output takes from rail to rail, the mean of both, int64 fs `[gate]`."""
    slews_ps = np.array([timed.slew_ps.get(gate.net, np.zeros(2)) for gate in timed.gates]).reshape(-1, 2)
    rails_ps = TAILS * timed.rail_per_slew * slews_ps.mean(axis=1)
    return np.asarray(np.round(rails_ps * FS_PER_PS), np.int64)


def in_units(energy_fj: np.ndarray) -> np.ndarray:
    """Return energies in the engine's unit, int64."""
    return np.round(energy_fj * UNITS_PER_FJ).astype(np.int64)


def net_energy_fj(timed: TimedNetlist) -> np.ndarray:
    """Return what an edge of every net costs beside what drives it, `[net, edge]` in the order of `net_order`.

    Half C V^2, and the internal energy of the input pins on the net.
    """
    nets = net_order(timed)
    charge = np.array([0.5 * timed.load_ff.get(net, 0.0) * timed.voltage_v**2 for net in nets])
    inside = np.stack([timed.input_energy_fj.get(net, np.zeros(2)) for net in nets])
    return np.asarray(charge[:, None] + inside)
