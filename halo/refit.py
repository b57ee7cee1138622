"""Scales that suit codes already chosen: least squares per row, in closed form, kept only where the error falls."""

from __future__ import annotations

import torch

from halo.layer_task import ROWS_AT_ONCE
from halo.rounding import LARGEST_HALF, SMALLEST_HALF


def refit_scales(
    pull: torch.Tensor, hessian: torch.Tensor, scales: torch.Tensor, codes: torch.Tensor, fold: int
) -> torch.Tensor:
    """Return the fp16 fold scales, as float32 `[out, folds]`, of least row error e H e^T with the codes held.

    All folds of a row are solved for together, after LNQ (GuidedQuant, ICML 2025). A row whose error does not fall,
    once its scales are rounded to fp16, keeps what it had. out x in^2 operations, half a sweep of coordinate descent.

    Args:
        pull: T H, where codes x scales are to stand for T, `[out, in]`.
        hessian: `[in, in]`.
        scales: `[out, folds]`, or `[out, 1]` for one scale per row.
        codes: float32 `[out, in]`.
        fold: columns that share a scale.
    """
    width = pull.shape[1] if scales.shape[1] == 1 else fold
    hessian = hessian.float()
    rows = zip(*(torch.split(each, ROWS_AT_ONCE) for each in (pull, scales, codes)), strict=True)
    return torch.cat([refit_rows(pull, scales, codes, hessian, width) for pull, scales, codes in rows])


def fold_sums(values: torch.Tensor, width: int) -> torch.Tensor:
    """Return the sums over every `width` columns and over what is left at the end, float64 `[rows, folds]`."""
    whole = values.shape[1] // width * width
    sums = values[:, :whole].reshape(len(values), -1, width).sum(-1, dtype=torch.float64)
    rest = values[:, whole:]
    return torch.cat([sums, rest.sum(1, keepdim=True, dtype=torch.float64)], 1) if rest.shape[1] else sums


def refit_rows(
    pull: torch.Tensor, scales: torch.Tensor, codes: torch.Tensor, hessian: torch.Tensor, width: int
) -> torch.Tensor:
    """Return the refitted scales of a few rows."""
    folds = scales.shape[1]
    gram = torch.empty(len(pull), folds, folds, dtype=torch.float64, device=pull.device)
    for at in range(folds):
        start = at * width
        reach = codes[:, start : start + width] @ hessian[start : start + width, start:]
        sums = fold_sums(reach.mul_(codes[:, start:]), width)
        gram[:, at, at:], gram[:, at:, at] = sums, sums
    right = fold_sums(pull * codes, width)
    # A fold of zeros has no scale of its own; a small ridge towards the old ones leaves it as it is.
    ridge = 1e-6 * gram.diagonal(dim1=1, dim2=2).mean(1)[:, None].clamp(min=1e-30)
    wide = scales.double()
    found = torch.linalg.solve(gram + torch.diag_embed(ridge.expand_as(right)), right + ridge * wide)
    usable = torch.isfinite(found) & (found >= SMALLEST_HALF) & (found <= LARGEST_HALF)
    found = torch.where(usable, found, wide).half().double()

    def error(choice: torch.Tensor) -> torch.Tensor:
        """The row error less what no scale changes."""
        return (choice * (torch.einsum("rfg,rg->rf", gram, choice) - 2 * right)).sum(1)

    better = error(found) < error(wide)
    return torch.where(better[:, None], found, wide).float()


def target_pull(
    weight: torch.Tensor, sparse_values: torch.Tensor, sparse_scales: torch.Tensor, hessian: torch.Tensor
) -> torch.Tensor:
    """Return T H, T being what is left of the weights for codes x scales to stand for, `[out, in]`."""
    return (weight - sparse_values * sparse_scales[:, None]) @ hessian
