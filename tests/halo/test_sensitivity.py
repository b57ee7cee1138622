import numpy as np
import pytest
import torch

from halo.errors import ConfigError, NumericsError
from halo.model import list_linears
from halo.sensitivity import GradientLog, SensitivityConfig, hooked, measure_sensitivity, run, summed_loss
from tests.halo.conftest import whole_model
from tests.halo.tiny import make_model

CONFIG = SensitivityConfig(windows=12, fisher_windows=6, batch=3)


def inputs_of(model, ids):
    seen = {}

    def make(name):
        def keep(_, args, __):
            seen[name] = args[0].detach().flatten(0, -2).double().numpy()
        return keep

    with torch.no_grad(), hooked(list_linears(model).linears, make):
        run(model, ids)
    return seen


def test_the_hessian_is_the_sum_of_outer_products_of_inputs(case):
    for name, x in inputs_of(case.loaded.model, torch.tensor(case.tokens.ids)).items():
        hessian = case.sensitivity.layers[name].read("hessian")
        assert np.allclose(hessian, x.T @ x, rtol=1e-4, atol=1e-4 * (x**2).sum(0).max())


def test_absolute_gradients_are_those_of_the_weights_window_by_window(case):
    model = whole_model(case.loaded.folder)
    wanted = dict.fromkeys(list_linears(model).linears, 0.0)
    for window in torch.tensor(case.tokens.ids[:6]):
        model.zero_grad()
        summed_loss(run(model, window[None]), window[None]).backward()
        for name, linear in list_linears(model).linears.items():
            wanted[name] = wanted[name] + linear.weight.grad.abs().double().numpy()
    model.zero_grad()
    for name, value in wanted.items():
        assert np.allclose(case.sensitivity.layers[name].read("absgrad"), value, rtol=1e-3, atol=1e-4 * value.max())


def test_fisher_bounds_the_mean_gradient_from_above(case):
    tokens = case.sensitivity.n_fisher_tokens
    for layer in case.sensitivity.layers.values():
        absgrad, fisher = layer.read("absgrad"), layer.read("fisher")
        assert (absgrad**2 <= tokens**2 * fisher * (1 + 1e-3) + 1e-12).all()
        assert layer.read("output").shape == (fisher.shape[0],)


def test_every_call_of_a_linear_counts_however_few_tokens_it_was_given(tmp_path):
    """An expert sees some of a window's tokens, and a shared linear is called again."""
    linear, log = torch.nn.Linear(5, 3), GradientLog(tmp_path / "log")
    calls = [(torch.randn(tokens, 5), torch.randn(tokens, 3)) for tokens in (4, 0, 7)]
    for x, gradient in calls:
        log.write("shared", x, gradient)
    found = log.moments("shared", linear, torch.device("cpu")).means(10)
    x, gradient = (torch.cat(part).double().numpy() for part in zip(*calls, strict=True))
    assert np.allclose(found["fisher"], (gradient**2).T @ x**2 / 10, rtol=1e-5)
    assert np.allclose(found["guided"], (x * (gradient**2).mean(1, keepdims=True)).T @ x / 10, rtol=1e-5, atol=1e-6)
    assert np.allclose(found["absgrad"], sum((g.T @ x).abs().numpy() for x, g in calls), rtol=1e-5)
    assert np.allclose(found["output"], (gradient**2).mean(0) * len(x) / 10, rtol=1e-5)
    assert not list((tmp_path / "log" / "shared").iterdir())


def test_moments_do_not_depend_on_the_batch(cases, tmp_path):
    case = cases["llama"]
    config = SensitivityConfig(windows=12, fisher_windows=6, batch=5)
    other = measure_sensitivity(case.loaded.model, case.tokens, config, tmp_path)
    for name, layer in case.sensitivity.layers.items():
        for moment in ("hessian", "guided", "fisher", "absgrad", "output"):
            a, b = layer.read(moment), other.layers[name].read(moment)
            assert np.allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(a).max()), (name, moment)


def test_a_second_run_reads_what_the_first_wrote(cases, tmp_path):
    case = cases["llama"]
    ticks = []
    arguments = (case.loaded.model, case.tokens, CONFIG, tmp_path)
    first = measure_sensitivity(*arguments, progress=lambda i, n: ticks.append((i, n)))
    assert ticks == [(1, 4), (2, 4), (3, 4), (4, 4)]
    second = measure_sensitivity(*arguments, progress=lambda *_: pytest.fail("ran"))
    assert first.digest == second.digest


@pytest.mark.parametrize("last", [1, 3])
def test_a_killed_run_goes_on_after_its_last_block_and_ends_with_the_same_bytes(cases, tmp_path, last):
    case = cases["llama"]

    def die(done, _):
        if done == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_sensitivity(case.loaded.model, case.tokens, CONFIG, tmp_path, progress=die)
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("model.layers.*.safetensors")}
    assert len(done) == (0 if last == 1 else 7)
    (log,) = (path.with_name("gradients-0") / "model.layers.0.mlp.up_proj" for path in tmp_path.rglob("inputs-0"))
    log.mkdir(parents=True)
    (log / "0").write_text("of a run that was killed in the middle of a block")
    resumed = measure_sensitivity(case.loaded.model, case.tokens, CONFIG, tmp_path)
    for name, layer in resumed.layers.items():
        assert layer.path.read_bytes() == case.sensitivity.layers[name].path.read_bytes()
        assert done.get(layer.path.name, layer.path.stat().st_mtime_ns) == layer.path.stat().st_mtime_ns
    assert len(list(resumed.layers[name].path.parent.iterdir())) == 14 + 1


def test_the_model_is_left_as_it_was(cases, tmp_path):
    model = make_model("llama")
    model.lm_head.weight.requires_grad_(False)
    measure_sensitivity(model, cases["llama"].tokens, CONFIG, tmp_path)
    assert [name for name, value in model.named_parameters() if not value.requires_grad] == ["lm_head.weight"]
    assert all(value.grad is None for value in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_nan_in_gradients_names_the_module(cases, tmp_path):
    model = make_model("llama")
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("inf")
    with pytest.raises(NumericsError, match=r"model.layers.1.self_attn.q_proj: NaN or infinity in its gradients"):
        measure_sensitivity(model, cases["llama"].tokens, CONFIG, tmp_path)


def test_nan_in_inputs_names_the_module(cases, tmp_path):
    model = make_model("llama")
    with torch.no_grad():
        model.model.layers[1].input_layernorm.weight[0] = float("nan")
    with pytest.raises(NumericsError, match=r"NaN or infinity in its (inputs|gradients) on the calibration text"):
        measure_sensitivity(model, cases["llama"].tokens, CONFIG, tmp_path)


def test_another_model_is_not_taken_for_the_first(cases, tmp_path):
    tokens, model = cases["llama"].tokens, make_model("llama")
    first = measure_sensitivity(model, tokens, CONFIG, tmp_path)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1.0
    assert measure_sensitivity(model, tokens, CONFIG, tmp_path).digest != first.digest


def test_an_impossible_config_is_refused(cases, tmp_path):
    case = cases["llama"]
    with pytest.raises(ConfigError, match="batch and fisher_windows must be positive"):
        measure_sensitivity(case.loaded.model, case.tokens, SensitivityConfig(batch=0), tmp_path)
