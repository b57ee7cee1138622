"""Proof that a mapped netlist computes what its reference says: `prove_equivalent(netlist, design, library)`.

The netlist is cut at its registers. The next value of every register, as the gates compute it, is proved equal to
`next_state` of `reference.py` for all states and inputs, by SAT: registers that hold a weight's product once for each
of the 256 weights, with the rest free, all others at once. A register that depends on at most 16 bits, as the product
of one lane does, is evaluated for every pattern of them instead, which proves as much in less time. That `result` is
what `next_state` yields after `latency` clock edges is proved by algebra (`linear.py`), or in the same way. Every pair
of weight and activation, and random tuples, through the whole pipeline are a check on the check itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pysat.solvers import Minisat22

from characterization.aig import FALSE, TRUE, Aig, literal
from characterization.cut import Cut, Now, cut_netlist
from characterization.design import MacDesign
from characterization.errors import DesignError, EquivalenceError
from characterization.liberty import CellLibrary
from characterization.linear import same_number
from characterization.netlist import Netlist
from characterization.operation import FinalResult, final_result, simulate_result, total_of
from characterization.reference import Reference, load_reference
from characterization.word import Word, as_word, select_word, wrap_word

RANDOM_TUPLES = 100_000
EXHAUSTIVE_BITS = 16
METHOD = (
    "the next value of every register bit: all patterns where it depends on at most 16 bits, else SAT (minisat22), "
    "products once per weight with all else free; result() from latency steps of next_state by algebra on sums of "
    "bits; every pair of weight and activation and random tuples through the pipeline besides"
)
Progress = Callable[[int, int], None]
Fixed = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class EquivalenceProof:
    """What was proved, and how.

    Attributes:
        method: the proof in words.
        n_registers: register bits whose next value was proved.
        n_weights: weight values proved one by one, summed over lanes.
        n_solver_calls: questions that went to the SAT solver.
        n_patterns: input patterns evaluated where all of them were.
        n_random: operand tuples sent through the whole pipeline besides, every pair of operands among them.
    """

    method: str
    n_registers: int
    n_weights: int
    n_solver_calls: int
    n_patterns: int
    n_random: int


@dataclass(frozen=True, slots=True)
class Target:
    """A register bus: what the gates compute for its next value and what the reference says, bit by bit."""

    bus: str
    found: tuple[int, ...]
    expected: tuple[int, ...]

    @property
    def roots(self) -> tuple[int, ...]:
        """Both sides."""
        return self.found + self.expected


def prove_equivalent(
    netlist: Netlist, design: MacDesign, library: CellLibrary, progress: Progress | None = None
) -> EquivalenceProof:
    """Return the proof that `netlist` equals the design's reference.

    Raises:
        EquivalenceError: they differ, with the first vector that shows it; or the netlist cannot be compared.
        DesignError: `reference.py` does not run, or does not describe every register.
        LibertyError: the library lacks a cell of the netlist.
    """
    reference = load_reference(design)
    cut = cut_netlist(netlist, library, design.clock)
    now = Now(design, cut.graph, cut.literal)
    targets = register_targets(cut, design, dict(reference.next_state(now, wrap_word, select_word)), now)
    check_coverage(cut, design, netlist, targets)
    small = [target for target in targets if len(inputs_of(cut.graph, target.roots)) <= EXHAUSTIVE_BITS]
    n_patterns = sum(try_all_patterns(cut.graph, target, now, netlist.top) for target in small)
    cases = [(t, fixed) for t in targets if t not in small for fixed in weight_cases(cut, design, t)]
    calls = 0
    for done, (target, fixed) in enumerate(cases):
        calls += prove_target(cut.graph, target, fixed, now, netlist.top)
        if progress:
            progress(done + 1, len(cases))
    calls += prove_result(design, reference, netlist.top)
    n_random = simulate_result(cut, design, reference, netlist, RANDOM_TUPLES)
    n_registers = sum(len(target.found) for target in targets)
    n_weights = sum(len(fixed) > 0 for _, fixed in cases)
    return EquivalenceProof(METHOD, n_registers, n_weights, calls, n_patterns, n_random)


def register_targets(cut: Cut, design: MacDesign, following: Mapping[str, object], now: Now) -> list[Target]:
    """Return the registers that the reference describes, with both sides of each.

    Raises:
        DesignError: the reference names something that is no register of the netlist.
    """
    targets = []
    for bus, value in following.items():
        nets = design.nets_of(bus)
        found = [cut.after(net) for net in nets]
        if None in found:
            net = nets[found.index(None)]
            raise DesignError(f"{design.reference}: next_state names {net}, which is no register of the netlist.")
        expected = as_word(value, now.graph).extended(len(nets))  # type: ignore[arg-type]
        targets.append(Target(bus, tuple(bit for bit in found if bit is not None), expected))
    return targets


def check_coverage(cut: Cut, design: MacDesign, netlist: Netlist, targets: Sequence[Target]) -> None:
    """Check that every flop and every output port is spoken for.

    Raises:
        DesignError: some register is not described by `next_state`.
        EquivalenceError: some output is not a register.
    """
    described = {cut.literal[net] >> 1 for target in targets for net in design.nets_of(target.bus)}
    if missing := sorted(cut.flop_of[node] for node in cut.next_state if node not in described):
        raise DesignError(
            f"{design.reference}: next_state does not describe {', '.join(missing[:8])}; every register must be."
        )
    for port in netlist.ports:
        for net in port.nets if port.direction == "output" else ():
            if cut.after(net) is None:
                raise EquivalenceError(
                    f"{netlist.top}: output {port.name} does not come straight from a register; register it."
                )


def weight_cases(cut: Cut, design: MacDesign, target: Target) -> list[dict[int, int]]:
    """Return the cases in which a register is proved: input node -> constant.

    One empty case for most; for a result register that sees weights, each weight value of each lane it sees, other
    lanes' weights at zero if it sees several.
    """
    results = {bus.split("[")[0] for bus in design.result_registers}
    support = set(cut.graph.cone(target.roots))
    lanes = [[cut.literal[net] >> 1 for net in design.nets_of(lane.weight)] for lane in design.lanes]
    seen = [nodes for nodes in lanes if support.intersection(nodes)]
    if target.bus.split("[")[0] not in results or not seen:
        return [{}]
    zero = {node: FALSE for nodes in seen for node in nodes}
    bits = [(nodes, code) for nodes in seen for code in range(1 << design.weight_bits)]
    return [zero | {node: code >> bit & 1 for bit, node in enumerate(nodes)} for nodes, code in bits]


def inputs_of(graph: Aig, roots: Sequence[int]) -> list[int]:
    """Return the input nodes that some literals depend on."""
    return [node for node in graph.cone(roots) if graph.left[node] < 0]


def try_all_patterns(graph: Aig, target: Target, now: Now, top: str) -> int:
    """Compare both sides of a register for every pattern of its inputs; return the number of patterns.

    Raises:
        EquivalenceError: they differ.
    """
    inputs = inputs_of(graph, target.roots)
    n_patterns = 1 << len(inputs)
    # Bit j of the packed words is pattern j; short tables repeat to fill a word.
    pattern = np.arange(max(n_patterns, 64))
    values = {node: np.packbits(pattern >> i & 1, bitorder="little").view(np.uint64) for i, node in enumerate(inputs)}
    bits = graph.evaluate(target.roots, values or {0: np.zeros(1, dtype=np.uint64)})
    half = len(target.found)
    unequal = np.bitwise_or.reduce([x ^ y for x, y in zip(bits[:half], bits[half:], strict=True)])
    wrong = np.flatnonzero(np.unpackbits(unequal.view(np.uint8), bitorder="little"))
    if wrong.size:
        failing = {node: int(wrong[0]) >> i & 1 for i, node in enumerate(inputs)}
        raise EquivalenceError(f"{top}: {describe(graph, target, failing, now)}")
    return n_patterns


def prove_target(graph: Aig, target: Target, fixed: Fixed, now: Now, top: str) -> int:
    """Prove both sides of a register equal with some inputs fixed; return the number of solver calls.

    Raises:
        EquivalenceError: they differ.
    """
    small = Aig()
    free = inputs_of(graph, target.roots)
    image = {node: fixed[node] if node in fixed else small.variable() for node in free}
    bits = graph.copy_into(small, target.roots, image)
    half = len(target.found)
    model, calls = first_difference(small, bits[:half], bits[half:])
    if model is not None:
        values = {node: value if value < 2 else int(value >> 1 in model) for node, value in image.items()}
        raise EquivalenceError(f"{top}: {describe(graph, target, values, now)}")
    return calls


def first_difference(graph: Aig, left: Sequence[int], right: Sequence[int]) -> tuple[set[int] | None, int]:
    """Return the true variables of an assignment in which two bit lists differ (None if there is none), and the calls.

    Bits are compared from the lowest; each equality proved is a lemma for the next, which makes carries easy.
    """
    unequal = [graph.differ(one, other) for one, other in zip(left, right, strict=True)]
    if TRUE in unequal:
        return set(), 0
    asked = [edge for edge in unequal if edge != FALSE]
    if not asked:
        return None, 0
    with Minisat22(bootstrap_with=graph.clauses(asked)) as solver:
        for calls, edge in enumerate(asked, start=1):
            if solver.solve(assumptions=[literal(edge)]):
                return {variable for variable in solver.get_model() if variable > 0}, calls
            solver.add_clause([-literal(edge)])
    return None, len(asked)


def describe(graph: Aig, target: Target, values: Mapping[int, int], now: Now) -> str:
    """Return a failing vector in words: what the registers and ports were, what came out, what should have."""
    words = {node: np.array([-value]) for node, value in values.items()} or {0: np.zeros(1, dtype=np.int64)}
    bits = [int(word[0] & 1) for word in graph.evaluate(target.roots, words)]
    half = len(target.found)
    seen = [
        f"{bus} = {number([values.get(bit >> 1, 0) if bit > 1 else bit for bit in word.bits])}"
        for bus, word in now.read.items()
        if any(bit >> 1 in values for bit in word.bits)
    ]
    unnamed = {bit >> 1 for word in now.read.values() for bit in word.bits}
    seen += [f"{net} = {values[edge >> 1]}" for net, edge in now.literal.items() if edge >> 1 in set(values) - unnamed]
    return (
        f"netlist disagrees with {now.design.reference.name}: with {', '.join(seen) or 'any inputs'}, the next "
        f"{target.bus} must be {number(bits[half:])}, the gates give {number(bits[:half])}."
    )


def number(bits: Sequence[int]) -> int:
    """Return the number of some bits, lowest first; signed unless it is a single bit.

    >>> number([1, 0, 1]), number([1])
    (-3, 1)
    """
    value = sum(bit << i for i, bit in enumerate(bits))
    return value - (bits[-1] << len(bits)) if len(bits) > 1 else value


def prove_result(design: MacDesign, reference: Reference, top: str) -> int:
    """Prove that `result` is what `latency` steps of `next_state` yield; return the number of solver calls.

    Raises:
        EquivalenceError: it is not.
    """
    final = final_result(design, reference)
    calls = 0
    same = same_number(final.graph, final.found, final.expected, design.accumulator_bits)
    for fixed in code_cases(final, design) if same is None else ():
        same, more = same_result(final, fixed)
        calls += more
        if not same:
            break
    if not same:
        raise EquivalenceError(
            f"{top}: {design.reference.name} contradicts itself: {design.latency} steps of next_state do not yield "
            f"result(); is latency {design.latency} or accumulator_latency {design.accumulator_latency} wrong?"
        )
    return calls


def same_result(final: FinalResult, fixed: Fixed) -> tuple[bool, int]:
    """Return whether both sides agree with some inputs fixed, by algebra or else by SAT, and the solver calls."""
    graph, width = Aig(), len(final.expected)
    roots = [bit for word in (*final.found, final.expected) for bit in word]
    image = {node: fixed[node] if node in fixed else graph.variable() for node in inputs_of(final.graph, roots)}
    bits = final.graph.copy_into(graph, roots, image)
    *found, expected = (bits[i : i + width] for i in range(0, len(bits), width))
    same = same_number(graph, found, expected, width)
    if same is not None:
        return same, 0
    total = total_of(Word(graph, tuple(word)) for word in found).extended(width)
    model, calls = first_difference(graph, total, expected)
    return model is None, calls


def code_cases(final: FinalResult, design: MacDesign) -> list[dict[int, int]]:
    """Return the cases in which the result is proved: each code of a single lane, else all at once."""
    if len(final.codes) > 1:
        return [{}]
    (bits,) = final.codes
    return [{edge >> 1: code >> bit & 1 for bit, edge in enumerate(bits)} for code in range(1 << design.weight_bits)]
