"""Every file of `halo/methods` keeps the same promises."""

from dataclasses import is_dataclass, replace

import numpy as np
import pytest
import torch

from halo.codebook import Codebook
from halo.layers import dequantize
from halo.methods import Method, squeeze
from halo.plugins import plugin_names, resolve
from tests.halo.test_feedback import FOLD, IN, OUT, make_task

METHODS = plugin_names("halo.methods")


@pytest.fixture(params=METHODS)
def method(request):
    return resolve("halo.methods", request.param, Method)


@pytest.fixture(params=[0, 1])
def task(request, method):
    made = make_task(classes=np.full((2, 7), request.param))
    whole = Codebook("all", tuple(range(-128, 128)), 2000.0)
    return replace(made, codebooks=(whole, whole)) if method is squeeze else made


def test_a_method_has_a_frozen_config_with_defaults(method):
    config = method.Config()
    assert is_dataclass(config)
    assert type(config).__dataclass_params__.frozen


def test_codes_are_in_the_codebooks_of_their_tiles(method, task):
    layer = method.quantize_layer(task, method.Config())
    for position, book in enumerate(task.codebooks):
        used = layer.codes[task.classes.numpy() == position]
        assert set(used.tolist()) <= set(book.codes)


def test_shapes_and_types_are_those_of_a_quantized_linear(method, task):
    layer = method.quantize_layer(replace(task, bias=torch.ones(OUT)), method.Config())
    assert layer.codes.shape == (OUT, IN)
    assert (layer.codes.dtype, layer.scales.dtype, layer.sparse_values.dtype) == (np.int8, np.float16, np.int8)
    assert layer.scales.shape in {(OUT, -(-IN // FOLD)), (OUT, 1)}
    assert (layer.scales > 0).all()
    assert layer.bias.tolist() == [1.0] * OUT
    assert (layer.codes[layer.sparse_rows, layer.sparse_cols] == 0).all()


def test_the_reported_loss_is_that_of_the_dequantized_weights(method, task):
    layer = method.quantize_layer(task, method.Config())
    error = task.weight.double() - torch.from_numpy(dequantize(layer, FOLD)).double()
    energy = ((task.weight.double() @ task.hessian.double()) * task.weight.double()).sum()
    assert layer.loss == pytest.approx(float(((error @ task.hessian.double()) * error).sum() / energy), rel=1e-3)
    assert 0 < layer.loss < 0.2


def test_a_method_gives_the_same_twice_and_changes_nothing(method, task):
    before = task.weight.clone()
    first, second = (method.quantize_layer(task, method.Config()) for _ in range(2))
    assert np.array_equal(first.codes, second.codes)
    assert np.array_equal(first.scales, second.scales)
    assert torch.equal(task.weight, before)


def test_a_layer_of_zeros_stays_zero(method, task):
    layer = method.quantize_layer(replace(task, weight=torch.zeros(OUT, IN)), method.Config())
    assert not dequantize(layer, FOLD).any()
    assert layer.loss == 0
