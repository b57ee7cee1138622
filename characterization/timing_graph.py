"""TimingGraph: a netlist cut at its flops, with the library's arcs at each gate's real load; no slews yet.

What timing has to know of a clock cycle before any delay is known. Order comes from the networkx view of the netlist.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np

from characterization.errors import NetlistError
from characterization.liberty import CellLibrary, LibraryCell
from characterization.netlist import CONSTANTS, Cell, Netlist, sorted_cells
from characterization.timed import Sink, Source
from characterization.timing_arcs import ArcSet, Check, GraphGate, Launch, checks_of, gates_of, launches_of
from characterization.timing_arrays import ArcArrays, compile_arcs, net_index
from characterization.wire_load import WireLoad


@dataclass(frozen=True, eq=False)
class TimingGraph:
    """One cycle of a netlist at one corner.

    Attributes:
        gates: in topological order.
        load_ff: `(fall, rise)` by net. light_ff: the least it may be, where the library states ranges; for hold.
        port_inputs: input ports without the clock.
        cells: the library's cells by kind.
        index: a number for each net that may move.
        arcs: the gates' arcs as arrays over those numbers. light_arcs: the same at the least loads.
    """

    netlist: Netlist
    gates: tuple[GraphGate, ...]
    launches: tuple[Launch, ...]
    checks: tuple[Check, ...]
    load_ff: Mapping[str, tuple[float, float]]
    light_ff: Mapping[str, tuple[float, float]]
    port_inputs: tuple[str, ...]
    cells: Mapping[str, LibraryCell]
    index: Mapping[str, int]
    arcs: ArcArrays
    light_arcs: ArcArrays

    @property
    def top(self) -> str:
        """Name of the module."""
        return self.netlist.top

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Flop outputs, then input-port bits; without energies."""
        plain = {launch.cell: launch.net for launch in self.launches if not launch.inverted}
        none, no_energy = np.zeros(2), np.zeros((2, 2))
        flops = [Source(launch.net, f"{launch.cell}/{launch.pin}", launch.delay_ps, no_energy,
                        plain.get(launch.cell) if launch.inverted else None, launch.early_ps)
                 for launch in self.launches]
        return (*flops, *(Source(net, net, none, no_energy, None, none) for net in self.port_inputs))

    @cached_property
    def sinks(self) -> tuple[Sink, ...]:
        """Flop data pins, then output-port bits; without setup and hold times, which need slews."""
        plain = {launch.cell: launch.net for launch in self.launches if not launch.inverted}
        sinks = [Sink(check.net, f"{check.cell}/{check.pin}", plain.get(check.cell), np.zeros(2))
                 for check in self.checks]
        for port in self.netlist.ports:
            if port.direction == "output":
                names = [f"{port.name}[{bit}]" for bit in range(port.width)] if port.width > 1 else [port.name]
                sinks += [Sink(net, name, None, np.zeros(2)) for name, net in zip(names, port.nets, strict=True)]
        return tuple(sinks)

    @cached_property
    def source_of(self) -> dict[str, Source]:
        """Sources by net."""
        return {source.net: source for source in self.sources}

    @cached_property
    def gate_of(self) -> dict[str, GraphGate]:
        """Gates by the net they drive."""
        return {gate.net: gate for gate in self.gates}


def build_graph(
    netlist: Netlist, library: CellLibrary, clock: str, like: TimingGraph | None = None, wire_load: str = ""
) -> TimingGraph:
    """Return the timing graph of a mapped (abutted) netlist clocked by port `clock`.

    Args:
        netlist: mapped and abutted.
        library: the corner's cells.
        clock: the clock port.
        like: the graph of the same netlist at another corner, whose order of gates is taken over.
        wire_load: a wire-load model of the library; '' for wires that weigh nothing.

    Raises:
        NetlistError: a net without or with several drivers, a combinational loop, or a flop that is not clocked by
            the rising edge of `clock` itself.
        LibertyError: the library lacks a cell, pin, arc or wire-load model that is needed.
    """
    cells = {kind: library.cell(kind, f"netlist {netlist.top}") for kind in sorted({c.kind for c in netlist.cells})}
    clock_net = netlist.port(clock).nets[0]
    check_drivers(netlist)
    wires = library.wire_load(wire_load) if wire_load else None
    load_ff, light_ff = (loads_of(netlist, cells, wires, least) for least in (False, True))
    flops = [cell for cell in sorted_cells(netlist.cells) if cells[cell.kind].flop]
    for flop in flops:
        check_flop(netlist, flop, cells[flop.kind], clock_net)
    order = ordered(netlist, cells, clock_net) if like is None else same_order(netlist, like)
    arc_sets: dict[tuple[str, str], tuple[ArcSet, ...]] = {}
    gates = tuple(gate for cell in order for gate in gates_of(netlist, cell, cells[cell.kind], arc_sets))
    launches = tuple(launch for flop in flops
                     for launch in launches_of(netlist, flop, cells[flop.kind], load_ff, light_ff))
    checks = tuple(check for flop in flops for check in checks_of(flop, cells[flop.kind]))
    ports = tuple(net for net in netlist.inputs if net != clock_net)
    index = net_index([*(launch.net for launch in launches), *ports, *(gate.net for gate in gates)])
    arcs = compile_arcs(gates, load_ff, index)
    light = arcs if light_ff == load_ff else compile_arcs(gates, light_ff, index)
    return TimingGraph(netlist, gates, launches, checks, load_ff, light_ff, ports, cells, index, arcs, light)


