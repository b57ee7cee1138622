"""What is in a quantized folder, layer by layer: bits, classes, sparsity, error, and which values its weights take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halo.checkpoint import load_quantized
from halo.codebook import Codebook
from halo.layers import QuantizedLinear, QuantizedModel
from halo.shards import open_shards

LOWEST = -128


@dataclass(frozen=True, eq=False)
class LayerView:
    """One layer.

    Attributes:
        n_out, n_in: its shape.
        bits: stored per weight, indices, scales, tables and sparse part.
        class_shares: codebook -> share of the weights whose tile uses it.
        sparse_share: weights kept apart.
        loss: the share of the layer's output energy that is error.
        fallback: '' or what went differently from what was asked.
        histogram: how many weights of the dense part have each value of -128..127, int64 `[256]`; sparse positions are
            not counted.
        activation_scale: of all inputs; 0 where each token has its own.
    """

    name: str
    n_out: int
    n_in: int
    bits: float
    class_shares: dict[str, float]
    sparse_share: float
    loss: float
    fallback: str
    histogram: np.ndarray
    activation_scale: float

    @property
    def n_values(self) -> int:
        """Different values among the weights."""
        return int((self.histogram > 0).sum())

    @property
    def zero_share(self) -> float:
        """Zeros among the dense weights."""
        return float(self.histogram[-LOWEST] / max(1, self.histogram.sum()))


@dataclass(frozen=True, eq=False)
class FolderView:
    """A quantized folder.

    Attributes:
        bits: effective bits of all quantized weights, by part and in total.
        codebooks: what tiles use.
        skipped: module -> why it is not quantized.
        other_weights: numbers stored for what is not quantized.
        transform: what was done to the model before, '' for nothing.
        calibration: on how much text, in words; '' where the folder does not say.
    """

    method: str
    fold: int
    bits: dict[str, float]
    codebooks: tuple[Codebook, ...]
    layers: tuple[LayerView, ...]
    skipped: dict[str, str]
    other_weights: int
    transform: str
    calibration: str

    @property
    def quantized_weights(self) -> int:
        """Weights of the quantized layers."""
        return sum(layer.n_out * layer.n_in for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON; a histogram as value -> count."""
        layers = []
        for layer in self.layers:
            counted = {str(code + LOWEST): int(layer.histogram[code]) for code in np.flatnonzero(layer.histogram)}
            layers.append(asdict(layer) | {"histogram": counted, "n_values": layer.n_values,
                                           "zero_share": layer.zero_share})
        return {"method": self.method, "fold": self.fold, "bits": self.bits,
                "codebooks": {book.name: list(book.codes) for book in self.codebooks},
                "layer_codebooks": {book.name: book.layers for book in self.codebooks if book.layers}, "layers": layers,
                "skipped": self.skipped, "quantized_weights": self.quantized_weights,
                "other_weights": self.other_weights, "transform": self.transform,
                "calibration": self.calibration}


def inspect_folder(folder: Path) -> FolderView:
    """Return what is in the quantized folder `folder`, one layer in memory at a time.

    Raises:
        ModelError: it holds no quantized model, or a damaged one.
    """
    quantized = load_quantized(folder)
    bits = quantized.effective_bits()
    layers = tuple(view_layer(layer, quantized) for layer in quantized.layers)
    shards, names = open_shards(folder), {layer.name for layer in layers}
    others = sum(shards.size(key) for key in shards.files if key.rpartition(".")[0] not in names)
    return FolderView(quantized.method, quantized.fold, asdict(bits) | {"total": bits.total},
                      quantized.codebooks, layers, dict(quantized.skipped), others, quantized.transform,
                      str(quantized.provenance.config.get("calibration", "")))


def view_layer(layer: QuantizedLinear, quantized: QuantizedModel) -> LayerView:
    """Return one layer's view."""
    n_out, n_in = layer.codes.shape
    histogram = np.bincount(layer.codes.astype(np.int64).reshape(-1) - LOWEST, minlength=256)
    histogram[-LOWEST] -= len(layer.sparse_values)
    sizes = layer.tiles.sizes(n_out, n_in)
    shares = {book.name: float(sizes[layer.tiles.classes == k].sum() / layer.codes.size)
              for k, book in enumerate(quantized.codebooks) if (layer.tiles.classes == k).any()}
    alone = QuantizedModel(quantized.method, quantized.codebooks, (layer,), quantized.fold, {}, quantized.provenance)
    return LayerView(layer.name, n_out, n_in, alone.effective_bits().total, shares,
                     len(layer.sparse_values) / layer.codes.size, layer.loss, layer.fallback, histogram,
                     0.0 if layer.activation_scale is None else float(layer.activation_scale[0]))
