"""Accuracy: mean token KL divergence to the original model, net of int8 activations, and perplexity beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from halo.errors import ConfigError, NumericsError
from halo.model import list_linears
from halo.runtime import Int8ActivationLinear, swapped
from halo.sensitivity import Progress
from halo.tokens import TokenWindows

LN2 = float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """How accuracy is measured.

    Attributes:
        window: tokens of a window; windows do not overlap.
        windows: how many, evenly spread over the text; 0 for all.
        batch: windows run together.
        resamples: bootstrap resamples of windows.
        seed: of the bootstrap.
        confidence: of the interval.
    """

    window: int = 256
    windows: int = 256
    batch: int = 8
    resamples: int = 2000
    seed: int = 20261120
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: one is out of range.
        """
        if self.batch < 1 or self.resamples < 1 or not 0 < self.confidence < 1:
            raise ConfigError(f"evaluation: batch and resamples must be positive, confidence within 0..1: {self}.")


@dataclass(frozen=True, eq=False)
class Reference:
    """What every method is compared with: the original model, and the original weights with int8 activations.

    Attributes:
        log_probs: float32 `[windows, tokens - 1, vocabulary]` of the original model.
        nats: its mean loss per window, float64 `[windows]`.
        activation_kl: mean KL per window of int8 activations alone, float64 `[windows]`.
        activation_nats: the loss with int8 activations alone, float64 `[windows]`.
    """

    tokens: TokenWindows
    log_probs: torch.Tensor
    nats: np.ndarray
    activation_kl: np.ndarray
    activation_nats: np.ndarray
    config: EvaluationConfig


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over windows, and its bootstrap interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves 0 out: only then does a difference count."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Quality:
    """The accuracy of one model on one text.

    Attributes:
        kl: mean token KL divergence to the original model, nats.
        net_kl: the same less that of int8 activations alone, paired over windows.
        perplexity: exp of the mean loss; bits_per_byte: the loss over the text's bytes.
        perplexity_change: share above the original model's.
        change_sigmas: that change in standard errors of the mean difference of log perplexity, paired over windows.
        protocol: window, stride, tokens and digest of the text.
    """

    kl: Estimate
    net_kl: Estimate
    perplexity: float
    bits_per_byte: float
    perplexity_change: float
    change_sigmas: float
    protocol: dict[str, Any]


def measure_reference(
    model: nn.Module, tokens: TokenWindows, config: EvaluationConfig, progress: Progress | None = None
) -> Reference:
    """Return the original model's predictions on `tokens`, and what int8 activations alone cost.

    Raises:
        NumericsError: a prediction is not finite.
    """
    parts = [log_probs for _, log_probs in predictions(model, tokens, config, progress)]
    log_probs = torch.cat(parts)
    linears = list_linears(model).linears
    with swapped(model, {name: Int8ActivationLinear(linear) for name, linear in linears.items()}):
        kl, nats = compare(model, log_probs, tokens, config, None)
    own = window_nats(log_probs, torch.tensor(tokens.ids))
    return Reference(tokens, log_probs, own, kl, nats, config)


def evaluate(model: nn.Module, reference: Reference, progress: Progress | None = None) -> Quality:
    """Return the accuracy of `model`, quantized and applied, against `reference`.

    Raises:
        NumericsError: a prediction is not finite.
    """
    kl, nats = compare(model, reference.log_probs, reference.tokens, reference.config, progress)
    return quality(kl, nats, reference)


def reference_quality(reference: Reference) -> Quality:
    """Return the accuracy of the original model itself: no divergence, its own perplexity."""
    return quality(np.zeros_like(reference.nats), reference.nats, reference)


def activation_quality(reference: Reference) -> Quality:
    """Return the accuracy of the original weights with int8 activations."""
    return quality(reference.activation_kl, reference.activation_nats, reference)


def quality(kl: np.ndarray, nats: np.ndarray, reference: Reference) -> Quality:
    """Return the summary of per-window divergences and losses, both float64 `[windows]`."""
    config, tokens = reference.config, reference.tokens
    change = nats - reference.nats
    spread = float(change.std(ddof=1) / np.sqrt(len(change))) if len(change) > 1 else 0.0
    mean = float(nats.mean())
    return Quality(
        bootstrap(kl, config), bootstrap(kl - reference.activation_kl, config), float(np.exp(mean)),
        mean / LN2 / tokens.bytes_per_token, float(np.expm1(change.mean())),
        float(change.mean()) / spread if spread else 0.0, protocol(reference),
    )


def protocol(reference: Reference) -> dict[str, Any]:
    """Return what must be equal for two results to be comparable."""
    windows, window = reference.tokens.ids.shape
    return {"window": window, "stride": window, "windows": windows, "scored_tokens": windows * (window - 1),
            "text_tokens": reference.tokens.text_tokens, "text_bytes": reference.tokens.text_bytes,
            "text_digest": reference.tokens.text_digest, "tokens_digest": reference.tokens.digest,
            "bos": "none added; a window's first token is context only", **asdict(reference.config)}


def bootstrap(values: np.ndarray, config: EvaluationConfig) -> Estimate:
    """Return the mean of per-window `values` and its percentile bootstrap interval over windows."""
    generator = np.random.default_rng(config.seed)
    picks = generator.integers(0, len(values), (config.resamples, len(values)))
    means = values[picks].mean(1)
    tail = 100 * (1 - config.confidence) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Estimate(float(values.mean()), float(low), float(high))


def predictions(
    model: nn.Module, tokens: TokenWindows, config: EvaluationConfig, progress: Progress | None
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield the windows of each batch and their log probabilities, `[windows, tokens - 1, vocabulary]`.

    Raises:
        NumericsError: a prediction is not finite.
    """
    device, ids = next(model.parameters()).device, torch.tensor(tokens.ids)
    for start in range(0, len(ids), config.batch):
        part = slice(start, min(start + config.batch, len(ids)))
        with torch.no_grad():
            logits = model(input_ids=ids[part].to(device), use_cache=False).logits[:, :-1].float()
            log_probs = torch.log_softmax(logits, -1).cpu()
        if not bool(torch.isfinite(log_probs).all()):
            raise NumericsError(f"lm_head: a prediction in windows {part.start}..{part.stop - 1} is NaN or infinite; "
                                "check the model in float32 on this text.")
        yield part, log_probs
        if progress:
            progress(part.stop, len(ids))


def compare(
    model: nn.Module, reference: torch.Tensor, tokens: TokenWindows, config: EvaluationConfig, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean KL(reference || model) and the mean loss of every window, float64 `[windows]`."""
    divergences, losses = [], []
    ids = torch.tensor(tokens.ids)
    for part, log_probs in predictions(model, tokens, config, progress):
        wanted = reference[part]
        kl = (wanted.exp() * (wanted - log_probs)).sum(-1).double()
        divergences.append(kl.mean(1).numpy())
        losses.append(window_nats(log_probs, ids[part]))
    return np.concatenate(divergences), np.concatenate(losses)


def window_nats(log_probs: torch.Tensor, ids: torch.Tensor) -> np.ndarray:
    """Return the mean loss of each window's next tokens, float64 `[windows]`."""
    picked = log_probs.gather(-1, ids[:, 1:, None])[..., 0]
    return np.asarray(-picked.double().mean(1).numpy())
