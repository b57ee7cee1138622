import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import halo
import halo.hf
from halo.checkpoint import load_quantized, save_quantized
from halo.errors import ModelError
from halo.layer_file import load_linear, save_linear
from halo.model import quiet_transformers
from halo.runtime import int8_parts, swapped
from tests.halo.synthetic import ARRAYS, codebooks_of, synthetic_layer, synthetic_profile
from tests.halo.test_quantize import equal, run


@pytest.fixture(scope="module")
def saved(cases, tmp_path_factory):
    made = {}
    for kind, case in cases.items():
        folder = tmp_path_factory.mktemp(kind)
        quantized = run(case, folder / "work")
        save_quantized(folder / "out", case.loaded.folder, quantized, shard_bytes=20_000)
        made[kind] = (folder / "out", quantized)
    return made


def from_pretrained(folder, **options):
    with quiet_transformers():
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options)


@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_transformers_loads_the_checkpoint_with_the_same_outputs_bit_for_bit(cases, saved, kind):
    case, (folder, _) = cases[kind], saved[kind]
    assert len(list(folder.glob("*.safetensors"))) > 1
    ids = torch.tensor(case.tokens.ids[:4])
    with torch.no_grad():
        with swapped(case.loaded.model, int8_parts(case.loaded.model, saved[kind][1])):
            wanted = case.loaded.model(input_ids=ids).logits
        assert torch.equal(from_pretrained(folder, dtype=torch.float32)(input_ids=ids).logits, wanted)
        assert torch.equal(halo.load(folder)(input_ids=ids).logits, wanted)
        assert not torch.equal(case.loaded.model(input_ids=ids).logits, wanted)


def test_generation_gives_the_tokens_that_stepping_by_hand_gives(saved):
    folder = saved["llama"][0]
    model, tokenizer = from_pretrained(folder), AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert model.dtype == torch.bfloat16
    ids = tokenizer("word3 word4", return_tensors="pt")["input_ids"]
    with quiet_transformers():
        made = model.generate(ids, max_new_tokens=6, min_new_tokens=6, do_sample=False, use_cache=False)
    with torch.no_grad():
        for _ in range(6):
            logits = model(input_ids=ids, use_cache=False).logits[0, -1].float()
            logits[model.generation_config.eos_token_id] = -torch.inf
            ids = torch.cat([ids, logits.argmax()[None, None]], 1)
    assert torch.equal(made, ids)


def test_the_state_is_kept_bit_for_bit_whatever_the_model_is_cast_to_and_saved_again(saved, tmp_path):
    folder, quantized = saved["llama"]
    model = from_pretrained(folder).to(torch.float16)
    with quiet_transformers():
        model.save_pretrained(tmp_path / "again")
    again = load_quantized(tmp_path / "again")
    assert equal(again, quantized)
    assert again.provenance.key == quantized.provenance.key
    work = model.get_submodule("model.layers.0.mlp.up_proj").work
    assert work.scales.dtype == torch.float32


def test_sparse_parts_row_tables_and_input_scales_come_back(tmp_path):
    profile = synthetic_profile()
    books = codebooks_of(profile, "all", "w4-shifted")
    plain = synthetic_layer("a", 24, 300, books, n_sparse=70, tile_in=32, tile_out=16)
    rng = np.random.default_rng(3)
    own = np.take_along_axis(np.sort(rng.integers(-127, 128, (24, 5)), 1), rng.integers(0, 5, (24, 300)), 1)
    own[plain.sparse_rows, plain.sparse_cols] = 0
    rows = replace(plain, codes=own.astype(np.int8), row_values=5, bias=np.ones(24, np.float32))
    scaled = replace(synthetic_layer("a", 24, 300, books), input_scales=np.linspace(1, 2, 300).astype(np.float16))
    for layer in (plain, rows, scaled):
        save_linear(tmp_path / "a", layer, books)
        again = load_linear(tmp_path / "a", "a")
        kept = [part for part in ARRAYS if part != "sparse_scales" or len(layer.sparse_values)]
        assert all(np.array_equal(getattr(again, part), getattr(layer, part)) for part in kept)
        assert (again.row_values, again.loss, again.fallback) == (layer.row_values, layer.loss, layer.fallback)
        assert np.array_equal(again.tiles.classes, layer.tiles.classes)


def test_without_registration_loading_fails_instead_of_giving_random_weights(saved):
    code = ("import sys, transformers\n"
            f"transformers.AutoModelForCausalLM.from_pretrained({str(saved['llama'][0])!r}, local_files_only=True)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Unknown quantization type, got halo" in done.stderr
    assert "ignore_mismatched_sizes" in done.stderr
    registered = subprocess.run([sys.executable, "-c", "import halo.hf\n" + code], capture_output=True, text=True,
                                check=False)
    assert registered.returncode == 0, registered.stderr


def test_importing_halo_starts_neither_torch_nor_transformers():
    code = "import halo, sys; sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def copy(saved, tmp_path):
    for path in saved["llama"][0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def shard_of(folder, name):
    return folder / json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"][name]


def test_a_missing_shard_is_named(copy):
    path = shard_of(copy, "model.layers.1.mlp.up_proj.weight")
    path.unlink()
    for read in (halo.load, load_quantized):
        with pytest.raises(ModelError, match=rf"1 of \d+ shards missing: {path.name}; copy or download them again"):
            read(copy)


def test_a_truncated_shard_is_named(copy):
    path = shard_of(copy, "model.layers.1.mlp.up_proj.weight")
    path.write_bytes(path.read_bytes()[:-100])
    for read in (halo.load, load_quantized):
        with pytest.raises(ModelError, match=rf"{path.name}: missing or damaged .*; copy or download it again"):
            read(copy)


def test_one_flipped_bit_is_found_and_its_layer_named(copy):
    path = shard_of(copy, "model.layers.1.mlp.up_proj.weight")
    data = bytearray(path.read_bytes())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    start = 8 + int.from_bytes(data[:8], "little") + header["model.layers.1.mlp.up_proj.weight"]["data_offsets"][0]
    data[start + 7] ^= 4
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"model.layers.1.mlp.up_proj: its stored weights are not those"):
        list(load_quantized(copy).layers)
    with pytest.raises(ModelError, match=r"model.layers.1.mlp.up_proj: its stored weights are not those"):
        halo.load(copy)


def test_a_checkpoint_of_another_shape_is_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    config["intermediate_size"] = 96
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"gate_proj: the model has no nn.Linear of shape 80 x 48 there"):
        halo.load(copy)


def test_effective_bits_are_those_that_are_stored(saved):
    """Indices, scales and sparse parts take what `effective_bits` says, but for padding and tables per layer."""
    folder, quantized = saved["llama"]
    weights = sum(layer.codes.size for layer in quantized.layers)
    facts = json.loads((folder / "config.json").read_text())["quantization_config"]["layers"]
    packed = sum(8 * np.prod(fact["stored"]["weight"][1:]) for fact in facts) / weights
    index = quantized.effective_bits().index
    assert index <= packed < index + 0.05
