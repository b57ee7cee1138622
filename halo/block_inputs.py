"""What enters the decoder block in turn and the layers inside it, behind all that is quantized already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from halo.activations import fixed_scale, quantize_activations
from halo.blocks import Arguments, enter, run_block
from halo.model import choose_device
from halo.second_moment import no_moment
from halo.sensitivity import hooked
from halo.streaming import held
from halo.walk import Course, Pass


@dataclass(eq=False)
class BlockInputs:
    """What enters the decoder block in turn, per batch, and what every block is given beside it.

    Attributes:
        hidden: hidden states behind quantized blocks.
        original: the same tokens' behind the original ones; none where no method asks what they are.
        given: per batch and block.
        scout: hidden states of one window behind the original blocks; `scout_given` per block.
        index: the block in turn.
    """

    hidden: list[torch.Tensor]
    original: list[torch.Tensor]
    given: list[list[Arguments]]
    scout: torch.Tensor
    scout_given: list[Arguments]
    index: int = 0

    @property
    def n_tokens(self) -> int:
        """Tokens of a batch."""
        return self.hidden[0].shape[:-1].numel()

    def pass_of(self, block: nn.Module, batch: int, *, original: bool = False) -> Pass:
        """Return the forward pass of a batch through the block in turn."""
        hidden = self.original if original else self.hidden
        return partial(run_block, block, hidden[batch], self.given[batch][self.index])


@dataclass(eq=False)
class Seen:
    """Moments of the inputs that some layers share: x behind quantized layers and in int8, y of the original model.

    Attributes:
        hessian: sum of x x^T over calibration tokens, added in float64, float32 `[in, in]`.
        drifts: layer -> sum of W (y - x) x^T, float32 `[out, in]`; none where no method asks.
        scale: of all inputs, float32 `[1]`; None where each token has its own.
    """

    hessian: torch.Tensor
    drifts: dict[str, torch.Tensor]
    scale: torch.Tensor | None


def inputs_of_first(
    model: nn.Module, blocks: nn.ModuleList, ids: torch.Tensor, batch: int, *, original: bool
) -> BlockInputs:
    """Return what enters the first block for token ids `[windows, tokens]`, `batch` windows at a time.

    Behind no quantized layer, it is the same for the `original`.
    """
    ids = ids.to(next(model.parameters()).device)
    entered = enter(model, blocks, [ids[:1], *torch.split(ids, batch)])
    scout, *hidden = entered.hidden
    scout_given, *given = entered.arguments
    return BlockInputs(hidden, list(hidden) if original else [], given, scout, scout_given)


def input_groups(
    block: nn.Module, linears: Mapping[str, nn.Linear], inputs: BlockInputs
) -> tuple[tuple[str, ...], ...]:
    """Return the linears of a block in the order of their first calls, those together that share an input tensor.

    The scout finds out, and goes on to the next block.
    """
    groups: list[tuple[torch.Tensor, list[str]]] = []
    called: set[str] = set()

    def make(name: str) -> Callable[..., None]:
        def note(_: nn.Module, args: tuple[torch.Tensor, ...], __: torch.Tensor) -> None:
            if name in called:
                return
            called.add(name)
            if groups and groups[-1][0] is args[0]:
                groups[-1][1].append(name)
            else:
                groups.append((args[0], [name]))

        return note

    with hooked(linears, make):
        inputs.scout = run_block(block, inputs.scout, inputs.scout_given[inputs.index])
    idle = tuple((name,) for name in linears if name not in called)
    return (*(tuple(names) for _, names in groups), *idle)


def see_inputs(
    course: Course, block: nn.Module, linears: Mapping[str, nn.Linear], gate: str, inputs: BlockInputs, *, static: bool
) -> Seen | None:
    """Return the moments of the inputs that `linears` share, as they are at `gate`; `static`: all with one scale.

    None where the block does not call them in every batch. The block is float32 only meanwhile.
    """
    first = next(iter(linears.values()))
    moment = no_moment(first.in_features, first.weight.device)
    compared = linears if inputs.original else {}

    def met(batch: int, *, original: bool = False) -> torch.Tensor | None:
        return course.input_of(gate, batch, inputs.pass_of(block, batch, original=original), original=original)

    with held(block, choose_device()):
        drifts = {name: torch.zeros_like(linear.weight, dtype=torch.float32) for name, linear in compared.items()}
        batches = range(len(inputs.hidden))
        whole = [met(batch) for batch in batches] if static else []
        some = [x for x in whole if x is not None and x.numel()]
        scale = fixed_scale(some) if some else None
        for batch in batches:
            after = whole[batch] if static else met(batch)
            before = met(batch, original=True) if inputs.original else after
            if before is None or after is None:
                return None
            values, scales = quantize_activations(after, scale)
            x = values.mul_(scales)
            moment.add(x)
            for name, linear in compared.items():
                drifts[name].addmm_(((before - x) @ linear.weight.float().T).T, x)
    return Seen(moment.whole(torch.float32), drifts, scale)


def advance(course: Course, block: nn.Module, inputs: BlockInputs) -> None:
    """Replace what is in `inputs` by the block's outputs: all its gates are open."""
    with held(block, choose_device()):
        for batch in range(len(inputs.hidden)):
            made = course.output_of(batch, inputs.pass_of(block, batch))
            if inputs.original:
                inputs.original[batch] = course.output_of(batch, inputs.pass_of(block, batch, original=True),
                                                          original=True)
            inputs.hidden[batch] = made
    inputs.index += 1
