import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo.errors import ConfigError, ModelError
from halo.workload import SHAPES, find_shape, linear_only, shape_workload, shared_input_stage
from tests.halo.synthetic import LLAMA, llama_shapes

OPT = {"model_type": "opt", "hidden_size": 128, "ffn_dim": 512, "num_hidden_layers": 3, "num_attention_heads": 4,
       "vocab_size": 1000}
MISTRAL = {**LLAMA, "model_type": "mistral", "sliding_window": 100}
QWEN = {**LLAMA, "model_type": "qwen2", "sliding_window": 100, "use_sliding_window": False}


def test_linear_products_of_a_llama_have_the_shapes_of_its_modules():
    work = shape_workload(LLAMA, 100, 2, 300, "prefill")
    linear = {p.layer: (p.n, p.k) for p in work.products if p.kind == "linear"}
    assert linear == llama_shapes()
    assert {p.m for p in work.products if p.kind == "linear"} == {200}


def test_a_decode_step_streams_one_token_per_sequence_past_the_whole_context():
    work = shape_workload(LLAMA, 100, 2, 300, "decode")
    assert {p.m for p in work.products if p.kind == "linear"} == {2}
    scores = next(p for p in work.products if p.layer == "model.layers.0.self_attn.qk")
    assert (scores.m, scores.n, scores.k, scores.count) == (2, 300, 64, 4)
    values = next(p for p in work.products if p.layer == "model.layers.0.self_attn.pv")
    assert (values.n, values.k) == (64, 300)


@given(st.integers(1, 64), st.integers(1, 4), st.integers(1, 4))
def test_attention_work_does_not_depend_on_how_heads_share_their_keys(tokens, batch, log_shared):
    shared = {**LLAMA, "num_key_value_heads": 2 ** (log_shared // 2)}
    alone = {**LLAMA, "num_key_value_heads": 4}
    works = [shape_workload(c, tokens, batch, 7, "prefill") for c in (shared, alone)]
    a, b = (sum(p.n_macs for p in w.products if p.kind == "attention") for w in works)
    assert a == b == 2 * LLAMA["num_hidden_layers"] * batch * tokens * tokens * LLAMA["hidden_size"]


def test_an_opt_model_has_its_own_names_and_two_feedforward_products():
    work = shape_workload(OPT, 10, 1, 1, "prefill")
    names = [p.layer for p in work.products if p.kind == "linear"]
    assert names[:4] == [f"model.decoder.layers.0.self_attn.{n}" for n in ("q_proj", "k_proj", "v_proj", "out_proj")]
    assert names[4:6] == ["model.decoder.layers.0.fc1", "model.decoder.layers.0.fc2"]
    assert work.products[-1].layer == "lm_head"
    assert work.n_macs == sum(p.n_macs for p in work.products)


def test_a_hugging_face_configuration_object_gives_the_same_products_as_its_dict():
    class Config:
        def to_dict(self):
            return LLAMA

    assert shape_workload(Config(), 5, 1, 1, "prefill") == shape_workload(LLAMA, 5, 1, 1, "prefill")


def test_modules_of_a_real_llama_and_opt_are_named_as_the_products():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    narrow = {**OPT, "word_embed_proj_dim": 64}
    for fields in (LLAMA, OPT, narrow, MISTRAL, QWEN, {**LLAMA, "model_type": "qwen3", "head_dim": 32}):
        config = transformers.AutoConfig.for_model(**fields)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config)
        modules = {n: (m.out_features, m.in_features) for n, m in model.named_modules() if hasattr(m, "out_features")}
        products = shape_workload(config, 4, 1, 1, "decode").products
        assert {p.layer: (p.n, p.k) for p in products if p.kind != "attention"} == modules


def test_what_cannot_be_shaped_is_refused_with_the_reason():
    with pytest.raises(ModelError, match="model_type 'gpt2': its products are not known; known are llama"):
        shape_workload({"model_type": "gpt2"}, 1, 1, 1, "prefill")
    with pytest.raises(ModelError, match="has no 'hidden_size'"):
        shape_workload({"model_type": "opt", "num_attention_heads": 4}, 1, 1, 1, "prefill")
    with pytest.raises(ModelError, match="a sliding window from a certain layer on"):
        shape_workload({**QWEN, "use_sliding_window": True, "max_window_layers": 1}, 1, 1, 1, "decode")
    with pytest.raises(ConfigError, match=r"workload.batch = 0; it must be at least 1"):
        shape_workload(LLAMA, 1, 0, 1, "prefill")


def test_only_matrices_with_one_input_share_a_stage():
    attention = {shared_input_stage(f"model.layers.0.self_attn.{n}_proj") for n in "qkv"}
    assert len(attention) == 1
    assert shared_input_stage("model.layers.1.self_attn.q_proj") not in attention
    assert shared_input_stage("model.layers.0.self_attn.o_proj") == "model.layers.0.self_attn.o_proj"


def test_a_sliding_window_limits_what_a_decode_step_sees_but_not_a_switched_off_one():
    def seen(config, phase):
        return next(p.n for p in shape_workload(config, 300, 1, 300, phase).products if p.kind == "attention")

    assert (seen(MISTRAL, "decode"), seen(QWEN, "decode"), seen(LLAMA, "decode")) == (100, 300, 300)
    assert seen(MISTRAL, "prefill") == 300


def test_every_new_key_and_value_is_written_to_the_cache_once():
    for phase, tokens in (("prefill", 30), ("decode", 3)):
        work = shape_workload(LLAMA, 10, 3, 20, phase)
        written = sum(p.written_bits for p in work.products)
        assert written == 8 * 2 * tokens * 128 * LLAMA["num_hidden_layers"]
        assert work.tokens == tokens


@pytest.mark.parametrize(("name", "billions"), [
    ("llama-2-7b", 6.74), ("llama-2-13b", 13.02), ("llama-2-70b", 68.98), ("opt-1.3b", 1.31), ("opt-2.7b", 2.65),
    ("opt-6.7b", 6.66), ("opt-13b", 12.85), ("opt-30b", 29.97), ("mistral-7b", 7.24), ("qwen2-7b", 7.62),
])  # fmt: skip
def test_presets_have_as_many_weights_as_the_published_models(name, billions):
    work = shape_workload(find_shape(name), 1, 1, 1, "decode")
    tied = name.startswith("opt")
    weights = sum(p.n * p.k for p in work.products if p.kind != "attention")
    weights += 0 if tied else SHAPES[name]["vocab_size"] * SHAPES[name]["hidden_size"]
    assert weights / 1e9 == pytest.approx(billions, rel=0.005)
    assert {p.kind for p in linear_only(work).products} == {"linear"}


def test_a_shape_comes_from_a_preset_a_folder_or_a_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(OPT))
    assert find_shape(str(tmp_path)) == find_shape(str(tmp_path / "config.json")) == OPT
    with pytest.raises(ModelError, match=r"'llama-3' is neither a preset \(llama-2-7b, .*qwen2-7b\) nor a readable"):
        find_shape("llama-3")
