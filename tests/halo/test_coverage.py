"""Which modules of which models are quantized, and what is said of the others."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

from halo.checkpoint import load_quantized, save_quantized
from halo.codebook import GRIDS, Codebook
from halo.datafree import uniform_sensitivity
from halo.errors import ConfigError, ModelError
from halo.layers import dequantize
from halo.methods import halo as method
from halo.model import check_causal, list_linears, load_model, open_model, quiet_transformers
from halo.quantize import Job, QuantizeConfig, quantize
from halo.runtime import Int8ActivationLinear, int8_parts, swapped
from halo.sensitivity import SensitivityConfig, measure_sensitivity
from halo.tiles import TileConfig, uniform_map
from halo.tokens import no_windows
from tests.halo.tiny import make_model, save_model

BOOK = Codebook("w4-shifted", GRIDS["w4-shifted"], 1000.0)
TILES = TileConfig(16, 16, 16, 16)


def save(model, folder):
    with quiet_transformers():
        model.eval().save_pretrained(folder)
    return folder


def without_data(model, work):
    """The model quantized from its weights alone."""
    maps = {name: uniform_map(name, part.out_features, part.in_features, TILES)
            for name, part in list_linears(model).linears.items()}
    job = Job((BOOK,), maps, "halo", method.Config(), QuantizeConfig(fold=16))
    return quantize(model, no_windows(), uniform_sensitivity(model), job, work, "halo-no-data")


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = MixtralForCausalLM(MixtralConfig(
            vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, num_local_experts=4, num_experts_per_tok=2))
    return save(model, tmp_path_factory.mktemp("mixture") / "model")


def test_fused_experts_are_not_left_out_silently(mixture):
    with pytest.raises(ModelError, match=(
            r"MixtralForCausalLM: 86% of the decoder layers' weights .*mlp.experts: MixtralExperts: fused weights of "
            r"4 experts \(4 x 96 x 32, 4 x 32 x 48\), not an nn.Linear.* give ignore = \[\"experts\"\]")):
        list_linears(open_model(mixture))
    found = list_linears(open_model(mixture, ["experts$"]))
    assert [name.rpartition(".")[2] for name in found.linears] == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert found.skipped["model.layers.0.mlp.experts"] == "ignored: 'experts$' is found in its name"


def test_a_mixture_whose_experts_are_ignored_is_quantized_saved_and_loaded(mixture, tmp_path):
    model = open_model(mixture, ["experts"])
    made = without_data(model, tmp_path / "work")
    save_quantized(tmp_path / "out", mixture, made)
    ids = torch.arange(12)[None]
    import halo.hf  # noqa: PLC0415  only here: the others need no registration

    with torch.no_grad(), swapped(model, int8_parts(model, made)):
        wanted = model(input_ids=ids).logits
    with torch.no_grad():
        assert torch.equal(halo.hf.load(tmp_path / "out")(input_ids=ids).logits, wanted)


def test_ignored_linears_stay_and_an_expression_without_effect_is_an_error(tmp_path):
    folder = save_model(tmp_path / "model", "llama")
    found = list_linears(load_model(folder, ["layers.0.", "down_proj"]).model)
    assert len(found.linears) == 6
    assert not any("layers.0." in name or "down_proj" in name for name in found.linears)
    assert found.skipped["model.layers.1.mlp.down_proj"] == "ignored: 'down_proj' is found in its name"
    with pytest.raises(ConfigError, match=r"ignore 'dwn_proj' matches no module .*; did you mean 'down_proj'"):
        load_model(folder, ["dwn_proj"])
    with pytest.raises(ConfigError, match=r"ignore '\(' is not a regular expression"):
        load_model(folder, ["("])
    with pytest.raises(ConfigError, match=r"ignore = \['attn', 'mlp'\] matches every linear of the decoder layers"):
        load_model(folder, ["attn", "mlp"])
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer that transformers can load .*; copy the tokenizer's files"):
        load_model(folder)


def test_tied_embeddings_stay_one_tensor(tmp_path):
    folder = save_model(tmp_path / "model", "opt")
    model = open_model(folder)
    save_quantized(tmp_path / "out", folder, without_data(model, tmp_path / "work"))
    import halo.hf  # noqa: PLC0415

    again = halo.hf.load(tmp_path / "out")
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    assert not any("lm_head" in name for name in load_quantized(tmp_path / "out").layers.shards.files)


def test_an_encoder_is_quantized_without_data_and_transformers_loads_it(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = BertForMaskedLM(BertConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                                           num_attention_heads=2, max_position_embeddings=32))
    folder = save(model, tmp_path / "model")
    opened = open_model(folder)
    assert type(opened) is BertForMaskedLM
    with pytest.raises(ModelError, match=r"BertForMaskedLM is no causal language model.*with --no-data"):
        check_causal(opened)
    made = without_data(opened, tmp_path / "work")
    assert len(made.layers) == 12
    assert made.skipped["cls.predictions.transform.dense"] == "linear outside the decoder layers: kept in float32"
    assert max(layer.loss for layer in made.layers) < 0.03
    save_quantized(tmp_path / "out", folder, made)
    ids = torch.arange(12)[None]
    with torch.no_grad(), swapped(opened, int8_parts(opened, made)):
        wanted = opened(input_ids=ids).logits
    import halo.hf  # noqa: F401, PLC0415

    with quiet_transformers(), torch.no_grad():
        again = AutoModelForMaskedLM.from_pretrained(tmp_path / "out", dtype=torch.float32, local_files_only=True)
        assert torch.equal(again(input_ids=ids).logits, wanted)


def test_a_weight_that_is_read_past_its_module_is_refused_by_name_and_the_rest_is_measured(cases, tmp_path):
    """A Mamba multiplies with the weight of dt_proj itself, and rounds what enters its head to the type of that."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = MambaForCausalLM(MambaConfig(vocab_size=300, hidden_size=32, num_hidden_layers=1)).to(torch.bfloat16)
    folder = save(model, tmp_path / "model")
    asked = (cases["llama"].tokens, SensitivityConfig(windows=2, fisher_windows=1, batch=2), tmp_path / "work")
    with pytest.raises(ModelError, match=(
            r"backbone.layers.0.mixer.dt_proj: MambaBlock reads the weight and does not .*; give --ignore dt_proj")):
        measure_sensitivity(open_model(folder), *asked)
    opened = open_model(folder, ["dt_proj"])
    assert list_linears(opened).skipped["backbone.layers.0.mixer.conv1d"] == "Conv1d: a convolution, not an nn.Linear"
    found = measure_sensitivity(opened, *asked)
    assert [name.rpartition(".")[2] for name in found.layers] == ["in_proj", "x_proj", "out_proj"]
    assert all((layer.read("fisher") > 0).any() for layer in found.layers.values())
    whole = open_model(folder)
    parts = {name: Int8ActivationLinear(linear) for name, linear in list_linears(whole).linears.items()}
    ids = torch.arange(12)[None]
    with torch.no_grad(), swapped(whole, parts):
        close = whole(input_ids=ids).logits
    with torch.no_grad():
        assert torch.allclose(whole(input_ids=ids).logits, close, atol=0.1)


