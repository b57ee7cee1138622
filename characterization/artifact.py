"""Files that can be trusted: content digests, provenance, atomic writes, and the stage cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from characterization.errors import ArtifactError


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex.

    >>> digest_bytes(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def digest_text(text: str) -> str:
    """Return the SHA-256 of `text` in UTF-8."""
    return digest_bytes(text.encode("utf-8"))


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Return the digest of a JSON-like value, whatever the order of its keys.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return digest_text(json.dumps(value, sort_keys=True, default=str))


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a saved result was made from. No dates, hosts or paths: equal inputs give equal bytes."""

    stage: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None

    @property
    def key(self) -> str:
        """The digest under which the result is cached."""
        return digest_of(asdict(self))

    def to_json(self) -> str:
        """Return the provenance as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, default=str)

    @staticmethod
    def from_json(text: str) -> Provenance:
        """Return the provenance whose `to_json` is `text`."""
        return Provenance(**json.loads(text))


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name if the block succeeds and vanishes if it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)
        partial.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path.parent)  # a failed write knows no path
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that takes its name if the block succeeds and vanishes if it fails.

    Raises:
        ArtifactError: `path` exists already.
    """
    if path.exists():
        raise ArtifactError(f"{path} exists already; choose another folder or remove it first.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` in one step."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def cached(
    folder: Path, provenance: Provenance, suffix: str, build: Callable[[], str]
) -> tuple[str, bool]:
    """Return the text that `build` makes, taken from `folder` if this provenance was built before.

    Returns:
        The text, and whether it came from the cache.
    """
    path = folder / f"{provenance.stage}-{provenance.key[:20]}{suffix}"
    if path.exists():
        return path.read_text(encoding="utf-8"), True
    text = build()
    write_text(path, text)
    return text, False
