"""Recipes: named ways of synthesizing for speed. None is best for every design and library; `search.py` tries several.

A name is that of an ABC script, and what else shall be done, joined by `+`: `as-written+booth+adders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from characterization.errors import DesignError

# Buffer by slew, size up the critical path, and give back area elsewhere.
SIZE = "buffer,-c;topo;stime,-p;upsize,-c;dnsize,-c;stime,-p"
# Merge what is equal, and rewrite into fewer gates. A balanced adder tree does not survive it.
REWRITE = "strash;&get,-n;&fraig,-x;&put;scorr;dc2;strash;"
# Map with structural choices, for delay, at 90 % of the area weight.
MAP = "dch,-f;map,-B,0.9;topo;"

# ABC commands, spaces as commas.
SCRIPTS = {
    # The logic as the designer wrote it, only mapped and sized.
    "as-written": "strash;map,-B,0.9;topo;" + SIZE,
    # The same with structural choices.
    "choices": "strash;dch;map,-B,0.9;topo;" + SIZE,
    "rewritten": REWRITE + MAP + SIZE,
    # Balanced for delay by look-up tables first.
    "balanced": REWRITE + "if,-g;strash;" + MAP + SIZE,
    # Restructured around and-trees.
    "resynthesized": REWRITE + "&get,-n;&st;&syn4;&put;strash;dch,-f;map,-B,0.9,-D,1;topo;" + SIZE,
    # Another mapper, which keeps to the structure and shares more.
    "shared": "strash;&get,-n;&nf;&put;topo;" + SIZE,
}
# These three come within 4 % of the best of all, on every design of rtl/ and every library tried.
QUICK = ("choices", "resynthesized", "shared")
EXTRAS = ("booth", "adders", "hierarchy", "resized")
DEFAULT = "choices"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way from elaborated Verilog to cells.

    Attributes:
        name: what design.toml and the command line call it.
        abc_script: ABC commands, spaces as commas.
        booth: multiply by Booth recoding where the Verilog says `*`.
        adders: use the library's full and half adders where the logic is one.
        hierarchy: map every module by itself, and flatten afterwards.
        resized: exchange cells, flops too, for other sizes by our own timing (`sizing.py`).
    """

    name: str
    abc_script: str
    booth: bool = False
    adders: bool = False
    hierarchy: bool = False
    resized: bool = False


def recipe_named(name: str) -> Recipe:
    """Return the recipe of a name such as `choices` or `as-written+booth`.

    Raises:
        DesignError: there is none.

    >>> recipe_named("shared+adders").adders
    True
    """
    script, *extras = name.split("+")
    if script not in SCRIPTS or not set(extras) <= set(EXTRAS) or len(set(extras)) != len(extras):
        raise DesignError(f"no recipe {name!r}; it is one of {', '.join(SCRIPTS)}, and any of +{', +'.join(EXTRAS)}.")
    return Recipe(name, SCRIPTS[script], **dict.fromkeys(extras, True))


def quick_recipes() -> tuple[Recipe, ...]:
    """Return the few recipes that are worth trying every time."""
    return tuple(recipe_named(name) for name in QUICK)


def all_recipes(extras: tuple[str, ...] = EXTRAS) -> tuple[Recipe, ...]:
    """Return every script with every subset of `extras`."""
    chosen = [[extra for extra, used in zip(extras, flags, strict=True) if used]
              for flags in product((False, True), repeat=len(extras))]
    return tuple(recipe_named("+".join([script, *more])) for more in chosen for script in SCRIPTS)
