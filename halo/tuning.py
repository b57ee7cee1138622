"""tuned(): a quantized model whose codes and scales moved, together, towards the original model's predictions.

Adam on a shadow of every code, a real number that rounds to it, and on every scale, down the gradient of the KL
divergence to the original model's predictions plus the price of the codes' energy; activations are int8 meanwhile.
Gradients pass through rounding as if it were not there. Needs no labels, many windows, and all weights in memory.

Sources: PV-tuning (Malinovskii et al., NeurIPS 2024) and LLM-QAT (Liu et al., Findings of ACL 2024).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from characterization.artifact import Provenance
from halo.activations import quantize_activations
from halo.codebook import Codebook
from halo.errors import ConfigError, ModelError, NumericsError
from halo.layer_file import save_linear
from halo.layers import QuantizedLinear, QuantizedModel, dequantize, spread_scales
from halo.methods import Method
from halo.model import choose_device, torch_tools
from halo.plugins import resolve
from halo.quantize import FinishedLayers, layer_file
from halo.runtime import swapped
from halo.sensitivity import Progress
from halo.tokens import TokenWindows

VERSION = 1
# Of Adam (Kingma and Ba, ICLR 2015); its second average follows faster than usual, since steps are few.
FIRST, SECOND, LEAST = 0.9, 0.95, 1e-12


@dataclass(frozen=True, slots=True)
class TuningConfig:
    """How models are tuned after they were quantized; not at all without `epochs`.

    Attributes:
        epochs: passes over the calibration windows.
        methods: files of `halo.methods` whose models are tuned.
        held: calibration windows kept back: a model that is not better on these stays as it was.
        batch: windows of a step.
        code_rate: most that a step moves a code's shadow, in mean gaps of its codebook; falls to 0 along a cosine.
        scale_rate: most that a step moves a scale, as a share of it.
        seed: of the order of windows.
    """

    epochs: int = 0
    methods: tuple[str, ...] = ("halo",)
    held: int = 32
    batch: int = 4
    code_rate: float = 0.02
    scale_rate: float = 0.003
    seed: int = 20261121

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: one is out of range, or a method is not known.
        """
        rates = all(0 <= rate < math.inf for rate in (self.code_rate, self.scale_rate))
        if self.epochs < 0 or self.held < 1 or self.batch < 1 or not rates:
            raise ConfigError("tuning: epochs and rates must not be negative, held and batch positive, all of them "
                              f"finite: {self}.")
        for name in self.methods:
            resolve("halo.methods", name, Method)


