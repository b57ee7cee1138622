"""A finer model of gates, to tell what the engine's differences from transistors come from. Plain Python, and slow.

Two things that the engine leaves out can be put in. *By state*: an edge takes the delay of its own slew and of the
state of the other inputs, not the greatest of all. *Shrinking pulses*: an output that turns round before its swing is
complete has less far to go, so the second edge of a pulse comes early, and the pulse loses width at every gate.
With neither, the model is the engine's, to the femtosecond, and every edge costs as if it were whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from characterization.benches.clocked_states import port_columns
from characterization.benches.core import net_order
from characterization.benches.settled import truth_array
from characterization.cells.netlist_trial import Seen
from characterization.energy import net_energy_fj
from characterization.netlist import CONSTANTS
from characterization.nldm import curve_at
from characterization.timed import SHORTEST_PS, Gate, TimedNetlist
from characterization.timing_arcs import ArcSet, GraphGate
from characterization.timing_graph import TimingGraph

# From 20-80 % to rail to rail, if edges were straight lines.
STRAIGHT = 1 / 0.6


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge of a net: when it crosses half the supply, to which value, and its slew. What causes it costs energy."""

    time_ps: float
    value: int
    slew_ps: float
    energy_fj: float


class PulseModel:
    """A netlist with delays by state and slew (`by_state`), and pulses that shrink.

    `shrink` is how long an edge goes on after its middle, in halves of a straight edge of its slew; 0 for pulses that
    do not shrink. Edges of gates have tails: about 1.4.
    """

    def __init__(self, graph: TimingGraph, timed: TimedNetlist, by_state: bool, shrink: float) -> None:
        """Read the arcs of `graph` where delays go by state, those of `timed` where not."""
        self.graph, self.timed, self.by_state, self.shrink = graph, timed, by_state, shrink
        self.slew_of = {launch.net: launch.slew_ps for launch in graph.launches}
        self.net_fj = dict(zip(net_order(timed), net_energy_fj(timed), strict=True))
        self._delays: dict[tuple[str, int, int, int, int, float], tuple[float, float]] = {}

    def seen(self, pairs: np.ndarray, watched: Iterable[int]) -> Seen:
        """Return what happens in every pair of states `[transition, 2, source]`, as `seen_by_gates` does."""
        sinks, order = [self.timed.sinks[index].net for index in watched], net_order(self.timed)
        ports = {self.timed.sources[column].net for column in port_columns(self.timed)}
        settle, energy, edges = [], [], np.zeros((len(pairs), len(order), 2), int)
        for row, (before, after) in enumerate(pairs):
            found, total = self.transition(before, after)
            for column, net in enumerate(order):
                # The drivers of ports are not in the netlist.
                own = 0.5 * self.timed.load_ff[net] * self.timed.voltage_v**2 if net in ports else 0.0
                for edge in found.get(net, ()):
                    edges[row, column, edge.value] += 1
                    total += edge.energy_fj + self.net_fj[net][edge.value] - own
            settle.append(max((found[net][-1].time_ps for net in sinks if net in found), default=0.0))
            energy.append(total)
        return Seen(np.array(settle), np.array(energy), edges)

    def transition(self, before: np.ndarray, after: np.ndarray) -> tuple[dict[str, list[Edge]], float]:
        """Return the edges of every net that moves, and the energy of flops and of input pins."""
        value, found, energy = dict(CONSTANTS), {}, 0.0
        for source, old, new in zip(self.timed.sources, before.tolist(), after.tolist(), strict=True):
            value[source.net] = old
            energy += float(source.energy_fj[old, new])
            if old != new:
                slew = self.slew_of.get(source.net, np.zeros(2))[new]
                found[source.net] = [Edge(float(source.launch_ps[new]), new, float(slew), 0.0)]
        for gate, cell in zip(self.timed.gates, self.graph.gates, strict=True):
            pattern = sum(value[net] << pin for pin, net in enumerate(gate.nets))
            value[gate.net] = gate.truth >> pattern & 1
            inputs = [(pin, edge) for pin, net in enumerate(gate.nets) for edge in found.get(net, ())]
            edges, own = self.follow(gate, cell, pattern, inputs)
            energy += own
            if edges:
                found[gate.net] = edges
        return found, energy

    def follow(
        self, gate: Gate, cell: GraphGate, pattern: int, inputs: list[tuple[int, Edge]],
    ) -> tuple[list[Edge], float]:
        """Return the output edges of a gate, and the energy that edges of its inputs spend by themselves."""
        truth, made, due, own = truth_array(gate.truth, len(gate.nets)), [], None, 0.0
        now = int(truth[pattern])
        for time in sorted({edge.time_ps for _, edge in inputs}):
            if due is not None and due.time_ps <= time:
                made.append(due)
                now, due = due.value, None
            batch = [(pin, edge) for pin, edge in inputs if edge.time_ps == time]
            for pin, edge in batch:
                pattern = pattern & ~(1 << pin) | edge.value << pin
            own += sum(float(gate.hidden_fj[pin, pattern]) for pin, _ in batch if gate.hidden_fj.size)
            if truth[pattern] == now:
                due = None
                continue
            for pin, edge in batch:
                edge_out = self.caused(gate, cell, pattern, pin, edge, made)
                if edge_out is not None and (due is None or edge_out.time_ps < due.time_ps):
                    due = edge_out
        return [*made, *([due] if due else [])], own

    def caused(
        self, gate: Gate, cell: GraphGate, pattern: int, pin: int, edge: Edge, made: list[Edge],
    ) -> Edge | None:
        """Return the output edge that an input's edge causes, None where there is no arc."""
        new = gate.truth >> pattern & 1
        delay, slew = self.delay(gate, cell, pattern, pin, edge, new)
        if np.isnan(delay):
            return None
        time = edge.time_ps + delay
        if made and self.shrink:
            length, last = self.shrink * STRAIGHT * slew, self.shrink * STRAIGHT * made[-1].slew_ps
            # How far the last edge has come, of its whole swing, when this one begins.
            reached = 0.5 + (time - length / 2 - made[-1].time_ps) / max(last, SHORTEST_PS)
            time -= (1 - min(max(reached, 0.5), 1.0)) * length
            time = max(time, made[-1].time_ps + SHORTEST_PS, edge.time_ps + SHORTEST_PS)
        return Edge(time, new, slew, float(gate.energy_fj[pin, pattern]))

    def delay(
        self, gate: Gate, cell: GraphGate, pattern: int, pin: int, edge: Edge, new: int,
    ) -> tuple[float, float]:
        """Return the delay and the output's slew of an edge in the state it makes; nan where there is no arc."""
        if not self.by_state:
            return float(gate.delay_ps[pin, edge.value, new]), float(self.timed.slew_ps[gate.net][new])
        key = gate.net, pattern, pin, edge.value, new, edge.slew_ps
        if key not in self._delays:
            arcs = [arc for arc in cell.arc_sets if arc.pin == pin and (edge.value, new) in arc.tables]
            arcs = [arc for arc in arcs if holds(arc, cell, pattern)] or arcs
            load_ff, slew = self.graph.load_ff[gate.net][new], np.array([edge.slew_ps])
            values = [[curve_at(table, load_ff).at(slew)[0] for table in arc.tables[edge.value, new]] for arc in arcs]
            found = np.max(values, axis=0) if values else np.full(2, np.nan)
            self._delays[key] = max(float(found[0]), SHORTEST_PS), float(found[1])
        return self._delays[key]


def holds(arc: ArcSet, cell: GraphGate, pattern: int) -> bool:
    """Return whether an arc's condition holds at an input pattern."""
    if arc.when is None:
        return True
    bits = [pattern >> cell.pins.index(pin) & 1 for pin in arc.when.pins]
    return bool(arc.when.value(sum(bit << place for place, bit in enumerate(bits))))
