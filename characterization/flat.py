"""flatten(): a TimedNetlist, and what its edges cost, as the flat arrays that the simulation engine walks through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from characterization.benches.cells import delay_fs, whole_fs
from characterization.benches.core import net_order
from characterization.benches.settled import truth_array
from characterization.errors import SimulationError
from characterization.netlist import CONST0, CONST1
from characterization.timed import FALL, RISE, TimedNetlist
from characterization.waveform import MAX_PINS, MISSING, MORE, TWO, UNWATCHED, FlatCore, Working

# A gate and one of its pins share a word of 32 bits.
MAX_GATES = 1 << 16


@dataclass(frozen=True, eq=False)
class EdgeCosts:
    """What edges cost, in any integer unit.

    Attributes:
        source: of a source's edge, int64 `[source, edge]`.
        gate: of each gate's output edge, by the input that caused it and the input pattern it came with, int64
            `[input, pattern]`.
        hidden: of each gate's input edge itself, in the same form; none where no gate has any.
        launch: of the clock edge at a source, int64 `[source, bit before, bit after]`.
    """

    source: np.ndarray
    gate: tuple[np.ndarray, ...]
    hidden: tuple[np.ndarray, ...]
    launch: np.ndarray


def net_costs(timed: TimedNetlist, edge_cost: np.ndarray) -> EdgeCosts:
    """Return costs that depend on net and edge alone, from int64 [net, edge] in the order of `net_order`."""
    sources = len(timed.sources)
    gates = tuple(
        np.tile(cost[truth_array(gate.truth, len(gate.nets))], (len(gate.nets), 1))
        for gate, cost in zip(timed.gates, edge_cost[sources:], strict=True)
    )
    return EdgeCosts(edge_cost[:sources], gates, (), np.zeros((sources, 2, 2), np.int64))


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
        SimulationError: the core has too many gates, or a gate too many pins.
    """
    widest = max(timed.gates, key=lambda gate: len(gate.nets), default=None)
    if widest and (len(timed.gates) > MAX_GATES or len(widest.nets) > MAX_PINS):
        raise SimulationError(
            f"{timed.top}: {len(timed.gates)} gates of up to {len(widest.nets)} inputs ({widest.kind}); the engine "
            f"takes {MAX_GATES} gates of up to {MAX_PINS}."
        )
    place = net_places(timed)
    fan_start, fan = fanout(timed, place)
    masks = range(1 << MAX_PINS)
    truths = [truth_array(gate.truth, len(gate.nets)) for gate in timed.gates]
    launch = [[max(0, whole_fs(float(source.launch_ps[edge]))) for edge in (FALL, RISE)] for source in timed.sources]
    return FlatCore(
        launch=np.array(launch, np.int64).reshape(-1, 2), source_cost=np.ascontiguousarray(costs.source, np.int64),
        gates=gate_rows(timed), pin_net=np.array([place[net] for gate in timed.gates for net in gate.nets], np.uint32),
        truth=np.concatenate([np.zeros(0, np.uint8), *truths]),
        delay=np.array([delay_or_missing(d) for gate in timed.gates for d in gate.delay_ps.ravel()], np.int64),
        cost=joined(costs.gate), hidden=joined(costs.hidden),
        fan_start=fan_start, fan=fan, setup=setup_fs(timed, place, watched), bit_of=bit_positions(),
        pins_of=np.array([class_of(mask) for mask in masks], np.uint8),
        low_of=np.array([max(0, (mask & -mask).bit_length() - 1) for mask in masks], np.uint8),
        high_of=np.array([max(0, mask.bit_length() - 1) for mask in masks], np.uint8),
    )


def working_of(core: FlatCore, capacity: int) -> Working:
    """Return the arrays of a chain, with room for `capacity` edges in one transition."""
    n_gates, n_nets = len(core.gates), len(core.setup)
    return Working(
        np.zeros(n_nets, np.uint8), np.zeros(n_gates, np.uint16), np.zeros((n_nets, 2), np.uint32),
        np.zeros(n_gates, np.uint16), np.zeros(n_gates // 64 + 1, np.uint64), np.zeros(capacity, np.int64),
        np.zeros(n_nets, np.int64), np.zeros(16, np.uint8), np.zeros(16, np.uint32), np.zeros(16, np.uint32),
        np.zeros(16, np.int64),
    )


def joined(tables: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return tables one after the other, int64."""
    return np.concatenate([np.zeros(0, np.int64), *(np.ravel(table) for table in tables)], dtype=np.int64)


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


def fanout(timed: TimedNetlist, place: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return where each net's loads begin [net + 1], and the loads, `gate << 16 | 1 << pin`."""
    loads: list[list[int]] = [[] for _ in place]
    for index, gate in enumerate(timed.gates):
        for pin, net in enumerate(gate.nets):
            loads[place[net]].append(index << 16 | 1 << pin)
    start = np.cumsum([0, *(len(some) for some in loads)])
    return start.astype(np.uint32), np.array([load for some in loads for load in some], np.uint32)


def setup_fs(timed: TimedNetlist, place: dict[str, int], watched: Iterable[int]) -> np.ndarray:
    """Return the worst setup among the watched sinks of each net, int64 [net, edge]."""
    worst_ps: dict[str, np.ndarray] = {}
    for sink in (timed.sinks[index] for index in watched):
        worst_ps[sink.net] = np.maximum(worst_ps.get(sink.net, sink.setup_ps), sink.setup_ps)
    setup = np.full((len(place), 2), UNWATCHED, np.int64)
    for net, times_ps in worst_ps.items():
        setup[place[net]] = [whole_fs(float(time_ps)) for time_ps in times_ps]
    return setup


def class_of(mask: int) -> int:
    """Return the position of the only pin in a mask, TWO, or MORE."""
    return mask.bit_length() - 1 if mask.bit_count() == 1 else TWO if mask.bit_count() == 2 else MORE


def bit_positions() -> np.ndarray:
    """Return the position of a single bit by the upper six bits of its product with a de Bruijn sequence, uint8."""
    found = np.zeros(64, np.uint8)
    for bit in range(64):
        found[(0x03F79D71B4CB0A89 << bit & 0xFFFFFFFFFFFFFFFF) >> 58] = bit
    return found
