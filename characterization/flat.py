"""flatten(): a TimedNetlist, and what its edges cost, as the flat arrays that the simulation engine walks through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from characterization.benches.cells import delay_fs, whole_fs
from characterization.benches.core import net_order
from characterization.benches.settled import truth_array
from characterization.errors import SimulationError
from characterization.flat_arrays import FlatCore, Levels, Working
from characterization.inertial import MISSING
from characterization.netlist import CONST0, CONST1
from characterization.timed import FALL, RISE, Gate, TimedNetlist
from characterization.waveform import IDLE, MAX_PINS, UNWATCHED, WORD_PINS


@dataclass(frozen=True, eq=False)
class EdgeCosts:
    """What edges cost, in any integer unit.

    Attributes:
        source: of a source's edge, int64 `[source, edge]`.
        gate: of each gate's output edge, by the input that caused it and the input pattern it came with, int64
            `[input, pattern]`.
        hidden: of each gate's input edge itself, in the same form; none where no gate has any.
        rail_fs: how long an edge of a gate's output takes from rail to rail, int64 `[gate]`; a pulse that is shorter
            costs in proportion to its length. 0 where it costs all or, cancelled, nothing.
        pair: of two edges of a gate's output, the mean over their causes, int64 `[gate]`: what the part is of.
        launch: of the clock edge at a source, int64 `[source, bit before, bit after]`.
    """

    source: np.ndarray
    gate: tuple[np.ndarray, ...]
    hidden: tuple[np.ndarray, ...]
    rail_fs: np.ndarray
    pair: np.ndarray
    launch: np.ndarray


def net_costs(timed: TimedNetlist, edge_cost: np.ndarray) -> EdgeCosts:
    """Return costs that depend on net and edge alone, from int64 [net, edge] in the order of `net_order`."""
    sources = len(timed.sources)
    gates = tuple(
        np.tile(cost[truth_array(gate.truth, len(gate.nets))], (len(gate.nets), 1))
        for gate, cost in zip(timed.gates, edge_cost[sources:], strict=True)
    )
    launch = np.zeros((sources, 2, 2), np.int64)
    none = np.zeros(len(gates), np.int64)
    return EdgeCosts(edge_cost[:sources], gates, (), none, none, launch)


def no_costs(timed: TimedNetlist) -> EdgeCosts:
    """Return costs of nothing."""
    return net_costs(timed, np.zeros((len(net_order(timed)), 2), np.int64))


def sink_places(timed: TimedNetlist) -> np.ndarray:
    """Return the number of the net of each sink, int64 [sink]."""
    place = net_places(timed)
    return np.array([place[sink.net] for sink in timed.sinks], np.int64)


def net_places(timed: TimedNetlist) -> dict[str, int]:
    """Return the number of every net: sources, gates, CONST0, CONST1."""
    return {net: place for place, net in enumerate((*net_order(timed), CONST0, CONST1))}


def flatten(timed: TimedNetlist, watched: Iterable[int], costs: EdgeCosts) -> FlatCore:
    """Return a core as flat arrays, times in whole femtoseconds.

    Args:
        timed: the core.
        watched: positions of the sinks whose requirement counts.
        costs: what its edges cost.

    Raises:
        SimulationError: a gate has too many pins.
    """
    widest = max(timed.gates, key=lambda gate: len(gate.nets), default=None)
    if widest and len(widest.nets) > MAX_PINS:
        raise SimulationError(
            f"{timed.top}: {widest.cell} ({widest.kind}) has {len(widest.nets)} inputs; the engine takes {MAX_PINS}."
        )
    place = net_places(timed)
    masks = range(1 << MAX_PINS)
    truths = [truth_array(gate.truth, len(gate.nets)) for gate in timed.gates]
    launch = [[max(0, whole_fs(float(source.launch_ps[edge]))) for edge in (FALL, RISE)] for source in timed.sources]
    return FlatCore(
        launch=np.array(launch, np.int64).reshape(-1, 2), source_cost=np.ascontiguousarray(costs.source, np.float64),
        gates=gate_rows(timed), pin_net=np.array([place[net] for gate in timed.gates for net in gate.nets], np.uint32),
        truth=np.concatenate([np.zeros(0, np.uint8), *truths]),
        word=np.array([gate.truth if len(gate.nets) <= WORD_PINS else 0 for gate in timed.gates], np.uint32),
        delay=joined(tuple(arc_delays(gate) for gate in timed.gates), np.int64), cost=joined(costs.gate, np.float64),
        rail=np.ascontiguousarray(costs.rail_fs, np.int64), pulse=pulse_costs(costs),
        hidden=joined(costs.hidden, np.float64),
        setup=setup_fs(timed, place, watched),
        low_of=np.array([max(0, (mask & -mask).bit_length() - 1) for mask in masks], np.uint8),
        high_of=np.array([max(0, mask.bit_length() - 1) for mask in masks], np.uint8),
    )


def levels_of(core: FlatCore, states: np.ndarray) -> Levels:
    """Return the order in which a core is visited when blocks of states follow each other [block, source, step]."""
    n_sources, blocks = len(core.launch), range(1, len(states))
    # Source by source, in the first cache.
    differ = np.array([[(now != before).any() for before, now in zip(states[block - 1], states[block], strict=True)]
                       for block in blocks], bool).reshape(-1, n_sources)  # fmt: skip
    often = differ.sum(axis=0)
    kinds = np.unique(np.append(often, 0))[::-1]
    level = np.full(len(core.setup), len(kinds) - 1)
    level[:n_sources] = np.searchsorted(-kinds, -often)
    for gate, (first, pins, *_) in enumerate(core.gates.tolist(), n_sources):
        level[gate] = level[core.pin_net[first : first + pins]].min(initial=len(kinds) - 1)
    of_sources, of_gates = level[:n_sources], level[n_sources:-2]
    changed = np.where(differ, of_sources, -1).max(axis=1, initial=-1)
    return Levels(
        sources=np.argsort(-of_sources, kind="stable").astype(np.uint32),
        gates=np.argsort(-of_gates, kind="stable").astype(np.uint32),
        source_end=(of_sources[None] >= np.arange(len(kinds))[:, None]).sum(axis=1),
        gate_end=(of_gates[None] >= np.arange(len(kinds))[:, None]).sum(axis=1),
        changed=np.append(len(kinds) - 1, changed),
    )


def working_of(core: FlatCore, levels: Levels, lanes: int, capacity: int) -> Working:
    """Return the arrays of blocks of up to `lanes` transitions, with room for `capacity` edges in one of them."""
    n_nets, n_levels = len(core.setup), len(levels.gate_end)
    return Working(
        value=np.zeros((n_nets, lanes + 1), np.uint8), moves=np.zeros(n_nets, np.uint8),
        begin=np.zeros((n_nets, lanes), np.uint32), n_edges=np.zeros((n_nets, lanes), np.uint16),
        times=np.zeros(capacity, np.int64), edges=np.zeros(n_nets, np.int64),
        cost=np.zeros(lanes), late=np.zeros(lanes, np.int64),
        cost_above=np.zeros((n_levels, lanes)), late_above=np.zeros((n_levels, lanes), np.int64),
        top_above=np.zeros(n_levels, np.int64), pattern=np.zeros(lanes + 1, np.uint16),
        mask=np.zeros(lanes, np.uint16), total=np.zeros(lanes, np.uint16), key=np.zeros(lanes + 4, np.uint8),
        lanes=np.zeros(lanes + 4, np.uint16), place=np.zeros((IDLE + 1, 4), np.uint64), pin=np.zeros(16, np.uint64),
        head=np.zeros(16, np.uint64), time=np.zeros(16, np.int64),
    )


def joined(tables: tuple[np.ndarray, ...], kind: type[np.generic]) -> np.ndarray:
    """Return tables one after the other."""
    return np.concatenate([np.zeros(0, kind), *(np.ravel(table) for table in tables)], dtype=kind)


def pulse_costs(costs: EdgeCosts) -> np.ndarray:
    """Return what two edges of each gate cost for each fs that one takes from rail to rail, float64 `[gate]`."""
    found: np.ndarray = np.where(costs.rail_fs > 0, costs.pair / np.maximum(costs.rail_fs, 1), 0.0)
    return found


def arc_delays(gate: Gate) -> np.ndarray:
    """Return a gate's delays by the input that moves and the input pattern it makes, fs, int64 `[input, pattern]`."""
    pins, patterns = np.arange(len(gate.nets))[:, None], np.arange(1 << len(gate.nets))
    delays = np.array([delay_or_missing(delay) for delay in gate.delay_ps.ravel()], np.int64).reshape(-1, 2, 2)
    found: np.ndarray = delays[pins, patterns >> pins & 1, truth_array(gate.truth, len(gate.nets))]
    return found


