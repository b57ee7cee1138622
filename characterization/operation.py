"""Several clock cycles of a design: operands in, one result out, for the reference and for the gates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from characterization.aig import FALSE, Aig
from characterization.cut import Cut, Now
from characterization.design import MacDesign
from characterization.errors import EquivalenceError
from characterization.netlist import Netlist
from characterization.reference import Reference, wrap
from characterization.word import Word, as_word, select_word, wrap_word

SEED = 20260101
WORD_BITS = 64
PAIR_BITS = 16


def held_nets(design: MacDesign) -> dict[str, int]:
    """Return the nets that stand still in compute mode with their values, ports driven by held neighbours included."""
    held = dict(design.hold) | {sink: design.hold[source] for sink, source in design.neighbours.items()
                                if source in design.hold}
    return {net: value >> bit & 1 for bus, value in held.items() for bit, net in enumerate(design.nets_of(bus))}


def operand_nets(design: MacDesign) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return the nets of each lane's weight and activation where an operation reads them.

    A stationary weight is in its register; everything else enters through ports.
    """
    n_lanes = len(design.lanes)
    activations = split(design.nets_of(design.roles["activation"]), n_lanes)
    if design.weight_mode == "stationary":
        return [design.nets_of(lane.weight) for lane in design.lanes], activations
    return split(design.nets_of(design.roles["weight"]), n_lanes), activations


def split(nets: tuple[str, ...], n_lanes: int) -> list[tuple[str, ...]]:
    """Return the nets of a port that carries the lanes side by side, lane 0 lowest."""
    width = len(nets) // n_lanes
    return [nets[lane * width : (lane + 1) * width] for lane in range(n_lanes)]


def input_nets(design: MacDesign) -> Iterator[str]:
    """Yield every net that a description names; registers are overwritten by what `next_state` says."""
    for bus in design.widths:
        yield from design.nets_of(bus)


@dataclass(frozen=True)
class FinalResult:
    """The result after `latency` steps of `next_state` beside `result` of the same operands, bit by bit.

    Attributes:
        graph: the logic.
        found: the one or two words that leave; a redundant result is their sum.
        expected: what `result` says.
        codes: the literals of each lane's weight, lowest bit first.
    """

    graph: Aig
    found: tuple[tuple[int, ...], ...]
    expected: tuple[int, ...]
    codes: tuple[tuple[int, ...], ...]


def final_result(design: MacDesign, reference: Reference) -> FinalResult:
    """Return what several steps of `next_state` yield, beside what `result` says."""
    graph, held = Aig(), held_nets(design)
    state: dict[str, int] = {}
    operands: list[tuple[int, ...]] = []
    accumulator: Word | None = None
    for step in range(design.latency):
        current = {net: state.get(net, held.get(net, -1)) for net in input_nets(design)}
        current = {net: graph.variable() if edge < 0 else edge for net, edge in current.items()}
        if step == 0:
            operands = [tuple(current[net] for net in nets) for lanes in operand_nets(design) for nets in lanes]
        if step == design.latency - design.accumulator_latency:
            words = [Word(graph, tuple(current[net] for net in nets)) for nets in accumulator_nets(design)]
            accumulator = total_of(words)
        state = stepped(design, reference, graph, current)
    n_lanes = len(design.lanes)
    weights = [decoded(design, Word(graph, bits)) for bits in operands[:n_lanes]]
    activations = [Word(graph, bits) for bits in operands[n_lanes:]]
    expected = reference.result(weights, activations, accumulator, wrap_word).extended(design.accumulator_bits)
    found = tuple(tuple(state[net] for net in nets) for nets in result_nets(design))
    return FinalResult(graph, found, expected, tuple(operands[:n_lanes]))


def total_of(words: Iterable[Any]) -> Any:
    """Return the sum of the words of a partial sum, one or two."""
    first, *rest = words
    return first + rest[0] if rest else first


def accumulator_nets(design: MacDesign) -> list[tuple[str, ...]]:
    """Return the nets of the one or two ports through which a partial sum enters."""
    return [design.nets_of(design.roles[role]) for role in ("accumulator_in", "accumulator_carry")
            if role in design.roles]


def result_nets(design: MacDesign) -> list[tuple[str, ...]]:
    """Return the nets of the one or two ports through which a partial sum leaves."""
    return [design.nets_of(design.roles[role]) for role in ("result", "result_carry") if role in design.roles]


def decoded(design: MacDesign, code: Word) -> Word:
    """Return the value that a weight's code stands for, as a word."""
    words = [as_word(value, code.graph) for value in design.weight_values]
    for bit in code.bits if words else ():
        words = [select_word(Word(code.graph, (bit, FALSE)), odd, even)
                 for even, odd in zip(words[::2], words[1::2], strict=True)]
    return words[0] if words else code


