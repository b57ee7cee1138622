"""The verbs in order: from a profile and a model to quantized models, plans, costs, accuracies and a report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from characterization.artifact import digest_of
from characterization.profile import MacProfile
from characterization.profile_file import profile_digest
from halo.accelerators import Accelerator
from halo.assignment import TileLosses, choose_classes, measure_tile_losses
from halo.certificates import require_certificates
from halo.checkpoint import load_quantized, save_quantized, total_bytes
from halo.codebook import Codebook, grid_codebook
from halo.codebook_search import CodebookSearch, search_codebooks
from halo.config import RunConfig
from halo.cost import CostReport
from halo.cost import compare as compare_costs
from halo.dvfs import check_plan, plan_dvfs
from halo.errors import OutputError
from halo.evaluation import (
    EvaluationConfig,
    Quality,
    Reference,
    activation_quality,
    compare,
    measure_reference,
    quality,
    reference_quality,
)
from halo.layers import QuantizedModel
from halo.mac import load_mac
from halo.methods import Method
from halo.model import LoadedModel, list_linears, load_model, torch_tools
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig, DvfsPlan, all_zero
from halo.plugins import resolve
from halo.quantize import describe, quantize
from halo.recipes import Recipe, choose_recipes, variant_recipe
from halo.references import reference_models
from halo.report import render
from halo.results import PHASES, RESULTS, Accuracy, MethodResult, load_accuracy, save_accuracy, save_result, save_run
from halo.runtime import Int8Linear, swapped
from halo.sensitivity import Sensitivity, measure_sensitivity
from halo.tiles import TileMap, Variant, uniform_map
from halo.tokens import TokenWindows, WindowConfig, read_windows
from halo.workload import Workload, shape_workload

Progress = Callable[[str, int, int], None]
Step = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What every recipe of a run starts from.

    Attributes:
        search, losses: None where no recipe asks for searched codebooks.
    """

    config: RunConfig
    profile: MacProfile
    loaded: LoadedModel
    tokens: TokenWindows
    sensitivity: Sensitivity
    search: CodebookSearch | None
    losses: TileLosses | None


def run(config: RunConfig, progress: Progress | None = None) -> tuple[MethodResult, ...]:
    """Do everything that `config` asks for, and return the results that the report under `config.out` shows.

    Models and accuracies that an earlier run finished are taken from there, by digest.
    """
    recipes = choose_recipes(config.variants, config.baselines)
    prepared = prepare(config, recipes, progress)
    books = {recipe.label: codebooks_of(prepared, recipe) for recipe in recipes}
    require_certificates(prepared.profile, config.points, books, config.profile, config.out)
    judge = make_judge(config, prepared.loaded, progress)
    results = []
    for recipe in recipes:
        quantized = quantized_once(prepared, recipe, progress)
        plan = plan_dvfs(quantized, prepared.profile, config.points, config.dvfs)
        check_plan(plan, prepared.profile)
        costs = estimate_all(config, prepared.loaded.model.config, plan, prepared.profile)
        accuracy = judge.accuracy(quantized, config.out / RESULTS / recipe.label / "accuracy.json", recipe.label)
        result = summarize(prepared, recipe, quantized, plan, costs, accuracy)
        save_result(result, config.out)
        results.append(result)
    save_run(config.out, shared_facts(prepared, recipes, judge, results[0]))
    render(config.out)
    return tuple(results)


def prepare(config: RunConfig, recipes: tuple[Recipe, ...], progress: Progress | None = None) -> Prepared:
    """Return profile, model, calibration and sensitivity, and the codebook search where a recipe needs it."""
    profile = load_mac(config.profile)
    loaded = load_model(config.model)
    tokens = read_windows(loaded.tokenizer, config.calibration, config.windows)
    sensitivity = measure_sensitivity(loaded.model, tokens, config.sensitivity, config.out / "work", loaded.digest,
                                      step_of(progress, "sensitivity"))
    search, losses = None, None
    if any(recipe.ours for recipe in recipes):
        report_step(progress, "codebooks and tiles", 0, 2)
        search = search_codebooks(loaded.model, profile, sensitivity, config.codebook, config.points)
        report_step(progress, "codebooks and tiles", 1, 2)
        losses = measure_tile_losses(loaded.model, sensitivity, search.codebooks, config.tiles)
        report_step(progress, "codebooks and tiles", 2, 2)
    return Prepared(config, profile, loaded, tokens, sensitivity, search, losses)


def report_step(progress: Progress | None, stage: str, done: int, total: int) -> None:
    """Tell how far a stage is, where someone listens."""
    if progress is not None:
        progress(stage, done, total)


def step_of(progress: Progress | None, stage: str) -> Step | None:
    """Return the callback of one stage."""
    if progress is None:
        return None
    return lambda done, total: progress(stage, done, total)


