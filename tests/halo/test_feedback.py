from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from halo import feedback
from halo.codebook import Codebook
from halo.factor import factorize
from halo.feedback import activation_order, descend, feed_back, natural_order, propagated_target
from halo.layer_task import LayerTask, no_sparse, relative_error, row_errors, spread
from halo.levels import make_levels
from halo.refit import refit_scales
from halo.rounding import round_to_codebook
from halo.tiles import TileMap

FAST = Codebook("fast", (-64, -32, 0, 32, 64), 1000.0)
SLOW = Codebook("slow", tuple(range(-96, 97, 12)), 1500.0)
OUT, IN, FOLD = 12, 200, 32


def make_task(seed=0, classes=None):
    rng = np.random.default_rng(seed)
    weight = torch.from_numpy(rng.normal(0, 0.05, (OUT, IN))).float()
    x = torch.from_numpy(rng.normal(0, 1, (400, IN)) @ rng.normal(0, 1, (IN, IN)))
    picked = rng.integers(0, 2, (2, 7)) if classes is None else classes
    tiles = TileMap("a", np.asarray(picked, np.int8), 32, 8)
    return LayerTask("a", weight, None, (x.T @ x).float(), torch.ones(OUT, IN), (FAST, SLOW), tiles, FOLD)


def levels_of(task):
    scales = [round_to_codebook(task.weight, torch.ones(IN), task.codes_of(1), FOLD)[1]]
    return make_levels(task, spread(scales[0], IN, FOLD))


def error_of(task, levels, codes, sparse):
    approximate = codes * levels.scales + sparse.values * sparse.scales[:, None]
    return relative_error(task.weight - approximate, task.weight, task.hessian)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_every_code_is_in_the_codebook_of_its_tile(seed):
    task = make_task(seed)
    levels = levels_of(task)
    codes, *_ = feed_back(task.weight, factorize(task.hessian, activation_order(task.hessian), 0.01), levels,
                         no_sparse(task.weight))
    for position, book in enumerate(task.codebooks):
        assert set(codes[task.classes == position].int().tolist()) <= set(book.codes)


def test_with_independent_inputs_feedback_is_rounding_to_nearest():
    task = make_task()
    levels = levels_of(task)
    hessian = torch.diag(torch.arange(1.0, IN + 1))
    codes, *_ = feed_back(task.weight, factorize(hessian, natural_order(hessian), 0.01), levels, no_sparse(task.weight))
    nearest = torch.stack([levels.choose(column, task.weight[:, column], 1.0) for column in range(IN)], 1)
    assert torch.equal(codes, nearest)


@pytest.mark.parametrize("order", [natural_order, activation_order])
def test_feedback_loses_less_than_rounding_to_nearest(order):
    task = make_task()
    levels, sparse = levels_of(task), no_sparse(task.weight)
    codes, *_ = feed_back(task.weight, factorize(task.hessian, order(task.hessian), 0.01), levels, sparse)
    nearest = torch.stack([levels.choose(column, task.weight[:, column], 1.0) for column in range(IN)], 1)
    assert error_of(task, levels, codes, sparse) < 0.5 * error_of(task, levels, nearest, sparse)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_descent_never_raises_the_error_of_any_row(seed):
    task = make_task(seed)
    levels, sparse = levels_of(task), no_sparse(task.weight)
    codes = torch.stack([levels.choose(column, task.weight[:, column], 1.0) for column in range(IN)], 1)
    for _ in range(3):
        after = descend(task.weight, task.hessian, levels, codes, sparse)
        rows = [(task.weight - c * levels.scales).double() for c in (codes, after)]
        old, new = (((row @ task.hessian.double()) * row).sum(1) for row in rows)
        assert (new <= old * (1 + 1e-5)).all()
        codes = after
    assert all(set(codes[task.classes == k].int().tolist()) <= set(b.codes) for k, b in enumerate(task.codebooks))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-4, 1e-1))
def test_neither_descent_nor_refit_raises_error_and_energy_together(seed, price):
    """The cost of a row is worth x error + prices of its codes; each step lowers it or leaves it."""
    task = make_task(seed)
    prices = price * torch.rand(256, generator=torch.Generator().manual_seed(seed))
    task = replace(task, worth=torch.linspace(0.1, 3, OUT), prices=prices)
    scales, sparse = round_to_codebook(task.weight, torch.ones(IN), task.codes_of(1), FOLD)[1], no_sparse(task.weight)

    def cost(codes, scales):
        levels = make_levels(task, spread(scales, IN, FOLD))
        error = (task.weight - codes * levels.scales).double()
        return task.worth * ((error @ task.hessian.double()) * error).sum(1) + levels.energy_cost(codes)

    codes = torch.stack([make_levels(replace(task, prices=None), spread(scales, IN, FOLD)).choose(
        column, task.weight[:, column], 1.0) for column in range(IN)], 1)
    before = cost(codes, scales)
    for _ in range(3):
        codes = descend(task.weight, task.hessian, make_levels(task, spread(scales, IN, FOLD)), codes, sparse)
        swept = cost(codes, scales)
        assert (swept <= before * (1 + 1e-5)).all()
        scales = refit_scales(task.weight @ task.hessian, task.hessian, scales, codes, FOLD)
        before = cost(codes, scales)
        assert (before <= swept * (1 + 1e-5)).all()
    assert torch.equal(scales, scales.half().float())
    assert all(set(codes[task.classes == k].int().tolist()) <= set(b.codes) for k, b in enumerate(task.codebooks))


