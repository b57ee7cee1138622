"""Quantized checkpoints: a Hugging Face folder of safetensors and `config.json`, loaded back bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import torch

from characterization.artifact import Provenance, atomic_folder, write_text
from halo.codebook import Codebook
from halo.errors import ModelError, OutputError
from halo.layer_file import layer_facts, layer_tensors, read_layer
from halo.layers import QuantizedLinear, QuantizedModel
from halo.shards import SHARD_BYTES, Shards, disk_guard, open_shards, write_shards
from halo.tiles import TileMap

SCHEMA = 4
QUANT_METHOD = "halo"
COPIED = ("*.json", "*.txt", "*.model", "*.jinja")


@dataclass(frozen=True, eq=False)
class StoredLayers(Sequence[QuantizedLinear]):
    """The quantized layers of a folder, each read when it is asked for and then forgotten.

    Attributes:
        facts: layer -> what is not an array, in forward order.
    """

    shards: Shards
    facts: Mapping[str, Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.facts)

    @overload
    def __getitem__(self, index: int) -> QuantizedLinear: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[QuantizedLinear, ...]: ...
    def __getitem__(self, index: int | slice) -> QuantizedLinear | tuple[QuantizedLinear, ...]:
        names = list(self.facts)
        if isinstance(index, slice):
            return tuple(self.read(name) for name in names[index])
        return self.read(names[index])

    def read(self, name: str) -> QuantizedLinear:
        """Return one layer by name.

        Raises:
            ModelError: it is damaged.
        """
        return read_layer(name, lambda part: self.shards.array(f"{name}.{part}"), self.facts[name])


def quantization_config(quantized: QuantizedModel, facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the `quantization_config` of `config.json`: everything about the quantized model but its arrays.

    Layers are a list, in forward order: transformers sorts the keys of what it saves again.
    """
    bits = quantized.effective_bits()
    return {
        "quant_method": QUANT_METHOD, "schema": SCHEMA, "method": quantized.method, "fold": quantized.fold,
        "activations": {"bits": 8, "symmetric": True} | (
            {"strategy": "tensor"} if any("activation_scale" in layer["stored"] for layer in facts) else
            {"strategy": "token", "scale": "absmax / 127.5"}),
        "codebooks": [asdict(codebook) for codebook in quantized.codebooks], "layers": facts,
        "effective_bits": asdict(bits) | {"total": bits.total},
        "skipped": dict(quantized.skipped), "transform": quantized.transform,
        "provenance": json.loads(quantized.provenance.to_json()),
    }


