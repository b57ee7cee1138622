"""The verbs in order: from a profile and a model to quantized models, plans, costs, accuracies and a report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from characterization.profile import MacProfile
from characterization.profile_file import profile_digest
from characterization.proof_vectors import VECTORS_FILE, save_vectors
from halo.accelerators import Accelerator
from halo.budget import Budget
from halo.certificates import require_certificates
from halo.checkpoint import load_quantized, save_quantized, total_bytes
from halo.config import RunConfig
from halo.cost import CostReport
from halo.cost import compare as compare_costs
from halo.dvfs import plan_dvfs
from halo.errors import ConfigError, OutputError
from halo.evaluation import Quality, activation_quality, reference_quality
from halo.hf import load as load_whole
from halo.judge import Judge, make_judge, protocol_of
from halo.layers import QuantizedModel
from halo.mac import load_mac
from halo.model import list_linears, load_model, load_tokenizer, torch_tools
from halo.operating_point import proposed_period_ps
from halo.plan import DvfsPlan, all_zero
from halo.plan_check import check_plan
from halo.plugins import resolve
from halo.preparation import (
    NO_DATA,
    Prepared,
    Progress,
    Step,
    assign,
    codebooks_of,
    make_quantized,
    prepare,
    priced_to,
    quantized_once,
    step_of,
)
from halo.proof import record_vectors
from halo.recipes import W8A8, Recipe, budget_recipe, choose_recipes, named_recipes, variant_recipe
from halo.references import reference_models
from halo.report import render
from halo.results import PHASES, RESULTS, Accuracy, MethodResult, save_result, save_run
from halo.tokens import read_windows
from halo.tuning import check_tunable
from halo.workload import Workload, shape_workload

# What a recipe starts from, at its own price of energy, and the recipe.
Start = tuple[Prepared, Recipe]


def run(config: RunConfig, progress: Progress | None = None) -> tuple[MethodResult, ...]:
    """Do everything that `config` asks for, and return the results that the report under `config.out` shows.

    Models and accuracies that an earlier run finished are taken from there, by digest.
    """
    recipes = choose_recipes(config.variants, config.baselines)
    check_first(config, recipes)
    check_text(config)
    prepared = prepare(config, recipes, progress)
    judge = make_judge(config, prepared.original, progress)
    starts = starts_of(prepared, recipes, progress)
    results = make_results(starts, judge, progress)
    save_run(config.out, shared_facts(starts, judge, results[0]))
    render(config.out)
    return results


def check_first(config: RunConfig, recipes: Sequence[Recipe]) -> None:
    """Check what can be known of profile and tuning before a model is measured, which may take hours.

    Raises:
        HaloError: the MAC cannot be clocked as is asked, or no model can be tuned.
    """
    windows = 0 if str(config.calibration) == NO_DATA else config.windows.windows or math.inf
    check_tunable(config.tuning, [recipe.method for recipe in recipes], windows)
    profile = load_mac(config.profile)
    proposed_period_ps(profile, profile.weights, config.points)


def check_text(config: RunConfig) -> None:
    """Check that there is a text to evaluate on before anything is made that it is to measure.

    Raises:
        HaloError: there is none, or it is too short.
    """
    read_windows(load_tokenizer(config.model), config.text, protocol_of(config))


def compare_methods(
    config: RunConfig, names: Sequence[str], progress: Progress | None = None
) -> tuple[MethodResult, ...]:
    """Return the results of recipes by name, W8A8 first as what ratios are against: what `run` does, without a report.

    Raises:
        ConfigError: a name that is not known.
    """
    recipes = named_recipes((W8A8, *names) if names else ())
    check_first(config, recipes)
    check_text(config)
    prepared = prepare(config, recipes, progress)
    starts = starts_of(prepared, recipes, progress)
    return make_results(starts, make_judge(config, prepared.original, progress), progress)


def starts_of(prepared: Prepared, recipes: Sequence[Recipe], progress: Progress | None) -> tuple[Start, ...]:
    """Return what every recipe starts from: its codebooks, whose periods are certified, and its prices.

    Raises:
        ConfigError: there is no calibration text, or a budget cannot be kept.
        PlanError: a set of values that stream has no certificate.
    """
    config = prepared.config
    if not prepared.tokens.ids.size:
        raise ConfigError("calibration = 'none' is for `halo quantize`; a run's methods are calibrated on a text.")
    starts = tuple(within_budget(prepared, recipe, progress) for recipe in recipes)
    books = {recipe.label: codebooks_of(own, recipe) for own, recipe in starts}
    require_certificates(prepared.profile, config.points, books, config.profile, config.out)
    return starts


def make_results(starts: Sequence[Start], judge: Judge, progress: Progress | None) -> tuple[MethodResult, ...]:
    """Return every recipe quantized, planned, estimated and judged; each result is saved as soon as it is there."""
    results = []
    for prepared, recipe in starts:
        config = prepared.config
        quantized = quantized_once(prepared, recipe, progress)
        plan = make_plan(config, prepared.loaded.model.config, quantized, prepared.profile)
        costs = estimate_all(config, prepared.loaded.model.config, plan, prepared.profile)
        accuracy = judge.accuracy(quantized, config.out / RESULTS / recipe.label / "accuracy.json", recipe.label,
                                  prepared.loaded.model)
        result = summarize(prepared, recipe, quantized, plan, costs, accuracy)
        save_result(result, config.out)
        vectors = record_vectors(prepared.loaded.model, quantized, plan, prepared.profile, judge.tokens)
        save_vectors(vectors, config.out / RESULTS / recipe.label / VECTORS_FILE)
        results.append(result)
    return tuple(results)


def workloads(config: RunConfig, shape: Any) -> dict[str, Workload]:
    """Return the prefill and the decode step of a model (its Hugging Face configuration), by phase."""
    work = config.workload
    return {phase: shape_workload(shape, work.prompt_tokens, work.batch, work.context, phase)  # type: ignore[arg-type]
            for phase in PHASES}


def make_plan(
    config: RunConfig, shape: Any, quantized: QuantizedModel, profile: MacProfile, progress: Step | None = None
) -> DvfsPlan:
    """Return the checked plan of both phases on the run's first accelerator."""
    name, options = next(iter(config.accelerator.items()))
    plugin = resolve("halo.accelerators", name, Accelerator)
    plan = plan_dvfs(quantized, profile, config.points, config.dvfs, progress,
                     workloads=tuple(workloads(config, shape).values()),
                     build=lambda mac, setup: plugin.machine(mac, setup, options))
    check_plan(plan, profile)
    return plan


