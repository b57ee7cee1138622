"""HALO's quantizer: per tile a codebook, per fold a scale, a sparse part, error feedback, then coordinate descent.

Codes and scales take turns after the feedback: scales are refitted to the codes in closed form, codes descend column by
column under the scales. Neither step raises a row's error and energy cost together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch

from halo.errors import ConfigError
from halo.feedback import Factor, activation_order, descend, factorize, feed_back, natural_order, propagated_target
from halo.layer_task import LayerTask, SparsePart, finish, no_sparse, spread
from halo.layers import QuantizedLinear
from halo.levels import make_levels
from halo.refit import dense_target, refit_scales
from halo.rounding import search_mixed_scales
from halo.sparse import SparseConfig, cost_of_bits, select_sparse

sequential = True


@dataclass(frozen=True, slots=True)
class Config:
    """Options of the quantizer.

    Attributes:
        damping: share of the mean diagonal added to the Hessian.
        act_order: columns by falling input energy.
        sweeps: at most so many sweeps of coordinate descent after error feedback; fewer where no code changes.
        refit: scales are refitted to the codes before each sweep and after the last.
        propagate: codes stand for the weights that make up for what earlier layers lost, not for the layer's own.
        sparse: which weights are kept apart.
    """

    damping: float = 0.01
    act_order: bool = True
    sweeps: int = 6
    refit: bool = True
    propagate: bool = True
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
    own = task
    if config.propagate:
        task = replace(own, weight=propagated_target(own.weight, own.hessian, own.cross, config.damping))
    order = activation_order(task.hessian) if config.act_order else natural_order(task.hessian)
    factor = factorize(task.hessian, order, config.damping)
    parts = [select_sparse(task, config.sparse)]
    if config.sparse.rule == "saved" and bool(parts[0].mask.any()):
        parts.append(no_sparse(task.weight))
    tries = [first_pass(task, part, factor) for part in parts]
    costs = [math.log(max(error_of(task, made), 1e-300)) + cost_of_bits(made.sparse) for made in tries]
    chosen = tries[costs.index(min(costs))]
    codes, scales = take_turns(task, config, chosen)
    return finish(own, codes, scales, chosen.sparse, factor.fallback)


@dataclass(frozen=True, eq=False)
class Draft:
    """Codes `[out, in]`, fold scales `[out, folds]` and the sparse part after one pass of error feedback."""

    codes: torch.Tensor
    scales: torch.Tensor
    sparse: SparsePart


def first_pass(task: LayerTask, sparse: SparsePart, factor: Factor) -> Draft:
    """Return what one pass of error feedback makes of a layer with a given sparse part."""
    scales = fold_scales(task, sparse, factor)
    levels = make_levels(task, spread(scales, task.weight.shape[1], task.fold))
    codes, values = feed_back(task.weight, factor, levels, sparse)
    return Draft(codes, scales, replace(sparse, values=values))


def error_of(task: LayerTask, draft: Draft) -> float:
    """Return the layer's error, each row by what it is worth."""
    target = dense_target(task.weight, draft.sparse.values, draft.sparse.scales)
    error = target - draft.codes * spread(draft.scales, draft.codes.shape[1], task.fold)
    rows = ((error @ task.hessian.float()) * error).sum(1)
    return float((rows if task.worth is None else rows * task.worth).double().sum())


def take_turns(task: LayerTask, config: Config, draft: Draft) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes and scales after the sweeps and refits that `config` asks for, under the damped Hessian."""
    codes, scales, sparse = draft.codes, draft.scales, draft.sparse
    hessian = task.hessian + torch.eye(len(task.hessian), device=codes.device) * (
        config.damping * task.hessian.diagonal().mean())
    target = dense_target(task.weight, sparse.values, sparse.scales)
    for _ in range(config.sweeps):
        if config.refit:
            scales = refit_scales(target, hessian, scales, codes, task.fold)
        levels = make_levels(task, spread(scales, codes.shape[1], task.fold))
        before, codes = codes, descend(task.weight, hessian, levels, codes, sparse)
        if torch.equal(before, codes):
            break
    return codes, refit_scales(target, hessian, scales, codes, task.fold) if config.refit else scales


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
