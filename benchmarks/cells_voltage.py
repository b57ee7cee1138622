"""How a library's arcs behave over voltage: interpolation at held-out voltages, the alpha-power fit, wall times."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from characterization.cells.alpha_power import fit_alpha_power
from characterization.cells.run import run_cells
from characterization.cells.tables import Condition
from characterization.corner_library import read_corner
from characterization.liberty import CellLibrary
from characterization.pdk import Corner, Pdk

LOG = Path("build/cells/run.json")
SMALL = (["inv_1", "nand2_1", "xor2_1"], [Condition("tt", 25.0, 1.8), Condition("ss", -40.0, 1.6)])


def families(pdk: Pdk) -> Iterator[list[Corner]]:
    """Yield the corners of each process and temperature with three voltages or more, by voltage."""
    for key in dict.fromkeys((corner.process, corner.temp_c) for corner in pdk.corners):
        row = sorted((corner for corner in pdk.corners if (corner.process, corner.temp_c) == key),
                     key=lambda corner: corner.voltage_v)  # fmt: skip
        if len(row) > 2:
            yield row


def delays_ps(library: CellLibrary) -> tuple[np.ndarray, np.ndarray]:
    """Return every delay of every arc and the input slew it is for `[entry]`; constraints are left out."""
    values, slews = [], []
    for cell in library.cells.values():
        for pin in (pin for pin in cell.pins.values() if pin.direction == "output"):
            for table in (table for arc in pin.arcs for table in arc.delay if table is not None):
                values.append(table.values.ravel())
                slews.append(np.repeat(table.slew_ps, table.other.size))
    return np.concatenate(values), np.concatenate(slews)


def chord(pdk: Pdk) -> None:
    """Leave out one voltage after the other, interpolate it between its neighbours, compare with what was measured."""
    print("Log-linear chord against the delay measured at a held-out voltage, every entry of every delay table.")
    print("The span left open is about twice as wide as between characterized voltages, its error about four times.")
    print("left out         between         input slew   entries   chord above   mean    most above   most below")
    for row in families(pdk):
        for low, held, high in zip(row, row[1:], row[2:], strict=False):
            rest = replace(pdk, corners=tuple(corner for corner in pdk.corners if corner != held))
            between, slews = delays_ps(read_corner(rest.at(held.process, held.temp_c, held.voltage_v)))
            measured, _ = delays_ps(read_corner(held))
            span = f"{low.voltage_v:g}-{high.voltage_v:g} V"
            for name, where in (("to 200 ps", slews <= 200), ("to 600 ps", (slews > 200) & (slews <= 600)),
                                ("above", slews > 600)):  # fmt: skip
                # A delay may be about nothing, or negative, for a slow ramp; the difference is what counts there.
                above_ps, error = between - measured, (between - measured) / np.maximum(np.abs(measured), 1.0)
                share = (above_ps >= 0)[where].mean()
                print(f"{held.name:<16} {span:<15} {name:<11} {where.sum():>8}   {share:>11.2%} "
                      f"{error[where].mean():>6.2%}   {error[where].max():>10.2%}   {min(error[where].min(), 0):>7.2%} "
                      f"({min(above_ps[where].min(), 0):.2f} ps)")


def alpha(pdk: Pdk) -> None:
    """Fit every arc's delays by the alpha-power law and print what is left over."""
    print("Alpha-power fit d = k V / (V - Vt)^a of every delay entry; residual is the largest error over the voltages")
    print("family     input slew   voltages  entries    mean    95 %    worst   Vt mean (5-95 %)    a mean (5-95 %)")
    for row in families(pdk):
        volts = np.array([corner.voltage_v for corner in row])
        delays = np.stack([delays_ps(read_corner(corner))[0] for corner in row], axis=1)
        slews = delays_ps(read_corner(row[0]))[1]
        for name, where in (("to 200 ps", slews <= 200), ("above", slews > 200)):
            fit = fit_alpha_power(volts, delays[(delays > 0).all(axis=1) & where])
            vt, exponent = fit.threshold_v, fit.alpha
            print(f"{row[0].process} {row[0].temp_c:>4g} C  {name:<12} {len(row):>5} {fit.residual.size:>9} "
                  f"{fit.residual.mean():>7.2%} {np.quantile(fit.residual, 0.95):>7.2%} {fit.residual.max():>8.2%}   "
                  f"{span_of(vt)} {span_of(exponent)}")


def span_of(values: np.ndarray) -> str:
    """Return mean and the middle 90 %."""
    return f"{values.mean():.2f} ({np.quantile(values, 0.05):.2f}-{np.quantile(values, 0.95):.2f})".ljust(20)


def times(_: Pdk) -> None:
    """Print the wall time of the last run, and that of the small run that is part of the tests."""
    if LOG.is_file():
        log = json.loads(LOG.read_text(encoding="utf-8"))
        corners = dict.fromkeys(row["corner"] for row in log["cells"])
        print(f"last run of `characterize cells` here: {log['wall_s']:.0f} s wall with {log['workers']} workers, "
              f"{len({row['cell'] for row in log['cells']})} cells, {len(corners)} corners, {log['measured']} of "
              f"{len(log['cells'])} measured anew, {sum(row.get('cpu_s', 0.0) for row in log['cells']):.0f} s of "
              "processors for all")
        for corner in corners:
            spent = sum(row.get("cpu_s", 0.0) for row in log["cells"] if row["corner"] == corner)
            print(f"    {corner:<16} {spent:>7.1f} s of processors")
    else:
        print(f"no run of `characterize cells` was made here ({LOG} is missing)")
    with tempfile.TemporaryDirectory() as name:
        started = time.monotonic()
        run_cells(*SMALL, Path(name) / "sky130", Path(name), 2, lambda *_: None)
        print(f"small run, {len(SMALL[0])} cells at {len(SMALL[1])} conditions: {time.monotonic() - started:.1f} s")
