"""The loop over layers: each decoder block's inputs come from blocks that are quantized already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from characterization.artifact import Provenance
from halo.activations import quantize_activations
from halo.checkpoint import load_linear, save_linear
from halo.codebook import Codebook
from halo.errors import ConfigError, ModelError
from halo.layer_task import LayerTask
from halo.layers import QuantizedLinear, QuantizedModel
from halo.methods import Method
from halo.model import decoder_blocks, list_linears, torch_tools
from halo.plugins import resolve
from halo.runtime import Int8Linear, swapped
from halo.sensitivity import Progress, Sensitivity, hooked
from halo.tiles import TileMap
from halo.tokens import TokenWindows

VERSION = 2


@dataclass(frozen=True, slots=True)
class QuantizeConfig:
    """How layers are calibrated.

    Attributes:
        windows: calibration windows run through the blocks; 0 for all that are given.
        batch: windows run together.
        fold: R, rows of the reduction axis that share a scale.
    """

    windows: int = 128
    batch: int = 16
    fold: int = 128


@dataclass(eq=False)
class BlockInputs:
    """What enters the decoder block in turn: hidden states per batch, and the arguments that all blocks share."""

    hidden: list[torch.Tensor]
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]


class StopForward(Exception):
    """Raised inside a forward pass once the first block's inputs are known."""


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
        tokens: calibration windows.
        sensitivity: of this model.
        job: codebooks, tiles and method.
        work: folder for finished layers.
        label: the name of the result; the method's where empty.
        progress: called with layers done and layers in all.

    Raises:
        ConfigError: the method is unknown, or a layer has no tile map.
        NumericsError: a layer's scales or result are not finite; the message names it.
    """
    plugin = resolve("halo.methods", job.method, Method)
    found = list_linears(model)
    absent = [name for name in found.linears if name not in job.tiles]
    if absent:
        raise ConfigError(f"no tile map for {', '.join(absent)}; were the tiles assigned for another model?")
    provenance = describe(tokens, sensitivity, job)
    folder = work / f"quantize-{provenance.key[:20]}"
    n_tokens = tokens.ids[: job.config.windows or len(tokens.ids)].size
    tasks = TaskMaker(dict(found.linears), sensitivity, job, n_tokens)
    layers = run_layers(model, tokens, tasks, plugin, folder, progress)
    return QuantizedModel(label or job.method, job.codebooks, layers, job.config.fold, dict(found.skipped), provenance)


def describe(tokens: TokenWindows, sensitivity: Sensitivity, job: Job) -> Provenance:
    """Return what a quantized model is made from."""
    maps = {name: [tile.tile_in, tile.tile_out, tile.classes.tolist()] for name, tile in job.tiles.items()}
    options = {"version": VERSION, "method": job.method, "method_config": asdict(job.method_config),
               **asdict(job.config), "codebooks": [asdict(codebook) for codebook in job.codebooks], "tiles": maps,
               "prices": None if job.prices is None else job.prices.tolist()}
    return Provenance("quantize", {"sensitivity": sensitivity.digest, "tokens": tokens.digest}, options, torch_tools())


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

    def make(self, name: str, hessian: torch.Tensor | None) -> LayerTask:
        """Return the task of layer `name`; its Hessian is the sensitivity's where none is given."""
        linear, moments, job = self.linears[name], self.sensitivity.layers[name], self.job
        device, n_tokens = linear.weight.device, self.n_tokens
        if hessian is None:
            hessian, n_tokens = torch.from_numpy(moments.read("hessian")), self.sensitivity.n_tokens
        # Outputs erring independently, an error e of row i costs mean(g_i^2) e H e^T / 2 per token.
        worth = torch.from_numpy(moments.read("output")).float().to(device) / (2 * n_tokens)
        return LayerTask(
            name, linear.weight.detach().float(), None if linear.bias is None else linear.bias.detach().float(),
            hessian.to(device), torch.from_numpy(moments.read("fisher")).float().to(device), job.codebooks,
            job.tiles[name], job.config.fold, worth,
            None if job.prices is None else torch.from_numpy(job.prices).float().to(device),
        )


