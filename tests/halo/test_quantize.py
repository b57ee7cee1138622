import errno
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from halo.activations import fixed_scale, quantize_activations
from halo.assignment import choose_classes
from halo.checkpoint import load_quantized, read_quantization, save_quantized
from halo.codebook import Codebook, grid_codebook
from halo.errors import ConfigError
from halo.hf import load
from halo.layers import dequantize
from halo.methods import awq, halo, rtn
from halo.model import list_linears
from halo.operating_point import PointConfig
from halo.quantize import Job, QuantizeConfig, quantize
from halo.runtime import int8_parts, swapped
from halo.tile_losses import measure_tile_losses
from halo.tiles import TileConfig, uniform_map
from halo.tokens import no_windows
from tests.halo.synthetic import ARRAYS, synthetic_profile

FAST = Codebook("fast", (-64, -32, 0, 32, 64), 1000.0)
SLOW = Codebook("slow", tuple(range(-96, 97, 12)), 1500.0)
TILES = TileConfig(16, 16, 32, 32)
CONFIG = QuantizeConfig(windows=6, batch=2, fold=32)


def run(case, work, config=CONFIG, **options):
    maps = choose_classes(measure_tile_losses(case.loaded.model, case.sensitivity, (FAST, SLOW), TILES), "bal").maps
    made = options.pop("method_config", halo.Config())
    job = Job((FAST, SLOW), maps, "halo", made, config, options.pop("prices", None))
    return quantize(case.loaded.model, case.tokens, case.sensitivity, job, work, "halo-bal", **options)


def equal(a, b):
    """Whether all arrays are equal; None equals None."""
    return all(np.array_equal(getattr(x, part), getattr(y, part))
               for x, y in zip(a.layers, b.layers, strict=True) for part in ARRAYS)


def test_each_layer_takes_codes_of_its_own_table_and_loads_back(cases, tmp_path):
    case = cases["llama"]
    names = list(list_linears(case.loaded.model).linears)
    own = {name: (SLOW.codes[::2], SLOW.codes[2::3])[at % 2] for at, name in enumerate(names)}
    book = Codebook("own", tuple(sorted({code for codes in own.values() for code in codes})), 1500.0, own)
    maps = {name: uniform_map(name, linear.out_features, linear.in_features, TILES)
            for name, linear in list_linears(case.loaded.model).linears.items()}
    job = Job((book,), maps, "halo", halo.Config(), CONFIG)
    made = quantize(case.loaded.model, case.tokens, case.sensitivity, job, tmp_path / "work")
    for layer in made.layers:
        assert set(np.unique(layer.codes)) <= set(own[layer.name])
    save_quantized(tmp_path / "out", case.loaded.folder, made)
    again = load_quantized(tmp_path / "out")
    assert again.codebooks == (book,)
    assert equal(again, made)
    assert [again.layers.shards.array(f"{name}.tables").tolist() for name in names[:2]] == [
        [list(own[name])] for name in names[:2]]


@pytest.fixture(scope="module")
def quantized(cases, tmp_path_factory):
    return {kind: run(case, tmp_path_factory.mktemp(kind)) for kind, case in cases.items()}


@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_every_linear_is_quantized_with_codes_of_its_tiles(cases, quantized, kind):
    model = quantized[kind]
    assert [layer.name for layer in model.layers] == list(list_linears(cases[kind].loaded.model).linears)
    for layer in model.layers:
        classes = layer.tiles.of_weights(*layer.codes.shape)
        for position, book in enumerate(model.codebooks):
            assert set(layer.codes[classes == position].tolist()) <= set(book.codes)
        assert 0 < layer.loss < 0.2
    assert (model.layers[0].bias is None) == (kind == "llama")
    assert "lm_head" in model.skipped


def test_the_model_is_left_as_it_was(cases, quantized):
    model = cases["llama"].loaded.model
    assert all(type(linear) is torch.nn.Linear for linear in list_linears(model).linears.values())
    hooks = [hook for module in model.modules()
             for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values())]
    assert {hook.__module__ for hook in hooks} == {"halo.streaming"}
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


def test_a_killed_run_resumes_where_it_was_and_ends_with_the_same_bytes(cases, quantized, tmp_path):
    def die(done, _):
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cases["llama"], tmp_path / "work", progress=die)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.safetensors")}
    assert len(files) == 9
    # What a kill in the middle of a write leaves behind.
    torn = next(iter(files)).with_name(".model.layers.1.mlp.up_proj.safetensors.x.partial")
    torn.write_bytes(b"half")
    resumed = run(cases["llama"], tmp_path / "work")
    assert equal(resumed, quantized["llama"])
    assert all(path.stat().st_mtime_ns == when for path, when in files.items())
    for name, made in (("resumed", resumed), ("straight", quantized["llama"])):
        save_quantized(tmp_path / name, cases["llama"].loaded.folder, made)
    for path in (tmp_path / "straight").iterdir():
        assert (tmp_path / "resumed" / path.name).read_bytes() == path.read_bytes()


