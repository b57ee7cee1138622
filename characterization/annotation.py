"""annotate(): one cycle of a netlist with a delay on every arc and energy on every pin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from characterization.constants import FALL, RISE, UNKNOWN, Constants, passing
from characterization.internal_energy import clock_energy_fj, gate_energy_fj, input_energies_fj, launch_energy_fj
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist
from characterization.pdk import Corner
from characterization.static_timing import NEVER, settle
from characterization.timed import Gate, Sink, Source, TimedNetlist
from characterization.timing_graph import Check, GraphGate, TimingGraph, build_graph


def annotate(netlist: Netlist, library: CellLibrary, corner: Corner, clock: str) -> TimedNetlist:
    """Return one cycle of a mapped (abutted) netlist with delays and energies, no weight fixed.

    Delays include the library's factor for several inputs that switch at once; that is the one delay set which the
    topological bound, SAT and simulation share. Slews are the worst over all inputs and conditions. Ports arrive at
    time 0 with slew 0 and outputs weigh nothing; the clock is ideal.

    Raises:
        NetlistError: a loop, or a flop that the clock port does not clock directly.
        LibertyError: the library lacks a cell, pin or arc.
    """
    graph = build_graph(netlist, library, clock)
    slew_ps = {net: np.maximum(values[:, 0], 0.0)
               for net, values in settle(graph, {}, 1).slew_ps.items()}
    constants = Constants(graph.gates, {}, 1)
    gates, outside = [], sum(launch.outside for launch in graph.launches)
    for gate in graph.gates:
        slews = np.array([slew_ps.get(net, np.zeros(2)) for net in gate.nets]).reshape(-1, 2)
        delay_ps, missed = gate_delays(gate, slews)
        late, _ = factors_of(gate, library, constants)
        delay_ps = stretched(delay_ps, late)
        energy = gate_energy_fj(gate, graph.cells[gate.kind], slews, graph.load_ff[gate.net])
        gates.append(Gate(gate.cell, gate.kind, gate.pin, gate.net, gate.pins, gate.nets, gate.truth, delay_ps, energy,
                          late))
        outside += missed
    sinks, missed = sinks_of(graph, slew_ps)
    kinds = [graph.cells[cell.kind] for cell in netlist.cells]
    return TimedNetlist(
        netlist.top, tuple(gates), sources_of(graph), sinks,
        load_ff={net: float(np.mean(load)) for net, load in graph.load_ff.items()},
        clock_energy_fj=clock_energy_fj(graph, corner.voltage_v), input_energy_fj=input_energies_fj(graph, slew_ps),
        leakage_nw=sum(kind.leakage_nw for kind in kinds), area_um2=sum(kind.area_um2 for kind in kinds),
        voltage_v=corner.voltage_v, temp_c=corner.temp_c, lookups_outside=outside + missed,
        netlist_digest=netlist.digest,
    )


def gate_delays(gate: GraphGate, slews_ps: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the worst delay over `when` `[input, input edge, output edge]` and the look-ups outside the tables."""
    delay_ps, outside = np.full((len(gate.pins), 2, 2), np.nan), 0
    free = passing(gate.truth, [np.full(1, UNKNOWN, dtype=np.int8)] * len(gate.pins))[..., 0]
    for arcs in gate.arc_sets:
        for (edge_in, edge_out), (delay, slew) in arcs.curves.items():
            if free[arcs.pin, edge_in, edge_out]:
                at_ps = slews_ps[arcs.pin, edge_in]
                index = arcs.pin, edge_in, edge_out
                delay_ps[index] = np.fmax(delay_ps[index], delay.at(at_ps))
                outside += delay.outside(at_ps) + slew.outside(at_ps)
    return delay_ps, outside


def factors_of(gate: GraphGate, library: CellLibrary, constants: Constants) -> tuple[np.ndarray, np.ndarray]:
    """Return the (late, early) factors of several inputs switching at once `[output edge]`; 1 with one live input."""
    factors = np.ones((2, 2))
    if sum(bool(constants.moves(net)[0]) for net in gate.nets) > 1:
        stated = library.multi_input.get(gate.kind, {})
        for edge in (FALL, RISE):
            factors[:, edge] = stated.get((gate.pin, edge), (1.0, 1.0))
    return factors[0], factors[1]


def stretched(delay_ps: np.ndarray, late: np.ndarray) -> np.ndarray:
    """Return delays `[input, input edge, output edge]` times `late` `[output edge]`; a negative one stays as it is."""
    result: np.ndarray = np.where(delay_ps > 0, delay_ps * late, delay_ps)
    return result


def sources_of(graph: TimingGraph) -> tuple[Source, ...]:
    """Return flop outputs, then input-port bits."""
    plain = {launch.cell: launch.net for launch in graph.launches if not launch.inverted}
    flops = [Source(launch.net, f"{launch.cell}/{launch.pin}", launch.delay_ps,
                    launch_energy_fj(launch, graph.cells[launch.kind], graph.load_ff[launch.net]),
                    plain.get(launch.cell) if launch.inverted else None) for launch in graph.launches]
    return (*flops, *(Source(net, net, np.zeros(2), np.zeros(2)) for net in graph.port_inputs))


def sinks_of(graph: TimingGraph, slew_ps: Mapping[str, np.ndarray]) -> tuple[tuple[Sink, ...], int]:
    """Return flop data pins, then output-port bits, and the look-ups outside the tables."""
    plain = {launch.cell: launch.net for launch in graph.launches if not launch.inverted}
    sinks, outside = [], 0
    for check in graph.checks:
        setup_ps, missed = setup_of(check, slew_ps.get(check.net, np.zeros(2)))
        sinks.append(Sink(check.net, f"{check.cell}/{check.pin}", plain.get(check.cell), setup_ps))
        outside += missed
    for port in graph.netlist.ports:
        if port.direction == "output":
            names = [f"{port.name}[{bit}]" for bit in range(port.width)] if port.width > 1 else [port.name]
            sinks += [Sink(net, name, None, np.zeros(2)) for name, net in zip(names, port.nets, strict=True)]
    return tuple(sinks), outside


def setup_of(check: Check, slew_ps: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the setup time by data edge `[edge]` and the look-ups outside the tables."""
    setup_ps = np.array([max((float(curve.at(slew_ps[edge])) for curve in check.setup[edge]), default=NEVER)
                         for edge in (FALL, RISE)])
    return setup_ps, sum(curve.outside(float(slew_ps[edge])) for edge in (FALL, RISE) for curve in check.setup[edge])
