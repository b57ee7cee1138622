"""And-inverter graph: the form in which a netlist and its reference are compared.

A literal is `2 * node + inverted`; node 0 is the constant false, so the literals 0 and 1 are the constants. Equal
conjunctions of equal literals are one node, and constants fold away, so fixing a weight shrinks the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

FALSE, TRUE = 0, 1


class Aig:
    """A growing graph. `left[n]` and `right[n]` are the operands of node n; -1 for an input."""

    def __init__(self) -> None:
        """Start with the constant alone."""
        self.left: list[int] = [-1]
        self.right: list[int] = [-1]
        self._known: dict[tuple[int, int], int] = {}

    def variable(self) -> int:
        """Return the literal of a new input."""
        self.left.append(-1)
        self.right.append(-1)
        return 2 * (len(self.left) - 1)

    def both(self, one: int, other: int) -> int:
        """Return the conjunction of two literals.

        >>> graph = Aig()
        >>> x = graph.variable()
        >>> graph.both(x, TRUE) == x, graph.both(x, x ^ 1)
        (True, 0)
        """
        if one > other:
            one, other = other, one
        if one == FALSE or one ^ other == 1:
            return FALSE
        if one in (TRUE, other):
            return other
        found = self._known.get((one, other))
        if found is None:
            self.left.append(one)
            self.right.append(other)
            found = 2 * (len(self.left) - 1)
            self._known[one, other] = found
        return found

    def either(self, one: int, other: int) -> int:
        """Return the disjunction of two literals."""
        return self.both(one ^ 1, other ^ 1) ^ 1

    def differ(self, one: int, other: int) -> int:
        """Return the exclusive or of two literals."""
        return self.choose(one, other ^ 1, other)

    def choose(self, condition: int, one: int, other: int) -> int:
        """Return `one` where `condition` holds, else `other`."""
        if one == other:
            return one
        return self.both(self.both(condition, one) ^ 1, self.both(condition ^ 1, other) ^ 1) ^ 1

    def function(self, truth: int, inputs: Sequence[int]) -> int:
        """Return a truth table of some literals: bit i of `truth` is the value for pattern i, `inputs[0]` lowest."""
        size = 1 << len(inputs)
        if truth in (0, (1 << size) - 1):
            return TRUE if truth else FALSE
        half = size // 2
        low, high = truth & ((1 << half) - 1), truth >> half
        top, rest = inputs[-1], inputs[:-1]
        if low == high:
            return self.function(low, rest)
        if low == high ^ ((1 << half) - 1):
            return self.differ(top, self.function(low, rest))
        return self.choose(top, self.function(high, rest), self.function(low, rest))

    def cone(self, roots: Iterable[int]) -> list[int]:
        """Return the nodes that some literals depend on, operands first."""
        wanted = {root >> 1 for root in roots}
        # Operands always have smaller numbers than the node itself.
        for node in range(max(wanted, default=0), 0, -1):
            if node in wanted and self.left[node] >= 0:
                wanted.add(self.left[node] >> 1)
                wanted.add(self.right[node] >> 1)
        return sorted(wanted - {0})

    def copy_into(self, target: Aig, roots: Sequence[int], inputs: Mapping[int, int]) -> list[int]:
        """Return `roots` rebuilt in `target`, where `inputs` gives the literal of every input node met."""
        image = {0: FALSE}
        for node in self.cone(roots):
            one, other = self.left[node], self.right[node]
            if one < 0:
                image[node] = inputs[node]
            else:
                image[node] = target.both(image[one >> 1] ^ (one & 1), image[other >> 1] ^ (other & 1))
        return [image[root >> 1] ^ (root & 1) for root in roots]

    def evaluate(self, roots: Sequence[int], inputs: Mapping[int, np.ndarray]) -> list[np.ndarray]:
        """Return the values of `roots`: integer words of independent bits, for such words (one shape) at the inputs."""
        example = next(iter(inputs.values()))
        value = {0: np.zeros_like(example)}
        for node in self.cone(roots):
            one, other = self.left[node], self.right[node]
            if one < 0:
                value[node] = inputs[node]
            else:
                first, second = value[one >> 1], value[other >> 1]
                value[node] = (~first if one & 1 else first) & (~second if other & 1 else second)
        return [~value[root >> 1] if root & 1 else value[root >> 1] for root in roots]

    def choice(self, node: int) -> tuple[int, int, int] | None:
        """Return (condition, one, other) if the node is the inverse of `choose` of them: of an xor or a multiplexer."""
        left, right = self.left[node], self.right[node]
        if not (left & right & 1) or self.left[left >> 1] < 0 or self.left[right >> 1] < 0:
            return None
        first = (self.left[left >> 1], self.right[left >> 1])
        second = (self.left[right >> 1], self.right[right >> 1])
        for i, condition in enumerate(first):
            if condition ^ 1 in second:
                return condition, first[1 - i], second[1 - second.index(condition ^ 1)]
        return None

    def clauses(self, roots: Sequence[int]) -> list[list[int]]:
        """Return the CNF that defines some literals, none of them constant: node n is variable n.

        An xor or a multiplexer becomes one variable and four clauses: half the size, and far fewer conflicts.
        """
        found: list[list[int]] = []
        wanted = {root >> 1 for root in roots}
        for node in range(max(wanted), 0, -1):
            if node not in wanted or self.left[node] < 0:
                continue
            if choice := self.choice(node):
                condition, one, other = (literal(edge) for edge in choice)
                found += [[-node, -condition, -one], [node, -condition, one]]
                found += [[-node, condition, -other], [node, condition, other]]
                wanted.update(edge >> 1 for edge in choice)
            else:
                first, second = literal(self.left[node]), literal(self.right[node])
                found += [[-node, first], [-node, second], [node, -first, -second]]
                wanted.update((self.left[node] >> 1, self.right[node] >> 1))
        return found


def literal(edge: int) -> int:
    """Return the CNF literal of a graph literal that is no constant."""
    return -(edge >> 1) if edge & 1 else edge >> 1
