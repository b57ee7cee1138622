"""Quantized checkpoints: a Hugging Face folder of safetensors and `config.json`, loaded back bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from characterization.artifact import Provenance, atomic_folder, atomic_path, write_text
from halo.codebook import Codebook
from halo.errors import ModelError, OutputError
from halo.layers import QuantizedLinear, QuantizedModel
from halo.model import choose_device, quiet_transformers, weight_files
from halo.runtime import apply_
from halo.tiles import TileMap

SCHEMA = 2
QUANT_METHOD = "halo"
ARRAYS = ("codes", "scales", "sparse_rows", "sparse_cols", "sparse_values", "sparse_scales")
OPTIONAL = ("bias", "input_scales")
QUANTIZED_FILE = "quantized.safetensors"


def linear_tensors(layer: QuantizedLinear) -> dict[str, torch.Tensor]:
    """Return the arrays of one layer under its module's name: `<name>.codes`, `<name>.scales`, ..."""
    arrays = {part: getattr(layer, part) for part in ARRAYS} | {"tile_classes": layer.tiles.classes}
    arrays |= {part: array for part in OPTIONAL if (array := getattr(layer, part)) is not None}
    return {f"{layer.name}.{part}": torch.from_numpy(array.copy()) for part, array in arrays.items()}


def linear_facts(layer: QuantizedLinear) -> dict[str, Any]:
    """Return what is not an array of one layer, as JSON."""
    return {"tile_in": layer.tiles.tile_in, "tile_out": layer.tiles.tile_out, "loss": layer.loss,
            "fallback": layer.fallback, "row_values": layer.row_values}


