"""Error feedback in GPTQ order, and coordinate descent, on any codebooks: rows in parallel, columns one by one.

Both go through blocks of columns: inside a block every move is seen at once by the columns after it (compiled in
`kernels.py`; by torch on other devices), beyond it by one matrix product per block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from halo.factor import Factor
from halo.finite import all_finite
from halo.kernels import LARGEST_VALUE, descend_block, feed_back_block
from halo.layer_task import ROWS_AT_ONCE, SparsePart
from halo.levels import Levels

BLOCK = 128


def natural_order(hessian: torch.Tensor) -> torch.Tensor:
    """Return columns from the first to the last."""
    return torch.arange(len(hessian), device=hessian.device)


def activation_order(hessian: torch.Tensor) -> torch.Tensor:
    """Return columns by falling input energy; equal ones from the first to the last."""
    return torch.argsort(hessian.diagonal(), descending=True, stable=True)


def propagated_target(weight: torch.Tensor, drift: torch.Tensor | None, factor: Factor) -> torch.Tensor:
    """Return the weights T whose outputs T x come closest to the original layer's W y, `[out, in]`.

    Inputs x differ from the original's y by what earlier layers lost; a layer that stands for T instead of W makes up
    for it, as GPTAQ (ICML 2025) does. Sum |W y - T x|^2 + ridge |W - T|^2 is least at T = W + drift H^-1, where
    `drift` is the sum of W (y - x) x^T and H the Hessian with the factor's damping on it. Without a factor it is W.
    """
    if drift is None or not factor.found:
        return weight
    target = torch.empty_like(weight)
    for rows, own, moved in zip(*(torch.split(each, ROWS_AT_ONCE) for each in (target, weight, drift)), strict=True):
        torch.add(own, factor.times_inverse(moved), out=rows)
    return target if all_finite(target) else weight


def feed_back(
    weight: torch.Tensor, factor: Factor, levels: Levels, sparse: SparsePart
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return codes, sparse values (int8) and losses, all `[out, in]`, rounding columns in order, errors passed on.

    A column's loss is what its error adds to the row's e H e^T (H damped) once later columns have made up for it: a
    row's losses sum to that.

    Args:
        weight: `[out, in]`, left as it is.
        factor: the order, and how errors are passed on.
        levels: rounds a column.
        sparse: where the dense code is 0 and the weight is an int8 value x its row's scale.
    """
    order, shape = factor.order, weight.T.shape
    rest, scales, classes, mask = (each.T.contiguous()[order]
                                   for each in (weight, levels.scales, levels.classes, sparse.mask))
    codes, values = (torch.empty(shape, dtype=kind, device=weight.device) for kind in (torch.float32, torch.int8))
    round_block = round_compiled if weight.device.type == "cpu" else round_by_torch
    for start in range(0, len(order), BLOCK):
        part = slice(start, min(start + BLOCK, len(order)))
        block = ColumnBlock(order[part], factor.upper[part, part].contiguous(), scales[part], classes[part], mask[part])
        round_block(rest[part], block, levels, sparse.scales, codes[part], values[part])
        rest[part.stop :].addmm_(factor.upper[part, part.stop :].T, rest[part], alpha=-1)
    del scales, classes, mask  # as much again as what is put back
    return put_back(codes, order), put_back(values, order), put_back(rest.square_(), order)


