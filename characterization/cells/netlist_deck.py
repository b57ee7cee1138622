"""Deck: a mapped netlist as transistors, clocked through a series of port values, as text for ngspice.

Every cell is its extracted netlist, as when it was measured; wires between cells weigh nothing, as in a `TimedNetlist`
without a wire-load model. The clock is ideal. Ports move shortly after each rising edge of the clock, like the outputs
of registers before them, and are captured at the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from characterization.cells.deck import RAILS, RESULT, SUPPLY
from characterization.cells.extraction import Extracted
from characterization.cells.models import model_text
from characterization.cells.tables import Condition
from characterization.cells.wheel import Wheel
from characterization.netlist import CONST0, CONST1, Netlist, sorted_cells

# A transistor whose voltages have hardly moved keeps its currents and charges: most of a netlist rests at any time.
# Beside steps controlled as closely as when cells are measured (trtol=1 chgtol=1e-16), at three times the cost, settle
# times differ by 0.2 % (0.4 % at most) and energies by 0.15 %.
OPTIONS = "reltol=1e-3 trtol=7 chgtol=5e-16 noinit bypass=1"
START_PS = 100.0
LONGEST_STEPS = 50.0


@dataclass(frozen=True, slots=True)
class Clocking:
    """How a netlist is clocked.

    Attributes:
        period_ps: from one rising edge to the next; the clock falls half-way.
        clock_ramp_ps: how long an edge of the clock takes, from rail to rail.
        port_delay_ps: from the middle of the clock's rise to that of the ports' edges.
        port_ramp_ps: how long an edge of a port takes, from rail to rail.
    """

    period_ps: float
    clock_ramp_ps: float = 2.0
    port_delay_ps: float = 200.0
    port_ramp_ps: float = 50.0

    def rise_ps(self, cycle: int) -> float:
        """Return when the clock of a cycle has half risen."""
        return START_PS + cycle * self.period_ps


@dataclass(frozen=True, eq=False)
class NetlistBench:
    """A netlist on the bench.

    Attributes:
        netlist: mapped; its ports without the clock are driven by sources.
        clock: the clock port.
        cells: what each kind of cell is made of.
    """

    netlist: Netlist
    clock: str
    cells: Mapping[str, Extracted]
    condition: Condition
    wheel: Wheel

    @property
    def ports(self) -> tuple[str, ...]:
        """The nets of the driven ports, in the order of a stimulus' columns."""
        clock, = self.netlist.port(self.clock).nets
        return tuple(net for net in self.netlist.inputs if net != clock)

    @property
    def nodes(self) -> dict[str, str]:
        """The deck's node of every net."""
        nets = dict.fromkeys((*self.netlist.inputs, *self.netlist.driver))
        return {CONST0: "0", CONST1: "VPWR"} | {net: f"n{i}" for i, net in enumerate(nets)}


def netlist_deck(
    bench: NetlistBench, ports: np.ndarray, clocking: Clocking, start: Mapping[str, int], options: str = OPTIONS,
) -> str:
    """Return a deck whose run leaves one plot in RESULT: all nets' voltages and the supply's current.

    Args:
        bench: the netlist.
        ports: what each clock edge captures, `[edge, port]`; one row more than cycles, the last is never captured.
        clocking: when things move.
        start: settled value of every net before the first edge, from which the operating point is looked for.
        options: ngspice's, of the transient.

    Raises:
        CellsError: a transistor has no model.
    """
    nodes, cycles = bench.nodes, len(ports) - 1
    nets = [net for net in nodes if net not in (CONST0, CONST1)]
    lines = [f"* {bench.netlist.top}", ".option scale=1.0u", ".param mc_mm_switch=0", *model_lines(bench)]
    lines += [bench.cells[kind].text.rstrip() for kind in sorted(bench.cells)]
    lines += [f".temp {bench.condition.temp_c:g}", f".options {options}"]
    lines += [f"{SUPPLY} VPWR 0 {bench.condition.voltage_v:.6g}"]
    lines += source_lines(bench, ports, clocking)
    lines += [instance_line(bench, index, nodes) for index in range(len(bench.netlist.cells))]
    lines += [f".nodeset v({nodes[net]})={start[net] * bench.condition.voltage_v:.6g}" for net in nets if net in start]
    stop_ps, vectors = clocking.rise_ps(cycles) - clocking.clock_ramp_ps, " ".join(f"v({nodes[net]})" for net in nets)
    step_ps = clocking.period_ps / LONGEST_STEPS
    lines += [".control", "set num_threads=1", "set filetype=binary", f"save {vectors} i({SUPPLY})",
              f"tran {step_ps:.9g}p {stop_ps:.9g}p 0 {step_ps:.9g}p", f"write {RESULT} {vectors} i({SUPPLY})"]
    return "\n".join([*lines, "quit", ".endc", ".end", ""])


def model_lines(bench: NetlistBench) -> list[str]:
    """Return the models of all transistors of all cells."""
    devices = [device for cell in bench.cells.values() for device in cell.circuit.devices]
    return [model_text(path, [each for each in devices if path.parent.name.startswith(each.kind)]).rstrip()
            for path in bench.wheel.models(bench.condition.process)]


def instance_line(bench: NetlistBench, index: int, nodes: Mapping[str, str]) -> str:
    """Return the call of one cell's subcircuit; an output that nothing reads gets a node of its own."""
    cell = sorted_cells(bench.netlist.cells)[index]
    circuit = bench.cells[cell.kind].circuit
    places = [RAILS.get(port) or (nodes[cell.pins[port]] if port in cell.pins else f"x{index}_{port}")
              for port in circuit.ports]
    return f"x{index} {' '.join(places)} {circuit.name}"


def source_lines(bench: NetlistBench, ports: np.ndarray, clocking: Clocking) -> list[str]:
    """Return the sources of clock and ports."""
    nodes, supply_v, cycles = bench.nodes, bench.condition.voltage_v, len(ports) - 1
    clock, = bench.netlist.port(bench.clock).nets
    edges = [(clocking.rise_ps(cycle) + half * clocking.period_ps / 2, 1 - half)
             for cycle in range(cycles) for half in (0, 1)]
    lines = [pwl_line("clock", nodes[clock], 0, edges, clocking.clock_ramp_ps, supply_v)]
    for column, net in enumerate(bench.ports):
        values = ports[:, column]
        moves = [(clocking.rise_ps(cycle) + clocking.port_delay_ps, int(values[cycle + 1]))
                 for cycle in range(cycles) if values[cycle + 1] != values[cycle]]
        lines.append(pwl_line(f"port{column}", nodes[net], int(values[0]), moves, clocking.port_ramp_ps, supply_v))
    return lines


def pwl_line(
    name: str, node: str, first: int, edges: list[tuple[float, int]], ramp_ps: float, supply_v: float,
) -> str:
    """Return a source that takes values at times, each by a ramp whose middle is there.

    >>> print(pwl_line("a", "n1", 0, [(100.0, 1)], 2.0, 1.8))
    va n1 0 pwl(0 0
    + 9.9e-11 0 1.01e-10 1.8)
    """
    lines, value = [f"v{name} {node} 0 pwl(0 {first * supply_v:.6g}"], first
    for time_ps, after in edges:
        ends = ((time_ps - ramp_ps / 2, value), (time_ps + ramp_ps / 2, after))
        lines.append("+ " + " ".join(f"{end_ps * 1e-12:.9g} {level * supply_v:.6g}" for end_ps, level in ends))
        value = after
    return "\n".join(lines) + ("" if edges else f" 1 {first * supply_v:.6g}") + ")"