def stepped(design: MacDesign, reference: Reference, graph: Aig, current: dict[str, int]) -> dict[str, int]:
    """Return the literals of all registers after one clock edge."""
    after = reference.next_state(Now(design, graph, current), wrap_word, select_word)
    state: dict[str, int] = {}
    for bus, value in after.items():
        nets = design.nets_of(bus)
        word = value if isinstance(value, Word) else Word(graph, (value & 1, 0))
        state.update(zip(nets, word.extended(len(nets)), strict=True))
    return state


def simulate_result(cut: Cut, design: MacDesign, reference: Reference, netlist: Netlist, n_tuples: int) -> int:
    """Send operands through the gates for `latency` cycles and compare with `result`; return the number of tuples.

    All pairs of weight and activation are among them, each with a random partial sum, and `n_tuples` random ones.

    Raises:
        EquivalenceError: a tuple gives another result, with its operands.
    """
    random = np.random.default_rng(SEED)
    operands = draw_operands(design, random, n_tuples)
    n_words = operands.shape[1] // WORD_BITS
    held = held_nets(design)
    state = {node: noise(random, n_words) for node in cut.next_state}
    chosen = dict(operand_bits(design, operands))
    accumulator = np.zeros(0)
    for step in range(design.latency):
        values = state | {cut.literal[net] >> 1: noise(random, n_words) for net in netlist.inputs}
        fixed = {net: np.full(n_words, -bit, dtype=np.int64).view(np.uint64) for net, bit in held.items()}
        for net, bits in (fixed | (chosen if step == 0 else {})).items():
            values[cut.literal[net] >> 1] = ~bits if cut.literal[net] & 1 else bits
        if step == design.latency - design.accumulator_latency:
            accumulator = total_of(numbers(cut, nets, values) for nets in accumulator_nets(design))
        nodes = list(cut.next_state)
        state = dict(zip(nodes, cut.graph.evaluate([cut.next_state[node] for node in nodes], values), strict=True))
    found = wrap(total_of(numbers(cut, nets, state) for nets in result_nets(design)), design.accumulator_bits)
    compare(design, reference, netlist.top, operands, accumulator, found)
    return int(operands.shape[1])


def draw_operands(design: MacDesign, random: np.random.Generator, n_random: int) -> np.ndarray:
    """Return unsigned codes, int64 [lane weights then lane activations, tuple], a multiple of 64 tuples.

    First every pair of weight and activation, in each lane in another order, where these are at most 2**16 pairs;
    then at least `n_random` random tuples.
    """
    pair_bits = design.weight_bits + design.activation_bits
    n_pairs = 1 << pair_bits if pair_bits <= PAIR_BITS else 0
    n_total = -(-(n_pairs + n_random) // WORD_BITS) * WORD_BITS
    lanes = [np.concatenate([random.permutation(n_pairs), random.integers(0, 1 << pair_bits, n_total - n_pairs)])
             for _ in design.lanes]
    weights = [pair & ((1 << design.weight_bits) - 1) for pair in lanes]
    return np.stack([*weights, *(pair >> design.weight_bits for pair in lanes)])


def operand_bits(design: MacDesign, operands: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every operand net with its bits, 64 tuples a word."""
    rows = [nets for lanes in operand_nets(design) for nets in lanes]
    for nets, row in zip(rows, operands, strict=True):
        for bit, net in enumerate(nets):
            yield net, np.packbits((row >> bit & 1).astype(np.uint8), bitorder="little").view(np.uint64)


def compare(
    design: MacDesign, reference: Reference, top: str, operands: np.ndarray, accumulator: np.ndarray, found: np.ndarray
) -> None:
    """Compare results [tuple] with what the reference says.

    Raises:
        EquivalenceError: with the operands of the first that differs.
    """
    n_lanes = len(design.lanes)
    weights, activations = operands[:n_lanes], [wrap(row, design.activation_bits) for row in operands[n_lanes:]]
    table = np.array(design.weight_values) if design.weight_values else wrap(
        np.arange(1 << design.weight_bits), design.weight_bits)
    values = [table[row] for row in weights]
    expected = reference.result(values, activations, accumulator, wrap)
    wrong = np.flatnonzero(found != expected)
    if wrong.size:
        at = int(wrong[0])
        raise EquivalenceError(
            f"{top}: with weights {[int(x[at]) for x in values]}, activations {[int(x[at]) for x in activations]} and "
            f"accumulator {int(accumulator[at])} the gates give {int(found[at])} after {design.latency} cycles, "
            f"{design.reference.name} says {int(expected[at])}."
        )


def noise(random: np.random.Generator, n_words: int) -> np.ndarray:
    """Return random words, uint64 [n_words]."""
    return random.integers(0, 1 << 64, n_words, dtype=np.uint64)


def numbers(cut: Cut, nets: tuple[str, ...], values: dict[int, np.ndarray]) -> np.ndarray:
    """Return the signed numbers that some nets carry, int64 [64 * n_words]."""
    bits = cut.graph.evaluate([cut.literal[net] for net in nets], values)
    spread = [np.unpackbits(word.view(np.uint8), bitorder="little").astype(np.int64) for word in bits]
    return wrap(sum(bit << i for i, bit in enumerate(spread)), len(nets))  # type: ignore[no-any-return]
