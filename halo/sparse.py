"""The sparse part: the few weights that are kept apart in int8, and why those."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

from halo.errors import ConfigError
from halo.layer_task import LayerTask, SparsePart, no_sparse, spread
from halo.layers import sparse_bits
from halo.rounding import SMALLEST_HALF, nearest, round_to_codebook

LARGEST_VALUE = 127
VALUES_AT_ONCE = 2**22


@dataclass(frozen=True, slots=True)
class SparseConfig:
    """Which weights are kept apart.

    Attributes:
        rule: "saved" keeps a layer's sparse part where it saves more loss than its bits would, spent on all weights
            alike; "sigma" keeps it always, as HALO does.
        outlier_sigmas: weights farther than this from the layer's mean are candidates; 0 for none.
        salient_share: the share of most Fisher-salient weights that are candidates.
        cap_share: at most this share is kept; over it, what saves the most loss wins.
    """

    rule: Literal["saved", "sigma"] = "saved"
    outlier_sigmas: float = 3.0
    salient_share: float = 0.0005
    cap_share: float = 0.005

    def __post_init__(self) -> None:
        """Check the shares.

        Raises:
            ConfigError: one leaves 0..1, or the sigmas are negative.
        """
        if self.rule not in ("saved", "sigma"):
            raise ConfigError(f"sparse.rule = {self.rule!r}; use saved or sigma.")
        if not (0 <= self.salient_share <= 1 and 0 <= self.cap_share <= 1 and self.outlier_sigmas >= 0):
            raise ConfigError(f"sparse: shares must lie in 0..1 and outlier_sigmas must not be negative: {self}.")


def select_sparse(task: LayerTask, config: SparseConfig) -> SparsePart:
    """Return which weights of `task` are kept apart, with their row scales; values are still 0."""
    mask = candidates(task, config)
    budget = int(config.cap_share * mask.numel())
    if budget == 0 or not bool(mask.any()):
        return no_sparse(task.weight)
    if int(mask.count_nonzero()) > budget:
        mask[mask.clone()] = largest(loss_saved(task, mask), budget)
    blocks = list(task.row_blocks())
    reach = torch.cat([torch.where(mask[rows], task.weight[rows].abs(), 0.0).amax(1) for rows in blocks])
    scales = torch.where(reach > 0, (reach / LARGEST_VALUE).clamp(min=SMALLEST_HALF), 0.0).half().float()
    return replace(no_sparse(task.weight), mask=mask, scales=scales)


def cost_of_bits(sparse: SparsePart) -> float:
    """Return by how much, in log loss, a sparse part must lower a layer's loss to be worth its bits.

    One bit more for every weight of a layer quarters the loss of its dense part.
    """
    count = int(sparse.mask.count_nonzero())
    bits = sparse_bits(count, *sparse.mask.shape) if count else 0
    return math.log(4) * bits / sparse.mask.numel()


def candidates(task: LayerTask, config: SparseConfig) -> torch.Tensor:
    """Return outliers and salient weights, bool `[out, in]`."""
    weight = task.weight
    mask = torch.zeros_like(weight, dtype=torch.bool)
    if config.outlier_sigmas:
        mean, far = weight.mean(), config.outlier_sigmas * weight.std()
        for rows in task.row_blocks():
            mask[rows] = (weight[rows] - mean).abs() > far
    count = int(config.salient_share * weight.numel())
    return mask.logical_or_(largest(task.fisher, count)) if count else mask


def largest(values: torch.Tensor, count: int) -> torch.Tensor:
    """Return where the `count` largest of `values` are, of equal ones the first, bool of the same shape."""
    parts = torch.split(values.flatten(), VALUES_AT_ONCE)
    most = parts[0][:0]
    for part in parts:
        both = torch.cat([most, part])
        most = both.topk(min(count, len(both)), sorted=False).values
    least = most.min()
    mask = values > least
    for part, chosen in zip(parts, torch.split(mask.view(-1), VALUES_AT_ONCE), strict=True):
        chosen[(part == least).nonzero()[: count - int(mask.count_nonzero()), 0]] = True
    return mask


def loss_saved(task: LayerTask, mask: torch.Tensor) -> torch.Tensor:
    """Return what rounding each weight of `mask` in its tile's codebook would cost, Fisher x error^2, `[weights]`.

    Scales are those that suit the weights outside `mask`: an outlier then costs what clipping it costs.
    """
    return torch.cat([saved_of_rows(task.only_rows(rows), mask[rows]) for rows in task.row_blocks()])


def saved_of_rows(task: LayerTask, mask: torch.Tensor) -> torch.Tensor:
    """Return what `loss_saved` does, for a few rows."""
    dense, importance = torch.where(mask, 0.0, task.weight), torch.where(mask, 0.0, task.fisher)
    saved, classes = torch.zeros_like(task.weight), task.classes
    for position in torch.unique(classes).tolist():
        codes, chosen = task.codes_of(position), classes == position
        _, scales = round_to_codebook(dense, importance, codes, task.fold, task.name)
        scale = spread(scales, task.weight.shape[1], task.fold)
        error = task.weight - nearest(task.weight / scale, codes) * scale
        saved = torch.where(chosen, task.fisher * error.square(), saved)
    return saved[mask]
