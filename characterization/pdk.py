"""Pdk: a cell library's corners and the cells to leave alone, read from `pdks/<name>.toml` or a file of one's own."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from characterization.errors import PdkError
from characterization.liberty_syntax import parse_liberty
from characterization.liberty_tables import operating_conditions
from characterization.pdk_places import find_root, liberty_file

SHIPPED = Path(__file__).parent / "pdks"
KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str, "description": str, "licence": str, "root": (str, list), "source": str, "dont_use": list,
    "corners": list,
    "multi_input_late": (int, float), "multi_input_early": (int, float), "nominal_voltage_v": (int, float),
}
CORNER_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str, "liberty": list, "process": str, "voltage_v": (int, float), "temp_c": (int, float),
}
NAME = re.compile(r"(?P<process>[a-z]+)_(?P<sign>n?)(?P<temp>\d+)C_(?P<volt>\d+)v(?P<part>\d+)")
SAME_V = 1e-6


@dataclass(frozen=True, slots=True)
class Corner:
    """One process, voltage and temperature.

    Attributes:
        liberty: the files that together hold its cells; of an interpolated corner, those of both neighbours.
        interpolated: the two characterized corners between whose voltages this one lies; None if it is one itself.
        multi_input: (late, early) factors on cells of several inputs where no measured ones lie beside the Liberty.
    """

    name: str
    liberty: tuple[Path, ...]
    process: str
    voltage_v: float
    temp_c: float
    interpolated: tuple[Corner, Corner] | None = None
    multi_input: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Pdk:
    """A cell library.

    Attributes:
        dont_use: glob patterns of cells that synthesis leaves alone.
        nominal_voltage_v: what a MAC is characterized for where no voltage is asked; None: at every corner.
    """

    name: str
    corners: tuple[Corner, ...]
    dont_use: tuple[str, ...] = ()
    nominal_voltage_v: float | None = None

    def corner(self, name: str | None = None) -> Corner:
        """Return the corner called `name`; None means the only one.

        A name such as `ss_n40C_1v70` may also lie between two characterized voltages of its process and temperature.

        Raises:
            PdkError: there is no such corner, or several and none was named.
        """
        for corner in self.corners:
            if corner.name == name or (name is None and len(self.corners) == 1):
                return corner
        if name is not None and (condition := parse_corner_name(name)):
            return self.at(*condition)
        asked = "no corner was named" if name is None else f"no corner {name!r}"
        raise PdkError(f"PDK {self.name}: {asked}; it has {', '.join(corner.name for corner in self.corners)}.")

    def at(self, process: str, temp_c: float, voltage_v: float) -> Corner:
        """Return the corner at this voltage: a characterized one, or one interpolated between its two neighbours.

        Raises:
            PdkError: nothing of this process and temperature is characterized, or the voltage lies outside its range.
        """
        row = sorted((corner for corner in self.corners if (corner.process, corner.temp_c) == (process, temp_c)),
                     key=lambda corner: corner.voltage_v)  # fmt: skip
        name = corner_name(process, temp_c, voltage_v)
        if not row:
            known = ", ".join(dict.fromkeys(f"{corner.process} at {corner.temp_c:g} C" for corner in self.corners))
            raise PdkError(f"PDK {self.name}: no corner {name}: nothing of process {process} at {temp_c:g} C is "
                           f"characterized; it has {known}.")
        for corner in row:
            if abs(corner.voltage_v - voltage_v) < SAME_V:
                return corner
        below = [corner for corner in row if corner.voltage_v < voltage_v]
        if not below or len(below) == len(row):
            span = f"{row[0].voltage_v:g} to {row[-1].voltage_v:g} V"
            raise PdkError(f"PDK {self.name}: corner {name} lies outside {span}, which {process} at {temp_c:g} C is "
                           "characterized for; nothing is extrapolated.")
        pair = (below[-1], row[len(below)])
        return Corner(name, pair[0].liberty + pair[1].liberty, process, voltage_v, temp_c, pair, pair[0].multi_input)


def corner_name(process: str, temp_c: float, voltage_v: float) -> str:
    """Return the name of a corner, to the millivolt at least.

    >>> corner_name("ss", -40, 1.7), corner_name("tt", 25, 1.725)
    ('ss_n40C_1v70', 'tt_025C_1v725')
    """
    temperature = f"n{-temp_c:g}" if temp_c < 0 else f"{temp_c:03g}"
    whole, _, part = f"{voltage_v:.6f}".rstrip("0").partition(".")
    return f"{process}_{temperature}C_{whole}v{part:0<2}"


def parse_corner_name(name: str) -> tuple[str, float, float] | None:
    """Return process, temperature and voltage of a corner's name; None if it is not built like one.

    >>> parse_corner_name("ss_n40C_1v725"), parse_corner_name("typical")
    (('ss', -40.0, 1.725), None)
    """
    found = NAME.fullmatch(name)
    if found is None:
        return None
    temp_c = float(found["temp"]) * (-1 if found["sign"] else 1)
    return found["process"], temp_c, float(f"{found['volt']}.{found['part']}")


def read_pdk(name_or_path: str | Path, root: Path | None = None) -> Pdk:
    """Return the PDK of a shipped name (`osu018`) or of a TOML file.

    Args:
        name_or_path: a name under `characterization/pdks`, or a path.
        root: folder of the Liberty files, in place of those that the file names (which are relative to itself, or
            lie in `${PDK_ROOT}` and the like).

    Raises:
        PdkError: there is no such PDK, its file is malformed, or a Liberty file is missing.
    """
    path = pdk_file(name_or_path)
    table = read_table(path)
    pdk = build_pdk(table, root or root_of(table, path) or path.parent)
    if missing := missing_files(pdk):
        source = f" It comes with {table['source']}." if "source" in table else ""
        raise PdkError(f"{path}: Liberty file {missing[0]} is missing ({len(missing)} in all).{source}")
    return pdk


def pdk_file(name_or_path: str | Path) -> Path:
    """Return the TOML file of a shipped name or path.

    Raises:
        PdkError: there is none.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = SHIPPED / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise PdkError(f"no PDK {str(name_or_path)!r}; give one of {known}, or the path of a PDK's TOML file.")
    return path


