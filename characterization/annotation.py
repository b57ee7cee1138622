"""annotate(): one cycle of a netlist with a delay on every arc and energy on every pin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from characterization.constants import FALL, RISE, UNKNOWN, Constants, passing
from characterization.internal_energy import EnergyReader
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist
from characterization.nldm import Curve
from characterization.pdk import Corner
from characterization.timed import SHORTEST_PS, Gate, Sink, Source, TimedNetlist
from characterization.timing_arrays import spread
from characterization.timing_graph import TimingGraph, build_graph

UNREACHED, NOTHING = np.zeros(2), np.zeros((0, 0))


def annotate(
    netlist: Netlist, library: CellLibrary, corner: Corner, clock: str, wire_load: str = "", energies: bool = True
) -> TimedNetlist:
    """Return one cycle of a mapped (abutted) netlist with delays and energies, no weight fixed.

    Delays include the library's factor for several inputs that switch at once; that is the one delay set which the
    topological bound, SAT and simulation share. A delay is the greatest over all conditions and over all slews that
    the input may have, from the steepest to the flattest. Ports arrive at time 0 with slew 0 and outputs weigh
    nothing; the clock is ideal. Wires weigh nothing unless `wire_load` names a wire-load model of the library. Without
    `energies`, for those who ask for delays only, energies are zero.

    Raises:
        NetlistError: a loop, a net without one driver, or a flop that the clock port does not clock directly.
        LibertyError: the library lacks a cell, pin or arc.
    """
    return annotate_graph(build_graph(netlist, library, clock, wire_load=wire_load), library, corner, energies)


def annotate_graph(
    graph: TimingGraph, library: CellLibrary, corner: Corner, with_energies: bool = True
) -> TimedNetlist:
    """Return a timing graph with delays and, if wanted, energies; see `annotate`."""
    ranges = slew_ranges(graph)
    slew_ps = {net: ranges.high_ps[i] for net, i in graph.index.items() if (ranges.high_ps[i] >= 0).any()}
    slew_ps = {net: np.maximum(slew, 0.0) for net, slew in slew_ps.items()}
    energies = EnergyReader(graph, slew_ps) if with_energies else None
    gates, missed = gates_of(graph, library, ranges, slew_ps, energies)
    sinks, missed_checks = sinks_of(graph, ranges)
    outside = missed + missed_checks + sum(launch.outside for launch in graph.launches)
    kinds = [graph.cells[cell.kind] for cell in graph.netlist.cells]
    return TimedNetlist(
        graph.top, gates, sources_of(graph, energies) if energies else graph.sources, sinks,
        load_ff={net: float(np.mean(load)) for net, load in graph.load_ff.items()},
        clock_energy_fj=energies.clock_energy_fj(corner.voltage_v) if energies else 0.0,
        input_energy_fj=energies.input_energies_fj() if energies else {},
        leakage_nw=sum(kind.leakage_nw for kind in kinds), area_um2=sum(kind.area_um2 for kind in kinds),
        voltage_v=corner.voltage_v, temp_c=corner.temp_c, lookups_outside=outside,
        netlist_digest=graph.netlist.digest, slew_ps=slew_ps, rail_per_slew=library.rail_per_slew,
    )


@dataclass(frozen=True, slots=True, eq=False)
class SlewRanges:
    """What slews and arc delays may be, whatever is held.

    Attributes:
        low_ps, high_ps: steepest and flattest slew `[net, edge]` by the graph's index; low > high where none arrives.
        delay_ps: least and greatest delay of each arc over its input's slews `[arc, 2]`.
        outside: look-ups outside the tables at the flattest slew `[arc]`.
    """

    low_ps: np.ndarray
    high_ps: np.ndarray
    delay_ps: np.ndarray
    outside: np.ndarray


def slew_ranges(graph: TimingGraph) -> SlewRanges:
    """Return the ranges of all slews and delays: over all conditions and inputs, constants of the netlist left out."""
    low, high = np.full((len(graph.index) + 1, 2), np.inf), np.full((len(graph.index) + 1, 2), -np.inf)
    for net in graph.port_inputs:
        low[graph.index[net]] = high[graph.index[net]] = 0.0
    for launch in graph.launches:
        low[graph.index[launch.net]], high[graph.index[launch.net]] = launch.steep_ps, launch.slew_ps
    n_arcs = graph.arcs.net.size
    found = SlewRanges(low, high, np.zeros((n_arcs, 2)), np.zeros(n_arcs, dtype=np.int64))
    spread(graph.arcs, graph.light_arcs, low, high, found.delay_ps, found.outside)
    return found


def gates_of(
    graph: TimingGraph, library: CellLibrary, ranges: SlewRanges, slew_ps: Mapping[str, np.ndarray],
    energies: EnergyReader | None,
) -> tuple[tuple[Gate, ...], int]:
    """Return all gates with delays and energies, and the look-ups outside the tables."""
    constants = Constants(graph.gates, {}, 1)
    free_of: dict[tuple[int, int], np.ndarray] = {}
    gates, outside = [], 0
    for i, gate in enumerate(graph.gates):
        key = gate.truth, len(gate.pins)
        if key not in free_of:
            free_of[key] = passing(gate.truth, [np.full(1, UNKNOWN, dtype=np.int8)] * len(gate.pins))[..., 0]
        least, greatest = np.full((2, len(gate.pins), 2, 2), np.nan)
        places = [(arcs.pin, *edges) for arcs in gate.arc_sets for edges in arcs.tables]
        for arc, place in enumerate(places, start=int(graph.arcs.first[i])):
            if free_of[key][place]:
                least[place] = np.fmin(least[place], ranges.delay_ps[arc, 0])
                greatest[place] = np.fmax(greatest[place], ranges.delay_ps[arc, 1])
                outside += int(ranges.outside[arc])
        live = sum(bool(constants.moves(net)[0]) for net in gate.nets)
        late, early = factors_of(gate.kind, gate.pin, library, live)
        energy, hidden = NOTHING, NOTHING
        if energies:
            slews = np.array([slew_ps.get(net, UNREACHED) for net in gate.nets]).reshape(-1, 2)
            energy, hidden = energies.gate_energy_fj(gate, slews)
        gates.append(Gate(gate.cell, gate.kind, gate.pin, gate.net, gate.pins, gate.nets, gate.truth,
                          np.maximum(greatest * late, SHORTEST_PS), energy, late,
                          np.where(least > 0, least * early, least), hidden))
    return tuple(gates), outside


def factors_of(kind: str, pin: str, library: CellLibrary, n_live: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the (late, early) factors of several inputs switching at once `[output edge]`; 1 with one live input."""
    factors = np.ones((2, 2))
    if n_live > 1:
        stated = library.multi_input.get(kind, {})
        for edge in (FALL, RISE):
            factors[:, edge] = stated.get((pin, edge), (1.0, 1.0))
    return factors[0], factors[1]


