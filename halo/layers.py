"""Quantized layers and models as values: codes, scales, tiles and the sparse part; their bits; how they dequantize."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from characterization.artifact import Provenance
from halo.codebook import Codebook, bits_of_index
from halo.tiles import TileMap

SCALE_BITS = 16
CODE_BITS = 8
SHORT_POINTER_BITS, LONG_POINTER_BITS = 16, 32


@dataclass(frozen=True, eq=False)
class QuantizedLinear:
    """One linear layer in codes of its tiles' codebooks.

    Attributes:
        name: the module's name in the model.
        codes: int8 `[out, in]`; 0 at sparse positions.
        scales: float16 `[out, ceil(in / fold)]`; `[out, 1]` where one scale serves the whole reduction axis.
        tiles: which codebook each tile uses.
        sparse_rows, sparse_cols: int32 `[n]`, ordered by row, then column.
        sparse_values: int8 `[n]`.
        sparse_scales: float16 `[out]`; a sparse weight is value x the scale of its row.
        bias: float32 `[out]`, or None.
        loss: tr(dW H dW^T) / tr(W H W^T), the share of the layer's output energy that is error.
        fallback: '' or what went differently from what was asked.
        input_scales: float16 `[in]`: inputs are divided by them before they become int8; None for 1.
        activation_scale: float32 `[1]`: of all inputs of the layer; None: each token has its own.
        row_values: where every row has a table of its own, how many int8 values that holds; 0: codes are those of the
            tiles' codebooks.
    """

    name: str
    codes: np.ndarray
    scales: np.ndarray
    tiles: TileMap
    sparse_rows: np.ndarray
    sparse_cols: np.ndarray
    sparse_values: np.ndarray
    sparse_scales: np.ndarray
    bias: np.ndarray | None
    loss: float
    fallback: str
    input_scales: np.ndarray | None = None
    row_values: int = 0
    activation_scale: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.codes, self.scales, self.sparse_rows, self.sparse_cols, self.sparse_values,
                      self.sparse_scales, self.bias, self.input_scales, self.activation_scale):
            if array is not None:
                array.setflags(write=False)

    @property
    def per_channel(self) -> bool:
        """Whether integer sums of all folds are added before scaling, with one scale per output."""
        return bool(self.scales.shape[1] == 1)


@dataclass(frozen=True, slots=True)
class EffectiveBits:
    """Bits stored per quantized weight, by part; `total` is their sum.

    Attributes:
        index: indices into the codebooks.
        scales: fp16 fold scales, and of inputs where there are any.
        tables: the codebooks themselves, those of layers and rows, and the class of each tile.
        sparse: int8 values, their columns, row pointers and row scales.
    """

    index: float
    scales: float
    tables: float
    sparse: float

    @property
    def total(self) -> float:
        """All bits per weight."""
        return self.index + self.scales + self.tables + self.sparse


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """Every quantized linear of a model, in forward order.

    Attributes:
        method: "halo-bal", "rtn-w8a8", "gptq-w4a8", ...
        codebooks: what the tile classes index.
        layers: in forward order; those of a checkpoint are read one by one as they are asked for.
        fold: R, the rows of the reduction axis that one scale covers.
        skipped: module -> why it is not quantized.
        transform: what was done to the model before, '' for nothing: its other weights then are not the original's.
    """

    method: str
    codebooks: tuple[Codebook, ...]
    layers: Sequence[QuantizedLinear]
    fold: int
    skipped: Mapping[str, str]
    provenance: Provenance
    transform: str = ""

    def effective_bits(self) -> EffectiveBits:
        """Return the bits per weight over all quantized weights."""
        weights, tiles, index, scales, sparse, row_tables = 0, 0, 0.0, 0, 0, 0
        used: set[int] = set()
        tables: set[tuple[int, str]] = set()
        for layer in self.layers:
            weights += layer.codes.size
            tiles += layer.tiles.classes.size
            index += index_bits(layer, self.codebooks)
            scales += scale_bits(layer)
            sparse += sparse_bits(layer.sparse_values.size, *layer.codes.shape) if layer.sparse_values.size else 0
            row_tables += layer.codes.shape[0] * layer.row_values * CODE_BITS
            used |= (here := {int(position) for position in np.unique(layer.tiles.classes)})
            if not layer.row_values:
                tables |= {(k, layer.name if layer.name in self.codebooks[k].layers else "") for k in here}
        class_bits = math.ceil(math.log2(len(used))) if len(used) > 1 else 0
        shared = CODE_BITS * sum(len(self.codebooks[k].codes_in(name)) for k, name in tables)
        whole = shared + tiles * class_bits + row_tables
        return EffectiveBits(index / weights, scales / weights, whole / weights, sparse / weights)


def index_bits(layer: QuantizedLinear, codebooks: tuple[Codebook, ...]) -> float:
    """Return the bits of all indices of a layer; an edge tile counts the weights it has."""
    if layer.row_values:
        return float(layer.codes.size * math.ceil(math.log2(layer.row_values)))
    bits = np.array([bits_of_index(len(book.codes_in(layer.name))) for book in codebooks])[layer.tiles.classes]
    return float((bits * layer.tiles.sizes(*layer.codes.shape)).sum())


def scale_bits(layer: QuantizedLinear) -> int:
    """Return the bits of all scales of a layer."""
    return (layer.scales.size + (0 if layer.input_scales is None else layer.input_scales.size)) * SCALE_BITS


def sparse_bits(n: int, out_features: int, in_features: int) -> int:
    """Return the bits of a sparse part of `n` values: n x (8 + column bits), row pointers and row scales."""
    column_bits = max(1, math.ceil(math.log2(in_features)))
    pointer_bits = SHORT_POINTER_BITS if n < 2**SHORT_POINTER_BITS else LONG_POINTER_BITS
    return n * (CODE_BITS + column_bits) + int((out_features + 1) * pointer_bits + out_features * SCALE_BITS)


def spread_scales(scales: np.ndarray, in_features: int, fold: int) -> np.ndarray:
    """Return the scale of every weight, float32 `[out, in]`; `scales` is `[out, ceil(in / fold)]` or `[out, 1]`."""
    wide = scales.astype(np.float32)
    return np.repeat(wide, in_features if wide.shape[1] == 1 else fold, axis=1)[:, :in_features]


def dequantize(layer: QuantizedLinear, fold: int) -> np.ndarray:
    """Return what a layer stands for: codes x fold scales + sparse values x row scales, float32 `[out, in]`.

    Where inputs have scales, it stands for the weights of the divided inputs over them.
    """
    weight: np.ndarray = layer.codes.astype(np.float32) * spread_scales(layer.scales, layer.codes.shape[1], fold)
    values = layer.sparse_values.astype(np.float32) * layer.sparse_scales.astype(np.float32)[layer.sparse_rows]
    weight[layer.sparse_rows, layer.sparse_cols] += values
    if layer.input_scales is not None:
        weight /= layer.input_scales.astype(np.float32)
    return weight
