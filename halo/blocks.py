"""Decoder blocks run one by one: what enters the first, what each is given beside it, what follows the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from halo.errors import ModelError

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Note = Callable[[torch.Tensor, Arguments], torch.Tensor]


@dataclass(eq=False)
class Entered:
    """What a model hands to its blocks.

    Attributes:
        hidden: hidden states that enter the first block, per batch.
        arguments: per batch and block, what it is given beside them: masks and positions, which may differ by block.
        in_tuples: whether blocks return their hidden states as the first of a tuple.
    """

    hidden: list[torch.Tensor]
    arguments: list[list[Arguments]]
    in_tuples: bool


class LastReached(Exception):
    """Raised where the last block stands: what the model makes of its output nobody asks for."""


class StandIn(nn.Module):
    """Stands in the place of a block: tells what enters, and passes on what it is told to."""

    def __init__(self, block: nn.Module, note: Note, *, in_tuples: bool) -> None:
        super().__init__()
        # Not a submodule: the block's hooks and weights are no business of the stand-in's.
        object.__setattr__(self, "block", block)
        self.note, self.in_tuples = note, in_tuples

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["block"], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what `note` makes of the hidden states, in the shape of the block's own result."""
        hidden, rest = (args[0], args[1:]) if args else (kwargs.pop("hidden_states"), ())
        result = self.note(hidden, (rest, kwargs))
        return (result,) if self.in_tuples else result


@contextmanager
def standing_in(blocks: nn.ModuleList, notes: Sequence[Note], *, in_tuples: bool) -> Iterator[None]:
    """Run the block with stand-ins in the place of `blocks`."""
    before = list(blocks)
    try:
        for index, note in enumerate(notes):
            blocks[index] = StandIn(before[index], note, in_tuples=in_tuples)
        yield
    finally:
        for index, block in enumerate(before):
            blocks[index] = block


def enter(model: nn.Module, blocks: nn.ModuleList, batches: Sequence[torch.Tensor]) -> Entered:
    """Return what `model` hands to its blocks for every batch of token ids; no block is run but the first, once.

    The first batch is passed on to the end: whether the model calls blocks again is seen there.

    Raises:
        ModelError: the model does not call each block once, in order.
    """
    entered = Entered([], [], in_tuples=False)
    first = blocks[0]
    order: list[int] = []

    def check(calls: list[int], wanted: int) -> None:
        if calls != list(range(wanted)):
            raise ModelError(f"{type(model).__name__}: its decoder layers are not called one by one in a forward pass; "
                             "only models that do so can be calibrated.")

    def noting(index: int) -> Note:
        def note(hidden: torch.Tensor, arguments: Arguments) -> torch.Tensor:
            order.append(index)
            check(order, index + 1)
            if index == 0:
                if not entered.hidden:
                    entered.in_tuples = isinstance(first(hidden, *arguments[0], **arguments[1]), tuple)
                    for part in blocks:
                        part.in_tuples = entered.in_tuples  # type: ignore[assignment]
                entered.hidden.append(hidden)
                entered.arguments.append([])
            entered.arguments[-1].append(arguments)
            if index + 1 == len(blocks) and len(entered.hidden) > 1:
                raise LastReached
            return hidden

        return note

    with torch.no_grad(), standing_in(blocks, [noting(index) for index in range(len(blocks))], in_tuples=False):
        for batch in batches:
            order.clear()
            with suppress(LastReached):
                model(input_ids=batch, use_cache=False)
            check(order, len(blocks))
    return entered


def leave(
    model: Any, blocks: nn.ModuleList, ids: torch.Tensor, hidden: torch.Tensor, *, in_tuples: bool
) -> torch.Tensor:
    """Return the logits `[windows, tokens, vocabulary]` that the model makes of what its last block gave, `hidden`."""
    notes: list[Note] = [lambda *_: hidden, *[lambda passing, _: passing] * (len(blocks) - 1)]
    with standing_in(blocks, notes, in_tuples=in_tuples):
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return logits


def run_block(block: nn.Module, hidden: torch.Tensor, arguments: Arguments) -> torch.Tensor:
    """Return a block's output hidden states; some architectures return them as the first of a tuple."""
    result = block(hidden, *arguments[0], **arguments[1])
    output: torch.Tensor = result[0] if isinstance(result, tuple) else result
    return output
