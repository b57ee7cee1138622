"""Text that a model writes itself, sampled from its own predictions: to calibrate on where there is no better one.

A text that the model was trained on it knows by heart; of what it samples it is as unsure as of what it meets later.
Source: LLM-QAT (Liu et al., Findings of ACL 2024, arXiv:2305.17888), which trains quantized models on such text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from halo.errors import ConfigError, ModelError, NumericsError
from halo.model import LoadedModel, check_causal
from halo.sensitivity import Progress


@dataclass(frozen=True, slots=True)
class OwnTextConfig:
    """How much a model writes.

    Attributes:
        window: tokens of a passage; each starts anew.
        windows: how many passages.
        batch: passages written together.
        seed: of first tokens and samples.
    """

    window: int = 256
    windows: int = 128
    batch: int = 64
    seed: int = 20261121

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: one is out of range.
        """
        if self.window < 2 or self.windows < 1 or self.batch < 1:
            raise ConfigError(f"a text of {self.windows} windows of {self.window} tokens, {self.batch} at a time: give "
                              "at least 1 window of 2 tokens, 1 at a time.")


def write_own_text(loaded: LoadedModel, config: OwnTextConfig, progress: Progress | None = None) -> str:
    """Return what the model writes: passages of `window` tokens, each on a new line. Errors are those of `sample`."""
    ids = sample(loaded, config, progress)
    return "".join(f"{text}\n" for text in loaded.tokenizer.batch_decode(ids, skip_special_tokens=True))


def sample(loaded: LoadedModel, config: OwnTextConfig, progress: Progress | None = None) -> torch.Tensor:
    """Return passages in tokens, int64 `[windows, window]`.

    A passage starts with any token that is not a special one, all alike, and goes on as the model predicts, at
    temperature 1. The same seed gives the same passages where sums round alike.

    Raises:
        ModelError: the model is no causal language model, or does not reach that far.
        NumericsError: a prediction is not finite.
    """
    check_causal(loaded.model)
    check_reach(loaded.model, config.window)
    generator = np.random.default_rng(config.seed)
    allowed = np.setdiff1d(np.arange(len(loaded.tokenizer)), loaded.tokenizer.all_special_ids)
    starts = torch.from_numpy(generator.choice(allowed, (config.windows, 1)))
    written, done = [], 0
    for start in torch.split(starts, config.batch):
        ids, past = start, None
        while ids.shape[1] < config.window:
            chances, past = predict_next(loaded.model, ids if past is None else ids[:, -1:], past)
            ids, done = torch.cat([ids, draw(chances, generator)], 1), done + len(ids)
            if progress:
                progress(done, config.windows * (config.window - 1))
        written.append(ids)
    return torch.cat(written)


def check_reach(model: Any, window: int) -> None:
    """Check that a model reads passages of `window` tokens.

    Raises:
        ModelError: they are too long for it.
    """
    longest = getattr(model.config, "max_position_embeddings", window)
    if window > longest:
        raise ModelError(f"{type(model).__name__} reads at most {longest} tokens; a window of {window} is too long.")


def predict_next(model: Any, ids: torch.Tensor, past: Any) -> tuple[np.ndarray, Any]:
    """Return the chances of every next token, float64 `[passages, vocabulary]`, and what the model keeps of the past.

    None where it keeps nothing that stands for a passage so far, which is then read anew for every token.

    Raises:
        NumericsError: a prediction is not finite.
    """
    with torch.no_grad():
        found = model(input_ids=ids.to(next(model.parameters()).device), past_key_values=past, use_cache=True)
    chances = torch.softmax(found.logits[:, -1].double(), -1).cpu().numpy()
    if not np.isfinite(chances).all():
        raise NumericsError("lm_head: a prediction of the model's own text is NaN or infinite; check it in float32.")
    return chances, getattr(found, "past_key_values", None)


def draw(chances: np.ndarray, generator: np.random.Generator) -> torch.Tensor:
    """Return one token for each row of `chances`, int64 `[passages, 1]`.

    >>> draw(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), np.random.default_rng(0)).tolist()
    [[1], [2]]
    """
    sums = chances.cumsum(1)
    wanted = generator.random((len(chances), 1)) * sums[:, -1:]
    return torch.from_numpy((sums <= wanted).sum(1, keepdims=True))
