"""Arrivals and slews over a timing graph the way OpenSTA has them: every edge apart, many cases at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from characterization.case_analysis import follow
from characterization.constants import FALL, RISE, UNKNOWN, Constants, evaluate, passing
from characterization.nldm import Curve
from characterization.timing_arcs import ArcSet, GraphGate
from characterization.timing_arrays import EDGE, SLEW, settle_cases
from characterization.timing_graph import TimingGraph

NEVER = -np.inf
# How constants spread: along the text of a function, as OpenSTA does it, or by its truth table, which knows more.
Logic = Literal["text", "truth"]


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """What constants leave of a netlist's arcs in each case; the same at every corner whose cells have the same arcs.

    Attributes:
        does: SLEW and EDGE bits of each arc, uint8 `[arc, case]`.
        moves: whether a net may move `[net, case]`, by the graph's index.
        shape: what these bits belong to: the gates' kinds and timing groups.
        dead_slews: whether slews of arcs that are out, and of nets that stand still, count all the same.
    """

    does: np.ndarray
    moves: np.ndarray
    shape: tuple[object, ...]
    dead_slews: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """Arrivals and slews `[net, edge, case]` by the graph's index; infinite where no edge arrives (-inf when late)."""

    index: Mapping[str, int]
    arrival_ps: np.ndarray
    slew_ps: np.ndarray


def cases_of(graph: TimingGraph, fixed: Mapping[str, np.ndarray], n_cases: int, logic: Logic = "text") -> Cases:
    """Return which arcs are left, with arcs taken out as OpenSTA does it under case analysis.

    An arc is out where its input is constant, its condition is false, the constants of the gate do not let its edges
    pass, or (an unconditional one) where a condition of the same pin is true.

    Args:
        graph: the netlist.
        fixed: net -> int8 `[case]`, for sources that are held.
        n_cases: number of cases.
        logic: how constants spread through a gate.
    """
    constants = Constants((), fixed, n_cases)
    does = np.full((graph.arcs.net.size, n_cases), SLEW | EDGE, dtype=np.uint8)
    for i, gate in enumerate(graph.gates):
        if not gate.nets:
            constants.learn(gate.net, constants.tied(gate.truth))
        elif constants.any_known(tuple(gate.connections.values())):
            does[graph.arcs.first[i] : graph.arcs.first[i + 1]] = gate_cases(gate, constants, logic)
    moves = np.array([constants.moves(net) for net in graph.index]).reshape(len(graph.index), n_cases)
    return Cases(does, moves, shape_of(graph))


def keep_dead_slews(cases: Cases) -> Cases:
    """Return cases in which constants stop arrivals but no slews, as OpenSTA had it from 2.2 until August 2026.

    Those versions merge the slew of an arc that a constant has switched off into the pin it drives
    (github.com/The-OpenROAD-Project/OpenSTA/pull/401); 2.0 does not, nor do the latest.
    """
    return replace(cases, does=cases.does | SLEW, dead_slews=True)


def shape_of(graph: TimingGraph) -> tuple[object, ...]:
    """Return what two corners must share to share their cases: gates, their functions, arcs and conditions."""
    kinds = {(gate.kind, gate.pin): gate for gate in graph.gates}
    arcs = {name: (gate.expression, tuple((arcs.pin, arcs.when, tuple(arcs.tables)) for arcs in gate.arc_sets))
            for name, gate in kinds.items()}
    return graph.netlist.digest, tuple(sorted(arcs.items()))


def gate_cases(gate: GraphGate, constants: Constants, logic: Logic) -> np.ndarray:
    """Return what each arc of a gate still does, uint8 `[arc, case]`, and note the output's constant."""
    values = [constants[net] for net in gate.nets]
    if logic == "text":
        value, passes = follow(gate.expression, gate.pins, values)
    else:
        value, passes = evaluate(gate.truth, values), passing(gate.truth, values)
    constants.learn(gate.net, value)
    moving = constants.moves(gate.net)
    rows = []
    for arcs in gate.arc_sets:
        enabled = moving & conditions_hold(arcs, gate, constants) & passes[arcs.pin].any(axis=(0, 1))
        # OpenSTA merges the slews of an input's arcs also where constants let only one of their edges pass.
        rows += [np.where(enabled, np.where(passes[arcs.pin, edge_in, edge_out], SLEW | EDGE, SLEW), 0)
                 for edge_in, edge_out in arcs.tables]
    return np.array(rows, dtype=np.uint8)