def read_linear(name: str, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> QuantizedLinear:
    """Return the layer that `linear_tensors` and `linear_facts` describe."""
    arrays: dict[str, Any] = {part: tensors[f"{name}.{part}"].numpy() for part in ARRAYS}
    tiles = TileMap(name, tensors[f"{name}.tile_classes"].numpy(), facts["tile_in"], facts["tile_out"])
    for part in OPTIONAL:
        tensor = tensors.get(f"{name}.{part}")
        arrays[part] = None if tensor is None else tensor.numpy()
    return QuantizedLinear(name, tiles=tiles, loss=facts["loss"], fallback=facts["fallback"],
                           row_values=facts["row_values"], **arrays)


def save_linear(path: Path, layer: QuantizedLinear) -> None:
    """Write one layer to a safetensors file, in one step."""
    with atomic_path(path) as partial:
        save_file(linear_tensors(layer), partial, {"facts": json.dumps(linear_facts(layer))})


def load_linear(path: Path, name: str) -> QuantizedLinear:
    """Return the layer that `save_linear` wrote."""
    with safe_open(path, framework="pt") as stream:
        facts = json.loads(stream.metadata()["facts"])
    return read_linear(name, load_file(path), facts)


def quantization_config(quantized: QuantizedModel) -> dict[str, Any]:
    """Return the `quantization_config` of `config.json`: everything about the quantized model but its arrays."""
    return {
        "quant_method": QUANT_METHOD, "schema": SCHEMA, "method": quantized.method, "fold": quantized.fold,
        "activations": {"bits": 8, "symmetric": True, "strategy": "token", "scale": "absmax / 127.5"},
        "codebooks": [asdict(codebook) for codebook in quantized.codebooks],
        "layers": {layer.name: linear_facts(layer) for layer in quantized.layers},
        "effective_bits": asdict(quantized.effective_bits()) | {"total": quantized.effective_bits().total},
        "skipped": dict(quantized.skipped), "provenance": json.loads(quantized.provenance.to_json()),
    }


def save_quantized(folder: Path, model_folder: Path, quantized: QuantizedModel) -> None:
    """Write `quantized` and whatever of the model in `model_folder` is not quantized to the new folder `folder`.

    Raises:
        OutputError: `folder` exists already.
        ModelError: `model_folder` is not a model folder with safetensors.
    """
    if folder.exists():
        raise OutputError(f"{folder} exists already; choose another folder or remove it first.")
    files = weight_files(model_folder)
    config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    replaced = {f"{layer.name}.{part}" for layer in quantized.layers for part in ("weight", "bias")}
    with atomic_folder(folder) as partial:
        for path in files:
            rest = {key: value for key, value in load_file(path).items() if not stands_for(key, replaced)}
            if rest:
                save_file(rest, partial / path.name, {"format": "pt"})
        tensors = {key: value for layer in quantized.layers for key, value in linear_tensors(layer).items()}
        save_file(tensors, partial / QUANTIZED_FILE, {"format": "pt"})
        for path in sorted(model_folder.glob("*.json")) + sorted(model_folder.glob("*.txt")):
            if path.name != "config.json" and not path.name.endswith(".index.json"):
                shutil.copyfile(path, partial / path.name)
        # Keys stay in this order, which is equal for equal inputs: layers are listed in forward order.
        config["quantization_config"] = quantization_config(quantized)
        write_text(partial / "config.json", json.dumps(config, indent=2) + "\n")


def stands_for(key: str, replaced: set[str]) -> bool:
    """Return whether a stored tensor is one of `replaced`; base models are stored without their outer prefix."""
    return key in replaced or any(name.endswith(f".{key}") for name in replaced)


def load_quantized(folder: Path) -> QuantizedModel:
    """Return the quantized model that `save_quantized` wrote.

    Raises:
        ModelError: the folder holds none, one of another schema, or a damaged one.
    """
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("quantization_config", {})
        tensors = load_file(folder / QUANTIZED_FILE)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{folder}: not a quantized model ({error}); make one with `halo quantize`.") from error
    if (found.get("quant_method"), found.get("schema")) != (QUANT_METHOD, SCHEMA):
        raise ModelError(f"{folder}: quantization {found.get('quant_method')!r}, schema {found.get('schema')}; this "
                         f"program reads {QUANT_METHOD!r}, schema {SCHEMA}: run `halo quantize` again.")
    codebooks = tuple(Codebook(c["name"], tuple(c["codes"]), c["max_delay_ps"]) for c in found["codebooks"])
    layers = tuple(read_linear(name, tensors, facts) for name, facts in found["layers"].items())
    provenance = Provenance(**found["provenance"])
    return QuantizedModel(found["method"], codebooks, layers, found["fold"], found["skipped"], provenance)


def load(folder: Path | str) -> nn.Module:
    """Return the torch model of a quantized checkpoint; its outputs equal those of the model that was saved.

    Raises:
        ModelError: the folder holds no quantized model, or lacks a weight.
    """
    folder = Path(folder)
    quantized = load_quantized(folder)
    with quiet_transformers(), torch.random.fork_rng():
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        del config.quantization_config
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    stored = {key: value for path in weight_files(folder) if path.name != QUANTIZED_FILE
              for key, value in load_file(path).items()}
    fill_weights(folder, model, stored, {layer.name for layer in quantized.layers})
    model.eval()
    apply_(model, quantized)
    whole: nn.Module = model.to(choose_device())
    return whole


def fill_weights(folder: Path, model: Any, stored: Mapping[str, torch.Tensor], quantized: set[str]) -> None:
    """Copy `stored` tensors into `model`, as float32, and tie what the model ties.

    Raises:
        ModelError: a weight is neither stored, quantized nor tied.
    """
    prefix = f"{model.base_model_prefix}."
    known = set(model.state_dict())
    renamed = {key if key in known else prefix + key: value.float() for key, value in stored.items()}
    missing, unexpected = model.load_state_dict(renamed, strict=False)
    model.tie_weights()
    filled = {tensor.data_ptr() for key, tensor in model.state_dict().items() if key in renamed}
    absent = [key for key in missing
              if key.rpartition(".")[0] not in quantized and model.state_dict()[key].data_ptr() not in filled]
    if absent or unexpected:
        raise ModelError(f"{folder}: weights missing: {absent}; not of this model: {list(unexpected)}; was the folder "
                         "copied in part?")


def total_bytes(folder: Path) -> int:
    """Return the bytes of all files of a checkpoint: the whole-file size beside the effective bits."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())

