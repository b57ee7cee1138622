"""The arcs of a timing graph as arrays, and the loops over them: many cases at once, worst slew merge, edges apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numba import njit

from characterization.liberty_tables import Table
from characterization.nldm import columns_at

# What an arc of a case still does: its slew counts, and its edge arrives.
SLEW, EDGE = 1, 2


class Curves(NamedTuple):
    """One curve over slew for each arc, as `nldm.Curve` has it, padded to one number of pieces `[arc, piece]`.

    `range_ps` is the range of the table's slews `[arc, 2]`, and `load_outside` `[arc]` whether the load left it.
    """

    knots_ps: np.ndarray
    starts_ps: np.ndarray
    values_ps: np.ndarray
    slopes: np.ndarray
    range_ps: np.ndarray
    load_outside: np.ndarray


class ArcArrays(NamedTuple):
    """Arcs in the order of gates: those of gate g are `first[g]` to `first[g + 1]`.

    Attributes:
        first: `[gate + 1]`. target: index of the net a gate drives `[gate]`.
        net, edge_in, edge_out: index of the input's net, and the edges `[arc]`; a constant's net is the last index.
        delay, slew: the curves at the gate's load.
    """

    first: np.ndarray
    target: np.ndarray
    net: np.ndarray
    edge_in: np.ndarray
    edge_out: np.ndarray
    delay: Curves
    slew: Curves


class ArcGroup(Protocol):
    """What of a gate's timing group matters here."""

    @property
    def pin(self) -> int: ...  # noqa: D102
    @property
    def tables(self) -> Mapping[tuple[int, int], tuple[Table, Table]]: ...  # noqa: D102


