"""The order of clock classes within each dependent stage that changes the clock least."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Block:
    """All loads of one stage in one clock class.

    Attributes:
        fixed: whether it is a product that every method runs in the all-values class (attention, head).
    """

    stage: str
    codebook: str
    fixed: bool


Cost = tuple[int, int]
Route = tuple[Cost, tuple[Block, ...]]


def order_blocks(stages: Sequence[Sequence[Block]], alternating: bool = True) -> list[Block]:
    """Return all blocks in the order of execution: stages as given, classes within a stage in the best order.

    Least are the changes of a whole pass taken as a circle, then those among the linear layers alone. K classes in a
    stage cost K - 1 changes; none is added between stages that share a class. With `alternating` false the classes keep
    the order given (for comparison).

    >>> a, b = Block("1", "slow", False), Block("1", "fast", False)
    >>> c, d = Block("2", "slow", False), Block("2", "fast", False)
    >>> [block.codebook for block in order_blocks([[a, b], [c, d]])]
    ['slow', 'fast', 'fast', 'slow']
    """
    filled = [list(stage) for stage in stages if stage]
    if not filled or not alternating:
        return [block for stage in filled for block in stage]
    best = min((route for first in filled[0] for route in routes_from(filled, first)), key=lambda route: route[0])
    return list(best[1])


def routes_from(stages: list[list[Block]], first: Block) -> Iterator[Route]:
    """Yield, per class that the last stage may end in, the cheapest route that begins with `first`, closed to a circle.

    Dynamic programming over (last block, last linear block): what comes later depends on nothing else.
    """
    states: dict[tuple[str, str], Route] = {}
    for blocks in arrangements(stages[0], first):
        keep_best(states, (path_cost(blocks), blocks))
    for stage in stages[1:]:
        following: dict[tuple[str, str], Route] = {}
        for cost, path in states.values():
            for start in stage:
                for blocks in arrangements(stage, start):
                    keep_best(following, (added_cost(cost, path, blocks), path + blocks))
        states = following
    for cost, path in states.values():
        yield added_cost(cost, path, path[:1], closing=True), path


def arrangements(stage: list[Block], first: Block) -> Iterator[tuple[Block, ...]]:
    """Yield the orders of `stage` that begin with `first`, one for each block that may be last."""
    rest = [block for block in stage if block is not first]
    if not rest:
        yield (first,)
    for last in rest:
        yield (first, *(block for block in rest if block is not last), last)


def keep_best(states: dict[tuple[str, str], Route], route: Route) -> None:
    """Keep `route` if it is the cheapest that ends as it does."""
    linear = last_linear(route[1])
    key = (route[1][-1].codebook, linear.codebook if linear else "")
    if key not in states or route[0] < states[key][0]:
        states[key] = route


def last_linear(path: tuple[Block, ...]) -> Block | None:
    """Return the last block of a linear layer."""
    return next((block for block in reversed(path) if not block.fixed), None)


def changes(path: Sequence[Block]) -> int:
    """Return how often the class changes along `path`."""
    return sum(a.codebook != b.codebook for a, b in pairwise(path))


def path_cost(path: tuple[Block, ...]) -> Cost:
    """Return changes of the whole path, and of its linear blocks alone."""
    return changes(path), changes([block for block in path if not block.fixed])


def added_cost(cost: Cost, path: tuple[Block, ...], blocks: tuple[Block, ...], closing: bool = False) -> Cost:
    """Return the cost of `path` (known: `cost`) followed by `blocks`, or by its own beginning when `closing`."""
    own = path_cost(blocks)
    whole = cost[0] + own[0] + (path[-1].codebook != blocks[0].codebook)
    before = last_linear(path)
    source = path if closing else blocks
    after = next((block for block in source if not block.fixed), None)
    linear = before is not None and after is not None and before.codebook != after.codebook
    return whole, cost[1] + own[1] + linear
