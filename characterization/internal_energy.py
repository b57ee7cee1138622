"""Internal energy of cells, from Liberty's `internal_power` at known slews and loads. Negative entries are legal.

Whose energy an edge is, follows the convention of power tools. An output edge takes the energy of the arc of the input
that caused it, in the state (`when`) that the inputs then have; of several inputs that move in one instant the cause is
the one whose arc is the fastest. Where several moving inputs reach a state that has no group, the arc's mean over its
groups stands in. The energy of an input pin itself is added at each of its edges, in the state the cell then has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from characterization.boolean import Function
from characterization.constants import FALL, RISE
from characterization.liberty import LibraryCell, Pin, Power
from characterization.nldm import curve_at
from characterization.timing_arcs import CLOCK_SLEW_PS, GraphGate, Launch
from characterization.timing_graph import TimingGraph

CLOCK_SLEWS_PS = np.full(2, CLOCK_SLEW_PS)


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """The power groups that may speak for one pin's edges, and how they weigh in each state of the cell.

    Attributes:
        powers: the groups.
        weights: `[pattern, group]`; a row sums to 1, or to 0 where nothing is spent.
    """

    powers: tuple[Power, ...]
    weights: np.ndarray

    def values_fj(self, edge: int, slews_ps: np.ndarray, load_ff: float) -> np.ndarray:
        """Return the energy of each group at each slew `[group, slew]`; zero where the library states none."""
        tables = [power.energy[edge] for power in self.powers]
        return np.array([np.zeros(slews_ps.size) if table is None else curve_at(table, load_ff).at(slews_ps)
                         for table in tables]).reshape(-1, slews_ps.size)


@dataclass(frozen=True, slots=True, eq=False)
class GatePowers:
    """The groups of one output of a kind of cell: of its arcs, and of its input pins themselves, by input."""

    arcs: tuple[Groups, ...]
    hidden: tuple[Groups, ...]


class EnergyReader:
    """Energies of the gates and flops of a graph; what depends on the kind of cell alone is worked out once."""

    def __init__(self, graph: TimingGraph, slew_ps: Mapping[str, np.ndarray]) -> None:
        """Read a graph at known slews `[edge]` by net."""
        self.graph, self.slew_ps = graph, slew_ps
        self._powers: dict[tuple[str, str], GatePowers] = {}
        self._first = {gate.cell: gate.pin for gate in reversed(graph.gates)}

    def gate_energy_fj(self, gate: GraphGate, slews_ps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the energies of a gate's output edges and of its input edges, both `[input, pattern]`.

        A cell of several outputs states its inputs' energies at the first; where there are none, `[0, 0]`.
        """
        key = gate.kind, gate.pin
        if key not in self._powers:
            self._powers[key] = gate_powers(gate, self.graph.cells[gate.kind])
        powers, load_ff, patterns = self._powers[key], self.graph.load_ff[gate.net], np.arange(1 << len(gate.pins))
        to = np.array([gate.truth >> pattern & 1 for pattern in patterns.tolist()])
        arcs, hidden = np.zeros((2, len(gate.pins), patterns.size))
        for i, (arc, own) in enumerate(zip(powers.arcs, powers.hidden, strict=True)):
            came = patterns >> i & 1
            if arc.powers:
                values = np.stack([arc.values_fj(edge, slews_ps[i], load_ff[edge]) for edge in (FALL, RISE)])
                arcs[i] = (arc.weights * values[to, :, came]).sum(axis=1)
            if own.powers:
                values = np.stack([own.values_fj(edge, slews_ps[i, edge : edge + 1], 0.0) for edge in (FALL, RISE)])
                hidden[i] = (own.weights * values[came, :, 0]).sum(axis=1)
        if self._first[gate.cell] != gate.pin or not hidden.any():
            return arcs, np.zeros((0, 0))
        return arcs, hidden

    def input_energies_fj(self) -> dict[str, np.ndarray]:
        """Return by net the energy of its edges at the input pins it drives `[edge]`; nets without any are absent.

        Pins of gates whose energy depends on the state are left to `gate_energy_fj`; at flops the mean is taken.
        """
        found: dict[str, np.ndarray] = {}
        for net, pins in self.graph.netlist.loads.items():
            if net in self.slew_ps:
                kinds = [(self.graph.cells[cell.kind], pin) for cell, pin in pins]
                total = sum((pin_energy_fj(kind.pins[pin], self.slew_ps[net]) for kind, pin in kinds
                             if kind.flop or not is_conditional(kind.pins[pin])), np.zeros(2))
                if total.any():
                    found[net] = total
        return found

    def launch_energies_fj(self) -> list[np.ndarray]:
        """Return the energy of a clock period at each launch `[bit before, bit after]`, its load's charge apart.

        The first output of a flop states what the clock pin takes.
        """
        stated: set[str] = set()
        found = []
        for launch in self.graph.launches:
            cell = self.graph.cells[launch.kind]
            energy = output_energy_fj(launch, cell, self.graph.load_ff[launch.net])
            if launch.cell not in stated:
                energy = energy + clock_pin_energy_fj(launch, cell)
            stated.add(launch.cell)
            found.append(energy)
        return found

    def clock_energy_fj(self, voltage_v: float) -> float:
        """Return C V^2 of all clock pins, and what flops of which no output is used take in one period."""
        total, used = 0.0, {launch.cell for launch in self.graph.launches}
        for cell in self.graph.netlist.cells:
            kind = self.graph.cells[cell.kind]
            if kind.flop:
                pin = kind.pins[kind.clock_pin]
                total += float(np.mean(pin.capacitance_ff)) * voltage_v**2
                total += 0.0 if cell.name in used else float(pin_energy_fj(pin, CLOCK_SLEWS_PS).sum())
        return total