class Tuned(nn.Module):
    """A quantized linear whose codes and scales move.

    Attributes:
        weight: what codes, scales and sparse part stand for, float32 `[out, in]`; gradients are taken of it.
        shadow: float32 `[out, in]`, rounds to the codes; scales: float32 `[out, folds]`.
    """

    def __init__(self, layer: QuantizedLinear, books: Sequence[Codebook], fold: int, prices: np.ndarray | None) -> None:
        super().__init__()
        self.layer, self.fold = layer, fold
        self.weight = torch.from_numpy(dequantize(replace(layer, input_scales=None), fold)).requires_grad_()
        self.shadow = torch.from_numpy(layer.codes.astype(np.float32))
        self.scales = torch.from_numpy(layer.scales.astype(np.float32))
        free = np.ones(layer.codes.shape, bool)
        free[layer.sparse_rows, layer.sparse_cols] = False
        self.rest = self.weight.detach() - self.shadow * self.spread()
        classes = layer.tiles.of_weights(*layer.codes.shape)
        tables = [] if layer.row_values else [book.codes_in(layer.name) for book in books]
        self.books = [(torch.tensor(codes, dtype=torch.float32), torch.from_numpy((classes == at) & free))
                      for at, codes in enumerate(tables) if bool((classes == at).any())]
        self.prices = None if prices is None else torch.from_numpy(prices).float()
        self.gaps = torch.zeros_like(self.shadow)
        for codes, here in self.books:
            self.gaps[here] = (codes[-1] - codes[0]) / max(1, len(codes) - 1)
        self.units = self.scales.clone()
        self.averages = [torch.zeros_like(self.shadow), torch.zeros_like(self.shadow),
                         torch.zeros_like(self.scales), torch.zeros_like(self.scales)]

    def spread(self) -> torch.Tensor:
        """Return the scale of every weight, `[out, in]`."""
        return torch.from_numpy(spread_scales(self.scales.numpy(), self.shadow.shape[1], self.fold))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output `[..., out]` for `x` `[..., in]`; gradients ignore rounding."""
        layer = self.layer
        if layer.input_scales is not None:
            x = x / torch.from_numpy(layer.input_scales.astype(np.float32))
        fixed = None if layer.activation_scale is None else torch.from_numpy(layer.activation_scale.copy())
        with torch.no_grad():
            values, scale = quantize_activations(x, fixed)
            error = values * scale - x
        bias = None if layer.bias is None else torch.from_numpy(layer.bias.copy())
        return nn.functional.linear(x + error, self.weight, bias)

    def codes(self) -> torch.Tensor:
        """Return the codes that the shadow rounds to, float32 `[out, in]`; as they were where tables are rows' own."""
        result = torch.from_numpy(self.layer.codes.astype(np.float32))
        for values, here in self.books:
            result[here] = values[torch.bucketize(self.shadow[here], (values[1:] + values[:-1]) / 2)]
        return result

    def slopes(self) -> torch.Tensor | float:
        """Return what the energy of each code costs for a step of its shadow, prices being straight between codes."""
        if self.prices is None:
            return 0.0
        result = torch.zeros_like(self.shadow)
        for values, here in self.books:
            if len(values) > 1:
                paid = self.prices[values.long() + 128]
                rise = (paid[1:] - paid[:-1]) / (values[1:] - values[:-1])
                result[here] = rise[torch.bucketize(self.shadow[here], values).clamp(1, len(values) - 1) - 1]
        return result

    def step(self, slope: torch.Tensor, code_rate: float, scale_rate: float, count: int) -> None:
        """Move shadow and scales against the gradient of `weight`, the `count`-th time, and let `weight` follow."""
        with torch.no_grad():
            codes = slope * self.codes()
            folds = torch.split(codes, codes.shape[1] if self.scales.shape[1] == 1 else self.fold, 1)
            by_scale = torch.stack([part.sum(1) for part in folds], 1)
            by_code = slope * self.spread() + self.slopes()
            self.shadow -= code_rate * self.gaps * adam(by_code, self.averages[0], self.averages[1], count)
            self.scales -= scale_rate * self.units * adam(by_scale, self.averages[2], self.averages[3], count)
            self.weight.copy_(self.codes() * self.spread() + self.rest)

    def settle(self) -> None:
        """Round the scales to fp16, as they are stored."""
        with torch.no_grad():
            self.scales = self.scales.half().float()
            self.weight.copy_(self.codes() * self.spread() + self.rest)

    def result(self) -> QuantizedLinear:
        """Return the layer as it is now; its error is that before it was tuned."""
        return replace(self.layer, codes=self.codes().numpy().astype(np.int8),
                       scales=self.scales.numpy().astype(np.float16))


def adam(slope: torch.Tensor, first: torch.Tensor, second: torch.Tensor, count: int) -> torch.Tensor:
    """Return Adam's step for a gradient, about 1 where it keeps its sign; its averages follow."""
    first.lerp_(slope, 1 - FIRST)
    second.lerp_(slope.square(), 1 - SECOND)
    return (first / (1 - FIRST**count)) / ((second / (1 - SECOND**count)).sqrt_() + LEAST)


def check_tunable(config: TuningConfig, methods: Collection[str], windows: float) -> None:
    """Check that models made by `methods` can be tuned, where that is asked for, on at most `windows` windows.

    Raises:
        ConfigError: none of them would be tuned, windows are too few, or there is a GPU.
    """
    if not config.epochs:
        return
    if not set(methods) & set(config.methods):
        raise ConfigError(f"tuning.methods names {', '.join(config.methods) or 'nothing'}, models are made by "
                          f"{', '.join(sorted(set(methods)))}: none would be tuned.")
    if windows < config.held + config.batch:
        raise ConfigError(f"tuning needs more than the {windows:g} calibration windows there are: {config.held} are "
                          f"kept back and {config.batch} make a step; raise windows.windows (0: a whole text).")
    if choose_device().type != "cpu":
        raise ConfigError("tuning runs on the CPU; start it with CUDA_VISIBLE_DEVICES= (nothing).")


def tuned_from(quantized: Provenance, tokens: TokenWindows, config: TuningConfig) -> Provenance:
    """Return what a tuned model is made from."""
    calibration = f"{quantized.config['calibration']}, tuned on {len(tokens.ids) - config.held}"
    return Provenance("tune", {"quantized": quantized.key, "tokens": tokens.digest},
                      {"version": VERSION, **asdict(config), "calibration": calibration}, torch_tools(), config.seed)


