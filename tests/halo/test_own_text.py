from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, T5Config, T5ForConditionalGeneration

from halo.errors import ConfigError, ModelError, NumericsError
from halo.own_text import OwnTextConfig, draw, predict_next, sample, write_own_text


def test_a_passage_is_drawn_from_the_predictions_of_the_whole_passage_before(case):
    """A token costs as many nats as the prediction is unsure, on average: only samples of that prediction do."""
    ids = sample(case.loaded, OwnTextConfig(window=24, windows=60, batch=25))
    with torch.no_grad():
        logs = torch.log_softmax(case.loaded.model(input_ids=ids).logits[:, :-1].double(), -1)
    unsure = -(logs.exp() * logs).sum(-1)
    surprise = -logs.gather(-1, ids[:, 1:, None])[..., 0] - unsure
    assert ids.shape == (60, 24)
    assert unsure.mean() < 0.95 * np.log(logs.shape[-1]), "else any token would do"
    assert abs(surprise.mean()) < 3 * surprise.std() / surprise.numel() ** 0.5


def test_what_is_kept_of_the_past_stands_for_it(case):
    ids, past = torch.tensor(case.tokens.ids[:2, :9]), None
    for at in range(ids.shape[1]):
        chances, past = predict_next(case.loaded.model, ids[:, at : at + 1], past)
    assert np.allclose(chances, predict_next(case.loaded.model, ids, None)[0], atol=1e-6)


def test_a_model_that_keeps_no_past_reads_the_whole_passage_for_every_token(cases):
    class Counting(torch.nn.Linear):
        config = SimpleNamespace(is_encoder_decoder=False)

        def can_generate(self):
            return True

        def forward(self, input_ids, **_):
            sure = torch.nn.functional.one_hot(torch.full(input_ids.shape, input_ids.shape[1]), 9) * 1000.0
            return SimpleNamespace(logits=sure)

    ids = sample(replace(cases["llama"].loaded, model=Counting(1, 1)), OwnTextConfig(window=6, windows=3, batch=2))
    assert ids[:, 1:].tolist() == [[1, 2, 3, 4, 5]] * 3


def test_tokens_are_drawn_as_often_as_their_chance_says():
    chances = np.array([0.1, 0.0, 0.6, 0.3])
    drawn = draw(np.tile(chances, (20000, 1)), np.random.default_rng(3))
    share = np.bincount(drawn[:, 0].numpy(), minlength=4) / len(drawn)
    assert share[1] == 0
    assert np.allclose(share, chances, atol=0.015)


def test_a_seed_gives_one_text_of_ordinary_tokens(case):
    config = OwnTextConfig(window=12, windows=5, batch=2)
    text = write_own_text(case.loaded, config)
    assert text == write_own_text(case.loaded, config)
    assert text != write_own_text(case.loaded, OwnTextConfig(window=12, windows=5, batch=2, seed=1))
    assert "<s>" not in text


def test_progress_ends_with_all_tokens(case):
    seen = []
    sample(case.loaded, OwnTextConfig(window=4, windows=5, batch=2), lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == [2, 4, 6, 8, 10, 12, 13, 14, 15]
    assert {total for _, total in seen} == {15}


@pytest.mark.parametrize(("kind", "config"), [
    (BertForMaskedLM, BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)),
    (T5ForConditionalGeneration, T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)),
])
def test_a_model_that_goes_on_with_no_text_is_refused(cases, kind, config):
    with torch.random.fork_rng():
        loaded = replace(cases["llama"].loaded, model=kind(config))
    with pytest.raises(ModelError, match=f"{kind.__name__} is no causal language model, .* with --no-data"):
        sample(loaded, OwnTextConfig(8))


def test_a_longer_passage_than_the_model_reads_is_refused(case):
    with pytest.raises(ModelError, match="reads at most 64 tokens; a window of 65 is too long"):
        sample(case.loaded, OwnTextConfig(window=65))


def test_a_text_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="a text of 0 windows of 256 tokens, 64 at a time: give at least 1 window"):
        OwnTextConfig(windows=0)


def test_a_prediction_that_is_no_number_is_refused(case):
    class Broken(torch.nn.Linear):
        def forward(self, input_ids, **_):
            return type("Found", (), {"logits": torch.full((len(input_ids), 1, 9), torch.nan), "past_key_values": None})

    with pytest.raises(NumericsError, match="a prediction of the model's own text is NaN or infinite"):
        predict_next(Broken(1, 1), torch.zeros(1, 1, dtype=torch.int64), None)


def test_no_passage_starts_with_a_special_token(case):
    special = set(case.loaded.tokenizer.all_special_ids)
    firsts = sample(case.loaded, OwnTextConfig(window=2, windows=3000, batch=3000))[:, 0].tolist()
    assert special
    assert set(firsts) == set(range(len(case.loaded.tokenizer))) - special