def check_drivers(netlist: Netlist) -> None:
    """Check that every net that is read has exactly one driver.

    Raises:
        NetlistError: one has none, or several; with the first reader or all drivers.
    """
    drivers: dict[str, list[str]] = {net: ["a constant"] for net in CONSTANTS}
    for port in netlist.ports:
        for net in port.nets if port.direction == "input" else ():
            drivers.setdefault(net, []).append(f"input port {port.name}")
    for cell in sorted_cells(netlist.cells):
        for pin in netlist.outputs_of(cell):
            drivers.setdefault(cell.pins[pin], []).append(f"{cell.name}/{pin}")
    for net, found in sorted(drivers.items()):
        if len(found) > 1:
            raise NetlistError(f"{netlist.top}: net {net} is driven by {' and '.join(found)}; give it one driver.")
    read = {net: f"pin {pin} of {cell.name} ({cell.kind})"
            for net, loads in netlist.loads.items() for cell, pin in loads[:1]}
    read |= {net: f"output port {port.name}" for port in netlist.ports if port.direction == "output"
             for net in port.nets}
    for net, reader in sorted(read.items()):
        if net not in drivers:
            raise NetlistError(f"{netlist.top}: net {net}, which {reader} reads, has no driver; drive it or tie it to "
                               "a constant.")


def same_order(netlist: Netlist, like: TimingGraph) -> list[Cell]:
    """Return the combinational cells in the order of another corner's graph of the same netlist."""
    by_name = {cell.name: cell for cell in netlist.cells}
    return [by_name[name] for name in dict.fromkeys(gate.cell for gate in like.gates)]


def loads_of(
    netlist: Netlist, cells: Mapping[str, LibraryCell], wires: WireLoad | None, least: bool
) -> dict[str, tuple[float, float]]:
    """Return the capacitance of every net by edge, fF: the pins it drives and its wires; ports weigh nothing.

    Raises:
        LibertyError: the wire-load model has resistance that counts.
    """
    found = {}
    outputs = Counter(net for port in netlist.ports if port.direction == "output" for net in port.nets)
    for net in {*netlist.driver, *netlist.inputs}:
        pins = [cells[cell.kind].pin(pin) for cell, pin in netlist.loads.get(net, ())]
        loads = [pin.least_capacitance_ff if least else pin.capacitance_ff for pin in pins]
        fall_ff, rise_ff = sum(fall for fall, _ in loads), sum(rise for _, rise in loads)
        fanout = len(pins) + outputs[net]
        wire_ff = wires.wire_ff(fanout, max(fall_ff, rise_ff)) if wires and fanout else 0.0
        found[net] = fall_ff + wire_ff, rise_ff + wire_ff
    return found


def ordered(netlist: Netlist, cells: Mapping[str, LibraryCell], clock_net: str) -> list[Cell]:
    """Return the combinational cells, drivers before loads.

    Raises:
        NetlistError: they form a loop, or the clock goes through one.
    """
    graph = netlist.to_graph()
    by_name = {cell.name: cell for cell in netlist.cells if not cells[cell.kind].flop}
    for cell, pin in netlist.loads.get(clock_net, ()):
        if cell.name in by_name:
            raise NetlistError(f"{netlist.top}: clock {clock_net} drives pin {pin} of {cell.name} ({cell.kind}); "
                               "gated or buffered clocks are not supported.")
    combinational = graph.subgraph(by_name)
    try:
        names = list(nx.lexicographical_topological_sort(combinational, key=lambda name: (len(name), name)))
    except nx.NetworkXUnfeasible:
        loop = ", ".join(sorted(edge[0] for edge in nx.find_cycle(combinational, source=sorted(by_name))))
        raise NetlistError(f"{netlist.top}: combinational loop through {loop}; cut it with a flop.") from None
    return [by_name[name] for name in names]


def check_flop(netlist: Netlist, cell: Cell, kind: LibraryCell, clock_net: str) -> None:
    """Check that a flop is clocked by the rising edge of the clock port and that its set and clear stand still.

    Raises:
        NetlistError: it is not, or they may move.
    """
    assert kind.flop is not None
    found = cell.pins.get(kind.clock_pin, "nothing")
    if found != clock_net or kind.flop.clocked_on.truth != 0b10:
        raise NetlistError(f"{netlist.top}: flop {cell.name} ({kind.name}) is clocked by {found} through "
                           f"{kind.clock_pin}; only the rising edge of {clock_net} itself is supported.")
    still = {*netlist.inputs, *CONSTANTS}
    for function in (kind.flop.clear, kind.flop.preset):
        for pin in function.pins if function else ():
            if cell.pins.get(pin) not in still:
                raise NetlistError(f"{netlist.top}: pin {pin} of flop {cell.name} ({kind.name}) is driven by logic; "
                                   "asynchronous set and clear must come from a port.")
