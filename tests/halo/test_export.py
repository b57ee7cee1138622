import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import halo
from halo.activations import quantize_activations
from halo.checkpoint import save_quantized
from halo.errors import ModelError, OutputError
from halo.export import export, pack_nibbles, step_of
from halo.layers import dequantize
from halo.model import quiet_transformers
from tests.halo.synthetic import codebooks_of, synthetic_model, synthetic_profile
from tests.halo.test_cli import SHAPES
from tests.halo.tiny import save_model

IDS = torch.arange(24).view(2, 12)
FOLD = 16  # divides 48 and 80, the widths of the tiny model


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("export") / "model", "llama")


def saved(original, folder, grid, *, exact=False, fixed=False, **options):
    """A checkpoint of random values of one grid, scales different for every row and fold, powers of two if `exact`.

    `fixed`: one activation scale, which clips some inputs.
    """
    static = np.array([1 / 64], np.float32) if fixed else None
    made = synthetic_model(SHAPES, codebooks_of(synthetic_profile(), grid), fold=FOLD, tile_in=16, tile_out=16,
                           skipped={"lm_head": "kept", "model.embed_tokens": "kept"}, **options)
    rng = np.random.default_rng(5)

    def scaled(layer):
        power = rng.integers(-12, -8, layer.scales.shape) if exact else rng.uniform(-12, -8, layer.scales.shape)
        return replace(layer, scales=np.exp2(power).astype(np.float16), activation_scale=static)

    made = replace(made, layers=tuple(map(scaled, made.layers)))
    save_quantized(folder, original, made)
    return made


def load_exported(folder):
    pytest.importorskip("compressed_tensors")
    with quiet_transformers():
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()


def inputs_of(model, names):
    """What enters and leaves each module in a forward pass of `IDS`."""
    met = {}
    hooks = [model.get_submodule(name).register_forward_hook(
        lambda _, args, output, name=name: met.update({name: (args[0], output)})) for name in names]
    with torch.no_grad():
        model(input_ids=IDS)
    for hook in hooks:
        hook.remove()
    return met


@pytest.mark.filterwarnings("ignore")  # compressed-tensors', on its own code
@pytest.mark.parametrize(("grid", "bits", "options", "strategy"), [
    ("w4-shifted", 4, {"fixed": True}, "group"), ("w4-shifted", 4, {}, "group"), ("w3-low", 4, {}, "group"),
    ("all", 8, {}, "group"),
    ("all", 8, {"per_channel": True}, "channel"), ("w4-shifted", 4, {"per_channel": True}, "channel"),
])
def test_transformers_computes_what_we_compute_with_int8_activations(
    original, tmp_path, grid, bits, options, strategy
):
    made = saved(original, tmp_path / "ours", grid, exact=True, **options)
    done = export(tmp_path / "ours", tmp_path / "theirs")
    assert (done.bits, done.strategies) == (bits, {strategy: len(made.layers)})
    ours, theirs = halo.load(tmp_path / "ours"), load_exported(tmp_path / "theirs")
    met = inputs_of(ours, [layer.name for layer in made.layers])
    with torch.no_grad():
        theirs(input_ids=IDS)
        for name, (x, wanted) in met.items():
            # The same integers; only the order of float32 sums differs.
            assert torch.allclose(theirs.get_submodule(name)(x), wanted, rtol=0, atol=2e-6 * float(wanted.abs().max()))
    for layer in made.layers:
        linear = theirs.get_submodule(layer.name)
        assert np.array_equal(linear.weight.detach().numpy(), dequantize(layer, FOLD))
        # 127.5 / 32 at most: the token's scale is 1/32, all products and sums are exact, and so are the outputs.
        generator = torch.Generator().manual_seed(3)
        x = torch.rand(1, 9, layer.codes.shape[1], generator=generator) * 7.9 - 3.95
        x[..., 0] = 127.5 / 32
        with torch.no_grad():
            assert torch.equal(linear(x), ours.get_submodule(layer.name)(x))
            assert not torch.equal(linear(x), torch.nn.functional.linear(x, linear.weight))


@pytest.mark.filterwarnings("ignore")
def test_activations_become_the_same_integers_for_any_input():
    quantization = pytest.importorskip("compressed_tensors.quantization")
    forward = pytest.importorskip("compressed_tensors.quantization.lifecycle.forward")
    x = torch.randn(2, 50, 333, generator=torch.Generator().manual_seed(1))
    args = quantization.QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="token", dynamic=True)
    scale, zero = quantization.utils.compute_dynamic_scales_and_zp(value=x, args=args, module=torch.nn.Linear(1, 1))
    values, own = quantize_activations(x)
    assert torch.equal(own, scale)
    assert torch.equal(values * own, forward.fake_quantize(x, scale, zero, args))


def test_scales_are_kept_to_the_last_digit_in_float32(original, tmp_path):
    made = saved(original, tmp_path / "ours", "w4-shifted")
    export(tmp_path / "ours", tmp_path / "theirs")
    config = json.loads((tmp_path / "theirs" / "config.json").read_text())
    assert config["dtype"] == "float32"
    assert config["quantization_config"]["ignore"] == ["lm_head", "model.embed_tokens"]
    theirs = load_exported(tmp_path / "theirs")
    with torch.no_grad():
        theirs(input_ids=torch.arange(4)[None])
    for layer in made.layers:
        assert np.array_equal(theirs.get_submodule(layer.name).weight.detach().numpy(), dequantize(layer, FOLD))


def test_what_cannot_be_exact_is_refused_and_the_way_out_named(original, tmp_path):
    saved(original, tmp_path / "sparse", "w4-shifted", n_sparse=3)
    with pytest.raises(ModelError, match=r"q_proj has a sparse part of 3 weights; .* and 11 more; quantize again with "
                                         r"--export-friendly"):
        export(tmp_path / "sparse", tmp_path / "out")
    made = synthetic_model(SHAPES, codebooks_of(synthetic_profile(), "all"), fold=32, tile_in=16, tile_out=16)
    save_quantized(tmp_path / "edge", original, made)
    with pytest.raises(ModelError, match=r"q_proj has 48 inputs, which folds of 32 do not divide.*; quantize again "
                                         r"with --export-friendly channel, or with a tiles.array_rows that divides"):
        export(tmp_path / "edge", tmp_path / "out")
    scaled = replace(made, layers=tuple(
        replace(layer, input_scales=np.ones(layer.codes.shape[1], np.float16)) for layer in made.layers))
    save_quantized(tmp_path / "scaled", original, scaled)
    with pytest.raises(ModelError, match=r"has input scales.*; take another method, such as"):
        export(tmp_path / "scaled", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ModelError, match=r"--format 'gguf'; use one of compressed-tensors"):
        export(tmp_path / "edge", tmp_path / "out", "gguf")
    with pytest.raises(OutputError, match="exists already"):
        export(tmp_path / "edge", tmp_path / "sparse")


def test_int4_is_taken_where_one_step_spans_all_values():
    assert step_of(np.array([-128, 0, 112])) == 16
    assert step_of(np.array([-64, 0, 63])) == 0
    assert step_of(np.array([-9, 0, 21])) == 3
    assert step_of(np.zeros(3, int)) == 1
    packed = pack_nibbles(np.array([[-8, 7, 0, 1, 2, 3, 4, 5, -1]], np.int8))
    assert packed.view(np.uint32).tolist() == [[0xDCBA98F0, 0x00000007]]
