"""The text of a file or folder: UTF-8 text, JSON Lines, or a Hugging Face dataset's folder (Arrow, Parquet)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from halo.errors import ModelError

TEXT = "text"
LINES = (".jsonl", ".ndjson")
TABLES = (".arrow", ".parquet")
# Some editors put a byte order mark before the first line.
UTF8 = "utf-8-sig"
# How a file in Arrow's format for files begins; one of its format for streams, which datasets writes, does not.
ARROW_FILE = b"ARROW1"
SPLIT = re.compile(r"(?:^|[-_.])(train|test|validation|valid|val|dev)(?:$|[-_.])")


def read_text(path: Path) -> str:
    """Return the text at `path`, documents joined by line ends.

    A file is UTF-8 text, or by its suffix JSON Lines (each line a text, or an object with one under "text"), Arrow or
    Parquet. A folder is what `datasets.Dataset.save_to_disk` writes, or holds such files, read in the order of their
    names; documents are the column "text", or the one column of text where there is none of that name.

    Raises:
        ModelError: there is none, or no text in it; the message says what to give instead.
    """
    try:
        if path.is_dir():
            return "\n".join(document for file in dataset_files(path) for document in documents(file))
        if path.suffix.lower() == ".json":
            raise ModelError(f"{path}: JSON is no text; give JSON Lines, one document a line, in a file called .jsonl.")
        return "\n".join(documents(path)) if is_dataset(path) else path.read_text(encoding=UTF8)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); name a UTF-8 text file, JSON Lines or a "
                         "dataset's folder.") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not a UTF-8 text ({error.reason} at byte {error.start}); convert it.") from error


def is_dataset(file: Path) -> bool:
    """Return whether a file's name says that it holds documents."""
    return file.suffix.lower() in LINES + TABLES


def dataset_files(folder: Path) -> list[Path]:
    """Return the files of one split of a dataset, by name; those that `save_to_disk` has listed where there is a list.

    Raises:
        ModelError: it holds none, or several splits.
    """
    try:
        if (splits := folder / "dataset_dict.json").exists():
            found = [str(name) for name in json.loads(splits.read_text(encoding="utf-8"))["splits"]]
            raise ModelError(f"{folder}: a dataset of several splits; name the folder of one: {', '.join(found)}.")
        if (state := folder / "state.json").exists():
            # Beside them may lie what `map` and `filter` have cached: the same documents again.
            return [folder / str(entry["filename"])
                    for entry in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
    except (ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{folder}: the dataset's list of its files is damaged ({error}); copy it again.") from error
    files = sorted(file for file in folder.iterdir() if is_dataset(file) and file.is_file())
    if not files:
        raise ModelError(f"{folder}: a folder without Arrow, Parquet or JSON Lines files; name a text file or the "
                         "folder of one split of a dataset.")
    splits_met = sorted({met[1] for file in files if (met := SPLIT.search(file.stem))})
    if len(splits_met) > 1:
        raise ModelError(f"{folder}: files of several splits ({', '.join(splits_met)}); name one file, or move those "
                         "of one split to a folder of their own.")
    return files


def documents(file: Path) -> Iterator[str]:
    """Return the texts of a JSON Lines, Arrow or Parquet file in order."""
    return lines_of(file) if file.suffix.lower() in LINES else rows_of(file)


def lines_of(file: Path) -> Iterator[str]:
    """Return the texts of a JSON Lines file.

    Raises:
        ModelError: a line is no JSON, or has no text.
    """
    for number, line in enumerate(file.read_text(encoding=UTF8).split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", error)
            raise ModelError(f"{file}: line {number} is no JSON ({reason}); one document a line is read.") from error
        found = entry.get(TEXT) if isinstance(entry, dict) else entry
        if not isinstance(found, str):
            named = isinstance(entry, dict)
            has = f"it has {', '.join(entry) or 'nothing'}" if named else f"it is a {type(entry).__name__}"
            raise ModelError(f'{file}: line {number} has no text under "{TEXT}"; {has}.')
        try:
            found.encode()
        except UnicodeEncodeError as error:
            raise ModelError(f"{file}: line {number} has half of a character ({error.reason}); leave it "
                             "out.") from error
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
        table = parquet.read_table(file) if file.suffix.lower() == ".parquet" else arrow_table(arrow, file)
    except (arrow.ArrowException, OSError) as error:
        raise ModelError(f"{file}: missing or damaged ({str(error).splitlines()[0]}); copy it again.") from error
    column = text_column(arrow, file, table.schema)
    return (text for text in table.column(column).to_pylist() if text is not None)


def arrow_table(arrow: Any, file: Path) -> Any:
    """Return the table of an Arrow file, in the format for streams or for files."""
    with file.open("rb") as stream:
        whole = stream.read(len(ARROW_FILE)) == ARROW_FILE
    return (arrow.ipc.open_file if whole else arrow.ipc.open_stream)(arrow.memory_map(str(file))).read_all()


def text_column(arrow: Any, file: Path, schema: Any) -> str:
    """Return the name of the column "text", or of the one column of text where there is none of that name.

    Raises:
        ModelError: that is no text, or there are several.
    """
    def is_text(kind: Any) -> bool:
        kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
        return kind in (arrow.string(), arrow.large_string(), arrow.string_view())

    found = [field.name for field in schema if is_text(field.type)]
    if TEXT in schema.names and TEXT not in found:
        raise ModelError(f'{file}: its column "{TEXT}" holds {schema.field(TEXT).type}, no text.')
    if TEXT not in found and len(found) != 1:
        raise ModelError(f'{file}: no column "{TEXT}", nor a single one of text; it has {", ".join(schema.names)}.')
    return TEXT if TEXT in found else str(found[0])
