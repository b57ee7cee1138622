from dataclasses import replace

import numpy as np
import pytest
import torch

from halo import tuning
from halo.codebook import Codebook
from halo.errors import ConfigError, ModelError, NumericsError
from halo.layers import dequantize
from halo.methods import awq, rtn
from halo.methods import halo as ours
from halo.model import list_linears
from halo.quantize import Job, QuantizeConfig, quantize
from halo.runtime import Int8Linear, int8_parts
from halo.tiles import TileConfig, uniform_map
from halo.tokens import WindowConfig, cut_windows
from halo.tuning import Tuned, TuningConfig, adam, check_tunable, divergence, tune_layers, tuned
from tests.halo.synthetic import ARRAYS, synthetic_layer
from tests.halo.tiny import text_of

COARSE, FINE = Codebook("coarse", (-64, 0, 64), 1000.0), Codebook("fine", tuple(range(-96, 97, 32)), 1500.0)
ALL = Codebook("all", tuple(range(-128, 128)), 2000.0)
TILES = TileConfig(16, 16, 32, 32)
CONFIG = TuningConfig(epochs=4, held=20, batch=4)


def made(case, work, method, config, books=(COARSE, FINE), **options):
    """A model whose tiles use two coarse codebooks in turn."""
    linears = list_linears(case.loaded.model).linears
    maps = {name: uniform_map(name, linear.out_features, linear.in_features, TILES) for name, linear in linears.items()}
    if len(books) > 1:
        maps = {name: replace(tile, classes=(np.indices(tile.classes.shape).sum(0) % 2).astype(np.int8))
                for name, tile in maps.items()}
    job = Job(books, maps, method, config, QuantizeConfig(windows=6, batch=2, fold=32, **options))
    return quantize(case.loaded.model, case.tokens, case.sensitivity, job, work)


@pytest.fixture(scope="module")
def windows(cases):
    """Of a longer text: few windows are learnt by heart."""
    return cut_windows(cases["llama"].loaded.tokenizer, text_of(20000, seed=3), WindowConfig(32, 100))


@pytest.fixture(scope="module")
def given(cases, tmp_path_factory):
    return made(cases["llama"], tmp_path_factory.mktemp("given"), "halo", ours.Config(sweeps=0, refit=False))


@pytest.fixture(scope="module")
def after(cases, given, windows, tmp_path_factory):
    case = cases["llama"]
    return tuned(case.loaded.model, given, windows, CONFIG, None, tmp_path_factory.mktemp("tuned"))


def test_a_tuned_model_predicts_better_on_windows_kept_back_and_keeps_to_its_codebooks(cases, given, after, windows):
    """By the integer runtime, not by what was tuned with."""
    model = cases["llama"].loaded.model
    order = torch.randperm(len(windows.ids), generator=torch.Generator().manual_seed(CONFIG.seed))
    ids = torch.tensor(windows.ids)[order[: CONFIG.held]]
    with torch.no_grad():
        kept, was = (float(divergence(model, int8_parts(model, which), ids)) for which in (after, given))
    assert kept < 0.85 * was
    for layer, before in zip(after.layers, given.layers, strict=True):
        classes = layer.tiles.of_weights(*layer.codes.shape)
        for position, book in enumerate(after.codebooks):
            assert set(layer.codes[classes == position].tolist()) <= set(book.codes)
        assert not layer.codes[layer.sparse_rows, layer.sparse_cols].any()
        assert layer.scales.dtype == np.float16
        assert not layer.fallback
        same = set(ARRAYS) - {"codes", "scales"}
        assert all(np.array_equal(getattr(layer, part), getattr(before, part)) for part in same)
    assert sum(int((a.codes != b.codes).sum()) for a, b in zip(after.layers, given.layers, strict=True)) > 100
    assert after.provenance.inputs["quantized"] == given.provenance.key
    assert after.provenance.config["calibration"] == "on 6 windows of 32 tokens, tuned on 80"
    assert all(weight.grad is None for weight in model.parameters())


def test_a_finished_result_is_taken_from_its_folder_or_made_the_same_again(
    cases, given, after, windows, tmp_path, monkeypatch
):
    case = cases["llama"]
    again = tuned(case.loaded.model, given, windows, CONFIG, None, tmp_path)
    monkeypatch.setattr(tuning, "tune_layers", lambda *_: pytest.fail("made twice"))
    taken = tuned(case.loaded.model, given, windows, CONFIG, None, tmp_path)
    for one in (again, taken):
        assert one.provenance.key == after.provenance.key
        assert all(np.array_equal(getattr(x, part), getattr(y, part))
                   for x, y in zip(one.layers, after.layers, strict=True) for part in ARRAYS)


def test_dear_energy_moves_codes_to_cheap_values(cases, given):
    case, weights = cases["llama"], sum(layer.codes.size for layer in given.layers)
    prices = 40.0 * np.abs(np.arange(-128, 128)) / 128 / weights
    model = case.loaded.model
    spent = []
    for paid in (np.zeros(256), prices):
        parts = {layer.name: Tuned(layer, given.codebooks, 32, paid) for layer in given.layers}
        for count in range(1, 21):
            found = divergence(model, parts, torch.tensor(case.tokens.ids[:2]))
            for part, slope in zip(parts.values(), torch.autograd.grad(found, [p.weight for p in parts.values()]),
                                   strict=True):
                part.step(slope, 0.05, 0.0, count)
        spent.append(sum(float(prices[part.codes().long().numpy() + 128].sum()) for part in parts.values()))
    assert spent[1] < 0.95 * spent[0]


