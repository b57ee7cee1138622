"""Pictures of a library over voltage: delay and energy of a few cells, each under four times its own input load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from characterization.artifact import atomic_path
from characterization.corner_library import read_corner
from characterization.errors import PdkError
from characterization.liberty import CellLibrary, LibraryCell
from characterization.nldm import curve_at
from characterization.pdk import Pdk

SLEW_PS = 60.0
FANOUT = 4
COLOURS = ("#1f4e79", "#e08214", "#2ca02c", "#d62728", "#7b3294", "#8c564b", "#17becf", "#7f7f7f")


@dataclass(frozen=True, slots=True, eq=False)
class VoltageCurve:
    """A cell over voltage `[voltage]`: its slowest arc, and the energy of an output's rise and fall together."""

    cell: str
    voltages_v: np.ndarray
    delay_ps: np.ndarray
    energy_fj: np.ndarray


def voltage_curves(pdk: Pdk, cells: Sequence[str], process: str, temp_c: float) -> tuple[VoltageCurve, ...]:
    """Return the curves of `cells`, at every voltage at which the PDK has this process and temperature.

    Args:
        pdk: the library.
        cells: full names, or their ends (`inv_1`).
        process: such as `tt`.
        temp_c: temperature.

    Raises:
        PdkError: fewer than two voltages, or no such cell.
    """
    corners = sorted((corner for corner in pdk.corners if (corner.process, corner.temp_c) == (process, temp_c)),
                     key=lambda corner: corner.voltage_v)  # fmt: skip
    if len(corners) < 2:
        raise PdkError(f"PDK {pdk.name}: {len(corners)} voltages of process {process} at {temp_c:g} C; a picture over "
                       f"voltage needs two. It has {', '.join(corner.name for corner in pdk.corners)}.")
    libraries = [read_corner(corner) for corner in corners]
    names = [full_name(cell, libraries[0], pdk) for cell in cells]
    volts = np.array([corner.voltage_v for corner in corners])
    found = []
    for shown, name in zip(cells, names, strict=True):
        at = [library.cells[name] for library in libraries]
        energies = [cycle_energy_fj(cell, corner.voltage_v) for cell, corner in zip(at, corners, strict=True)]
        found.append(VoltageCurve(shown, volts, np.array([worst_delay_ps(cell) for cell in at]), np.array(energies)))
    return tuple(found)


def full_name(cell: str, library: CellLibrary, pdk: Pdk) -> str:
    """Return the library's name of a cell given in full or by its end.

    Raises:
        PdkError: there is none.
    """
    for name in (cell, *(name for name in library.cells if name.endswith(f"__{cell}"))):
        if name in library.cells:
            return name
    raise PdkError(f"PDK {pdk.name}: no cell {cell}; it has {', '.join(sorted(library.cells)[:8])} and others "
                   f"({len(library.cells)} in all).")


def load_ff(cell: LibraryCell) -> float:
    """Return four times the mean capacitance of the cell's inputs."""
    return FANOUT * float(np.mean([cell.pins[name].capacitance_ff for name in cell.inputs]))


def worst_delay_ps(cell: LibraryCell) -> float:
    """Return the delay of the slowest arc to an output."""
    tables = [table for name in cell.outputs for arc in cell.pins[name].arcs for table in arc.delay if table]
    return max(float(curve_at(table, load_ff(cell)).at(np.array(SLEW_PS))) for table in tables)


def cycle_energy_fj(cell: LibraryCell, voltage_v: float) -> float:
    """Return the energy of one output rise and fall: internal, the mean over arcs, and that of the load."""
    cycles = [sum(float(curve_at(table, load_ff(cell)).at(np.array(SLEW_PS))) for table in power.energy if table)
              for name in cell.outputs for power in cell.pins[name].powers if power.related_pin]
    return float(np.mean(cycles)) + load_ff(cell) * voltage_v**2


def draw_cells(curves: Sequence[VoltageCurve], path: Path, title: str) -> None:
    """Write a picture of delay and energy over voltage to `path` (PNG or SVG by its suffix)."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        delay, energy = figure.subplots(1, 2)
        for curve, colour in zip(curves, COLOURS * len(curves), strict=False):
            # In ln(delay) the straight lines between the marks are what an interpolated corner has.
            delay.plot(curve.voltages_v, curve.delay_ps, "o-", ms=3, lw=1, color=colour, label=curve.cell)
            energy.plot(curve.voltages_v, curve.energy_fj, "o-", ms=3, lw=1, color=colour, label=curve.cell)
        draw_reference(energy, curves[0])
        delay.set_yscale("log")
        delay.set_ylabel(f"slowest arc (ps), log scale; input slew {SLEW_PS:g} ps, load {FANOUT} x own input")
        energy.set_ylabel("energy of an output's rise and fall (fJ), load included")
        energy.set_ylim(bottom=0)
        for axes in (delay, energy):
            axes.set_xlabel("supply (V)")
        delay.yaxis.set_minor_formatter(mpl.ticker.FormatStrFormatter("%g"))
        delay.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        delay.legend(fontsize=8, frameon=False)
        figure.suptitle(title, fontsize=10)
        with atomic_path(path) as partial:
            figure.savefig(partial, format=path.suffix.lstrip("."), dpi=130, metadata={})


def draw_reference(axes: Axes, curve: VoltageCurve) -> None:
    """Draw the square law through a curve's last point."""
    square = curve.energy_fj[-1] * (curve.voltages_v / curve.voltages_v[-1]) ** 2
    axes.plot(curve.voltages_v, square, ":", lw=1, color="black", label="V²")
    axes.legend(fontsize=8, frameon=False)
