"""What feeds what inside a decoder block: norms whose output linears take as it is, and linears that others take over.

Found by running the block, not by an architecture's name: a linear whose input is the very tensor that a norm returned
reads that norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from halo.blocks import Arguments, run_block

# A linear whose input is, per channel, another one's output times what does not depend on it, by their last names.
TAKES_OVER = {"o_proj": "v_proj", "out_proj": "v_proj", "down_proj": "up_proj", "fc2": "fc1"}
ONLY_WITH_RELU = "fc2"


@dataclass(frozen=True, eq=False)
class Wiring:
    """What feeds what in one block; names are within it.

    Attributes:
        readers: norm -> the linears that take its output.
        before: linear -> the one whose outputs it takes over, channel by channel.
        linears: all of the block.
    """

    readers: Mapping[str, tuple[str, ...]]
    before: Mapping[str, str]
    linears: Mapping[str, nn.Linear]


def wire(block: nn.Module, hidden: torch.Tensor, arguments: Arguments, config: Any) -> Wiring:
    """Return the wiring of `block`, run once on `hidden`; `config` is the model's."""
    norms = {name: part for name, part in block.named_modules()
             if not isinstance(part, nn.Linear) and weight_of(part) is not None and part.weight.dim() == 1}
    linears = {name: part for name, part in block.named_modules() if isinstance(part, nn.Linear)}
    given: list[tuple[str, torch.Tensor]] = []
    readers: dict[str, list[str]] = {}

    def note_norm(name: str) -> Callable[..., None]:
        return lambda _, __, output: given.append((name, output))

    def note_linear(name: str) -> Callable[..., None]:
        def note(_: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            for norm, output in given:
                if args[0] is output:
                    readers.setdefault(norm, []).append(name)

        return note

    handles = [part.register_forward_hook(note_norm(name)) for name, part in norms.items()]
    handles += [part.register_forward_pre_hook(note_linear(name)) for name, part in linears.items()]
    try:
        with torch.no_grad():
            run_block(block, hidden, arguments)
    finally:
        for handle in handles:
            handle.remove()
    before = {}
    for name in linears:
        parent, _, last = name.rpartition(".")
        source = f"{parent}.{TAKES_OVER.get(last, '')}".lstrip(".")
        if source in linears and (last != ONLY_WITH_RELU or getattr(config, "activation_function", "") == "relu"):
            before[name] = source
    return Wiring({norm: tuple(names) for norm, names in readers.items()}, before, linears)


def weight_of(part: nn.Module) -> torch.Tensor | None:
    """Return a module's own parameter `weight`, if it has one."""
    return part._parameters.get("weight")


def head_width(config: Any) -> int:
    """Return how many channels an attention head has."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def source_channels(n_in: int, n_source: int, config: Any) -> torch.Tensor:
    """Return which output of the source each of `n_in` inputs comes from, int64 `[in]`.

    Where queries share values in groups, heads in a row take the same one.
    """
    if n_in == n_source:
        return torch.arange(n_in)
    width = head_width(config)
    heads = torch.arange(n_source).view(-1, width)
    return heads.repeat_interleave(n_in // n_source, 0).flatten()
