"""Judge: measures the accuracy of quantized models against one reference, and keeps what it measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import nn

from characterization.artifact import digest_of
from halo.config import RunConfig
from halo.evaluation import (
    EvaluationConfig,
    Reference,
    activation_quality,
    compare,
    measure_reference,
    quality,
    reference_quality,
)
from halo.layers import QuantizedModel
from halo.model import LoadedModel, check_causal, torch_tools
from halo.preparation import Progress, step_of
from halo.results import Accuracy, load_accuracy, save_accuracy
from halo.runtime import int8_parts, swapped
from halo.tokens import TokenWindows, WindowConfig, read_windows


def make_judge(config: RunConfig, loaded: LoadedModel, progress: Progress | None = None) -> Judge:
    """Return the judge of the run's text and protocol; `loaded` is the original model."""
    check_causal(loaded.model)
    return Judge(loaded, read_windows(loaded.tokenizer, config.text, protocol_of(config)), config.evaluation, progress)


def protocol_of(config: RunConfig) -> WindowConfig:
    """Return how the run's text becomes windows."""
    return WindowConfig(config.evaluation.window, config.evaluation.windows)


@dataclass(frozen=True, eq=False)
class Judge:
    """Measures accuracies against one reference, the original model's, made when first needed and then kept."""

    loaded: LoadedModel
    tokens: TokenWindows
    config: EvaluationConfig
    progress: Progress | None = None

    @cached_property
    def reference(self) -> Reference:
        """The original model's predictions on the text."""
        step = step_of(self.progress, "evaluate the original")
        return measure_reference(self.loaded.model, self.tokens, self.config, step)

    def key(self, model_key: str) -> str:
        """Return the digest of what an accuracy depends on."""
        return digest_of([model_key, self.loaded.digest, self.tokens.digest, asdict(self.config), torch_tools()])

    def originals(self, path: Path) -> tuple[Accuracy, Accuracy]:
        """Return the accuracy of the original model, and with int8 activations alone; saved at `path`-*.json."""
        result = []
        for name, take in (("original", reference_quality), ("int8-activations", activation_quality)):
            file, key = path.with_name(f"{path.name}-{name}.json"), self.key(name)
            if not (file.is_file() and load_accuracy(file).key == key):
                save_accuracy(Accuracy(key, take(self.reference), np.zeros(len(self.tokens.ids))), file)
            result.append(load_accuracy(file))
        return result[0], result[1]

    def accuracy(
        self, quantized: QuantizedModel, path: Path, label: str, model: nn.Module | None = None
    ) -> Accuracy:
        """Return the accuracy of `quantized`, saved at `path`, measured only if it is not there yet.

        Args:
            quantized: the layers.
            path: where the result is kept.
            label: for progress.
            model: whose layers they are where that is not the original: one transformed.
        """
        key = self.key(quantized.provenance.key)
        if path.is_file() and (found := load_accuracy(path)).key == key:
            return found
        result = self.measure(quantized, key, label, model)
        save_accuracy(result, path)
        return result

    def measure(
        self, quantized: QuantizedModel, key: str, label: str, model: nn.Module | None = None
    ) -> Accuracy:
        """Return the accuracy of `quantized`; `model` as for `accuracy`."""
        base = model or self.loaded.model
        _ = self.reference  # measured on the original, before layers are swapped
        with swapped(base, int8_parts(base, quantized)):
            return self.compared(base, key, label)

    def compared(self, model: nn.Module, key: str, label: str) -> Accuracy:
        """Return the accuracy of a model that computes in int8."""
        reference = self.reference
        kl, nats = compare(model, reference.log_probs, self.tokens, self.config,
                           step_of(self.progress, f"evaluate {label}"))
        return Accuracy(key, quality(kl, nats, reference), np.asarray(kl - reference.activation_kl))