def test_what_does_not_help_is_left_out_and_said(cases, given, windows, tmp_path):
    case = cases["llama"]
    kept = tuned(case.loaded.model, given, windows, replace(CONFIG, epochs=1, code_rate=40.0), None, tmp_path)
    for layer, before in zip(kept.layers, given.layers, strict=True):
        assert np.array_equal(layer.codes, before.codes)
        assert layer.fallback == "tuning did not help on the windows kept back: not tuned"


@pytest.mark.parametrize(("kind", "method", "config", "books", "options"), [
    ("llama", "halo", ours.Config(), (COARSE, FINE), {}),
    ("opt", "awq", awq.Config(), (FINE,), {}),
    ("opt", "rtn", rtn.Config(), (ALL,), {"static_activations": True}),
    ("llama", "halo", ours.Config(), (FINE,), {"channel_scales": True}),
])
def test_what_is_tuned_computes_what_the_integer_runtime_does(cases, tmp_path, kind, method, config, books, options):
    given = made(cases[kind], tmp_path, method, config, books, **options)
    for layer in given.layers:
        x = torch.from_numpy(np.random.default_rng(5).normal(size=(7, layer.codes.shape[1])).astype(np.float32))
        part = Tuned(layer, given.codebooks, 32, None)
        part.settle()
        assert torch.allclose(part(x), Int8Linear(layer, 32)(x), rtol=1e-4, atol=1e-4)
        assert np.array_equal(part.result().codes, layer.codes)
        assert np.array_equal(part.result().scales, layer.scales)


def test_the_sparse_part_stays_where_it_is_and_what_settles_is_what_is_stored():
    layer = synthetic_layer("a", 24, 300, (COARSE, FINE), n_sparse=40)
    part, at = Tuned(layer, (COARSE, FINE), 128, None), (layer.sparse_rows, layer.sparse_cols)
    before = part.weight.detach().numpy().copy()
    part.step(torch.ones(layer.codes.shape), 3.0, 0.0, 1)
    after = part.result()
    assert (after.codes != layer.codes).mean() > 0.5
    assert not after.codes[at].any()
    assert np.array_equal(part.weight.detach().numpy()[at], before[at])
    part.step(torch.ones(layer.codes.shape), 0.0, 0.01, 2)
    part.settle()
    assert np.allclose(part.weight.detach().numpy(), dequantize(part.result(), 128), rtol=1e-5, atol=1e-6)


def test_windows_that_are_kept_back_are_not_tuned_on_and_steps_grow_small(cases, given, windows, monkeypatch):
    held, used, rates = set(), set(), []

    def note(model, parts, ids):
        (used if torch.is_grad_enabled() else held).update(map(tuple, ids.tolist()))
        return sum(part.weight.sum() for part in parts.values())

    monkeypatch.setattr(tuning, "divergence", note)
    monkeypatch.setattr(Tuned, "step", lambda _, __, code_rate, scale_rate, ___: rates.append((code_rate, scale_rate)))
    tune_layers(cases["llama"].loaded.model, given, windows, replace(CONFIG, epochs=1), None, None)
    assert (len(held), len(used)) == (20, 80)
    assert held | used == set(map(tuple, windows.ids.tolist()))
    assert rates[0] == (CONFIG.code_rate, CONFIG.scale_rate)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1][0] < 0.02 * CONFIG.code_rate


def test_a_first_step_of_adam_goes_by_the_sign():
    slope = torch.tensor([2.0, -0.001, 0.0])
    assert torch.allclose(adam(slope, torch.zeros(3), torch.zeros(3), 1), torch.tensor([1.0, -1.0, 0.0]))


def test_too_few_windows_are_refused(cases, given, tmp_path):
    case = cases["llama"]
    with pytest.raises(ConfigError, match=r"more than the 12 calibration windows there are: 9 are kept back"):
        tuned(case.loaded.model, given, case.tokens, replace(CONFIG, held=9), None, tmp_path)


@pytest.mark.parametrize("options", [{"code_rate": -0.1}, {"scale_rate": float("nan")}, {"epochs": -1}, {"held": 0}])
def test_what_is_out_of_range_is_refused(options):
    with pytest.raises(ConfigError, match="tuning: epochs and rates must not be negative"):
        TuningConfig(**options)


def test_methods_that_are_not_known_or_not_made_are_refused():
    with pytest.raises(ConfigError, match="no plugin 'hallo' in"):
        TuningConfig(methods=("hallo",))
    with pytest.raises(ConfigError, match=r"methods names halo, models are made by gptq, rtn: none would be tuned"):
        check_tunable(CONFIG, ("rtn", "gptq"), 100)
    check_tunable(CONFIG, ("rtn", "halo"), 100)
    check_tunable(TuningConfig(), ("rtn",), 0)


def test_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(tuning, "choose_device", lambda: torch.device("cuda"))
    with pytest.raises(ConfigError, match="tuning runs on the CPU"):
        check_tunable(CONFIG, ("halo",), 100)


def test_a_model_without_predictions_is_refused():
    class Blind(torch.nn.Module):
        def forward(self, input_ids, **_):
            return input_ids

    with pytest.raises(ModelError, match="Blind has no logits, which tuning compares"):
        divergence(Blind(), {}, torch.zeros(1, 3, dtype=torch.int64))


def test_a_prediction_that_is_no_number_is_refused(cases):
    class Broken(torch.nn.Module):
        def forward(self, input_ids, **_):
            return type("Found", (), {"logits": torch.full((1, 3, 5), torch.nan)})

    with pytest.raises(NumericsError, match="tuning: a prediction is NaN or infinite"):
        divergence(Broken(), {}, torch.zeros(1, 3, dtype=torch.int64))
