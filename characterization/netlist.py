"""The mapped netlist: cells, nets, ports. The truth that every later stage reads; no timing in it.

A net is named by a string: a port bit `act_in[3]` (a one-bit port keeps its bare name), an internal net `n12[0]`, or a
constant, `CONST0` or `CONST1`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx

from characterization.artifact import digest_text
from characterization.errors import NetlistError

CONST0, CONST1 = "CONST0", "CONST1"
CONSTANTS = {CONST0: 0, CONST1: 1}


@dataclass(frozen=True)
class Cell:
    """One instance of a library cell: `pins` maps every connected pin to its net."""

    name: str
    kind: str
    pins: Mapping[str, str]


@dataclass(frozen=True)
class Port:
    """One port of the top module; `nets[i]` carries bit i (for an output several bits may share a net)."""

    name: str
    direction: str
    nets: tuple[str, ...]

    @property
    def width(self) -> int:
        """The number of bits."""
        return len(self.nets)


@dataclass(frozen=True)
class Netlist:
    """A flat mapped module. `output_pins` maps each cell kind to the names of its output pins."""

    top: str
    ports: tuple[Port, ...]
    cells: tuple[Cell, ...]
    output_pins: Mapping[str, tuple[str, ...]]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical text."""
        return digest_text(self.to_text())

    @cached_property
    def driver(self) -> dict[str, tuple[Cell, str]]:
        """The (cell, output pin) that drives each net; input ports and constants are absent."""
        return {cell.pins[pin]: (cell, pin) for cell in self.cells for pin in self.outputs_of(cell)}

    @cached_property
    def cell_named(self) -> dict[str, Cell]:
        """Cells by name."""
        return {cell.name: cell for cell in self.cells}

    @cached_property
    def loads(self) -> dict[str, list[tuple[Cell, str]]]:
        """Every (cell, input pin) that each net drives."""
        found: dict[str, list[tuple[Cell, str]]] = {}
        for cell in self.cells:
            driven = set(self.outputs_of(cell))
            for pin, net in cell.pins.items():
                if pin not in driven:
                    found.setdefault(net, []).append((cell, pin))
        return found

    def outputs_of(self, cell: Cell) -> tuple[str, ...]:
        """The connected output pins of `cell`."""
        return tuple(pin for pin in self.output_pins[cell.kind] if pin in cell.pins)

    def port(self, name: str) -> Port:
        """Return the port called `name`.

        Raises:
            NetlistError: there is none.
        """
        for port in self.ports:
            if port.name == name:
                return port
        raise NetlistError(f"{self.top}: no port {name!r}; it has {', '.join(p.name for p in self.ports)}.")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The nets of all input-port bits."""
        return tuple(net for port in self.ports if port.direction == "input" for net in port.nets)

    def to_graph(self) -> nx.MultiDiGraph:
        """Return a fresh networkx view: cells and ports are nodes, each net-to-pin connection is an edge.

        Node attributes: `kind` (cell kind, or `input`/`output`). Edge attributes: `net`, `pin` (driven), `source_pin`.
        """
        graph = nx.MultiDiGraph(top=self.top)
        sources: dict[str, tuple[str, str]] = {}
        for net, (cell, pin) in self.driver.items():
            sources[net] = (cell.name, pin)
        for cell in self.cells:
            graph.add_node(cell.name, kind=cell.kind)
        for port in self.ports:
            for bit, net in enumerate(port.nets):
                node = f"{port.name}[{bit}]"
                graph.add_node(node, kind=port.direction)
                if port.direction == "input":
                    sources[net] = (node, "")
        for net, driven in self.loads.items():
            if net in sources:
                for cell, pin in driven:
                    graph.add_edge(sources[net][0], cell.name, net=net, pin=pin, source_pin=sources[net][1])
        for port in self.ports:
            for bit, net in enumerate(port.nets):
                if port.direction == "output" and net in sources:
                    graph.add_edge(
                        sources[net][0], f"{port.name}[{bit}]", net=net, pin="", source_pin=sources[net][1]
                    )
        return graph

    def to_text(self) -> str:
        """Return the canonical text: JSON with sorted keys, one cell a line, independent of insertion order."""
        lines = [
            json.dumps({"top": self.top, "ports": [[p.name, p.direction, list(p.nets)] for p in self.ports]}),
            json.dumps({"output_pins": {k: list(v) for k, v in sorted(self.output_pins.items())}}),
        ]
        lines += [json.dumps([c.name, c.kind, dict(sorted(c.pins.items()))]) for c in sorted_cells(self.cells)]
        return "\n".join(lines) + "\n"

    @staticmethod
    def from_text(text: str) -> Netlist:
        """Return the netlist whose `to_text` is `text`.

        Raises:
            NetlistError: the text is cut short or not ours.
        """
        try:
            head, kinds, *rows = (json.loads(line) for line in text.splitlines())
            ports = tuple(Port(name, direction, tuple(nets)) for name, direction, nets in head["ports"])
            cells = tuple(Cell(name, kind, pins) for name, kind, pins in rows)
            return Netlist(head["top"], ports, cells, {k: tuple(v) for k, v in kinds["output_pins"].items()})
        except (ValueError, KeyError, TypeError) as error:
            raise NetlistError(f"netlist text is damaged ({error}); synthesize the design again.") from error

    def to_verilog(self) -> str:
        """Return structural Verilog-2001 with escaped-free names, as OpenSTA and Icarus read it."""
        rename = verilog_names(self)
        lines = [f"module {self.top} ({', '.join(p.name for p in self.ports)});"]
        for port in self.ports:
            span = f"[{port.width - 1}:0] " if port.width > 1 else ""
            lines.append(f"  {port.direction} {span}{port.name};")
        wires = sorted({rename[net] for net in rename if rename[net].startswith("net_")})
        lines += [f"  wire {wire};" for wire in wires]
        for cell in sorted_cells(self.cells):
            pins = ", ".join(f".{pin}({rename[net]})" for pin, net in sorted(cell.pins.items()))
            lines.append(f"  {cell.kind} {cell.name} ({pins});")
        for port in self.ports:
            if port.direction == "output":
                for bit, net in enumerate(port.nets):
                    name = f"{port.name}[{bit}]" if port.width > 1 else port.name
                    if rename[net] != name:
                        lines.append(f"  assign {name} = {rename[net]};")
        return "\n".join([*lines, "endmodule", ""])


def sorted_cells(cells: Iterable[Cell]) -> list[Cell]:
    """Return `cells` by name, shorter names first, so that u2 comes before u10."""
    return sorted(cells, key=lambda cell: (len(cell.name), cell.name))


def verilog_names(netlist: Netlist) -> dict[str, str]:
    """Return the Verilog expression of every net: port bits keep their names, the rest become `net_*`."""
    names = {CONST0: "1'b0", CONST1: "1'b1"}
    for direction in ("input", "output"):
        for port in netlist.ports:
            if port.direction == direction:
                for bit, net in enumerate(port.nets):
                    names.setdefault(net, f"{port.name}[{bit}]" if port.width > 1 else port.name)
    for cell in netlist.cells:
        for net in cell.pins.values():
            names.setdefault(net, "net_" + net.replace("[", "_").replace("]", "").replace(".", "_").replace("$", "_"))
    return names


def abut(netlist: Netlist, pairs: Mapping[str, str]) -> Netlist:
    """Return `netlist` wired to copies of itself: each input port in `pairs` is driven by the output port it names.

    A lone PE's real paths start in its neighbour. All PEs being equal, the neighbour's output flop is our own: the
    input's loads move to the net of the paired output, and the input port goes away.

    Raises:
        NetlistError: a pair names no port, directions or widths do not match, or input feeds its output directly.
    """
    merged: dict[str, str] = {}
    for sink, source in pairs.items():
        into, out = netlist.port(sink), netlist.port(source)
        if (into.direction, out.direction) != ("input", "output") or into.width != out.width:
            raise NetlistError(
                f"{netlist.top}: pair {sink} <- {source} joins {into.direction}[{into.width}] to "
                f"{out.direction}[{out.width}]; an input must be paired with an output of its width."
            )
        merged.update(zip(into.nets, out.nets, strict=True))
    if clash := sorted(net for net in merged.values() if net in merged):
        raise NetlistError(f"{netlist.top}: {clash[0]} feeds an output straight through; a paired output needs a flop.")
    cells = tuple(Cell(c.name, c.kind, {p: merged.get(n, n) for p, n in c.pins.items()}) for c in netlist.cells)
    ports = tuple(port for port in netlist.ports if port.name not in pairs)
    return replace(netlist, ports=ports, cells=cells)
