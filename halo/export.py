"""Export to compressed-tensors: a quantized model as int8 or packed int4, which transformers and vLLM load today.

Exact or refused: a value is an int8 (or int4 x a step) times a scale per group or channel, so a sparse part, a table
per row and input scales have no place there, and groups must divide the input width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from halo.checkpoint import StoredLayers, load_quantized, write_folder
from halo.errors import ModelError, OutputError
from halo.layers import QuantizedLinear, QuantizedModel

FORMATS = ("compressed-tensors",)
SPARSE_OUT = "quantize again with --export-friendly group or channel"
FOLDS_OUT = "quantize again with --export-friendly channel, or with a tiles.array_rows that divides the width"
METHOD_OUT = "take another method, such as --variant halo-w4-shifted --export-friendly group"
NIBBLE_BITS, NIBBLES_PER_WORD, NIBBLE_OFFSET = 4, 8, 8
LOWEST_NIBBLE, HIGHEST_NIBBLE = -8, 7


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        bits: 4 or 8, of every weight.
        strategies: how many layers have a scale per "group" and per "channel".
    """

    bits: int
    strategies: dict[str, int]


def export(folder: Path, out: Path, format_name: str = FORMATS[0]) -> Exported:
    """Write the quantized model of `folder` to the new folder `out` in a format of others, bit for bit.

    Packed int4 where every layer's values are multiples of one step between -8 and 7 of it, else int8.

    Raises:
        OutputError: `out` exists already, or the disk is full.
        ModelError: the format is unknown, or cannot hold the model exactly; the message names each obstacle.
    """
    if format_name not in FORMATS:
        raise ModelError(f"--format {format_name!r}; use one of {', '.join(FORMATS)}.")
    if out.exists():
        raise OutputError(f"{out} exists already; choose another folder or remove it first.")
    quantized = load_quantized(folder)
    fixed = {layer.activation_scale is not None for layer in quantized.layers}
    if len(fixed) > 1:
        raise ModelError(f"{folder}: some layers have a static activation scale and some none; quantize again without "
                         "quantize.static_activations.")
    steps: dict[str, int] = {}
    strategies: dict[str, str] = {}
    obstacles: dict[str, str] = {}
    for layer in quantized.layers:
        obstacles |= {f"{layer.name} {what}": way_out for what, way_out in obstacles_of(layer, quantized.fold).items()}
        steps[layer.name] = step_of(layer.codes)
        strategies[layer.name] = strategy_of(layer, quantized.fold)
    if obstacles:
        more = f" and {len(obstacles) - 3} more" if len(obstacles) > 3 else ""
        # The last way out is also one past the obstacles before it.
        way_out = max(obstacles.values(), key=(SPARSE_OUT, FOLDS_OUT, METHOD_OUT).index)
        raise ModelError(f"{folder}: compressed-tensors cannot hold it exactly: {'; '.join([*obstacles][:3])}{more}; "
                         f"{way_out}.")
    bits = NIBBLE_BITS if all(steps.values()) else 8

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        for layer in quantized.layers:
            yield from layer_tensors(layer, bits, steps[layer.name])

    left_out = {f"{name}.{part}" for name, facts in stored_facts(quantized).items() for part in facts["stored"]}
    # In float32 a scale keeps all its digits; bf16 would round it.
    write_folder(out, folder, left_out, tensors, lambda: scheme(quantized, strategies, bits, fixed=fixed == {True}),
                 dtype="float32")
    counts = {kind: list(strategies.values()).count(kind) for kind in ("group", "channel")}
    return Exported(bits, {kind: count for kind, count in counts.items() if count})


def stored_facts(quantized: QuantizedModel) -> Any:
    """Return the facts of a model's layers, which come from a folder."""
    layers = quantized.layers
    return layers.facts if isinstance(layers, StoredLayers) else {}


def obstacles_of(layer: QuantizedLinear, fold: int) -> dict[str, str]:
    """Return why a layer cannot be exported exactly, each with the way out; empty where it can."""
    found = {}
    if len(layer.sparse_values):
        found[f"has a sparse part of {len(layer.sparse_values)} weights"] = SPARSE_OUT
    if layer.row_values:
        found["has a table per row"] = METHOD_OUT
    if layer.input_scales is not None:
        found["has input scales"] = METHOD_OUT
    if not layer.per_channel and layer.codes.shape[1] % fold:
        found[f"has {layer.codes.shape[1]} inputs, which folds of {fold} do not divide"] = FOLDS_OUT
    return found


