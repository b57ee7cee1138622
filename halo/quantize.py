"""The loop over layers: each decoder block's inputs come from blocks that are quantized already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, overload

import numpy as np
import torch
from torch import nn

from characterization.artifact import Provenance
from halo.activations import fixed_scale, quantize_activations
from halo.blocks import Arguments, enter, run_block
from halo.codebook import Codebook
from halo.errors import ConfigError
from halo.layer_file import load_linear, save_linear
from halo.layer_task import LayerTask, row_worth
from halo.layers import QuantizedLinear, QuantizedModel
from halo.methods import Method
from halo.model import choose_device, decoder_blocks, list_linears, torch_tools, transform_of
from halo.plugins import resolve
from halo.runtime import Int8Linear, swapped
from halo.second_moment import no_moment
from halo.sensitivity import Progress, Sensitivity, hooked
from halo.streaming import give_back_freed, held
from halo.tiles import TileMap
from halo.tokens import TokenWindows

VERSION = 6



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


@dataclass(eq=False)
class BlockInputs:
    """What enters the decoder block in turn, per batch, and what every block is given beside it.

    Attributes:
        hidden: hidden states behind quantized blocks.
        original: the same tokens' behind the original ones; none where no method asks what they are.
        given: per batch and block.
        index: the block in turn.
    """

    hidden: list[torch.Tensor]
    original: list[torch.Tensor]
    given: list[list[Arguments]]
    index: int = 0

    @property
    def arguments(self) -> list[Arguments]:
        """What the block in turn is given beside the hidden states, per batch."""
        return [given[self.index] for given in self.given]


class StopForward(Exception):
    """Raised inside a block once a layer's inputs are known."""


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
               "prices": None if job.prices is None else job.prices.tolist()}
    return Provenance("quantize", {"sensitivity": sensitivity.digest, "tokens": tokens.digest}, options, torch_tools())


@dataclass(eq=False)
class Seen:
    """Moments of the inputs that some layers share: x behind quantized layers and in int8, y of the original model.

    Attributes:
        hessian: sum of x x^T over calibration tokens, added in float64, float32 `[in, in]`.
        drifts: layer -> sum of W (y - x) x^T, float32 `[out, in]`; none where no method asks.
        scale: of all inputs, float32 `[1]`; None where each token has its own.
    """

    hessian: torch.Tensor
    drifts: dict[str, torch.Tensor]
    scale: torch.Tensor | None


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
    config = tasks.job.config
    of_block = [{name: linear for name, linear in tasks.linears.items() if name.startswith(f"{prefix}.{index}.")}
                for index in range(len(blocks))]
    missing = {name for name in tasks.linears if not layer_file(folder, name).exists()}
    last = max((index for index, names in enumerate(of_block) if missing & set(names)), default=-1)
    inputs: BlockInputs | None = None

    def note(name: str) -> None:
        missing.remove(name)
        if progress:
            progress(len(tasks.linears) - len(missing), len(tasks.linears))

    with torch.no_grad():
        for index, block in enumerate(blocks[: last + 1]):
            linears = of_block[index]
            if (plugin.sequential or config.static_activations) and tokens.ids.size and inputs is None:
                inputs = inputs_of_block(model, blocks, tokens, tasks.job)
            done: list[QuantizedLinear] = []
            for group in input_groups(block, linears, inputs) if inputs else (tuple(linears),):
                if wanted := {name: linears[name] for name in group if name in missing}:
                    quantize_group(see_inputs(model, block, wanted, inputs, done, config) if inputs else None,
                                   tuple(wanted), tasks, plugin, folder, note)
                if inputs:
                    done += [load_linear(layer_file(folder, name), name) for name in group]
            if inputs and index < last:
                with held(block, choose_device()):
                    advance(model, block, done, inputs, config.fold)
    return FinishedLayers(folder, tuple(tasks.linears))


def quantize_group(
    seen: Seen | None, names: Sequence[str], tasks: TaskMaker, plugin: ModuleType, folder: Path,
    note: Callable[[str], None],
) -> None:
    """Write the layers that share an input to `folder`, one after the other; `note` is told of each."""
    for name in names:
        save_linear(layer_file(folder, name), quantize_one(name, seen, tasks, plugin), tasks.job.codebooks)
        note(name)


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


