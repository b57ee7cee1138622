"""Sensitivity: what the loss says about each weight. Second moments of inputs, and of gradients.

Per layer, with inputs `x`, and gradients `g` of the summed loss with respect to outputs, over calibration tokens:
`H = sum x x^T`; `guided = sum mean(g^2) x x^T`, after GuidedQuant (ICML 2025) with one group;
`fisher[i, j] = mean g_i^2 x_j^2`, the diagonal of the empirical Fisher; `absgrad = sum over windows |g^T x|`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from characterization.artifact import Provenance, write_text
from halo.blocks import Arguments, Entered, enter, leave, run_block
from halo.errors import ConfigError, NumericsError
from halo.finite import all_finite
from halo.model import choose_device, decoder_blocks, digest_weights, list_linears, torch_tools
from halo.second_moment import SecondMoment, no_moment
from halo.shards import write_arrays
from halo.streaming import held
from halo.tokens import TokenWindows

VERSION = 1
Moment = Literal["hessian", "guided", "fisher", "absgrad", "output"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SensitivityConfig:
    """How much calibration text is used.

    Attributes:
        windows: windows for the Hessians; 0 for all that are given.
        fisher_windows: windows for gradients.
        batch: windows run together.
    """

    windows: int = 128
    fisher_windows: int = 16
    batch: int = 16


@dataclass(frozen=True, slots=True)
class LayerSensitivity:
    """A handle to one layer's moments on disk; a moment is read when asked for.

    Attributes:
        path: safetensors, float64: `hessian`, `guided` `[in, in]`; `fisher`, `absgrad` `[out, in]`; `output` `[out]`.
    """

    name: str
    path: Path

    def read(self, moment: Moment) -> np.ndarray:
        """Return one moment, float64; `output` is the mean squared gradient of each output."""
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
    """Running sums of one layer's gradients; float32 products of a batch are added in float64."""

    def __init__(self, linear: nn.Linear) -> None:
        out_features, in_features = linear.weight.shape
        self.guided = no_moment(in_features)
        self.fisher = torch.zeros(out_features, in_features, dtype=torch.float64)
        self.absgrad = torch.zeros_like(self.fisher)
        self.output = torch.zeros(out_features, dtype=torch.float64)

    def add_gradient(self, x: torch.Tensor, gradient: torch.Tensor, window: int) -> None:
        """Add inputs `[..., in]` and output gradients `[..., out]` of whole windows; some models flatten them."""
        flat_x, flat_g = x.flatten(0, -2), gradient.flatten(0, -2)
        squared = flat_g.square()
        self.guided.add(flat_x, squared.mean(1, keepdim=True))
        self.fisher += (squared.T @ flat_x.square()).double().cpu()
        self.output += squared.sum(0).double().cpu()
        grouped_x, grouped_g = (flat.reshape(-1, window, flat.shape[1]) for flat in (flat_x, flat_g))
        self.absgrad += (grouped_g.transpose(1, 2) @ grouped_x).abs().sum(0).double().cpu()

    def arrays(self, fisher_tokens: int) -> dict[str, np.ndarray]:
        """Return the moments to save, as means over tokens."""
        return {"guided": self.guided.whole(torch.float64).div_(fisher_tokens).numpy(),
                "fisher": (self.fisher / fisher_tokens).numpy(), "absgrad": self.absgrad.numpy(),
                "output": (self.output / fisher_tokens).numpy()}


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
    """
    if config.batch < 1 or config.windows < 0 or config.fisher_windows < 1:
        raise ConfigError(f"sensitivity: batch and fisher_windows must be positive and windows not negative: {config}.")
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

    One block is in memory, with its layers' moments, and the hidden states of all windows. What enters each block of
    the windows for gradients goes to disk, and each block is run again when the gradient comes back to it. What an
    earlier run finished is not measured again.
    """
    prefix, blocks = decoder_blocks(model)
    device = next(model.parameters()).device
    of_block = [{name: linear for name, linear in linears.items() if name.startswith(f"{prefix}.{index}.")}
                for index in range(len(blocks))]
    batches = torch.split(fisher_ids.to(device), batch)
    summed = enter(model, blocks, torch.split(hessian_ids.to(device), batch))
    scored = enter(model, blocks, batches)
    with torch.no_grad():
        for index, block in enumerate(blocks):
            keep_inputs(parts, index, scored.hidden)
            with held(block, choose_device()):
                advance_summing(block, of_block[index], summed, index, parts)
                scored.hidden = [run_block(block, hidden, given[index])
                                 for hidden, given in zip(scored.hidden, scored.arguments, strict=True)]
            if progress:
                progress(index + 1, 2 * len(blocks))
    gradients = [gradient_of_end(model, blocks, ids, hidden, in_tuples=scored.in_tuples)
                 for ids, hidden in zip(batches, scored.hidden, strict=True)]
    for index in reversed(range(len(blocks))):
        given = [arguments[index] for arguments in scored.arguments]
        with held(blocks[index], choose_device()):
            gradients = gradients_before(blocks[index], of_block[index], parts, index, given, gradients)
        (parts / f"inputs-{index}").unlink()
        if progress:
            progress(2 * len(blocks) - index, 2 * len(blocks))


