"""An equal model in a folder of its own: some weights changed so that every output stays, checked by running both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from characterization.artifact import write_text
from halo.checkpoint import copy_tokenizer, stands_for
from halo.errors import ModelError
from halo.shards import open_shards, write_shards

Change = Callable[[torch.Tensor], torch.Tensor]
# Of the largest logit. Sums of float32 in another order lie two orders below, a change that is not exact far above.
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Changes:
    """What becomes of a model's weights.

    Attributes:
        weights: parameter -> what is made of it, from float64 to float64.
        untied: a parameter that shares its memory with another one and gets its own: name -> the other one's.
    """

    weights: Mapping[str, Change]
    untied: Mapping[str, str]


def write_equal(folder: Path, model_folder: Path, changes: Changes) -> None:
    """Write the model of `model_folder`, changed, to the empty folder `folder`; tensor by tensor.

    Changed weights are stored in float32, others as they were.

    Raises:
        ModelError: a weight to change is not stored under its name.
    """
    shards = open_shards(model_folder)
    fields = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    keys = {name: stored_key(name, shards.files) for name in changes.weights if name not in changes.untied}
    absent = sorted(name for name, key in keys.items() if not key)
    if absent:
        raise ModelError(f"{model_folder}: {absent[0]} is not stored under its name, as a transform needs it.")
    named = {key: name for name, key in keys.items()}

    def everything() -> Iterator[tuple[str, torch.Tensor]]:
        for key in shards.files:
            if key in changes.untied:
                continue  # a stored copy of what it is tied to
            change = changes.weights.get(named.get(key, ""))
            yield key, shards.read(key) if change is None else changed(shards.read(key), change)
        for name, source in changes.untied.items():
            tensor = shards.read(stored_key(source, shards.files))
            yield name, changed(tensor, changes.weights[name]) if name in changes.weights else tensor

    write_shards(folder, everything())
    copy_tokenizer(model_folder, folder)
    fields |= {"dtype": "float32"} | ({"tie_word_embeddings": False} if changes.untied else {})
    write_text(folder / "config.json", json.dumps(fields, indent=2) + "\n")


def stored_key(name: str, files: Mapping[str, Path]) -> str:
    """Return under what name a parameter is stored; base models lack their outer prefix. '' where it is not there."""
    return next((key for key in files if stands_for(key, {name})), "")


def changed(tensor: torch.Tensor, change: Change) -> torch.Tensor:
    """Return what a change makes of a stored tensor, float32."""
    return change(tensor.double()).float().contiguous()


def check_equal(original: nn.Module, other: nn.Module, ids: torch.Tensor, what: str) -> None:
    """Check that two models give the same logits for token ids `[windows, tokens]`.

    Raises:
        ModelError: they do not; `what` was done to the second.
    """
    with torch.no_grad():
        wanted, found = (logits_of(model, ids) for model in (original, other))
    difference = float((wanted - found).abs().max() / wanted.abs().max())
    if not difference <= TOLERANCE:
        raise ModelError(f"{type(original).__name__}: {what} is not exact for this architecture: outputs differ by "
                         f"{difference:.1e} of the largest; leave it out.")


def logits_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return the logits of `ids`, `[windows, tokens, vocabulary]`, float32 on the CPU."""
    device = next(model.parameters()).device
    logits: torch.Tensor = model(input_ids=ids.to(device), use_cache=False).logits
    return logits.float().cpu()