def codebooks_of(prepared: Prepared, recipe: Recipe) -> tuple[Codebook, ...]:
    """Return the codebooks of a recipe: the searched ones, fast class first, or its fixed grid."""
    if not recipe.ours:
        return (grid_codebook(recipe.grid, prepared.profile, prepared.config.points),)
    assert prepared.search is not None, "a searched recipe was not announced to prepare()"
    return prepared.search.codebooks


def codebooks_and_tiles(
    prepared: Prepared, recipe: Recipe
) -> tuple[tuple[Codebook, ...], Mapping[str, TileMap]]:
    """Return the codebooks of a recipe and which one each tile uses."""
    books = codebooks_of(prepared, recipe)
    if recipe.ours:
        assert prepared.losses is not None, "a searched recipe was not announced to prepare()"
        assert recipe.variant is not None, "a searched recipe has a variant"
        losses = replace(prepared.losses, config=replace(prepared.losses.config, variant=recipe.variant))
        return books, choose_classes(losses, recipe.variant).maps
    linears = list_linears(prepared.loaded.model).linears
    maps = {name: uniform_map(name, linear.out_features, linear.in_features, prepared.config.tiles)
            for name, linear in linears.items()}
    return books, maps


def method_config(config: RunConfig, method: str) -> Any:
    """Return the configuration of a method: its table, or its defaults."""
    return config.method.get(method) or resolve("halo.methods", method, Method).Config()


def make_quantized(prepared: Prepared, recipe: Recipe, progress: Progress | None = None) -> QuantizedModel:
    """Return the quantized model of one recipe."""
    config = prepared.config
    codebooks, tiles = codebooks_and_tiles(prepared, recipe)
    return quantize(
        prepared.loaded.model, prepared.tokens, codebooks, tiles, prepared.sensitivity, recipe.method,
        method_config(config, recipe.method), config.quantize, config.out / "work", recipe.label,
        step_of(progress, f"quantize {recipe.label}"))


def quantized_once(prepared: Prepared, recipe: Recipe, progress: Progress | None) -> QuantizedModel:
    """Return the model of one recipe, from its folder under `out`/models if that was made from the same inputs.

    Raises:
        OutputError: the folder holds something else than a quantized model.
    """
    config = prepared.config
    folder = config.out / "models" / recipe.label
    codebooks, tiles = codebooks_and_tiles(prepared, recipe)
    wanted = describe(prepared.tokens, codebooks, tiles, prepared.sensitivity, recipe.method,
                      method_config(config, recipe.method), config.quantize)
    if folder.exists():
        if not (folder / "quantized.safetensors").is_file():
            raise OutputError(f"{folder} exists and is not a quantized model; choose another `out` or remove it first.")
        found = load_quantized(folder)
        if found.provenance.key == wanted.key:
            return found
        shutil.rmtree(folder)
    save_quantized(folder, config.model, make_quantized(prepared, recipe, progress))
    return load_quantized(folder)


def make_judge(config: RunConfig, loaded: LoadedModel, progress: Progress | None = None) -> Judge:
    """Return the judge of the run's text and protocol."""
    protocol = WindowConfig(config.evaluation.window, config.evaluation.windows)
    return Judge(loaded, read_windows(loaded.tokenizer, config.text, protocol), config.evaluation, progress)


@dataclass(frozen=True, eq=False)
class Judge:
    """Measures accuracies against one reference, which is made when first needed and then kept."""

    loaded: LoadedModel
    tokens: TokenWindows
    config: EvaluationConfig
    progress: Progress | None = None

    @cached_property
    def reference(self) -> Reference:
        """The original model's predictions on the text."""
        step = step_of(self.progress, "evaluate the original")
        return measure_reference(self.loaded.model, self.tokens, self.config, step)

    def key(self, model_key: str) -> str:
        """Return the digest of what an accuracy depends on."""
        return digest_of([model_key, self.loaded.digest, self.tokens.digest, asdict(self.config), torch_tools()])

    def originals(self, path: Path) -> tuple[Accuracy, Accuracy]:
        """Return the accuracy of the original model, and with int8 activations alone; saved at `path`-*.json."""
        result = []
        for name, take in (("original", reference_quality), ("int8-activations", activation_quality)):
            file, key = path.with_name(f"{path.name}-{name}.json"), self.key(name)
            if not (file.is_file() and load_accuracy(file).key == key):
                save_accuracy(Accuracy(key, take(self.reference), np.zeros(len(self.tokens.ids))), file)
            result.append(load_accuracy(file))
        return result[0], result[1]

    def accuracy(self, quantized: QuantizedModel, path: Path, label: str) -> Accuracy:
        """Return the accuracy of `quantized`, saved at `path`, measured only if it is not there yet."""
        key = self.key(quantized.provenance.key)
        if path.is_file() and (found := load_accuracy(path)).key == key:
            return found
        result = self.measure(quantized, key, label)
        save_accuracy(result, path)
        return result

    def measure(self, quantized: QuantizedModel, key: str, label: str) -> Accuracy:
        """Return the accuracy of `quantized`."""
        model, reference = self.loaded.model, self.reference
        device = next(model.parameters()).device
        parts: dict[str, nn.Module] = {
            layer.name: Int8Linear(layer, quantized.fold).to(device) for layer in quantized.layers}
        with swapped(model, parts):
            kl, nats = compare(model, reference.log_probs, self.tokens, self.config,
                               step_of(self.progress, f"evaluate {label}"))
        return Accuracy(key, quality(kl, nats, reference), np.asarray(kl - reference.activation_kl))


