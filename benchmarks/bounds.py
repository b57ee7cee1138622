"""Whether observed <= certified <= topological holds: every weight of every design at every corner, and by how much.

The tests ask it of sky130, over fewer transitions.

    python benchmarks/bounds.py
    python benchmarks/bounds.py --pdks sky130,osu018 --designs systolic_pe_bypass --transitions 1000

One row for each design and corner, its netlist mapped at the library's slowest corner: the most that observed delays
come to of certified ones, and certified of topological ones, over all weights (above 1 would be a bug), and the means.
A streaming MAC's weights are launched, and held against the path of any weights. What is done is kept under `build/`: a
killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from characterization.annotation import annotate
from characterization.artifact import Provenance, cached, digest_file
from characterization.benches.activity import watched_sinks
from characterization.benches.operands import StimulusConfig
from characterization.benches.stimulus import make_stimulus
from characterization.certify import VERSION, certify_weights
from characterization.corner_library import read_corner
from characterization.design import MacDesign, read_design
from characterization.errors import CharacterizationError
from characterization.netlist import Netlist, abut
from characterization.pdk import Corner, read_pdk
from characterization.pipeline import map_design
from characterization.profile_checks import AGREE_PS
from characterization.simulation import simulate
from characterization.timing import free_ps, topological_ps

RTL = Path(__file__).parents[1] / "rtl"
WORK = Path("build/bench-bounds")


@dataclass(frozen=True, slots=True)
class Order:
    """How the three delays of all weights compare; see the columns above, and whether their order holds."""

    weights: int
    exact: int
    most_seen: float
    mean_seen: float
    most_proved: float
    mean_proved: float
    holds: bool


def order_of(
    netlist: Netlist, design: MacDesign, transitions: int, folder: Path | None, corner: Corner
) -> Order:
    """Return how observed, certified and topological delays of every weight compare at one corner.

    Args:
        netlist: mapped, joined to its neighbours.
        design: what was mapped.
        transitions: simulated for each weight.
        folder: where certificates are kept.
        corner: where it is timed.
    """
    timed = annotate(netlist, read_corner(corner), corner, design.clock, energies=False)
    weights, streams = np.array(design.weights), design.weight_mode == "streaming"
    config = StimulusConfig(transitions, 1, tuple(design.weights))
    seen = simulate(timed, make_stimulus(timed, design, config), watched_sinks(timed, design), workers=1)
    observed_ps = seen.settle_ps.max(axis=1)
    proved = certify_weights(timed, design, weights, "swap" if streams else "stationary", None, 1, None,
                             folder)  # fmt: skip
    longest_ps = np.full(weights.size, free_ps(timed, design)) if streams else topological_ps(timed, design, weights)
    holds = (observed_ps <= proved.upper_ps + AGREE_PS).all() and (proved.upper_ps <= longest_ps + AGREE_PS).all()
    moves = proved.upper_ps > 0
    share, bound = observed_ps[moves] / proved.upper_ps[moves], proved.upper_ps[moves] / longest_ps[moves]
    return Order(weights.size, int(proved.exact.sum()), float(share.max()), float(share.mean()), float(bound.max()),
                 float(bound.mean()), bool(holds))  # fmt: skip


def kept(netlist: Netlist, design: MacDesign, corner: Corner, transitions: int) -> Order:
    """Return `order_of`, or what an earlier run on the same inputs has left."""
    inputs = {"netlist": netlist.digest, **{path.name: digest_file(path) for path in corner.liberty}}
    config = {"corner": corner.name, "transitions": transitions, "version": VERSION}
    text, _ = cached(WORK, Provenance("order", inputs, config), ".json",
                     lambda: json.dumps(asdict(order_of(netlist, design, transitions, WORK / "certificates", corner)))
                     + "\n")  # fmt: skip
    return Order(**json.loads(text))


def main() -> int:
    """Print one row for each design and corner; return 1 if the order is violated anywhere."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdks", default="sky130,osu018", help="libraries, comma separated")
    parser.add_argument("--designs", default=",".join(sorted(path.parent.name for path in RTL.glob("*/design.toml"))))
    parser.add_argument("--transitions", type=int, default=100, help="simulated for each weight")
    options = parser.parse_args()
    print(f"{'design':<26}{'library, corner':<24}{'weights':>8}{'exact':>6}{'observed / certified':>22}"
          f"{'mean':>7}{'certified / topological':>25}{'mean':>7}  order")
    holds = True
    for pdk_name in options.pdks.split(","):
        try:
            pdk = read_pdk(pdk_name)
        except CharacterizationError as error:
            print(f"{pdk_name}: skipped: {error}", file=sys.stderr)
            continue
        for name in options.designs.split(","):
            design = read_design(RTL / name)
            netlist = abut(map_design(design, pdk, WORK / f"{name}-{pdk.name}", lambda *_: None), design.neighbours)
            for corner in pdk.corners:
                row = kept(netlist, design, corner, options.transitions)
                holds &= row.holds
                print(f"{name:<26}{pdk.name + ' ' + corner.name:<24}{row.weights:>8}{row.exact:>6}"
                      f"{row.most_seen:>22.4f}{row.mean_seen:>7.3f}{row.most_proved:>25.4f}{row.mean_proved:>7.3f}  "
                      f"{'holds' if row.holds else 'VIOLATED'}", flush=True)
    print("observed <= certified <= topological " + ("everywhere." if holds else "is VIOLATED; see above."))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
