"""Sensitivity: what the loss says about each weight. Second moments of inputs, and of gradients.

Per layer, with inputs `x`, and gradients `g` of the summed loss with respect to outputs, over calibration tokens:
`H = sum x x^T`; `guided = sum mean(g^2) x x^T`, after GuidedQuant (ICML 2025) with one group;
`fisher[i, j] = mean g_i^2 x_j^2`, the diagonal of the empirical Fisher; `absgrad = sum over windows |g^T x|`.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from characterization.artifact import Provenance, write_text
from halo.blocks import Arguments, Entered, enter, leave, run_block
from halo.errors import ConfigError, ModelError, NumericsError
from halo.finite import all_finite
from halo.model import choose_device, decoder_blocks, digest_weights, list_linears, torch_tools
from halo.second_moment import SecondMoment, no_moment
from halo.shards import write_arrays
from halo.streaming import give_back_freed, held
from halo.tokens import TokenWindows

VERSION = 2
Moment = Literal["hessian", "guided", "fisher", "absgrad", "output"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SensitivityConfig:
    """How much calibration text is used.

    Attributes:
        windows: windows for the Hessians; 0 for all that are given.
        fisher_windows: windows for gradients, which flow one window at a time.
        batch: windows run together for the Hessians.
    """

    windows: int = 128
    fisher_windows: int = 16
    batch: int = 16


@dataclass(frozen=True, slots=True)
class LayerSensitivity:
    """A handle to one layer's moments on disk; a moment is read when asked for.

    Attributes:
        path: safetensors, float32: `hessian`, `guided` `[in, in]`; `fisher`, `absgrad` `[out, in]`; `output` `[out]`.
    """

    name: str
    path: Path

    def read(self, moment: Moment) -> np.ndarray:
        """Return one moment, float32; `output` is the mean squared gradient of each output."""
        with safe_open(self.path, framework="numpy") as stream:
            return np.asarray(stream.get_tensor(moment))


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Handles to every quantized layer's moments, and what they were measured on.

    Attributes:
        layers: module name -> handle, in forward order.
        n_tokens, n_fisher_tokens: calibration tokens behind the Hessians and behind the gradients.
    """

    layers: Mapping[str, LayerSensitivity]
    n_tokens: int
    n_fisher_tokens: int
    provenance: Provenance

    @property
    def digest(self) -> str:
        """The key of model, tokens and config."""
        return self.provenance.key


class Moments:
    """Running sums of one layer's gradients: each window's products, made in float32, are one addition."""

    def __init__(self, linear: nn.Linear, device: torch.device) -> None:
        out_features, in_features = linear.weight.shape
        self.guided = no_moment(in_features, device)
        self.fisher = torch.zeros(out_features, in_features, device=device)
        self.absgrad = torch.zeros_like(self.fisher)
        self.output = torch.zeros(out_features, dtype=torch.float64, device=device)

    def add(self, x: torch.Tensor, gradient: torch.Tensor) -> None:
        """Add the inputs `[tokens, in]` and output gradients `[tokens, out]` of one window."""
        squared = gradient.square()
        self.guided.add(x, squared.mean(1, keepdim=True))
        self.fisher.addmm_(squared.T, x.square())
        self.output += squared.sum(0)
        self.absgrad += (gradient.T @ x).abs_()

    def means(self, tokens: int) -> dict[str, np.ndarray]:
        """Return the moments to save, as means over tokens; the sums are let go."""
        found = {"guided": self.guided.whole(torch.float32).div_(tokens), "fisher": self.fisher.div_(tokens),
                 "absgrad": self.absgrad, "output": (self.output / tokens).float()}
        return {name: value.cpu().numpy() for name, value in found.items()}


