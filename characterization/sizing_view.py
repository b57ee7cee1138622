"""view_of(): a netlist timed at its own period, arrivals and required times; what resizing looks at in each round.

The gates, their order and what may move are the same for all sizes: of the first view they are taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from characterization.annotation import annotate_graph
from characterization.constants import Constants, passing
from characterization.design import MacDesign
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist, abut
from characterization.pdk import Corner
from characterization.timed import TimedNetlist
from characterization.timing_arrivals import NEVER
from characterization.timing_cases import weight_sources
from characterization.timing_graph import TimingGraph, build_graph

# Sinks that count beside the very slowest.
SLOWEST = 16
NOTHING = np.full(2, NEVER)


class Arcs(NamedTuple):
    """The arcs of all gates in topological order; nets by number, the last one for what never moves.

    Attributes:
        net_in, edge_in, net_out, edge_out: where an arc leads from and to.
        live: whether an edge can pass, constants of the netlist given.
    """

    net_in: np.ndarray
    edge_in: np.ndarray
    net_out: np.ndarray
    edge_out: np.ndarray
    live: np.ndarray


@dataclass(frozen=True, eq=False)
class Shape:
    """What all sizes of a netlist share.

    Attributes:
        graph: of one of them.
        number: of each net.
        arcs: the arcs.
        quiet: sources that do not count as launched.
    """

    graph: TimingGraph
    number: Mapping[str, int]
    arcs: Arcs
    quiet: frozenset[str]


@dataclass(frozen=True, eq=False)
class View:
    """A netlist, timed at its own period.

    Attributes:
        netlist, joined, timed: as mapped, abutted, and annotated without energies.
        shape: what other sizes share with it.
        period_ps: the longest register-to-register time.
        worst_ps: the mean over the slowest sinks: of two netlists with one period the lesser is nearer to a better one.
        arrival_ps, required_ps: by net, the latest arrival and when it must be there `[edge]`.
    """

    netlist: Netlist
    joined: Netlist
    timed: TimedNetlist
    shape: Shape
    period_ps: float
    worst_ps: float
    arrival_ps: Mapping[str, np.ndarray]
    required_ps: Mapping[str, np.ndarray]

    def slack_ps(self, net: str) -> float:
        """Return the slack of a net; infinite where it does not move or leads nowhere."""
        if net not in self.required_ps:
            return float("inf")
        return float((self.required_ps[net] - self.arrival_ps[net]).min())


def view_of(
    netlist: Netlist, library: CellLibrary, corner: Corner, design: MacDesign, like: View | None = None
) -> View:
    """Return a netlist with its arrivals and required times at its own period.

    Args:
        netlist: mapped, not abutted.
        library: the corner's cells.
        corner: where it is timed.
        design: what it is; stationary weights do not count as launched.
        like: the same netlist in other sizes.
    """
    joined = abut(netlist, design.neighbours)
    graph = build_graph(joined, library, design.clock, like.shape.graph if like else None)
    timed = annotate_graph(graph, library, corner, with_energies=False)
    shape = like.shape if like else shape_of(graph, timed, design)
    delay_ps = np.concatenate([gate.delay_ps[~np.isnan(gate.delay_ps)] for gate in timed.gates])
    arrival_ps = np.full((len(shape.number) + 1, 2), NEVER)
    for source in timed.sources:
        if source.net not in shape.quiet:
            arrival_ps[shape.number[source.net]] = source.launch_ps
    arrive(shape.arcs, delay_ps, arrival_ps)
    needs = sorted((need_ps(arrival_ps[shape.number.get(sink.net, -1)], sink.setup_ps) for sink in timed.sinks),
                   reverse=True)
    required_ps = np.full_like(arrival_ps, np.inf)
    for sink in timed.sinks:
        place = shape.number.get(sink.net, -1)
        required_ps[place] = np.minimum(required_ps[place], needs[0] - sink.setup_ps)
    require(shape.arcs, delay_ps, required_ps)
    return View(netlist, joined, timed, shape, needs[0], float(np.mean(needs[:SLOWEST])),
                dict(zip(shape.number, arrival_ps, strict=False)), dict(zip(shape.number, required_ps, strict=False)))


def need_ps(arrival_ps: np.ndarray, setup_ps: np.ndarray) -> float:
    """Return what a sink needs, 0 where nothing moves."""
    return max(0.0, float((arrival_ps + setup_ps).max()))


def shape_of(graph: TimingGraph, timed: TimedNetlist, design: MacDesign) -> Shape:
    """Return what all sizes of a netlist share."""
    nets = [*(source.net for source in timed.sources), *(gate.net for gate in timed.gates)]
    number = {net: index for index, net in enumerate(nets)}
    constants, rows = Constants(timed.gates, {}, 1), []
    for gate in timed.gates:
        passes = passing(gate.truth, [constants[net] for net in gate.nets])[..., 0]
        for pin, edge_in, edge_out in np.argwhere(~np.isnan(gate.delay_ps)):
            rows.append((number.get(gate.nets[pin], len(nets)), edge_in, number[gate.net], edge_out,
                         passes[pin, edge_in, edge_out]))  # fmt: skip
    arcs = Arcs(*np.array(rows, dtype=np.int64).reshape(-1, 5).T.copy())
    quiet = weight_sources(timed, design) if design.weight_mode == "stationary" else set[str]()
    return Shape(graph, number, arcs, frozenset(quiet))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def arrive(arcs: Arcs, delay_ps: np.ndarray, arrival_ps: np.ndarray) -> None:
    """Fill in the latest arrivals of all gates `[net, edge]`, given those of sources, -inf elsewhere."""
    for arc in range(delay_ps.size):
        if arcs.live[arc]:
            reached = arrival_ps[arcs.net_in[arc], arcs.edge_in[arc]] + delay_ps[arc]
            out, edge = arcs.net_out[arc], arcs.edge_out[arc]
            arrival_ps[out, edge] = max(arrival_ps[out, edge], reached)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def require(arcs: Arcs, delay_ps: np.ndarray, required_ps: np.ndarray) -> None:
    """Fill in the latest times at which nets may change `[net, edge]`, given those of sinks, inf elsewhere."""
    for arc in range(delay_ps.size - 1, -1, -1):
        needed = required_ps[arcs.net_out[arc], arcs.edge_out[arc]] - delay_ps[arc]
        net, edge = arcs.net_in[arc], arcs.edge_in[arc]
        required_ps[net, edge] = min(required_ps[net, edge], needed)