def conditions_hold(arcs: ArcSet, gate: GraphGate, constants: Constants) -> np.ndarray:
    """Return in which cases an arc set is not taken out by conditions `[case]`."""
    if arcs.when is not None:
        met: np.ndarray = condition(arcs, gate, constants) != 0
        return met
    holds = np.ones(constants.n_cases, dtype=bool)
    for other in gate.arc_sets:
        if other.pin == arcs.pin and other.when is not None:
            holds &= condition(other, gate, constants) != 1
    return holds


def condition(arcs: ArcSet, gate: GraphGate, constants: Constants) -> np.ndarray:
    """Return the value of an arc set's condition over the cases `[case]`: 0, 1 or UNKNOWN."""
    assert arcs.when is not None
    nets = gate.nets_on(arcs.when)
    if not constants.any_known(nets):
        return np.full(constants.n_cases, UNKNOWN, dtype=np.int8)
    return evaluate(arcs.when.truth, [constants[net] for net in nets])


def settle(graph: TimingGraph, cases: Cases, early: bool = False) -> Settled:
    """Return the latest arrivals and flattest slews in each case, or (`early`) the earliest and steepest.

    Ports have slew 0; they arrive at 0, but early never: when they change after an edge is not known.
    """
    shape = (len(graph.index) + 1, 2, cases.does.shape[1])
    arrival, slew = (np.full(shape, np.inf if early else NEVER) for _ in range(2))
    for net in graph.port_inputs:
        slew[graph.index[net]] = 0.0
        arrival[graph.index[net]] = np.inf if early else 0.0
    for launch in graph.launches:
        times = (launch.early_ps, launch.steep_ps) if early else (launch.delay_ps, launch.slew_ps)
        arrival[graph.index[launch.net]], slew[graph.index[launch.net]] = (time[:, None] for time in times)
    still = ~cases.moves[:, None, :]
    for values in (arrival,) if cases.dead_slews else (arrival, slew):
        np.copyto(values[:-1], np.inf if early else NEVER, where=still)
    settle_cases(graph.light_arcs if early else graph.arcs, cases.does, arrival, slew, early)
    return Settled(graph.index, arrival, slew)


def setup_needs_ps(graph: TimingGraph, settled: Settled) -> np.ndarray:
    """Return the latest arrival plus setup at every sink `[sink, case]`; -inf where nothing arrives."""
    found = np.full((len(graph.sinks), settled.arrival_ps.shape[2]), NEVER)
    for needed, sink in zip(found, graph.sinks, strict=True):
        settled.arrival_ps[settled.index.get(sink.net, -1)].max(axis=0, out=needed)
    for needed, check in zip(found, graph.checks, strict=False):
        np.maximum.reduce(constrained(check.net, check.setup, settled, 1.0), out=needed)
    return found


def hold_slacks_ps(graph: TimingGraph, settled: Settled) -> np.ndarray:
    """Return the earliest arrival minus hold at every flop's data pin `[check, case]`, inf where nothing arrives."""
    return np.array([np.minimum.reduce(constrained(check.net, check.hold, settled, -1.0)) for check in graph.checks])


def constrained(
    net: str, curves: tuple[tuple[Curve, ...], tuple[Curve, ...]], settled: Settled, sign: float
) -> list[np.ndarray]:
    """Return arrival plus `sign` x constraint by edge and curve `[case]`; without any, a time that never arrives."""
    place = settled.index.get(net, -1)
    found = [np.full(settled.arrival_ps.shape[2], sign * NEVER)]
    for edge in (FALL, RISE):
        arrival, slew = settled.arrival_ps[place, edge], settled.slew_ps[place, edge]
        known = np.where(np.isinf(arrival), 0.0, slew)
        found += [arrival + sign * curve.at(known) for curve in curves[edge]]
    return found
