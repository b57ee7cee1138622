import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from halo.activations import fixed_scale, quantize_activations


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(-6, 6))
def test_activations_are_int8_within_half_a_step(seed, log_size):
    x = torch.from_numpy(np.random.default_rng(seed).normal(0, 10**log_size, (5, 16))).float()
    values, scale = quantize_activations(x)
    assert torch.equal(values, values.round())
    assert values.min() >= -128
    assert values.max() <= 127
    assert ((values * scale - x).abs() <= 0.5001 * scale).all()


def test_rounding_is_half_to_even():
    x = torch.tensor([[127.5, 0.5, 1.5, 2.5, -0.5, -1.5]])
    assert quantize_activations(x)[0].tolist() == [[127.0, 0.0, 2.0, 2.0, -0.0, -2.0]]


def test_a_token_of_zeros_stays_zero():
    values, scale = quantize_activations(torch.zeros(2, 4))
    assert torch.equal(values, torch.zeros(2, 4))
    assert torch.equal(scale, torch.ones(2, 1))


def test_a_fixed_scale_clips_where_that_errs_least():
    x = torch.from_numpy(np.random.default_rng(0).standard_t(3, (400, 100))).float()
    found = float(fixed_scale([x[:100], x[100:]]))

    def error(scale):
        return float((x - torch.round(x / scale).clamp(-128, 127) * scale).square().sum())

    widest = float(x.abs().max()) / 127.5
    best = min(error(widest * step / 400) for step in range(1, 401))
    assert error(found) < 1.02 * best < 0.9 * error(widest)
    assert float(fixed_scale([torch.zeros(3, 4)])) == 1.0
