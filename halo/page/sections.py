"""Section and its parts: facts, text, tables, charts and pictures, and where each comes from.

`markdown.py` and `html.py` show the same sections; numbers are printed once, in the nouns, so both show the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: the first column is text, the others numbers already printed. `ours` marks rows to set off.

    Attributes:
        folded: what stands in place of a long table until it is opened; '' for a table that is always open.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    ours: frozenset[str] = frozenset()
    folded: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file beside the report."""

    path: Path
    caption: str


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart as a Vega-Lite specification; without scripts it is a still picture of itself.

    Attributes:
        name: of its file and of its place in the page.
    """

    name: str
    spec: Mapping[str, Any]
    caption: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure for a reader in a hurry: the figure, what it is, and what goes with it."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """An artifact that figures come from: its path in the run's folder, and the SHA-256 of its content."""

    name: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name} ({self.digest[:12]})"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with facts, text, points, charts, tables and pictures, shown in this order, and their sources."""

    title: str
    text: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    pictures: tuple[Picture, ...] = ()
    charts: tuple[Chart, ...] = ()
    facts: tuple[Fact, ...] = ()
    commands: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


def anchor(title: str) -> str:
    """Return the name of a section in an address.

    >>> anchor("What was gained, and what was not")
    'what-was-gained-and-what-was-not'
    """
    kept = "".join(letter if letter.isalnum() else " " for letter in title.lower())
    return "-".join(kept.split())


def charts_of(sections: Sequence[Section]) -> tuple[Chart, ...]:
    """Return all charts of a page."""
    return tuple(chart for section in sections for chart in section.charts)
