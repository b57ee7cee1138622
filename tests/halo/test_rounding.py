import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from halo import rounding
from halo.errors import NumericsError
from halo.rounding import covering_scales, nearest, round_to_codebook, search_mixed_scales, search_scales

CODES = torch.tensor([-96.0, -31.0, -5.0, 0.0, 16.0, 64.0])


def random_weight(rows=6, columns=20, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.05, (rows, columns))).float()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=20))
def test_no_code_is_nearer_than_the_nearest(values):
    wanted = torch.tensor(values)
    gaps = (wanted[:, None] - CODES[None, :]).abs()
    assert torch.allclose((wanted - nearest(wanted, CODES)).abs(), gaps.amin(1), atol=1e-4)


def test_the_covering_scale_clips_nothing_and_no_smaller_one_does():
    weight = random_weight()
    scale = covering_scales(weight, CODES)[:, None]
    assert (weight / scale <= CODES[-1] * 1.0001).all()
    assert (weight / scale >= CODES[0] * 1.0001).all()
    unit = weight / (0.99 * scale)
    assert ((unit > CODES[-1]) | (unit < CODES[0])).any(1).all()


def loss(weight, scale, codes=CODES):
    return (weight - nearest(weight / scale[:, None], codes) * scale[:, None]).square().sum(1)


def test_the_searched_scale_is_never_worse_than_the_covering_one():
    weight = random_weight()
    searched = search_scales(weight, torch.ones(20), CODES)
    assert (loss(weight, searched) <= loss(weight, covering_scales(weight, CODES).half().float()) + 1e-9).all()
    assert torch.equal(searched, searched.half().float())


def test_weights_of_no_importance_do_not_set_the_scale():
    weight = random_weight()
    importance = torch.ones(20)
    importance[3] = 0.0
    weight[:, 3] = 0.0
    shrunk = search_scales(weight, importance, CODES)
    assert torch.equal(shrunk, search_scales(weight[:, [*range(3), *range(4, 20)]], torch.ones(19), CODES))


def test_mixed_codebooks_of_one_kind_are_that_kind():
    weight = random_weight()
    classes = torch.arange(20).remainder(2).expand(6, 20)
    mixed = search_mixed_scales(weight, torch.ones(20), {0: CODES, 1: CODES}, classes)
    assert torch.equal(mixed, search_scales(weight, torch.ones(20), CODES))


def test_a_row_of_zeros_has_a_scale_that_keeps_it_zero():
    weight = torch.zeros(2, 20)
    codes, scales = round_to_codebook(weight, torch.ones(20), CODES, 8)
    assert (codes == 0).all()
    assert scales.shape == (2, 3)
    assert (scales > 0).all()


def test_a_scale_beyond_fp16_names_the_layer():
    with pytest.raises(NumericsError, match=r"layers.3.up: a weight scale of 1e\+06 leaves fp16"):
        search_scales(torch.full((1, 4), 6.4e7), torch.ones(4), CODES, "layers.3.up")


def test_a_scale_of_nan_names_the_layer():
    with pytest.raises(NumericsError, match=r"layers.3.up: a weight scale of"):
        search_scales(torch.full((1, 4), float("inf")), torch.ones(4), CODES, "layers.3.up")


@pytest.mark.parametrize("weighed", [(1,), (70,), (6, 70)])
def test_compiled_scales_are_those_that_torch_finds(monkeypatch, weighed):
    weight, importance = random_weight(columns=70), torch.rand(weighed, generator=torch.Generator().manual_seed(1))
    books = {3: CODES, 1: torch.tensor([-64.0, 0.0, 64.0])}
    classes = torch.tensor([3, 1]).repeat(35)[None]
    compiled = search_mixed_scales(weight, importance, books, classes)
    monkeypatch.setattr(rounding, "least_compiled", rounding.least_by_torch)
    assert torch.equal(compiled, search_mixed_scales(weight, importance, books, classes))