def strategy_of(layer: QuantizedLinear, fold: int) -> str:
    """Return "group", or "channel" where one scale serves a row; a row of one fold is a group where others are."""
    return "channel" if layer.per_channel and layer.codes.shape[1] != fold else "group"


def step_of(codes: np.ndarray) -> int:
    """Return the greatest step of which all codes are multiples if they fit int4 so, else 0.

    >>> step_of(np.array([-128, 16, 112])), step_of(np.array([-128, 1]))
    (16, 0)
    """
    step = int(np.gcd.reduce(np.abs(np.unique(codes).astype(np.int64)))) or 1
    return step if LOWEST_NIBBLE * step <= codes.min() and codes.max() <= HIGHEST_NIBBLE * step else 0


def layer_tensors(layer: QuantizedLinear, bits: int, step: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of one layer under the names that compressed-tensors gives them."""
    scales = layer.scales.astype(np.float32)
    if bits == NIBBLE_BITS:
        yield f"{layer.name}.weight_packed", torch.from_numpy(pack_nibbles(layer.codes // np.int8(step)))
        yield f"{layer.name}.weight_shape", torch.tensor(layer.codes.shape, dtype=torch.int64)
        scales = scales * np.float32(step)
    else:
        yield f"{layer.name}.weight", torch.from_numpy(layer.codes.copy())
    yield f"{layer.name}.weight_scale", torch.from_numpy(scales)
    if layer.activation_scale is not None:
        yield f"{layer.name}.input_scale", torch.from_numpy(layer.activation_scale.copy())
    if layer.bias is not None:
        yield f"{layer.name}.bias", torch.from_numpy(layer.bias.copy())


def pack_nibbles(values: np.ndarray) -> np.ndarray:
    """Return int4 values `[out, in]`, offset by 8, eight to an int32, the first lowest: int32 `[out, ceil(in / 8)]`."""
    n_out, n_in = values.shape
    words = -(-n_in // NIBBLES_PER_WORD)
    whole = np.zeros((n_out, words * NIBBLES_PER_WORD), np.uint32)
    whole[:, :n_in] = (values.astype(np.int16) + NIBBLE_OFFSET).astype(np.uint32)
    shifts = np.arange(NIBBLES_PER_WORD, dtype=np.uint32) * np.uint32(NIBBLE_BITS)
    packed = np.bitwise_or.reduce(whole.reshape(n_out, words, NIBBLES_PER_WORD) << shifts, axis=2)
    return np.asarray(packed.astype("<u4").view(np.int32))


def scheme(quantized: QuantizedModel, strategies: dict[str, str], bits: int, *, fixed: bool) -> dict[str, Any]:
    """Return the `quantization_config` that compressed-tensors reads."""
    kinds = sorted(set(strategies.values()))
    packed = "pack-quantized" if bits == NIBBLE_BITS else "int-quantized"
    groups = {
        f"group_{at}": group_scheme(
            kind, bits, quantized.fold, packed, fixed,
            ["Linear"] if len(kinds) == 1 else [name for name, found in strategies.items() if found == kind])
        for at, kind in enumerate(kinds)
    }
    return {"quant_method": "compressed-tensors", "format": packed, "quantization_status": "compressed",
            "config_groups": groups, "ignore": list(quantized.skipped)}


def group_scheme(
    kind: str, bits: int, fold: int, packed: str, fixed: bool, targets: Sequence[str]
) -> dict[str, Any]:
    """Return the scheme of the layers `targets`: symmetric weights, int8 activations per token or at a fixed scale."""
    weights = {"num_bits": bits, "type": "int", "symmetric": True, "dynamic": False, "strategy": kind,
               "group_size": fold if kind == "group" else None}
    inputs = {"num_bits": 8, "type": "int", "symmetric": True, "dynamic": not fixed,
              "strategy": "tensor" if fixed else "token"}
    return {"targets": list(targets), "weights": weights, "input_activations": inputs, "format": packed}