def read_table(path: Path) -> dict[str, Any]:
    """Return the checked table of a PDK's TOML file.

    Raises:
        PdkError: it is malformed; all its problems in one message.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PdkError(f"{path}: not a TOML file ({error}).") from error
    if problems := problems_of(table):
        raise PdkError(f"{path}: {'; '.join(problems)}.")
    return table


def root_of(table: Mapping[str, Any], path: Path) -> Path | None:
    """Return the folder of a PDK's Liberty files, there or not; None where it depends on variables that are not set."""
    roots = table.get("root", ".")
    files = [name for row in table["corners"] for name in row["liberty"]]
    return find_root([roots] if isinstance(roots, str) else roots, path.parent, os.environ, files)


def build_pdk(table: Mapping[str, Any], folder: Path) -> Pdk:
    """Return the PDK of a checked table whose Liberty files lie in `folder`."""
    factors = (float(table.get("multi_input_late", 1.0)), float(table.get("multi_input_early", 1.0)))
    corners = tuple(build_corner(row, folder, factors) for row in table["corners"])
    nominal = float(table["nominal_voltage_v"]) if "nominal_voltage_v" in table else None
    return Pdk(table["name"], corners, tuple(table.get("dont_use", ())), nominal)


def missing_files(pdk: Pdk) -> list[Path]:
    """Return the Liberty files that are not there."""
    return [file for corner in pdk.corners for file in corner.liberty if not file.is_file()]


def build_corner(row: Mapping[str, Any], folder: Path, multi_input: tuple[float, float]) -> Corner:
    """Return the corner of one checked table."""
    files = tuple(liberty_file(folder, name).resolve() for name in row["liberty"])
    voltage_v, temp_c = float(row["voltage_v"]), float(row["temp_c"])
    return Corner(row["name"], files, row["process"], voltage_v, temp_c, None, multi_input)


def problems_of(table: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong with a PDK's table."""
    problems = shape_problems(table, KEYS, {"name", "corners"}, "")
    late, early = table.get("multi_input_late", 1.0), table.get("multi_input_early", 1.0)
    if isinstance(late, int | float) and late < 1:
        problems.append(f"multi_input_late = {late} must be at least 1: several inputs at once are slower")
    if isinstance(early, int | float) and not 0 < early <= 1:
        problems.append(f"multi_input_early = {early} must lie in (0, 1]: several inputs at once are faster")
    roots = table.get("root", [])
    if isinstance(roots, list) and not all(isinstance(root, str) for root in roots):
        problems.append(f"root = {roots} must be a folder, or a list of folders to try")
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
