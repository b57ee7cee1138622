import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import halo
from characterization.codebook_file import read_codebooks
from characterization.profile_file import save_profile
from characterization.proof_vectors import load_vectors
from halo.account import CompareConfig, compare_run
from halo.activations import quantize_activations
from halo.budget import Budget, parse_budget
from halo.checkpoint import load_quantized
from halo.config import build_config
from halo.cost import load_cost
from halo.dry_run import dry_run
from halo.errors import ConfigError, OutputError, PlanError
from halo.layers import dequantize, spread_scales
from halo.mac import load_mac
from halo.model import load_model
from halo.pipeline import compare_methods, estimate_folder, evaluate_folders, plan_folder, quantize_to, run
from halo.plan_file import load_plan
from halo.preparation import assign_within, prepare, priced_to
from halo.recipes import budget_recipe, choose_recipes, variant_recipe
from halo.references import reference_models
from halo.report import render
from halo.results import load_result, load_results, load_run
from halo.tables import comparison_grid, summary_grid
from halo.tokens import WindowConfig, read_windows
from halo.verdict import kl_difference, strongest_baseline, verdicts
from tests.halo.conftest import tables_of
from tests.halo.synthetic import POINTS, SIGN_OFF, synthetic_profile

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_a_run_leaves_models_plans_costs_and_accuracies_that_can_be_read_back(finished):
    _root, config, results, _ = finished
    assert [result.label for result in results] == ["rtn-w8a8", "halo-w4-shifted", "halo-bal"]
    for result in results:
        again = load_result(config.out, result.label)
        assert again.accuracy.quality == result.accuracy.quality
        assert (again.costs, again.bits, again.says) == (result.costs, result.bits, result.says)
        assert again.plan.segments == result.plan.segments
        assert load_quantized(config.out / "models" / result.label).method == result.label


def test_each_plan_has_tiles_of_every_class_beside_it_with_the_activations_they_met(finished):
    _root, config, results, _ = finished
    loaded = load_model(config.model)
    text = read_windows(loaded.tokenizer, config.text, WindowConfig(32, 12))
    for result in results:
        found = load_vectors(config.out / "results" / result.label)
        layers = {layer.name: layer for layer in load_quantized(config.out / "models" / result.label).layers}
        assert found.profile_digest == load_mac(config.profile).digest
        used = {segment.codebook for segment in result.plan.segments}
        assert [(item.name, item.period_ps) for item in found.classes] == [
            (item.name, item.period_ps) for item in result.plan.classes if item.name in used]
        assert {tile.clock_class for tile in found.tiles} == used
        for tile in found.tiles:
            name, row, column = re.fullmatch(r"(\S+) in (\d+) out (\d+)", tile.origin).groups()
            if name == "lm_head":
                continue
            block = layers[name].codes[int(column):int(column) + 16, int(row):int(row) + 16].T
            assert (tile.weights == block).all()
            if name == "model.layers.0.self_attn.q_proj":
                # Nothing before the first layer is quantized.
                inner = loaded.model.model
                with torch.no_grad():
                    met = inner.layers[0].input_layernorm(inner.embed_tokens(torch.from_numpy(text.ids[0].copy())))
                values = quantize_activations(met)[0].numpy()
                assert (tile.activations == values[:, int(row):int(row) + 16]).all()


def test_a_class_that_no_tile_uses_is_that_of_the_head_rounded_to_int8(finished):
    _root, config, _, _ = finished
    found = load_vectors(config.out / "results" / "halo-w4-shifted")
    tile = next(tile for tile in found.tiles if tile.clock_class == "all")
    weight = load_model(config.model).model.lm_head.weight.detach().float().numpy()
    scale = np.abs(weight).max(1, keepdims=True) / 127.5
    assert tile.origin == "lm_head in 0 out 0"
    assert np.abs(tile.weights.T - weight[:16, :16] / scale[:16]).max() <= 0.5 + 1e-3
    assert not any(tile.running for tile in found.tiles)


def test_progress_is_told_for_every_stage_to_its_end(finished):
    _, _, _, seen = finished
    last = {stage: (done, total) for stage, done, total in seen}
    assert {"sensitivity", "quantize halo-bal", "evaluate the original", "evaluate halo-bal"} <= set(last)
    assert all(done == total for done, total in last.values())


