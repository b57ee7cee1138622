"""AWQ-like (Lin et al., MLSys 2024): inputs scaled so that weights of strong inputs round finer; nearest codes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from halo.layer_task import LayerTask, finish, no_sparse, relative_error, spread
from halo.layers import QuantizedLinear
from halo.rounding import round_scales, round_to_codebook

sequential = True


@dataclass(frozen=True, slots=True)
class Config:
    """Options of the scaling.

    Attributes:
        grouped: one weight scale per fold and output channel; else one per output channel.
        steps: exponents that are tried, evenly from 0 (no scaling) to 1 (the inputs' own strength).
    """

    grouped: bool = True
    steps: int = 20


def quantize_layer(task: LayerTask, config: Config) -> QuantizedLinear:
    """Return the layer under the input scales of least output error; they are not folded into what comes before.

    Input strength is the root of the mean square (AWQ takes the mean magnitude); weight scales are searched for least
    squared error, as AWQ clips.

    Raises:
        ConfigError: the tiles use several codebooks.
    """
    codes = task.only_codes()
    width = task.fold if config.grouped else task.weight.shape[1]
    strength = task.hessian.diagonal().float().sqrt()
    strength = strength.clamp(min=float(strength.max()) * 1e-4 or 1.0)
    one = torch.ones(task.weight.shape[1], device=task.weight.device)
    best, least = None, float("inf")
    for step in range(config.steps + 1):
        inputs = strength ** (step / config.steps)
        inputs = round_scales(inputs / (inputs.max() * inputs.min()).sqrt(), task.name)
        rounded, scales = round_to_codebook(task.weight * inputs, one, codes, width, task.name)
        approximate = rounded * spread(scales, task.weight.shape[1], width) / inputs
        error = relative_error(task.weight - approximate, task.weight, task.hessian)
        if error < least:
            best, least = (inputs, rounded, scales), error
    if best is None:
        best = one, torch.zeros_like(task.weight), torch.full_like(task.weight[:, :1], float("nan"))
    inputs, rounded, scales = best
    scaled = replace(task, weight=task.weight * inputs, hessian=task.hessian / torch.outer(inputs, inputs))
    layer = finish(scaled, rounded, scales, no_sparse(task.weight), "")
    return replace(layer, input_scales=inputs.half().cpu().numpy())
