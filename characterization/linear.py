"""Sums of bits: whether two sums over an and-inverter graph are the same number for every input, without search.

Adders are undone by algebra instead of by SAT, which finds sums of many operands hard: an exclusive or is
x + y - 2(x and y), the carry of a full adder is the sum of two conjunctions that exclude each other. Worked from the
outputs to the inputs, everything that adds falls away, whatever the shape of the adder tree. What is left depends on
few inputs at a time (a Booth row, a partial product) and is evaluated for every pattern of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

import numpy as np

from characterization.aig import Aig

MOST_INPUTS = 16


class LinearForm:
    """A number `constant + sum of coefficient * node`, modulo 2**width, over the nodes of a graph."""

    def __init__(self, graph: Aig, width: int) -> None:
        """Start at zero."""
        self.graph, self.width, self.constant = graph, width, 0
        self.coefficient: dict[int, int] = {}
        self._level = [0]
        self._waiting: list[tuple[int, int]] = []

    def add(self, edge: int, factor: int) -> None:
        """Add `factor` times a literal."""
        node = edge >> 1
        if edge & 1:
            self.constant += factor
            factor = -factor
        if node:
            if node not in self.coefficient:
                heapq.heappush(self._waiting, (-self.level(node), node))
            self.coefficient[node] = (self.coefficient.get(node, 0) + factor) % (1 << self.width)

    def level(self, node: int) -> int:
        """Return how many conjunctions deep a node is."""
        # Operands have smaller numbers; levels are filled in as the graph grows.
        for each in range(len(self._level), node + 1):
            left, right = self.graph.left[each], self.graph.right[each]
            self._level.append(0 if left < 0 else 1 + max(self._level[left >> 1], self._level[right >> 1]))
        return self._level[node]

    def expand(self) -> None:
        """Replace sums by what they add, the deepest first, so that no node is met twice."""
        while self._waiting:
            _, node = heapq.heappop(self._waiting)
            factor = self.coefficient.pop(node)
            terms = expansion(self.graph, node) if factor else []
            if terms is None:
                self.coefficient[node] = factor
            for edge, times in terms or ():
                self.add(edge, factor * times)

    def is_zero(self) -> bool | None:
        """Return whether the number is zero for every input; None if some part depends on too many inputs to say."""
        self.expand()
        rest, left = self.constant, [node for node, factor in self.coefficient.items() if factor]
        for nodes, inputs in independent_parts(self.graph, left):
            if len(inputs) > MOST_INPUTS:
                return None
            values = self.evaluate(nodes, inputs)
            if (values != values[0]).any():
                return False
            rest += int(values[0])
        return rest % (1 << self.width) == 0

    def evaluate(self, nodes: Sequence[int], inputs: Sequence[int]) -> np.ndarray:
        """Return the part of the number that some nodes make, for every pattern of their inputs, int64 [pattern]."""
        pattern = np.arange(max(1 << len(inputs), 64))
        packed = {node: np.packbits(pattern >> i & 1, bitorder="little").view(np.uint64)
                  for i, node in enumerate(inputs)}
        total = np.zeros(len(pattern), dtype=np.int64)
        for node, word in zip(nodes, self.graph.evaluate([2 * node for node in nodes], packed), strict=True):
            total += self.coefficient[node] * np.unpackbits(word.view(np.uint8), bitorder="little").astype(np.int64)
        return total & ((1 << self.width) - 1)


def expansion(graph: Aig, node: int) -> list[tuple[int, int]] | None:
    """Return (literal, factor) whose sum is the node, none of them deeper; None where the node adds nothing up."""
    left, right = graph.left[node], graph.right[node]
    if left < 0:
        return None
    choice = graph.choice(node)
    if choice and choice[1] ^ 1 == choice[2]:
        one, other = choice[0], choice[1]
        return [(one, 1), (other, 1), (graph.both(one, other), -2)]
    if exclude_each_other(graph, left, right):
        return []
    if left & right & 1 and exclude_each_other(graph, left ^ 1, right ^ 1):
        # Neither of two that exclude each other; literal 1 is the constant true.
        return [(1, 1), (left ^ 1, -1), (right ^ 1, -1)]
    # Conjunctions of true literals alone, so that equal ones meet.
    if left & 1:
        return [(right, 1), (graph.both(left ^ 1, right), -1)]
    return [(left, 1), (graph.both(left, right ^ 1), -1)] if right & 1 else None


def exclude_each_other(graph: Aig, one: int, other: int) -> bool:
    """Return whether two literals are conjunctions such as `x and y` and `z and (x differs from y)`."""
    parts = conjuncts(graph, one) | conjuncts(graph, other)
    for edge in parts:
        choice = graph.choice(edge >> 1) if graph.left[edge >> 1] >= 0 else None
        if choice and choice[1] ^ 1 == choice[2]:
            # The node says that both differ, its inverse that they are equal.
            same = {choice[0], choice[1] ^ (edge & 1)}
            if same <= parts or {item ^ 1 for item in same} <= parts:
                return True
    return any(edge ^ 1 in parts for edge in parts)


def conjuncts(graph: Aig, edge: int) -> set[int]:
    """Return a literal, or the two literals that it is the conjunction of."""
    node = edge >> 1
    return {edge} if edge & 1 or graph.left[node] < 0 else {graph.left[node], graph.right[node]}


def independent_parts(graph: Aig, nodes: Iterable[int]) -> list[tuple[list[int], list[int]]]:
    """Return groups of nodes that share no input with another group, each with its inputs."""
    wanted = sorted(nodes)
    # The inputs of a node, a bit each: of its two operands together.
    support = {0: 0}
    for node in graph.cone([2 * node for node in wanted]):
        left, right = graph.left[node], graph.right[node]
        support[node] = 1 << node if left < 0 else support[left >> 1] | support[right >> 1]
    parts: list[tuple[list[int], int]] = []
    for node in wanted:
        joined = [part for part in parts if part[1] & support[node]]
        parts = [part for part in parts if not part[1] & support[node]]
        inputs = support[node]
        for part in joined:
            inputs |= part[1]
        parts.append(([node, *(each for part in joined for each in part[0])], inputs))
    return [(members, [node for node in range(inputs.bit_length()) if inputs >> node & 1]) for members, inputs in parts]


def same_number(graph: Aig, left: Sequence[Sequence[int]], right: Sequence[int], width: int) -> bool | None:
    """Return whether the words of `left` add up to `right` modulo 2**width; None if this algebra cannot tell."""
    form = LinearForm(graph, width)
    for factor, words in ((1, left), (-1, [right])):
        for word in words:
            for position, edge in enumerate(word[:width]):
                form.add(edge, factor << position)
    return form.is_zero()
