"""HALO's quantizer: per tile a codebook, per fold a scale, a sparse part, error feedback, then coordinate descent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from halo.errors import ConfigError
from halo.feedback import (
    Factor,
    Levels,
    activation_order,
    descend,
    factorize,
    feed_back,
    make_levels,
    natural_order,
)
from halo.layer_task import LayerTask, SparsePart, finish, spread
from halo.layers import QuantizedLinear
from halo.rounding import search_mixed_scales
from halo.sparse import SparseConfig, select_sparse

sequential = True


@dataclass(frozen=True, slots=True)
class Config:
    """Options of the quantizer.

    Attributes:
        damping: share of the mean diagonal added to the Hessian.
        act_order: columns by falling input energy.
        sweeps: sweeps of coordinate descent after error feedback.
        sparse: which weights are kept apart.
    """

    damping: float = 0.01
    act_order: bool = True
    sweeps: int = 1
    sparse: SparseConfig = field(default_factory=SparseConfig)

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: damping is not positive or sweeps are negative.
        """
        if self.damping <= 0 or self.sweeps < 0:
            raise ConfigError(f"method.halo: damping = {self.damping} must be positive and sweeps = {self.sweeps} not "
                              "negative.")


def quantize_layer(task: LayerTask, config: Config) -> QuantizedLinear:
    """Return the layer in its tiles' codebooks."""
    order = activation_order(task.hessian) if config.act_order else natural_order(task.hessian)
    factor = factorize(task.hessian, order, config.damping)
    sparse = select_sparse(task, config.sparse)
    scales = fold_scales(task, sparse, factor)
    levels = make_levels(task, spread(scales, task.weight.shape[1], task.fold))
    codes, values = feed_back(task.weight, factor, levels, sparse)
    sparse = replace(sparse, values=values)
    codes = swept(task, config, levels, codes, sparse)
    return finish(task, codes, scales, sparse, factor.fallback)


def swept(task: LayerTask, config: Config, levels: Levels, codes: torch.Tensor, sparse: SparsePart) -> torch.Tensor:
    """Return the codes after the sweeps that `config` asks for, under the damped Hessian."""
    damped = task.hessian + torch.eye(len(task.hessian), device=codes.device) * (
        config.damping * task.hessian.diagonal().mean())
    for _ in range(config.sweeps):
        codes = descend(task.weight, damped, levels, codes, sparse)
    return codes


def fold_scales(task: LayerTask, sparse: SparsePart, factor: Factor) -> torch.Tensor:
    """Return the fp16 scale of every row and fold, `[out, folds]`, sparse weights not counting.

    An error is weighed with what feedback leaves of it: 1 / U_jj^2, the energy of an input that the later ones do not
    explain.
    """
    importance = torch.empty_like(task.weight[0])
    importance[factor.order] = factor.upper.diagonal().pow(-2)
    counted = torch.where(sparse.mask, 0.0, importance)
    dense, classes = torch.where(sparse.mask, 0.0, task.weight), task.classes
    codes = {position: task.codes_of(position) for position in range(len(task.codebooks))}
    scales = []
    for start in range(0, task.weight.shape[1], task.fold):
        part = slice(start, start + task.fold)
        used = {int(k): codes[int(k)] for k in torch.unique(classes[:, part])}
        scales.append(search_mixed_scales(dense[:, part], counted[:, part], used, classes[:, part], task.name))
    return torch.stack(scales, 1)
