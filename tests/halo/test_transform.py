"""Rotation and smoothing change weights, never outputs; a model made after them is judged, saved and loaded whole."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

import halo
from characterization.profile_file import save_profile
from halo.checkpoint import load_quantized, read_quantization
from halo.config import build_config
from halo.equal_model import check_equal
from halo.errors import ConfigError, ModelError
from halo.export import export
from halo.model import load_model, quiet_transformers, transform_of
from halo.pipeline import compare_methods, evaluate_folders, quantize_to
from halo.recipes import METHODS
from halo.runtime import int8_parts
from halo.tokens import WindowConfig, cut_windows, no_windows
from halo.transform import TransformConfig, transformed
from tests.halo.conftest import tables_of, whole_model
from tests.halo.synthetic import SIGN_OFF, synthetic_profile
from tests.halo.tiny import BLOCKS, HIDDEN, INNER, VOCABULARY, save_model, text_of

BOTH = TransformConfig(rotation="hadamard", smoothing=0.5)
SIZES = {"vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": BLOCKS,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.15}


def windows_of(loaded):
    return cut_windows(loaded.tokenizer, text_of(600, seed=1), WindowConfig(32, 4))


def logits(model, tokens):
    with torch.no_grad():
        return model(input_ids=torch.tensor(tokens.ids)).logits.float()


def other_model(folder, kind, config, **changes):
    """A model of another architecture whose norms have weights that matter."""
    save_model(folder, "llama")
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(3)
        model = kind(config(**{**SIZES, "head_dim": HIDDEN // 4, **changes})).eval()
        for weight in model.parameters():
            if weight.dim() == 1:
                torch.nn.init.uniform_(weight, 0.3, 1.7)
        model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("kind", "config", "changes", "asked"), [
    (LlamaForCausalLM, LlamaConfig, {"attention_bias": True, "mlp_bias": True}, BOTH),
    (LlamaForCausalLM, LlamaConfig, {"tie_word_embeddings": True}, TransformConfig(rotation="hadamard")),
    (Qwen3ForCausalLM, Qwen3Config, {"tie_word_embeddings": False}, BOTH),
    (GemmaForCausalLM, GemmaConfig, {}, TransformConfig(smoothing=0.7)),
])
def test_outputs_stay_and_weights_do_not(tmp_path, kind, config, changes, asked):
    loaded = load_model(other_model(tmp_path / "model", kind, config, **changes))
    tokens = windows_of(loaded)
    if kind is GemmaForCausalLM:  # its norms multiply with 1 + weight
        with pytest.raises(ModelError, match=r"GemmaForCausalLM: smoothing 0.7 is not exact .* leave it out"):
            transformed(loaded, tokens, asked, (), tmp_path / "work")
        with pytest.raises(ModelError, match="GemmaForCausalLM: cannot be rotated: its GemmaRMSNorm is no RMS norm"):
            transformed(loaded, tokens, TransformConfig(rotation="hadamard"), (), tmp_path / "work")
        assert not list((tmp_path / "work").iterdir())
        return
    made = transformed(loaded, tokens, asked, (), tmp_path / "work")
    wanted = logits(whole_model(loaded.folder), tokens)
    for model in (made.model, whole_model(made.folder)):
        assert torch.allclose(logits(model, tokens), wanted, atol=2e-5 * float(wanted.abs().max()))
    before, after = (dict(model.named_parameters()) for model in (loaded.model, made.model))
    for name, linear in before.items():
        if name.endswith("_proj.weight"):
            assert not torch.allclose(linear.float(), after[name].float(), rtol=0.05)


def test_opt_is_smoothed_and_not_rotated(cases, tmp_path):
    case = cases["opt"]
    made = transformed(case.loaded, case.tokens, TransformConfig(smoothing=0.5), (), tmp_path)
    check_equal(case.loaded.model, made.model, torch.tensor(case.tokens.ids), "smoothing")
    block, before = (model.model.decoder.layers[0] for model in (made.model, case.loaded.model))
    for name in ("self_attn.out_proj", "fc2", "fc1", "self_attn.k_proj"):
        assert not torch.allclose(block.get_submodule(name).weight.float(),
                                  before.get_submodule(name).weight.float(), rtol=0.05)
    with pytest.raises(ModelError, match="OPTForCausalLM: cannot be rotated: its LayerNorm is no RMS norm"):
        transformed(case.loaded, case.tokens, TransformConfig(rotation="hadamard"), (), tmp_path)


def test_smoothing_evens_out_inputs_and_rotation_flattens_outliers(cases, tmp_path):
    case = cases["llama"]
    folder = tmp_path / "model"
    save_model(folder, "llama")
    loud = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        loud.model.layers[0].input_layernorm.weight[5] = 40.0
        loud.model.embed_tokens.weight[:, 9] *= 30
    loud.save_pretrained(folder)
    loaded = load_model(folder)

    def spread(asked):
        made = transformed(loaded, case.tokens, asked, (), tmp_path / "work").model
        met = []
        handle = made.model.layers[0].self_attn.q_proj.register_forward_pre_hook(lambda _, args: met.append(args[0]))
        logits(made, case.tokens)
        handle.remove()
        peaks = met[0].flatten(0, -2).abs().amax(0)
        return float(peaks.max() / peaks.median())

    plain = spread(TransformConfig())
    assert spread(TransformConfig(smoothing=0.8)) < plain / 3
    assert spread(TransformConfig(rotation="hadamard")) < plain / 3


def test_without_a_text_or_out_of_range_a_transform_is_refused(cases, tmp_path):
    with pytest.raises(ConfigError, match="needs a calibration text"):
        transformed(cases["llama"].loaded, no_windows(), BOTH, (), tmp_path)
    with pytest.raises(ConfigError, match=r"transform.smoothing = 1.5 must lie within"):
        TransformConfig(smoothing=1.5)


def test_a_checkpoint_made_after_transforms_is_judged_loaded_and_exported_whole(tmp_path):
    save_model(tmp_path / "model", "llama")
    (tmp_path / "calibration.txt").write_text(text_of(500))
    (tmp_path / "text.txt").write_text(text_of(700, 1))
    save_profile(synthetic_profile(corners=SIGN_OFF), tmp_path / "mac.nc")
    tables = tables_of(tmp_path, transform={"rotation": "hadamard", "smoothing": 0.5})
    # The widths of this model are no multiples of 32.
    tables["tiles"] = {"tile_in": 16, "tile_out": 16, "array_rows": 16, "array_cols": 16}
    tables["method"] = {"halo": {"sparse": {"cap_share": 0.0}}}
    config = build_config(tables, "test")
    made = quantize_to(config, METHODS["halo-w4-shifted"], tmp_path / "made")
    assert read_quantization(tmp_path / "made")["transform"] == "hadamard rotation, seed 1, smoothing 0.5"
    stored = load_quantized(tmp_path / "made")
    original = load_model(tmp_path / "model")
    with pytest.raises(ModelError, match=r"made for the model after hadamard .* not after none; load the whole folder"):
        int8_parts(original.model, stored)
    # What is saved is what was made, and is judged as such against the original.
    results = {result.label: result for result in compare_methods(config, ["halo-w4-shifted"])}
    quality = evaluate_folders(config, [tmp_path / "made"])[str(tmp_path / "made")]
    assert quality == results["halo-w4-shifted"].accuracy.quality
    plain = replace(config, transform=TransformConfig(), out=tmp_path / "plain")
    reference = compare_methods(plain, ["halo-w4-shifted"])[1].accuracy.quality
    assert 0 < quality.kl.mean < 3 * reference.kl.mean
    assert all(np.isfinite(layer.loss) for layer in made.layers)
    assert transform_of(original.model) == ""
    export(tmp_path / "made", tmp_path / "theirs")
    assert "quantization_config" in json.loads((tmp_path / "theirs" / "config.json").read_text())
    ids = torch.arange(24).view(2, 12)
    pytest.importorskip("compressed_tensors")
    with quiet_transformers(), torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "theirs", local_files_only=True).eval()
        wanted = halo.load(tmp_path / "made")(input_ids=ids).logits
        assert torch.allclose(theirs(input_ids=ids).logits, wanted, atol=2e-2 * float(wanted.abs().max()))
