"""Liberty's syntax: text -> a tree of groups with attributes. Knows nothing of what they mean."""

from __future__ import annotations

import gzip
import re
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from characterization.errors import LibertyError

# One statement: `}`, `name : value;`, `name (arguments);` or `name (arguments) {`. The semicolon is often left out.
STATEMENT = re.compile(
    r"[\s;\\]*(?:"
    r"(?P<close>\})"
    r"|(?P<name>[A-Za-z_][\w.]*)[ \t]*"
    r"(?::[ \t]*(?P<value>\"[^\"]*\"|[^;\n}]*)"
    r"|\((?P<arguments>[^()\"]*(?:\"[^\"]*\"[^()\"]*)*)\)\s*(?P<open>\{)?)"
    r"|(?P<end>\Z))"
)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """A Liberty file and its text without comments, lines kept."""

    path: Path
    text: str
    newlines: tuple[int, ...]

    def at(self, offset: int) -> str:
        """Return `file:line` of a place in the text."""
        return f"{self.path}:{bisect_left(self.newlines, offset) + 1}"


@dataclass(slots=True, eq=False)
class Group:
    """One `kind (arguments) { ... }`: its simple attributes, list attributes and groups, in the order of the file."""

    source: Source
    offset: int
    kind: str
    arguments: str
    simple: dict[str, str] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The first argument, without quotes."""
        return self.names[0] if self.names else ""

    @property
    def names(self) -> tuple[str, ...]:
        """All arguments, without quotes."""
        return tuple(part for part in re.split(r"[\s,\"]+", self.arguments) if part)

    @property
    def where(self) -> str:
        """`file:line` of the group."""
        return self.source.at(self.offset)

    def of_kind(self, *kinds: str) -> Iterator[Group]:
        """Yield the direct subgroups of these kinds."""
        return (group for group in self.groups if group.kind in kinds)

    def text(self, name: str, default: str = "") -> str:
        """Return a simple attribute without quotes."""
        return self.simple.get(name, default).strip().strip('"').strip()

    def number(self, name: str, default: float | None = None) -> float | None:
        """Return a simple attribute as a number, or `default` where it is absent.

        Raises:
            LibertyError: it is not a number.
        """
        if name not in self.simple:
            return default
        try:
            return float(self.text(name))
        except ValueError:
            raise LibertyError(f"{self.where}: {name} of {self.kind} ({self.name}) is {self.text(name)!r}, "
                               "not a number.") from None


def read_source(path: Path) -> Source:
    """Return a Liberty file's text, unpacked if it is gzipped, comments blanked.

    Raises:
        LibertyError: the file is missing, damaged, or ends inside a comment.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", errors="replace")
    except OSError as error:
        reason = error.strerror or error
        raise LibertyError(f"{path}: cannot be read ({reason}); give an existing Liberty file.") from error
    except (EOFError, zlib.error) as error:
        raise LibertyError(f"{path}: damaged gzip file ({error}); fetch it again.") from error
    text = COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
    source = Source(path, text, tuple(match.start() for match in re.finditer("\n", text)))
    if (start := source.text.find("/*")) >= 0:
        raise LibertyError(f"{source.at(start)}: comment is never closed; is the file truncated?")
    return source


def parse_liberty(path: Path) -> Group:
    """Return the `library` group of a Liberty file, gzipped or not.

    Raises:
        LibertyError: the file is truncated, or something in it is no statement.
    """
    source = read_source(path)
    top = Group(source, 0, "file", "")
    open_groups = [top]
    match, text, offset = STATEMENT.match, source.text, 0
    while found := match(text, offset):
        offset = found.end()
        kind = found.lastgroup
        if kind == "value":
            open_groups[-1].simple[found["name"]] = found["value"]
        elif kind == "arguments":
            holder, name, before = open_groups[-1].lists, found["name"], ""
            if name == "fanout_length" and name in holder:  # the one list that a group states line by line
                before = holder[name] + ";"
            holder[name] = before + found["arguments"]
        elif kind == "open":
            group = Group(source, found.start("name"), found["name"], found["arguments"])
            open_groups[-1].groups.append(group)
            open_groups.append(group)
        elif kind == "close" and len(open_groups) > 1:
            open_groups.pop()
        else:
            break
    if not found or found["end"] is None:
        raise LibertyError(f"{source.at(offset)}: {text[offset:offset + 60].split(chr(10))[0].strip()!r} "
                           "is no Liberty statement.")
    if len(open_groups) > 1:
        group = open_groups[-1]
        raise LibertyError(f"{source.at(len(text))}: file ends inside {group.kind} ({group.name}), opened at line "
                           f"{group.where.rsplit(':', 1)[1]}; is it truncated?")
    if not (libraries := [group for group in top.groups if group.kind == "library"]):
        raise LibertyError(f"{path}: has no library group; is it a Liberty file?")
    return libraries[0]
