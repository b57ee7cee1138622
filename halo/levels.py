"""Levels: which code each weight takes. The nearest, or the best of error and energy together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from halo.layer_task import LayerTask
from halo.rounding import nearest, padded


@dataclass(frozen=True, eq=False)
class Levels:
    """Rounds columns of all rows: each weight with its own tile's codebook and its own scale.

    Attributes:
        scales: float32 `[out, in]`.
        classes: int8 `[out, in]`.
        codes: position -> codes `[K]`.
        used: the positions that occur in each column.
        prices: position -> what the energy of each code costs `[K]`; None where only the error counts.
        worth: what a unit of a row's error costs, in the same currency, float32 `[out]`.
    """

    scales: torch.Tensor
    classes: torch.Tensor
    codes: tuple[torch.Tensor, ...]
    used: tuple[tuple[int, ...], ...]
    prices: tuple[torch.Tensor, ...] | None
    worth: torch.Tensor

    def choose(self, column: int, wanted: torch.Tensor, curvature: float) -> torch.Tensor:
        """Return the codes of least worth x curvature x (wanted - code x scale)^2 + price in one column, `[out]`.

        Args:
            column: of the weight matrix.
            wanted: the weights to stand for, `[out]`.
            curvature: what a squared error in this column adds to a row's error.
        """
        scale = self.scales[:, column]
        first, *others = self.used[column]
        chosen = self.best(first, wanted, scale, curvature)
        for position in others:
            here = self.classes[:, column] == position
            chosen = torch.where(here, self.best(position, wanted, scale, curvature), chosen)
        return chosen

    def best(self, position: int, wanted: torch.Tensor, scale: torch.Tensor, curvature: float) -> torch.Tensor:
        """Return the best codes of one codebook, `[out]`; a tie goes to the lower code."""
        codes, unit = self.codes[position], wanted / scale
        if self.prices is None:
            return nearest(unit, codes)
        weight = self.worth * curvature * scale.square()
        cost = torch.addcmul(self.prices[position], weight[:, None], (unit[:, None] - codes).square_())
        return codes[cost.argmin(1)]

    def tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """Return codes and prices as `[positions, most]`, how many count, and whether prices do, for the kernels."""
        codes, counts = padded(self.codes)
        prices = codes if self.prices is None else padded(self.prices)[0]
        return codes, counts, prices, self.prices is not None

    def energy_cost(self, codes: torch.Tensor) -> torch.Tensor:
        """Return what the energy of all codes `[out, in]` of each row costs, float64 `[out]`; 0 without prices."""
        total = torch.zeros(len(codes), dtype=torch.float64, device=codes.device)
        for position, price in enumerate(self.prices or ()):
            values = self.codes[position]
            index = torch.bucketize(codes, (values[1:] + values[:-1]) / 2)
            total += torch.where(self.classes == position, price[index], 0.0).double().sum(1)
        return total


def make_levels(task: LayerTask, scales: torch.Tensor) -> Levels:
    """Return the levels of `task` for scales of every weight `[out, in]`."""
    codes = tuple(task.codes_of(position) for position in range(len(task.codebooks)))
    per_tile = [tuple(np.unique(column).tolist()) for column in task.tiles.classes.T]
    used = tuple(per_tile[column // task.tiles.tile_in] for column in range(scales.shape[1]))
    worth = task.worth if task.worth is not None else torch.ones_like(scales[:, 0])
    prices = None
    if task.prices is not None:
        table = task.prices.to(scales)
        prices = tuple(table[values.long() + 128] for values in codes)
    return Levels(scales, task.classes, codes, used, prices, worth)
