"""Pdk: a cell library's corners and the cells to leave alone, read from `pdks/<name>.toml` or a file of one's own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from characterization.errors import PdkError
from characterization.liberty_syntax import parse_liberty
from characterization.liberty_tables import operating_conditions

SHIPPED = Path(__file__).parent / "pdks"
KEYS: dict[str, type | tuple[type, ...]] = {"name": str, "root": str, "source": str, "dont_use": list, "corners": list}
CORNER_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str, "liberty": list, "process": str, "voltage_v": (int, float), "temp_c": (int, float),
}


@dataclass(frozen=True, slots=True)
class Corner:
    """One process, voltage and temperature; `liberty` are the files that together hold its cells."""

    name: str
    liberty: tuple[Path, ...]
    process: str
    voltage_v: float
    temp_c: float


@dataclass(frozen=True, slots=True)
class Pdk:
    """A cell library. `dont_use` are glob patterns of cells that synthesis leaves alone."""

    name: str
    corners: tuple[Corner, ...]
    dont_use: tuple[str, ...] = ()

    def corner(self, name: str | None = None) -> Corner:
        """Return the corner called `name`; None means the only one.

        Raises:
            PdkError: there is no such corner, or several and none was named.
        """
        for corner in self.corners:
            if corner.name == name or (name is None and len(self.corners) == 1):
                return corner
        asked = "no corner was named" if name is None else f"no corner {name!r}"
        raise PdkError(f"PDK {self.name}: {asked}; it has {', '.join(corner.name for corner in self.corners)}.")


def read_pdk(name_or_path: str | Path, root: Path | None = None) -> Pdk:
    """Return the PDK of a shipped name (`osu018`) or of a TOML file.

    Args:
        name_or_path: a name under `characterization/pdks`, or a path.
        root: folder of the Liberty files, in place of the file's own `root` (which is relative to the TOML file).

    Raises:
        PdkError: there is no such PDK, its file is malformed, or a Liberty file is missing.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = SHIPPED / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise PdkError(f"no PDK {str(name_or_path)!r}; give one of {known}, or the path of a PDK's TOML file.")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PdkError(f"{path}: not a TOML file ({error}).") from error
    if problems := problems_of(table):
        raise PdkError(f"{path}: {'; '.join(problems)}.")
    folder = root or path.parent / Path(table.get("root", ".")).expanduser()
    corners = tuple(build_corner(row, folder) for row in table["corners"])
    if missing := [file for corner in corners for file in corner.liberty if not file.is_file()]:
        source = f" It comes with {table['source']}." if "source" in table else ""
        raise PdkError(f"{path}: Liberty file {missing[0]} is missing ({len(missing)} in all).{source}")
    return Pdk(table["name"], corners, tuple(table.get("dont_use", ())))


def build_corner(row: Mapping[str, Any], folder: Path) -> Corner:
    """Return the corner of one checked table."""
    files = tuple((folder / name).resolve() for name in row["liberty"])
    return Corner(row["name"], files, row["process"], float(row["voltage_v"]), float(row["temp_c"]))


def problems_of(table: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong with a PDK's table."""
    problems = shape_problems(table, KEYS, {"name", "corners"}, "")
    corners = table.get("corners")
    if not isinstance(corners, list) or not corners:
        return [*problems, "corners must be a list of tables, at least one [[corners]]"]
    for i, row in enumerate(corners):
        if not isinstance(row, dict):
            problems.append(f"corners[{i}] = {row!r} must be a table")
            continue
        problems += shape_problems(row, CORNER_KEYS, set(CORNER_KEYS), f"corners[{i}].")
        if not row.get("liberty") or not all(isinstance(name, str) for name in row["liberty"]):
            problems.append(f"corners[{i}].liberty must be a list of file names, not empty")
    names = [row.get("name") for row in corners if isinstance(row, dict)]
    problems += [f"two corners are called {name!r}" for name in dict.fromkeys(names) if names.count(name) > 1]
    return problems


def shape_problems(
    table: Mapping[str, Any], keys: Mapping[str, type | tuple[type, ...]], needed: set[str], prefix: str
) -> list[str]:
    """Return unknown keys, missing keys and values of the wrong type."""
    known = ", ".join(keys)
    problems = [f"unknown key {prefix}{key}; known are {known}" for key in table if key not in keys]
    problems += [f"key {prefix}{key} is missing" for key in keys if key in needed and key not in table]
    problems += [f"{prefix}{key} = {value!r} is of the wrong type" for key, value in table.items()
                 if key in keys and (not isinstance(value, keys[key]) or isinstance(value, bool))]
    return problems


def pdk_from_liberty(*paths: Path) -> Pdk:
    """Return a PDK of one corner made of these Liberty files; voltage and temperature are what the first one states.

    Raises:
        PdkError: a file is missing.
        LibertyError: the first file is malformed or states no operating conditions.
    """
    for path in paths:
        if not path.is_file():
            raise PdkError(f"{path}: no such Liberty file.")
    library = parse_liberty(paths[0])
    voltage_v, temp_c = operating_conditions(library)
    process = library.text("default_operating_conditions") or "nominal"
    corner = Corner(library.name, tuple(path.resolve() for path in paths), process, voltage_v, temp_c)
    return Pdk(library.name, (corner,))
