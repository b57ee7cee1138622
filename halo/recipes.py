"""Recipes: which method on which codebooks makes each variant and each baseline of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
        variant: the point of the front, where codebooks are searched.
        says: what it is, for the report.
    """

    label: str
    method: str
    grid: str
    variant: Variant | None
    says: str

    @property
    def ours(self) -> bool:
        """Whether its codebooks are searched in the profile."""
        return self.grid == SEARCHED


W8A8, SHIFTED_W4A8 = "rtn-w8a8", "halo-w4-shifted"
BASELINES: Mapping[str, Recipe] = {recipe.label: recipe for recipe in (
    Recipe(W8A8, "rtn", "all", None, "all 256 values, round to nearest, a scale per output channel"),
    Recipe("rtn-w4a8", "rtn", "w4-low", None, "-8..7, round to nearest, a scale per output channel"),
    Recipe("rtn-w3a8", "rtn", "w3-low", None, "-4..3, round to nearest, a scale per output channel"),
    Recipe("gptq-w4a8", "gptq", "w4-shifted", None, "GPTQ, int4 shifted by 4 bits, a scale per output channel"),
    Recipe(SHIFTED_W4A8, "halo", "w4-shifted", None,
           "int4 shifted by 4 bits through our own optimizer: same calibration, sparse part and fold scales"),
    Recipe("halo-w3-shifted", "halo", "w3-shifted", None,
           "int3 shifted by 5 bits through our own optimizer: same calibration, sparse part and fold scales"),
)}


def variant_recipe(variant: Variant) -> Recipe:
    """Return the recipe of one point of the front."""
    return Recipe(f"halo-{variant}", "halo", SEARCHED, variant, f"searched codebooks, {variant} end of the front"
                  if variant != "bal" else "searched codebooks, knee of the front")


def choose_recipes(variants: Sequence[Variant], baselines: Sequence[str]) -> tuple[Recipe, ...]:
    """Return the recipes of a run: baselines first, in the order given.

    Raises:
        ConfigError: a name that is not known.
    """
    unknown = [f"baselines: {name!r} (known: {', '.join(BASELINES)})" for name in baselines if name not in BASELINES]
    unknown += [f"variants: {name!r} (known: {', '.join(VARIANTS)})" for name in variants if name not in VARIANTS]
    if unknown:
        raise ConfigError(f"unknown {'; '.join(unknown)}.")
    return (*(BASELINES[name] for name in baselines), *(variant_recipe(variant) for variant in variants))