def tuned(
    model: nn.Module, quantized: QuantizedModel, tokens: TokenWindows, config: TuningConfig,
    prices: np.ndarray | None, work: Path, progress: Progress | None = None,
) -> QuantizedModel:
    """Return `quantized` tuned, or with its own codes where that does not help on windows kept back.

    Args:
        model: the original, on the CPU; the same after the call.
        quantized: made of this model.
        tokens: calibration windows, all of which are used: with few, a model learns these by heart.
        config: how, and how long.
        prices: what the energy of a weight of each value costs, nats per token `[256]`; None: nothing.
        work: folder for the finished result, which a later call with the same inputs takes.
        progress: called with windows done and windows in all.

    Raises:
        ConfigError: there are too few windows, or there is a GPU.
        ModelError: the model predicts nothing to compare.
        NumericsError: a prediction is not finite.
    """
    check_tunable(config, config.methods, len(tokens.ids))
    provenance = tuned_from(quantized.provenance, tokens, config)
    folder = work / f"tune-{provenance.key[:20]}"
    names = tuple(layer.name for layer in quantized.layers)
    if not all(layer_file(folder, name).exists() for name in names):
        for layer in tune_layers(model, quantized, tokens, config, prices, progress):
            save_linear(layer_file(folder, layer.name), layer, quantized.codebooks)
    return replace(quantized, layers=FinishedLayers(folder, names), provenance=provenance)


def tune_layers(
    model: nn.Module, quantized: QuantizedModel, tokens: TokenWindows, config: TuningConfig,
    prices: np.ndarray | None, progress: Progress | None,
) -> list[QuantizedLinear]:
    """Return the layers after all steps, or as they were where they are no better on the windows kept back."""
    parts = {layer.name: Tuned(layer, quantized.codebooks, quantized.fold, prices) for layer in quantized.layers}
    generator = torch.Generator().manual_seed(config.seed)
    ids = torch.tensor(tokens.ids)[torch.randperm(len(tokens.ids), generator=generator)]
    held, used = ids[: config.held], ids[config.held :]
    before = distance(model, parts, held, config)
    per_epoch, count = math.ceil(len(used) / config.batch), 0
    for _ in range(config.epochs):
        for batch in torch.split(used[torch.randperm(len(used), generator=generator)], config.batch):
            part = 0.5 * (1 + math.cos(math.pi * count / (config.epochs * per_epoch)))
            # Of these weights alone: the model's own need no gradients, its head's the largest.
            weights = [layer.weight for layer in parts.values()]
            slopes = torch.autograd.grad(divergence(model, parts, batch), weights, allow_unused=True)
            count += 1
            for layer, slope in zip(parts.values(), slopes, strict=True):
                if slope is not None:  # None: an expert that no token came to
                    layer.step(slope, part * config.code_rate, part * config.scale_rate, count)
            if progress:
                progress(min(count * config.batch, config.epochs * len(used)), config.epochs * len(used))
    for layer in parts.values():
        layer.settle()
    if distance(model, parts, held, config) < before:
        return [layer.result() for layer in parts.values()]
    note = "tuning did not help on the windows kept back: not tuned"
    return [replace(layer, fallback="; ".join(filter(None, (layer.fallback, note)))) for layer in quantized.layers]


def divergence(model: Any, parts: Mapping[str, nn.Module], ids: torch.Tensor) -> torch.Tensor:
    """Return the mean KL divergence of the model with `parts` from the model, nats per token.

    Raises:
        ModelError: the model has no logits.
        NumericsError: it is not finite.
    """
    with torch.no_grad():
        found = model(input_ids=ids, use_cache=False)
        if not hasattr(found, "logits"):
            raise ModelError(f"{type(model).__name__} has no logits, which tuning compares; leave tuning.epochs out.")
        wanted = torch.log_softmax(found.logits[:, :-1].float(), -1)
    with swapped(model, parts):
        reached = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[:, :-1].float(), -1)
    result = (wanted.exp() * (wanted - reached)).sum(-1).mean()
    if not bool(torch.isfinite(result)):
        raise NumericsError("tuning: a prediction is NaN or infinite; give smaller tuning.code_rate and scale_rate.")
    return result


def distance(model: nn.Module, parts: Mapping[str, nn.Module], held: torch.Tensor, config: TuningConfig) -> float:
    """Return the mean divergence over the windows kept back."""
    with torch.no_grad():
        return sum(float(divergence(model, parts, batch)) * len(batch) for batch in torch.split(held, config.batch)
                   ) / len(held)