def delay_or_missing(delay_ps: float) -> int:
    """Return a delay in whole femtoseconds; of an arc that is absent, MISSING."""
    return MISSING if np.isnan(delay_ps) else delay_fs(float(delay_ps))


def gate_rows(timed: TimedNetlist) -> np.ndarray:
    """Return of each gate its first pin, number of pins, and first rows of truth and cost, uint32 [gate, 4]."""
    pins = np.array([len(gate.nets) for gate in timed.gates], np.int64)
    sizes = np.stack([pins, np.zeros_like(pins), 1 << pins, pins << pins], axis=1)
    rows = np.cumsum(sizes, axis=0) - sizes
    rows[:, 1] = pins
    return np.ascontiguousarray(rows, np.uint32)


def setup_fs(timed: TimedNetlist, place: dict[str, int], watched: Iterable[int]) -> np.ndarray:
    """Return the worst setup among the watched sinks of each net, int64 [net, edge]."""
    worst_ps: dict[str, np.ndarray] = {}
    for sink in (timed.sinks[index] for index in watched):
        worst_ps[sink.net] = np.maximum(worst_ps.get(sink.net, sink.setup_ps), sink.setup_ps)
    setup = np.full((len(place), 2), UNWATCHED, np.int64)
    for net, times_ps in worst_ps.items():
        setup[place[net]] = [whole_fs(float(time_ps)) for time_ps in times_ps]
    return setup
