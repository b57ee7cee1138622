"""Static timing of a netlist: its longest path for each weight value, and the floor that no weight can beat.

Two figures, as everywhere in this project. *Topological*: the longest path with the weight fixed, on the one annotated
delay set (global slews, worst `when`); simulation and SAT use the same delays, so it bounds both. *STA*: what OpenSTA
says under case analysis, with the slews of the case; for comparison with OpenSTA only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from characterization.annotation import annotate
from characterization.constants import Constants
from characterization.design import MacDesign
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist
from characterization.static_timing import (
    Logic,
    cases_of,
    hold_slacks_ps,
    keep_dead_slews,
    settle,
    setup_needs_ps,
    shape_of,
)
from characterization.timed import Sink, TimedNetlist
from characterization.timing_arrivals import arrivals, worst_ps
from characterization.timing_cases import fixed_nets, floor_sinks, held_nets, weight_sinks
from characterization.timing_graph import build_graph
from characterization.timing_path import PathStep, critical_path

__all__ = ["PathStep", "annotate", "arrivals", "critical_path", "fixed_nets", "floor_ps", "floor_sinks", "free_ps",
           "sta_endpoints_ps", "sta_hold_ps", "sta_ps", "sta_sweep_ps", "topological_ps", "weight_sinks", "worst_ps"]

# So many weight values at once: weights of 16 bits would fill the memory.
BLOCK = 2048


def topological_ps(timed: TimedNetlist, design: MacDesign, weights: np.ndarray) -> np.ndarray:
    """Return the longest launch + path + setup into the weight's sinks for each value `[weight]`.

    Every lane holds the value, `design.hold` is fixed, constants propagate; false paths stay. What the weight does not
    stop counts too: with weight 0 an accumulator's own path to the result remains. 0 where nothing moves.

    Raises:
        NetlistError: a held or weight register is not in the netlist.
    """
    sinks = weight_sinks(timed, design)
    blocks = np.split(weights, range(BLOCK, len(weights), BLOCK))
    return np.concatenate([longest_ps(timed, design, block, sinks) for block in blocks])


def longest_ps(timed: TimedNetlist, design: MacDesign, weights: np.ndarray, sinks: Sequence[Sink]) -> np.ndarray:
    """Return the longest path into `sinks` for each value `[weight]`, all at once."""
    constants = Constants(timed.gates, fixed_nets(timed, design, weights), len(weights))
    return worst_ps(arrivals(timed, constants), sinks, len(weights))


def floor_ps(timed: TimedNetlist, design: MacDesign) -> float:
    """Return the longest register-to-register time that no weight can beat, nothing held.

    It is the worst over all sinks out of the weight's reach, and over those that load a weight.
    """
    found = arrivals(timed, Constants(timed.gates, {}, 1))
    return float(worst_ps(found, floor_sinks(timed, design), 1)[0])


def free_ps(timed: TimedNetlist, design: MacDesign) -> float:
    """Return the longest launch + path + setup into the weight's sinks with the weights free, launched at clk->q.

    No weights in any order are slower: the bound of all values where weights stream, or arrive without a bubble.

    Raises:
        NetlistError: a held register is not in the netlist.
    """
    found = arrivals(timed, Constants(timed.gates, held_nets(timed, design, 1), 1))
    return float(worst_ps(found, weight_sinks(timed, design), 1)[0])


def sta_ps(
    netlist: Netlist, library: CellLibrary, design: MacDesign, weights: np.ndarray,
    scope: Literal["weight", "all"] = "weight", wire_load: str = "",
) -> np.ndarray:
    """Return the worst path as OpenSTA reports it under case analysis, for each value `[weight]`.

    Args:
        netlist: mapped and abutted.
        library: the corner's cells.
        design: names the weight registers and what is held.
        weights: values of all lanes.
        scope: count the sinks in the weight's reach, as `topological_ps` does, or all.
        wire_load: a wire-load model of the library; '' for wires that weigh nothing.
    """
    result: np.ndarray = sta_sweep_ps(netlist, [library], design, weights, scope, wire_load)[0]
    return result


def sta_endpoints_ps(
    netlist: Netlist, library: CellLibrary, design: MacDesign, weights: np.ndarray, logic: Logic = "text",
    dead_slews: bool = False, wire_load: str = "",
) -> dict[str, np.ndarray]:
    """Return the latest arrival plus setup at every endpoint, as `sta_ps` does, by origin `[weight]`; -inf for never.

    Args:
        netlist: mapped and abutted.
        library: the corner's cells.
        design: names the weight registers and what is held.
        weights: values of all lanes.
        logic: "truth" spreads constants by truth tables, which know more than OpenSTA's way along a function's text.
        dead_slews: merge the slews of arcs that constants have switched off, as some versions of OpenSTA do.
        wire_load: a wire-load model of the library; '' for wires that weigh nothing.
    """
    graph = build_graph(netlist, library, design.clock, wire_load=wire_load)
    cases = cases_of(graph, fixed_nets(graph, design, weights), len(weights), logic)
    settled = settle(graph, keep_dead_slews(cases) if dead_slews else cases)
    return dict(zip([sink.origin for sink in graph.sinks], setup_needs_ps(graph, settled), strict=True))


def sta_hold_ps(netlist: Netlist, library: CellLibrary, clock: str) -> dict[str, float]:
    """Return the hold slack of every data pin that a register reaches, as OpenSTA has it; nothing is held."""
    graph = build_graph(netlist, library, clock)
    slacks = hold_slacks_ps(graph, settle(graph, cases_of(graph, {}, 1), early=True))
    ends = [sink.origin for sink in graph.sinks]
    return {end: float(slack[0]) for end, slack in zip(ends, slacks, strict=False) if slack[0] < np.inf}


def sta_sweep_ps(
    netlist: Netlist, libraries: Sequence[CellLibrary], design: MacDesign, weights: np.ndarray,
    scope: Literal["weight", "all"] = "weight", wire_load: str = "",
) -> np.ndarray:
    """Return `sta_ps` at several corners `[corner, weight]`; order and constants are found once where cells agree."""
    worst = np.zeros((len(libraries), len(weights)))
    graph, cases = None, None
    for row, library in zip(worst, libraries, strict=True):
        graph = build_graph(netlist, library, design.clock, graph, wire_load)
        if cases is None or cases.shape != shape_of(graph):
            cases = cases_of(graph, fixed_nets(graph, design, weights), len(weights))
        counted = {sink.origin for sink in (weight_sinks(graph, design) if scope == "weight" else graph.sinks)}
        needs = setup_needs_ps(graph, settle(graph, cases))
        rows = [i for i, sink in enumerate(graph.sinks) if sink.origin in counted]
        np.maximum(0.0, needs[rows].max(axis=0, initial=0.0), out=row)
    return worst