def save_quantized(
    folder: Path, model_folder: Path, quantized: QuantizedModel, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write `quantized` and whatever of the model in `model_folder` is not quantized to the new folder `folder`.

    Shard by shard: at most `shard_bytes` of packed weights and one unpacked layer are held.

    Raises:
        OutputError: `folder` exists already, or the disk is full.
        ModelError: `model_folder` is not a model folder with safetensors.
    """
    if folder.exists():
        raise OutputError(f"{folder} exists already; choose another folder or remove it first.")
    facts: list[Mapping[str, Any]] = []

    def packed() -> Iterator[tuple[str, torch.Tensor]]:
        for layer in quantized.layers:
            arrays = layer_tensors(layer, quantized.codebooks)
            facts.append(layer_facts(layer, arrays))
            yield from ((f"{layer.name}.{part}", torch.from_numpy(array.copy())) for part, array in arrays.items())

    original = {f"{name}.{part}" for name in layer_names(quantized) for part in ("weight", "bias")}
    write_folder(folder, model_folder, original, packed, lambda: quantization_config(quantized, facts), shard_bytes)


def layer_names(quantized: QuantizedModel) -> tuple[str, ...]:
    """Return the names of the quantized layers, without reading them where they are stored."""
    layers = quantized.layers
    return tuple(layers.facts) if isinstance(layers, StoredLayers) else tuple(layer.name for layer in layers)


def write_folder(
    folder: Path, model_folder: Path, left_out: set[str], tensors: Callable[[], Iterator[tuple[str, torch.Tensor]]],
    config: Callable[[], Mapping[str, Any]], shard_bytes: int = SHARD_BYTES, **changes: Any,
) -> None:
    """Write the folder of a model with `tensors` in place of some of its own.

    Args:
        folder: new.
        model_folder: the original.
        left_out: tensors of the original that are not copied.
        tensors: gives the tensors that stand for them, by full name.
        config: gives `quantization_config`, asked for after the tensors.
        shard_bytes: size of the files.
        changes: other keys of `config.json`.

    Raises:
        OutputError: the disk is full.
        ModelError: `model_folder` is not a model folder with safetensors.
    """
    original = open_shards(model_folder)
    fields = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))

    def everything() -> Iterator[tuple[str, torch.Tensor]]:
        for key in original.files:
            if not stands_for(key, left_out):
                yield key, original.read(key)
        yield from tensors()

    with disk_guard(folder), atomic_folder(folder) as partial:
        write_shards(partial, everything(), shard_bytes)
        copy_tokenizer(model_folder, partial)
        # Keys stay in this order, which is equal for equal inputs: layers are listed in forward order.
        fields |= {**changes, "quantization_config": config()}
        write_text(partial / "config.json", json.dumps(fields, indent=2) + "\n")


def copy_tokenizer(model_folder: Path, folder: Path) -> None:
    """Copy what a model folder holds beside weights and configuration: the tokenizer, generation's settings."""
    for path in sorted(path for pattern in COPIED for path in model_folder.glob(pattern)):
        if path.name != "config.json" and not path.name.endswith(".index.json"):
            shutil.copyfile(path, folder / path.name)


def stands_for(key: str, replaced: set[str]) -> bool:
    """Return whether a stored tensor is one of `replaced`; base models are stored without their outer prefix."""
    return key in replaced or any(name.endswith(f".{key}") for name in replaced)


def is_quantized(folder: Path) -> bool:
    """Return whether a folder holds a quantized model of ours, of whatever schema."""
    try:
        fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    found = fields.get("quantization_config") if isinstance(fields, dict) else None
    return isinstance(found, dict) and found.get("quant_method") == QUANT_METHOD


def read_quantization(folder: Path) -> dict[str, Any]:
    """Return the `quantization_config` of a folder of ours.

    Raises:
        ModelError: it has none, or one of another schema.
    """
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("quantization_config", {})
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: not a quantized model ({error}); make one with `halo quantize`.") from error
    return check_quantization(found, str(folder))


def check_quantization(found: dict[str, Any], where: str) -> dict[str, Any]:
    """Return `found` if this program can read it.

    Raises:
        ModelError: it is not ours, or of another schema.
    """
    if found.get("quant_method") != QUANT_METHOD:
        raise ModelError(f"{where}: not a quantized model of ours (quantization {found.get('quant_method')!r}); make "
                         "one with `halo quantize`.")
    if found.get("schema") != SCHEMA:
        raise ModelError(f"{where}: quantization {QUANT_METHOD!r}, schema {found.get('schema')}; this program reads "
                         f"schema {SCHEMA}: run `halo quantize` again.")
    return found


def stored_key(folder: Path) -> str:
    """Return the key of what a folder's quantized model was made from; '' where this program cannot read it."""
    try:
        return Provenance(**read_quantization(folder)["provenance"]).key
    except ModelError:
        return ""


def load_quantized(folder: Path) -> QuantizedModel:
    """Return the quantized model that `save_quantized` wrote; its layers are read as they are asked for.

    Raises:
        ModelError: the folder holds none, one of another schema, or a damaged one.
    """
    found, shards = read_quantization(folder), open_shards(folder)
    layers = {facts["name"]: facts for facts in found["layers"]}
    absent = [f"{name}.{part}" for name, facts in layers.items() for part in facts["stored"]
              if f"{name}.{part}" not in shards.files]
    if absent:
        raise ModelError(f"{folder}: weights missing: {', '.join(absent[:5])}{' ...' if len(absent) > 5 else ''}; was "
                         "the folder copied in part?")
    codebooks = tuple(Codebook(c["name"], tuple(c["codes"]), c["max_delay_ps"],
                               {layer: tuple(codes) for layer, codes in c["layers"].items()})
                      for c in found["codebooks"])
    return QuantizedModel(found["method"], codebooks, StoredLayers(shards, layers), found["fold"],
                          found["skipped"], Provenance(**found["provenance"]), found.get("transform", ""))


def load_tile_maps(folder: Path) -> tuple[tuple[str, ...], tuple[TileMap, ...]]:
    """Return the names of a folder's codebooks and which of them each layer's tiles use, without reading any weight.

    Raises:
        ModelError: the folder holds no quantized model, or a damaged one.
    """
    quantized = load_quantized(folder)
    assert isinstance(quantized.layers, StoredLayers)
    shards = quantized.layers.shards
    maps = tuple(TileMap(name, shards.array(f"{name}.tile_classes"), facts["tile_in"], facts["tile_out"])
                 for name, facts in quantized.layers.facts.items())
    return tuple(book.name for book in quantized.codebooks), maps


def total_bytes(folder: Path) -> int:
    """Return the bytes of all files of a checkpoint: the whole-file size beside the effective bits."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
