"""Extraction: a cell's netlist with everything its layout adds, as one deterministic SPICE subcircuit.

Transistors with junction areas, perimeters and stress distances; wire capacitance between nets; resistance of contacts,
poly and local interconnect. A net that resistance splits keeps its name at its pin (or at its first terminal).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from characterization.artifact import Provenance, cached, digest_file, digest_of
from characterization.cells.capacitance import wire_capacitance_ff
from characterization.cells.grid import NO_NET, Grid, Nets, connect, draw
from characterization.cells.layout import PROGRAM, Layout, klayout_version, read_layout
from characterization.cells.resistance import Resistor, Terminal, net_resistors
from characterization.cells.spice_netlist import Circuit, read_circuit
from characterization.cells.transistors import Transistor, find_transistors
from characterization.cells.wheel import CellFiles
from characterization.errors import CellsError

CODE = ("capacitance", "extraction", "grid", "layout", "parasitic_constants", "resistance", "spice_netlist",
        "transistors")
# Smaller ones are left out: together they are less than a hundredth of any pin's capacitance.
LEAST_FF = 0.001


@dataclass(frozen=True, slots=True)
class Extracted:
    """A cell after layout: its circuit, and the text of a subcircuit with the same name and ports."""

    circuit: Circuit
    area_um2: float
    text: str

    @property
    def digest(self) -> str:
        """What measuring this netlist depends on."""
        return digest_of([self.circuit.name, self.text])


def extract(files: CellFiles, cache: Path) -> Extracted:
    """Return a cell's netlist after layout; what was extracted before is taken from the folder `cache`.

    Raises:
        CellsError: netlist and layout cannot be read, or disagree.
        ToolMissingError: klayout is not installed.
    """
    circuit = read_circuit(files.netlist)
    if not circuit.devices:
        return Extracted(circuit, files.area_um2, before_layout(circuit))
    made = Provenance("cell", {"netlist": digest_file(files.netlist), "layout": digest_file(files.layout)}, {},
                      extraction_tools())
    text, _ = cached(cache, made, ".spice", lambda: write_subcircuit(circuit, read_layout(files.layout)))
    return Extracted(circuit, files.area_um2, text)


def extraction_tools() -> dict[str, str]:
    """Return what an extracted netlist depends on besides its cell: klayout, and our own code.

    Raises:
        ToolMissingError: klayout is not installed.
    """
    here = Path(__file__).parent
    code = {name: digest_file(here / f"{name}.py") for name in CODE}
    return {"klayout": klayout_version(), "program": digest_file(PROGRAM), "code": digest_of(code)}


def before_layout(circuit: Circuit) -> str:
    """Return the subcircuit of a cell without transistors (a tie cell): its resistors join rails and outputs."""
    ties = [f"R{i} {one} {other} 1" for i, (one, other) in enumerate(circuit.ties)]
    return "\n".join([f".subckt {circuit.name} {' '.join(circuit.ports)}", *ties, ".ends", ""])


def write_subcircuit(circuit: Circuit, layout: Layout) -> str:
    """Return the subcircuit text of a layout.

    Raises:
        CellsError: netlist and layout have other transistors.
    """
    grid = draw(layout)
    nets = connect(layout, grid)
    transistors = find_transistors(circuit.name, grid, nets)
    check_devices(circuit, transistors)
    if missing := sorted(set(circuit.ports) - {"VPB", "VNB"} - set(nets.names)):
        raise CellsError(f"{circuit.name}: the layout has no label of pin {missing[0]}; it has "
                         f"{', '.join(name for name in nets.names if name in circuit.ports)}.")
    terminals = find_terminals(layout, grid, nets, transistors)
    lines = [f".subckt {circuit.name} {' '.join(circuit.ports)}"]
    lines += device_lines(circuit, nets, transistors, terminals)
    lines += capacitor_lines(nets, wire_capacitance_ff(grid, nets), terminals)
    lines += resistor_lines([r for net, places in sorted(terminals.items())
                             for r in net_resistors(grid, nets, net, places)])
    return "\n".join([*lines, ".ends", ""])


def check_devices(circuit: Circuit, transistors: Sequence[Transistor]) -> None:
    """Hold the layout's transistors against the netlist's: how many of which width and length."""
    drawn = Counter((t.kind, round(t.width_um, 3), round(t.length_um, 3)) for t in transistors)
    stated = Counter((d.kind, round(d.width_um, 3), round(d.length_um, 3)) for d in circuit.devices)
    if drawn != stated:
        (kind, width_um, length_um), = list((drawn - stated) or (stated - drawn))[:1]
        size = (kind, width_um, length_um)
        raise CellsError(f"{circuit.name}: the layout has {len(transistors)} transistors, the netlist "
                         f"{len(circuit.devices)}; of {kind}fet {width_um} x {length_um} um it has {drawn[size]}, the "
                         f"netlist {stated[size]}. The two files are of different cells or versions.")


def find_terminals(
    layout: Layout, grid: Grid, nets: Nets, transistors: Sequence[Transistor],
) -> dict[int, list[Terminal]]:
    """Return net -> its terminals: the pin first, then pieces of diffusion and gates; each a node of the netlist."""
    found: dict[int, list[Terminal]] = {net: [] for net in range(len(nets.names))}
    for net, terminal in pin_terminals(layout, grid, nets):
        found[net].append(terminal)
    strips = sorted({(j.net, j.strip) for t in transistors for j in t.junctions})
    for net, strip in strips:
        cells = tuple((int(i), int(k)) for i, k in np.argwhere(nets.parts["active"] == strip))
        found[net].append(Terminal(node_name(nets, found, net), "active", cells))
    for net in sorted({t.gate for t in transistors}):
        cells = tuple((int(i), int(k)) for i, k in np.argwhere(grid.masks["gate"] & (nets.of["poly"] == net)))
        found[net].append(Terminal(node_name(nets, found, net), "poly", cells))
    return found


def node_name(nets: Nets, found: dict[int, list[Terminal]], net: int) -> str:
    """Return the name of a net's next terminal."""
    return nets.names[net] + (f"_{len(found[net])}" if found[net] else "")


