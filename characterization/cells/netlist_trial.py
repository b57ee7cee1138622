"""hold_against_spice(): the same clock cycles of one netlist, simulated on gates and on transistors, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from characterization.benches.clocked_states import clocked_states, port_columns
from characterization.benches.core import net_order
from characterization.benches.settled import settled_values, source_columns
from characterization.benches.stimulus import Stimulus
from characterization.cells.netlist_deck import Clocking, NetlistBench
from characterization.cells.netlist_run import Chunk, Cycles, Progress, run_netlist
from characterization.energy import UNITS_PER_FJ, edge_costs
from characterization.errors import CellsError
from characterization.simulation import simulate
from characterization.timed import TimedNetlist

# Cycles that one process of ngspice simulates, and those before them that bring its registers to their state.
CHUNK_CYCLES = 20


@dataclass(frozen=True, eq=False)
class Seen:
    """What one simulator saw of each transition.

    Attributes:
        settle_ps: last edge of any watched net, from the clock's; 0 where none moves `[transition]`.
        energy_fj: what the supply delivers in the cycle; clock and ports are driven from elsewhere `[transition]`.
        edges: falls and rises of every net, in the order of `net_order` `[transition, net, edge]`.
    """

    settle_ps: np.ndarray
    energy_fj: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True, eq=False)
class Trial:
    """Both sides of a comparison.

    Attributes:
        states: of all sources before and after each transition `[transition, 2, source]`.
        functional: how many edges each net needs to get from one settled value to the next `[transition, net]`.
        gates, transistors: what was seen.
        swing: how far the transistors moved each net in all, in supplies `[transition, net]`.
    """

    states: np.ndarray
    functional: np.ndarray
    gates: Seen
    transistors: Seen
    swing: np.ndarray


def hold_against_spice(
    bench: NetlistBench, timed: TimedNetlist, ports: np.ndarray, watched: Sequence[int], clocking: Clocking, work: Path,
    warm: int = 2, workers: int = 2, progress: Progress | None = None,
) -> Trial:
    """Return what gates and transistors did in every cycle but the first `warm`.

    Args:
        bench: the netlist as transistors.
        timed: the same netlist at the same condition, not abutted.
        ports: what each clock edge captures, `[edge, port]`, one row more than cycles; in the bench's order of ports.
        watched: positions of the sinks whose nets must settle.
        clocking: when things move; gates need no more of it than that all settles within the period.
        work: folder; finished parts are kept in it.
        warm: cycles after which every register's value follows from the ports.
        workers: processes of ngspice at a time.
        progress: called with (chunks done, chunks).

    Raises:
        CellsError: the transistors settle to something else than the gates, or ngspice gave up.
        SimulationError: the gates cannot be simulated.
        ToolMissingError: ngspice is not installed.
    """
    assert bench.ports == tuple(timed.sources[column].net for column in port_columns(timed))
    states = clocked_states(timed, ports)
    values = settled_values(timed, source_columns(timed, states))
    settled = np.stack([values[net] for net in net_order(timed)], axis=1)
    cycles = run_netlist(bench, chunks_of(timed, ports, settled, warm), clocking, work, workers, progress)
    check_values(timed, cycles, settled[warm:])
    pairs = np.stack([states[warm - 1 : -1], states[warm:]], axis=1)
    nets = [timed.sinks[index].net for index in watched]
    functional = settled[warm - 1 : -1] != settled[warm:]
    swing = cycles.swing[:, [cycles.nets.index(net) for net in net_order(timed)]]
    return Trial(pairs, functional, seen_by_gates(timed, pairs, watched), seen_by_transistors(timed, cycles, nets),
                 swing)


def chunks_of(timed: TimedNetlist, ports: np.ndarray, settled: np.ndarray, warm: int) -> list[Chunk]:
    """Return the cycles in chunks; each begins where the registers are known to be, near enough."""
    columns = {timed.sources[column].net for column in port_columns(timed)}
    chunks = []
    for first in range(warm, len(settled), CHUNK_CYCLES):
        last = min(first + CHUNK_CYCLES, len(settled))
        before = settled[max(first - warm - 1, 0)]
        start = {net: int(value) for net, value in zip(net_order(timed), before, strict=True) if net not in columns}
        chunks.append(Chunk(ports[first - warm : last + 1], warm, start))
    return chunks


def check_values(timed: TimedNetlist, cycles: Cycles, settled: np.ndarray) -> None:
    """Hold the transistors' settled values against the gates'.

    Raises:
        CellsError: a net ends a cycle elsewhere, or between the rails.
    """
    column_of = {net: column for column, net in enumerate(cycles.nets)}
    found = cycles.values[:, [column_of[net] for net in net_order(timed)]]
    wrong = np.argwhere(found != settled)
    if wrong.size:
        cycle, net = wrong[0]
        raise CellsError(f"{timed.top}: in cycle {cycle} the transistors bring net {net_order(timed)[net]} to "
                         f"{found[cycle, net]} (2: neither rail), the gates to {settled[cycle, net]}; is the clock's "
                         "period long enough?")


def seen_by_transistors(timed: TimedNetlist, cycles: Cycles, watched: Sequence[str]) -> Seen:
    """Return what SPICE saw; leakage, of which the gates' energies know nothing, is less than its tolerance."""
    column_of = {net: column for column, net in enumerate(cycles.nets)}
    last = cycles.settle_ps[:, [column_of[net] for net in watched]]
    settle = np.where(np.isnan(last), 0.0, last).max(axis=1)
    return Seen(settle, cycles.energy_fj, cycles.edges[:, [column_of[net] for net in net_order(timed)]])


def seen_by_gates(timed: TimedNetlist, pairs: np.ndarray, watched: Sequence[int]) -> Seen:
    """Return what the engine saw: of each pair of states, times without setup, and the supply's energy.

    What charges the nets of ports and of the clock is left out, since their drivers are not in the netlist.
    """
    timed = without_setup(timed)
    stimulus = Stimulus(tuple(range(len(pairs))), lambda blocks: pairs[list(blocks)], np.array([False, True]),
                        np.array([False, True]), "clocked ports")
    trace = simulate(timed, stimulus, watched, edge_costs(timed))
    energy = (trace.cost + trace.launch_cost)[:, 0] / UNITS_PER_FJ
    edges, order = trace.edges.reshape(len(pairs), -1, 2), {net: i for i, net in enumerate(net_order(timed))}
    for column in port_columns(timed):
        net = timed.sources[column].net
        charge_fj = 0.5 * timed.load_ff[net] * timed.voltage_v**2
        energy = energy - edges[:, order[net]].sum(axis=1) * charge_fj
    return Seen(trace.settle_ps[:, 0], energy, edges)


def without_setup(timed: TimedNetlist) -> TimedNetlist:
    """Return a core whose requirements are the times of the last changes themselves."""
    return replace(timed, sinks=tuple(replace(sink, setup_ps=np.zeros(2)) for sink in timed.sinks))
