"""The cells characterized here against the foundry's own libraries, which are no input to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cells_leakage import print_states

from characterization.cells.comparison import (
    CellComparison,
    compare_cells,
    compare_flops,
    voltage_ratios,
)
from characterization.corner_library import read_corner
from characterization.errors import PdkError
from characterization.pdk import Pdk, read_pdk

TYPICAL = "tt_025C_1v80"
SLOW = ("ss", -40.0)
REFERENCE_V = 1.76
# What both outputs share of a transition's energy is anybody's choice, and the foundry's own tables disagree on it.
SHARED = ("__ha_", "__fa_")
COLUMNS = ("delay", "slew", "energy", "capacitance")


def foundry() -> Pdk | None:
    """Return the foundry's libraries, if they are here."""
    try:
        return read_pdk("sky130hd")
    except PdkError as error:
        print(f"cells: not compared ({error})")
        return None


def figures(errors: np.ndarray) -> str:
    """Return mean, mean absolute and 95th percentile in per cent."""
    if not len(errors):
        return f"{'-':>6} {'-':>5} {'-':>5}"
    percent = 100 * errors
    return f"{percent.mean():6.1f} {np.abs(percent).mean():5.1f} {np.percentile(np.abs(percent), 95):5.1f}"


def pooled(cells: Sequence[CellComparison], what: str) -> np.ndarray:
    """Return a column's errors over all cells, those whose energy is shared by two outputs left out of energy."""
    return np.concatenate([getattr(cell, what) for cell in cells
                           if what != "energy" or not any(name in cell.cell for name in SHARED)])


def typical(pdk: Pdk) -> None:
    """Print every cell at the typical corner: mean, mean absolute and 95th percentile of the errors in per cent."""
    other = foundry()
    if other is None:
        return
    ours, theirs = read_corner(pdk.corner(TYPICAL)), read_corner(other.corner(TYPICAL))
    cells = compare_cells(ours, theirs)
    print(f"{TYPICAL}: ours over the foundry's, less one, in per cent (mean, mean absolute, 95th percentile)")
    print(f"{'cell':<12} " + " | ".join(f"{name:^18}" for name in COLUMNS) + " | leakage")
    for cell in cells:
        columns = " | ".join(figures(getattr(cell, name)) for name in COLUMNS)
        print(f"{cell.cell.rpartition('__')[2]:<12} {columns} | {1 + cell.leakage:5.2f}x")
    print(f"{'all points':<12} " + " | ".join(figures(pooled(cells, name)) for name in COLUMNS))
    leaks = np.array([1 + cell.leakage for cell in cells])
    outside = [f"{c.cell.rpartition('__')[2]} {1 + c.leakage:.2f}x" for c in cells if not 0.7 <= 1 + c.leakage <= 1.3]
    print(f"leakage: median {np.median(leaks):.2f}x, {len(outside)} of {len(cells)} outside 0.7 to 1.3: "
          f"{', '.join(outside) or 'none'}")
    print_states(pdk.corner(TYPICAL), other.corner(TYPICAL), [name.split()[0] for name in outside])
    print(f"energy without {', '.join(name.strip('_') for name in SHARED)}; "
          f"targets: delay mean 3, MAE 5, p95 12; slew MAE 7; energy MAE 8; capacitance MAE 8")
    for flop in compare_flops(ours, theirs):
        print(f"{flop.cell.rpartition('__')[2]:<12} clk->q {figures(flop.clock_to_q)} %, setup less the foundry's: "
              f"{flop.setup_ps.min():.0f} to {flop.setup_ps.max():.0f} ps (targets: MAE 4 %, not below -10 ps)")


def slow(pdk: Pdk) -> None:
    """Print delay at every slow corner, and its ratio to the highest voltage."""
    other = foundry()
    if other is None:
        return
    corners = [corner for corner in other.corners if (corner.process, corner.temp_c) == SLOW]
    at = {corner.voltage_v: compare_cells(read_corner(pdk.corner(corner.name)), read_corner(corner))
          for corner in corners}
    ratios = voltage_ratios(at, REFERENCE_V)
    print(f"{SLOW[0]} {SLOW[1]:g} C: mean, mean absolute, 95th percentile in per cent, over all points "
          "(targets: delay MAE 6, ratio MAE 3)")
    print(f"{'voltage':<8} {'delay':^18} | {'slew':^18} | {f'delay over {REFERENCE_V} V':^18}")
    for voltage_v, cells in at.items():
        print(f"{voltage_v:<8} {figures(pooled(cells, 'delay'))} | {figures(pooled(cells, 'slew'))} | "
              f"{figures(ratios[voltage_v])}")


