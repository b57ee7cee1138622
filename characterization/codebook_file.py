"""Codebook files: named sets of weight values, which `halo` proposes and `characterize certify` proves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from characterization.artifact import write_text
from characterization.errors import ArtifactError

SCHEMA = 1


def write_codebooks(path: Path, codebooks: Mapping[str, Sequence[int]]) -> None:
    """Write named sets of codes as JSON, one line each."""
    rows = [f"  {json.dumps(name)}: {json.dumps(sorted({int(code) for code in codes}))}"
            for name, codes in codebooks.items()]
    write_text(path, f'{{"schema": {SCHEMA}, "codebooks": {{\n' + ",\n".join(rows) + "\n}}\n")


def read_codebooks(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the named sets of codes of a file, each sorted.

    Raises:
        ArtifactError: the file is missing, is no such JSON, or a set is empty or holds something else than integers.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path}: no readable codebook file ({error.strerror}).") from error
    except ValueError as error:
        raise ArtifactError(f"{path}: not JSON ({error}).") from error
    books = table.get("codebooks") if isinstance(table, dict) and table.get("schema") == SCHEMA else None
    if not isinstance(books, dict) or not books:
        raise ArtifactError(f'{path}: not a codebook file; it must be {{"schema": {SCHEMA}, "codebooks": '
                            '{"name": [-64, 0, 64], ...}}.')
    if wrong := [name for name, codes in books.items() if not are_codes(codes)]:
        raise ArtifactError(f"{path}: codebook {wrong[0]!r} must be a list of integers, not empty.")
    return {name: tuple(sorted(set(codes))) for name, codes in books.items()}


def are_codes(codes: Any) -> bool:
    """Whether `codes` is a list of integers, not empty."""
    return isinstance(codes, list) and bool(codes) and all(type(code) is int for code in codes)
