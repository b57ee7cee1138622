"""One layer to quantize, as every method gets it, and the result that every method gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from halo.codebook import Codebook
from halo.errors import ConfigError, NumericsError
from halo.layers import QuantizedLinear
from halo.tiles import TileMap

COLUMNS_AT_ONCE = 1024
ROWS_AT_ONCE = 512
# A row that the loss hardly sees still counts this share of the mean row, so that its prices stay finite.
LEAST_WORTH = 1e-6
NO_TOKENS = "no calibration token, or only zeros, reached it: rounded from its weights alone"


@dataclass(frozen=True, eq=False)
class LayerTask:
    """What a method needs to know of one linear layer.

    Attributes:
        weight: float32 `[out, in]`.
        bias: float32 `[out]` or None.
        hessian: float32 `[in, in]`, sum of x x^T over calibration tokens.
        fisher: float32 `[out, in]`, mean squared gradients.
        tiles: each tile's position in `codebooks`.
        fold: R, rows of the reduction axis that share a scale.
        worth: what a unit of each row's error e H e^T costs, nats per token, float32 `[out]`; None: rows cost alike.
        prices: what the energy of each value of -128..127 costs, nats per token, float32 `[256]`; None: nothing.
        drift: float32 `[out, in]`, sum of W (y - x) x^T; x are inputs behind quantized layers, y the inputs of the same
            tokens in the original model; None where all inputs are those, or the method does not ask (`propagate`).
    """

    name: str
    weight: torch.Tensor
    bias: torch.Tensor | None
    hessian: torch.Tensor
    fisher: torch.Tensor
    codebooks: tuple[Codebook, ...]
    tiles: TileMap
    fold: int
    worth: torch.Tensor | None = None
    prices: torch.Tensor | None = None
    drift: torch.Tensor | None = None

    @property
    def classes(self) -> torch.Tensor:
        """The codebook position of every weight, int8 `[out, in]`."""
        return torch.from_numpy(self.tiles.of_weights(*self.weight.shape)).to(self.weight.device)

    def row_blocks(self) -> Iterator[slice]:
        """Return the rows that are worked on together: given the Hessian rows are independent, memory is that of few.

        Blocks are whole tiles. Where columns are walked through by torch, all rows go at once: steps cost more there.
        """
        tile, count = self.tiles.tile_out, len(self.weight)
        step = max(tile, ROWS_AT_ONCE // tile * tile) if self.weight.device.type == "cpu" else count
        return (slice(start, min(start + step, count)) for start in range(0, count, step))

    def only_rows(self, rows: torch.Tensor | slice) -> LayerTask:
        """Return the task of some rows, each a tile of its own."""
        numbers = torch.arange(len(self.weight))[rows].numpy()
        tiles = TileMap(self.name, self.tiles.classes[numbers // self.tiles.tile_out], self.tiles.tile_in, 1)
        bias, worth, drift = (None if each is None else each[rows] for each in (self.bias, self.worth, self.drift))
        return replace(self, weight=self.weight[rows], fisher=self.fisher[rows], tiles=tiles, bias=bias, worth=worth,
                       drift=drift)

    def only_codes(self) -> torch.Tensor:
        """Return the codes of the one codebook that all tiles use, float32 `[K]`.

        Raises:
            ConfigError: the tiles use several.
        """
        used = sorted({int(position) for position in self.tiles.classes.flat})
        if len(used) > 1:
            names = ", ".join(self.codebooks[position].name for position in used)
            raise ConfigError(f"{self.name}: its tiles use {names}, and this method takes one codebook for all; use "
                              "the method halo.")
        return self.codes_of(used[0])

    def codes_of(self, position: int) -> torch.Tensor:
        """Return the codes that the layer uses of one codebook, float32 `[K]`."""
        codes = self.codebooks[position].codes_in(self.name)
        return torch.tensor(codes, dtype=torch.float32, device=self.weight.device)


@dataclass(frozen=True, eq=False)
class SparsePart:
    """Weights kept apart in int8.

    Attributes:
        mask: bool `[out, in]`.
        values: int8 `[out, in]`; 0 where `mask` is not set.
        scales: float32 `[out]`, rounded to fp16.
    """

    mask: torch.Tensor
    values: torch.Tensor
    scales: torch.Tensor

    def only_rows(self, rows: torch.Tensor | slice) -> SparsePart:
        """Return the part of some rows."""
        return SparsePart(self.mask[rows], self.values[rows], self.scales[rows])


def no_sparse(weight: torch.Tensor) -> SparsePart:
    """Return the empty sparse part of `weight`."""
    nowhere, values = (torch.zeros_like(weight, dtype=kind) for kind in (torch.bool, torch.int8))
    return SparsePart(nowhere, values, torch.zeros_like(weight[:, 0]))


def row_worth(output: np.ndarray, n_tokens: int) -> torch.Tensor:
    """Return what a unit of each row's error e H e^T costs, nats per token, float32 `[out]`.

    Outputs erring independently, it is mean(g_i^2) / 2 per token.

    Args:
        output: mean squared gradient of each output `[out]`.
        n_tokens: behind the Hessian.
    """
    worth = torch.from_numpy(output).float() / (2 * n_tokens)
    return worth.clamp(min=LEAST_WORTH * float(worth.mean()) or 1.0)


def spread(scales: torch.Tensor, in_features: int, fold: int) -> torch.Tensor:
    """Return the scale of every weight `[out, in]` from `[out, folds]`, or from `[out, 1]` for a whole row."""
    width = in_features if scales.shape[1] == 1 else fold
    return scales.repeat_interleave(width, dim=1)[:, :in_features]


def row_errors(error: torch.Tensor, hessian: torch.Tensor) -> torch.Tensor:
    """Return e H e^T of every row, float64 `[out]`: products in float32, sums in float64.

    H is symmetric, so only what lies on and beside one side of its diagonal is multiplied: out x in^2 operations.
    """
    total = torch.zeros(len(error), dtype=torch.float64, device=error.device)
    for start in range(0, error.shape[1], COLUMNS_AT_ONCE):
        part = slice(start, start + COLUMNS_AT_ONCE)
        own = error[:, part]
        reach = own @ hessian[part, part] + 2 * (error[:, :start] @ hessian[:start, part])
        total += (reach * own).sum(1, dtype=torch.float64)
    return total


def relative_error(error: torch.Tensor, weight: torch.Tensor, hessian: torch.Tensor) -> float:
    """Return tr(dW H dW^T) / tr(W H W^T)."""
    energy = float(row_errors(weight, hessian).sum())
    return 0.0 if energy == 0 else float(row_errors(error, hessian).sum()) / energy


def finish(
    task: LayerTask, codes: torch.Tensor, scales: torch.Tensor, sparse: SparsePart, fallback: str
) -> QuantizedLinear:
    """Return the quantized layer of `task` from codes `[out, in]`, scales `[out, folds]` and the sparse part.

    Raises:
        NumericsError: the result is not finite.
    """
    loss = loss_of(task, codes, scales, sparse)
    if not np.isfinite(loss):
        raise NumericsError(f"{task.name}: the quantized layer is not finite; check its weights and inputs.")
    if not task.hessian.any():
        fallback = "; ".join(filter(None, (fallback, NO_TOKENS)))
    rows, cols = (index.to(torch.int32).cpu().numpy() for index in torch.nonzero(sparse.mask, as_tuple=True))
    return QuantizedLinear(
        task.name, codes.to(torch.int8).cpu().numpy(), scales.half().cpu().numpy(), task.tiles, rows, cols,
        sparse.values[sparse.mask].cpu().numpy(), sparse.scales.half().cpu().numpy(),
        None if task.bias is None else task.bias.float().cpu().numpy(), loss, fallback,
    )


def loss_of(task: LayerTask, codes: torch.Tensor, scales: torch.Tensor, sparse: SparsePart) -> float:
    """Return the share of the layer's output energy that is error, a block of rows after the other."""
    energies, errors = [], []
    for rows in task.row_blocks():
        weight, part = task.weight[rows], sparse.only_rows(rows)
        dense = codes[rows] * spread(scales[rows], weight.shape[1], task.fold)
        energies.append(row_errors(weight, task.hessian))
        errors.append(row_errors(weight - (dense + part.values * part.scales[:, None]), task.hessian))
    energy = float(torch.cat(energies).sum())
    return 0.0 if energy == 0 else float(torch.cat(errors).sum()) / energy
