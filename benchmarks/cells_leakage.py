"""Leakage of every state of every cell against the foundry's, and where the foundry's own figures are at odds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from characterization.liberty_syntax import parse_liberty
from characterization.pdk import Corner

WATTS = {"1nW": 1.0, "1pW": 1e-3}
NEAR = (0.7, 1.3)


def state_leakage(corner: Corner) -> dict[str, dict[frozenset[str], float]]:
    """Return the leakage in nW by cell (without its library's prefix) and state (`{"A", "!B"}`)."""
    return {name.rpartition("__")[2]: states for path in corner.liberty for name, states in read_states(path).items()}


def read_states(path: Path) -> dict[str, dict[frozenset[str], float]]:
    """Return the states of one Liberty file's cells that state a condition."""
    library = parse_liberty(path)
    unit = WATTS[library.text("leakage_power_unit")]
    return {
        cell.name: {
            frozenset(re.findall(r"!?\w+", part.text("when"))): unit * (part.number("value") or 0.0)
            for part in cell.of_kind("leakage_power")
            if part.text("when")
        }
        for cell in library.of_kind("cell")
    }


def print_states(ours: Corner, theirs: Corner, outside: list[str]) -> None:
    """Print how many states agree, and every state that does not of the cells whose means lie apart."""
    mine, foundry = state_leakage(ours), state_leakage(theirs)
    pairs = [(cell, state, value, foundry[cell][state]) for cell, states in mine.items()
             for state, value in states.items() if foundry.get(cell, {}).get(state)]  # fmt: skip
    ratio = np.array([value / other for *_, value, other in pairs])
    near = (ratio >= NEAR[0]) & (ratio <= NEAR[1])
    print(f"leakage by state: {len(pairs)} states, median {np.median(ratio):.2f}x, {near.mean():.1%} within {NEAR}")
    for (cell, state, value, other), well in zip(pairs, near, strict=True):
        if cell in outside and not well:
            name = " ".join(sorted(state, key=lambda literal: literal.strip("!")))
            print(
                f"    {cell:<10} {name:<22} ours {1e3 * value:8.3f} pW, the foundry's {1e3 * other:8.3f}: "
                f"{1e3 * (other - value):+7.2f}; its other sizes {sizes(foundry, cell, state)}"
            )


def sizes(foundry: dict[str, dict[frozenset[str], float]], cell: str, state: frozenset[str]) -> str:
    """Return the foundry's leakage in pW of the same state in the cell's other sizes."""
    family = cell.rpartition("_")[0]
    rows = [f"{name} {1e3 * states[state]:.3f}" for name, states in sorted(foundry.items())
            if name != cell and name.rpartition("_")[0] == family and state in states]  # fmt: skip
    return ", ".join(rows) or "do not state it"
