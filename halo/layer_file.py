"""One quantized layer as named tensors and facts: what a checkpoint and the cache of finished layers store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from halo.codebook import Codebook
from halo.errors import ModelError
from halo.layers import QuantizedLinear
from halo.packing import pack_rows, pack_tiles, row_tables, unpack_rows, unpack_tiles
from halo.shards import write_arrays
from halo.tiles import TileMap

OPTIONAL = ("bias", "input_scales", "activation_scale")
SHORT_COLUMNS = 2**15  # columns of wider layers do not fit int16


def layer_tensors(layer: QuantizedLinear, codebooks: Sequence[Codebook]) -> dict[str, np.ndarray]:
    """Return the stored arrays of one layer.

    `weight` uint8 `[bytes]`: packed indices (`halo.packing`). `tables` int8 `[classes, K]`, sorted, a shorter one
    filled up with its last value; `[out, K]` where rows have tables of their own. `tile_classes` int8. `scales`
    float16. Where there is a sparse part: `sparse_pointers` int32 `[out + 1]`, `sparse_columns` int16 or int32 `[n]`,
    `sparse_values` int8 `[n]`, `sparse_scales` float16 `[out]`. `bias` float32, `input_scales` float16,
    `activation_scale` float32 `[1]` where the layer has them.
    """
    arrays: dict[str, np.ndarray] = {}
    if layer.row_values:
        counted = np.ones(layer.codes.shape, bool)
        counted[layer.sparse_rows, layer.sparse_cols] = False
        arrays["tables"] = row_tables(layer.codes, counted, layer.row_values, layer.name)
        arrays["weight"] = pack_rows(layer.codes, counted, arrays["tables"])
    else:
        tables = [book.codes_in(layer.name) for book in codebooks]
        arrays["tables"] = stacked_tables(tables)
        arrays["weight"] = pack_tiles(layer.codes, layer.tiles, tables, layer.name)
    arrays |= {"tile_classes": layer.tiles.classes, "scales": layer.scales}
    if len(layer.sparse_values):
        n_out, n_in = layer.codes.shape
        counts = np.bincount(layer.sparse_rows, minlength=n_out)
        arrays["sparse_pointers"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        arrays["sparse_columns"] = layer.sparse_cols.astype(np.int16 if n_in <= SHORT_COLUMNS else np.int32)
        arrays |= {"sparse_values": layer.sparse_values, "sparse_scales": layer.sparse_scales}
    arrays |= {part: array for part in OPTIONAL if (array := getattr(layer, part)) is not None}
    return {part: np.ascontiguousarray(array) for part, array in arrays.items()}


def stacked_tables(tables: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Return all tables as one, int8 `[tables, largest K]`, each filled up with its last value."""
    widest = max(len(table) for table in tables)
    return np.array([table + (table[-1],) * (widest - len(table)) for table in tables], np.int8)


def table_values(tables: np.ndarray) -> list[list[int]]:
    """Return the values of each row of `tables` without what fills it up."""
    return [row[: 1 + int((np.diff(row.astype(int)) > 0).sum())].tolist() for row in tables]


def layer_facts(layer: QuantizedLinear, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what is not an array of one layer, as JSON; `arrays` are its `layer_tensors`."""
    return {
        "name": layer.name, "shape": list(layer.codes.shape), "tile_in": layer.tiles.tile_in,
        "tile_out": layer.tiles.tile_out, "row_values": layer.row_values, "loss": layer.loss,
        "fallback": layer.fallback, "digest": digest_arrays(arrays),
        "stored": {part: [str(array.dtype), *array.shape] for part, array in arrays.items()},
    }


def digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of arrays in the order of their names, in hex."""
    digest = hashlib.sha256()
    for part in sorted(arrays):
        digest.update(part.encode())
        digest.update(np.ascontiguousarray(arrays[part]).view(np.uint8).data)
    return digest.hexdigest()


def read_layer(name: str, read: Callable[[str], np.ndarray], facts: Mapping[str, Any]) -> QuantizedLinear:
    """Return the layer whose arrays `read` gives by part.

    Raises:
        ModelError: the arrays are not those that were stored.
    """
    arrays = {part: read(part) for part in facts["stored"]}
    for part, array in arrays.items():
        dtype, *shape = facts["stored"][part]
        if (str(array.dtype), list(array.shape)) != (dtype, shape):
            raise ModelError(f"{name}.{part}: {array.dtype} {list(array.shape)} is stored where {dtype} {shape} "
                             "belongs; copy the checkpoint again.")
    if digest_arrays(arrays) != facts["digest"]:
        raise ModelError(f"{name}: its stored weights are not those that were written (digest differs); the file is "
                         "damaged: copy the checkpoint again.")
    return layer_of(name, arrays, facts)


def layer_of(name: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> QuantizedLinear:
    """Return the layer of checked arrays."""
    n_out, n_in = facts["shape"]
    tiles = TileMap(name, arrays["tile_classes"], facts["tile_in"], facts["tile_out"])
    rows, cols, values = np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int8)
    sparse_scales = np.zeros(n_out, np.float16)
    if "sparse_values" in arrays:
        rows = np.repeat(np.arange(n_out, dtype=np.int32), np.diff(arrays["sparse_pointers"]))
        cols = arrays["sparse_columns"].astype(np.int32)
        values, sparse_scales = arrays["sparse_values"], arrays["sparse_scales"]
    if facts["row_values"]:
        codes = unpack_rows(arrays["weight"], arrays["tables"], (n_out, n_in), name)
        codes[rows, cols] = 0
    else:
        codes = unpack_tiles(arrays["weight"], tiles, table_values(arrays["tables"]), (n_out, n_in), name)
    return QuantizedLinear(
        name, codes, arrays["scales"], tiles, rows, cols, values, sparse_scales, arrays.get("bias"), facts["loss"],
        facts["fallback"], arrays.get("input_scales"), facts["row_values"],
        arrays.get("activation_scale"))


def stored_bytes(facts: Mapping[str, Any]) -> int:
    """Return the bytes of a layer's arrays."""
    return sum(np.dtype(dtype).itemsize * int(np.prod(shape)) for dtype, *shape in facts["stored"].values())


def save_linear(path: Path, layer: QuantizedLinear, codebooks: Sequence[Codebook]) -> None:
    """Write one layer to a safetensors file, in one step."""
    arrays = layer_tensors(layer, codebooks)
    write_arrays(path, arrays, {"facts": json.dumps(layer_facts(layer, arrays))})


def load_linear(path: Path, name: str) -> QuantizedLinear:
    """Return the layer that `save_linear` wrote.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        with safe_open(path, framework="numpy") as stream:
            facts = json.loads(stream.metadata()["facts"])
            return read_layer(name, stream.get_tensor, facts)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: not a finished layer ({error}); delete it and run again.") from error
