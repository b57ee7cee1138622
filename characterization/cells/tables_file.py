"""CellTables as a JSON file, exact to the last bit: what one job of a run leaves behind for the next run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from characterization.cells.tables import (
    CellTables,
    Condition,
    Constraint,
    FlopFunction,
    HiddenEnergy,
    Leakage,
    MeasuredArc,
    MeasuredPin,
    MultiInput,
)
from characterization.errors import CellsError

SCHEMA = 1
# Rows of CellTables that are dataclasses, and which of their fields are arrays.
ROWS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "arcs": (MeasuredArc, ("delay_ps", "slew_ps", "energy_fj")), "hidden": (HiddenEnergy, ("energy_fj",)),
    "constraints": (Constraint, ("constraint_ps",)), "leakage": (Leakage, ()), "multi_input": (MultiInput, ()),
}


def tables_text(cell: CellTables) -> str:
    """Return a cell's tables as JSON; numbers are written so that they are read back equal."""
    table = asdict(cell) | {"schema": SCHEMA}
    return json.dumps(table, default=lambda array: array.tolist(), separators=(",", ":")) + "\n"


def read_tables(text: str, where: str) -> CellTables:
    """Return the tables in a file's text; `where` names the file.

    Raises:
        CellsError: the text is no such table, or of another schema.
    """
    try:
        table = json.loads(text)
        if table.pop("schema") != SCHEMA:
            raise ValueError("another schema")
        for name, (kind, arrays) in ROWS.items():
            table[name] = tuple(kind(**row | {key: np.array(row[key]) for key in arrays}) for row in table[name])
        pins = tuple(MeasuredPin(**row | {key: tuple(row[key]) for key in ("capacitance_ff", "loads_ff")})
                     for row in table["pins"])
        axes = {key: tuple(table[key]) for key in ("slews_ps", "constraint_slews_ps", "notes")}
        flop = FlopFunction(**table["flop"]) if table["flop"] else None
        return CellTables(**table | axes | {"pins": pins, "flop": flop, "condition": Condition(**table["condition"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CellsError(f"{where}: not the tables of a cell ({error}); remove it and measure again.") from error
