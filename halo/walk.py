"""Walks: forward passes of a block that wait at layers still to be quantized, and go on with what those have become.

So nothing that a block has computed is computed again. A walk has a thread of its own, which runs only while someone
waits for it. Those beyond a limit of memory start anew whenever they are asked, and give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Semaphore, Thread
from typing import Any

import torch
from torch import nn

from halo.runtime import swapped

# What all walks that wait may hold, one being taken to hold the outputs of all linears in float32.
HELD_BYTES = 2**29
FLOAT_BYTES = 4

Pass = Callable[[], torch.Tensor]


class StopForward(Exception):
    """Raised inside a block whose forward pass nobody waits for any more."""


@dataclass(eq=False)
class Signals:
    """What gates and walks tell each other: which gates are closed, and whose turn it is."""

    closed: set[str]
    walking: Walk | None = None


class Gate(nn.Module):
    """Stands in the place of a linear, and is that linear until it is `made` into another part."""

    def __init__(self, name: str, linear: nn.Module, signals: Signals) -> None:
        super().__init__()
        self.name, self.linear, self.signals = name, linear, signals
        self.made: nn.Module | None = None

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("linear"), name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output `[..., out]` for `x` `[..., in]`, once whoever walks here may pass."""
        walk = self.signals.walking
        assert walk is not None, "a block with gates runs only in walks"
        if self.name in self.signals.closed:
            walk.wait(self.name, x)
        part = self.linear if self.made is None or walk.original else self.made
        output: torch.Tensor = part(x)
        return output


class Walk:
    """One forward pass: `step` goes on to the next closed gate or to the end.

    Attributes:
        original: whether it passes the linears as they were.
        at: the gate it waits at; '' at the start and at the end.
        x: what enters there.
        output: the block's; None before the end.
    """

    def __init__(self, signals: Signals, run: Pass, *, original: bool) -> None:
        self.signals, self.run, self.original = signals, run, original
        self.at: str = ""
        self.x: torch.Tensor | None = None
        self.output: torch.Tensor | None = None
        self.error: BaseException | None = None
        self.dropped, self.turn, self.rest = False, Semaphore(0), Semaphore(0)
        self.thread = Thread(target=self.go, daemon=True)
        self.thread.start()

    def go(self) -> None:
        """Run the pass; this is what the thread does."""
        self.turn.acquire()
        try:
            if not self.dropped:
                with torch.no_grad():
                    self.output = self.run()
        except StopForward:
            pass
        except BaseException as error:
            self.error = error  # raised where the walk is waited for
        finally:
            self.rest.release()

    def wait(self, gate: str, x: torch.Tensor) -> None:
        """Wait at a gate; called within the pass."""
        self.at, self.x = gate, x
        self.rest.release()
        self.turn.acquire()
        self.at, self.x = "", None
        if self.dropped:
            raise StopForward

    def step(self) -> None:
        """Go on to the next closed gate or to the end."""
        self.signals.walking = self
        self.turn.release()
        self.rest.acquire()
        self.signals.walking = None
        if self.error is not None:
            raise self.error

    def drop(self) -> None:
        """Let go of the pass, wherever it is."""
        self.dropped = True
        self.turn.release()
        self.thread.join()


class Course:
    """A block with a gate for each linear that is to be quantized, and the walks of all batches through it.

    Walks wait at one gate of each group of linears that share an input.
    """

    def __init__(self, linears: Mapping[str, nn.Linear], groups: Sequence[Sequence[str]], n_tokens: int) -> None:
        self.signals = Signals({names[0] for names in groups})
        self.gates = {name: Gate(name, linear, self.signals) for name, linear in linears.items()}
        held = FLOAT_BYTES * n_tokens * sum(linear.out_features for linear in linears.values())
        self.room = HELD_BYTES // max(held, 1)
        self.kept: dict[tuple[int, bool], Walk] = {}

    def open(self, made: Mapping[str, nn.Module]) -> None:
        """Have walks pass the gates of a group, and find there what its linears were `made` into."""
        for name, part in made.items():
            self.gates[name].made = part
        self.signals.closed -= set(made)

    def input_of(self, name: str, batch: int, run: Pass, *, original: bool = False) -> torch.Tensor | None:
        """Return what enters the closed gate `name`, `[tokens, in]`; None where it is not called.

        Args:
            name: of the gate.
            batch: its number.
            run: its pass through the block.
            original: as the block was before any of its linears was quantized.
        """
        kept = self.keep(batch, run, original=original)
        if kept is not None:
            while kept.at not in self.signals.closed and kept.output is None:
                kept.step()
            if kept.at == name or kept.output is not None:
                return flattened(kept.x)
        # There is no room for it, or it waits for another group: what is not quantized yet it passes as it is.
        lone = Walk(self.signals, run, original=original)
        try:
            while lone.at != name and lone.output is None:
                lone.step()
            return flattened(lone.x)
        finally:
            lone.drop()

    def output_of(self, batch: int, run: Pass, *, original: bool = False) -> torch.Tensor:
        """Return what comes out of the block once all gates are open."""
        walk = self.kept.pop((batch, original), None) or Walk(self.signals, run, original=original)
        try:
            while walk.output is None:
                walk.step()
            return walk.output
        finally:
            walk.drop()

    def keep(self, batch: int, run: Pass, *, original: bool) -> Walk | None:
        """Return the walk that is kept for a batch; None where there is no room for it."""
        key = (batch, original)
        if key not in self.kept and len(self.kept) < self.room:
            self.kept[key] = Walk(self.signals, run, original=original)
        return self.kept.get(key)

    def drop(self) -> None:
        """Let go of all walks."""
        for walk in self.kept.values():
            walk.drop()
        self.kept.clear()


def flattened(x: torch.Tensor | None) -> torch.Tensor | None:
    """Return `[tokens, in]`."""
    return None if x is None else x.flatten(0, -2)


@contextmanager
def on_course(
    model: nn.Module, linears: Mapping[str, nn.Linear], groups: Sequence[Sequence[str]], n_tokens: int
) -> Iterator[Course]:
    """Run the block with gates in the place of `linears` of one decoder block; then put those back.

    Args:
        model: whose linears they are.
        linears: full name -> linear.
        groups: names that share an input, in the order of their calls.
        n_tokens: of a batch.
    """
    course = Course(linears, groups, n_tokens)
    with swapped(model, course.gates):
        try:
            yield course
        finally:
            course.drop()
