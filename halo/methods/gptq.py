"""GPTQ (Frantar et al., ICLR 2023): error feedback on a grid clipped for least squared error; static groups."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from halo.factor import Factor, factorize
from halo.feedback import activation_order, feed_back, natural_order
from halo.layer_task import LayerTask, finish, no_sparse, spread
from halo.layers import QuantizedLinear
from halo.levels import make_levels
from halo.rounding import search_scales

sequential = True


@dataclass(frozen=True, slots=True)
class Config:
    """Options of GPTQ.

    Attributes:
        grouped: one scale per fold and output channel; else one per output channel.
        damping: share of the mean diagonal added to the Hessian.
        act_order: columns by falling input energy.
    """

    grouped: bool = False
    damping: float = 0.01
    act_order: bool = True


def quantize_layer(task: LayerTask, config: Config) -> QuantizedLinear:
    """Return the layer on its only codebook, scales fixed before any column is rounded, rows block by block.

    Raises:
        ConfigError: the tiles use several codebooks.
    """
    task.only_codes()
    order = activation_order(task.hessian) if config.act_order else natural_order(task.hessian)
    factor = factorize(task.hessian, order, config.damping)
    parts = [quantize_rows(task.only_rows(rows), config, factor) for rows in task.row_blocks()]
    codes, scales = (torch.cat(each) for each in zip(*parts, strict=True))
    return finish(task, codes, scales, no_sparse(task.weight), factor.fallback)


def quantize_rows(task: LayerTask, config: Config, factor: Factor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes (int8) and scales of a few rows."""
    codes, one = task.only_codes(), torch.ones(1, device=task.weight.device)
    groups = torch.split(task.weight, task.fold if config.grouped else task.weight.shape[1], dim=1)
    scales = torch.stack([search_scales(group, one, codes, task.name) for group in groups], 1)
    levels = make_levels(task, spread(scales, task.weight.shape[1], task.fold))
    rounded, *_ = feed_back(task.weight, factor, levels, no_sparse(task.weight))
    return rounded.to(torch.int8), scales
