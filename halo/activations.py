"""Activations in int8: symmetric, one scale per token, the rule of compressed-tensors; or one fixed scale per layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch

HALF_RANGE = 127.5
BINS, CANDIDATES = 4096, 128


def quantize_activations(
    x: torch.Tensor, fixed: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return int8 values, held as float32 `[..., in]`, and their scales `[..., 1]`, or `fixed` for all.

    scale = absmax / 127.5; values are rounded half to even and clipped to -128..127; a token of zeros has scale 1.

    >>> values, scale = quantize_activations(torch.tensor([[-51.0, 25.5]]))
    >>> values.tolist(), round(float(scale), 3)
    ([[-128.0, 64.0]], 0.4)
    """
    if fixed is not None:
        return (x / fixed).round_().clamp_(-128, 127), fixed
    scale = x.abs().amax(-1, keepdim=True) / HALF_RANGE
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (x / scale).round_().clamp_(-128, 127), scale


def fixed_scale(batches: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the one scale of least squared error for all of `batches` `[tokens, in]`, float32 `[1]`.

    Found on a histogram of magnitudes, among even steps up to the scale at which nothing is clipped.

    >>> round(float(fixed_scale([torch.linspace(-1, 1, 1000)[None]])) * HALF_RANGE, 3)
    1.0
    """
    largest = max(float(batch.abs().max()) for batch in batches)
    if largest == 0:
        return torch.ones(1, device=batches[0].device)
    counts = torch.stack([torch.histc(batch.abs().float(), BINS, 0, largest) for batch in batches]).double().sum(0)
    middles = (torch.arange(BINS, dtype=torch.float64, device=counts.device) + 0.5) * (largest / BINS)
    scales = torch.arange(1, CANDIDATES + 1, dtype=torch.float64, device=counts.device) * (
        largest / HALF_RANGE / CANDIDATES)
    steps = torch.round(middles / scales[:, None]).clamp_(max=127)
    # Within one step rounding errs evenly, whatever the middle of a bin does.
    even = (steps > 0) & (steps < HALF_RANGE - 0.5)
    error = torch.where(even, scales[:, None].square() / 12, (middles - steps * scales[:, None]).square())
    return scales[(error @ counts).argmin()].float()[None]
