"""to_markdown(): the sections of a report as Markdown; charts are still pictures in files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from halo.page.sections import Grid, Section

FIGURES = "figures"


def to_markdown(title: str, lead: str, sections: Sequence[Section], folder: Path) -> str:
    """Return the report as Markdown that lies in `folder`; a chart's picture is `figures`/NAME.svg there."""
    parts = [f"# {title}", lead]
    for section in sections:
        parts += [f"## {section.title}", *section.text]
        if section.facts:
            parts.append("\n".join(f"- **{fact.value}** {fact.label}{f' ({fact.note})' if fact.note else ''}"
                                   for fact in section.facts))
        if section.points:
            parts.append("\n".join(f"- {point}" for point in section.points))
        if section.commands:
            parts.append("\n".join(["```", *section.commands, "```"]))
        parts += [f"![{c.caption}]({FIGURES}/{c.name}.svg)\n\n*{c.caption}*" for c in section.charts]
        for grid in section.grids:
            parts += [*([f"**{grid.folded}**"] if grid.folded else []), markdown_table(grid),
                      *([f"*{grid.caption}*"] if grid.caption else [])]
        parts += [f"![{p.caption}]({p.path.relative_to(folder).as_posix()})\n\n*{p.caption}*" for p in section.pictures]
        if section.sources:
            parts.append(f"Source: {', '.join(map(str, section.sources))}")
    return "\n\n".join(parts) + "\n"


def markdown_table(grid: Grid) -> str:
    """Return a table in pipes; rows of ours are bold in the first column."""
    rule = [" --- ", *[" ---: "] * (len(grid.columns) - 1)]
    lines = ["| " + " | ".join(grid.columns) + " |", "|" + "|".join(rule) + "|"]
    for row in grid.rows:
        first = f"**{row[0]}**" if row[0] in grid.ours else row[0]
        lines.append("| " + " | ".join((first, *row[1:])) + " |")
    return "\n".join(lines)