def is_conditional(pin: Pin) -> bool:
    """Return whether the energy of an input pin's edges depends on the state of the cell."""
    return any(power.when for power in own_powers(pin))


def own_powers(pin: Pin) -> tuple[Power, ...]:
    """Return the groups of a pin's own edges."""
    return tuple(power for power in pin.powers if power.related_pin == "")


def gate_powers(gate: GraphGate, cell: LibraryCell) -> GatePowers:
    """Return the groups of one output of a kind of cell, weighed in each input pattern that follows an edge."""
    states = [state_of(gate, cell, pattern) for pattern in range(1 << len(gate.pins))]
    arcs, hidden = [], []
    for name in gate.pins:
        powers = tuple(power for power in cell.pins[gate.pin].powers if power.related_pin == name)
        edges = [gate.truth >> pattern & 1 for pattern in range(len(states))]
        rows = [(weights(powers, state, edge), edge) for state, edge in zip(states, edges, strict=True)]
        arcs.append(Groups(powers, np.array([row if row.any() else mean_weights(powers, edge) for row, edge in rows])))
        powers = own_powers(cell.pins[name]) if is_conditional(cell.pins[name]) else ()
        hidden.append(Groups(powers, np.array([weights(powers, state, state[name]) for state in states])))
    return GatePowers(tuple(arcs), tuple(hidden))


def state_of(gate: GraphGate, cell: LibraryCell, pattern: int) -> dict[str, int]:
    """Return the bits of a cell's pins at an input pattern of one gate; of outputs where these inputs tell."""
    state = {pin: pattern >> i & 1 for i, pin in enumerate(gate.pins)}
    for name in cell.outputs:
        function = cell.pins[name].function
        if function is not None and set(function.pins) <= set(gate.pins):
            state[name] = function.value(sum(state[pin] << i for i, pin in enumerate(function.pins)))
    return state


def weights(powers: Sequence[Power], state: Mapping[str, int], edge: int) -> np.ndarray:
    """Return how groups weigh in a state `[group]`: those whose condition holds there, else those without one.

    A condition on pins that the state leaves open counts by the share of their values for which it holds. Groups that
    state no energy of the edge do not speak for it: a library may give rises and falls conditions of their own.
    """
    stated = [power.energy[edge] is not None for power in powers]
    shares = np.array([held(power.when, state) if power.when and known else 0.0
                       for power, known in zip(powers, stated, strict=True)])
    if not shares.any():
        shares = np.array([float(known and not power.when) for power, known in zip(powers, stated, strict=True)])
    return shares / shares.sum() if shares.any() else shares


