"""Sensitivity: what the loss says about each weight. Second moments of inputs, and of gradients.

Per layer, with inputs `x`, and gradients `g` of the summed loss with respect to outputs, over calibration tokens:
`H = sum x x^T`; `guided = sum mean(g^2) x x^T`, after GuidedQuant (ICML 2025) with one group;
`fisher[i, j] = mean g_i^2 x_j^2`, the diagonal of the empirical Fisher; `absgrad = sum over windows |g^T x|`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from characterization.artifact import Provenance, atomic_folder, write_text
from halo.errors import ConfigError, NumericsError
from halo.model import digest_weights, list_linears, torch_tools
from halo.shards import write_arrays
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
    """Running sums of one layer; float32 products of a batch are added in float64."""

    def __init__(self, linear: nn.Linear) -> None:
        out_features, in_features = linear.weight.shape
        self.hessian = torch.zeros(in_features, in_features, dtype=torch.float64)
        self.guided = torch.zeros_like(self.hessian)
        self.fisher = torch.zeros(out_features, in_features, dtype=torch.float64)
        self.absgrad = torch.zeros_like(self.fisher)
        self.output = torch.zeros(out_features, dtype=torch.float64)

    def add_gradient(self, x: torch.Tensor, gradient: torch.Tensor, window: int) -> None:
        """Add inputs `[..., in]` and output gradients `[..., out]` of whole windows; some models flatten them."""
        flat_x, flat_g = x.flatten(0, -2), gradient.flatten(0, -2)
        squared = flat_g.square()
        self.guided += (flat_x.T @ (flat_x * squared.mean(1, keepdim=True))).double().cpu()
        self.fisher += (squared.T @ flat_x.square()).double().cpu()
        self.output += squared.sum(0).double().cpu()
        grouped_x, grouped_g = (flat.reshape(-1, window, flat.shape[1]) for flat in (flat_x, flat_g))
        self.absgrad += (grouped_g.transpose(1, 2) @ grouped_x).abs().sum(0).double().cpu()

    def arrays(self, fisher_tokens: int) -> dict[str, np.ndarray]:
        """Return the moments to save; gradients as means over tokens."""
        return {"hessian": self.hessian.numpy(), "guided": (self.guided / fisher_tokens).numpy(),
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
        progress: called with batches done and batches in all.

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
        moments = {name: Moments(linear) for name, linear in linears.items()}
        measure_moments(model, linears, moments, hessian_ids, fisher_ids, config.batch, progress)
        check_moments(moments)
        save_moments(folder, moments, fisher_ids.numel(), provenance)
    layers = {name: LayerSensitivity(name, folder / f"{name}.safetensors") for name in linears}
    return Sensitivity(layers, hessian_ids.numel(), fisher_ids.numel(), provenance)


def measure_moments(
    model: nn.Module, linears: Mapping[str, nn.Linear], moments: Mapping[str, Moments], hessian_ids: torch.Tensor,
    fisher_ids: torch.Tensor, batch: int, progress: Progress | None,
) -> None:
    """Run both passes over the calibration windows, adding to `moments`."""
    hessian_batches, fisher_batches = torch.split(hessian_ids, batch), torch.split(fisher_ids, batch)
    total, done = len(hessian_batches) + len(fisher_batches), 0
    with torch.no_grad(), hooked(linears, hessian_hook(moments)):
        for part in hessian_batches:
            run(model, part)
            done += 1
            if progress:
                progress(done, total)
    with gradients_of_activations_only(model), hooked(linears, gradient_hook(moments, fisher_ids.shape[1])):
        for part in fisher_batches:
            torch.autograd.backward(summed_loss(run(model, part), part))
            model.zero_grad(set_to_none=True)
            done += 1
            if progress:
                progress(done, total)


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


@contextmanager
def gradients_of_activations_only(model: Any) -> Iterator[None]:
    """Let only the input embedding require gradients: activations then have them, and no weight gradient is formed."""
    before = {name: value.requires_grad for name, value in model.named_parameters()}
    embedding = model.get_input_embeddings().weight
    try:
        for value in model.parameters():
            value.requires_grad_(value is embedding)
        yield
    finally:
        for name, value in model.named_parameters():
            value.requires_grad_(before[name])


def hessian_hook(moments: Mapping[str, Moments]) -> Callable[[str], Callable[..., None]]:
    """Return a hook maker that adds `x^T x`; modules that share one input tensor share its product."""
    latest: list[Any] = [None, None]

    def make(name: str) -> Callable[..., None]:
        def add(_: nn.Module, args: tuple[torch.Tensor, ...], __: torch.Tensor) -> None:
            if args[0] is not latest[0]:
                flat = args[0].flatten(0, -2)
                latest[:] = [args[0], (flat.T @ flat).double().cpu()]
            moments[name].hessian += latest[1]

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


def check_moments(moments: Mapping[str, Moments]) -> None:
    """Check that every moment is a number.

    Raises:
        NumericsError: one is not; the message names the module.
    """
    for name, sums in moments.items():
        for what, value in (("inputs", sums.hessian), ("gradients", sums.fisher)):
            if not torch.isfinite(value).all():
                raise NumericsError(f"{name}: NaN or infinity in its {what} on the calibration text; "
                                    "check the model in float32 on this text.")


def save_moments(folder: Path, moments: Mapping[str, Moments], fisher_tokens: int, provenance: Provenance) -> None:
    """Write one safetensors file per layer into `folder`, which appears only when all are there."""
    with atomic_folder(folder) as partial:
        for name, sums in moments.items():
            write_arrays(partial / f"{name}.safetensors", sums.arrays(fisher_tokens))
        write_text(partial / "provenance.json", provenance.to_json() + "\n")