def workloads(config: RunConfig, shape: Any) -> dict[str, Workload]:
    """Return the prefill and the decode step of a model (its Hugging Face configuration), by phase."""
    work = config.workload
    return {phase: shape_workload(shape, work.prompt_tokens, work.batch, work.context, phase)  # type: ignore[arg-type]
            for phase in PHASES}


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


def quantize_to(config: RunConfig, variant: Variant, out: Path, progress: Progress | None = None) -> QuantizedModel:
    """Write one variant's checkpoint to the new folder `out`, and return it.

    Raises:
        OutputError: `out` exists already.
    """
    if out.exists():
        raise OutputError(f"{out} exists already; choose another folder or remove it first.")
    recipe = variant_recipe(variant)
    prepared = prepare(config, (recipe,), progress)
    quantized = make_quantized(prepared, recipe, progress)
    save_quantized(out, config.model, quantized)
    return quantized


def evaluate_folders(
    config: RunConfig, folders: Sequence[Path], baselines: Sequence[str], progress: Progress | None = None
) -> dict[str, Quality]:
    """Return the accuracy of quantized folders, after the original and `baselines` made on the spot, by name."""
    recipes = choose_recipes((), baselines)
    if recipes:
        prepared = prepare(config, recipes, progress)
        loaded, models = prepared.loaded, [make_quantized(prepared, recipe, progress) for recipe in recipes]
    else:
        loaded, models = load_model(config.model), []
    judge = make_judge(config, loaded, progress)
    result = {"original (float32)": reference_quality(judge.reference),
              "int8 activations only": activation_quality(judge.reference)}
    result |= {model.method: judge.measure(model, "", model.method).quality for model in models}
    for folder in folders:
        result[str(folder)] = judge.measure(load_quantized(folder), "", folder.name).quality
    return result


def plan_folder(
    folder: Path, profile_path: Path, points: PointConfig, config: DvfsConfig, progress: Progress | None = None
) -> DvfsPlan:
    """Return the checked plan of a quantized folder."""
    profile, quantized = load_mac(profile_path), load_quantized(folder)
    require_certificates(profile, points, {quantized.method: quantized.codebooks}, profile_path, folder)
    plan = plan_dvfs(quantized, profile, points, config, step_of(progress, "plan"))
    check_plan(plan, profile)
    return plan


def estimate_folder(config: RunConfig, folder: Path) -> tuple[dict[str, CostReport], list[dict[str, CostReport]]]:
    """Return the cost of a quantized folder by phase, and that of W8A8 and shifted W4A8 rounded from its weights."""
    profile, quantized = load_mac(config.profile), load_quantized(folder)
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    costs = []
    for model in (quantized, *reference_models(quantized, profile, config.points)):
        plan = plan_dvfs(model, profile, config.points, config.dvfs)
        check_plan(plan, profile)
        costs.append(estimate_all(config, fields, plan, profile))
    return costs[0], costs[1:]


def zero_floor(config: RunConfig, shape: Any, result: MethodResult, profile: MacProfile) -> float:
    """Return the on-chip energy of a plan with every weight zero, as a share of the plan's (prefill, linear layers)."""
    zero = estimate_all(config, shape, all_zero(result.plan), profile)
    return compare_costs(zero["prefill"], result.costs["prefill"]).energy


def shared_facts(
    prepared: Prepared, recipes: tuple[Recipe, ...], judge: Judge, first: MethodResult
) -> dict[str, Any]:
    """Return what all methods of a run share, as JSON."""
    config = prepared.config
    original, activations = judge.originals(config.out / RESULTS / "reference")
    searches = prepared.search.classes if prepared.search else ()
    return {
        "labels": [recipe.label for recipe in recipes], "config": asdict(config), "profile": str(config.profile),
        "inputs": {"profile": profile_digest(config.profile), "model": prepared.loaded.digest,
                   "calibration": prepared.tokens.text_digest, "text": judge.tokens.text_digest},
        "original": asdict(original.quality), "int8_activations": asdict(activations.quality),
        "zero_floor": zero_floor(config, prepared.loaded.model.config, first, prepared.profile),
        "codebooks": [{"name": s.codebook.name, "codes": s.codebook.codes, "reason": s.reason} for s in searches],
        "model_config": json.loads((config.model / "config.json").read_text(encoding="utf-8")),
        "skipped": dict(list_linears(prepared.loaded.model).skipped), "tools": torch_tools(),
        "n_parameters": sum(p.numel() for p in prepared.loaded.model.parameters()),
    }
