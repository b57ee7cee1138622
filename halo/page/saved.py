"""save_sections(), load_sections(): the text and tables of a page as JSON, for another page to show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from characterization.artifact import write_text
from halo.errors import OutputError
from halo.page.sections import Grid, Section

SCHEMA = 1


def save_sections(title: str, lead: str, sections: Sequence[Section], path: Path) -> None:
    """Write titles, texts, points and tables as JSON, in one step; charts and pictures stay behind."""
    content = [{"title": section.title, "text": section.text, "points": section.points, "grids": [
        {"columns": grid.columns, "rows": grid.rows, "caption": grid.caption, "ours": sorted(grid.ours),
         "folded": grid.folded} for grid in section.grids]} for section in sections]
    whole = {"schema": SCHEMA, "kind": "halo.Sections", "title": title, "lead": lead, "sections": content}
    write_text(path, json.dumps(whole, indent=1) + "\n")


def load_sections(path: Path) -> tuple[str, str, tuple[Section, ...]]:
    """Return title, lead and sections of a saved page.

    Raises:
        OutputError: it is missing, damaged, or of another schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] == SCHEMA:
            sections = tuple(Section(fields["title"], tuple(fields["text"]), tuple(fields["points"]), tuple(
                Grid(tuple(grid["columns"]), tuple(map(tuple, grid["rows"])), grid["caption"], frozenset(grid["ours"]),
                     grid["folded"]) for grid in fields["grids"])) for fields in content["sections"])
            return content["title"], content["lead"], sections
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path}: not a readable page ({error!r}); run `halo compare` again.") from error
    raise OutputError(f"{path}: schema {content['schema']}, this program reads {SCHEMA}; run `halo compare` again.")