def test_a_refit_finds_the_scales_that_made_the_weights():
    task = make_task()
    codes = torch.from_numpy(np.random.default_rng(1).choice(np.array(FAST.codes), (OUT, IN))).float()
    true = torch.rand(OUT, 7, generator=torch.Generator().manual_seed(1)).half().float() + 2.0**-6
    found = refit_scales((codes * spread(true, IN, FOLD)) @ task.hessian, task.hessian, true * 1.3, codes, FOLD)
    assert torch.allclose(found, true, rtol=2e-3)
    pull = (codes[:1] * spread(true[:1], IN, FOLD)) @ task.hessian  # a layer of one output
    assert torch.allclose(refit_scales(pull, task.hessian, true[:1] * 1.3, codes[:1], FOLD), true[:1], rtol=2e-3)


def test_a_fold_of_zeros_keeps_its_scale():
    task = make_task()
    codes = torch.zeros(OUT, IN)
    scales = torch.full((OUT, 7), 0.25)
    assert torch.equal(refit_scales(task.weight @ task.hessian, task.hessian, scales, codes, FOLD), scales)


def test_sparse_positions_hold_zero_in_the_dense_part_and_their_error_is_passed_on():
    task = make_task()
    mask = torch.zeros(OUT, IN, dtype=torch.bool)
    mask[:, ::50] = True
    sparse = replace(no_sparse(torch.zeros(OUT, IN)), mask=mask, scales=torch.full((OUT,), 0.3))
    levels = levels_of(task)
    factor = factorize(task.hessian, natural_order(task.hessian), 0.01)
    codes, values, _ = feed_back(task.weight, factor, levels, sparse)
    swept = descend(task.weight, task.hessian, levels, codes, replace(sparse, values=values))
    assert (codes[mask] == 0).all()
    assert (swept[mask] == 0).all()
    assert (values[~mask] == 0).all()
    without = torch.where(mask, 0.0, task.weight)
    ignored, *_ = feed_back(without, factorize(task.hessian, natural_order(task.hessian), 0.01), levels,
                           no_sparse(task.weight))
    assert not torch.equal(codes, ignored)


@pytest.mark.parametrize("panel", [512, 48])
def test_the_factor_is_that_of_the_inverse(monkeypatch, panel):
    monkeypatch.setattr("halo.factor.PANEL", panel)
    task = make_task()
    order = activation_order(task.hessian)
    factor = factorize(task.hessian, order, 0.01)
    damped = (task.hessian + 0.01 * task.hessian.diagonal().mean() * torch.eye(IN))[order][:, order].double()
    upper = factor.upper.double()
    assert torch.allclose(upper.T @ upper @ damped, torch.eye(IN).double(), atol=1e-3)
    assert torch.equal(upper, upper.triu())
    assert factor.fallback == ""


def test_damping_grows_until_the_hessian_is_positive_definite():
    hessian = torch.eye(8).double()
    hessian[0, 1] = hessian[1, 0] = 1.5
    assert factorize(hessian, natural_order(hessian), 0.1).fallback == "Hessian not positive definite below damping 1"


def test_a_hopeless_hessian_is_told_and_feeds_nothing_back():
    hessian = -torch.eye(8).double()
    factor = factorize(hessian, natural_order(hessian), 0.01)
    assert factor.fallback == "Hessian not positive definite at damping 100: no error feedback"
    assert torch.equal(factor.upper, torch.eye(8))


def test_inputs_that_are_always_zero_do_no_harm():
    task = make_task()
    hessian = task.hessian.clone()
    hessian[5], hessian[:, 5] = 0.0, 0.0
    factor = factorize(hessian, activation_order(hessian), 0.01)
    codes, *_ = feed_back(task.weight, factor, levels_of(task), no_sparse(task.weight))
    assert torch.isfinite(codes).all()
    assert factor.fallback == ""


