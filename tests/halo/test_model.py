import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from halo.errors import ModelError, NumericsError
from halo.model import decoder_blocks, list_linears, load_model
from tests.halo.conftest import whole_model
from tests.halo.tiny import BLOCKS, make_model, save_model

LLAMA_PARTS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
               "mlp.up_proj", "mlp.down_proj"]


@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_a_model_stored_in_bf16_is_computed_in_float32_block_by_block(cases, kind):
    model = cases[kind].loaded.model
    whole = whole_model(cases[kind].loaded.folder)
    ids = torch.arange(40).view(2, 20)
    wide = []
    watch = list_linears(model).linears
    hooks = [linear.register_forward_hook(lambda *_: wide.append(
        sum(weight.dtype == torch.float32 for weight in model.parameters()))) for linear in watch.values()]
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, whole(input_ids=ids).logits)
    for hook in hooks:
        hook.remove()
    per_block = len(list(decoder_blocks(model)[1][0].parameters()))
    assert 0 < max(wide) <= per_block
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}


def test_gradients_flow_through_a_streamed_model_as_through_a_whole_one(cases):
    model, ids = cases["llama"].loaded.model, torch.arange(40).view(2, 20)
    whole = whole_model(cases["llama"].loaded.folder)
    found = []
    for each in (model, whole):
        caught = []
        linear = each.get_submodule("model.layers.0.mlp.up_proj")
        hook = linear.register_forward_hook(
            lambda *args, caught=caught: args[2].register_hook(caught.append) and None)
        each(input_ids=ids, labels=ids).loss.backward()
        each.zero_grad(set_to_none=True)
        hook.remove()
        found += caught
    assert torch.equal(*found)


def test_a_unit_is_let_go_of_after_an_error(cases):
    model = cases["llama"].loaded.model
    hook = model.get_submodule("model.layers.1.mlp").register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(input_ids=torch.arange(4)[None])
    hook.remove()
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}


def test_a_float32_weight_of_a_bf16_model_keeps_its_digits(tmp_path):
    folder = save_model(tmp_path / "model", "llama")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = torch.full((48,), 1 + 2**-20)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert float(load_model(folder).model.get_submodule("model.norm").weight[0]) == 1 + 2**-20


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
    with pytest.raises(ModelError, match=r"model.safetensors: missing or damaged .*; copy or download it again"):
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
