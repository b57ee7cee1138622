"""Static timing of a netlist: its longest path for each weight value, and the floor that no weight can beat.

Two figures, as everywhere in this project. *Topological*: the longest path with the weight fixed, on the one annotated
delay set (global slews, worst `when`); simulation and SAT use the same delays, so it bounds both. *STA*: what OpenSTA
says under case analysis, with the slews of the case; for comparison with OpenSTA only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from characterization.annotation import annotate
from characterization.constants import FALL, RISE, Constants, passing
from characterization.design import MacDesign
from characterization.errors import NetlistError
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist
from characterization.pdk import Corner
from characterization.static_timing import NEVER, requirements, settle
from characterization.timed import Gate, Sink, TimedNetlist
from characterization.timing_graph import build_graph

__all__ = ["PathStep", "annotate", "critical_path", "floor_ps", "sta_ps", "topological_ps", "weight_sinks"]

Arrivals = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class PathStep:
    """One step of a path: the edge that arrives at `net`, through which input of which cell, and when.

    The first step is the launch (`pin` is the flop's output), the last the capture (`delay_ps` is the setup time).
    """

    cell: str
    kind: str
    pin: str
    net: str
    edge: Literal["fall", "rise"]
    delay_ps: float
    arrival_ps: float


def fixed_nets(timed: TimedNetlist, design: MacDesign, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return the value of every net that a weight and compute mode fix, int8 `[weight]`, all lanes alike.

    Raises:
        NetlistError: a held or weight register is not in the netlist.
    """
    weights = np.asarray(weights, dtype=np.int64)
    fixed: dict[str, np.ndarray] = {}
    for lane in design.lanes:
        for bit, net in enumerate(design.nets_of(lane.weight)):
            fixed |= fix(timed, net, weights >> bit & 1)
    for bus, value in design.hold.items():
        for bit, net in enumerate(design.nets_of(bus)):
            fixed |= fix(timed, net, np.full(weights.shape, value >> bit & 1))
    return fixed


def fix(timed: TimedNetlist, net: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the sources to fix so that `net` has `values`: its flop's outputs, true and complement.

    A flop without a true output stands behind an inverter, which synthesis may bypass; fixing the flop fixes both.

    Raises:
        NetlistError: no register bit or port of this name is in the netlist.
    """
    found = next((sink.net for sink in timed.sinks if sink.origin == net), net)
    while found not in timed.source_of:
        gate = timed.gate_of.get(found)
        if gate is None or len(gate.nets) != 1:
            raise NetlistError(f"{timed.top}: {net} is neither a register nor an input port of the mapped netlist; "
                               "check the names under hold and lanes in design.toml.")
        values = values ^ 1 if gate.truth == 0b01 else values
        found = gate.nets[0]
    values = values.astype(np.int8)
    other = timed.source_of[found].complement_of
    paired = [other] if other else [source.net for source in timed.sources if source.complement_of == found]
    return {found: values, **dict.fromkeys(paired, values ^ 1)}


def weight_sources(timed: TimedNetlist, design: MacDesign) -> set[str]:
    """Return the flop outputs that carry the weight, complements included."""
    zero = np.zeros(1, dtype=np.int64)
    return {net for lane in design.lanes for bit in design.nets_of(lane.weight) for net in fix(timed, bit, zero)}


def weight_sinks(timed: TimedNetlist, design: MacDesign) -> tuple[Sink, ...]:
    """Return the sinks that a weight register can reach within the cycle."""
    reached = timed.fanout_of(weight_sources(timed, design))
    return tuple(sink for sink in timed.sinks if sink.net in reached)


def floor_sinks(timed: TimedNetlist, design: MacDesign) -> tuple[Sink, ...]:
    """Return the sinks that set the floor: out of the weight's reach, or part of loading a weight.

    In compute mode a weight register holds its value, so its own data pin never limits a weight; loading it does
    happen in a clock cycle, though, whatever the value.
    """
    reached = {sink.origin for sink in weight_sinks(timed, design)}
    loading = weight_sources(timed, design)
    return tuple(sink for sink in timed.sinks if sink.origin not in reached or sink.captures in loading)


def arrivals(timed: TimedNetlist, constants: Constants) -> Arrivals:
    """Return the latest arrival of every net that moves, `[edge, case]`, -inf where an edge never arrives."""
    found: Arrivals = {}
    for source in timed.sources:
        found[source.net] = np.where(constants.moves(source.net), source.launch_ps[:, None], NEVER)
    for gate in timed.gates:
        late = np.full((2, constants.n_cases), NEVER)
        passes = passing(gate.truth, [constants[net] for net in gate.nets])
        for pin, edge_in, edge_out in np.argwhere(passes.any(axis=-1)):
            if (before := found.get(gate.nets[pin])) is not None:
                delay_ps = gate.delay_ps[pin, edge_in, edge_out]
                reached = np.where(passes[pin, edge_in, edge_out], before[edge_in] + delay_ps, NEVER)
                np.maximum(late[edge_out], reached, out=late[edge_out])
        late[:, ~constants.moves(gate.net)] = NEVER
        found[gate.net] = late
    return found


def worst_ps(found: Arrivals, sinks: Iterable[Sink], n_cases: int) -> np.ndarray:
    """Return the worst arrival plus setup over `sinks` `[case]`; 0 where nothing moves."""
    worst = np.zeros(n_cases)
    for sink in sinks:
        if sink.net in found:
            np.maximum(worst, (found[sink.net] + sink.setup_ps[:, None]).max(axis=0), out=worst)
    return worst


def topological_ps(timed: TimedNetlist, design: MacDesign, weights: np.ndarray) -> np.ndarray:
    """Return the longest launch + path + setup into the weight's sinks for each value `[weight]`.

    Every lane holds the value, `design.hold` is fixed, constants propagate; false paths stay. What the weight does not
    stop counts too: with weight 0 an accumulator's own path to the result remains. 0 where nothing moves.

    Raises:
        NetlistError: a held or weight register is not in the netlist.
    """
    constants = Constants(timed.gates, fixed_nets(timed, design, weights), len(weights))
    return worst_ps(arrivals(timed, constants), weight_sinks(timed, design), len(weights))


def floor_ps(timed: TimedNetlist, design: MacDesign) -> float:
    """Return the longest register-to-register time that no weight can beat, nothing held.

    It is the worst over all sinks out of the weight's reach, and over those that load a weight.
    """
    found = arrivals(timed, Constants(timed.gates, {}, 1))
    return float(worst_ps(found, floor_sinks(timed, design), 1)[0])


def sta_ps(
    netlist: Netlist, library: CellLibrary, corner: Corner, design: MacDesign, weights: np.ndarray,
    scope: Literal["weight", "all"] = "weight",
) -> np.ndarray:
    """Return the worst path as OpenSTA reports it under case analysis, for each value `[weight]`.

    Args:
        netlist: mapped and abutted.
        library: the corner's cells.
        corner: the corner.
        design: names the weight registers and what is held.
        weights: values of all lanes.
        scope: count the sinks in the weight's reach, as `topological_ps` does, or all.
    """
    timed = annotate(netlist, library, corner, design.clock)
    graph = build_graph(netlist, library, design.clock)
    settled = settle(graph, fixed_nets(timed, design, weights), len(weights))
    counted = {sink.origin for sink in (weight_sinks(timed, design) if scope == "weight" else timed.sinks)}
    worst = np.zeros(len(weights))
    for sink, needed in zip(timed.sinks, requirements(graph, settled), strict=False):
        if sink.origin in counted:
            np.maximum(worst, needed, out=worst)
    ports = [sink for sink in timed.sinks[len(graph.checks):] if sink.origin in counted]
    result: np.ndarray = np.maximum(worst, worst_ps(dict(settled.arrival_ps), ports, len(weights)))
    return result


def critical_path(timed: TimedNetlist, design: MacDesign, weight: int | None) -> tuple[PathStep, ...]:
    """Return the longest path into the weight's sinks with the weight fixed, or (None) of the whole netlist, free.

    Empty where nothing moves.
    """
    fixed = {} if weight is None else fixed_nets(timed, design, np.array([weight]))
    constants = Constants(timed.gates, fixed, 1)
    found = arrivals(timed, constants)
    sinks = timed.sinks if weight is None else weight_sinks(timed, design)
    ends = [(float(found[sink.net][edge, 0] + sink.setup_ps[edge]), edge, sink)
            for sink in sinks if sink.net in found for edge in (FALL, RISE)]
    needed_ps, edge, sink = max(ends, key=lambda end: end[0], default=(NEVER, 0, None))
    if sink is None or needed_ps == NEVER:
        return ()
    cell, _, pin = sink.origin.partition("/")
    steps = [PathStep(cell, "", pin, sink.net, edge_name(edge), float(sink.setup_ps[edge]), needed_ps)]
    net = sink.net
    while (gate := timed.gate_of.get(net)) is not None:
        before = slowest_input(gate, edge, found, constants)
        arrival_ps = float(found[net][edge, 0])
        delay_ps = float(gate.delay_ps[before[0], before[1], edge])
        steps.append(PathStep(gate.cell, gate.kind, gate.pins[before[0]], net, edge_name(edge), delay_ps, arrival_ps))
        net, edge = gate.nets[before[0]], before[1]
    source = timed.source_of[net]
    cell, _, pin = source.origin.partition("/")
    launch_ps = float(source.launch_ps[edge])
    steps.append(PathStep(cell, "", pin, net, edge_name(edge), launch_ps, launch_ps))
    return tuple(reversed(steps))


def slowest_input(gate: Gate, edge_out: int, found: Arrivals, constants: Constants) -> tuple[int, int]:
    """Return the (input, edge) from which a gate's latest output edge comes."""
    passes = passing(gate.truth, [constants[net] for net in gate.nets])[..., 0]
    options = [(float(found[gate.nets[pin]][edge_in, 0] + gate.delay_ps[pin, edge_in, edge_out]), int(pin), edge_in)
               for pin in range(len(gate.nets)) for edge_in in (FALL, RISE)
               if passes[pin, edge_in, edge_out] and gate.nets[pin] in found]
    _, pin, edge_in = max(options)
    return pin, edge_in


def edge_name(edge: int) -> Literal["fall", "rise"]:
    """Return an edge in words."""
    return "rise" if edge == RISE else "fall"
