"""Layout: the rectangles and labels of a cell, read from GDS by a program of its own (klayout is GPL: a tool)."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from characterization.errors import CellsError, ToolMissingError

PROGRAM = Path(__file__).parent / "programs" / "extract_gds.py"
# GDS layer and datatype by name, from sky130's published layer table.
LAYERS = {
    "nwell": "64/20", "diff": "65/20", "tap": "65/44", "poly": "66/20", "licon": "66/44", "li1": "67/20",
    "mcon": "67/44", "met1": "68/20",
}
LABELS = {"li1": "67/5", "met1": "68/5"}
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Rectangles (left, bottom, right, top) and labels (text, x, y) in nm, by layer name."""

    cell: str
    boxes: Mapping[str, tuple[Box, ...]]
    labels: Mapping[str, tuple[tuple[str, int, int], ...]]


def klayout_version() -> str:
    """Return the version of the installed klayout, without importing it.

    Raises:
        ToolMissingError: it is not installed.
    """
    try:
        return importlib.metadata.version("klayout")
    except importlib.metadata.PackageNotFoundError:
        raise ToolMissingError("klayout, which reads the cells' layouts, is not installed; python -m pip install "
                               "'halo-quant[cells]' (or: python -m pip install klayout).") from None


def read_layout(gds: Path) -> Layout:
    """Return the layout in a GDS file.

    Raises:
        CellsError: the file cannot be read.
        ToolMissingError: klayout is not installed.
    """
    klayout_version()
    command = [sys.executable, str(PROGRAM), str(gds), *LAYERS.values(), *LABELS.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CellsError(f"{gds}: klayout cannot read this layout: {last}")
    return parse_layout(done.stdout)


def parse_layout(text: str) -> Layout:
    """Return the layout in the JSON of the program."""
    data = json.loads(text)
    boxes = {name: tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in data["layers"].get(gds, []))
             for name, gds in LAYERS.items()}
    labels = {name: tuple((str(t), int(x), int(y)) for t, x, y in data["texts"].get(gds, []))
              for name, gds in LABELS.items()}
    return Layout(str(data["cell"]), boxes, labels)
