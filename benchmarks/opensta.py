"""Our static timing against OpenSTA's: every endpoint of every MAC design, per weight, on every library and corner.

    python benchmarks/opensta.py --weights 32
    python benchmarks/opensta.py --designs systolic_pe --pdks osu018,asap7 --weights 256

Columns: endpoints compared (all weights together) and their largest difference, setup and hold; how far OpenSTA's way
of spreading constants lies over what truth tables know (`constants`, the most over weights); how much later OpenSTA is
where it merges the slews of arcs that constants switch off, as 2.2 to 3.1 do (`dead slews`, the most over weights); and
the least and mean of the topological bound over the later of both readings.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from characterization.annotation import annotate
from characterization.corner_library import read_corner
from characterization.design import MacDesign, read_design
from characterization.errors import PdkError
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist, abut
from characterization.opensta import opensta_endpoints
from characterization.pdk import Corner, Pdk, read_pdk
from characterization.pipeline import map_design
from characterization.timing import fixed_nets, sta_endpoints_ps, sta_hold_ps, topological_ps, weight_sinks

RTL = Path(__file__).parents[1] / "rtl"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One design at one corner; see the columns above."""

    endpoints: int
    setup: float
    hold_ps: float
    constants: float
    dead_slews: float
    least_bound: float
    mean_bound: float


def compare(netlist: Netlist, corner: Corner, design: MacDesign, weights: np.ndarray, work: Path) -> Comparison:
    """Return how one corner compares.

    Raises:
        AssertionError: the two do not list the same endpoints.
    """
    library = read_corner(corner)
    timed = annotate(netlist, library, corner, design.clock)
    fixed = {timed.source_of[net].origin: values for net, values in fixed_nets(timed, design, weights).items()}
    cases = [{origin: int(values[i]) for origin, values in fixed.items()} for i in range(weights.size)]
    theirs = opensta_endpoints(netlist, corner.liberty, design.clock, cases, work)
    ours = sta_endpoints_ps(netlist, library, design, weights)
    worst, count = 0.0, 0
    for i, ends in enumerate(theirs):
        here = {end: float(row[i]) for end, row in ours.items() if row[i] >= 0}
        assert here.keys() == ends.keys(), sorted(here.keys() ^ ends.keys())[:5]
        worst = max([worst, *(abs(here[end] / needed - 1) for end, needed in ends.items() if needed > 1.0)])
        count += len(ends)
    hold = opensta_endpoints(netlist, corner.liberty, design.clock, [{}], work, "hold")[0]
    own_hold = sta_hold_ps(netlist, library, design.clock)
    assert own_hold.keys() == hold.keys()
    hold_ps = max((abs(own_hold[end] - slack) for end, slack in hold.items()), default=0.0)
    return Comparison(count, worst, hold_ps, *readings(netlist, library, design, weights, topological_ps(
        timed, design, weights), {sink.origin for sink in weight_sinks(timed, design)}))


def readings(
    netlist: Netlist, library: CellLibrary, design: MacDesign, weights: np.ndarray, bound: np.ndarray, reached: set[str]
) -> tuple[float, float, float, float]:
    """Return what the versions and the bound add, as ratios: constants, dead slews, least and mean bound."""
    def worst(logic: str, dead_slews: bool) -> np.ndarray:
        found = sta_endpoints_ps(netlist, library, design, weights, logic, dead_slews)  # type: ignore[arg-type]
        return np.maximum(np.max([found[end] for end in sorted(reached)], axis=0), 0.0)

    text, truth, dead = worst("text", False), worst("truth", False), worst("truth", True)
    moves = truth > 0
    if not moves.any():
        return 0.0, 0.0, 1.0, 1.0
    over = bound[moves] / dead[moves]
    return ((text[moves] / truth[moves]).max() - 1, (dead[moves] / truth[moves]).max() - 1,
            float(over.min()), float(over.mean()))


def pdks(names: Sequence[str]) -> Iterator[Pdk]:
    """Yield the libraries that are there."""
    for name in names:
        try:
            yield read_pdk(name)
        except PdkError as error:
            print(f"{name}: not compared ({error})")


def main() -> None:
    """Compare and print one row for each design and corner."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=int, default=32)
    parser.add_argument("--designs", default=",".join(sorted(path.parent.name for path in RTL.glob("*/design.toml"))))
    parser.add_argument("--pdks", default="sky130,osu018,asap7,sky130hd")
    parser.add_argument("--corners", default="", help="only these, by name")
    parser.add_argument("--work", type=Path, default=Path("build/bench-opensta"))
    options = parser.parse_args()
    print(f"{'design':<26}{'library, corner':<26}{'endpoints':>10}{'setup':>10}{'hold':>10}{'constants':>11}"
          f"{'dead slews':>12}{'bound, least':>14}{'mean':>8}")
    for pdk in pdks(options.pdks.split(",")):
        for name in options.designs.split(","):
            design = read_design(RTL / name)
            netlist = abut(map_design(design, pdk, options.work / f"{name}-{pdk.name}", lambda *_: None),
                           design.neighbours)
            places = np.linspace(0, len(design.weights) - 1, min(options.weights, len(design.weights)))
            weights = np.array(design.weights)[np.unique(places.astype(int))]
            for corner in pdk.corners:
                if not options.corners or corner.name in options.corners.split(","):
                    row = compare(netlist, corner, design, weights, options.work / "sta")
                    print(f"{name:<26}{pdk.name + ' ' + corner.name:<26}{row.endpoints:>10}{row.setup:>10.5%}"
                          f"{row.hold_ps:>7.4f} ps{row.constants:>11.2%}{row.dead_slews:>12.2%}"
                          f"{row.least_bound:>14.4f}{row.mean_bound:>8.4f}", flush=True)


if __name__ == "__main__":
    main()
