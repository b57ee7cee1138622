"""to_html(): the sections of a report as one HTML page that needs no network, and no scripts to be read."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from halo.page.sections import Chart, Fact, Grid, Picture, Section, Source, anchor, charts_of
from halo.page.vega import runtime, to_svg, to_vega

# Sources that stand in the open.
FEW = 3
# Letters from which on a cell is text.
LONG = 40
# Nothing is fetched, ever: the browser itself refuses. Vega compiles its expressions, which the last word allows.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'"
CODE = re.compile("`([^`]+)`")


def to_html(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return the report as one HTML page: charts as still pictures, which its script makes interactive."""
    vega = {chart.name: to_vega(chart.spec) for chart in charts_of(sections)}
    body = "\n".join(html_section(section, vega) for section in sections)
    links = "".join(f'<a href="#{anchor(s.title)}">{escape(s.title)}</a>' for s in sections)
    contents = f'<nav aria-label="Contents">{links}</nav>\n' if len(sections) > 3 else ""
    name, view = escape(title), "width=device-width, initial-scale=1"
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            f'<meta name="viewport" content="{view}">\n<meta name="color-scheme" content="light dark">\n'
            f'<style>\n{asset("page.css")}</style>\n</head>\n<body>\n<header><h1>{name}</h1>\n'
            f'<p class="lead">{escape(lead)}</p></header>\n{contents}<main>\n{body}\n</main>\n'
            f"{scripts(vega)}</body>\n</html>\n")


def prose(text: str) -> str:
    """Return a text as HTML; what stands between backticks is code, as in Markdown.

    >>> prose("`halo report` writes < 1 page"), prose("a ` alone")
    ('<code>halo report</code> writes &lt; 1 page', 'a ` alone')
    """
    return CODE.sub(r"<code>\1</code>", escape(text))


def asset(name: str) -> str:
    """Return a file of this package."""
    return (files("halo.page") / name).read_text(encoding="utf-8")


def scripts(vega: dict[str, dict[str, Any]]) -> str:
    """Return what makes the charts of a page interactive; '' for a page without any."""
    if not vega:
        return ""
    # "</" would end the element wherever it stood in the data.
    data = json.dumps(vega, separators=(",", ":")).replace("</", "<\\/")
    return (f'<script type="application/json" id="charts">{data}</script>\n<script>{runtime()}</script>\n'
            f"<script>\n{asset('page.js')}</script>\n")


def html_section(section: Section, vega: dict[str, dict[str, Any]]) -> str:
    """Return one section as HTML."""
    parts = [f'<section id="{anchor(section.title)}">', f"<h2>{escape(section.title)}</h2>",
             *(f"<p>{prose(text)}</p>" for text in section.text)]
    if section.facts:
        parts.append(f'<div class="facts">{"".join(map(html_fact, section.facts))}</div>')
    if section.points:
        parts.append("<ul>" + "".join(f"<li>{prose(point)}</li>" for point in section.points) + "</ul>")
    if section.commands:
        parts.append("<pre>" + escape("\n".join(section.commands)) + "</pre>")
    parts += [html_chart(chart, vega[chart.name]) for chart in section.charts]
    parts += [html_grid(grid) for grid in section.grids]
    parts += [html_picture(picture) for picture in section.pictures]
    parts += html_sources(section.sources)
    return "\n".join([*parts, "</section>"])


def html_sources(sources: Sequence[Source]) -> list[str]:
    """Return the files that a section's numbers come from, folded away where they are many."""
    if not sources:
        return []
    listed = escape(", ".join(map(str, sources)))
    if len(sources) <= FEW:
        return [f'<p class="source">Source: {listed}</p>']
    names = escape(", ".join(dict.fromkeys(source.name.rpartition("/")[2] for source in sources)))
    return [f'<details class="source"><summary>Source: {names} ({len(sources)} files, each with its digest)</summary>'
            f"{listed}</details>"]


def html_fact(fact: Fact) -> str:
    """Return one figure."""
    note = f"<small>{prose(fact.note)}</small>" if fact.note else ""
    return f"<div><b>{escape(fact.value)}</b><span>{escape(fact.label)}</span>{note}</div>"


def html_chart(chart: Chart, vega: dict[str, Any]) -> str:
    """Return a chart as a still picture, in the place where the script draws it anew."""
    return (f'<figure class="chart" data-chart="{escape(chart.name)}"><div class="controls"></div>'
            f'<div class="drawing">{to_svg(vega, chart.name)}</div>'
            f"<figcaption>{prose(chart.caption)}</figcaption></figure>")


def html_grid(grid: Grid) -> str:
    """Return a table as HTML, folded away where it says so."""
    table = html_table(grid)
    return f"<details><summary>{escape(grid.folded)}</summary>{table}</details>" if grid.folded else table


def html_table(grid: Grid) -> str:
    """Return a table as HTML."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in grid.columns)
    rows = []
    for row in grid.rows:
        mark = ' class="ours"' if row[0] in grid.ours else ""
        rows.append(f"<tr{mark}>" + "".join(map(html_cell, row)) + "</tr>")
    # The span stays in sight while a wide table is scrolled.
    caption = f"<caption><span>{prose(grid.caption)}</span></caption>" if grid.caption else ""
    head, body = f"<thead><tr>{head}</tr></thead>", "<tbody>\n" + "\n".join(rows) + "\n</tbody>"
    wide = " wide" if len(grid.columns) > 10 else ""
    return f'<div class="scroll{wide}"><table>{caption}{head}\n{body}</table></div>'


def html_cell(cell: str) -> str:
    """Return one cell; a long text may take several lines, a number never."""
    return f'<td class="text">{escape(cell)}</td>' if len(cell) > LONG else f"<td>{escape(cell)}</td>"


def html_picture(picture: Picture) -> str:
    """Return a picture, embedded."""
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    caption = escape(picture.caption)
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
