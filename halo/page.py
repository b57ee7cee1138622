"""Sections of a report, and the same sections as Markdown and as one self-contained HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 "DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif; color: #1f2933; background: #fff;
  margin: 0 auto; max-width: 1080px; padding: 24px 32px 64px; }
h1 { font-size: 24px; margin: 0 0 4px; }
h2 { font-size: 17px; margin: 36px 0 8px; padding-top: 12px; border-top: 1px solid #cbd2d9; }
p { margin: 6px 0; max-width: 86ch; } ul { margin: 6px 0; padding-left: 20px; } li { max-width: 96ch; }
p.lead { color: #52606d; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; margin: 10px 0; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 9px; text-align: right; border-bottom: 1px solid #e4e7eb; white-space: nowrap; }
th { border-bottom: 2px solid #7b8794; vertical-align: bottom; font-weight: 600; white-space: normal; max-width: 84px; }
th:first-child, td:first-child { text-align: left; }
tr.ours td { background: #fff7ed; }
figure { margin: 12px 0; } img { max-width: 100%; height: auto; }
figcaption, caption { color: #52606d; font-size: 13px; text-align: left; caption-side: bottom; padding-top: 4px; }
""".strip()


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: the first column is text, the others numbers already printed. `ours` marks rows to set off."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    ours: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file beside the report."""

    path: Path
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with text, points, tables and pictures, shown in this order."""

    title: str
    text: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    pictures: tuple[Picture, ...] = ()


def to_markdown(title: str, lead: str, sections: Sequence[Section], folder: Path) -> str:
    """Return the report as Markdown; pictures are linked relative to `folder`."""
    parts = [f"# {title}", lead]
    for section in sections:
        parts += [f"## {section.title}", *section.text]
        if section.points:
            parts.append("\n".join(f"- {point}" for point in section.points))
        for grid in section.grids:
            parts += [markdown_table(grid), *([f"*{grid.caption}*"] if grid.caption else [])]
        parts += [f"![{p.caption}]({p.path.relative_to(folder).as_posix()})\n\n*{p.caption}*" for p in section.pictures]
    return "\n\n".join(parts) + "\n"


def markdown_table(grid: Grid) -> str:
    """Return a table in pipes; rows of ours are bold in the first column."""
    rule = [" --- ", *[" ---: "] * (len(grid.columns) - 1)]
    lines = ["| " + " | ".join(grid.columns) + " |", "|" + "|".join(rule) + "|"]
    for row in grid.rows:
        first = f"**{row[0]}**" if row[0] in grid.ours else row[0]
        lines.append("| " + " | ".join((first, *row[1:])) + " |")
    return "\n".join(lines)


def to_html(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return the report as one HTML page with its pictures inside."""
    body = "\n".join(html_section(section) for section in sections)
    name, view = html.escape(title), "width=device-width, initial-scale=1"
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
            f'<meta name="viewport" content="{view}">\n<style>\n{STYLE}\n</style>\n</head>\n'
            f'<body>\n<h1>{name}</h1>\n<p class="lead">{html.escape(lead)}</p>\n{body}\n</body>\n</html>\n')


def html_section(section: Section) -> str:
    """Return one section as HTML."""
    parts = [f"<h2>{html.escape(section.title)}</h2>", *(f"<p>{html.escape(text)}</p>" for text in section.text)]
    if section.points:
        parts.append("<ul>" + "".join(f"<li>{html.escape(point)}</li>" for point in section.points) + "</ul>")
    parts += [html_table(grid) for grid in section.grids]
    parts += [html_picture(picture) for picture in section.pictures]
    return "\n".join(parts)


def html_table(grid: Grid) -> str:
    """Return a table as HTML."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in grid.columns)
    rows = []
    for row in grid.rows:
        mark = ' class="ours"' if row[0] in grid.ours else ""
        rows.append(f"<tr{mark}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>")
    caption = f"<caption>{html.escape(grid.caption)}</caption>" if grid.caption else ""
    head, body = f"<thead><tr>{head}</tr></thead>", "<tbody>\n" + "\n".join(rows) + "\n</tbody>"
    return f'<div class="scroll"><table>{caption}{head}\n{body}</table></div>'


def html_picture(picture: Picture) -> str:
    """Return a picture, embedded."""
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    caption = html.escape(picture.caption)
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
