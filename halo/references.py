"""Reference models: the weights of a quantized model rounded once more to a plain grid, to compare costs with."""

from __future__ import annotations

import numpy as np
import torch

from characterization.artifact import Provenance
from characterization.profile import MacProfile
from halo.codebook import Codebook, grid_codebook
from halo.layers import QuantizedLinear, QuantizedModel, dequantize
from halo.operating_point import PointConfig
from halo.rounding import round_to_codebook
from halo.tiles import TileMap

W8A8, SHIFTED_W4A8 = "w8a8-reference", "w4a8-shifted-reference"
REFERENCES = ((W8A8, "all"), (SHIFTED_W4A8, "w4-shifted"))


def reference_models(
    quantized: QuantizedModel, profile: MacProfile, points: PointConfig
) -> tuple[QuantizedModel, ...]:
    """Return W8A8 and W4A8 shifted to the fast end, by rounding what `quantized` stands for to the nearest code.

    Their clocks and cycles are exact; their energy rests on values rounded from weights that were rounded before. For
    accuracy compare with baselines quantized from the model itself.
    """
    return tuple(reference_model(quantized, name, grid_codebook(grid, profile, points)) for name, grid in REFERENCES)


def reference_model(quantized: QuantizedModel, name: str, codebook: Codebook) -> QuantizedModel:
    """Return `quantized` rounded to one codebook, with a scale per fold and without a sparse part."""
    layers = tuple(reference_layer(layer, quantized.fold, codebook) for layer in quantized.layers)
    return QuantizedModel(name, (codebook,), layers, quantized.fold, dict(quantized.skipped),
                          Provenance("reference", {"model": quantized.provenance.key}, {"codebook": codebook.name}))


def reference_layer(layer: QuantizedLinear, fold: int, codebook: Codebook) -> QuantizedLinear:
    """Return one layer rounded to `codebook`; its loss is not known."""
    weight = torch.from_numpy(dequantize(layer, fold))
    codes, scales = round_to_codebook(weight, torch.ones(weight.shape[1]),
                                      torch.tensor(codebook.codes, dtype=torch.float32), fold, layer.name)
    tiles = TileMap(layer.name, np.zeros_like(layer.tiles.classes), layer.tiles.tile_in, layer.tiles.tile_out)
    none = np.zeros(0, np.int32)
    return QuantizedLinear(layer.name, codes.numpy().astype(np.int8), scales.numpy().astype(np.float16), tiles, none,
                           none.copy(), np.zeros(0, np.int8), layer.sparse_scales, layer.bias, float("nan"),
                           "rounded from quantized weights")
