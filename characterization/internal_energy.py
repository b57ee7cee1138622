"""Internal energy of cells, from Liberty's `internal_power` at known slews and loads. Negative entries are legal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from characterization.constants import FALL, RISE
from characterization.liberty import LibraryCell, Power
from characterization.nldm import curve_at
from characterization.timing_arcs import CLOCK_SLEW_PS, GraphGate, Launch
from characterization.timing_graph import TimingGraph


def energy_of(power: Power, edge: int, slew_ps: float, load_ff: float) -> float:
    """Return the energy of one edge in fJ; zero where the library states none."""
    table = power.energy[edge]
    return 0.0 if table is None else float(curve_at(table, load_ff).at(np.array(slew_ps)))


def mean_energy(powers: list[Power], edge: int, slew_ps: float, load_ff: float) -> float:
    """Return the mean over alternatives (`when` groups), each weighted by the share of states in which it applies."""
    weights = [power.when.share if power.when else 1.0 for power in powers]
    energies = [energy_of(power, edge, slew_ps, load_ff) for power in powers]
    return float(np.average(energies, weights=weights)) if powers else 0.0


def gate_energy_fj(
    gate: GraphGate, cell: LibraryCell, slews_ps: np.ndarray, load_ff: tuple[float, float]
) -> np.ndarray:
    """Return the energy of a gate's output edges `[output edge]`: the mean over its inputs.

    Args:
        gate: the gate.
        cell: its library cell.
        slews_ps: slew of each input `[input, input edge]`.
        load_ff: load by output edge.
    """
    energy = np.zeros((2, len(gate.pins)))
    for i, name in enumerate(gate.pins):
        powers = [power for power in cell.pins[gate.pin].powers if power.related_pin == name]
        for edge in (FALL, RISE):
            before = sorted({edge_in for arcs in gate.arc_sets if arcs.pin == i
                             for edge_in, edge_out in arcs.tables if edge_out == edge})
            slew_ps = float(np.mean([slews_ps[i, edge_in] for edge_in in before])) if before else 0.0
            energy[edge, i] = mean_energy(powers, edge, slew_ps, load_ff[edge])
    result: np.ndarray = energy.mean(axis=1) if gate.pins else np.zeros(2)
    return result


def launch_energy_fj(launch: Launch, cell: LibraryCell, load_ff: tuple[float, float]) -> np.ndarray:
    """Return the energy of a flop output's edges `[output edge]`, its clock edge ideal."""
    powers = [power for power in cell.pins[launch.pin].powers if power.related_pin in (cell.clock_pin, "")]
    return np.array([mean_energy(powers, edge, CLOCK_SLEW_PS, load_ff[edge]) for edge in (FALL, RISE)])


def pin_energy_fj(cell: LibraryCell, pin: str, slew_ps: np.ndarray) -> np.ndarray:
    """Return the energy that an edge spends at an input pin itself `[edge]`, given its slews `[edge]`."""
    powers = [power for power in cell.pins[pin].powers if power.related_pin == ""]
    return np.array([mean_energy(powers, edge, float(slew_ps[edge]), 0.0) for edge in (FALL, RISE)])


def input_energies_fj(graph: TimingGraph, slew_ps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return by net the energy of its edges at the input pins it drives `[edge]`; nets without any are absent."""
    found: dict[str, np.ndarray] = {}
    for net, pins in graph.netlist.loads.items():
        if net in slew_ps:
            slews = np.maximum(slew_ps[net], 0.0)
            total = sum((pin_energy_fj(graph.cells[cell.kind], pin, slews) for cell, pin in pins), np.zeros(2))
            if total.any():
                found[net] = total
    return found


def clock_energy_fj(graph: TimingGraph, voltage_v: float) -> float:
    """Return the energy of one clock period: internal energy of a rise and a fall at every flop, and C V^2."""
    total = 0.0
    for cell in graph.netlist.cells:
        kind = graph.cells[cell.kind]
        if kind.flop:
            total += float(pin_energy_fj(kind, kind.clock_pin, np.full(2, CLOCK_SLEW_PS)).sum())
            total += float(np.mean(kind.pins[kind.clock_pin].capacitance_ff)) * voltage_v**2
    return total
