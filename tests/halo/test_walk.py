from functools import partial
from threading import active_count

import pytest
import torch
from torch import nn

from halo import walk
from halo.walk import on_course

GROUPS = (("first", "beside"), ("expert",), ("last",))


class Block(nn.Module):
    """Calls `expert` only where there is something above 100, and counts its passes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.beside, self.expert, self.last = (nn.Linear(4, 4) for _ in range(4))
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        hidden = self.first(x) + self.beside(x)
        if x.max() > 100:
            hidden = hidden + self.expert(hidden)
        return self.last(hidden)


class Doubled(nn.Module):
    """What a linear is made into: twice the linear."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear

    def forward(self, x):
        return 2 * self.linear(x)


def batches():
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(2))
    x[1, 0, 0] = 200.0
    return x


def travel(block, original):
    """The inputs of each group, and the output, of both batches with one layer after the other doubled."""
    linears, seen = {name: block.get_submodule(name) for group in GROUPS for name in group}, []
    with on_course(block, linears, GROUPS, 3) as course:
        for group in GROUPS:
            seen += [course.input_of(group[0], at, partial(block, x), original=original)
                     for at, x in enumerate(batches())]
            course.open({name: Doubled(linears[name]) for name in group})
        seen += [course.output_of(at, partial(block, x), original=original) for at, x in enumerate(batches())]
    return seen


def wanted(block, factor):
    with torch.no_grad():
        x = batches()
        hidden = factor * (block.first(x) + block.beside(x))
        summed = torch.stack([hidden[0], hidden[1] + factor * block.expert(hidden[1])])
        return [*x, None, hidden[1], *summed, *(factor * block.last(summed))]


def same(found, expected):
    return all((a is None and b is None) or torch.allclose(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(("original", "factor"), [(False, 2), (True, 1)])
@pytest.mark.parametrize("room", [2**29, 0])
def test_layers_see_what_those_before_them_were_made_into_or_what_they_were(monkeypatch, room, original, factor):
    monkeypatch.setattr(walk, "HELD_BYTES", room)
    block, before = Block(), active_count()
    assert same(travel(block, original), wanted(block, factor))
    assert block.passes == (3 if room else 8)  # one more to see that the expert is not called
    assert active_count() == before
    assert {type(part) for part in block.children()} == {nn.Linear}


def test_what_goes_wrong_in_a_block_is_raised_where_it_is_waited_for():
    block, before = Block(), active_count()
    with on_course(block, {"last": block.last}, (("last",),), 3) as course:
        assert course.input_of("last", 0, partial(block, batches()[0])) is not None
        with pytest.raises(RuntimeError, match="mat1 and mat2"):
            course.input_of("last", 1, partial(block, torch.zeros(3, 5)))
    assert active_count() == before
    assert type(block.last) is nn.Linear