def test_a_propagated_target_makes_up_for_what_earlier_layers_lost():
    task, rng = make_task(), np.random.default_rng(5)
    y = torch.from_numpy(rng.normal(0, 1, (400, IN)) @ rng.normal(0, 1, (IN, IN)))
    x = 0.9 * y + 0.2 * y.roll(1, 1) + torch.from_numpy(rng.normal(0, 1, (400, IN)))
    weight = task.weight.double()
    factor = factorize(x.T @ x, activation_order(x.T @ x), 1e-4)
    target = propagated_target(task.weight, (weight @ (y - x).T @ x).float(), factor).double()
    own, made_up = (((y @ weight.T - x @ each.T) ** 2).sum() for each in (weight, target))
    assert made_up < 0.1 * own
    assert torch.equal(propagated_target(task.weight, torch.zeros_like(task.weight), factor), task.weight)


def test_without_another_model_or_a_usable_hessian_the_target_is_the_weight():
    task = make_task()
    drift = torch.ones_like(task.weight)
    factor = factorize(task.hessian, natural_order(task.hessian), 0.01)
    assert propagated_target(task.weight, None, factor) is task.weight
    assert propagated_target(task.weight, torch.full_like(drift, float("nan")), factor) is task.weight
    assert propagated_target(task.weight, drift, factorize(-torch.eye(IN), torch.arange(IN), 0.01)) is task.weight


def test_losses_of_columns_sum_to_the_error_of_their_row():
    task = make_task()
    levels, sparse = levels_of(task), no_sparse(task.weight)
    codes, _, losses = feed_back(task.weight, factorize(task.hessian, activation_order(task.hessian), 0.01), levels,
                                 sparse)
    damped = task.hessian + 0.01 * task.hessian.diagonal().mean() * torch.eye(IN)
    assert torch.allclose(losses.sum(1).double(), row_errors(task.weight - codes * levels.scales, damped), rtol=1e-3)


@pytest.mark.parametrize("price", [0.0, 1e-3])
def test_compiled_loops_do_what_torch_does(monkeypatch, price):
    """Sums run in another order, so that a weight in the middle between two codes may take the other one."""
    task = make_task(7)
    task = replace(task, worth=torch.linspace(0.1, 3, OUT), prices=price * torch.arange(256.0) if price else None)
    mask = torch.zeros(OUT, IN, dtype=torch.bool)
    mask[:, ::50] = True
    sparse = replace(no_sparse(torch.zeros(OUT, IN)), mask=mask, scales=torch.linspace(0, 0.3, OUT))
    levels, factor = levels_of(task), factorize(task.hessian, activation_order(task.hessian), 0.01)

    def both():
        codes, values, losses = feed_back(task.weight, factor, levels, sparse)
        return codes, values, losses, descend(task.weight, task.hessian, levels, codes, replace(sparse, values=values))

    compiled = both()
    monkeypatch.setattr(feedback, "round_compiled", feedback.round_by_torch)
    monkeypatch.setattr(feedback, "descend_compiled", feedback.descend_by_torch)
    for own, other in zip(compiled, both(), strict=True):
        assert (own.float() - other).abs().gt(1e-3 * other.abs().max()).float().mean() < 0.01


def test_a_row_takes_the_codes_that_it_takes_alone_whatever_goes_beside_it():
    """131 rows: two groups of lanes and a part of one; each row's like stands alone in a group of twelve."""
    task, many = make_task(7), 131
    weight, width = task.weight[:, :96], 96
    factor = factorize(task.hessian[:width, :width], natural_order(weight.T), 0.01)

    def codes_of(rows):
        tiles = TileMap("a", np.resize(task.tiles.classes[[0, 0, 1], :3], (-(-rows // 4), 3)), 32, 4)
        own = replace(task, weight=weight[torch.arange(rows) % OUT], tiles=tiles)
        levels = make_levels(own, torch.full((rows, width), 0.003))
        return feed_back(own.weight, factor, levels, no_sparse(own.weight))[0]

    assert torch.equal(codes_of(many), codes_of(OUT)[torch.arange(many) % OUT])


def test_a_weight_in_the_middle_takes_the_lower_code():
    middles = torch.tensor([-48.0, -16.0, 16.0, 48.0])
    task = replace(make_task(classes=[[0] * 7] * 2), weight=(0.5 * middles).repeat(OUT, IN // 4))
    levels = make_levels(task, torch.full((OUT, IN), 0.5))
    codes, *_ = feed_back(task.weight, factorize(torch.eye(IN), torch.arange(IN), 0.01), levels, no_sparse(task.weight))
    assert torch.equal(codes, (middles - 16).repeat(OUT, IN // 4))
    assert torch.equal(descend(task.weight, torch.eye(IN), levels, codes, no_sparse(task.weight)), codes)


def test_activation_order_is_by_falling_energy_and_stable():
    hessian = torch.diag(torch.tensor([1.0, 3.0, 2.0, 3.0]).double())
    assert activation_order(hessian).tolist() == [1, 3, 2, 0]
