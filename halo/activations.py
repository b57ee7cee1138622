"""Activations in int8: symmetric, one scale per token, the rule of compressed-tensors."""

from __future__ import annotations

import torch

HALF_RANGE = 127.5


def quantize_activations(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return int8 values, held as float32 `[..., in]`, and token scales `[..., 1]`.

    scale = absmax / 127.5; values are rounded half to even and clipped to -128..127; a token of zeros has scale 1.

    >>> values, scale = quantize_activations(torch.tensor([[-51.0, 25.5]]))
    >>> values.tolist(), round(float(scale), 3)
    ([[-128.0, 64.0]], 0.4)
    """
    scale = x.abs().amax(-1, keepdim=True) / HALF_RANGE
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return torch.round(x / scale).clamp_(-128, 127), scale