def pin_terminals(layout: Layout, grid: Grid, nets: Nets) -> list[tuple[int, Terminal]]:
    """Return (net, terminal) of each labelled net, at the middle one of its labels on the highest layer."""
    places: dict[int, tuple[str, list[tuple[int, int]]]] = {}
    for layer in ("li1", "met1"):
        for _, x_nm, y_nm in layout.labels[layer]:
            cell = grid.at(x_nm, y_nm)
            net = int(nets.of[layer][cell])
            if net == NO_NET:
                continue
            if net not in places or places[net][0] != layer:
                places[net] = (layer, [])
            places[net][1].append(cell)
    return [(net, Terminal(nets.names[net], layer, (cells[len(cells) // 2],)))
            for net, (layer, cells) in sorted(places.items())]


def device_lines(
    circuit: Circuit, nets: Nets, transistors: Sequence[Transistor], terminals: dict[int, list[Terminal]],
) -> list[str]:
    """Return the transistors; lengths in um, areas in um^2 (`.option scale=1.0u` in the deck)."""
    models = {(d.kind, round(d.width_um, 3), round(d.length_um, 3)): d.model for d in circuit.devices}
    strips = {nets_part(nets, place): place.name for places in terminals.values() for place in places
              if place.layer == "active"}
    gates = {net: place.name for net, places in terminals.items() for place in places if place.layer == "poly"}
    lines = []
    for i, t in enumerate(transistors):
        one, other = t.junctions
        bulk = "VPB" if t.kind == "p" else "VNB"
        model = models[t.kind, round(t.width_um, 3), round(t.length_um, 3)]
        lines.append(
            f"X{i} {strips[one.strip]} {gates[t.gate]} {strips[other.strip]} {bulk} {model} w={t.width_um:.4g} "
            f"l={t.length_um:.4g} ad={one.area_um2:.5g} as={other.area_um2:.5g} pd={one.perimeter_um:.5g} "
            f"ps={other.perimeter_um:.5g} sa={one.edge_um:.4g} sb={other.edge_um:.4g}")
    return lines


def nets_part(nets: Nets, place: Terminal) -> int:
    """Return the piece of diffusion that a terminal stands for."""
    return int(nets.parts["active"][place.cells[0]])


def capacitor_lines(nets: Nets, wires_ff: np.ndarray, terminals: dict[int, list[Terminal]]) -> list[str]:
    """Return the wire capacitors, each at the first node of its nets."""
    nodes = [terminals[net][0].name if terminals[net] else "" for net in range(len(nets.names))] + ["VNB", "VPB"]
    pairs = [(i, j) for i in range(len(nodes)) for j in range(i + 1, len(nodes)) if wires_ff[i, j] >= LEAST_FF]
    return [f"C{k} {nodes[i]} {nodes[j]} {wires_ff[i, j]:.4g}f" for k, (i, j) in enumerate(pairs)
            if nodes[i] and nodes[j]]


def resistor_lines(resistors: Sequence[Resistor]) -> list[str]:
    """Return the resistors."""
    return [f"R{k} {r.one} {r.other} {r.ohm:.4g}" for k, r in enumerate(resistors)]
