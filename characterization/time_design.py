"""time_design(): static timing of a design at one corner, from its Verilog."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from characterization.annotation import annotate
from characterization.artifact import write_text
from characterization.corner_grid import speed_of
from characterization.corner_library import read_corner
from characterization.corner_stages import StageProgress
from characterization.design import read_design
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist, abut
from characterization.pdk import Corner, Pdk
from characterization.pipeline import map_design, slowest
from characterization.sdf import sdf_text
from characterization.timed import TimedNetlist
from characterization.timing_report import Clock, TimingReport, timing_report


def time_design(
    design_path: Path, pdk: Pdk, corner_name: str | None, weight: int | None, n_paths: int, clock: Clock,
    wire_load: str, sdf: Path | None, work: Path, progress: StageProgress,
) -> TimingReport:
    """Return the timing report of a design, abutted to itself where its neighbours are stated.

    Args:
        design_path: a `design.toml` or its folder.
        pdk: the library and its corners.
        corner_name: a corner of it, for setup and hold; None for the slowest, with hold at the fastest.
        weight: the value all lanes hold; None for nothing held.
        n_paths: how many of the worst endpoints are listed.
        clock: what slacks are reckoned against.
        wire_load: a wire-load model of the library; '' for wires that weigh nothing.
        sdf: where to write the delays, with the netlist beside (`.v`); None for nowhere.
        work: cache and logs.
        progress: called with (stage, done, total).

    Raises:
        CharacterizationError: a stage failed; see `errors.py`.
    """
    design, corner = read_design(design_path), pdk.corner(corner_name) if corner_name else slowest(pdk)
    if weight is not None:
        # Before minutes of synthesis.
        design.encode(np.array([weight]))
    netlist = map_design(design, pdk, work / f"{design.name}-{pdk.name}", progress)
    joined = abut(netlist, design.neighbours)
    progress("cell libraries", 0, 1)
    library = read_corner(corner)
    timed = annotate(joined, library, corner, design.clock, wire_load)
    quick = corner if corner_name else fastest(pdk)
    fast = None if quick == corner else (
        quick.name, annotate(joined, read_corner(quick), quick, design.clock, wire_load))
    progress("cell libraries", 1, 1)
    if sdf is not None:
        save_sdf(sdf, timed, joined, library)
    return timing_report(joined, timed, library, design, corner.name, weight, n_paths, clock, wire_load, fast)


def fastest(pdk: Pdk) -> Corner:
    """Return the corner at which hold is tightest: fast process first, then the highest voltage, then the coldest."""
    speeds = ("slow", "skewed", "typical", "fast")
    return max(pdk.corners, key=lambda one: (speeds.index(speed_of(one.process)), one.voltage_v, -one.temp_c))


def save_sdf(path: Path, timed: TimedNetlist, netlist: Netlist, library: CellLibrary) -> None:
    """Write the delays of an annotated netlist as SDF, and the netlist beside as Verilog."""
    clock_pins = {name: cell.clock_pin for name, cell in library.cells.items() if cell.flop}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, sdf_text(timed, netlist, clock_pins))
    write_text(path.with_suffix(".v"), netlist.to_verilog())