def estimate_all(config: RunConfig, shape: Any, plan: DvfsPlan, profile: MacProfile) -> dict[str, CostReport]:
    """Return the cost of every phase on the run's first accelerator."""
    name, options = next(iter(config.accelerator.items()))
    plugin = resolve("halo.accelerators", name, Accelerator)
    return {phase: plugin.estimate(work, plan, profile, options) for phase, work in workloads(config, shape).items()}


def summarize(
    prepared: Prepared, recipe: Recipe, quantized: QuantizedModel, plan: DvfsPlan, costs: Mapping[str, CostReport],
    accuracy: Accuracy,
) -> MethodResult:
    """Return everything the report says about one method."""
    worst = max(quantized.layers, key=lambda layer: layer.loss)
    weights = sum(parameter.numel() for parameter in prepared.loaded.model.parameters())
    file_bits = 8.0 * total_bytes(prepared.config.out / "models" / recipe.label) / weights
    fallbacks = {layer.name: layer.fallback for layer in quantized.layers if layer.fallback}
    return MethodResult(recipe.label, recipe.ours, recipe.says, plan, costs, accuracy, quantized.effective_bits(),
                        file_bits, worst.name, worst.loss, fallbacks)


def quantize_to(config: RunConfig, recipe: Recipe, out: Path, progress: Progress | None = None) -> QuantizedModel:
    """Write one recipe's checkpoint to the new folder `out`, and return it.

    Raises:
        OutputError: `out` exists already.
        ConfigError: the budget cannot be kept.
    """
    if out.exists():
        raise OutputError(f"{out} exists already; choose another folder or remove it first.")
    out.parent.mkdir(parents=True, exist_ok=True)  # whether that may be done is known before there is anything to lose
    check_first(config, (recipe,))
    prepared = prepare(config, (recipe,), progress)
    prepared, recipe = within_budget(prepared, recipe, progress)
    quantized = make_quantized(prepared, recipe, progress)
    save_quantized(out, prepared.loaded.folder, quantized)
    return quantized


def within_budget(prepared: Prepared, recipe: Recipe, progress: Progress | None) -> Start:
    """Return what a recipe starts from, and the recipe, once its budget of perplexity or energy is seen to.

    Raises:
        ConfigError: the budget cannot be kept.
    """
    if recipe.budget is None:
        return prepared, recipe
    if recipe.budget.perplexity < float("inf"):
        return prepared, within_perplexity(prepared, recipe.budget, progress)
    if recipe.budget.energy < float("inf"):
        return priced_to(prepared, recipe.budget, progress), recipe
    return prepared, recipe


