"""Error feedback in GPTQ order, and coordinate descent, on any codebooks: rows in parallel, columns one by one."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from halo.layer_task import SparsePart
from halo.levels import Levels

BLOCK = 128
LARGEST_VALUE = 127
DAMPING_STEPS = 5


@dataclass(frozen=True, eq=False)
class Factor:
    """How an error in one column is paid for in later ones.

    Attributes:
        upper: U of H^-1 = U^T U with columns in `order`, float32 `[in, in]`.
        order: the order in which columns are rounded, int64 `[in]`.
        fallback: '' or the damping that was needed instead.
    """

    upper: torch.Tensor
    order: torch.Tensor
    fallback: str


def factorize(hessian: torch.Tensor, order: torch.Tensor, damping: float) -> Factor:
    """Return the factor of the damped Hessian; damping grows tenfold while the matrix is not positive definite.

    A column that no calibration token reaches gets a diagonal of 1. With all damping used up, errors are not fed back.
    """
    ordered = hessian[order][:, order].double()
    mean = float(ordered.diagonal().mean()) or 1.0
    dead = ordered.diagonal() == 0
    for step in range(DAMPING_STEPS):
        share = damping * 10**step
        # Each of these is a gigabyte for 11008 inputs: damped in place, and gone as soon as it is used.
        damped = ordered.clone()
        damped.diagonal().add_(share * mean).add_(dead.double())
        upper, failed = torch.linalg.cholesky_ex(damped)
        del damped
        if int(failed) == 0:
            inverse = torch.cholesky_inverse(upper)
            del upper
            upper, failed = torch.linalg.cholesky_ex(inverse, upper=True)
            del inverse
        if int(failed) == 0 and bool(torch.isfinite(upper).all()):
            return Factor(upper.float(), order, f"damping {share:g}" if step else "")
    eye = torch.eye(len(order), device=hessian.device)
    return Factor(eye, order, "Hessian not positive definite: no error feedback")


def propagated_target(
    weight: torch.Tensor, hessian: torch.Tensor, cross: torch.Tensor | None, damping: float
) -> torch.Tensor:
    """Return the weights T whose outputs T x come closest to the original layer's W y, `[out, in]`.

    Inputs x differ from the original's y by what earlier layers lost; a layer that stands for T instead of W makes up
    for it, as GPTAQ (ICML 2025) does. Sum |W y - T x|^2 + ridge |W - T|^2 is least at
    T = (W cross + ridge W) (hessian + ridge)^-1; the ridge is `damping` of the mean diagonal. Where that is singular,
    W is returned.
    """
    if cross is None:
        return weight
    ridge = damping * float(hessian.diagonal().mean())
    eye = torch.eye(len(hessian), dtype=torch.float64, device=hessian.device)
    wide = weight.double()
    lower, failed = torch.linalg.cholesky_ex(hessian + ridge * eye)
    if int(failed) or ridge == 0:
        return weight
    target = torch.cholesky_solve((wide @ cross + ridge * wide).T, lower).T.float()
    return target if bool(torch.isfinite(target).all()) else weight


def natural_order(hessian: torch.Tensor) -> torch.Tensor:
    """Return columns from the first to the last."""
    return torch.arange(len(hessian), device=hessian.device)


def activation_order(hessian: torch.Tensor) -> torch.Tensor:
    """Return columns by falling input energy; equal ones from the first to the last."""
    return torch.argsort(hessian.diagonal(), descending=True, stable=True)


def feed_back(
    weight: torch.Tensor, factor: Factor, levels: Levels, sparse: SparsePart
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes and sparse values, both float32 `[out, in]`, rounding columns in order and passing errors on.

    Args:
        weight: `[out, in]`, left as it is.
        factor: the order, and how errors are passed on.
        levels: rounds a column.
        sparse: where the dense code is 0 and the weight is an int8 value x its row's scale.
    """
    rest = weight[:, factor.order].clone()
    codes, values = torch.zeros_like(weight), torch.zeros_like(weight)
    row_scales = torch.where(sparse.scales > 0, sparse.scales, torch.ones_like(sparse.scales))
    columns = factor.order.tolist()
    for start in range(0, len(columns), BLOCK):
        stop = min(start + BLOCK, len(columns))
        errors = torch.zeros_like(rest[:, start:stop])
        for at in range(start, stop):
            column, wanted = columns[at], rest[:, at]
            kept = sparse.mask[:, column]
            # An error in this column costs error^2 / U_jj^2 once the later ones have made up for it.
            rounded = levels.choose(column, wanted, float(factor.upper[at, at]) ** -2)
            codes[:, column] = torch.where(kept, 0.0, rounded)
            integers = torch.round(wanted / row_scales).clamp(-LARGEST_VALUE, LARGEST_VALUE)
            values[:, column] = torch.where(kept, integers, 0.0)
            got = codes[:, column] * levels.scales[:, column] + values[:, column] * sparse.scales
            error = (wanted - got) / factor.upper[at, at]
            rest[:, at + 1 : stop] -= error[:, None] * factor.upper[at, at + 1 : stop]
            errors[:, at - start] = error
        rest[:, stop:] -= errors @ factor.upper[start:stop, stop:]
    return codes, values


def descend(
    weight: torch.Tensor, hessian: torch.Tensor, levels: Levels, codes: torch.Tensor, sparse: SparsePart
) -> torch.Tensor:
    """Return codes after one sweep of coordinate descent; a row's error and energy cost together never rise.

    Each column in turn takes the code that is best for the row while all others hold: error is a parabola in it.
    Sparse positions hold still, and so do columns that no token reaches.
    """
    hessian, codes = hessian.float(), codes.clone()
    gradient = (weight - codes * levels.scales - sparse.values * sparse.scales[:, None]) @ hessian
    live = (hessian.diagonal() > 0).tolist()
    for start in range(0, weight.shape[1], BLOCK):
        stop = min(start + BLOCK, weight.shape[1])
        local = gradient[:, start:stop].clone()
        moves = torch.zeros_like(local)
        for column in filter(live.__getitem__, range(start, stop)):
            at, scale = column - start, levels.scales[:, column]
            curvature = float(hessian[column, column])
            best = levels.choose(column, codes[:, column] * scale + local[:, at] / curvature, curvature)
            best = torch.where(sparse.mask[:, column], 0.0, best)
            moves[:, at] = (best - codes[:, column]) * scale
            codes[:, column] = best
            local -= moves[:, at, None] * hessian[column, start:stop]
        gradient -= moves @ hessian[start:stop]
    return codes