@dataclass(frozen=True, eq=False)
class GradientLog:
    """What entered the linears of a block, and the gradients of what they gave: a file for every call.

    The sums of a block's linears would take more than twice the memory of its weights; so they are made one after the
    other from these files, once the block itself is let go.

    Attributes:
        calls: linear -> how many.
    """

    folder: Path
    calls: Counter[str] = field(default_factory=Counter)

    def hook(self, name: str) -> Callable[..., None]:
        """Return a forward hook that writes a call of the linear `name` when the gradient has come back to it."""

        def attach(_: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            x = args[0].detach()
            output.register_hook(lambda gradient: self.write(name, x, gradient))  # type: ignore[no-untyped-call]

        return attach

    def write(self, name: str, x: torch.Tensor, gradient: torch.Tensor) -> None:
        """Write one call: inputs `[..., in]` and output gradients `[..., out]`."""
        both = {"x": x.flatten(0, -2).cpu().numpy(), "gradient": gradient.flatten(0, -2).cpu().numpy()}
        write_arrays(self.folder / name / str(self.calls[name]), both)
        self.calls[name] += 1

    def moments(self, name: str, linear: nn.Linear, device: torch.device) -> Moments:
        """Return the sums over the calls of one linear, whose files are removed."""
        sums = Moments(linear, device)
        for call in range(self.calls[name]):
            path = self.folder / name / str(call)
            with safe_open(path, framework="pt") as stream:
                sums.add(stream.get_tensor("x").to(device), stream.get_tensor("gradient").to(device))
            path.unlink()
        return sums


def measure_sensitivity(
    model: nn.Module, tokens: TokenWindows, config: SensitivityConfig, work: Path, model_digest: str = "",
    progress: Progress | None = None,
) -> Sensitivity:
    """Return the moments of every linear of `model`, measured on `tokens` or taken from an earlier run in `work`.

    Args:
        model: a float32 causal language model; left as it was.
        tokens: calibration windows.
        config: how many of them.
        work: folder for the moments.
        model_digest: of the model's folder; part of the key. Where empty, the weights themselves are digested.
        progress: called with blocks done and blocks in all, forward and backward.

    Raises:
        ConfigError: no windows are asked for.
        NumericsError: an input or gradient is NaN or infinite; the message names the module.
        ModelError: a block reads the weight of a linear that it does not call.
    """
    if config.batch < 1 or config.windows < 0 or config.fisher_windows < 1:
        raise ConfigError(f"sensitivity: batch and fisher_windows must be positive and windows not negative: {config}.")
    give_back_freed()
    linears = dict(list_linears(model).linears)
    ids = torch.tensor(tokens.ids)
    hessian_ids, fisher_ids = ids[: config.windows or len(ids)], ids[: config.fisher_windows]
    inputs = {"model": model_digest or digest_weights(model), "tokens": tokens.digest}
    provenance = Provenance("sensitivity", inputs, {"version": VERSION, **asdict(config)}, torch_tools())
    folder = work / f"sensitivity-{provenance.key[:20]}"
    if not folder.exists():
        parts = folder.with_name(f"{folder.name}.parts")
        parts.mkdir(parents=True, exist_ok=True)
        measure_blocks(model, linears, hessian_ids, fisher_ids, config.batch, parts, progress)
        write_text(parts / "provenance.json", provenance.to_json() + "\n")
        parts.rename(folder)
    layers = {name: LayerSensitivity(name, folder / f"{name}.safetensors") for name in linears}
    return Sensitivity(layers, hessian_ids.numel(), fisher_ids.numel(), provenance)


def measure_blocks(
    model: nn.Module, linears: Mapping[str, nn.Linear], hessian_ids: torch.Tensor, fisher_ids: torch.Tensor,
    batch: int, parts: Path, progress: Progress | None,
) -> None:
    """Write the moments of every layer to `parts`: forward block by block for Hessians, backward for gradients.

    In memory are the hidden states of all windows, and one block with its layers' Hessians, or the moments of one of
    its layers. What enters each block of the windows for gradients goes to disk, and each block is run again, window by
    window, when the gradient comes back to it. What an earlier run finished is not measured again.
    """
    prefix, blocks = decoder_blocks(model)
    device = next(model.parameters()).device
    of_block = [{name: linear for name, linear in linears.items() if name.startswith(f"{prefix}.{index}.")}
                for index in range(len(blocks))]
    # A graph keeps twenty times what enters a block, and logits may be wider yet: gradients flow window by window.
    windows = torch.split(fisher_ids.to(device), 1)
    summed = enter(model, blocks, torch.split(hessian_ids.to(device), batch))
    scored = enter(model, blocks, windows)
    with torch.no_grad():
        for index, block in enumerate(blocks):
            keep_inputs(parts, index, scored.hidden)
            missing = {name: linear for name, linear in of_block[index].items() if not moment_files(parts, name)}
            with held(block, choose_device()):
                sums, idle = advance_summing(block, missing, summed, index)
                check_only_called(block, idle, scored.hidden[0], scored.arguments[0][index])
                scored.hidden = [run_block(block, hidden, given[index])
                                 for hidden, given in zip(scored.hidden, scored.arguments, strict=True)]
            write_hessians(sums, parts)
            if progress:
                progress(index + 1, 2 * len(blocks))
    gradients = [gradient_of_end(model, blocks, ids, hidden, in_tuples=scored.in_tuples)
                 for ids, hidden in zip(windows, scored.hidden, strict=True)]
    for index in reversed(range(len(blocks))):
        given = [arguments[index] for arguments in scored.arguments]
        missing = {name: linear for name, linear in of_block[index].items() if not finished(parts, name).exists()}
        log = GradientLog(parts / f"gradients-{index}")
        with held(blocks[index], choose_device()):
            gradients = gradients_before(blocks[index], missing, parts / f"inputs-{index}", given, gradients, log)
        write_moments(missing, parts, log, fisher_ids.numel())
        shutil.rmtree(log.folder, ignore_errors=True)
        (parts / f"inputs-{index}").unlink()
        if progress:
            progress(2 * len(blocks) - index, 2 * len(blocks))


def keep_inputs(parts: Path, index: int, hidden: Sequence[torch.Tensor]) -> None:
    """Write what enters a block, one tensor per window."""
    write_arrays(parts / f"inputs-{index}", {str(at): value.cpu().numpy() for at, value in enumerate(hidden)})


def advance_summing(
    block: nn.Module, linears: Mapping[str, nn.Linear], entered: Entered, index: int
) -> tuple[dict[str, SecondMoment], dict[str, nn.Linear]]:
    """Replace the hidden states in `entered` by the block's outputs; return the Hessians of `linears`, and the idle."""
    sums, idle = {name: no_moment(linear.in_features) for name, linear in linears.items()}, set(linears)
    with hooked(linears, hessian_hook(sums)), hooked(linears, lambda name: lambda *_: idle.discard(name)):
        entered.hidden = [run_block(block, hidden, given[index])
                          for hidden, given in zip(entered.hidden, entered.arguments, strict=True)]
    return sums, {name: linear for name, linear in linears.items() if name in idle}


def check_only_called(
    block: nn.Module, idle: Mapping[str, nn.Linear], hidden: torch.Tensor, given: Arguments
) -> None:
    """Check that linears that the block did not call, experts without a token for instance, do nothing in it.

    Raises:
        ModelError: the block reads the weight of one itself, in whose place no quantized module can stand.
    """
    if not idle:
        return
    asked = {name: linear.weight.requires_grad for name, linear in idle.items()}
    with torch.enable_grad():
        weights = [linear.weight.requires_grad_() for linear in idle.values()]
        output = run_block(block, hidden.detach().requires_grad_(), given)
        gradients = torch.autograd.grad(output.sum(), weights, allow_unused=True)
    for name, linear in idle.items():
        linear.weight.requires_grad_(asked[name])
    read = [name for name, gradient in zip(idle, gradients, strict=True) if gradient is not None]
    if read:
        raise ModelError(f"{', '.join(read)}: {type(block).__name__} reads the weight and does not call the module, so "
                         f"that a quantized one cannot take its place; give --ignore {read[0].rpartition('.')[2]}.")


def write_hessians(sums: Mapping[str, SecondMoment], parts: Path) -> None:
    """Write Hessians, float32, and let go of them one by one.

    Raises:
        NumericsError: an input was NaN or infinite.
    """
    for name, moment in sums.items():
        hessian = moment.whole(torch.float32)
        check_finite(name, "inputs", hessian)
        write_arrays(parts / f"{name}.hessian", {"hessian": hessian.numpy()})


def finished(parts: Path, name: str) -> Path:
    """Return where all moments of a layer are kept."""
    return parts / f"{name}.safetensors"


def moment_files(parts: Path, name: str) -> bool:
    """Return whether a layer's Hessian is there, alone or with its other moments."""
    return (parts / f"{name}.hessian").exists() or finished(parts, name).exists()


def gradient_of_end(
    model: nn.Module, blocks: nn.ModuleList, ids: torch.Tensor, hidden: torch.Tensor, *, in_tuples: bool
) -> torch.Tensor:
    """Return the gradient of the summed loss with respect to what the last block gave."""
    leaf = hidden.detach().requires_grad_()
    with torch.enable_grad():
        loss = summed_loss(leave(model, blocks, ids, leaf, in_tuples=in_tuples), ids)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient


def gradients_before(
    block: nn.Module, linears: Mapping[str, nn.Linear], inputs: Path, given: Sequence[Arguments],
    gradients: Sequence[torch.Tensor], log: GradientLog,
) -> list[torch.Tensor]:
    """Return the gradients with respect to what entered a block; `log` is told what reaches `linears`."""
    device, before = gradients[0].device, []
    with hooked(linears, log.hook), torch.enable_grad(), safe_open(inputs, framework="pt") as stream:
        for at, (arguments, gradient) in enumerate(zip(given, gradients, strict=True)):
            leaf = stream.get_tensor(str(at)).to(device).requires_grad_()
            before += torch.autograd.grad(run_block(block, leaf, arguments), leaf, gradient)
    return before


def write_moments(linears: Mapping[str, nn.Linear], parts: Path, log: GradientLog, tokens: int) -> None:
    """Write the moments of a block's `linears`, one after the other.

    Raises:
        NumericsError: a gradient is NaN or infinite.
    """
    for name, linear in linears.items():
        sums = log.moments(name, linear, choose_device())
        check_finite(name, "gradients", sums.fisher)
        with safe_open(parts / f"{name}.hessian", framework="numpy") as stream:
            write_arrays(finished(parts, name), {**sums.means(tokens), "hessian": stream.get_tensor("hessian")})
        (parts / f"{name}.hessian").unlink()


def run(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return the logits of `ids`, `[windows, tokens, vocabulary]`."""
    device = next(model.parameters()).device
    logits: torch.Tensor = model(input_ids=ids.to(device), use_cache=False).logits
    return logits


def summed_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy of all next tokens, summed, so that a token's gradient does not depend on the batch."""
    scored = logits[:, :-1].flatten(0, 1).float()
    return nn.functional.cross_entropy(scored, ids[:, 1:].flatten().to(logits.device), reduction="sum")


@contextmanager
def hooked(linears: Mapping[str, nn.Linear], make: Callable[[str], Callable[..., None]]) -> Iterator[None]:
    """Attach `make(name)` to every linear as a forward hook while the block runs."""
    handles = [linear.register_forward_hook(make(name)) for name, linear in linears.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def hessian_hook(sums: Mapping[str, SecondMoment]) -> Callable[[str], Callable[..., None]]:
    """Return a hook maker that adds `x^T x`."""

    def make(name: str) -> Callable[..., None]:
        def add(_: nn.Module, args: tuple[torch.Tensor, ...], __: torch.Tensor) -> None:
            sums[name].add(args[0].flatten(0, -2))

        return add

    return make


def check_finite(name: str, what: str, sums: torch.Tensor) -> None:
    """Check that the sums over a layer's inputs or gradients are numbers.

    Raises:
        NumericsError: one is not; the message names the module.
    """
    if not all_finite(sums):
        raise NumericsError(f"{name}: NaN or infinity in its {what} on the calibration text; "
                            "check the model in float32 on this text.")
