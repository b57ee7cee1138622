"""Certified delays: their cost on one core, and how far they lie below the longest path.

Seconds are processor time of this process, numba's compilation apart; `python benchmarks/certify.py --pdk osu018`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from characterization.annotation import annotate
from characterization.artifact import write_text
from characterization.certify import CertifiedDelays, CertifyConfig, certify_set, certify_weights
from characterization.corner_library import read_corner
from characterization.design import Lane, MacDesign, read_design
from characterization.netlist import abut
from characterization.pdk import Pdk, read_pdk
from characterization.pipeline import map_design, slowest
from characterization.recipes import DEFAULT, recipe_named
from characterization.search import mapped
from characterization.timed import TimedNetlist

RTL = Path(__file__).parents[1] / "rtl"
WORK = Path("build/bench-certify")
SIZES = (6, 8, 10, 12, 16, 20)
POWERS = (-128, -64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64)
CODEBOOKS = {"int4 shifted": tuple(range(-128, 128, 16)), "powers of two": POWERS,
             "16 fastest": None, "all 256": tuple(range(-128, 128))}  # fmt: skip
MAC = """
module made #(parameter N = 8, parameter ACC = 0) (
  input clk, input signed [N-1:0] weight, act, output reg signed [(ACC ? ACC : 2*N)-1:0] out);
  reg signed [N-1:0] weight_q, act_q;
  wire signed [2*N-1:0] product = weight_q * act_q;
  always @(posedge clk) begin
    weight_q <= weight; act_q <= act;
    out <= ACC ? out + product : product;
  end
endmodule
"""
T = TypeVar("T")


def timed_s(act: Callable[[], T]) -> tuple[float, T]:
    """Return the processor seconds that something takes, and what it returns."""
    start = time.process_time()
    result = act()
    return time.process_time() - start, result


def annotated(design: MacDesign, pdk: Pdk) -> TimedNetlist:
    """Return a design mapped, joined to its neighbour and timed at the library's slowest corner."""
    corner, folder = slowest(pdk), WORK / f"{design.name}-{pdk.name}"
    if design.recipe:
        netlist = mapped(design, corner, pdk.dont_use, folder, recipe_named(design.recipe))
    else:
        netlist = map_design(design, pdk, folder, lambda *_: None)
    return annotate(abut(netlist, design.neighbours), read_corner(corner), corner, design.clock, energies=False)


def made_design(bits: int, accumulator_bits: int) -> MacDesign:
    """Return a plain multiplier, or with accumulator bits a MAC that adds to itself.

    The weight is the first operand, of a wider one the low 16 bits; the rest is free.
    """
    folder = WORK / f"made-{bits}-{accumulator_bits}"
    write_text(folder / "made.v", MAC)
    write_text(folder / "design.toml", "")
    result, weight_bits = accumulator_bits or 2 * bits, min(bits, 16)
    widths = {"clk": 1, "weight": bits, "act": bits, "weight_q": bits, "act_q": bits, "out": result}
    return MacDesign(
        name=folder.name, top="made", folder=folder, sources=(folder / "made.v",),
        parameters={"N": bits, "ACC": accumulator_bits}, weight_mode="stationary", latency=2, clock="clk", reset="",
        roles={"weight": "weight"}, hold={}, lanes=(Lane(f"weight_q[{weight_bits - 1}:0]", "act_q"),), neighbours={},
        reference=folder / "design.toml", weight_bits=weight_bits, activation_bits=bits, accumulator_bits=result,
        widths=widths, recipe=DEFAULT,
    )


def warm_up(pdk: Pdk) -> None:
    """Let numba compile before anything is timed."""
    design = made_design(4, 0)
    certify_weights(annotated(design, pdk), design, [3], "stationary")


def ranks(found: CertifiedDelays) -> str:
    """Return worst, 16th and 9th fastest certified delay, and certified over topological: mean and least."""
    delays, moving = np.sort(found.upper_ps), found.topological_ps > 0
    ratio = found.upper_ps[moving] / found.topological_ps[moving]
    picked = [delays[min(place, delays.size - 1)] for place in (-1, 15, 8)]
    return " ".join(f"{value:>9.1f}" for value in picked) + f" {ratio.mean():>7.4f} {ratio.min():>7.4f}"


