"""HALO's quantizer: per tile a codebook, per fold a scale, a sparse part, error feedback, then coordinate descent.

Codes and scales take turns after the feedback: scales are refitted to the codes in closed form, codes descend column by
column under the scales. Neither step raises a row's error and energy cost together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from halo.errors import ConfigError
from halo.factor import Factor, factorize
from halo.feedback import activation_order, descend, feed_back, natural_order, propagated_target
from halo.layer_task import LayerTask, SparsePart, finish, no_sparse, spread
from halo.layers import QuantizedLinear
from halo.levels import make_levels
from halo.refit import refit_scales, target_pull
from halo.rounding import search_mixed_scales
from halo.sparse import SparseConfig, cost_of_bits, select_sparse

sequential = True
DECIDING_ROWS = 512


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
    """Return the layer in its tiles' codebooks, quantized a block of rows after the other.

    `task`'s Hessian is damped while rows take turns, and is what it was afterwards: one more would be half a gigabyte.
    """
    order = activation_order(task.hessian) if config.act_order else natural_order(task.hessian)
    factor = factorize(task.hessian, order, config.damping)
    target = propagated_target(task.weight, task.drift, factor) if config.propagate else task.weight
    task = replace(task, drift=None)  # as large as the weights, and not needed any more
    aimed = replace(task, weight=target)
    kept = choose_sparse(aimed, config.sparse, factor)
    with damped_in_place(task.hessian, config.damping):
        parts = [quantize_rows(aimed.only_rows(rows), config, kept.only_rows(rows), factor)
                 for rows in task.row_blocks()]
    codes, scales, values = (torch.cat(each) for each in zip(*parts, strict=True))
    return finish(task, codes, scales, replace(kept, values=values), factor.fallback)


def quantize_rows(
    task: LayerTask, config: Config, sparse: SparsePart, factor: Factor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return codes (int8), scales and sparse values of a few rows, under a Hessian that is damped."""
    draft = first_pass(task, sparse, factor)
    codes, scales = take_turns(task, config, draft)
    return codes.to(torch.int8), scales, draft.sparse.values


@contextmanager
def damped_in_place(hessian: torch.Tensor, damping: float) -> Iterator[None]:
    """Add a share of the mean diagonal to the diagonal inside the block."""
    diagonal = hessian.diagonal()
    before = diagonal.clone()
    diagonal.add_(damping * diagonal.mean())
    try:
        yield
    finally:
        diagonal.copy_(before)


@dataclass(frozen=True, eq=False)
class Draft:
    """Rows after one pass of error feedback.

    Attributes:
        codes: `[out, in]`.
        scales: `[out, folds]`.
        losses: what each weight adds to its row's error, `[out, in]`.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    sparse: SparsePart
    losses: torch.Tensor


def choose_sparse(task: LayerTask, config: SparseConfig, factor: Factor) -> SparsePart:
    """Return the sparse part, or none where its bits save less than they would spent on all weights alike.

    Both are tried on at most so many evenly spaced rows.
    """
    part = select_sparse(task, config)
    if config.rule != "saved" or not bool(part.mask.any()):
        return part
    rows = torch.linspace(0, len(task.weight) - 1, min(len(task.weight), DECIDING_ROWS)).round().long()
    some, costs = task.only_rows(rows), []
    for tried in (part, no_sparse(task.weight)):
        losses = first_pass(some, tried.only_rows(rows), factor).losses.sum(1, dtype=torch.float64)
        loss = float((losses if some.worth is None else losses * some.worth).sum())
        costs.append(math.log(max(loss, 1e-300)) + cost_of_bits(tried))
    return part if costs[0] <= costs[1] else no_sparse(task.weight)


def first_pass(task: LayerTask, sparse: SparsePart, factor: Factor) -> Draft:
    """Return what one pass of error feedback makes of rows with a given sparse part."""
    scales = fold_scales(task, sparse, factor)
    levels = make_levels(task, spread(scales, task.weight.shape[1], task.fold))
    codes, values, losses = feed_back(task.weight, factor, levels, sparse)
    return Draft(codes, scales, replace(sparse, values=values), losses)


def take_turns(task: LayerTask, config: Config, draft: Draft) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes and scales after the sweeps and refits that `config` asks for."""
    codes, scales, sparse, hessian = draft.codes, draft.scales, draft.sparse, task.hessian
    pull = target_pull(task.weight, sparse.values, sparse.scales, hessian) if config.refit else None
    for _ in range(config.sweeps):
        if pull is not None:
            scales = refit_scales(pull, hessian, scales, codes, task.fold)
        levels = make_levels(task, spread(scales, codes.shape[1], task.fold))
        before, codes = codes, descend(task.weight, hessian, levels, codes, sparse)
        if torch.equal(before, codes):
            break
    return codes, scales if pull is None else refit_scales(pull, hessian, scales, codes, task.fold)


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