def within_perplexity(prepared: Prepared, budget: Budget, progress: Progress | None) -> Recipe:
    """Return the recipe of the cheapest point of the front whose perplexity on the calibration text is low enough.

    The front is bisected, each point that is asked being quantized and measured: perplexity falls along it.

    Raises:
        ConfigError: not even the most accurate point is good enough.
    """
    config, tokens = prepared.config, prepared.tokens
    some = replace(tokens, ids=tokens.ids[: config.evaluation.windows or len(tokens.ids)])
    judge = Judge(prepared.loaded, some, config.evaluation, progress)
    front = assign(prepared, variant_recipe("acc-opt")).front
    spend = config.tiles.spend
    points = sorted({getattr(point, spend) for point in front if getattr(point, spend) <= getattr(budget, spend)})

    def recipe_at(limit: float) -> Recipe:
        return replace(budget_recipe(replace(budget, **{spend: limit * (1 + 1e-9)})), label=budget.label)

    def change_at(limit: float) -> float:
        made = make_quantized(prepared, recipe_at(limit), progress)
        return judge.measure(made, "", budget.label).quality.perplexity_change

    best = change_at(points[-1]) if points else float("inf")
    if best > budget.perplexity:
        raise ConfigError(f"budget ppl = {budget.perplexity:+.2%} cannot be kept: the most accurate point of the front "
                          f"costs {best:+.2%} on the calibration text; give classes more values.")
    low, high = -1, len(points) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if change_at(points[middle]) <= budget.perplexity else (middle, high)
    return recipe_at(points[high])


def evaluate_folders(
    config: RunConfig, folders: Sequence[Path], progress: Progress | None = None
) -> dict[str, Quality]:
    """Return the accuracy of quantized folders, after the original and int8 activations alone, by name."""
    judge = make_judge(config, load_model(config.model, config.ignore), progress)
    result = {"original (float32)": reference_quality(judge.reference),
              "int8 activations only": activation_quality(judge.reference)}
    for folder in folders:
        quantized = load_quantized(folder)
        # Of a transformed model, other weights differ from the original's too.
        found = (judge.compared(load_whole(folder), "", folder.name) if quantized.transform else
                 judge.measure(quantized, "", folder.name))
        result[str(folder)] = found.quality
    return result


def plan_folder(folder: Path, config: RunConfig, progress: Progress | None = None) -> DvfsPlan:
    """Return the checked plan of a quantized folder."""
    profile, quantized = load_mac(config.profile), load_quantized(folder)
    require_certificates(profile, config.points, {quantized.method: quantized.codebooks}, config.profile, folder)
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return make_plan(config, fields, quantized, profile, step_of(progress, "plan"))


def estimate_folder(config: RunConfig, folder: Path) -> tuple[dict[str, CostReport], list[dict[str, CostReport]]]:
    """Return the cost of a quantized folder by phase, and that of W8A8 and shifted W4A8 rounded from its weights."""
    profile, quantized = load_mac(config.profile), load_quantized(folder)
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    costs = []
    for model in (quantized, *reference_models(quantized, profile, config.points)):
        plan = make_plan(config, fields, model, profile)
        costs.append(estimate_all(config, fields, plan, profile))
    return costs[0], costs[1:]


def zero_floor(config: RunConfig, shape: Any, result: MethodResult, profile: MacProfile) -> float:
    """Return the on-chip energy of a plan with every weight zero, as a share of the plan's (prefill, linear layers)."""
    zero = estimate_all(config, shape, all_zero(result.plan), profile)
    return compare_costs(zero["prefill"], result.costs["prefill"]).energy


def shared_facts(starts: Sequence[Start], judge: Judge, first: MethodResult) -> dict[str, Any]:
    """Return what all methods of a run share, as JSON."""
    prepared = starts[0][0]
    config = prepared.config
    original, activations = judge.originals(config.out / RESULTS / "reference")
    searches = {each.codebook.name: each for own, _ in starts if own.search for each in own.search.classes}
    return {
        "labels": [recipe.label for _, recipe in starts], "config": asdict(config), "profile": str(config.profile),
        "inputs": {"profile": profile_digest(config.profile), "model": prepared.original.digest,
                   "calibration": prepared.tokens.text_digest, "text": judge.tokens.text_digest},
        "original": asdict(original.quality), "int8_activations": asdict(activations.quality),
        "zero_floor": zero_floor(config, prepared.loaded.model.config, first, prepared.profile),
        "codebooks": [{"name": s.codebook.name, "codes": s.codebook.codes, "reason": s.reason}
                      for s in searches.values()],
        "model_config": json.loads((config.model / "config.json").read_text(encoding="utf-8")),
        "skipped": dict(list_linears(prepared.loaded.model).skipped), "tools": torch_tools(),
        "n_parameters": sum(p.numel() for p in prepared.loaded.model.parameters()),
    }
