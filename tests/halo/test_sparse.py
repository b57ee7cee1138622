import math
from dataclasses import replace

import pytest
import torch

from halo.errors import ConfigError
from halo.layer_task import no_sparse
from halo.sparse import SparseConfig, candidates, cost_of_bits, select_sparse
from tests.halo.test_feedback import IN, OUT, make_task


def test_no_more_than_the_cap_is_kept_apart():
    sparse = select_sparse(make_task(), SparseConfig("sigma", outlier_sigmas=1.0, cap_share=0.01))
    assert int(sparse.mask.sum()) == int(0.01 * OUT * IN)


def test_under_the_cap_outliers_and_salient_weights_are_all_kept():
    task = make_task()
    fisher = torch.ones(OUT, IN)
    fisher[3, 7] = 100.0
    task = replace(task, fisher=fisher)
    config = SparseConfig("sigma", outlier_sigmas=3.0, salient_share=1 / (OUT * IN), cap_share=0.1)
    mask = select_sparse(task, config).mask
    far = (task.weight - task.weight.mean()).abs() > 3 * task.weight.std()
    assert bool(mask[3, 7])
    assert torch.equal(mask, far | (torch.arange(OUT * IN).view(OUT, IN) == 3 * IN + 7))


def test_over_the_cap_the_largest_loss_saved_wins():
    task = make_task()
    weight = task.weight.clone()
    weight[4, 9] = 3.0
    config = SparseConfig("sigma", outlier_sigmas=1.0, cap_share=1 / (OUT * IN))
    kept = select_sparse(replace(task, weight=weight), config)
    assert kept.mask.nonzero().tolist() == [[4, 9]]
    assert float(kept.scales[4]) == pytest.approx(3.0 / 127, rel=1e-3)
    assert (kept.scales[:4] == 0).all()


def test_without_a_budget_nothing_is_kept_apart():
    assert not select_sparse(make_task(), SparseConfig(cap_share=0.0)).mask.any()


def test_without_outliers_only_salient_weights_are_candidates():
    config = SparseConfig(outlier_sigmas=0.0, salient_share=0.01)
    assert int(candidates(make_task(), config).sum()) == int(0.01 * OUT * IN)


def test_a_sparse_part_must_pay_for_its_bits():
    """A bit for every weight quarters the loss: a part that takes a bit per weight must save three quarters."""
    task = make_task()
    assert cost_of_bits(no_sparse(task.weight)) == 0
    part = select_sparse(task, SparseConfig(outlier_sigmas=1.0, cap_share=0.05))
    bits = 120 * (8 + 8) + 13 * 16 + 12 * 16
    assert cost_of_bits(part) == pytest.approx(math.log(4) * bits / (OUT * IN))


def test_an_unknown_rule_is_refused():
    with pytest.raises(ConfigError, match=r"sparse.rule = 'some'; use saved or sigma"):
        SparseConfig("some")  # type: ignore[arg-type]


def test_shares_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"shares must lie in 0..1 and outlier_sigmas must not be negative"):
        SparseConfig(cap_share=1.5)
