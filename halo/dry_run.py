"""What a run would do, module by module, without doing it: shapes, tiles, loads, bits, memory, and what is skipped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from halo.codebook import Codebook, bits_of_index, grid_codebook
from halo.config import RunConfig
from halo.layers import SCALE_BITS
from halo.mac import load_mac
from halo.model import decoder_blocks, linear_weights, list_linears, load_model
from halo.recipes import Recipe, choose_recipes
from halo.tokens import WindowConfig, read_windows

BYTES_PER_FLOAT, BYTES_PER_DOUBLE = 4, 8
MOMENTS = 2  # float64 [in, in] sums per layer while sensitivity is measured: plain and guided
HIDDEN_STATES = 2  # of every calibration token: behind quantized blocks, and behind the original ones


@dataclass(frozen=True, slots=True)
class ModulePlan:
    """What would be done to one linear layer."""

    name: str
    n_out: int
    n_in: int
    n_tiles: int
    n_folds: int
    n_loads: int


@dataclass(frozen=True, slots=True)
class RecipePlan:
    """What one recipe would make; index and scale bits per weight, the sparse part and tables apart."""

    recipe: Recipe
    bits_low: float
    bits_high: float
    done: bool


@dataclass(frozen=True, eq=False)
class DryRun:
    """Everything a run would do.

    Attributes:
        memory_mb: largest needs, by what needs them.
    """

    modules: tuple[ModulePlan, ...]
    recipes: tuple[RecipePlan, ...]
    skipped: Mapping[str, str]
    memory_mb: Mapping[str, float]


def dry_run(config: RunConfig) -> DryRun:
    """Return what `run` would do, after reading profile and model but measuring nothing.

    Raises:
        HaloError: whatever would stop the run before its first measurement.
    """
    profile = load_mac(config.profile)
    recipes = choose_recipes(config.variants, config.baselines)
    loaded = load_model(config.model, config.ignore)
    found = list_linears(loaded.model)
    read_windows(loaded.tokenizer, config.calibration, config.windows)
    read_windows(loaded.tokenizer, config.text, WindowConfig(config.evaluation.window, config.evaluation.windows))
    modules = tuple(plan_module(name, linear, config) for name, linear in found.linears.items())
    books = {r.grid: grid_codebook(r.grid, profile, config.points) for r in recipes if not r.ours}
    plans = tuple(plan_recipe(recipe, books.get(recipe.grid), config) for recipe in recipes)
    return DryRun(modules, plans, dict(found.skipped), memory_needs(loaded.model, config))


def plan_module(name: str, linear: nn.Linear, config: RunConfig) -> ModulePlan:
    """Return what would be done to one linear layer."""
    n_out, n_in, tiles = linear.out_features, linear.in_features, config.tiles
    n_folds = math.ceil(n_in / tiles.array_rows)
    n_tiles = math.ceil(n_out / tiles.tile_out) * math.ceil(n_in / tiles.tile_in)
    return ModulePlan(name, n_out, n_in, n_tiles, n_folds, n_folds * math.ceil(n_out / tiles.array_cols))


def plan_recipe(recipe: Recipe, book: Codebook | None, config: RunConfig) -> RecipePlan:
    """Return the bits that one recipe can take: those of its grid, or between the fast and the slow class."""
    scale = SCALE_BITS / config.tiles.array_rows
    done = (config.out / "models" / recipe.label).is_dir()
    if book is not None:
        return RecipePlan(recipe, book.index_bits + scale, book.index_bits + scale, done)
    low, high = (bits_of_index(n) for n in (config.codebook.fast_values, config.codebook.slow_values))
    return RecipePlan(recipe, low + scale, high + scale, done)


def memory_needs(model: nn.Module, config: RunConfig) -> dict[str, float]:
    """Return the largest needs of memory in MB; weights themselves stay in their files."""
    block = max(decoder_blocks(model)[1], key=linear_weights)
    weights = sum(parameter.numel() for parameter in block.parameters())
    linears = [part for part in block.modules() if isinstance(part, nn.Linear)]
    moments = sum(MOMENTS * part.in_features**2 + 2 * part.weight.numel() for part in linears)
    fields: Any = model.config
    windows = max(config.sensitivity.windows or config.windows.windows, config.quantize.windows)
    hidden = HIDDEN_STATES * windows * config.windows.window * int(getattr(fields, "hidden_size", 0))
    predictions = config.evaluation.windows * (config.evaluation.window - 1) * int(fields.vocab_size)
    needs = {"largest decoder layer in float32": weights * BYTES_PER_FLOAT,
             "moments of its linears": moments * BYTES_PER_DOUBLE,
             "hidden states of the calibration text": hidden * BYTES_PER_FLOAT,
             "predictions of the original": predictions * BYTES_PER_FLOAT}
    return {name: need / 1e6 for name, need in needs.items()}
