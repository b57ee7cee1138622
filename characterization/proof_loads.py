"""tile_loads(), witness_load(): real data, and the vectors that attain a certificate, as loads of an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from characterization.array_element import ArrayElement
from characterization.array_program import Load, array_edge, array_program, plain_load
from characterization.array_run import run_array
from characterization.benches.registers import Registers
from characterization.certify import certify_weights
from characterization.clocked import ElementCore
from characterization.design import MacDesign
from characterization.proof_vectors import ProofTile
from characterization.timed import TimedNetlist

# States from which a witness is entered: so many random ones are tried, then as many neighbours of the best, a few
# times; the ones that make it latest are kept.
TRIED, ROUNDS, KEPT = 2048, 3, 48
MOST_FLIPS = 4


def tile_loads(
    tiles: Sequence[ProofTile], rows: int, columns: int, cycles: int
) -> list[Load]:
    """Return loads of an array of `rows` x `columns`, blocks of some tiles in turn, for at least `cycles` cycles.

    Blocks are spread evenly over each tile. Where sums run on, the partial sum that enters a block is that of the rows
    above it in its tile; else it is zero.
    """
    steps = max(len(tiles[0].activations), rows) + 1
    wanted = -(-cycles // steps)
    each = -(-wanted // len(tiles))
    queues = [islice(cycle(spread_blocks(tile, rows, columns, each)), each) for tile in tiles]
    turns = [(tile, place) for group in zip(*queues, strict=True) for tile, place in zip(tiles, group, strict=True)]
    return [block_load(tile, row, column, rows, columns) for tile, (row, column) in turns[:max(wanted, 1)]]


def spread_blocks(tile: ProofTile, rows: int, columns: int, count: int) -> list[tuple[int, int]]:
    """Return the first row and column of `count` blocks of a tile, spread evenly; all if there are fewer."""
    places = [(row, column) for row in range(0, tile.weights.shape[0], rows)
              for column in range(0, tile.weights.shape[1], columns)]
    at = np.linspace(0, len(places) - 1, min(count, len(places)))
    return [places[int(index)] for index in np.round(at)]


def block_load(tile: ProofTile, row: int, column: int, rows: int, columns: int) -> Load:
    """Return one block of a tile as a load; beyond the tile's edge weights and activations are zero."""
    weights, activations = tile.weights.astype(np.int64), tile.activations.astype(np.int64)
    block = np.zeros((rows, columns), np.int64)
    part = weights[row:row + rows, column:column + columns]
    block[:part.shape[0], :part.shape[1]] = part
    moving = np.zeros((len(activations), rows), np.int64)
    moving[:, :part.shape[0]] = activations[:, row:row + rows]
    sums = np.zeros((len(activations), columns), np.int64)
    if tile.running:
        sums[:, :part.shape[1]] = activations[:, :row] @ weights[:row, column:column + columns]
    return plain_load(block, moving, sums)


@dataclass(frozen=True, eq=False)
class Operand:
    """An activation and a partial sum (two words, the second 0 unless redundant)."""

    activation: int
    sum: int
    carry: int


@dataclass(frozen=True, eq=False)
class Witness:
    """The vector that attains a weight's certified delay, and states from which an element reaches it late.

    Attributes:
        certified_ps: what is proved; its witness attains it from an unknown state.
        target: the vector.
        before: operands of the cycle before, `[state]` each.
        reached_ps: latest requirement of those, by timed simulation.
    """

    weight: int
    certified_ps: float
    target: Operand
    before: np.ndarray
    reached_ps: float


