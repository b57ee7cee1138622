"""Recipes: which method on which codebooks makes each variant and each baseline of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from halo.budget import Budget, parse_budget
from halo.errors import ConfigError
from halo.tiles import Variant

SEARCHED = ""
VARIANTS: tuple[Variant, ...] = ("perf-opt", "bal", "acc-opt")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one model of a run is made.

    Attributes:
        label: its name in every table.
        method: a file of `halo.methods`.
        grid: one fixed codebook of `halo.codebook.GRIDS` for every tile; '' for the searched codebooks.
        variant: the point of the front, where tiles choose between searched codebooks.
        says: what it is, for the report.
        values: the most values of the one searched codebook that all tiles use; 0 where tiles choose.
        options: of the method, over what the run's configuration says of it.
        budget: what the tiles' choice between searched codebooks must keep to, where no variant is named.
    """

    label: str
    method: str
    grid: str
    variant: Variant | None
    says: str
    values: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget | None = None

    @property
    def ours(self) -> bool:
        """Whether its codebooks are searched in the profile."""
        return self.grid == SEARCHED


def searched(values: int) -> Recipe:
    """Return the recipe that gives every tile one searched codebook of at most `values` values."""
    return Recipe(f"halo-{values}", "halo", SEARCHED, None, f"one searched codebook of at most {values} values", values)


W8A8, SHIFTED_W4A8 = "rtn-w8a8", "halo-w4-shifted"
PER_CHANNEL, PER_FOLD = "a scale per output channel", "a scale per fold and output channel"
SAME = "through our own optimizer: same calibration, prices, sparse part and fold scales"
METHODS: Mapping[str, Recipe] = {recipe.label: recipe for recipe in (
    Recipe(W8A8, "rtn", "all", None, f"all 256 values, round to nearest, {PER_CHANNEL}"),
    Recipe("rtn-w4a8", "rtn", "w4-low", None, f"-8..7, round to nearest, {PER_CHANNEL}"),
    Recipe("rtn-w3a8", "rtn", "w3-low", None, f"-4..3, round to nearest, {PER_CHANNEL}"),
    Recipe("rtn-w4-shifted", "rtn", "w4-shifted", None, f"int4 shifted by 4 bits, round to nearest, {PER_CHANNEL}"),
    Recipe("rtn-w3-shifted", "rtn", "w3-shifted", None, f"int3 shifted by 5 bits, round to nearest, {PER_CHANNEL}"),
    Recipe("gptq-w4a8", "gptq", "w4-shifted", None, f"GPTQ, int4 shifted by 4 bits, {PER_CHANNEL}"),
    Recipe("gptq-w3a8", "gptq", "w3-shifted", None, f"GPTQ, int3 shifted by 5 bits, {PER_CHANNEL}"),
    Recipe("gptq-w4a8-grouped", "gptq", "w4-shifted", None, f"GPTQ, int4 shifted by 4 bits, {PER_FOLD}",
           options={"grouped": True}),
    Recipe("gptq-w3a8-grouped", "gptq", "w3-shifted", None, f"GPTQ, int3 shifted by 5 bits, {PER_FOLD}",
           options={"grouped": True}),
    Recipe("gptq-pot", "gptq", "pot", None, f"GPTQ, powers of two, {PER_CHANNEL}"),
    Recipe("gptq-pot-grouped", "gptq", "pot", None, f"GPTQ, powers of two, {PER_FOLD}", options={"grouped": True}),
    Recipe("awq-w4a8", "awq", "w4-shifted", None, f"AWQ-like input scaling, int4 shifted by 4 bits, {PER_FOLD}"),
    Recipe("awq-w3a8", "awq", "w3-shifted", None, f"AWQ-like input scaling, int3 shifted by 5 bits, {PER_FOLD}"),
    Recipe("squeeze-w4a8", "squeeze", "all", None,
           "SqueezeLLM-like: a table of 16 int8 values per row by sensitivity-weighted k-means, 0.45 % sparse"),
    Recipe("squeeze-w3a8", "squeeze", "all", None,
           "SqueezeLLM-like: a table of 8 int8 values per row by sensitivity-weighted k-means, 0.45 % sparse",
           options={"values": 8}),
    Recipe(SHIFTED_W4A8, "halo", "w4-shifted", None, f"int4 shifted by 4 bits {SAME}"),
    Recipe("halo-w3-shifted", "halo", "w3-shifted", None, f"int3 shifted by 5 bits {SAME}"),
    Recipe("halo-pot", "halo", "pot", None, f"powers of two {SAME}"),
    searched(8), searched(9), searched(16),
)}


def named_or_variant(name: str) -> Recipe:
    """Return the recipe of a point of the front or of a method by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in METHODS:
        return METHODS[name]
    for variant in VARIANTS:
        if name in {variant, f"halo-{variant}"}:
            return variant_recipe(variant)
    raise ConfigError(f"--variant {name!r}; use one of {', '.join((*VARIANTS, *METHODS))}.")


def variant_recipe(variant: Variant) -> Recipe:
    """Return the recipe of one point of the front."""
    return Recipe(f"halo-{variant}", "halo", SEARCHED, variant, f"searched codebooks, {variant} end of the front"
                  if variant != "bal" else "searched codebooks, knee of the front")


def budget_recipe(budget: Budget) -> Recipe:
    """Return the recipe of the best point within a budget."""
    return Recipe(budget.label, "halo", SEARCHED, None, "searched codebooks, least loss within the budget",
                  budget=budget)


def choose_recipes(variants: Sequence[str], methods: Sequence[str]) -> tuple[Recipe, ...]:
    """Return the recipes of a run: methods first, in the order given; a variant may be a budget, "energy=0.6".

    Raises:
        ConfigError: a name that is not known, or a budget of another form.
    """
    points = searched_points(name for name in variants if "=" in name)
    unknown = [f"baselines: {name!r} (known: {', '.join(METHODS)})" for name in methods if name not in METHODS]
    unknown += [f"variants: {name!r} (known: {', '.join(VARIANTS)}, or a budget such as energy=0.6)"
                for name in variants if name not in points]
    if unknown:
        raise ConfigError(f"unknown {'; '.join(unknown)}.")
    return (*(METHODS[name] for name in methods), *(points[name] for name in variants))


def named_recipes(names: Sequence[str]) -> tuple[Recipe, ...]:
    """Return recipes by label, variants ("halo-bal") and budgets ("energy=0.6") included, in the order given.

    Raises:
        ConfigError: a name that is not known, or none at all.
    """
    points = searched_points(name for name in names if "=" in name)
    known = dict(METHODS) | points | {recipe.label: recipe for recipe in points.values()}
    if unknown := [name for name in names if name not in known] or ([] if names else ["nothing"]):
        raise ConfigError(f"--methods: {', '.join(unknown)} not known; known are {', '.join(METHODS)}, "
                          f"{', '.join(f'halo-{variant}' for variant in VARIANTS)}, and budgets such as energy=0.6.")
    return tuple(known[name] for name in dict.fromkeys(names))


def searched_points(budgets: Iterable[str]) -> dict[str, Recipe]:
    """Return the recipes whose tiles choose between searched codebooks, by variant and by the words of a budget."""
    return {variant: variant_recipe(variant) for variant in VARIANTS} | {
        text: budget_recipe(parse_budget(text)) for text in budgets}