def keep_inputs(parts: Path, index: int, hidden: Sequence[torch.Tensor]) -> None:
    """Write what enters a block, one tensor per batch."""
    write_arrays(parts / f"inputs-{index}", {str(at): value.cpu().numpy() for at, value in enumerate(hidden)})


def advance_summing(
    block: nn.Module, linears: Mapping[str, nn.Linear], entered: Entered, index: int, parts: Path
) -> None:
    """Replace the hidden states in `entered` by the block's outputs, and write its layers' Hessians.

    Raises:
        NumericsError: an input is NaN or infinite.
    """
    missing = {name: linear for name, linear in linears.items() if not moment_files(parts, name)}
    sums = {name: no_moment(linear.in_features) for name, linear in missing.items()}
    with hooked(missing, hessian_hook(sums)):
        entered.hidden = [run_block(block, hidden, given[index])
                          for hidden, given in zip(entered.hidden, entered.arguments, strict=True)]
    for name, moment in sums.items():
        hessian = moment.whole(torch.float64)
        check_finite(name, "inputs", hessian)
        write_arrays(parts / f"{name}.hessian", {"hessian": hessian.numpy()})


def moment_files(parts: Path, name: str) -> bool:
    """Return whether a layer's Hessian is there, alone or with its other moments."""
    return (parts / f"{name}.hessian").exists() or (parts / f"{name}.safetensors").exists()


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
    block: nn.Module, linears: Mapping[str, nn.Linear], parts: Path, index: int, given: Sequence[Arguments],
    gradients: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    """Return the gradients with respect to what entered a block, and write its layers' moments.

    Raises:
        NumericsError: a gradient is NaN or infinite.
    """
    missing = {name: linear for name, linear in linears.items() if not (parts / f"{name}.safetensors").exists()}
    moments = {name: Moments(linear) for name, linear in missing.items()}
    device, before = gradients[0].device, []
    with hooked(missing, gradient_hook(moments, gradients[0].shape[1])), torch.enable_grad(), \
            safe_open(parts / f"inputs-{index}", framework="pt") as stream:
        for at, (arguments, gradient) in enumerate(zip(given, gradients, strict=True)):
            leaf = stream.get_tensor(str(at)).to(device).requires_grad_()
            before += torch.autograd.grad(run_block(block, leaf, arguments), leaf, gradient)
    tokens = sum(gradient.shape[0] * gradient.shape[1] for gradient in gradients)
    for name, sums in moments.items():
        check_finite(name, "gradients", sums.fisher)
        with safe_open(parts / f"{name}.hessian", framework="numpy") as stream:
            hessian = stream.get_tensor("hessian")
        write_arrays(parts / f"{name}.safetensors", {"hessian": hessian, **sums.arrays(tokens)})
        (parts / f"{name}.hessian").unlink()
    return before


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


def gradient_hook(moments: Mapping[str, Moments], window: int) -> Callable[[str], Callable[..., None]]:
    """Return a hook maker that adds the gradient moments when the backward pass reaches the module's output."""

    def make(name: str) -> Callable[..., None]:
        def attach(_: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            x = args[0].detach()
            output.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: moments[name].add_gradient(x, gradient, window)
            )

        return attach

    return make


def check_finite(name: str, what: str, sums: torch.Tensor) -> None:
    """Check that the sums over a layer's inputs or gradients are numbers.

    Raises:
        NumericsError: one is not; the message names the module.
    """
    if not all_finite(sums):
        raise NumericsError(f"{name}: NaN or infinity in its {what} on the calibration text; "
                            "check the model in float32 on this text.")
