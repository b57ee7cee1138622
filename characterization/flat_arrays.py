"""The arrays that the simulation engine works on: a core, the order of its gates, waveforms, results."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class FlatCore(NamedTuple):
    """A core as flat arrays. Nets are numbered sources, gates, CONST0, CONST1; edges are FALL=0, RISE=1.

    Attributes:
        launch: when a source moves, fs, int64 `[source, edge]`.
        source_cost: of a source's edge, whole, float64 `[source, edge]`.
        gates: first pin, number of pins, first row of `truth`, first row of `cost`, uint32 `[gate, 4]`.
        pin_net: net on each pin of each gate, uint32 `[pin]`.
        truth: output by input pattern, a gate after the other, uint8.
        word: the same as the bits of one number, of gates with at most WORD_PINS pins, uint32 `[gate]`.
        delay: from an edge of a pin to the output's, by the pin and the input pattern it makes, int64 fs
            `[gate's row + (pin << pins) + pattern]`.
        cost: of an output edge, by the pin that caused it and the input pattern it came with, whole, float64,
            as `delay`.
        rail: how long an edge of a gate's output takes from rail to rail, fs, int64 `[gate]`; two that are closer cost
            in proportion. 0 where edges cost all or nothing.
        pulse: what two of them cost for each fs of that, float64 `[gate]`.
        hidden: of an input edge itself, as `delay`; empty where no gate has any.
        setup: of a net's last edge, the worst among its sinks, int64 fs `[net, edge]`.
        low_of, high_of: position of the lowest and the highest pin of a mask, uint8.
    """

    launch: np.ndarray
    source_cost: np.ndarray
    gates: np.ndarray
    pin_net: np.ndarray
    truth: np.ndarray
    word: np.ndarray
    delay: np.ndarray
    cost: np.ndarray
    rail: np.ndarray
    pulse: np.ndarray
    hidden: np.ndarray
    setup: np.ndarray
    low_of: np.ndarray
    high_of: np.ndarray


class Levels(NamedTuple):
    """In which order a core is visited. Level 0 changes most often; no gate stands above what it depends on.

    Attributes:
        sources, gates: all of them, the highest level first, gates of a level in topological order, uint32.
        source_end, gate_end: where each level ends in them, int64 `[level]`.
        changed: the highest level that changes when a weight follows the one before it, -1 for none, int64 `[weight]`.
    """

    sources: np.ndarray
    gates: np.ndarray
    source_end: np.ndarray
    gate_end: np.ndarray
    changed: np.ndarray


class Working(NamedTuple):
    """Waveforms of the transitions of a block, and what a gate needs on its way.

    Attributes:
        value: settled value before each transition and after the last, uint8 `[net, lane + 1]`; of a net that moves in
            no lane the first alone.
        moves: whether a net moves in any lane, uint8 `[net]`.
        begin: where its edges lie in `times`, in lanes where it moves, uint32 `[net, lane]`.
        n_edges: how many they are, in nets that move, uint16 `[net, lane]`.
        times: edges, fs, and NEVER after the last of each net and lane, int64.
        edges: counted falls, and rises << 32, of each net, int64 `[net]`.
        cost, late: of each transition so far, float64 and int64 `[lane]`.
        cost_above, late_above: the same before each level, int64 `[level, lane]`.
        top_above: where the edges of each level begin in `times`, int64 `[level]`.
        pattern, mask, total: of one gate: settled inputs [lane + 1], pins that move, all their edges, uint16 `[lane]`.
        key, lanes, place: of one gate: the class of each lane, lanes sorted by it, and where each class begins.
        pin, head, time: of the pins that are merged.
    """

    value: np.ndarray
    moves: np.ndarray
    begin: np.ndarray
    n_edges: np.ndarray
    times: np.ndarray
    edges: np.ndarray
    cost: np.ndarray
    late: np.ndarray
    cost_above: np.ndarray
    late_above: np.ndarray
    top_above: np.ndarray
    pattern: np.ndarray
    mask: np.ndarray
    total: np.ndarray
    key: np.ndarray
    lanes: np.ndarray
    place: np.ndarray
    pin: np.ndarray
    head: np.ndarray
    time: np.ndarray


class Block(NamedTuple):
    """Transitions that are run together: from `step` on, `lanes` of them; which steps are counted, uint8 `[step]`."""

    step: int
    lanes: int
    counted: np.ndarray


class Results(NamedTuple):
    """What is found; of edges, those of one block.

    Attributes:
        settle_fs: latest requirement of each transition, 0 where no watched net moves, int64 `[weight, transition]`.
        cost: int64 `[weight, transition]`, also where edges are not counted.
        sinks: settled values, uint8 `[weight, sink, step]`.
        edges: counted falls, and rises << 32, of each net but the constants, int64 `[weight, net]`.
    """

    settle_fs: np.ndarray
    cost: np.ndarray
    sinks: np.ndarray
    edges: np.ndarray
