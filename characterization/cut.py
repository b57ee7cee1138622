"""One clock cycle of a mapped netlist as a graph: registers and ports in, every register's next value out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from characterization.aig import FALSE, Aig
from characterization.design import MacDesign
from characterization.errors import DesignError, EquivalenceError
from characterization.liberty import CellLibrary, LibraryCell
from characterization.netlist import CONST0, CONST1, Cell, Netlist
from characterization.word import Word


@dataclass(frozen=True)
class Cut:
    """A netlist cut at its flops.

    Attributes:
        graph: the logic.
        literal: every net's literal; input ports and flop states are the graph's inputs.
        next_state: the literal that each flop's state takes at the clock edge, by its input node.
        flop_of: a net that shows each state node, for messages.
    """

    graph: Aig
    literal: Mapping[str, int]
    next_state: Mapping[int, int]
    flop_of: Mapping[int, str]

    def after(self, net: str) -> int | None:
        """Return the literal that a register's net has after the clock edge; None if it shows no flop's state.

        A bit that is always the same has no flop.
        """
        if net not in self.literal:
            return None
        shown = self.literal[net]
        if shown >> 1 == 0:
            return shown
        following = self.next_state.get(shown >> 1)
        return None if following is None else following ^ (shown & 1)


def cut_netlist(netlist: Netlist, library: CellLibrary, clock: str) -> Cut:
    """Return `netlist` cut at its flops, all of which must be clocked by the rising edge of `clock`.

    Raises:
        EquivalenceError: a flop has another clock or an asynchronous input at work, or gates form a loop.
        LibertyError: the library lacks a cell or does not describe its function.
    """
    graph = Aig()
    literal = {CONST0: FALSE, CONST1: FALSE ^ 1, **{net: graph.variable() for net in netlist.inputs}}
    flops: list[tuple[Cell, LibraryCell, int]] = []
    for cell in netlist.cells:
        kind = library.cell(cell.kind, f"cell {cell.name} of {netlist.top}")
        if kind.flop:
            state = graph.variable()
            flops.append((cell, kind, state))
            names = {kind.flop.state: state, kind.flop.inverted: state ^ 1}
            for pin in netlist.outputs_of(cell):
                literal[cell.pins[pin]] = function_of(graph, kind, pin, names)
    for cell in gates_in_order(netlist, literal, library):
        kind = library.cells[cell.kind]
        known = {pin: literal[net] for pin, net in cell.pins.items() if net in literal}
        for pin in netlist.outputs_of(cell):
            literal[cell.pins[pin]] = function_of(graph, kind, pin, known)
    following = {state >> 1: next_of(graph, cell, kind, state, literal, clock) for cell, kind, state in flops}
    return Cut(graph, literal, following, {state >> 1: shown_by(netlist, cell) for cell, _, state in flops})


def shown_by(netlist: Netlist, cell: Cell) -> str:
    """Return the first net that a flop drives, or its own name."""
    return next((cell.pins[pin] for pin in netlist.outputs_of(cell)), cell.name)


def function_of(graph: Aig, kind: LibraryCell, pin: str, names: Mapping[str, int]) -> int:
    """Return the literal of a cell's output pin, given those of its inputs or states."""
    function = kind.pin(pin).function
    assert function is not None  # `CellLibrary.cell` refuses cells without one.
    return graph.function(function.truth, [names[name] for name in function.pins])


def gates_in_order(netlist: Netlist, known: Mapping[str, int], library: CellLibrary) -> Iterator[Cell]:
    """Yield the combinational cells so that each comes after those that drive it.

    Raises:
        EquivalenceError: there is a loop of gates.
    """
    outputs = {cell.name: set(netlist.outputs_of(cell)) for cell in netlist.cells}
    waiting: dict[str, int] = {}
    ready: list[Cell] = []
    for cell in netlist.cells:
        if library.cells[cell.kind].flop is None:
            inputs = {net for pin, net in cell.pins.items() if pin not in outputs[cell.name] and net not in known}
            waiting[cell.name] = len(inputs)
            ready += [] if inputs else [cell]
    while ready:
        cell = ready.pop()
        yield cell
        for pin in outputs[cell.name]:
            for follower in {load.name: load for load, _ in netlist.loads.get(cell.pins[pin], [])}.values():
                if follower.name in waiting:
                    waiting[follower.name] -= 1
                    ready += [] if waiting[follower.name] else [follower]
    if stuck := sorted(name for name, count in waiting.items() if count > 0):
        raise EquivalenceError(f"{netlist.top}: gates {', '.join(stuck[:5])} form a loop; break it with a register.")


def next_of(graph: Aig, cell: Cell, kind: LibraryCell, state: int, literal: Mapping[str, int], clock: str) -> int:
    """Return the literal that a flop's state takes at the rising edge of `clock`.

    Raises:
        EquivalenceError: it has another clock, or a set or clear that can act.
    """
    flop = kind.flop
    assert flop is not None
    if flop.clocked_on.truth != 0b10 or cell.pins[kind.clock_pin] != clock:
        raise EquivalenceError(
            f"flop {cell.name} ({cell.kind}) is not clocked by the rising edge of {clock} but by pin "
            f"{kind.clock_pin} on net {cell.pins[kind.clock_pin]}; a design has one clock and one edge."
        )
    names = {pin: literal[net] for pin, net in cell.pins.items() if net in literal}
    names |= {flop.state: state, flop.inverted: state ^ 1}
    for what, function in (("clear", flop.clear), ("preset", flop.preset)):
        if function and graph.function(function.truth, [names[name] for name in function.pins]) != FALSE:
            raise EquivalenceError(f"flop {cell.name} ({cell.kind}): its {what} can act; use a synchronous reset.")
    return graph.function(flop.next_state.truth, [names[name] for name in flop.next_state.pins])


class Now(Mapping[str, Word]):
    """Ports and registers by bus expression, as words: what `next_state` reads. It remembers what was read."""

    def __init__(self, design: MacDesign, graph: Aig, literal: Mapping[str, int]) -> None:
        """Wrap the literals of some nets."""
        self.design, self.graph, self.literal = design, graph, literal
        self.read: dict[str, Word] = {}

    def __getitem__(self, bus: str) -> Word:
        """Return a bus as a signed word; a single bit is 0 or 1.

        Raises:
            DesignError: reference.py reads what the design does not have.
        """
        if bus not in self.read:
            nets = self.design.nets_of(bus)
            if missing := [net for net in nets if net not in self.literal]:
                raise DesignError(f"{self.design.reference}: reads {missing[0]}, no port or register of the netlist; "
                                  "synthesis takes out what nothing depends on.")
            bits = tuple(self.literal[net] for net in nets)
            self.read[bus] = Word(self.graph, bits if len(bits) > 1 else (*bits, FALSE))
        return self.read[bus]

    def __iter__(self) -> Iterator[str]:
        return iter(self.design.widths)

    def __len__(self) -> int:
        return len(self.design.widths)
