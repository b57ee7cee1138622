import json
import resource

import pytest
import torch
from safetensors.torch import load_file, save_file

import halo
from halo.checkpoint import load_quantized, save_quantized, total_bytes
from halo.errors import ModelError, OutputError
from halo.runtime import int8_parts, swapped
from tests.halo.test_quantize import equal, run


@pytest.fixture(scope="module")
def saved(cases, tmp_path_factory):
    made = {}
    for kind, case in cases.items():
        folder = tmp_path_factory.mktemp(kind)
        quantized = run(case, folder / "work")
        save_quantized(folder / "out", case.loaded.folder, quantized)
        made[kind] = (folder / "out", quantized)
    return made


@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_a_loaded_model_gives_the_same_outputs_bit_for_bit(cases, saved, kind):
    folder, quantized = saved[kind]
    case, ids = cases[kind], torch.tensor(cases[kind].tokens.ids[:4])
    with torch.no_grad():
        with swapped(case.loaded.model, int8_parts(case.loaded.model, quantized)):
            wanted = case.loaded.model(input_ids=ids).logits
        assert torch.equal(halo.load(folder)(input_ids=ids).logits, wanted)
        assert not torch.equal(case.loaded.model(input_ids=ids).logits, wanted)


@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_a_loaded_quantized_model_equals_the_saved_one(saved, kind):
    folder, quantized = saved[kind]
    again = load_quantized(folder)
    assert equal(again, quantized)
    assert again.codebooks == quantized.codebooks
    assert again.provenance.key == quantized.provenance.key
    assert again.effective_bits() == quantized.effective_bits()
    assert [layer.loss for layer in again.layers] == [layer.loss for layer in quantized.layers]


def test_the_folder_has_a_config_that_names_the_method(saved):
    folder, quantized = saved["llama"]
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "llama"
    assert config["quantization_config"]["quant_method"] == "halo"
    assert config["quantization_config"]["effective_bits"]["total"] == quantized.effective_bits().total
    assert (folder / "tokenizer.json").is_file()


def test_quantized_weights_are_stored_once_and_packed(cases, saved):
    folder, quantized = saved["llama"]
    stored = {key: value for path in folder.glob("*.safetensors") for key, value in load_file(path).items()}
    for layer in quantized.layers:
        packed = stored[f"{layer.name}.weight"]
        assert (packed.dtype, packed.ndim) == (torch.uint8, 1)
        assert 3 / 8 <= packed.numel() / layer.codes.size < 5.1 / 8
    assert stored["model.embed_tokens.weight"].dtype == torch.bfloat16
    assert total_bytes(folder) > 0


def test_loading_leaves_the_random_state_alone(saved):
    torch.manual_seed(1)
    halo.load(saved["llama"][0])
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))


def test_an_existing_folder_is_refused_and_left_as_it_was(cases, saved, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"exists already; choose another folder or remove it first"):
        save_quantized(tmp_path, cases["llama"].loaded.folder, saved["llama"][1])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_save_leaves_nothing(cases, saved, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("halo.checkpoint.write_text", fail)
    with pytest.raises(OSError, match="no space"):
        save_quantized(tmp_path / "out", cases["llama"].loaded.folder, saved["llama"][1])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_no_quantized_model_says_so(cases, tmp_path):
    with pytest.raises(ModelError, match=r"not a quantized model .*make one with `halo quantize`"):
        load_quantized(tmp_path)
    with pytest.raises(ModelError, match="not a quantized model"):
        load_quantized(cases["llama"].loaded.folder)


@pytest.fixture
def copy(saved, tmp_path):
    for path in saved["llama"][0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_another_schema_is_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    config["quantization_config"]["schema"] = 99
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"quantization 'halo', schema 99; this program reads schema 4"):
        load_quantized(copy)


def test_a_folder_copied_in_part_is_refused(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(ModelError, match=r"weights missing: \['model.norm.weight'\].*copied in part"):
        halo.load(copy)


def test_a_full_disk_is_one_line_and_leaves_nothing(cases, saved, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"out: cannot be written \(File too large\); nothing was left there"):
            save_quantized(tmp_path / "out", cases["llama"].loaded.folder, saved["llama"][1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
