"""Streamed models: weights stay in their files by memory map, and a block is float32 on the device only while it runs.

A *unit* is a decoder block, or a module outside the blocks that holds weights or buffers of its own. Hooks widen a
unit before it runs and let go of it afterwards, so whoever runs a model needs to know nothing of this; the memory it
takes is one unit's, and what a graph for gradients keeps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

LARGE_BYTES = 8_000_000
M_MMAP_THRESHOLD = -3  # of the GNU C library's malloc.h
Place = tuple[dict[str, Any], str, torch.Tensor]


def give_back_freed() -> None:
    """Have the C library, if it is GNU's, give freed arrays of 8 MB and more back to the system at once.

    Left to itself it comes to keep those of up to 32 MB for later: holes of hundreds of megabytes.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        choose(M_MMAP_THRESHOLD, LARGE_BYTES)


def trim_heap() -> None:
    """Have the C library, if it is GNU's, give back what lies free in pieces too small for `give_back_freed`."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def stream_(model: nn.Module, blocks: Iterable[nn.Module], device: torch.device) -> None:
    """Make `model` run unit by unit on `device`, in float32, whatever its weights are stored in; in place."""
    inside: set[int] = set()
    for block in blocks:
        inside |= {id(part) for part in block.modules()}
        hook_unit(block, device, deep=True)
    for part in model.modules():
        own = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
        if own and id(part) not in inside:
            hook_unit(part, device, deep=False)


def hook_unit(unit: nn.Module, device: torch.device, *, deep: bool) -> None:
    """Widen `unit` whenever it runs; `deep`: with everything inside it."""
    places: list[list[Place]] = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        places.append(widen(unit, device, deep=deep))

        def move(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            # Some models round what enters a module to the type that its weights had when they looked.
            return value.to(device, torch.float32 if value.is_floating_point() else value.dtype)

        return tree_map(move, args), tree_map(move, kwargs)

    def after(*_: Any) -> None:
        if places:
            release(places.pop())

    unit.register_forward_pre_hook(before, with_kwargs=True)
    unit.register_forward_hook(after, always_call=True)


@contextmanager
def held(unit: nn.Module, device: torch.device) -> Iterator[None]:
    """Keep `unit` float32 on `device` inside the block, for many runs in a row."""
    places = widen(unit, device, deep=True)
    try:
        yield
    finally:
        release(places)


def widen(unit: nn.Module, device: torch.device, *, deep: bool) -> list[Place]:
    """Put float32 copies on `device` in the place of weights that are not so; return what stood there.

    Another parameter object, not other data in the same one: a graph keeps the object and reads it when gradients flow
    back.
    """
    places: list[Place] = []
    for owner in unit.modules() if deep else (unit,):
        for name, weight in owner._parameters.items():
            if weight is not None and (weight.dtype != torch.float32 or weight.device != device):
                wide = weight.detach().to(device, torch.float32 if weight.is_floating_point() else weight.dtype)
                places.append((owner._parameters, name, weight))
                asked = weight.requires_grad and torch.is_grad_enabled()
                owner._parameters[name] = nn.Parameter(wide, requires_grad=asked)
        for name, buffer in owner._buffers.items():
            if buffer is not None and buffer.device != device:
                places.append((owner._buffers, name, buffer))
                owner._buffers[name] = buffer.to(device)
    return places


def release(places: list[Place]) -> None:
    """Put back what `widen` replaced."""
    for store, name, original in places:
        store[name] = original