def mean_weights(powers: Sequence[Power], edge: int) -> np.ndarray:
    """Return the weights of a mean over groups that state an edge, each by the share of states in which it holds."""
    shares = np.array([(power.when.share if power.when else 1.0) * (power.energy[edge] is not None)
                       for power in powers])
    return shares / shares.sum() if shares.any() else shares


def held(when: Function, state: Mapping[str, int]) -> float:
    """Return the share of the values of open pins for which a condition holds.

    >>> held(Function(("A", "B"), 0b1000), {"A": 1}), held(Function(("A", "B"), 0b1000), {"A": 0, "C": 1})
    (0.5, 0.0)
    """
    fixed = [(i, state[pin]) for i, pin in enumerate(when.pins) if pin in state]
    possible = [p for p in range(1 << len(when.pins)) if all(p >> i & 1 == bit for i, bit in fixed)]
    return sum(when.value(pattern) for pattern in possible) / len(possible)


def pin_energy_fj(pin: Pin, slews_ps: np.ndarray, state: Mapping[str, int] | None = None) -> np.ndarray:
    """Return the energy that an edge spends at an input pin itself `[edge]`, given its slews `[edge]`.

    In a state of the cell, or (None) the mean over all.
    """
    powers, slews, energy = own_powers(pin), np.maximum(slews_ps, 0.0), np.zeros(2)
    for edge in (FALL, RISE) if powers else ():
        shares = mean_weights(powers, edge) if state is None else weights(powers, state, edge)
        energy[edge] = shares @ Groups(powers, shares).values_fj(edge, slews[edge : edge + 1], 0.0)[:, 0]
    return energy


def output_energy_fj(launch: Launch, cell: LibraryCell, load_ff: tuple[float, float]) -> np.ndarray:
    """Return the energy of a flop output by `[bit before, bit after]`, its clock edge ideal; zero where it holds."""
    powers = tuple(power for power in cell.pins[launch.pin].powers if power.related_pin in (cell.clock_pin, ""))
    energy = np.zeros((2, 2))
    for edge in (FALL, RISE) if powers else ():
        shares = mean_weights(powers, edge)
        values = Groups(powers, shares).values_fj(edge, CLOCK_SLEWS_PS[:1], load_ff[edge])
        energy[1 - edge, edge] = shares @ values[:, 0]
    return energy


def clock_pin_energy_fj(launch: Launch, cell: LibraryCell) -> np.ndarray:
    """Return what a flop's clock pin takes in a period, its fall and the next rise, by the output's `[before, after]`.

    The clock rises with the old state and the data that it captures. It fell with the old state too, and with those
    data already or still with the ones before them (which the old state shows), equally often: data that stand still
    make the clock cheap, whatever they are.
    """
    assert cell.flop is not None
    pin, energy = cell.pins[cell.clock_pin], np.zeros((2, 2))
    next_state = cell.flop.next_state
    for before in (0, 1):
        for after in (0, 1):
            old = flop_state(cell, before ^ launch.inverted)
            data = [{next_state.pins[0]: value ^ launch.inverted ^ (next_state.truth == 0b01)}
                    if len(next_state.pins) == 1 else {} for value in (before, after)]
            falls = [pin_energy_fj(pin, CLOCK_SLEWS_PS, old | one)[FALL] for one in data]
            energy[before, after] = pin_energy_fj(pin, CLOCK_SLEWS_PS, old | data[1])[RISE] + np.mean(falls)
    return energy


def flop_state(cell: LibraryCell, value: int) -> dict[str, int]:
    """Return the bits of a flop's state variables and of the outputs that show them."""
    assert cell.flop is not None
    state = {cell.flop.state: value, cell.flop.inverted: 1 - value}
    for name in cell.outputs:
        function = cell.pins[name].function
        if function is not None and len(function.pins) == 1 and function.pins[0] in state:
            state[name] = state[function.pins[0]] ^ (function.truth == 0b01)
    return state