def test_one_quantized_layer_at_a_time_is_read_back(cases, quantized):
    layers = quantized["llama"].layers
    assert layers[0] is not layers[0]
    assert [layer.name for layer in layers[3:5]] == [layers[3].name, layers[4].name]
    assert layers[-1].name == "model.layers.1.mlp.down_proj"


def test_a_full_disk_keeps_finished_layers(cases, quantized, tmp_path):
    """A limit on file size stands for a disk that fills up in the middle of the largest layer."""
    sizes = sorted(path.stat().st_size for path in quantized["llama"].layers.folder.glob("*.safetensors"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[len(sizes) // 2], before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            run(cases["llama"], tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert list(tmp_path.glob("quantize-*")) == [Path(caught.value.filename)]
    assert 0 < len(list(tmp_path.rglob("*.safetensors"))) < 14
    assert not list(tmp_path.rglob("*.partial"))
    assert equal(run(cases["llama"], tmp_path), quantized["llama"])


def test_progress_counts_layers(cases, tmp_path):
    ticks = []
    run(cases["llama"], tmp_path, progress=lambda done, total: ticks.append((done, total)))
    assert ticks == [(i + 1, 14) for i in range(14)]


def test_other_options_are_another_result(cases, quantized, tmp_path):
    case = cases["llama"]
    other = run(case, tmp_path, method_config=halo.Config(sweeps=0))
    assert other.provenance.key != quantized["llama"].provenance.key


def test_priced_energy_makes_cheap_values_more_frequent(cases, quantized, tmp_path):
    """With only 0 free of charge, more weights become 0 the higher the price, at more error."""
    n_weights = sum(layer.codes.size for layer in quantized["llama"].layers)
    prices = 0.2 * (np.arange(-128, 128) != 0) / n_weights
    priced = run(cases["llama"], tmp_path, prices=prices)
    assert priced.provenance.key != quantized["llama"].provenance.key
    zeros, losses = ([sum(part(layer) for layer in model.layers) for model in (quantized["llama"], priced)]
                     for part in (lambda layer: int((layer.codes == 0).sum()), lambda layer: layer.loss))
    assert zeros[1] > 1.2 * zeros[0]
    assert losses[1] > losses[0]


def entering(case, name, quantized):
    """What enters the linear `name` behind `quantized` layers, `[tokens, in]`."""
    seen = []
    with swapped(case.loaded.model, int8_parts(case.loaded.model, quantized)), torch.no_grad():
        linear = case.loaded.model.get_submodule(name)
        handle = linear.register_forward_hook(lambda _, args, __: seen.append(args[0]))
        case.loaded.model(input_ids=torch.tensor(case.tokens.ids[:6]))
        handle.remove()
    return seen[0].flatten(0, -2)


def test_layers_are_calibrated_on_the_inputs_that_quantized_layers_make(cases, quantized, tmp_path):
    """The last layer's reported loss is its error on inputs of the quantized model, not of the original."""
    case, model = cases["llama"], quantized["llama"]
    last = model.layers[-1]
    x = entering(case, last.name, replace(model, layers=model.layers[:-1])).double()
    weight = case.loaded.model.get_submodule(last.name).weight.detach().double()
    error = weight - torch.from_numpy(dequantize(last, 32)).double()
    loss = float(((x @ error.T) ** 2).sum() / ((x @ weight.T) ** 2).sum())
    assert last.loss == pytest.approx(loss, rel=0.02)


def test_only_methods_that_propagate_are_told_what_the_original_layers_would_have_seen(cases, tmp_path, monkeypatch):
    """W (y - x) x^T of the original's inputs y and those behind quantized layers, x, in int8."""
    told, quantize_layer, case = {}, halo.quantize_layer, cases["llama"]

    def note(task, config):
        told[task.name] = None if task.drift is None else task.drift.clone()
        return quantize_layer(task, config)

    monkeypatch.setattr(halo, "quantize_layer", note)
    with_drift = run(case, tmp_path / "a")
    last = with_drift.layers[-1].name
    values, scales = quantize_activations(entering(case, last, replace(with_drift, layers=with_drift.layers[:-1])))
    y, x = entering(case, last, replace(with_drift, layers=())), values * scales
    wanted = case.loaded.model.get_submodule(last).weight.detach().float() @ (y - x).T @ x
    assert (told[last] - wanted).norm() < 1e-3 * wanted.norm()
    assert all(drift is not None for drift in told.values())
    without = run(case, tmp_path / "b", method_config=halo.Config(propagate=False))
    assert all(drift is None for drift in told.values())
    assert not equal(with_drift, without)


def test_a_grid_for_all_tiles_needs_no_search(cases, tmp_path):
    case, book = cases["opt"], grid_codebook("w4-shifted", synthetic_profile(), PointConfig())
    maps = {name: uniform_map(name, *linear.weight.shape, TILES)
            for name, linear in list_linears(case.loaded.model).linears.items()}
    job = Job((book,), maps, "rtn", rtn.Config(), CONFIG)
    model = quantize(case.loaded.model, case.tokens, case.sensitivity, job, tmp_path)
    assert model.method == "rtn"
    assert all((layer.codes % 16 == 0).all() for layer in model.layers)


def test_a_layer_without_a_tile_map_is_named(cases, tmp_path):
    case = cases["llama"]
    with pytest.raises(ConfigError, match=r"no tile map for model.layers.0.self_attn.q_proj, .*; were the tiles"):
        quantize(case.loaded.model, case.tokens, case.sensitivity, Job((FAST,), {}, "rtn", rtn.Config(), CONFIG),
                 tmp_path)


def test_static_scales_are_one_for_all_tokens_and_fixed_on_what_quantized_layers_give(cases, tmp_path):
    case = cases["llama"]
    made = run(case, tmp_path / "work", replace(CONFIG, static_activations=True))
    scales = {layer.name.partition("layers.")[2]: layer.activation_scale for layer in made.layers}
    assert all(scale.shape == (1,) and scale.dtype == np.float32 and scale > 0 for scale in scales.values())
    assert len({scales[f"0.self_attn.{part}_proj"].item() for part in "qkv"}) == 1
    assert len({scale.item() for scale in scales.values()}) == 8  # four inputs to each of two blocks
    last = entering(case, made.layers[-1].name, replace(made, layers=made.layers[:-1]))
    assert made.layers[-1].activation_scale == pytest.approx(float(fixed_scale([last])), rel=1e-4)
    parts = int8_parts(case.loaded.model, made)
    x = 3 * torch.randn(5, 48, generator=torch.Generator().manual_seed(1))
    name = "model.layers.0.self_attn.q_proj"
    values, scale = parts[name].integers(x)
    assert torch.equal(values, torch.round(x / float(scale)).clamp(-128, 127))
    save_quantized(tmp_path / "folder", case.loaded.folder, made)
    again = load_quantized(tmp_path / "folder")
    assert equal(again, made)
    assert read_quantization(tmp_path / "folder")["activations"]["strategy"] == "tensor"
    with swapped(case.loaded.model, parts), torch.no_grad():
        ids = torch.arange(40).view(2, 20)
        assert torch.equal(case.loaded.model(input_ids=ids).logits, load(tmp_path / "folder")(input_ids=ids).logits)
    with pytest.raises(ConfigError, match="static_activations needs a calibration text"):
        quantize(case.loaded.model, no_windows(), case.sensitivity,
                 Job((FAST, SLOW), {}, "halo", halo.Config(), replace(CONFIG, static_activations=True)), tmp_path)


def test_methods_that_see_no_inputs_get_static_scales_too_and_those_that_scale_inputs_none(cases, tmp_path):
    case, static = cases["opt"], replace(CONFIG, static_activations=True)
    maps = {name: uniform_map(name, linear.out_features, linear.in_features, TILES)
            for name, linear in list_linears(case.loaded.model).linears.items()}
    book = grid_codebook("w4-shifted", synthetic_profile(), PointConfig())
    asked = (case.loaded.model, case.tokens, case.sensitivity)
    made = quantize(*asked, Job((book,), maps, "rtn", rtn.Config(), static), tmp_path)
    assert all(layer.activation_scale is not None for layer in made.layers)
    with pytest.raises(ConfigError, match=r"_proj: its method scales inputs, .* leave quantize.static_activations out"):
        quantize(*asked, Job((book,), maps, "awq", awq.Config(), static), tmp_path)


@pytest.mark.parametrize("options", [{"windows": -1}, {"batch": 0}, {"fold": 0}])
def test_counts_that_are_none_are_refused(options):
    with pytest.raises(ConfigError, match=r"quantize: windows = .* must not be negative, batch = "):
        QuantizeConfig(**options)