def sources_of(graph: TimingGraph, energies: EnergyReader) -> tuple[Source, ...]:
    """Return flop outputs with their energies, then input-port bits."""
    flops = [replace(source, energy_fj=energy)
             for source, energy in zip(graph.sources, energies.launch_energies_fj(), strict=False)]
    return (*flops, *graph.sources[len(flops):])


def sinks_of(graph: TimingGraph, ranges: SlewRanges) -> tuple[tuple[Sink, ...], int]:
    """Return the sinks with setup and hold, the greatest over all slews, and the look-ups outside the tables."""
    sinks, outside = list(graph.sinks), 0
    for i, check in enumerate(graph.checks):
        place = graph.index.get(check.net, -1)
        setup, hold = np.full((2, 2), -np.inf)
        for edge in (FALL, RISE):
            low, high = ranges.low_ps[place, edge], ranges.high_ps[place, edge]
            low, high = (float(low), float(high)) if low <= high else (0.0, 0.0)
            setup[edge], hold[edge] = (greatest(curves[edge], low, high) for curves in (check.setup, check.hold))
            outside += sum(curve.outside(high) for curve in check.setup[edge])
        sinks[i] = replace(sinks[i], setup_ps=setup, hold_ps=hold)
    return tuple(sinks), outside


def greatest(curves: Sequence[Curve], low_ps: float, high_ps: float) -> float:
    """Return the greatest value of several curves over the slews between two; -inf of none."""
    return max((curve.range(low_ps, high_ps)[1] for curve in curves), default=-np.inf)
