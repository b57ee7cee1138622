"""Several clock cycles of a design: operands in, one result out, for the reference and for the gates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from characterization.aig import Aig
from characterization.cut import Cut, Now
from characterization.design import MacDesign
from characterization.errors import EquivalenceError
from characterization.netlist import Netlist
from characterization.reference import Reference, wrap
from characterization.word import Word, select_word, wrap_word

SEED = 20260101
WORD_BITS = 64


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


def final_result(design: MacDesign, reference: Reference) -> tuple[Aig, tuple[int, ...], tuple[int, ...]]:
    """Return the result port after `latency` steps of `next_state`, and `result` of the same operands, bit by bit."""
    graph, held = Aig(), held_nets(design)
    weights, activations = operand_nets(design)
    state: dict[str, int] = {}
    words: dict[int, Word] = {}
    accumulator: Word | None = None
    nets_of_operands = [*weights, *activations]
    for step in range(design.latency):
        current = {net: state.get(net, held.get(net, -1)) for net in input_nets(design)}
        current = {net: graph.variable() if edge < 0 else edge for net, edge in current.items()}
        if step == 0:
            words = {i: Word(graph, tuple(current[net] for net in nets)) for i, nets in enumerate(nets_of_operands)}
        if step == design.latency - design.accumulator_latency:
            nets = design.nets_of(design.roles["accumulator_in"])
            accumulator = Word(graph, tuple(current[net] for net in nets))
        state = stepped(design, reference, graph, current)
    n_lanes = len(design.lanes)
    lanes = [words[i] for i in range(2 * n_lanes)]
    expected = reference.result(lanes[:n_lanes], lanes[n_lanes:], accumulator, wrap_word)
    result_nets = design.nets_of(design.roles["result"])
    return graph, tuple(state[net] for net in result_nets), expected.extended(len(result_nets))


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
    """Send random operands through the gates for `latency` cycles and compare with `result`; return their number.

    Raises:
        EquivalenceError: a tuple gives another result, with its operands.
    """
    random = np.random.default_rng(SEED)
    n_words = -(-n_tuples // WORD_BITS)
    weights, activations = operand_nets(design)
    result_nets = design.nets_of(design.roles["result"])
    held = held_nets(design)
    state = {node: noise(random, n_words) for node in cut.next_state}
    operands: list[np.ndarray] = []
    accumulator = np.zeros(0)
    for step in range(design.latency):
        values = state | {cut.literal[net] >> 1: noise(random, n_words) for net in netlist.inputs}
        values |= {
            cut.literal[net] >> 1: np.full(n_words, -(bit ^ (cut.literal[net] & 1)), dtype=np.int64).view(np.uint64)
            for net, bit in held.items()
        }
        if step == 0:
            operands = [numbers(cut, nets, values) for nets in (*weights, *activations)]
        if step == design.latency - design.accumulator_latency:
            accumulator = numbers(cut, design.nets_of(design.roles["accumulator_in"]), values)
        nodes = list(cut.next_state)
        state = dict(zip(nodes, cut.graph.evaluate([cut.next_state[node] for node in nodes], values), strict=True))
    found = numbers(cut, result_nets, state)
    n_lanes = len(design.lanes)
    expected = reference.result(operands[:n_lanes], operands[n_lanes:], accumulator, wrap)
    wrong = np.flatnonzero(found != expected)
    if wrong.size:
        at = int(wrong[0])
        raise EquivalenceError(
            f"{netlist.top}: with weights {[int(x[at]) for x in operands[:n_lanes]]}, activations "
            f"{[int(x[at]) for x in operands[n_lanes:]]} and accumulator {int(accumulator[at])} the gates give "
            f"{int(found[at])} after {design.latency} cycles, {design.reference.name} says {int(expected[at])}."
        )
    return n_words * WORD_BITS


def noise(random: np.random.Generator, n_words: int) -> np.ndarray:
    """Return random words, uint64 [n_words]."""
    return random.integers(0, 1 << 64, n_words, dtype=np.uint64)


def numbers(cut: Cut, nets: tuple[str, ...], values: dict[int, np.ndarray]) -> np.ndarray:
    """Return the signed numbers that some nets carry, int64 [64 * n_words]."""
    bits = cut.graph.evaluate([cut.literal[net] for net in nets], values)
    spread = [np.unpackbits(word.view(np.uint8), bitorder="little").astype(np.int64) for word in bits]
    return wrap(sum(bit << i for i, bit in enumerate(spread)), len(nets))  # type: ignore[no-any-return]