def find_witness(
    element: ArrayElement, core: ElementCore, timed: TimedNetlist, weight: int, period_ps: float, seed: int = 1
) -> Witness:
    """Return the witness of a weight value's certificate, and the states that make its element latest.

    Args:
        element: of the array.
        core: the same as flat arrays.
        timed: the same abutted to itself, which is what certificates speak of.
        weight: the value.
        period_ps: long enough for everything to settle.
        seed: of the states tried.
    """
    design = element.design
    proved = certify_weights(timed, design, [weight], "stationary")
    values = dict(zip(proved.sources, proved.witnesses[0].tolist(), strict=True))
    target = operand_of(values, Registers(timed, design), design)
    rng = np.random.default_rng((seed, weight & 0xFF))
    before = random_operands(design, rng, TRIED)
    best, reached_ps = np.zeros((3, 0), np.int64), np.zeros(0)
    for _ in range(ROUNDS + 1):
        edge = array_edge(element, [alternating(weight, target, before)])
        late_ps = run_array(element, core, array_program(element, edge, 1), period_ps).late_ps
        best = np.concatenate([best, before], axis=1)
        reached_ps = np.concatenate([reached_ps, late_ps[np.flatnonzero(edge.valid)[1::2]]])
        latest = np.argsort(-reached_ps, kind="stable")[:KEPT]
        best, reached_ps = best[:, latest], reached_ps[latest]
        before = neighbours_of(design, rng, best, TRIED)
    return Witness(weight, float(proved.upper_ps[0]), target, best, float(reached_ps[0]))


def operand_of(values: Mapping[str, int], registers: Registers, design: MacDesign) -> Operand:
    """Return the operands of a witness, given as final values of the sources of the abutted netlist."""
    sources = registers.timed.sources

    def word(bus: str) -> int:
        found = 0
        for place, bit in enumerate(registers.bus(bus) or ()):
            found |= (values.get(sources[bit.column].net, 0) ^ bit.inverted) << place
        return found

    half = 1 << design.activation_bits - 1
    activation = (word(design.lanes[0].activation) + half) % (2 * half) - half
    carry = word(design.roles["result_carry"]) if design.is_redundant else 0
    return Operand(activation, word(design.roles["result"]), carry)


def random_operands(design: MacDesign, rng: np.random.Generator, count: int) -> np.ndarray:
    """Return activations, sums and carries, int64 [3, state]."""
    half, words = 1 << design.activation_bits - 1, 1 << design.accumulator_bits
    carries = rng.integers(0, words, count) if design.is_redundant else np.zeros(count, np.int64)
    return np.stack([rng.integers(-half, half, count), rng.integers(0, words, count), carries])


def neighbours_of(design: MacDesign, rng: np.random.Generator, states: np.ndarray, count: int) -> np.ndarray:
    """Return `count` states that differ from some of `states` [3, state] in up to `MOST_FLIPS` bits."""
    bits = design.activation_bits, design.accumulator_bits, design.accumulator_bits * design.is_redundant
    found = states[:, rng.integers(0, states.shape[1], count)].copy()
    half = 1 << bits[0] - 1
    found[0] &= 2 * half - 1
    places = rng.integers(0, sum(bits), (MOST_FLIPS, count))
    for place, flips in zip(places, rng.random(places.shape) < 1 / 2, strict=True):
        for row, first in enumerate((0, bits[0], bits[0] + bits[1])):
            inside = flips & (place >= first) & (place < first + bits[row])
            found[row] ^= inside.astype(np.int64) << np.where(inside, place - first, 0)
    found[0] = (found[0] + half) % (2 * half) - half
    return found


def alternating(weight: int, target: Operand, before: np.ndarray) -> Load:
    """Return a load of one element that goes from each state to the target, steps 1, 3, 5, ..."""
    streams = np.repeat(before, 2, axis=1)
    streams[:, 1::2] = np.array([[target.activation], [target.sum], [target.carry]])
    activations, sums, carries = (stream[:, None] for stream in streams)
    return Load(np.array([[weight]]), activations, sums, carries)


def witness_load(witness: Witness, beside: Load) -> Load:
    """Return a load whose first row meets the witness, all columns alike, beside real data in the rows below."""
    own = alternating(witness.weight, witness.target, witness.before)
    steps, (_, columns) = len(own.activations), beside.weights.shape
    weights = beside.weights.copy()
    weights[0] = witness.weight
    activations = np.resize(beside.activations, (steps, beside.activations.shape[1])).copy()
    activations[:, 0] = own.activations[:, 0]
    return Load(weights, activations, np.repeat(own.sums, columns, axis=1), np.repeat(own.carries, columns, axis=1))
