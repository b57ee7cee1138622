import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from halo.errors import ModelError, NumericsError
from halo.model import decoder_blocks, list_linears, load_model
from tests.halo.tiny import BLOCKS, make_model, save_model

LLAMA_PARTS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
               "mlp.up_proj", "mlp.down_proj"]


def test_a_model_stored_in_bf16_is_computed_in_float32(case):
    assert {value.dtype for value in case.loaded.model.parameters()} == {torch.float32}


def test_llama_linears_come_block_by_block(cases):
    names = list(list_linears(cases["llama"].loaded.model).linears)
    assert names == [f"model.layers.{i}.{part}" for i in range(BLOCKS) for part in LLAMA_PARTS]


def test_opt_linears_are_six_per_block(cases):
    names = list(list_linears(cases["opt"].loaded.model).linears)
    assert len(names) == 6 * BLOCKS
    assert names[5] == "model.decoder.layers.0.fc2"


def test_every_weight_is_either_quantized_or_skipped_with_a_reason(case):
    found = list_linears(case.loaded.model)
    holders = {name.rpartition(".")[0] for name, _ in case.loaded.model.named_parameters()}
    assert holders <= set(found.linears) | set(found.skipped)
    assert "language-model head" in found.skipped["lm_head"]
    assert all(found.skipped.values())


def test_a_sharded_model_loads_as_the_whole_one(tmp_path):
    whole = load_model(save_model(tmp_path / "whole", "llama"))
    sharded = load_model(save_model(tmp_path / "sharded", "llama", max_shard_size="60KB"))
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    for (name, a), (_, b) in zip(whole.model.named_parameters(), sharded.model.named_parameters(), strict=True):
        assert torch.equal(a, b), name


def test_a_folder_without_safetensors_says_so(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"no \*.safetensors; save the model again with `save_pretrained`"):
        load_model(tmp_path)


def test_a_folder_that_is_no_model_says_so(tmp_path):
    with pytest.raises(ModelError, match=r"no config.json; give the folder of a Hugging Face causal language model"):
        load_model(tmp_path)


def test_truncated_safetensors_are_a_model_error(tmp_path):
    folder = save_model(tmp_path / "model", "llama")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="not a causal language model that transformers can load"):
        load_model(folder)


def test_nan_in_weights_names_the_module(tmp_path):
    folder = save_model(tmp_path / "model", "llama")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(NumericsError, match=r"in model.layers.1.mlp.up_proj.weight \(1 of its weights\); train or"):
        load_model(folder)


def test_a_model_without_decoder_layers_is_refused():
    with pytest.raises(ModelError, match=r"Sequential: no list of decoder layers with nn.Linear modules"):
        decoder_blocks(nn.Sequential(nn.Linear(4, 4)))


def test_a_linear_outside_the_decoder_layers_is_skipped():
    model = make_model("llama")
    model.extra = nn.Linear(4, 4)
    assert list_linears(model).skipped["extra"] == "linear outside the decoder layers: kept in float32"
