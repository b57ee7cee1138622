"""What every recipe of a run starts from, and the quantized model that a recipe makes of it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from characterization.profile import MacProfile
from halo.assignment import TileAssignment, TileLosses, choose_classes, choose_within
from halo.budget import Budget
from halo.checkpoint import is_quantized, load_quantized, save_quantized, stored_key
from halo.codebook import Codebook, grid_codebook
from halo.codebook_search import (
    CodebookSearch,
    Question,
    likely_shares,
    make_question,
    search_codebooks,
    search_one,
)
from halo.config import RunConfig
from halo.datafree import uniform_sensitivity
from halo.errors import ConfigError, OutputError
from halo.layers import CODE_BITS, SCALE_BITS, QuantizedModel
from halo.mac import load_mac
from halo.methods import Method
from halo.model import LoadedModel, check_causal, list_linears, load_model, matching
from halo.operating_point import PointConfig, proposed_period_ps
from halo.plugins import resolve
from halo.prices import relative_energy, value_prices
from halo.quantize import Job, describe, quantize
from halo.recipes import Recipe
from halo.sensitivity import Sensitivity, measure_sensitivity
from halo.tile_losses import measure_tile_losses
from halo.tiles import TileMap, uniform_map
from halo.tokens import TokenWindows, no_windows, read_windows
from halo.transform import transformed
from halo.tuning import tuned, tuned_from

Progress = Callable[[str, int, int], None]
Step = Callable[[int, int], None]
NO_DATA = "none"
FIRST_PRICE, PRICE_STEPS, PRICE_SLACK = 1e-4, 12, 2e-3


@dataclass(frozen=True, eq=False)
class Prepared:
    """What every recipe of a run starts from.

    Attributes:
        original: the model as it was given; loaded: the same, or what `[transform]` makes of it.
        question: what codebooks are searched for in; None where no recipe has searched ones.
        search, losses: None where no recipe lets tiles choose between searched codebooks.
        single: K -> the one searched codebook of at most K values, for recipes that ask for it.
    """

    config: RunConfig
    profile: MacProfile
    original: LoadedModel
    loaded: LoadedModel
    tokens: TokenWindows
    sensitivity: Sensitivity
    question: Question | None
    search: CodebookSearch | None
    losses: TileLosses | None
    single: Mapping[int, Codebook]


def prepare(config: RunConfig, recipes: tuple[Recipe, ...], progress: Progress | None = None) -> Prepared:
    """Return profile, model, calibration and sensitivity, and the codebook search where a recipe needs it."""
    profile = load_mac(config.profile)
    original = load_model(config.model, config.ignore)
    for grid in overridden_layers(original.model, config.override).values():
        grid_codebook(grid, profile, config.points)  # whatever is wrong with it is said before anything is measured
    no_data = str(config.calibration) == NO_DATA
    if not no_data:
        check_causal(original.model)
    tokens = no_windows() if no_data else read_windows(original.tokenizer, config.calibration, config.windows)
    loaded = transformed(original, tokens, config.transform, config.ignore, config.out / "work",
                         step_of(progress, "smoothing"))
    if no_data:
        sensitivity = uniform_sensitivity(loaded.model, loaded.digest)
    else:
        sensitivity = measure_sensitivity(loaded.model, tokens, config.sensitivity, config.out / "work", loaded.digest,
                                          step_of(progress, "sensitivity"))
    question = None
    if any(recipe.ours for recipe in recipes):
        question = make_question(loaded.model, profile, sensitivity, config.codebook, config.points, config.prices)
    counts = sorted({recipe.values for recipe in recipes if recipe.values})
    single = {count: search_one(question, count).codebook for count in counts if question is not None}
    found = Prepared(config, profile, original, loaded, tokens, sensitivity, question, None, None, single)
    if any(recipe.ours and not recipe.values for recipe in recipes):
        return searched_at(found, config, progress=progress)
    return found


def searched_at(
    prepared: Prepared, config: RunConfig, suffix: str = "", progress: Progress | None = None
) -> Prepared:
    """Return what is prepared with codebooks by `config`'s prices, `suffix` to their names, and its tiles' losses."""
    assert prepared.question is not None, "a searched recipe was not announced to prepare()"
    report_step(progress, "codebooks and tiles", 0, 2)
    profile, loaded = prepared.profile, prepared.loaded
    search = search_codebooks(replace(prepared.question, config=config.codebook, prices=config.prices)).named(suffix)
    report_step(progress, "codebooks and tiles", 1, 2)
    losses = measure_tile_losses(loaded.model, prepared.sensitivity, search.codebooks, config.tiles,
                                 relative_energy(profile, config.points, search.mixture()), config.prices.energy,
                                 relative_times(profile, search.codebooks, config.points))
    report_step(progress, "codebooks and tiles", 2, 2)
    return replace(prepared, config=config, search=search, losses=losses)


def priced_to(prepared: Prepared, budget: Budget, progress: Progress | None = None) -> Prepared:
    """Return what is prepared with energy so dear that what then costs least keeps the budget's energy.

    One price for codebooks, classes and codes alike loses least at a given energy (Lagrange); where time is limited
    too, codebooks keep the configured rule. Never cheaper than configured. The price is looked for by false position,
    codebooks being searched and all tiles measured at each, until energy is within `PRICE_SLACK` of the budget; where
    none will do the dearest is returned.
    """
    others, suffix = replace(budget, energy=math.inf), f"-energy{budget.energy:g}"
    rule = prepared.config.codebook.rule if budget.time < math.inf else "price"

    def at(price: float) -> Prepared:
        config = replace(prepared.config, prices=replace(prepared.config.prices, energy=price),
                         codebook=replace(prepared.config.codebook, rule=rule))
        return searched_at(prepared, config, suffix)

    def spent(found: Prepared) -> float:
        return assign_within(found, others).point.energy

    free = spent(prepared)
    if free <= budget.energy:
        return prepared
    wanted, price = budget.energy * (1 - PRICE_SLACK / 2), 4 * max(prepared.config.prices.energy, FIRST_PRICE)
    kept: Prepared | None = None
    cheap = dear = (price / 4, free)
    for step in range(PRICE_STEPS):
        report_step(progress, "price of energy", step, PRICE_STEPS)
        tried = at(price)
        energy = spent(tried)
        if energy > budget.energy:
            cheap = (price, energy)
        else:
            kept, dear = tried, (price, energy)
            if energy >= budget.energy * (1 - PRICE_SLACK):
                break
        if kept is not None and dear[0] < cheap[0] * (1 + PRICE_SLACK):
            break  # energy leaps there: codebooks change
        # Energy falls about evenly with the logarithm of its price.
        share = min(max((cheap[1] - wanted) / (cheap[1] - dear[1]), 0.1), 0.9) if kept else 0.0
        price = cheap[0] ** (1 - share) * dear[0] ** share if kept else 4 * price
    report_step(progress, "price of energy", PRICE_STEPS, PRICE_STEPS)
    return kept or tried


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
    """Return the codebooks of a recipe: the searched ones, fast class first, or its one for all tiles."""
    if not recipe.ours:
        return (grid_codebook(recipe.grid, prepared.profile, prepared.config.points),)
    if recipe.values:
        return (prepared.single[recipe.values],)
    assert prepared.search is not None, "a searched recipe was not announced to prepare()"
    return prepared.search.codebooks


def codebooks_and_tiles(prepared: Prepared, recipe: Recipe) -> tuple[tuple[Codebook, ...], Mapping[str, TileMap]]:
    """Return the codebooks of a recipe and which one each tile uses."""
    books = codebooks_of(prepared, recipe)
    if recipe.ours and not recipe.values:
        return books, assign(prepared, recipe).maps
    linears = list_linears(prepared.loaded.model).linears
    maps = {name: uniform_map(name, linear.out_features, linear.in_features, prepared.config.tiles)
            for name, linear in linears.items()}
    return books, maps


def assign(prepared: Prepared, recipe: Recipe) -> TileAssignment:
    """Return which searched codebook each tile uses, for a variant or within a budget.

    Raises:
        ConfigError: the budget cannot be kept.
    """
    assert prepared.losses is not None, "a searched recipe was not announced to prepare()"
    if recipe.variant is not None:
        return choose_classes(prepared.losses, recipe.variant)
    assert recipe.budget is not None, "a recipe whose tiles choose has a variant or a budget"
    return assign_within(prepared, recipe.budget)


def assign_within(prepared: Prepared, budget: Budget) -> TileAssignment:
    """Return which searched codebook each tile uses for least cost within a budget.

    Raises:
        ConfigError: the budget cannot be kept.
    """
    assert prepared.losses is not None, "a searched recipe was not announced to prepare()"
    beside = bits_beside_indices(prepared)
    least = beside + min(book.index_bits for book in prepared.losses.codebooks)
    if budget.bits < least * (1 - 1e-12):
        raise ConfigError(f"budget bits = {budget.bits:.4g} cannot be kept: no choice of codebooks takes less than "
                          f"{least:.4g}, {beside:.4g} of which are scales, codebooks and classes.")
    limits = {"time": budget.time, "energy": budget.energy, "bits": budget.bits - beside}
    return choose_within(prepared.losses, {name: limit for name, limit in limits.items() if limit != float("inf")})


def bits_beside_indices(prepared: Prepared) -> float:
    """Return the bits per weight that scales, codebooks and tile classes take; the sparse part comes on top."""
    assert prepared.losses is not None, "a searched recipe was not announced to prepare()"
    books, linears = prepared.losses.codebooks, list_linears(prepared.loaded.model).linears.values()
    weights = sum(linear.weight.numel() for linear in linears)
    scales = sum(linear.out_features * -(-linear.in_features // prepared.config.quantize.fold) for linear in linears)
    tables = CODE_BITS * sum(len(table) for book in books for table in book.tables)
    classes = prepared.losses.n_tiles * (math.ceil(math.log2(len(books))) if len(books) > 1 else 0)
    return (SCALE_BITS * scales + tables + classes) / weights


def relative_times(profile: MacProfile, books: Sequence[Codebook], points: PointConfig) -> tuple[float, ...]:
    """Return the period of each codebook over that of all values."""
    whole_ps = proposed_period_ps(profile, profile.weights, points)
    return tuple(proposed_period_ps(profile, book.codes, points) / whole_ps for book in books)


def overridden_layers(model: nn.Module, override: Mapping[str, str]) -> dict[str, str]:
    """Return the grid of each layer that `override` names; of two expressions the later one counts.

    Raises:
        ConfigError: an expression matches no quantized layer.
    """
    names = tuple(list_linears(model).linears)
    return {name: grid for pattern, grid in override.items() for name in matching(pattern, names, "override")}


def with_overrides(
    prepared: Prepared, books: tuple[Codebook, ...], maps: Mapping[str, TileMap]
) -> tuple[tuple[Codebook, ...], Mapping[str, TileMap]]:
    """Return codebooks and tiles with the layers that the configuration overrides on their grids."""
    config, result = prepared.config, dict(maps)
    for name, grid in overridden_layers(prepared.loaded.model, config.override).items():
        if grid not in {book.name for book in books}:
            books = (*books, grid_codebook(grid, prepared.profile, config.points))
        position = next(at for at, book in enumerate(books) if book.name == grid)
        result[name] = replace(maps[name], classes=np.full_like(maps[name].classes, position))
    return books, result


def method_config(config: RunConfig, recipe: Recipe) -> Any:
    """Return the configuration of a recipe's method: its table or its defaults, under the recipe's own options."""
    found = config.method.get(recipe.method) or resolve("halo.methods", recipe.method, Method).Config()
    return replace(found, **recipe.options)


def job_of(prepared: Prepared, recipe: Recipe) -> Job:
    """Return what is to be quantized, and how, under one recipe."""
    config = prepared.config
    codebooks, tiles = with_overrides(prepared, *codebooks_and_tiles(prepared, recipe))
    linears = list_linears(prepared.loaded.model).linears
    n_weights = sum(linear.weight.numel() for linear in linears.values())
    prices = None
    if config.prices.energy:
        shares = value_shares(prepared, recipe, codebooks)
        prices = value_prices(prepared.profile, config.points, config.prices, n_weights, shares)
    return Job(codebooks, tiles, recipe.method, method_config(config, recipe), config.quantize, prices)


def value_shares(prepared: Prepared, recipe: Recipe, codebooks: Sequence[Codebook]) -> np.ndarray:
    """Return among which weights a recipe's values are priced where they stream, float64 `[weight]`.

    Searched classes have the shares that the search found; of other codebooks those are taken that normal weights have.
    Every recipe is priced by its own values, whatever else is run.
    """
    if recipe.ours and not recipe.values and prepared.search is not None:
        return prepared.search.mixture()
    tables = sorted({table for book in codebooks for table in book.tables})
    return np.asarray(np.mean([likely_shares(prepared.profile, table) for table in tables], axis=0))


def make_quantized(prepared: Prepared, recipe: Recipe, progress: Progress | None = None) -> QuantizedModel:
    """Return the quantized model of one recipe, tuned where that is asked for."""
    job, work, config = job_of(prepared, recipe), prepared.config.out / "work", prepared.config.tuning
    made = quantize(prepared.loaded.model, prepared.tokens, prepared.sensitivity, job, work, recipe.label,
                    step_of(progress, f"quantize {recipe.label}"))
    if not is_tuned(prepared, recipe):
        return made
    return tuned(prepared.loaded.model, made, prepared.tokens, config, job.prices, work,
                 step_of(progress, f"tune {recipe.label}"))


def is_tuned(prepared: Prepared, recipe: Recipe) -> bool:
    """Return whether the configuration asks for the models of a recipe's method to be tuned."""
    return prepared.config.tuning.epochs > 0 and recipe.method in prepared.config.tuning.methods


def quantized_once(prepared: Prepared, recipe: Recipe, progress: Progress | None) -> QuantizedModel:
    """Return the model of one recipe, from its folder under `out`/models if that was made from the same inputs.

    Raises:
        OutputError: the folder holds something else than a quantized model.
    """
    config = prepared.config
    folder = config.out / "models" / recipe.label
    wanted = describe(prepared.tokens, prepared.sensitivity, job_of(prepared, recipe))
    if is_tuned(prepared, recipe):
        wanted = tuned_from(wanted, prepared.tokens, config.tuning)
    if folder.exists():
        if not is_quantized(folder):
            raise OutputError(f"{folder} exists and is not a quantized model; choose another `out` or remove it first.")
        if stored_key(folder) == wanted.key:
            return load_quantized(folder)
        shutil.rmtree(folder)
    save_quantized(folder, prepared.loaded.folder, make_quantized(prepared, recipe, progress))
    return load_quantized(folder)
