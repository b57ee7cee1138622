import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from halo.activations import quantize_activations
from halo.errors import ModelError
from halo.layers import dequantize
from halo.runtime import Int8ActivationLinear, Int8Linear, apply_, exact_product, sparse_matrix, swapped
from tests.halo.synthetic import codebooks_of, synthetic_layer, synthetic_model, synthetic_profile

ALL = codebooks_of(synthetic_profile(), "all")


def activations(rows, columns, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (rows, columns))).float()


def integer_reference(layer, x, fold):
    """The definition, with int64 products and float32 sums in the stated order."""
    values, scale = quantize_activations(x)
    integers = values.numpy().astype(np.int64)
    width = layer.codes.shape[1] if layer.per_channel else fold
    total = np.zeros((len(x), layer.codes.shape[0]), np.float32)
    for at, start in enumerate(range(0, layer.codes.shape[1], width)):
        part = slice(start, start + width)
        product = integers[:, part] @ layer.codes[:, part].astype(np.int64).T
        total += product.astype(np.float32) * layer.scales[:, at].astype(np.float32)
    if len(layer.sparse_values):
        sparse = np.zeros(layer.codes.shape, np.int64)
        sparse[layer.sparse_rows, layer.sparse_cols] = layer.sparse_values
        total += (integers @ sparse.T).astype(np.float32) * layer.sparse_scales.astype(np.float32)
    total *= scale.numpy()
    return total if layer.bias is None else total + layer.bias


@pytest.mark.parametrize("options", [{"n_sparse": 40}, {"per_channel": True}, {"fold": 1024}, {}])
def test_outputs_equal_integer_arithmetic_bit_for_bit(options):
    fold = options.get("fold", 128)
    layer = synthetic_layer("a", 24, 1500, ALL, **options)
    layer = replace(layer, bias=np.linspace(-1, 1, 24).astype(np.float32))
    x = activations(7, 1500)
    assert np.array_equal(Int8Linear(layer, fold)(x).numpy(), integer_reference(layer, x, fold))


@pytest.mark.parametrize("options", [{"n_sparse": 40}, {"per_channel": True}])
def test_products_of_int8_equal_those_of_floats(options):
    layer = synthetic_layer("a", 24, 3000, ALL, **options)
    layer = replace(layer, codes=np.where(layer.codes > 0, -128, layer.codes))
    part, x = Int8Linear(layer, 128), activations(1100, 3000)
    x[:2] = torch.tensor([[-5.0], [5.0]])  # all inputs -128, all 127
    with_integers = part(x)
    part.in_integers = False
    assert torch.equal(with_integers, part(x))
    assert torch.equal(with_integers[600:], part(x[600:]))


def test_int8_is_not_multiplied_as_such_where_that_overflows():
    """Asked of a process whose oneDNN may not use VNNI, and adds pairs of products in 16 bits."""
    program = ("import torch; from halo.runtime import multiplies_integers\n"
               "x = torch.randint(-128, 128, (64, 128), generator=torch.manual_seed(1)).to(torch.int8)\n"
               "same = bool((torch._int_mm(x, x.T).double() == x.double() @ x.double().T).all())\n"
               "assert same or not multiplies_integers()")
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, check=True)


def test_outputs_are_close_to_dequantized_weights_times_activations():
    layer = synthetic_layer("a", 24, 300, ALL, n_sparse=20)
    x = activations(7, 300)
    values, scale = quantize_activations(x)
    wanted = (values * scale) @ torch.from_numpy(dequantize(layer, 128)).T
    assert torch.allclose(Int8Linear(layer, 128)(x), wanted, rtol=1e-4, atol=1e-2)


def test_products_over_many_rows_are_rounded_once():
    values, codes = torch.full((1, 3000), 127.0), torch.full((1, 3000), 127.0)
    values[0, -1] = 126.0
    assert float(exact_product(values, codes)) == np.float32(127 * 127 * 2999 + 126 * 127)


def test_rows_with_many_sparse_weights_are_summed_in_double():
    layer = synthetic_layer("a", 1, 2000, ALL, n_sparse=1500)
    assert sparse_matrix(layer).dtype == torch.float64
    x = activations(2, 2000)
    assert np.array_equal(Int8Linear(layer, 128)(x).numpy(), integer_reference(layer, x, 128))


def test_a_batch_keeps_its_shape():
    layer = synthetic_layer("a", 24, 48, ALL)
    x = activations(6, 48)
    assert torch.equal(Int8Linear(layer, 128)(x.view(2, 3, 48)), Int8Linear(layer, 128)(x).view(2, 3, 24))
    assert Int8Linear(layer, 128)(x[:0]).shape == (0, 24)
    assert Int8Linear(layer, 128)(x.clone().requires_grad_()).shape == (6, 24)


def test_int8_activations_alone_keep_the_weights():
    linear, x = nn.Linear(48, 24), activations(6, 48)
    values, scale = quantize_activations(x)
    with torch.no_grad():
        assert torch.equal(Int8ActivationLinear(linear)(x), linear(values * scale))


def test_swapped_modules_return_even_after_an_error():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    first = model[0]

    def fail_inside():
        with swapped(model, {"0": nn.Identity()}):
            assert isinstance(model[0], nn.Identity)
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert model[0] is first


def test_a_quantized_model_is_not_applied_to_another():
    quantized = synthetic_model({"0": (24, 48)}, ALL)
    with pytest.raises(ModelError, match=r"0: the model has no nn.Linear of shape 24 x 48 there"):
        apply_(nn.Sequential(nn.Linear(24, 48)), quantized)
