"""MAC designs on the library characterized here: against the foundry's, and over voltage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from characterization.corner_library import read_corner
from characterization.design import MacDesign, read_design
from characterization.errors import PdkError
from characterization.netlist import Netlist, abut
from characterization.pdk import Corner, Pdk, read_pdk
from characterization.pipeline import CharacterizeConfig, profile_mac, slowest
from characterization.synthesis import synthesize
from characterization.timing import annotate, critical_path

RTL = Path(__file__).parents[1] / "rtl"
WORK = Path("build/bench-cells")
TARGET = 0.06
TRANSITIONS = 300


def designs() -> Iterator[MacDesign]:
    """Yield every MAC design."""
    for path in sorted(RTL.glob("*/design.toml")):
        yield read_design(path)


def mapped(design: MacDesign, pdk: Pdk) -> Netlist:
    """Return a design mapped at the library's slowest corner and joined to its neighbour."""
    netlist = synthesize(design, slowest(pdk).liberty, WORK / design.name, pdk.dont_use)
    return abut(netlist, design.neighbours)


def longest_ps(netlist: Netlist, corner: Corner, design: MacDesign) -> float:
    """Return the critical path on the library's own arcs, one input switching at a time."""
    library = replace(read_corner(corner), multi_input={})
    return critical_path(annotate(netlist, library, corner, design.clock), design, None)[-1].arrival_ps


def paths(pdk: Pdk) -> None:
    """Time every MAC design, synthesized once, with this library and with the foundry's at their common corners."""
    try:
        foundry = read_pdk("sky130hd")
    except PdkError as error:
        print(f"critical paths: not compared ({error})")
        return
    common = [corner for corner in foundry.corners if corner.name in {ours.name for ours in pdk.corners}]
    print(f"Critical path of each MAC design, one netlist, both libraries (ps); target within {TARGET:.0%}")
    print(f"{'design':<24} {'corner':<14} {'ours':>8} {'foundry':>8} {'ratio':>7}")
    worst, used = 0.0, Counter[str]()
    for design in designs():
        netlist = mapped(design, pdk)
        used.update(cell.kind.split("__")[-1] for cell in netlist.cells)
        for corner in common:
            ours, theirs = (longest_ps(netlist, where, design) for where in (pdk.corner(corner.name), corner))
            worst = max(worst, abs(ours / theirs - 1))
            print(f"{design.name:<24} {corner.name:<14} {ours:>8.0f} {theirs:>8.0f} {ours / theirs:>7.3f}")
    print(f"worst deviation {worst:.1%}: {'within' if worst <= TARGET else 'BEYOND'} the target of {TARGET:.0%}")
    known = {name.split("__")[-1] for name in read_corner(slowest(pdk)).cells}
    print(f"cells that synthesis uses: {', '.join(f'{kind} {count}' for kind, count in used.most_common())}")
    print(f"cells that it leaves: {', '.join(sorted(known - set(used)))}")


def voltages(pdk: Pdk, names: Sequence[str] = (), certify: bool = True) -> None:
    """Measure MAC designs at the typical voltages: worst and codebook delays, energy per operation."""
    corners = sorted((corner for corner in pdk.corners if corner.process == "tt"), key=lambda corner: corner.voltage_v)
    print(f"MAC designs at the typical corners, register to register, {'certified' if certify else 'topological'}: "
          "the bound over all stimuli; energy is a mean")
    print(f"over all weight values, {TRANSITIONS} transitions for each; the 9 and 16 fastest values are ranked anew.")
    print(f"{'design':<20} {'V':>6} {'worst ps':>9} {'16 fastest':>11} {'9 fastest':>10} {'floor':>7} {'fJ/op':>7}")
    config = CharacterizeConfig(TRANSITIONS, certify=certify)
    for design in (design for design in designs() if not names or design.name in names):
        profile = profile_mac(design.folder, pdk, corners, config, WORK, lambda *_: None)
        for index, volt in enumerate(profile.voltage_v):
            ranked = np.sort(profile.bound_row(index, "stationary"))
            print(f"{design.name:<20} {volt:>6g} {ranked[-1]:>9.0f} {ranked[15]:>11.0f} {ranked[8]:>10.0f} "
                  f"{profile.floor_ps[index]:>7.0f} {profile.energy_fj[index].mean():>7.0f}", flush=True)
