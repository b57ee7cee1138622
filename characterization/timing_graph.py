"""TimingGraph: a netlist cut at its flops, with the library's arcs at each gate's real load; no slews yet.

What timing has to know of a clock cycle before any delay is known. Order comes from the networkx view of the netlist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx
import numpy as np

from characterization.boolean import Function
from characterization.constants import FALL, RISE
from characterization.errors import LibertyError, NetlistError
from characterization.liberty import Arc, CellLibrary, LibraryCell, Pin
from characterization.netlist import CONSTANTS, Cell, Netlist, sorted_cells
from characterization.nldm import Curve, curve_at

# Ideal clock: the edge arrives at every flop at once and is infinitely steep, as OpenSTA has it without a clock tree.
CLOCK_SLEW_PS = 0.0
SENSES = {
    "positive_unate": ((FALL, FALL), (RISE, RISE)), "negative_unate": ((FALL, RISE), (RISE, FALL)),
    "non_unate": ((FALL, FALL), (FALL, RISE), (RISE, FALL), (RISE, RISE)),
}


@dataclass(frozen=True, slots=True, eq=False)
class ArcSet:
    """The arcs of one Liberty timing group at a gate.

    Attributes:
        pin: index of the input.
        when, when_nets: the condition and the nets of its pins ('' for a pin that carries no net); None for always.
        curves: (delay, slew) by (input edge, output edge), over the input slew at the gate's load.
    """

    pin: int
    when: Function | None
    when_nets: tuple[str, ...]
    curves: Mapping[tuple[int, int], tuple[Curve, Curve]]


@dataclass(frozen=True, slots=True, eq=False)
class GraphGate:
    """One output of one combinational cell, as `timed.Gate` has it, with its function's text and arcs without slews."""

    cell: str
    kind: str
    pin: str
    net: str
    pins: tuple[str, ...]
    nets: tuple[str, ...]
    truth: int
    expression: str
    arc_sets: tuple[ArcSet, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """A flop output: clk->q and its slew by output edge, at the real load and an ideal clock."""

    net: str
    cell: str
    kind: str
    pin: str
    inverted: bool
    delay_ps: np.ndarray
    slew_ps: np.ndarray
    outside: int


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A synchronous input of a flop; the constraint curves by data edge, over the data slew, worst `when` last."""

    net: str
    cell: str
    pin: str
    setup: tuple[tuple[Curve, ...], tuple[Curve, ...]]


@dataclass(frozen=True, eq=False)
class TimingGraph:
    """One cycle of a netlist. `gates` are in topological order; `load_ff` is `(fall, rise)` by net."""

    netlist: Netlist
    gates: tuple[GraphGate, ...]
    launches: tuple[Launch, ...]
    checks: tuple[Check, ...]
    load_ff: Mapping[str, tuple[float, float]]
    port_inputs: tuple[str, ...]
    cells: Mapping[str, LibraryCell]


def build_graph(netlist: Netlist, library: CellLibrary, clock: str) -> TimingGraph:
    """Return the timing graph of a mapped (abutted) netlist clocked by port `clock`.

    Raises:
        NetlistError: a combinational loop, or a flop that is not clocked by the rising edge of `clock` itself.
        LibertyError: the library lacks a cell, pin or arc that the netlist needs.
    """
    cells = {kind: library.cell(kind, f"netlist {netlist.top}") for kind in sorted({c.kind for c in netlist.cells})}
    clock_net = netlist.port(clock).nets[0]
    load_ff = loads_of(netlist, cells)
    flops = [cell for cell in sorted_cells(netlist.cells) if cells[cell.kind].flop]
    for flop in flops:
        check_flop(netlist, flop, cells[flop.kind], clock_net)
    gates = tuple(gate for cell in ordered(netlist, cells, clock_net)
                  for gate in gates_of(netlist, cell, cells[cell.kind], load_ff))
    launches = tuple(launch for flop in flops for launch in launches_of(netlist, flop, cells[flop.kind], load_ff))
    checks = tuple(check for flop in flops for check in checks_of(flop, cells[flop.kind]))
    ports = tuple(net for net in netlist.inputs if net != clock_net)
    return TimingGraph(netlist, gates, launches, checks, load_ff, ports, cells)


def loads_of(netlist: Netlist, cells: Mapping[str, LibraryCell]) -> dict[str, tuple[float, float]]:
    """Return the capacitance of every net by edge, fF: the pins it drives; wires and output ports weigh nothing."""
    found = {}
    for net in {*netlist.driver, *netlist.inputs}:
        pins = [cells[cell.kind].pin(pin).capacitance_ff for cell, pin in netlist.loads.get(net, ())]
        found[net] = (sum(fall for fall, _ in pins), sum(rise for _, rise in pins))
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


def gates_of(
    netlist: Netlist, cell: Cell, kind: LibraryCell, load_ff: Mapping[str, tuple[float, float]]
) -> list[GraphGate]:
    """Return one gate for each connected output of a combinational cell."""
    gates = []
    for name in netlist.outputs_of(cell):
        pin = kind.pin(name)
        assert pin.function is not None
        pins = pin.function.pins
        if missing := [p for p in pins if p not in cell.pins]:
            raise NetlistError(f"{netlist.top}: pin {missing[0]} of {cell.name} ({cell.kind}) is not connected.")
        net = cell.pins[name]
        sets = [arc_set(arc, pin, cell, load_ff[net]) for arc in pin.arcs
                if arc.kind.startswith("combinational") and arc.related_pin in pins]
        gate = GraphGate(cell.name, cell.kind, name, net, pins, tuple(cell.pins[p] for p in pins),
                         pin.function.truth, pin.function.text, tuple(sets))
        check_arcs(gate, kind)
        gates.append(gate)
    return gates


def arc_set(arc: Arc, pin: Pin, cell: Cell, load_ff: tuple[float, float]) -> ArcSet:
    """Return one timing group at a gate of this load."""
    assert pin.function is not None
    curves = {}
    for edge_in, edge_out in SENSES.get(arc.sense) or SENSES[sense_of(pin.function, arc.related_pin)]:
        delay, slew = arc.delay[edge_out], arc.slew[edge_out]
        only = {"combinational_fall": FALL, "combinational_rise": RISE}.get(arc.kind, edge_out)
        if delay is not None and slew is not None and only == edge_out:
            curves[edge_in, edge_out] = (curve_at(delay, load_ff[edge_out]), curve_at(slew, load_ff[edge_out]))
    nets = tuple(cell.pins.get(name, "") for name in arc.when.pins) if arc.when else ()
    return ArcSet(pin.function.pins.index(arc.related_pin), arc.when, nets, curves)


def sense_of(function: Function, pin: str) -> str:
    """Return the unateness of a function in one of its pins.

    >>> sense_of(Function(("A", "B"), 0b0111), "B")
    'negative_unate'
    """
    bit = 1 << function.pins.index(pin)
    steps = {function.value(p | bit) - function.value(p) for p in range(1 << len(function.pins)) if not p & bit}
    return "positive_unate" if -1 not in steps else "negative_unate" if 1 not in steps else "non_unate"


def check_arcs(gate: GraphGate, kind: LibraryCell) -> None:
    """Check that every edge that the function lets pass has an arc.

    Raises:
        LibertyError: one has none, so that no bound could be given.
    """
    function = Function(gate.pins, gate.truth)
    have = {(arcs.pin, *edges) for arcs in gate.arc_sets for edges in arcs.curves}
    for i, name in enumerate(gate.pins):
        for edge_in, edge_out in SENSES[sense_of(function, name)]:
            if (i, edge_in, edge_out) not in have:
                edge = {FALL: "fall", RISE: "rise"}
                known = ", ".join(sorted({gate.pins[arcs.pin] for arcs in gate.arc_sets})) or "none"
                raise LibertyError(f"{kind.where}: cell {kind.name} has no timing arc {name} {edge[edge_in]} -> "
                                   f"{gate.pin} {edge[edge_out]}, which its function needs; it has arcs from {known}.")


def launches_of(
    netlist: Netlist, cell: Cell, kind: LibraryCell, load_ff: Mapping[str, tuple[float, float]]
) -> list[Launch]:
    """Return the connected outputs of a flop.

    Raises:
        LibertyError: an output has no clock-to-output arc.
    """
    assert kind.flop is not None
    found = []
    for name in netlist.outputs_of(cell):
        pin, net = kind.pin(name), cell.pins[name]
        arcs = [arc for arc in pin.arcs if arc.kind == "rising_edge" and arc.related_pin == kind.clock_pin]
        delay_ps, slew_ps, outside = np.full(2, -np.inf), np.full(2, -np.inf), 0
        for arc in arcs:
            for edge in (FALL, RISE):
                delay, slew = arc.delay[edge], arc.slew[edge]
                if delay is None or slew is None:
                    raise LibertyError(f"{kind.where}: cell {kind.name} has no {kind.clock_pin} -> {name} table for "
                                       "both edges.")
                curves = curve_at(delay, load_ff[net][edge]), curve_at(slew, load_ff[net][edge])
                values = [float(curve.at(np.array(CLOCK_SLEW_PS))) for curve in curves]
                delay_ps[edge], slew_ps[edge] = max(delay_ps[edge], values[0]), max(slew_ps[edge], values[1], 0.0)
                outside += sum(curve.outside(CLOCK_SLEW_PS) for curve in curves)
        if not arcs:
            raise LibertyError(f"{kind.where}: cell {kind.name} has no timing arc {kind.clock_pin} -> {name}.")
        found.append(Launch(net, cell.name, cell.kind, name, is_inverted(kind, pin), delay_ps, slew_ps, outside))
    return found


def is_inverted(kind: LibraryCell, pin: Pin) -> bool:
    """Return whether a flop's output shows the complement of its state.

    Raises:
        LibertyError: the output is some other function.
    """
    assert kind.flop is not None
    function = pin.function
    if function is None or len(function.pins) != 1 or function.pins[0] not in (kind.flop.state, kind.flop.inverted):
        raise LibertyError(f"{kind.where}: output {pin.name} of flop {kind.name} is neither its state "
                           f"{kind.flop.state} nor the complement.")
    return (function.pins[0] == kind.flop.inverted) != (function.truth == 0b01)


def checks_of(cell: Cell, kind: LibraryCell) -> list[Check]:
    """Return the synchronous inputs of a flop.

    Raises:
        LibertyError: an input that the next state depends on has no setup time.
    """
    assert kind.flop is not None
    found = []
    for name in kind.inputs:
        arcs = [arc for arc in kind.pins[name].arcs if arc.kind == "setup_rising" and arc.related_pin == kind.clock_pin]
        if name in kind.flop.next_state.pins and not arcs:
            raise LibertyError(f"{kind.where}: pin {name} of cell {kind.name} has no setup time to {kind.clock_pin}.")
        if arcs and name in cell.pins:
            curves = [tuple(curve_at(table, CLOCK_SLEW_PS) for arc in arcs if (table := arc.delay[edge]) is not None)
                      for edge in (FALL, RISE)]
            found.append(Check(cell.pins[name], cell.name, name, (curves[FALL], curves[RISE])))
    return found
