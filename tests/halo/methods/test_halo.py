import pytest
import torch

from halo.errors import ConfigError, NumericsError
from halo.methods import gptq, halo, rtn
from halo.methods.halo import Config
from halo.sparse import SparseConfig
from tests.halo.test_feedback import make_task

DENSE = SparseConfig(cap_share=0.0)


def test_sweeps_never_raise_the_loss():
    losses = [halo.quantize_layer(make_task(), Config(sweeps=sweeps, damping=1e-4)).loss for sweeps in (0, 1, 3)]
    assert losses[0] >= losses[1] >= losses[2]


def test_more_values_where_tiles_are_slow_lose_less():
    fast, slow = (halo.quantize_layer(make_task(classes=[[k] * 7] * 2), Config(sparse=DENSE)).loss for k in (0, 1))
    assert slow < fast


def test_mixed_tiles_that_share_a_fold_share_its_scale():
    task = make_task()
    layer = halo.quantize_layer(task, Config(sparse=DENSE))
    assert layer.scales.shape == (12, 7)


def test_the_sparse_part_saves_loss():
    task = make_task()
    weight = task.weight.clone()
    weight[::3, 17] += 0.4
    spiked = make_task()
    object.__setattr__(spiked, "weight", weight)
    kept, dense = (halo.quantize_layer(spiked, Config(sparse=part)) for part in (SparseConfig(), DENSE))
    assert 0 < len(kept.sparse_values) <= 0.005 * weight.numel()
    assert len(dense.sparse_values) == 0
    assert kept.loss < dense.loss


def test_gptq_with_a_scale_per_fold_loses_less_than_with_one_per_row():
    task = make_task(classes=[[1] * 7] * 2)
    grouped, whole = (gptq.quantize_layer(task, gptq.Config(grouped=g)) for g in (True, False))
    assert whole.per_channel
    assert grouped.scales.shape == (12, 7)
    assert grouped.loss < whole.loss


def test_error_feedback_beats_rounding_to_nearest():
    task = make_task(classes=[[1] * 7] * 2)
    assert gptq.quantize_layer(task, gptq.Config()).loss < 0.7 * rtn.quantize_layer(task, rtn.Config()).loss


@pytest.mark.parametrize("method", [gptq, rtn])
def test_baselines_refuse_tiles_of_several_codebooks(method):
    with pytest.raises(ConfigError, match="a: its tiles use fast, slow, and this method takes one codebook for all"):
        method.quantize_layer(make_task(), method.Config())


def test_a_result_that_is_no_number_names_the_layer():
    task = make_task(classes=[[1] * 7] * 2)
    object.__setattr__(task, "hessian", torch.full((200, 200), float("nan")))
    with pytest.raises(NumericsError, match="a: the quantized layer is not finite; check its weights and inputs"):
        rtn.quantize_layer(task, rtn.Config())


def test_a_fallback_is_part_of_the_result():
    task = make_task(classes=[[1] * 7] * 2)
    object.__setattr__(task, "hessian", -torch.eye(200))
    assert gptq.quantize_layer(task, gptq.Config()).fallback == (
        "Hessian not positive definite at damping 100: no error feedback")


def test_impossible_options_are_refused():
    with pytest.raises(ConfigError, match="damping = 0 must be positive and sweeps = -1 not negative"):
        Config(damping=0, sweeps=-1)
