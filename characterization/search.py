"""fastest(): a design synthesized by several recipes, and which of them gives the shortest clock period."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from characterization.annotation import annotate
from characterization.artifact import Provenance, cached, digest_file
from characterization.corner_library import read_corner
from characterization.design import MacDesign
from characterization.errors import SynthesisError
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist, abut
from characterization.pdk import Corner
from characterization.recipes import Recipe, quick_recipes, recipe_named
from characterization.sizing import resize
from characterization.synthesis import synthesize
from characterization.timing import floor_ps, free_ps, topological_ps

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one recipe makes of a design.

    Attributes:
        recipe: its name.
        worst_ps: topological delay of the slowest weight; where weights stream, of any weights in any order.
        floor_ps: what no weight can beat.
        area_um2, n_cells: of the netlist.
        failure: why there is no netlist; '' where there is one.
    """

    recipe: str
    worst_ps: float = float("inf")
    floor_ps: float = float("inf")
    area_um2: float = float("inf")
    n_cells: int = 0
    failure: str = ""

    @property
    def period_ps(self) -> float:
        """The shortest clock period for every weight."""
        return max(self.worst_ps, self.floor_ps)


def recipes_of(design: MacDesign) -> tuple[Recipe, ...]:
    """Return the recipe that a design names, or those worth trying where it names none."""
    return (recipe_named(design.recipe),) if design.recipe else quick_recipes()


def search(
    design: MacDesign, corner: Corner, dont_use: tuple[str, ...], folder: Path, recipes: Sequence[Recipe],
    progress: Progress | None = None,
) -> tuple[Candidate, ...]:
    """Return what each recipe yields at a corner, the fastest first, then the smallest.

    Args:
        design: the MAC.
        corner: whose library is mapped and timed.
        dont_use: patterns of cell names to leave alone.
        folder: cache; what was tried before is not tried again.
        recipes: what to try, each in a process of its own.
        progress: called with (recipes done, recipes).

    Raises:
        SynthesisError: no recipe yields a netlist, with why the first did not.
        CharacterizationError: design and Verilog do not fit, or the netlist cannot be timed.
    """
    library = cache(lambda: read_corner(corner))
    tried = []
    for done, recipe in enumerate(recipes):
        if progress:
            progress(done, len(recipes))
        provenance = provenance_of("candidate", design, corner, dont_use, recipe)
        build = partial(try_recipe, design, corner, library, dont_use, folder, recipe)
        tried.append(Candidate(**json.loads(cached(folder, provenance, ".json", build)[0])))
    if progress:
        progress(len(recipes), len(recipes))
    found = sorted((each for each in tried if not each.failure), key=lambda c: (c.period_ps, c.area_um2, c.recipe))
    if not found:
        raise SynthesisError(tried[0].failure)
    return (*found, *(each for each in tried if each.failure))


def try_recipe(
    design: MacDesign, corner: Corner, library: Callable[[], CellLibrary], dont_use: tuple[str, ...], folder: Path,
    recipe: Recipe,
) -> str:
    """Return the delays and the area of a design synthesized by one recipe, a `Candidate` as JSON."""
    try:
        netlist = mapped(design, corner, dont_use, folder, recipe)
    except SynthesisError as error:
        # A script can fail on one design and be the best for another.
        found = Candidate(recipe.name, failure=str(error))
    else:
        found = measured(design, corner, library(), netlist, recipe)
    return json.dumps(asdict(found), sort_keys=True) + "\n"


def measured(design: MacDesign, corner: Corner, library: CellLibrary, netlist: Netlist, recipe: Recipe) -> Candidate:
    """Return the delays and the area of a netlist."""
    timed = annotate(abut(netlist, design.neighbours), library, corner, design.clock, energies=False)
    if design.weight_mode == "stationary":
        worst_ps = float(topological_ps(timed, design, np.array(design.weights)).max())
    else:
        worst_ps = free_ps(timed, design)
    return Candidate(recipe.name, worst_ps, floor_ps(timed, design), timed.area_um2, len(netlist.cells))


def mapped(design: MacDesign, corner: Corner, dont_use: tuple[str, ...], folder: Path, recipe: Recipe) -> Netlist:
    """Return the netlist of a design, from the cache when sources, library, recipe and Yosys are the same."""

    def build() -> str:
        if not recipe.resized:
            return synthesize(design, corner.liberty, folder, dont_use, recipe).to_text()
        plain = mapped(design, corner, dont_use, folder, replace(recipe, resized=False))
        return resize(plain, read_corner(corner), corner, design, dont_use).to_text()

    provenance = provenance_of("synthesis", design, corner, dont_use, recipe)
    return Netlist.from_text(cached(folder, provenance, ".json", build)[0])


def provenance_of(
    stage: str, design: MacDesign, corner: Corner, dont_use: tuple[str, ...], recipe: Recipe
) -> Provenance:
    """Return what a netlist depends on, its recipe among it."""
    inputs = {f"source {path.name}": digest_file(path) for path in design.sources}
    inputs |= {f"liberty {path.name}": digest_file(path) for path in corner.liberty}
    if stage == "candidate" or recipe.resized:
        inputs["design"] = digest_file(design.folder / "design.toml")
    config = {"top": design.top, "parameters": dict(design.parameters), "dont_use": list(dont_use),
              "widths": dict(design.widths), "recipe": {f.name: getattr(recipe, f.name) for f in fields(recipe)},
              "version": 2}  # fmt: skip
    return Provenance(stage, inputs, config, {"pyosys": version("pyosys")})


def fastest(
    design: MacDesign, corner: Corner, dont_use: tuple[str, ...], folder: Path, progress: Progress | None = None,
    recipes: Sequence[Recipe] = (),
) -> tuple[Netlist, Candidate]:
    """Return the netlist with the shortest period at a corner, by `recipes` or else those of `recipes_of`.

    Unless the design names its recipe, the fastest is tried with its cells resized too.

    Raises:
        CharacterizationError: see `search`.
    """
    tried = tuple(recipes) or recipes_of(design)
    best = search(design, corner, dont_use, folder, tried, progress)[0]
    if not design.recipe:
        sized = recipe_named(f"{best.recipe}+resized")
        best = min(best, search(design, corner, dont_use, folder, [sized])[0], key=lambda found: found.period_ps)
    return mapped(design, corner, dont_use, folder, recipe_named(best.recipe)), best