def test_a_second_run_reuses_models_and_accuracies_and_writes_the_same_bytes(finished):
    _root, config, _, _ = finished
    kept = {path: path.read_bytes() for path in config.out.rglob("*") if path.is_file()}
    stages = []
    run(config, lambda stage, done, total: stages.append(stage))
    assert not [stage for stage in stages if stage.startswith(("quantize", "evaluate"))]
    assert {path: path.read_bytes() for path in config.out.rglob("*") if path.is_file()} == kept


def test_a_model_made_from_other_inputs_is_made_again(finished, tmp_path):
    root, _, _, _ = finished
    shutil.copytree(root / "out", tmp_path / "out")
    changed = tables_of(root, out=str(tmp_path / "out"), variants=[], baselines=["rtn-w8a8"])
    changed["tiles"]["tile_in"] = 32
    stages = []
    run(build_config(changed, "test"), lambda stage, done, total: stages.append(stage))
    assert "quantize rtn-w8a8" in stages
    assert load_quantized(tmp_path / "out" / "models" / "rtn-w8a8").layers[0].tiles.tile_in == 32


def test_a_folder_that_is_no_model_is_not_overwritten(finished, tmp_path):
    root, _, _, _ = finished
    precious = tmp_path / "out" / "models" / "rtn-w8a8" / "thesis.tex"
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")
    config = build_config(tables_of(root, out=str(tmp_path / "out"), variants=[], baselines=["rtn-w8a8"]), "test")
    with pytest.raises(OutputError, match="exists and is not a quantized model"):
        run(config)
    assert precious.read_text() == "years of work"


def test_the_report_is_made_from_saved_artifacts_alone(finished):
    root, config, results, _ = finished
    page, text = (config.out / "report.html").read_bytes(), (config.out / "report.md").read_text()
    shutil.move(root / "model", root / "elsewhere")
    try:
        render(config.out)
    finally:
        shutil.move(root / "elsewhere", root / "model")
    assert (config.out / "report.html").read_bytes() == page
    for needed in ("signed off at 1.8 V less 5%, the slower of ss_n40C_1v70", "made up for tests",
                   "frequency only: one typical voltage",
                   "2 to 3 per inference", "With every weight zero", "HALO's own figures", "not quantized: lm_head"):
        assert needed in text
    for result in results:
        assert f"{result.accuracy.quality.perplexity:.4f}" in text


