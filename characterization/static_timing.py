"""Arrivals and slews over a timing graph: worst slew merge, every edge apart, many cases of constants at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from characterization.boolean import Function
from characterization.case_analysis import follow
from characterization.constants import FALL, RISE, UNKNOWN, Constants, evaluate
from characterization.timing_graph import ArcSet, GraphGate, TimingGraph

NEVER = -np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """Latest arrivals and worst slews by net, `[edge, case]`, -inf where no edge arrives; unreached nets are absent."""

    arrival_ps: Mapping[str, np.ndarray]
    slew_ps: Mapping[str, np.ndarray]


def settle(graph: TimingGraph, fixed: Mapping[str, np.ndarray], n_cases: int) -> Settled:
    """Return arrivals and slews, with arcs taken out as OpenSTA does it under case analysis.

    An arc is out where its input is constant, its condition is false, the constants of the gate do not let its edges
    pass, or (an unconditional one) where a condition of the same pin is true.

    Args:
        graph: the netlist.
        fixed: net -> int8 `[case]`, for sources that are held.
        n_cases: number of cases.
    """
    constants = Constants((), fixed, n_cases)
    shape = (2, n_cases)
    arrival = {net: np.zeros(shape) for net in graph.port_inputs}
    slew = {net: np.zeros(shape) for net in graph.port_inputs}
    for launch in graph.launches:
        arrival[launch.net] = np.repeat(launch.delay_ps[:, None], shape[1], axis=1)
        slew[launch.net] = np.repeat(launch.slew_ps[:, None], shape[1], axis=1)
    for net, late in arrival.items():
        still = ~constants.moves(net)
        late[:, still] = slew[net][:, still] = NEVER
    for gate in graph.gates:
        settle_gate(gate, constants, arrival, slew)
    return Settled(arrival, slew)


def settle_gate(
    gate: GraphGate, constants: Constants, arrival: dict[str, np.ndarray], slew: dict[str, np.ndarray]
) -> None:
    """Add the arrival and slew of a gate's output."""
    late = np.full((2, constants.n_cases), NEVER)
    wide = late.copy()
    passes = None
    if constants.any_known(gate.nets):
        value, passes = follow(gate.expression, gate.pins, [constants[net] for net in gate.nets])
        constants.learn(gate.net, value)
    if not gate.nets:
        constants.learn(gate.net, constants.tied(gate.truth))
    moving = constants.moves(gate.net)
    for arcs in gate.arc_sets:
        net = gate.nets[arcs.pin]
        if net not in arrival:
            continue
        enabled = moving & conditions_hold(arcs, gate, constants)
        if passes is not None:
            enabled = enabled & passes[arcs.pin].any(axis=(0, 1))
        for (edge_in, edge_out), (delay, transition) in arcs.curves.items():
            known = enabled & (slew[net][edge_in] > NEVER)
            slew_in = np.where(known, slew[net][edge_in], 0.0)
            # OpenSTA merges the slews of an input's arcs also where constants let only one of their edges pass.
            np.maximum(wide[edge_out], np.where(known, transition.at(slew_in), NEVER), out=wide[edge_out])
            passed = known if passes is None else known & passes[arcs.pin, edge_in, edge_out]
            reached = np.where(passed, arrival[net][edge_in] + delay.at(slew_in), NEVER)
            np.maximum(late[edge_out], reached, out=late[edge_out])
    # A table extrapolated below its range may give a negative slew.
    wide[:] = np.where(wide > NEVER, np.maximum(wide, 0.0), NEVER)
    arrival[gate.net], slew[gate.net] = late, wide


def conditions_hold(arcs: ArcSet, gate: GraphGate, constants: Constants) -> np.ndarray:
    """Return in which cases an arc set is not taken out by conditions `[case]`."""
    if arcs.when is not None:
        met: np.ndarray = condition(arcs.when, arcs.when_nets, constants) != 0
        return met
    holds = np.ones(constants.n_cases, dtype=bool)
    for other in gate.arc_sets:
        if other.pin == arcs.pin and other.when is not None and constants.any_known(other.when_nets):
            holds &= condition(other.when, other.when_nets, constants) != 1
    return holds


def condition(when: Function, nets: tuple[str, ...], constants: Constants) -> np.ndarray:
    """Return a condition's value over the cases `[case]`: 0, 1 or UNKNOWN."""
    if not constants.any_known(nets):
        return np.full(constants.n_cases, UNKNOWN, dtype=np.int8)
    return evaluate(when.truth, [constants[net] for net in nets])


def requirements(graph: TimingGraph, settled: Settled) -> list[np.ndarray]:
    """Return arrival plus setup of every check `[check][case]`, -inf where nothing arrives."""
    found = []
    for check in graph.checks:
        worst = np.full_like(next(iter(settled.arrival_ps.values()))[0], NEVER)
        for edge in (FALL, RISE):
            if check.net in settled.arrival_ps:
                arrival, slew = settled.arrival_ps[check.net][edge], settled.slew_ps[check.net][edge]
                for curve in check.setup[edge]:
                    setup = curve.at(np.where(arrival > NEVER, slew, 0.0))
                    np.maximum(worst, arrival + setup, out=worst)
        found.append(worst)
    return found
