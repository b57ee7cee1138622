"""The sparse part: the few weights that are kept apart in int8, and why those."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from halo.errors import ConfigError
from halo.layer_task import LayerTask, SparsePart, no_sparse, spread
from halo.layers import sparse_bits
from halo.rounding import SMALLEST_HALF, nearest, round_to_codebook

LARGEST_VALUE = 127


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
    if int(mask.sum()) > budget:
        mask = largest(torch.where(mask, loss_saved(task, mask), -1.0), budget)
    reach = torch.where(mask, task.weight.abs(), 0.0).amax(1)
    scales = torch.where(reach > 0, (reach / LARGEST_VALUE).clamp(min=SMALLEST_HALF), 0.0).half().float()
    return SparsePart(mask, torch.zeros_like(task.weight), scales)


def cost_of_bits(sparse: SparsePart) -> float:
    """Return by how much, in log loss, a sparse part must lower a layer's loss to be worth its bits.

    One bit more for every weight of a layer quarters the loss of its dense part.
    """
    count = int(sparse.mask.sum())
    bits = sparse_bits(count, *sparse.mask.shape) if count else 0
    return math.log(4) * bits / sparse.mask.numel()


def candidates(task: LayerTask, config: SparseConfig) -> torch.Tensor:
    """Return outliers and salient weights, bool `[out, in]`."""
    weight = task.weight
    mask = torch.zeros_like(weight, dtype=torch.bool)
    if config.outlier_sigmas:
        mask |= (weight - weight.mean()).abs() > config.outlier_sigmas * weight.std()
    count = int(config.salient_share * weight.numel())
    return mask | largest(task.fisher, count) if count else mask


def largest(values: torch.Tensor, count: int) -> torch.Tensor:
    """Return where the `count` largest of `values` are, of equal ones the first, bool of the same shape."""
    least = torch.kthvalue(values.flatten(), values.numel() - count + 1).values
    mask, equal = values > least, (values == least).flatten().nonzero()[:, 0]
    mask.view(-1)[equal[: count - int(mask.sum())]] = True
    return mask


def loss_saved(task: LayerTask, mask: torch.Tensor) -> torch.Tensor:
    """Return what rounding each weight in its tile's codebook would cost, Fisher x error^2, `[out, in]`.

    Scales are those that suit the weights outside `mask`: an outlier then costs what clipping it costs.
    """
    dense, importance = torch.where(mask, 0.0, task.weight), torch.where(mask, 0.0, task.fisher)
    saved, classes = torch.zeros_like(task.weight), task.classes
    for position in torch.unique(classes).tolist():
        codes, chosen = task.codes_of(position), classes == position
        _, scales = round_to_codebook(dense, importance, codes, task.fold, task.name)
        scale = spread(scales, task.weight.shape[1], task.fold)
        error = task.weight - nearest(task.weight / scale, codes) * scale
        saved = torch.where(chosen, task.fisher * error.square(), saved)
    return saved