def test_results_that_are_missing_damaged_or_of_another_schema_are_named(finished, tmp_path):
    _, config, _, _ = finished
    with pytest.raises(OutputError, match=r"run.json: missing, the run is not finished; take `halo run`"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(OutputError, match="schema 99, this program reads 1"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(OutputError, match=r"run.json: not a readable result .* run `halo run` again"):
        load_run(tmp_path)
    with pytest.raises(OutputError, match=r"method.json: missing, the run is not finished"):
        load_results(config.out, ["unheard"])


def test_a_streaming_mac_is_refused_before_anything_is_quantized_and_its_codebooks_are_proposed(finished, tmp_path):
    root, _, _, _ = finished
    save_profile(synthetic_profile(weight_mode="streaming"), tmp_path / "mac.nc")
    tables = tables_of(root, profile=str(tmp_path / "mac.nc"), out=str(tmp_path / "out"))
    with pytest.raises(PlanError, match=r"halo-bal: fast9, halo-bal: fast16 have no set certificate .*codebooks.json"):
        run(build_config(tables, "test"))
    assert not (tmp_path / "out" / "models").exists()
    proposed = read_codebooks(tmp_path / "out" / "codebooks.json")
    assert set(proposed["halo-bal: fast9"]) < set(proposed["halo-bal: fast16"])
    folder = shutil.copytree(root / "out" / "models" / "halo-w4-shifted", tmp_path / "shifted")
    with pytest.raises(PlanError, match=r"halo-w4-shifted: w4-shifted have no .*shifted/codebooks.json`, then"):
        plan_folder(folder, build_config(tables, "test"))


def test_the_summary_has_one_row_per_method_and_its_own_baseline_is_one(finished):
    _, _, results, _ = finished
    grid = summary_grid(results)
    by_label = {row[0]: dict(zip(grid.columns, row, strict=True)) for row in grid.rows}
    assert by_label["rtn-w8a8"]["prefill time / rtn-w8a8"] == "1.000"
    assert by_label["halo-w4-shifted"]["prefill energy / halo-w4-shifted"] == "1.000"
    assert grid.ours == {"halo-bal"}


def test_verdicts_are_paired_with_the_strongest_shifted_grid(finished):
    _, _, results, _ = finished
    w8a8, shifted, ours = results
    assert strongest_baseline(results) is shifted
    difference = kl_difference(ours, shifted)
    assert difference.mean == pytest.approx(np.mean(ours.accuracy.window_kl - shifted.accuracy.window_kl))
    assert kl_difference(ours, ours).excludes_zero is False
    assert any(line.startswith("halo-bal against halo-w4-shifted, prefill:") for line in verdicts(results, w8a8))
    alone = verdicts((w8a8, ours), w8a8)
    assert any("No 4-bit grid shifted to the fast end is in this run" in line for line in alone)


def test_a_dry_run_says_what_would_be_done_and_touches_nothing(finished, tmp_path):
    root, _, _, _ = finished
    config = build_config(tables_of(root, out=str(tmp_path / "new")), "test")
    found = dry_run(config)
    assert not config.out.exists()
    assert {(m.n_out, m.n_in): (m.n_tiles, m.n_folds, m.n_loads) for m in found.modules} == {
        (48, 48): (9, 2, 4), (24, 48): (6, 2, 2), (80, 48): (15, 2, 6), (48, 80): (15, 3, 6)}
    assert "lm_head" in found.skipped
    bits = {item.recipe.label: (item.bits_low, item.bits_high, item.done) for item in found.recipes}
    assert bits["rtn-w8a8"] == (8 + 16 / 32, 8 + 16 / 32, False)
    assert bits["halo-bal"] == (3.2 + 16 / 32, 4 + 16 / 32, False)


def test_one_variant_is_quantized_to_a_new_folder_that_loads_as_a_model(finished, tmp_path):
    _root, config, _, _ = finished
    out = tmp_path / "bal"
    quantized = quantize_to(config, variant_recipe("bal"), out)
    assert [layer.name for layer in load_quantized(out).layers] == [layer.name for layer in quantized.layers]
    with torch.no_grad():
        logits = halo.load(out)(input_ids=torch.arange(8)[None]).logits
    assert torch.isfinite(logits).all()
    with pytest.raises(OutputError, match="exists already; choose another folder"):
        quantize_to(config, variant_recipe("bal"), out)


def test_a_budget_is_kept_by_the_model_that_is_made_for_it(finished, tmp_path):
    _root, config, _, _ = finished
    fast, slow = (quantize_to(config, budget_recipe(Budget(bits=bits)), tmp_path / str(bits)) for bits in (4.0, 4.5))
    free = quantize_to(config, budget_recipe(Budget(energy=100.0)), tmp_path / "free")
    dense = [sum((bits.index, bits.scales, bits.tables)) for bits in (m.effective_bits() for m in (fast, slow, free))]
    assert dense[0] <= 4.0 < dense[1] <= 4.5 < dense[2]
    with pytest.raises(ConfigError, match=r"bits = 3 cannot be kept: no choice .* less than 3\.\d+, 0\.\d+ of which"):
        quantize_to(config, budget_recipe(Budget(bits=3.0)), tmp_path / "none")


def test_an_energy_that_classes_alone_cannot_keep_makes_codes_dearer(finished):
    _root, config, _, _ = finished
    prepared = prepare(config, (budget_recipe(Budget(energy=1.0)),))
    least = sum(float(spent.min(0).sum()) for spent in prepared.losses.energy.values())
    budget = Budget(energy=0.95 * least)
    with pytest.raises(ConfigError, match=r"budget energy = .* cannot be kept"):
        assign_within(prepared, budget)
    dear = priced_to(prepared, budget)
    assert dear.config.prices.energy > prepared.config.prices.energy
    assert 0.9 * budget.energy < assign_within(dear, budget).point.energy <= budget.energy
    assert priced_to(prepared, Budget(energy=100.0)) is prepared


def test_a_run_takes_budgets_beside_variants_each_on_codebooks_of_its_own(finished, tmp_path):
    tables = tables_of(finished[0], out=str(tmp_path), variants=["bal", "energy=0.5"], baselines=["rtn-w8a8"])
    own = build_config(tables, "test")
    whole, bal, small = run(own)
    assert [whole.label, bal.label, small.label] == ["rtn-w8a8", "halo-bal", "halo-energy0.5"]
    named = {item["name"]: tuple(item["codes"]) for item in load_run(own.out)["codebooks"]}
    used = {item.name: item.codes for result in (bal, small) for item in result.plan.classes if item.name != "all"}
    assert any(name.endswith("-energy0.5") for name in used)
    assert used.items() <= named.items()
    spent = [result.costs["prefill"].total().energy.on_chip_fj for result in (whole, bal, small)]
    assert spent[2] < spent[1] < spent[0]


def test_a_perplexity_budget_takes_the_cheapest_point_that_keeps_it(finished, tmp_path):
    _root, config, _, _ = finished
    loose = quantize_to(config, budget_recipe(Budget(perplexity=10.0)), tmp_path / "loose")
    assert all((layer.tiles.classes == 0).all() for layer in loose.layers)
    with pytest.raises(ConfigError, match=r"budget ppl = -50.00% cannot be kept: the most accurate point"):
        quantize_to(config, budget_recipe(Budget(perplexity=-0.5)), tmp_path / "tight")


@pytest.mark.parametrize("text", ["time", "time=fast", "watts=3", "time=-1", "bits=3,bits=4", ""])
def test_a_budget_of_another_form_is_refused(text):
    with pytest.raises(ConfigError, match=r"--budget is of the form time=0.8, energy=0.6, bits=3.5 or ppl=\+0.5%"):
        parse_budget(text)


def test_a_plan_and_an_estimate_of_a_folder_agree_with_the_run(finished):
    _, config, results, _ = finished
    folder = config.out / "models" / "halo-bal"
    plan = plan_folder(folder, config)
    assert plan.segments == load_plan(config.out / "results" / "halo-bal" / "plan.json").segments
    own, references = estimate_folder(config, folder)
    assert own["prefill"] == load_cost(config.out / "results" / "halo-bal" / "cost-prefill.json")
    assert [reference["decode"].method for reference in references] == ["w8a8-reference", "w4a8-shifted-reference"]
    # The clock and the loads of W8A8 do not depend on the weights.
    cycles = [report.total().cycles for report in (references[0]["prefill"], results[0].costs["prefill"])]
    assert cycles[0] == cycles[1]


def test_references_stay_within_half_a_step_of_what_they_round(finished):
    _, config, _, _ = finished
    quantized = load_quantized(config.out / "models" / "halo-bal")
    whole, _ = reference_models(quantized, synthetic_profile(), POINTS)
    for layer, rounded in zip(quantized.layers, whole.layers, strict=True):
        error = np.abs(dequantize(layer, 32) - dequantize(rounded, 32))
        step = spread_scales(rounded.scales, layer.codes.shape[1], 32)
        assert np.quantile(error / step, 0.99) <= 0.51


def test_folders_are_evaluated_beside_the_original(finished):
    _, config, results, _ = finished
    found = evaluate_folders(config, [config.out / "models" / "halo-bal"])
    assert list(found)[:2] == ["original (float32)", "int8 activations only"]
    assert found[str(config.out / "models" / "halo-bal")] == results[2].accuracy.quality


def test_methods_are_compared_by_name_beside_w8a8(finished, tmp_path):
    root, _, results, _ = finished
    names = ("halo-bal", "awq-w4a8", "squeeze-w3a8", "gptq-w4a8-grouped", "halo-9")
    compared = compare_methods(build_config(tables_of(root, out=str(tmp_path)), "test"), names)
    assert [result.label for result in compared] == ["rtn-w8a8", *names]
    assert compared[1].accuracy.quality == results[2].accuracy.quality
    w8a8, _, awq, squeeze, gptq, nine = compared
    # A table of 8 int8 values for each row, and a sparse part, on top of the indices.
    assert squeeze.bits.index == 3
    assert squeeze.bits.tables > 8 * 8 / 80
    assert awq.bits.scales > gptq.bits.scales > 16 / 32
    assert nine.bits.index == 3.2
    assert all(result.accuracy.quality.net_kl.mean > w8a8.accuracy.quality.net_kl.mean for result in compared[1:])
    grid = comparison_grid(compared)
    assert [row[0] for row in grid.rows] == ["rtn-w8a8", *names]
    assert grid.rows[0][-3:] == ("1.000", "1.000", "1.000")
    assert grid.ours == {"halo-bal", "halo-9"}


def test_a_method_that_is_not_known_is_refused(finished):
    with pytest.raises(ConfigError, match=r"--methods: w2 not known; known are rtn-w8a8, .*, halo-16, halo-perf-opt"):
        compare_methods(finished[1], ["halo-9", "w2"])
    with pytest.raises(ConfigError, match=r"--methods: nothing not known"):
        compare_methods(finished[1], [])


def test_unknown_variants_and_baselines_are_refused_together():
    with pytest.raises(ConfigError, match=r"unknown baselines: 'w2' .*; variants: 'fast' \(known: perf-opt.* a budget"):
        choose_recipes(["fast", "bits=3"], ["w2"])
    with pytest.raises(ConfigError, match=r"'watts=3': --budget is of the form"):
        choose_recipes(["watts=3"], [])


def test_a_finished_run_is_compared_on_any_mac(finished, tmp_path):
    root, config, results, _ = finished
    save_profile(synthetic_profile(), tmp_path / "other.nc")
    made = compare_run(config, CompareConfig((root / "mac.nc", tmp_path / "other.nc"), ("halo-bal",)))
    for grids in made:
        assert [row[0] for row in grids[0].rows] == ["rtn-w8a8", "halo-bal"]
        assert grids[0].rows[1][1] == f"{results[2].accuracy.quality.net_kl.mean:.5f}"
    assert {path.parent.name for path in config.out.glob("compare/*/compare.md")} == {"mac", "other"}
    with pytest.raises(ConfigError, match=r"no halo-x in .*; the run has rtn-w8a8, halo-w4-shifted, halo-bal"):
        compare_run(config, CompareConfig((root / "mac.nc",), ("halo-x",)))


def test_methods_of_another_run_contend_if_their_kl_can_be_compared(finished, tmp_path):
    root, config, _, _ = finished
    shutil.copytree(config.out, tmp_path / "dear")
    (grids,) = compare_run(config, CompareConfig((root / "mac.nc",), ("halo-bal (dear)",), beside=(tmp_path / "dear",)))
    assert [row[0] for row in grids[0].rows] == ["rtn-w8a8", "halo-bal (dear)"]
    facts = json.loads((tmp_path / "dear" / "run.json").read_text())
    for change, why in (({"inputs": {**facts["inputs"], "text": "1"}}, "a run of another text than"),
                        ({"config": {**facts["config"], "evaluation": {}}}, "evaluated otherwise than")):
        (tmp_path / "dear" / "run.json").write_text(json.dumps({**facts, **change}))
        with pytest.raises(ConfigError, match=rf"--beside .*dear: {why} .*; their KL cannot be compared"):
            compare_run(config, CompareConfig((root / "mac.nc",), beside=(tmp_path / "dear",)))


def test_a_comparison_has_dedicated_pes_and_shapes_of_larger_models(finished, tmp_path):
    root, config, _, _ = finished
    corners = [SIGN_OFF[0], *SIGN_OFF[1:3]]
    narrow = synthetic_profile(weights=np.arange(-8, 8), corners=corners, floor_ps=1000.0)
    save_profile(replace(narrow, head=replace(narrow.head, design="int4", netlist_digest="1" * 64)), tmp_path / "i.nc")
    wanted = CompareConfig((root / "mac.nc",), (), (tmp_path / "i.nc",), "llama-2-7b")
    (grids,) = compare_run(config, wanted)
    assert [row[0] for row in grids[0].rows] == ["rtn-w8a8", "halo-w4-shifted", "halo-bal", "halo-w4-shifted on int4"]
    assert "Shapes of llama-2-7b, each matrix coded like the run's" in grids[0].caption
    text = (config.out / "compare" / "mac-llama-2-7b" / "compare.md").read_text()
    for title in ("attention and head as W8A8", "Fronts of loss", "The paper's own accounting"):
        assert title in text