def input_groups(
    block: nn.Module, linears: Mapping[str, nn.Linear], inputs: BlockInputs
) -> tuple[tuple[str, ...], ...]:
    """Return the linears of a block in the order of their calls, those together that share an input tensor."""
    groups: list[tuple[torch.Tensor, list[str]]] = []

    def make(name: str) -> Callable[..., None]:
        def note(_: nn.Module, args: tuple[torch.Tensor, ...], __: torch.Tensor) -> None:
            if groups and groups[-1][0] is args[0]:
                groups[-1][1].append(name)
            else:
                groups.append((args[0], [name]))

        return note

    with hooked(linears, make):
        run_block(block, inputs.hidden[0], inputs.arguments[0])
    called = {name for _, names in groups for name in names}
    idle = tuple((name,) for name in linears if name not in called)
    return (*(tuple(dict.fromkeys(names)) for _, names in groups), *idle)


def see_inputs(
    model: nn.Module, block: nn.Module, linears: Mapping[str, nn.Linear], inputs: BlockInputs,
    done: list[QuantizedLinear], config: QuantizeConfig,
) -> Seen | None:
    """Return the moments of the inputs that `linears` share, behind the layers of their block that are `done`.

    None where the block never calls them. The block is float32 only meanwhile.
    """
    device, first = next(model.parameters()).device, next(iter(linears.values()))
    parts = {layer.name: Int8Linear(layer, config.fold).to(device) for layer in done}
    moment = no_moment(first.in_features, device)
    compared = linears if inputs.original else {}
    drifts = {name: torch.zeros_like(linear.weight, dtype=torch.float32) for name, linear in compared.items()}
    with held(block, choose_device()):
        scale = None
        if config.static_activations:
            with swapped(model, parts):
                met = [input_of(block, first, hidden, arguments)
                       for hidden, arguments in zip(inputs.hidden, inputs.arguments, strict=True)]
            some = [x for x in met if x is not None and x.numel()]
            scale = fixed_scale(some) if some else None
        for at, (hidden, arguments) in enumerate(zip(inputs.hidden, inputs.arguments, strict=True)):
            with swapped(model, parts):
                after = input_of(block, first, hidden, arguments)
            before = input_of(block, first, inputs.original[at], arguments) if inputs.original else after
            if before is None or after is None:
                return None
            values, scales = quantize_activations(after, scale)
            x = values * scales
            moment.add(x)
            for name, linear in compared.items():
                drifts[name].addmm_(((before - x) @ linear.weight.float().T).T, x)
    return Seen(moment.whole(torch.float32), drifts, scale)


def input_of(
    block: nn.Module, linear: nn.Linear, hidden: torch.Tensor, arguments: Arguments
) -> torch.Tensor | None:
    """Return what enters `linear` when the block runs on `hidden`, `[tokens, in]`; None where it is not called."""
    caught: list[torch.Tensor] = []

    def catch(_: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        caught.append(args[0].flatten(0, -2))
        raise StopForward

    handle = linear.register_forward_pre_hook(catch)
    try:
        run_block(block, hidden, arguments)
    except StopForward:
        pass
    finally:
        handle.remove()
    return caught[0] if caught else None


def inputs_of_block(
    model: nn.Module, blocks: nn.ModuleList, tokens: TokenWindows, job: Job
) -> BlockInputs:
    """Return what enters the first block; behind no quantized layer, it is the same for both."""
    device, config = next(model.parameters()).device, job.config
    batches = torch.split(torch.tensor(tokens.ids[: config.windows or len(tokens.ids)]).to(device), config.batch)
    entered = enter(model, blocks, batches)
    original = list(entered.hidden) if getattr(job.method_config, "propagate", False) else []
    return BlockInputs(entered.hidden, original, entered.arguments)


def advance(
    model: nn.Module, block: nn.Module, layers: list[QuantizedLinear], inputs: BlockInputs, fold: int
) -> None:
    """Replace the hidden states in `inputs` by the block's outputs, quantized or as it was."""
    device = next(model.parameters()).device
    parts = {layer.name: Int8Linear(layer, fold).to(device) for layer in layers}
    for at, arguments in enumerate(inputs.arguments):
        if inputs.original:
            inputs.original[at] = run_block(block, inputs.original[at], arguments)
        with swapped(model, parts):
            inputs.hidden[at] = run_block(block, inputs.hidden[at], arguments)
    inputs.index += 1
