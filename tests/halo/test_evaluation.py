from dataclasses import replace

import numpy as np
import pytest
import torch

from halo.errors import ConfigError, NumericsError
from halo.evaluation import (
    EvaluationConfig,
    activation_quality,
    bootstrap,
    evaluate,
    measure_reference,
    quality,
    reference_quality,
)
from halo.runtime import int8_parts, swapped
from halo.tokens import WindowConfig, cut_windows
from tests.halo.test_quantize import run
from tests.halo.tiny import make_model, text_of

CONFIG = EvaluationConfig(window=32, windows=8, batch=3, resamples=300)


@pytest.fixture(scope="module")
def reference(cases):
    case = cases["llama"]
    tokens = cut_windows(case.loaded.tokenizer, text_of(2000, seed=5), WindowConfig(32, 8))
    return measure_reference(case.loaded.model, tokens, CONFIG)


@pytest.fixture(scope="module")
def measured(cases, reference, tmp_path_factory):
    model = cases["llama"].loaded.model
    quantized = run(cases["llama"], tmp_path_factory.mktemp("evaluation"))
    with swapped(model, int8_parts(model, quantized)):
        return evaluate(model, reference)


def test_the_original_does_not_diverge_from_itself(cases, reference):
    again = evaluate(cases["llama"].loaded.model, reference)
    assert again.kl.mean == pytest.approx(0, abs=1e-9)
    assert again.perplexity == pytest.approx(reference_quality(reference).perplexity)
    assert again.perplexity_change == pytest.approx(0)


def test_divergence_and_perplexity_are_those_of_their_definitions(cases, reference):
    other = make_model("llama")
    with torch.no_grad():
        other.lm_head.weight.mul_(1.1)
        ids = torch.tensor(reference.tokens.ids)
        p, q = (torch.log_softmax(model(input_ids=ids).logits[:, :-1].double(), -1)
                for model in (cases["llama"].loaded.model, other))
    found = evaluate(other, reference)
    assert found.kl.mean == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-4)
    nats = -float(q.gather(-1, ids[:, 1:, None]).mean())
    assert found.perplexity == pytest.approx(np.exp(nats), rel=1e-5)
    tokens = reference.tokens
    assert found.bits_per_byte == pytest.approx(nats / np.log(2) * tokens.text_tokens / tokens.text_bytes, rel=1e-5)


def test_the_net_divergence_leaves_int8_activations_out(reference, measured):
    alone = activation_quality(reference)
    assert alone.net_kl.mean == 0
    assert 0 < alone.kl.mean < measured.kl.mean
    assert measured.net_kl.mean == pytest.approx(measured.kl.mean - alone.kl.mean)
    assert measured.net_kl.low <= measured.net_kl.mean <= measured.net_kl.high
    assert measured.net_kl.excludes_zero


def test_the_change_in_perplexity_is_paired_over_windows(reference):
    shift = np.linspace(0.01, 0.03, len(reference.nats))
    found = quality(np.zeros_like(shift), reference.nats + shift, reference)
    assert found.perplexity_change == pytest.approx(np.expm1(0.02))
    assert found.change_sigmas == pytest.approx(0.02 / (shift.std(ddof=1) / np.sqrt(len(shift))))


def test_the_protocol_is_recorded(reference, measured):
    wanted = {"window": 32, "stride": 32, "windows": 8, "scored_tokens": 8 * 31,
              "text_digest": reference.tokens.text_digest}
    assert wanted.items() <= measured.protocol.items()
    assert "none added" in measured.protocol["bos"]


def test_the_batch_changes_nothing_but_rounding(cases, reference):
    case = cases["llama"]
    other = measure_reference(case.loaded.model, reference.tokens, replace(CONFIG, batch=8))
    assert np.allclose(other.nats, reference.nats, rtol=1e-5)


def test_the_bootstrap_is_seeded_and_covers_the_mean():
    values = np.random.default_rng(0).normal(1.0, 0.5, 200)
    first, second = (bootstrap(values, CONFIG) for _ in range(2))
    assert first == second
    assert first.high - first.low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(200), rel=0.2)
    assert not bootstrap(values - 1.0, CONFIG).excludes_zero


def test_progress_counts_windows(cases, reference):
    ticks = []
    evaluate(cases["llama"].loaded.model, reference, lambda done, total: ticks.append((done, total)))
    assert ticks == [(3, 8), (6, 8), (8, 8)]


def test_predictions_that_are_no_numbers_are_refused(reference):
    model = make_model("llama")
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    with pytest.raises(NumericsError, match=r"lm_head: a prediction in windows 0..2 is NaN or infinite"):
        evaluate(model, reference)


def test_impossible_options_are_refused():
    with pytest.raises(ConfigError, match="batch and resamples must be positive, confidence within 0"):
        EvaluationConfig(confidence=1.5)
