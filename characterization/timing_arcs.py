"""A cell's arcs, launches and checks at an instance: what the library says, before any slew is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from characterization.boolean import Function
from characterization.constants import FALL, RISE
from characterization.errors import LibertyError, NetlistError
from characterization.liberty import Arc, LibraryCell, Pin
from characterization.liberty_tables import Table
from characterization.netlist import Cell, Netlist
from characterization.nldm import Curve, curve_at

# Ideal clock: the edge arrives at every flop at once and is infinitely steep, as OpenSTA has it without a clock tree.
CLOCK_SLEW_PS = 0.0
SENSES = {
    "positive_unate": ((FALL, FALL), (RISE, RISE)), "negative_unate": ((FALL, RISE), (RISE, FALL)),
    "non_unate": ((FALL, FALL), (FALL, RISE), (RISE, FALL), (RISE, RISE)),
}
CHECK_NAMES = {"setup_rising": "setup", "hold_rising": "hold"}


@dataclass(frozen=True, slots=True, eq=False)
class ArcSet:
    """The arcs of one Liberty timing group of a cell, shared by all its instances.

    Attributes:
        pin: index of the input.
        when: the condition under which they hold; None for always.
        tables: (delay, slew) by (input edge, output edge).
    """

    pin: int
    when: Function | None
    tables: Mapping[tuple[int, int], tuple[Table, Table]]


@dataclass(frozen=True, slots=True, eq=False)
class GraphGate:
    """One output of one combinational cell, as `timed.Gate` has it, with its function's text and the cell's arcs.

    `connections` is the net on every connected pin of the cell; a condition may name pins that the function does not.
    """

    cell: str
    kind: str
    pin: str
    net: str
    pins: tuple[str, ...]
    nets: tuple[str, ...]
    truth: int
    expression: str
    arc_sets: tuple[ArcSet, ...]
    connections: Mapping[str, str]

    def nets_on(self, when: Function) -> tuple[str, ...]:
        """Return the nets on a condition's pins; '' for a pin that carries none."""
        return tuple(self.connections.get(name, "") for name in when.pins)


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """A flop output: clk->q and its slew by output edge, at the real load and an ideal clock.

    Attributes:
        delay_ps, slew_ps: the latest and the flattest. early_ps, steep_ps: the earliest and the steepest.
        complement_of: the net of the flop's other output when this is the inverted one and both are used.
        outside: look-ups outside the tables.
    """

    net: str
    cell: str
    kind: str
    pin: str
    inverted: bool
    delay_ps: np.ndarray
    slew_ps: np.ndarray
    early_ps: np.ndarray
    steep_ps: np.ndarray
    outside: int


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A synchronous input of a flop; the constraint curves by data edge over the data slew, of all conditions."""

    net: str
    cell: str
    pin: str
    setup: tuple[tuple[Curve, ...], tuple[Curve, ...]]
    hold: tuple[tuple[Curve, ...], tuple[Curve, ...]]


def gates_of(
    netlist: Netlist, cell: Cell, kind: LibraryCell, known: dict[tuple[str, str], tuple[ArcSet, ...]]
) -> list[GraphGate]:
    """Return one gate for each connected output of a combinational cell; `known` keeps the arcs of each kind."""
    gates = []
    for name in netlist.outputs_of(cell):
        pin = kind.pin(name)
        assert pin.function is not None
        pins = pin.function.pins
        if missing := [p for p in pins if p not in cell.pins]:
            raise NetlistError(f"{netlist.top}: pin {missing[0]} of {cell.name} ({cell.kind}) is not connected.")
        if (kind.name, name) not in known:
            known[kind.name, name] = arc_sets_of(kind, pin)
        gates.append(GraphGate(cell.name, cell.kind, name, cell.pins[name], pins, tuple(cell.pins[p] for p in pins),
                               pin.function.truth, pin.function.text, known[kind.name, name], cell.pins))
    return gates


def arc_sets_of(kind: LibraryCell, pin: Pin) -> tuple[ArcSet, ...]:
    """Return the timing groups of an output that start at inputs of its function.

    Raises:
        LibertyError: an edge that the function lets pass has no arc.
    """
    assert pin.function is not None
    sets = tuple(arc_set(arc, pin.function) for arc in pin.arcs
                 if arc.kind.startswith("combinational") and arc.related_pin in pin.function.pins)
    check_arcs(kind, pin, sets)
    return sets


def arc_set(arc: Arc, function: Function) -> ArcSet:
    """Return one timing group."""
    tables = {}
    for edge_in, edge_out in SENSES.get(arc.sense) or SENSES[sense_of(function, arc.related_pin)]:
        delay, slew = arc.delay[edge_out], arc.slew[edge_out]
        only = {"combinational_fall": FALL, "combinational_rise": RISE}.get(arc.kind, edge_out)
        if delay is not None and slew is not None and only == edge_out:
            tables[edge_in, edge_out] = (delay, slew)
    return ArcSet(function.pins.index(arc.related_pin), arc.when, tables)


def sense_of(function: Function, pin: str) -> str:
    """Return the unateness of a function in one of its pins.

    >>> sense_of(Function(("A", "B"), 0b0111), "B")
    'negative_unate'
    """
    bit = 1 << function.pins.index(pin)
    steps = {function.value(p | bit) - function.value(p) for p in range(1 << len(function.pins)) if not p & bit}
    return "positive_unate" if -1 not in steps else "negative_unate" if 1 not in steps else "non_unate"


def check_arcs(kind: LibraryCell, pin: Pin, sets: tuple[ArcSet, ...]) -> None:
    """Check that every edge that an output's function lets pass has an arc.

    Raises:
        LibertyError: one has none, so that no bound could be given.
    """
    function = pin.function
    assert function is not None
    have = {(arcs.pin, *edges) for arcs in sets for edges in arcs.tables}
    for i, name in enumerate(function.pins):
        for edge_in, edge_out in SENSES[sense_of(function, name)]:
            if (i, edge_in, edge_out) not in have:
                edge = {FALL: "fall", RISE: "rise"}
                known = ", ".join(sorted({function.pins[arcs.pin] for arcs in sets})) or "none"
                raise LibertyError(f"{kind.where}: cell {kind.name} has no timing arc {name} {edge[edge_in]} -> "
                                   f"{pin.name} {edge[edge_out]}, which its function needs; it has arcs from {known}.")


def launches_of(
    netlist: Netlist, cell: Cell, kind: LibraryCell, load_ff: Mapping[str, tuple[float, float]],
    light_ff: Mapping[str, tuple[float, float]],
) -> list[Launch]:
    """Return the connected outputs of a flop; `light_ff` are the loads for the earliest times.

    Raises:
        LibertyError: an output has no clock-to-output arc.
    """
    found = []
    for name in netlist.outputs_of(cell):
        pin, net = kind.pin(name), cell.pins[name]
        late, flat, outside = launch_times(kind, pin, load_ff[net])
        early, steep, _ = launch_times(kind, pin, light_ff[net])
        found.append(Launch(net, cell.name, cell.kind, name, is_inverted(kind, pin), late.max(axis=0), flat.max(axis=0),
                            early.min(axis=0), steep.min(axis=0), outside))
    return found


def launch_times(kind: LibraryCell, pin: Pin, load_ff: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return delays and slews `[arc, output edge]` of a flop's output, and the look-ups outside the tables."""
    arcs = [arc for arc in pin.arcs if arc.kind == "rising_edge" and arc.related_pin == kind.clock_pin]
    if not arcs:
        raise LibertyError(f"{kind.where}: cell {kind.name} has no timing arc {kind.clock_pin} -> {pin.name}.")
    times, outside = np.zeros((2, len(arcs), 2)), 0
    for i, arc in enumerate(arcs):
        for edge in (FALL, RISE):
            for what, table in enumerate((arc.delay[edge], arc.slew[edge])):
                if table is None:
                    raise LibertyError(f"{kind.where}: cell {kind.name} has no {kind.clock_pin} -> {pin.name} table "
                                       "for both edges.")
                curve = curve_at(table, load_ff[edge])
                times[what, i, edge] = curve.at(np.array(CLOCK_SLEW_PS))
                outside += curve.outside(CLOCK_SLEW_PS)
    return times[0], np.maximum(times[1], 0.0), outside


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
        curves: dict[str, list[tuple[Curve, ...]]] = {}
        for timing_type, check in CHECK_NAMES.items():
            arcs = [arc for arc in kind.pins[name].arcs
                    if arc.kind == timing_type and arc.related_pin == kind.clock_pin]
            curves[check] = [tuple(curve_at(table, CLOCK_SLEW_PS) for arc in arcs
                                   if (table := arc.delay[edge]) is not None) for edge in (FALL, RISE)]
        if name in kind.flop.next_state.pins and not any(curves["setup"]):
            raise LibertyError(f"{kind.where}: pin {name} of cell {kind.name} has no setup time to {kind.clock_pin}.")
        if any(curves["setup"]) and name in cell.pins:
            setup, hold = curves["setup"], curves["hold"]
            found.append(Check(cell.pins[name], cell.name, name, (setup[FALL], setup[RISE]), (hold[FALL], hold[RISE])))
    return found
