"""Rounding to a codebook: the nearest code, and the fp16 scale under which the nearest codes lose least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from halo.errors import NumericsError
from halo.kernels import best_scales

# Candidate scales as shares of the one that clips nothing.
SHARES = tuple(1.0 - 0.03 * step for step in range(24))
SMALLEST_HALF = 2.0**-24
LARGEST_HALF = 65504.0


def nearest(values: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return for each value the nearest of `codes` (sorted float32 `[K]`); a tie goes to the lower code."""
    middles = (codes[1:] + codes[:-1]) / 2
    index = torch.bucketize(values.contiguous(), middles)
    return codes.index_select(0, index.flatten()).view(values.shape)


def padded(rows: Sequence[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of several lengths as one float32 `[rows, longest]`, and their lengths, int64 `[rows]`."""
    counts = np.array([len(row) for row in rows])
    table = np.zeros((len(rows), counts.max()), np.float32)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values.cpu().numpy()
    return table, counts


def covering_scales(weight: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return the smallest scale of each row that clips none of its weights, `[rows]`; 0 for a row of zeros."""
    top, bottom = float(codes[-1]), float(codes[0])
    need = torch.zeros(weight.shape[0], device=weight.device)
    if top > 0:
        need = torch.maximum(need, weight.amax(1) / top)
    if bottom < 0:
        need = torch.maximum(need, weight.amin(1) / bottom)
    return need


def round_scales(scales: torch.Tensor, name: str = "") -> torch.Tensor:
    """Return `scales` rounded to fp16 and back, never 0.

    Raises:
        NumericsError: a scale is NaN or leaves fp16.
    """
    if not bool((scales <= LARGEST_HALF).all()):
        raise NumericsError(f"{name}: a weight scale of {float(scales.max()):g} leaves fp16; rescale its weights.")
    return scales.clamp(min=SMALLEST_HALF).half().float()


def search_scales(
    weight: torch.Tensor, importance: torch.Tensor, codes: torch.Tensor, name: str = "",
) -> torch.Tensor:
    """Return the fp16 scale of each row, as float32 `[rows]`, with the least error of rounding to the nearest code.

    Args:
        weight: `[rows, columns]`; sparse positions already 0.
        importance: what a squared error costs, `[columns]` or `[rows, columns]`; 0 where a weight does not count.
        codes: sorted float32 `[K]`.
        name: the layer, for errors.

    Raises:
        NumericsError: a scale is NaN or leaves fp16.
    """
    return search_mixed_scales(weight, importance, {0: codes}, torch.zeros(1, 1, device=weight.device), name)


def search_mixed_scales(
    weight: torch.Tensor, importance: torch.Tensor, codes: Mapping[int, torch.Tensor], classes: torch.Tensor,
    name: str = "",
) -> torch.Tensor:
    """Return what `search_scales` does for rows whose weights use the codebooks `codes[classes]`.

    Args:
        weight: `[rows, columns]`; sparse positions already 0.
        importance: what a squared error costs, `[1]`, `[columns]` or `[rows, columns]`.
        codes: class -> sorted float32 `[K]`.
        classes: of every weight, `[rows, columns]` or broadcast to it.
        name: the layer, for errors.

    Raises:
        NumericsError: a scale is NaN or leaves fp16.
    """
    chosen = {key: classes == key for key in codes}
    cover = torch.stack([covering_scales(torch.where(chosen[key], weight, 0.0), codes[key]) for key in codes]).amax(0)
    cover = torch.where(cover > 0, cover, torch.ones_like(cover))
    scales = torch.stack([round_scales(cover * share, name) for share in SHARES], 1)
    find = least_compiled if weight.device.type == "cpu" else least_by_torch
    return scales.gather(1, find(weight, importance, codes, classes, scales)[:, None])[:, 0]


def least_compiled(
    weight: torch.Tensor, importance: torch.Tensor, codes: Mapping[int, torch.Tensor], classes: torch.Tensor,
    scales: torch.Tensor,
) -> torch.Tensor:
    """Return which of its scales `[rows, scales]` loses each row least, the first of equal ones, int64 `[rows]`."""
    tables, counts = padded(list(codes.values()))
    positions = torch.zeros(weight.shape, dtype=torch.int8)
    for at, key in enumerate(codes):
        positions[(classes == key).expand(weight.shape)] = at
    wide = importance.float().reshape(-1, importance.shape[-1])
    found = best_scales(weight.contiguous().numpy(), wide.expand(len(wide), weight.shape[1]).contiguous().numpy(),
                        positions.numpy(), tables, counts, scales.numpy())
    return torch.from_numpy(found)


def least_by_torch(
    weight: torch.Tensor, importance: torch.Tensor, codes: Mapping[int, torch.Tensor], classes: torch.Tensor,
    scales: torch.Tensor,
) -> torch.Tensor:
    """Return what `least_compiled` does, on any device."""
    best = torch.zeros(len(weight), dtype=torch.long, device=weight.device)
    least = torch.full_like(scales[:, 0], float("inf"))
    for which, scale in enumerate(scales.T):
        unit, loss = weight / scale[:, None], torch.zeros_like(scale)
        for key, values in codes.items():
            error = torch.where(classes == key, (unit - nearest(unit, values)) * scale[:, None], 0.0)
            loss = loss + (error.square() * importance).sum(1)
        best, least = torch.where(loss < least, which, best), torch.minimum(loss, least)
    return best


def round_to_codebook(
    weight: torch.Tensor, importance: torch.Tensor, codes: torch.Tensor, fold: int, name: str = ""
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes `[out, in]` and fold scales `[out, ceil(in / fold)]` by scale search and rounding to nearest."""
    rounded, scales = torch.empty_like(weight), []
    for start in range(0, weight.shape[1], fold):
        columns = slice(start, start + fold)
        scale = search_scales(weight[:, columns], importance[..., columns], codes, name)
        rounded[:, columns] = nearest(weight[:, columns] / scale[:, None], codes)
        scales.append(scale)
    return rounded, torch.stack(scales, 1)
