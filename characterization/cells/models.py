"""Transistor models, cut down to the bins that a cell's transistors fall into.

A model file holds some 190 bins, and ngspice makes a copy of all of them for each transistor, since they stand inside a
subcircuit: reading them takes longer than many a cell's whole simulation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from characterization.cells.spice_netlist import Device
from characterization.errors import CellsError

UM_PER_M = 1e6
# Bounds are inclusive up to rounding: where two bins meet both are kept, and ngspice chooses as it would among all.
SLACK = 1e-6
BOUND = re.compile(r"\b([lw])(min|max)\s*=\s*([\d.eE+-]+)")


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin: the sizes in um that it is for, and its text."""

    length_um: tuple[float, float]
    width_um: tuple[float, float]
    text: str

    def holds(self, device: Device) -> bool:
        """Return whether a transistor's size lies within the bin."""
        sizes = ((self.length_um, device.length_um), (self.width_um, device.width_um))
        return all(low * (1 - SLACK) <= size <= high * (1 + SLACK) for (low, high), size in sizes)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file: what comes before its bins, the bins, and what comes after."""

    head: str
    bins: tuple[Bin, ...]
    tail: str


def model_text(path: Path, devices: Sequence[Device]) -> str:
    """Return a model file with only the bins of some transistors; a file without bins is returned whole.

    Raises:
        CellsError: a transistor has a size for which there is no model.
    """
    file = read_models(path)
    if not file.bins:
        return file.head
    for device in devices:
        if not any(each.holds(device) for each in file.bins):
            raise CellsError(f"{path}: has no model of {device.model} {device.width_um:g} x {device.length_um:g} um; "
                             "only sizes that the standard cells use are modelled.")
    kept = [each.text for each in file.bins if any(each.holds(device) for device in devices)]
    return "".join([file.head, *kept, file.tail])


@lru_cache(maxsize=8)
def read_models(path: Path) -> ModelFile:
    """Return a model file by its bins."""
    head, *parts = re.split(r"(?m)^(?=\.model )", path.read_text(encoding="utf-8"))
    if not parts:
        return ModelFile(head, (), "")
    last, end, rest = parts[-1].partition("\n.ends")
    return ModelFile(head, tuple(read_bin(part) for part in (*parts[:-1], last + "\n")), end.lstrip("\n") + rest)


def read_bin(text: str) -> Bin:
    """Return one bin; a size that it does not bound is unbounded."""
    bounds = {name + end: float(value) * UM_PER_M for name, end, value in BOUND.findall(text)}
    length_um, width_um = ((bounds.get(f"{name}min", 0.0), bounds.get(f"{name}max", float("inf"))) for name in "lw")
    return Bin(length_um, width_um, text)