class ArcGate(Protocol):
    """What of a gate matters here."""

    @property
    def net(self) -> str: ...  # noqa: D102
    @property
    def nets(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def arc_sets(self) -> Sequence[ArcGroup]: ...  # noqa: D102


def compile_arcs(
    gates: Sequence[ArcGate], load_ff: Mapping[str, tuple[float, float]], index: Mapping[str, int]
) -> ArcArrays:
    """Return the arcs of gates in topological order; `index` numbers the nets that may move."""
    rows = [(g, index.get(gate.nets[arcs.pin], len(index)), *edges, load_ff[gate.net][edges[1]], tables)
            for g, gate in enumerate(gates) for arcs in gate.arc_sets for edges, tables in arcs.tables.items()]
    count = np.bincount([row[0] for row in rows], minlength=len(gates)) if rows else np.zeros(len(gates), dtype=int)
    loads = np.array([row[4] for row in rows])
    net, edge_in, edge_out = (np.array([row[k] for row in rows], dtype=np.int64) for k in (1, 2, 3))
    return ArcArrays(
        np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        np.array([index[gate.net] for gate in gates], dtype=np.int64), net, edge_in, edge_out,
        compile_curves([row[5][0] for row in rows], loads), compile_curves([row[5][1] for row in rows], loads),
    )


def compile_curves(tables: Sequence[Table], loads_ff: np.ndarray) -> Curves:
    """Return each table at its load; a table that occurs often is read once for all its loads."""
    places: dict[int, list[int]] = {}
    for i, table in enumerate(tables):
        places.setdefault(id(table), []).append(i)
    pieces = max((max(table.slew_ps.size - 1, 1) for table in tables), default=1)
    shape = (len(tables), pieces)
    knots = np.full((len(tables), pieces - 1), np.inf)
    starts, values, slopes = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    ranges = np.tile([-np.inf, np.inf], (len(tables), 1))
    outside = np.zeros(len(tables), dtype=bool)
    for here in places.values():
        slews = tables[here[0]].slew_ps
        columns, outside[here] = columns_at(tables[here[0]], loads_ff[here])
        n = max(slews.size - 1, 1)
        starts[here, :n], values[here, :n] = slews[:n], columns[:, :n]
        if slews.size > 1:
            knots[here, : n - 1], ranges[here] = slews[1:-1], (slews[0], slews[-1])
            slopes[here, :n] = np.diff(columns, axis=1) / np.diff(slews)
    return Curves(knots, starts, values, slopes, ranges, outside)


def net_index(nets: Iterable[str]) -> dict[str, int]:
    """Return a number for each net."""
    return {net: i for i, net in enumerate(dict.fromkeys(nets))}


@njit(cache=True)  # type: ignore[untyped-decorator]
def curve_value(curves: Curves, arc: int, slew_ps: float) -> float:
    """Return a curve's value at a slew."""
    piece = 0
    while piece < curves.knots_ps.shape[1] and curves.knots_ps[arc, piece] < slew_ps:
        piece += 1
    return curves.values_ps[arc, piece] + curves.slopes[arc, piece] * (slew_ps - curves.starts_ps[arc, piece])  # type: ignore[no-any-return]


@njit(cache=True)  # type: ignore[untyped-decorator]
def curve_range(curves: Curves, arc: int, low_ps: float, high_ps: float) -> tuple[float, float]:
    """Return the least and greatest value over the slews between two."""
    least = greatest = curve_value(curves, arc, low_ps)
    for knot in range(-1, curves.knots_ps.shape[1]):
        slew_ps = high_ps if knot < 0 else curves.knots_ps[arc, knot]
        if low_ps < slew_ps <= high_ps:
            value = curve_value(curves, arc, slew_ps)
            least, greatest = min(least, value), max(greatest, value)
    return least, greatest


@njit(cache=True)  # type: ignore[untyped-decorator]
def settle_cases(arcs: ArcArrays, does: np.ndarray, arrival: np.ndarray, slew: np.ndarray, early: bool) -> None:
    """Fill in arrivals and slews of all gates `[net, edge, case]`; what never arrives is infinite.

    Args:
        arcs: the arcs.
        does: SLEW and EDGE bits, uint8 `[arc, case]`.
        arrival: filled for launches and ports; -inf elsewhere (+inf if `early`).
        slew: the same.
        early: earliest arrivals and steepest slews instead of latest and flattest.
    """
    for gate in range(arcs.target.size):
        target = arcs.target[gate]
        for arc in range(arcs.first[gate], arcs.first[gate + 1]):
            before, out = arcs.edge_in[arc], arcs.edge_out[arc]
            for case in range(does.shape[1]):
                slew_ps = slew[arcs.net[arc], before, case]
                if does[arc, case] == 0 or np.isinf(slew_ps):
                    continue
                after = curve_value(arcs.slew, arc, slew_ps)
                if (after < slew[target, out, case]) == early:
                    slew[target, out, case] = after
                if does[arc, case] & EDGE:
                    reached = arrival[arcs.net[arc], before, case] + curve_value(arcs.delay, arc, slew_ps)
                    if (reached < arrival[target, out, case]) == early:
                        arrival[target, out, case] = reached
        # A table extrapolated below its range may give a negative slew.
        for edge in range(2):
            for case in range(does.shape[1]):
                if not np.isinf(slew[target, edge, case]):
                    slew[target, edge, case] = max(slew[target, edge, case], 0.0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def spread(
    arcs: ArcArrays, light: ArcArrays, low: np.ndarray, high: np.ndarray, delay: np.ndarray, outside: np.ndarray
) -> None:
    """Fill in the range of slews of all gates' nets and of all arcs' delays, for any slew that an input may have.

    Args:
        arcs: the arcs.
        light: the same at the least loads, for what is least.
        low: steepest slews `[net, edge]`; filled for launches and ports, +inf elsewhere; the last net is constant.
        high: flattest slews; -inf elsewhere.
        delay: `[arc, 2]`, least and greatest; to be filled.
        outside: look-ups outside the tables at the flattest slew `[arc]`; to be filled.
    """
    for gate in range(arcs.target.size):
        target = arcs.target[gate]
        for arc in range(arcs.first[gate], arcs.first[gate + 1]):
            source, before, out = arcs.net[arc], arcs.edge_in[arc], arcs.edge_out[arc]
            moves = low[source, before] <= high[source, before]
            low_ps, high_ps = (low[source, before], high[source, before]) if moves else (0.0, 0.0)
            delay[arc, 0] = curve_range(light.delay, arc, low_ps, high_ps)[0]
            delay[arc, 1] = curve_range(arcs.delay, arc, low_ps, high_ps)[1]
            for curves in (arcs.delay, arcs.slew):
                inside = curves.range_ps[arc, 0] <= high_ps <= curves.range_ps[arc, 1]
                outside[arc] += curves.load_outside[arc] or not inside
            if moves:
                least = curve_range(light.slew, arc, low_ps, high_ps)[0]
                low[target, out] = min(low[target, out], max(least, 0.0))
                high[target, out] = max(high[target, out], curve_range(arcs.slew, arc, low_ps, high_ps)[1], 0.0)