def put_back(columns: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Return columns `[in, out]` in `order` as they were before, `[out, in]`."""
    before = torch.empty_like(columns)
    before[order] = columns
    return before.T.contiguous()


@dataclass(frozen=True, eq=False)
class ColumnBlock:
    """Columns that are rounded one after the other.

    Attributes:
        columns: their numbers in the layer.
        upper: U of them, `[width, width]`.
        scales: of their weights, `[width, out]`.
        classes: of their weights, int8 `[width, out]`.
        mask: where they are sparse, `[width, out]`.
    """

    columns: torch.Tensor
    upper: torch.Tensor
    scales: torch.Tensor
    classes: torch.Tensor
    mask: torch.Tensor


def round_compiled(
    rest: torch.Tensor, block: ColumnBlock, levels: Levels, row_scales: torch.Tensor, codes: torch.Tensor,
    values: torch.Tensor,
) -> None:
    """Round a block, all `[width, out]`: write `codes`, sparse `values`, and to `rest` errors in units of U_jj."""
    tables, counts, prices, priced = levels.tables()
    feed_back_block(rest.numpy(), block.upper.numpy(), block.scales.numpy(), block.classes.numpy(),
                    block.mask.numpy(), row_scales.numpy(), tables, counts, prices, priced, levels.worth.numpy(),
                    codes.numpy(), values.numpy())


def round_by_torch(
    rest: torch.Tensor, block: ColumnBlock, levels: Levels, row_scales: torch.Tensor, codes: torch.Tensor,
    values: torch.Tensor,
) -> None:
    """Do what `round_compiled` does, on any device."""
    steps, upper = torch.where(row_scales > 0, row_scales, torch.ones_like(row_scales)), block.upper
    for at, column in enumerate(block.columns.tolist()):
        wanted, kept = rest[at], block.mask[at]
        # An error in this column costs error^2 / U_jj^2 once the later ones have made up for it.
        rounded = levels.choose(column, wanted, float(upper[at, at]) ** -2)
        codes[at] = torch.where(kept, 0.0, rounded)
        integers = torch.round(wanted / steps).clamp(-LARGEST_VALUE, LARGEST_VALUE)
        values[at] = torch.where(kept, integers, 0.0)
        rest[at] = (wanted - (codes[at] * block.scales[at] + values[at] * row_scales)) / upper[at, at]
        rest[at + 1 :] -= upper[at, at + 1 :, None] * rest[at]


def descend(
    weight: torch.Tensor, hessian: torch.Tensor, levels: Levels, codes: torch.Tensor, sparse: SparsePart
) -> torch.Tensor:
    """Return codes after one sweep of coordinate descent; a row's error and energy cost together never rise.

    Each column in turn takes the code that is best for the row while all others hold: error is a parabola in it.
    Sparse positions hold still, and so do columns that no token reaches. A block's gradient is asked for when its turn
    comes: 2 x out x in^2 operations in all.
    """
    hessian, codes = hessian.float(), codes.clone()
    error = weight - codes * levels.scales - sparse.values * sparse.scales[:, None]
    descend_part = descend_compiled if weight.device.type == "cpu" else descend_by_torch
    for start in range(0, weight.shape[1], BLOCK):
        part = slice(start, min(start + BLOCK, weight.shape[1]))
        best = descend_part(error @ hessian[:, part], part, hessian[part, part].contiguous(), levels, codes, sparse)
        error[:, part] -= (best - codes[:, part]) * levels.scales[:, part]
        codes[:, part] = best
    return codes


def descend_compiled(
    gradient: torch.Tensor, part: slice, hessian: torch.Tensor, levels: Levels, codes: torch.Tensor, sparse: SparsePart
) -> torch.Tensor:
    """Return the codes of a block after a sweep, `[out, block]`; `gradient` is overwritten."""
    best = codes[:, part].contiguous() if codes.shape[1] > BLOCK else codes.clone()
    tables, counts, prices, priced = levels.tables()
    descend_block(gradient.numpy(), hessian.numpy(), levels.scales[:, part].contiguous().numpy(),
                  levels.classes[:, part].contiguous().numpy(), sparse.mask[:, part].contiguous().numpy(), tables,
                  counts, prices, priced, levels.worth.numpy(), best.numpy())
    return best


def descend_by_torch(
    gradient: torch.Tensor, part: slice, hessian: torch.Tensor, levels: Levels, codes: torch.Tensor, sparse: SparsePart
) -> torch.Tensor:
    """Return what `descend_compiled` does, on any device."""
    best = codes[:, part].clone()
    for at, curvature in enumerate(hessian.diagonal().tolist()):
        if curvature <= 0:
            continue
        column, before = part.start + at, best[:, at].clone()
        scale = levels.scales[:, column]
        chosen = levels.choose(column, before * scale + gradient[:, at] / curvature, curvature)
        best[:, at] = torch.where(sparse.mask[:, column], 0.0, chosen)
        gradient -= ((best[:, at] - before) * scale)[:, None] * hessian[at]
    return best
