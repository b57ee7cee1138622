"""Sharded safetensors: tensors of a folder read by memory map, and a folder written shard by shard."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from characterization.artifact import atomic_path, write_text
from halo.errors import ModelError, OutputError

INDEX = "model.safetensors.index.json"
SHARD_BYTES = 10**9
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
          torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
          torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2"}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, eq=False)
class Shards:
    """The tensors of a model folder, each in one of its safetensors files.

    Attributes:
        files: tensor name -> file.
    """

    folder: Path
    files: Mapping[str, Path]

    def read(self, name: str) -> torch.Tensor:
        """Return one tensor, its memory that of the file.

        Raises:
            ModelError: there is none of that name, or the file has changed since it was opened.
        """
        if name not in self.files:
            raise ModelError(f"{self.folder}: no tensor {name}; was the folder copied in part?")
        with open_shard(self.files[name]) as stream:
            tensor: torch.Tensor = stream.get_tensor(name)
        return tensor

    def size(self, name: str) -> int:
        """Return how many numbers one tensor has, from its file's header."""
        with open_shard(self.files[name]) as stream:
            return math.prod(stream.get_slice(name).get_shape())

    def array(self, name: str) -> np.ndarray:
        """Return one tensor as an array (not bf16, which NumPy lacks)."""
        return np.asarray(self.read(name).numpy())


@contextmanager
def open_shard(path: Path) -> Iterator[Any]:
    """Yield an open safetensors file.

    Raises:
        ModelError: it is missing, short or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            yield stream
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: missing or damaged ({reason}); copy or download it again.") from error


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder: those that its index names, else all.

    Raises:
        ModelError: the folder is missing, or has no `config.json` or no safetensors, or lacks a file of its index.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json; give the folder of a Hugging Face causal language model.")
    index = folder / INDEX
    if not index.is_file():
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ModelError(f"{folder}: no *.safetensors; save the model again with `save_pretrained` (other formats "
                             "can run code when opened).")
        return files
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{index}: not an index of shards ({error}); copy or download it again.") from error
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder}: {len(missing)} of {len(names)} shards missing: {', '.join(missing)}; copy or "
                         "download them again.")
    return [folder / name for name in names]


def open_shards(folder: Path) -> Shards:
    """Return the tensors of a model folder.

    Raises:
        ModelError: the folder is no model, or a file is missing or damaged.
    """
    files: dict[str, Path] = {}
    for path in weight_files(folder):
        with open_shard(path) as stream:
            files |= dict.fromkeys(stream.keys(), path)
    return Shards(folder, files)


def write_shards(
    folder: Path, tensors: Iterable[tuple[str, torch.Tensor]], shard_bytes: int = SHARD_BYTES
) -> None:
    """Write `tensors` to `folder` in files of at most `shard_bytes` (or of one larger tensor), and their index.

    At most one shard's tensors are held at a time. A single file is `model.safetensors` without an index.
    """
    parts: list[tuple[Path, list[str]]] = []
    held: dict[str, torch.Tensor] = {}
    total, size = 0, 0
    for name, tensor in tensors:
        need = tensor.numel() * tensor.element_size()
        if held and size + need > shard_bytes:
            parts.append(write_part(folder, len(parts), held))
            held, size = {}, 0
        held[name] = tensor
        size, total = size + need, total + need
    parts.append(write_part(folder, len(parts), held))
    if len(parts) == 1:
        parts[0][0].rename(folder / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    for at, (path, names) in enumerate(parts):
        final = f"model-{at + 1:05d}-of-{len(parts):05d}.safetensors"
        path.rename(folder / final)
        weight_map |= dict.fromkeys(names, final)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")


def write_part(folder: Path, number: int, tensors: Mapping[str, torch.Tensor]) -> tuple[Path, list[str]]:
    """Write one shard under a passing name; return its path and the names in it."""
    path = folder / f"part-{number:05d}"
    write_tensors(path, tensors, {"format": "pt"})
    return path, sorted(tensors)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays to a safetensors file, in one step.

    Raises:
        OSError: it cannot be written.
    """
    tensors = {name: torch.from_numpy(np.require(array, requirements=["C", "W"])) for name, array in arrays.items()}
    with atomic_path(path) as partial:
        write_tensors(partial, tensors, metadata or {})


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, one tensor after the other.

    With plain writes, so that a full disk is an OSError that says so; the library's own error has no number.

    Raises:
        OSError: it cannot be written; its filename is the file's folder.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    # Widest elements first: every tensor then starts at a multiple of its element's size.
    ordered = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    for name in ordered:
        tensor = tensors[name]
        stop = at + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, stop]}
        at = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    try:
        with path.open("wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            for name in ordered:
                stream.write(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    except OSError as error:
        error.filename = str(path.parent)  # a failed write knows no path, and this one's name is for passing only
        raise


@contextmanager
def disk_guard(folder: Path) -> Iterator[None]:
    """Turn a full disk inside the block into one line.

    Raises:
        OutputError: the disk, or what may be used of it, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); nothing was left there. Free space and run "
                          "the same command again: finished layers are kept.") from error
