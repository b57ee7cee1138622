"""Factors on a cell's arcs when several inputs switch at once: the JSON file that lies beside a Liberty file.

    {"schema": 1, "cells": {"maj3_1": {"X": {"fall": [1.06, 0.8], "rise": [1.04, 0.9]}}}}

Each pair is (late, early): at least 1, slower than the slowest single arc of that edge; at most 1, faster than the
fastest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from characterization.errors import LibertyError
from characterization.liberty import CellLibrary

SCHEMA = 1
EDGES = ("fall", "rise")
# By (output pin, edge); edges are FALL=0, RISE=1.
Factors = Mapping[tuple[str, int], tuple[float, float]]


def multi_input_path(liberty: Path) -> Path:
    """Return the file of factors that belongs to a Liberty file.

    >>> multi_input_path(Path("a/tt.lib.gz")).name
    'tt.multi_input.json'
    """
    return liberty.with_name(liberty.name.removesuffix(".gz").removesuffix(".lib") + ".multi_input.json")


def multi_input_text(cells: Mapping[str, Factors]) -> str:
    """Return the file's text, one line per cell, in the order of the cells' names."""
    rows = []
    for name, factors in sorted(cells.items()):
        pins: dict[str, dict[str, list[float]]] = {}
        for (pin, edge), pair in sorted(factors.items()):
            pins.setdefault(pin, {})[EDGES[edge]] = [float(f"{value:.4g}") for value in pair]
        rows.append(f" {json.dumps(name)}: {json.dumps(pins)}")
    return f'{{"schema": {SCHEMA}, "cells": {{\n' + ",\n".join(rows) + "\n}}\n"


def read_multi_input(path: Path, library: CellLibrary) -> dict[str, Factors]:
    """Return the factors of a file, by cell; each cell and pin must be one of `library`.

    Raises:
        LibertyError: the file is malformed, of another schema, or speaks of what the library lacks.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LibertyError(f"{path}: no JSON ({error}); write it again with `characterize cells`.") from error
    if not isinstance(table, dict) or table.get("schema") != SCHEMA or not isinstance(table.get("cells"), dict):
        raise LibertyError(f"{path}: not a file of multi-input factors with schema {SCHEMA} and cells; write it again "
                           "with `characterize cells`.")
    return {name: read_factors(path, name, pins, library) for name, pins in table["cells"].items()}


def read_factors(path: Path, name: str, pins: Any, library: CellLibrary) -> Factors:
    """Return the factors of one cell."""
    if name not in library.cells:
        raise LibertyError(f"{path}: names cell {name}, which {library.name} lacks; do the two files belong together?")
    factors = {}
    for pin, edges in (pins if isinstance(pins, dict) else {"": pins}).items():
        if pin not in library.cells[name].outputs or not isinstance(edges, dict):
            raise LibertyError(f"{path}: cell {name} has no output {pin!r} with factors by edge; "
                               "do the two files belong together?")
        for edge, pair in edges.items():
            if edge not in EDGES or not is_pair(pair):
                raise LibertyError(f"{path}: cell {name}, pin {pin}, {edge} = {pair!r}; expected fall or rise with "
                                   "[late >= 1, 0 < early <= 1].")
            factors[pin, EDGES.index(edge)] = (float(pair[0]), float(pair[1]))
    return MappingProxyType(factors)


def is_pair(pair: Any) -> bool:
    """Whether this is [late, early] within their bounds."""
    numbers = isinstance(pair, list) and len(pair) == 2 and all(isinstance(value, int | float) for value in pair)
    return numbers and pair[0] >= 1 and 0 < pair[1] <= 1
