"""The loop over layers: each decoder block's inputs come from blocks that are quantized already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, overload

import numpy as np
import torch
from torch import nn

from characterization.artifact import Provenance
from halo.block_inputs import BlockInputs, Seen, advance, input_groups, inputs_of_first, see_inputs
from halo.codebook import Codebook
from halo.errors import ConfigError
from halo.layer_file import load_linear, save_linear
from halo.layer_task import LayerTask, row_worth
from halo.layers import QuantizedLinear, QuantizedModel
from halo.methods import Method
from halo.model import choose_device, decoder_blocks, list_linears, torch_tools, transform_of
from halo.plugins import resolve
from halo.runtime import Int8Linear
from halo.sensitivity import Progress, Sensitivity
from halo.streaming import give_back_freed, trim_heap
from halo.tiles import TileMap
from halo.tokens import TokenWindows
from halo.walk import Course, on_course

VERSION = 6
# From this size of a layer on, what lies free in pieces is given back before it is quantized: milliseconds of work.
LARGE_WEIGHTS = 2**20


@dataclass(frozen=True, slots=True)
class QuantizeConfig:
    """How layers are calibrated.

    Attributes:
        windows: calibration windows run through the blocks; 0 for all that are given.
        batch: windows run together.
        fold: R, rows of the reduction axis that share a scale.
        channel_scales: one scale per output channel instead; sums of all folds are then added before scaling.
        static_activations: one activation scale per layer, fixed on the calibration inputs, instead of one per token.
    """

    windows: int = 128
    batch: int = 16
    fold: int = 128
    channel_scales: bool = False
    static_activations: bool = False

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: one is out of range.
        """
        if self.windows < 0 or self.batch < 1 or self.fold < 1:
            raise ConfigError(f"quantize: windows = {self.windows} must not be negative, batch = {self.batch} and "
                              f"fold = {self.fold} must be positive.")


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be quantized onto what, and how.

    Attributes:
        codebooks: what the tile classes index.
        tiles: layer -> map.
        method: a file of `halo.methods`, or a dotted path.
        method_config: that method's `Config`.
        config: calibration.
        prices: what the energy of a weight of each value of -128..127 costs, nats per token `[256]`; None: nothing.
    """

    codebooks: tuple[Codebook, ...]
    tiles: Mapping[str, TileMap]
    method: str
    method_config: Any
    config: QuantizeConfig
    prices: np.ndarray | None = None


def quantize(
    model: nn.Module, tokens: TokenWindows, sensitivity: Sensitivity, job: Job, work: Path, label: str = "",
    progress: Progress | None = None,
) -> QuantizedModel:
    """Return `model` quantized layer by layer, each resumed from `work` where an earlier run finished it.

    Args:
        model: float32; the same after the call as before it.
        tokens: calibration windows; where there are none, nothing is run, and Hessians are those of `sensitivity`.
        sensitivity: of this model.
        job: codebooks, tiles and method.
        work: folder for finished layers.
        label: the name of the result; the method's where empty.
        progress: called with layers done and layers in all.

    Raises:
        ConfigError: the method is unknown, a layer has no tile map, or static scales have no text.
        NumericsError: a layer's scales or result are not finite; the message names it.
    """
    give_back_freed()
    plugin = resolve("halo.methods", job.method, Method)
    if job.config.static_activations and not tokens.ids.size:
        raise ConfigError("quantize.static_activations needs a calibration text to fix scales on.")
    found = list_linears(model)
    absent = [name for name in found.linears if name not in job.tiles]
    if absent:
        raise ConfigError(f"no tile map for {', '.join(absent)}; were the tiles assigned for another model?")
    provenance = describe(tokens, sensitivity, job)
    folder = work / f"quantize-{provenance.key[:20]}"
    n_tokens = tokens.ids[: job.config.windows or len(tokens.ids)].size
    tasks = TaskMaker(dict(found.linears), sensitivity, job, n_tokens)
    layers = run_layers(model, tokens, tasks, plugin, folder, progress)
    return QuantizedModel(label or job.method, job.codebooks, layers, job.config.fold, dict(found.skipped), provenance,
                          transform_of(model))


def describe(tokens: TokenWindows, sensitivity: Sensitivity, job: Job) -> Provenance:
    """Return what a quantized model is made from."""
    maps = {name: [tile.tile_in, tile.tile_out, tile.classes.tolist()] for name, tile in job.tiles.items()}
    options = {"version": VERSION, "method": job.method, "method_config": asdict(job.method_config),
               **asdict(job.config), "codebooks": [asdict(codebook) for codebook in job.codebooks], "tiles": maps,
               "prices": None if job.prices is None else job.prices.tolist(),
               "calibration": calibration_of(tokens, job)}
    return Provenance("quantize", {"sensitivity": sensitivity.digest, "tokens": tokens.digest}, options, torch_tools())


def calibration_of(tokens: TokenWindows, job: Job) -> str:
    """Return in words how much text the layers are calibrated on: less than asked for where the text is short."""
    if not tokens.ids.size:
        return "without data"
    windows = min(job.config.windows or len(tokens.ids), len(tokens.ids))
    return f"on {windows} windows of {tokens.ids.shape[1]} tokens"


@dataclass(frozen=True, eq=False)
class TaskMaker:
    """Makes the task of a layer from its Hessian.

    Attributes:
        n_tokens: behind the Hessians that are given.
    """

    linears: Mapping[str, nn.Linear]
    sensitivity: Sensitivity
    job: Job
    n_tokens: int

    def make(self, name: str, found: Seen | None) -> LayerTask:
        """Return the task of layer `name`; its Hessian is the sensitivity's where no other was seen.

        What was `found` of this layer alone is the task's from then on.
        """
        linear, moments, job = self.linears[name], self.sensitivity.layers[name], self.job
        device, n_tokens = choose_device(), self.n_tokens
        if found is None:
            hessian, n_tokens = torch.from_numpy(moments.read("hessian")).float(), self.sensitivity.n_tokens
        else:
            hessian = found.hessian
        fold = linear.in_features if job.config.channel_scales else job.config.fold
        worth = row_worth(moments.read("output"), n_tokens).to(device)
        return LayerTask(
            name, linear.weight.detach().to(device).float(),
            None if linear.bias is None else linear.bias.detach().to(device).float(),
            hessian.to(device), torch.from_numpy(moments.read("fisher")).float().to(device), job.codebooks,
            job.tiles[name], fold, worth,
            None if job.prices is None else torch.from_numpy(job.prices).float().to(device),
            None if found is None else found.drifts.pop(name, None),
        )


def run_layers(
    model: nn.Module, tokens: TokenWindows, tasks: TaskMaker, plugin: ModuleType, folder: Path,
    progress: Progress | None,
) -> FinishedLayers:
    """Return all layers, block by block; a sequential method sees the inputs that quantized layers produce.

    Inside a block, layers that share an input are quantized together, and the next ones see what these made of theirs.
    At any time at most the weights of one block are in memory, and quantized layers of the same one. Blocks that an
    earlier run finished only pass inputs on, in the same steps, so that what follows is the same.
    """
    prefix, blocks = decoder_blocks(model)
    config, run = tasks.job.config, Run(model, tasks, plugin, folder, progress)
    of_block = [{name: linear for name, linear in tasks.linears.items() if name.startswith(f"{prefix}.{index}.")}
                for index in range(len(blocks))]
    last = max((index for index, names in enumerate(of_block) if run.missing & set(names)), default=-1)
    inputs: BlockInputs | None = None
    with torch.no_grad():
        for index, block in enumerate(blocks[: last + 1]):
            if (plugin.sequential or config.static_activations) and tokens.ids.size and inputs is None:
                ids = torch.tensor(tokens.ids[: config.windows or len(tokens.ids)])
                inputs = inputs_of_first(model, blocks, ids, config.batch,
                                         original=getattr(tasks.job.method_config, "propagate", False))
            if inputs is not None:
                run.quantize_block(block, of_block[index], inputs, then_advance=index < last)
                continue
            for name in [name for name in of_block[index] if name in run.missing]:
                run.layer(name, None)
    return FinishedLayers(folder, tuple(tasks.linears))


class Run:
    """Quantizes layers into a folder, those that an earlier run did not finish.

    Attributes:
        missing: names of layers that are still to be quantized.
    """

    def __init__(
        self, model: nn.Module, tasks: TaskMaker, plugin: ModuleType, folder: Path, progress: Progress | None
    ) -> None:
        self.model, self.tasks, self.plugin, self.folder, self.progress = model, tasks, plugin, folder, progress
        self.missing = {name for name in tasks.linears if not layer_file(folder, name).exists()}

    def quantize_block(
        self, block: nn.Module, linears: Mapping[str, nn.Linear], inputs: BlockInputs, *, then_advance: bool
    ) -> None:
        """Quantize the layers of a block in groups that share an input; `then_advance`: pass `inputs` through it."""
        groups = input_groups(block, linears, inputs)
        with on_course(self.model, linears, groups, inputs.n_tokens) as course:
            for group in groups:
                course.open(self.quantize_group(course, block, {name: linears[name] for name in group}, inputs))
            if then_advance:
                advance(course, block, inputs)

    def quantize_group(
        self, course: Course, block: nn.Module, linears: Mapping[str, nn.Linear], inputs: BlockInputs
    ) -> dict[str, nn.Module]:
        """Return what becomes of the linears of a block that share an input."""
        config, device = self.tasks.job.config, next(self.model.parameters()).device
        wanted, gate = {name: linears[name] for name in linears if name in self.missing}, next(iter(linears))
        seen = see_inputs(course, block, wanted, gate, inputs, static=config.static_activations) if wanted else None
        return {name: Int8Linear(self.layer(name, seen), config.fold).to(device) for name in linears}

    def layer(self, name: str, seen: Seen | None) -> QuantizedLinear:
        """Return a quantized layer: from the folder, else made and written to it."""
        path, total = layer_file(self.folder, name), len(self.tasks.linears)
        if name not in self.missing:
            return load_linear(path, name)
        if self.tasks.linears[name].weight.numel() >= LARGE_WEIGHTS:
            trim_heap()
        made = quantize_one(name, seen, self.tasks, self.plugin)
        save_linear(path, made, self.tasks.job.codebooks)
        self.missing.remove(name)
        if self.progress:
            self.progress(total - len(self.missing), total)
        return made


def quantize_one(name: str, seen: Seen | None, tasks: TaskMaker, plugin: ModuleType) -> QuantizedLinear:
    """Return one quantized layer; what else it took is let go."""
    scale = None if seen is None else seen.scale
    return with_scale(plugin.quantize_layer(tasks.make(name, seen), tasks.job.method_config), scale)


@dataclass(frozen=True, eq=False)
class FinishedLayers(Sequence[QuantizedLinear]):
    """The layers that a run has finished, each read when it is asked for."""

    folder: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> QuantizedLinear: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[QuantizedLinear, ...]: ...
    def __getitem__(self, index: int | slice) -> QuantizedLinear | tuple[QuantizedLinear, ...]:
        if isinstance(index, slice):
            return tuple(load_linear(layer_file(self.folder, name), name) for name in self.names[index])
        return load_linear(layer_file(self.folder, self.names[index]), self.names[index])


def with_scale(made: QuantizedLinear, scale: torch.Tensor | None) -> QuantizedLinear:
    """Return a layer with a fixed scale for its activations, if there is one.

    Raises:
        ConfigError: it divides its inputs by scales of its own.
    """
    if scale is None:
        return made
    if made.input_scales is not None:
        raise ConfigError(f"{made.name}: its method scales inputs, for which there are no static activation scales; "
                          "leave quantize.static_activations out.")
    return replace(made, activation_scale=scale.cpu().numpy())


def layer_file(folder: Path, name: str) -> Path:
    """Return where a finished layer is kept."""
    return folder / f"{name}.safetensors"