def designs(pdk: Pdk, names: Sequence[str]) -> None:
    """Certify every weight of every design, constant and launched, and all values together."""
    print(f"{pdk.name}, {slowest(pdk).name}: every weight value; ps; target 15 s for systolic_pe")
    print(f"{'design':<26} {'gates':>5} {'weight is':<10} {'s':>6} {'exact':>8} {'worst':>9} {'16th':>9} {'9th':>9} "
          f"{'c/t':>7} {'least':>7}")
    for name in names or sorted(path.parent.name for path in RTL.glob("*/design.toml")):
        design = read_design(RTL / name)
        timed = annotated(design, pdk)
        for mode in ("stationary", "swap"):
            seconds, found = timed_s(lambda m=mode, t=timed, d=design: certify_weights(t, d, d.weights, m))  # type: ignore[misc]
            share = f"{found.exact.sum()}/{found.exact.size}"
            print(f"{name:<26} {len(timed.gates):>5} {'constant' if mode == 'stationary' else 'launched':<10} "
                  f"{seconds:>6.2f} {share:>8} {ranks(found)}", flush=True)
        seconds, every = timed_s(lambda t=timed, d=design: certify_set(t, d, None))  # type: ignore[misc]
        print(f"{'':<26} {'':>5} {'all values':<10} {seconds:>6.2f} {'yes' if every.exact else 'no':>8} "
              f"{every.upper_ps:>9.1f} {'':>9} {'':>9} {every.upper_ps / every.topological_ps:>7.4f}")


def codebooks(pdk: Pdk) -> None:
    """Certify sets of values of the four-lane dot product, every lane any of them in every cycle."""
    design = read_design(RTL / "tensor_core_dp4")
    timed = annotated(design, pdk)
    alone = certify_weights(timed, design, design.weights, "swap")
    fastest = tuple(int(alone.weights[i]) for i in np.argsort(alone.upper_ps, kind="stable")[:16])
    print(f"\n{pdk.name}: tensor_core_dp4, weights streaming, any value in any lane; target 60 s for 16 values")
    print(f"{'codebook':<16} {'values':>6} {'s':>6} {'certified':>10} {'c/t':>7} {'exact':>6}")
    for name, codes in CODEBOOKS.items():
        chosen = codes or fastest
        seconds, found = timed_s(lambda c=chosen: certify_set(timed, design, c))  # type: ignore[misc]
        print(f"{name:<16} {len(chosen):>6} {seconds:>6.2f} {found.upper_ps:>10.1f} "
              f"{found.upper_ps / found.topological_ps:>7.4f} {'yes' if found.exact else 'no':>6}")


def growth(pdk: Pdk, limit_s: float) -> None:
    """Certify multipliers of growing width, and a MAC of 16 x 16 + 40 bits."""
    print(f"\n{pdk.name}: growth with gates; random weights, others free; target 2 s a weight for 16 x 16 + 40; "
          f"limit {limit_s:g} s")
    print(f"{'design':<14} {'gates':>6} {'weights':>7} {'s/weight':>9} {'slowest':>8} {'exact':>6} "
          f"{'all values s':>12} {'c/t':>7}")
    config = CertifyConfig(time_limit_s=limit_s)
    for bits, accumulator in [(16, 40), *((bits, 0) for bits in SIZES)]:
        design = made_design(bits, accumulator)
        timed = annotated(design, pdk)
        half = 1 << design.weight_bits - 1
        weights = np.random.default_rng(1).integers(-half, half, 8).tolist()
        runs = [timed_s(lambda w=w, t=timed, d=design: certify_weights(t, d, [w], "stationary", config))  # type: ignore[misc]
                for w in weights]
        seconds, every = timed_s(lambda t=timed, d=design: certify_set(t, d, None, config))  # type: ignore[misc]
        exact = sum(bool(found.exact[0]) for _, found in runs)
        name = f"{bits} x {bits}" + (f" + {accumulator}" if accumulator else "")
        each = [spent for spent, _ in runs]
        print(f"{name:<14} {len(timed.gates):>6} {len(weights):>7} {np.mean(each):>9.2f} {max(each):>8.2f} "
              f"{exact:>4}/{len(runs)} {seconds:>8.2f} {'' if every.exact else '(open)':<6} "
              f"{every.upper_ps / every.topological_ps:>4.4f}", flush=True)


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pdk", default="sky130", help="a library of characterization/pdks")
    options.add_argument("--design", action="append", default=[], help="only this design of rtl/; may be repeated")
    options.add_argument("--only", choices=("designs", "codebooks", "growth"), help="one table only")
    options.add_argument("--limit", type=float, default=120.0, help="seconds for one certificate of the growth table")
    given = options.parse_args()
    pdk = read_pdk(given.pdk)
    warm_up(pdk)
    if given.only in (None, "designs"):
        designs(pdk, given.design)
    if given.only in (None, "codebooks"):
        codebooks(pdk)
    if given.only in (None, "growth"):
        growth(pdk, given.limit)


if __name__ == "__main__":
    main()
