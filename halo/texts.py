"""The text of a file or folder: UTF-8 text, JSON Lines, or a Hugging Face dataset's folder (Arrow, Parquet)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from halo.errors import ModelError

TEXT = "text"
LINES = (".jsonl", ".ndjson")
TABLES = (".arrow", ".parquet")


def read_text(path: Path) -> str:
    """Return the text at `path`, documents joined by line ends.

    A file is UTF-8 text, or by its suffix JSON Lines (each line a text, or an object with one under "text"), Arrow or
    Parquet. A folder is what `datasets.Dataset.save_to_disk` writes, or holds such files, read in the order of their
    names; documents are the column "text", or the one column of text.

    Raises:
        ModelError: there is none, or no text in it; the message says what to give instead.
    """
    try:
        if path.is_dir():
            return "\n".join(document for file in dataset_files(path) for document in documents(file))
        return "\n".join(documents(path)) if path.suffix in LINES + TABLES else path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); name a UTF-8 text file, JSON Lines or a "
                         "dataset's folder.") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not a UTF-8 text ({error.reason} at byte {error.start}); convert it.") from error


def dataset_files(folder: Path) -> list[Path]:
    """Return the files of one split of a dataset, by name.

    Raises:
        ModelError: it holds none, or several splits.
    """
    if (splits := folder / "dataset_dict.json").exists():
        names = json.loads(splits.read_text(encoding="utf-8"))["splits"]
        raise ModelError(f"{folder}: a dataset of several splits; name one of {', '.join(map(str, names))}, such as "
                         f"{folder / names[0]}.")
    found = sorted(file for file in folder.iterdir() if file.suffix in LINES + TABLES)
    if not found:
        raise ModelError(f"{folder}: a folder without Arrow, Parquet or JSON Lines files; name a text file or the "
                         "folder of one split of a dataset.")
    return found


def documents(file: Path) -> Iterator[str]:
    """Return the texts of a JSON Lines, Arrow or Parquet file in order."""
    return lines_of(file) if file.suffix in LINES else rows_of(file)


def lines_of(file: Path) -> Iterator[str]:
    """Return the texts of a JSON Lines file.

    Raises:
        ModelError: a line is no JSON, or has no text.
    """
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise ModelError(f"{file}: line {number} is no JSON ({error.msg}); one document a line is read.") from error
        found = entry.get(TEXT) if isinstance(entry, dict) else entry
        if not isinstance(found, str):
            has = f"it has {', '.join(entry)}" if isinstance(entry, dict) else f"it is a {type(entry).__name__}"
            raise ModelError(f'{file}: line {number} has no text under "{TEXT}"; {has}.')
        yield found


def rows_of(file: Path) -> Iterator[str]:
    """Return the texts of an Arrow or Parquet file.

    Raises:
        ModelError: pyarrow is not installed, the file is damaged, or it is not clear which column is the text.
    """
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise ModelError(f"{file}: reading it needs pyarrow; install it (pip install pyarrow), or give text or JSON "
                         "Lines.") from error
    try:
        table = (parquet.read_table(file) if file.suffix == ".parquet" else
                 arrow.ipc.open_stream(arrow.memory_map(str(file))).read_all())
    except arrow.ArrowInvalid as error:
        raise ModelError(f"{file}: missing or damaged ({str(error).splitlines()[0]}); copy it again.") from error
    columns = [field.name for field in table.schema if field.type in (arrow.string(), arrow.large_string())]
    column = TEXT if TEXT in columns else columns[0] if len(columns) == 1 else None
    if column is None:
        names = ", ".join(table.schema.names)
        raise ModelError(f'{file}: no column "{TEXT}", nor a single one of text; it has {names}.')
    return (text for text in table.column(column).to_pylist() if text is not None)
