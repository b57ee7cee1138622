"""Transforms: a model that computes the same and quantizes otherwise, rotated or smoothed before it is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from characterization.artifact import Provenance, atomic_folder
from halo.equal_model import Changes, check_equal, write_equal
from halo.errors import ConfigError
from halo.model import TRANSFORM, LoadedModel, load_model, torch_tools, transform_of
from halo.rotation import rotate
from halo.sensitivity import Progress
from halo.shards import disk_guard
from halo.smoothing import smooth
from halo.tokens import TokenWindows

VERSION = 1


@dataclass(frozen=True, slots=True)
class TransformConfig:
    """What is done to a model before it is quantized.

    Attributes:
        rotation: "hadamard": residual stream and values in a rotated basis (`halo.rotation`).
        seed: of the rotation.
        smoothing: SmoothQuant's a (`halo.smoothing`), of what is rotated already; 0 for none.
    """

    rotation: Literal["none", "hadamard"] = "none"
    seed: int = 1
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Check the strength.

        Raises:
            ConfigError: it lies outside 0..1.
        """
        if not 0 <= self.smoothing <= 1:
            raise ConfigError(f"transform.smoothing = {self.smoothing} must lie within 0 (none) and 1.")


def transformed(
    loaded: LoadedModel, tokens: TokenWindows, config: TransformConfig, ignore: Sequence[str], work: Path,
    progress: Progress | None = None,
) -> LoadedModel:
    """Return the model that `config` makes of `loaded`, kept in a folder in `work`; `loaded` where it asks for nothing.

    Args:
        loaded: left as it was.
        tokens: calibration windows, for smoothing and to check that outputs stay.
        config: what to do.
        ignore: as for `load_model`.
        work: folder for the changed models.
        progress: of smoothing.

    Raises:
        ModelError: a transform is not exact for this architecture.
        ConfigError: there are no calibration windows.
    """
    made = loaded
    steps: list[tuple[str, TransformConfig, Callable[[LoadedModel], Changes]]] = []
    if config.rotation != "none":
        steps.append((f"{config.rotation} rotation, seed {config.seed}",
                      TransformConfig(rotation=config.rotation, seed=config.seed),
                      lambda known: rotate(known.model, torch.tensor(tokens.ids[:1]), config.seed)))
    if config.smoothing:
        steps.append((f"smoothing {config.smoothing:g}", TransformConfig(smoothing=config.smoothing),
                      lambda known: smooth(known.model, tokens, config.smoothing, progress)))
    if steps and not tokens.ids.size:
        raise ConfigError("a transform needs a calibration text: it is checked that outputs stay as they were.")
    for words, own, make in steps:
        key = Provenance("transform", {"model": made.digest, "tokens": tokens.digest},
                         {"version": VERSION, **asdict(own)}, torch_tools()).key
        folder = work / f"transform-{key[:20]}"
        if not folder.exists():
            with disk_guard(folder), atomic_folder(folder) as partial:
                write_equal(partial, made.folder, make(made))
                check_equal(made.model, load_model(partial, ignore).model, torch.tensor(tokens.ids[:1]), words)
        before = transform_of(made.model)
        made = load_model(folder, ignore)
        setattr(made.model, TRANSFORM, ", ".join(filter(None, (before, words))))
    return made