def run_layers(
    model: nn.Module, tokens: TokenWindows, tasks: TaskMaker, plugin: ModuleType, folder: Path,
    progress: Progress | None,
) -> tuple[QuantizedLinear, ...]:
    """Return all layers, block by block; a sequential method sees the inputs that quantized blocks produce."""
    prefix, blocks = decoder_blocks(model)
    config = tasks.job.config
    layers: list[QuantizedLinear] = []
    inputs: BlockInputs | None = None
    with torch.no_grad():
        for index, block in enumerate(blocks):
            names = [name for name in tasks.linears if name.startswith(f"{prefix}.{index}.")]
            missing = [name for name in names if not (folder / f"{name}.safetensors").exists()]
            hessians: Mapping[str, torch.Tensor] = {}
            if plugin.sequential and missing:
                inputs = inputs or inputs_of_block(model, blocks, index, tokens, layers, config)
                hessians = block_hessians(block, {name: tasks.linears[name] for name in names}, inputs)
            for name in names:
                path = folder / f"{name}.safetensors"
                if name in missing:
                    task = tasks.make(name, hessians.get(name))
                    save_linear(path, plugin.quantize_layer(task, tasks.job.method_config))
                layers.append(load_linear(path, name))
                if progress:
                    progress(len(layers), len(tasks.linears))
            if inputs is not None:
                advance(model, block, layers[len(layers) - len(names) :], inputs, config.fold)
    return tuple(layers)


def inputs_of_block(
    model: nn.Module, blocks: nn.ModuleList, index: int, tokens: TokenWindows, done: list[QuantizedLinear],
    config: QuantizeConfig,
) -> BlockInputs:
    """Return what enters block `index` when all `done` layers before it are quantized."""
    inputs = BlockInputs([], [])

    def catch(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden, rest = (args[0], args[1:]) if args else (kwargs.pop("hidden_states"), ())
        inputs.hidden.append(hidden)
        inputs.arguments.append((rest, dict(kwargs)))
        raise StopForward

    device = next(model.parameters()).device
    ids = torch.tensor(tokens.ids[: config.windows or len(tokens.ids)])
    parts = {layer.name: Int8Linear(layer, config.fold).to(device) for layer in done}
    handle = blocks[index].register_forward_pre_hook(catch, with_kwargs=True)
    try:
        with swapped(model, parts):
            for batch in torch.split(ids, config.batch):
                forward_until_caught(model, batch.to(device))
    finally:
        handle.remove()
    return inputs


def forward_until_caught(model: nn.Module, ids: torch.Tensor) -> None:
    """Run `model` until the hook on a block has seen its inputs.

    Raises:
        ModelError: the hook was never called.
    """
    try:
        model(input_ids=ids, use_cache=False)
    except StopForward:
        return
    raise ModelError(f"{type(model).__name__}: its decoder layers are not called one by one in a forward pass; only "
                     "models that do so can be calibrated.")


def run_block(
    block: nn.Module, hidden: torch.Tensor, arguments: tuple[tuple[Any, ...], dict[str, Any]]
) -> torch.Tensor:
    """Return a block's output hidden states; some architectures return them as the first of a tuple."""
    result = block(hidden, *arguments[0], **arguments[1])
    output: torch.Tensor = result[0] if isinstance(result, tuple) else result
    return output


def block_hessians(block: nn.Module, linears: Mapping[str, nn.Linear], inputs: BlockInputs) -> dict[str, torch.Tensor]:
    """Return sum of x x^T for every linear of a block, x being its int8 input, float64 `[in, in]`."""
    sums: dict[str, torch.Tensor] = {}
    latest: list[Any] = [None, None]

    def make(name: str) -> Callable[..., None]:
        def add(_: nn.Module, args: tuple[torch.Tensor, ...], __: torch.Tensor) -> None:
            if args[0] is not latest[0]:
                values, scale = quantize_activations(args[0].flatten(0, -2))
                x = values * scale
                latest[:] = [args[0], (x.T @ x).double()]
            sums[name] = latest[1].clone() if name not in sums else sums[name].add_(latest[1])

        return add

    with hooked(linears, make):
        for hidden, arguments in zip(inputs.hidden, inputs.arguments, strict=True):
            run_block(block, hidden, arguments)
    return sums


def advance(
    model: nn.Module, block: nn.Module, layers: list[QuantizedLinear], inputs: BlockInputs, fold: int
) -> None:
    """Replace the hidden states in `inputs` by the quantized block's outputs."""
    device = next(model.parameters()).device
    with swapped(model, {layer.name: Int8Linear(layer, fold).to(device) for layer in layers}):
        for at, (hidden, arguments) in enumerate(zip(inputs.hidden, inputs.arguments, strict=True)):
            inputs.hidden[at] = run_block(block, hidden, arguments)