def test_without_data_weights_are_rounded_about_as_well_as_the_grid_allows(tmp_path):
    """An identity Hessian leaves nothing to feed back: each code is the nearest under its row's scale."""
    model = open_model(save_model(tmp_path / "model", "llama"), ["layers.1."])
    made = without_data(model, tmp_path / "work")
    for layer in made.layers:
        weight = model.get_submodule(layer.name).weight.detach().float().numpy()
        scale = layer.scales.astype(np.float32).repeat(16, axis=1)[:, : weight.shape[1]]
        dense = np.ones(weight.shape, bool)
        dense[layer.sparse_rows, layer.sparse_cols] = False
        nearest = np.clip(np.round(weight / scale / 16), -8, 7) * 16
        assert (nearest == layer.codes)[dense].mean() > 0.999


def test_a_layer_that_no_token_reached_falls_back_and_says_so(cases, tmp_path):
    model = make_model("llama")
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model.model.layers[1].mlp.expert = torch.nn.Linear(48, 32)
    config = SensitivityConfig(windows=4, fisher_windows=2, batch=2)
    tokens = cases["llama"].tokens
    sensitivity = measure_sensitivity(model, tokens, config, tmp_path)
    maps = {name: uniform_map(name, part.out_features, part.in_features, TILES)
            for name, part in list_linears(model).linears.items()}
    job = Job((BOOK,), maps, "halo", method.Config(), QuantizeConfig(windows=4, batch=2, fold=16))
    made = quantize(model, tokens, sensitivity, job, tmp_path)
    assert {layer.name: layer.fallback for layer in made.layers if layer.fallback} == {
        "model.layers.1.mlp.expert": "no calibration token, or only zeros, reached it: rounded from its weights alone"}
    wanted = model.get_submodule("model.layers.1.mlp.expert").weight.detach().numpy()
    got = dequantize(next(layer for layer in made.layers if layer.fallback), 16)
    assert np.abs(got - wanted).mean() < 0.1 * np.abs(wanted).mean()
