"""SqueezeLLM-like (Kim et al., ICML 2024): a table per row by sensitivity-weighted k-means, and a sparse part."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from halo.errors import ConfigError
from halo.layer_task import LayerTask, SparsePart, finish
from halo.layers import QuantizedLinear
from halo.rounding import round_scales
from halo.sparse import SparseConfig, select_sparse

sequential = False
LARGEST_CODE, INT8_VALUES = 127, 256


@dataclass(frozen=True, slots=True)
class Config:
    """Options of the clustering.

    Attributes:
        values: K, entries of each row's table.
        iterations: of Lloyd's algorithm.
        sparse: 0.45 % in all: the most sensitive 0.05 %, and outliers.
    """

    values: int = 16
    iterations: int = 30
    sparse: SparseConfig = field(default_factory=lambda: SparseConfig("sigma", 2.5, 0.0005, 0.0045))


def quantize_layer(task: LayerTask, config: Config) -> QuantizedLinear:
    """Return the layer with every row on its own table of K int8 values.

    SqueezeLLM's tables are fp16 and its sparse values too; on an int8 MAC both are int8 with a scale per row. The
    codebook of the tiles must hold all int8 values, and so the clock is that of all values.

    Raises:
        ConfigError: the tiles use several codebooks, or one that lacks a value.
    """
    if len(task.only_codes()) < INT8_VALUES:
        raise ConfigError(f"{task.name}: squeeze gives each row a table of any int8 values; use the grid all.")
    sparse = select_sparse(task, config.sparse)
    counted = torch.where(sparse.mask, 0.0, task.fisher)
    dense = torch.where(sparse.mask, 0.0, task.weight)
    centres = cluster_rows(dense, counted, config.values, config.iterations)
    largest = centres.abs().amax(1, keepdim=True)
    scales = round_scales(torch.where(largest > 0, largest / LARGEST_CODE, 1.0), task.name)
    tables = torch.round(centres / scales).clamp(-LARGEST_CODE, LARGEST_CODE)
    codes = torch.where(sparse.mask, 0.0, tables.gather(1, nearest_in_row(dense / scales, tables)))
    layer = finish(task, codes, scales, round_sparse(task, sparse), "")
    return replace(layer, row_values=config.values)


def round_sparse(task: LayerTask, sparse: SparsePart) -> SparsePart:
    """Return the sparse part with its weights rounded to int8."""
    scale = torch.where(sparse.scales > 0, sparse.scales, 1.0)[:, None]
    values = torch.round(task.weight / scale).clamp(-LARGEST_CODE, LARGEST_CODE)
    return replace(sparse, values=torch.where(sparse.mask, values, 0.0).to(torch.int8))


def nearest_in_row(values: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
    """Return which of its row's `tables` `[rows, K]`, sorted, is nearest to each of `values` `[rows, n]`."""
    return torch.searchsorted(((tables[:, 1:] + tables[:, :-1]) / 2).contiguous(), values.contiguous())


def cluster_rows(values: torch.Tensor, weights: torch.Tensor, count: int, iterations: int) -> torch.Tensor:
    """Return the centres of weighted one-dimensional k-means of every row at once, sorted, `[rows, count]`.

    Started from quantiles of the weight x distance^2 that is spread evenly; a cluster without weight keeps its centre.

    Args:
        values: `[rows, n]`.
        weights: of the same shape, not negative.
        count: K.
        iterations: at most so many; all rows stop together.
    """
    order = values.argsort(dim=1, stable=True)
    ranked, mass = values.gather(1, order), weights.gather(1, order).double() + 1e-30
    # Panter and Dite: the best density of levels goes as the cube root of the density of mass.
    spread = (mass.pow(1 / 3)).cumsum(1)
    asked = (torch.arange(count, device=values.device) + 0.5) / count * spread[:, -1:]
    at = torch.searchsorted(spread, asked).clamp(max=values.shape[1] - 1)
    centres = ranked.gather(1, at)
    moment = mass * ranked
    for _ in range(iterations):
        home = nearest_in_row(ranked, centres)
        total = torch.zeros(centres.shape, dtype=torch.float64, device=values.device)
        first = torch.zeros_like(total)
        total.scatter_add_(1, home, mass)
        first.scatter_add_(1, home, moment)
        moved = torch.where(total > 0, first / total.clamp(min=1e-300), centres.double()).float()
        moved = moved.sort(1).values
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres
