"""What every MAC design of `rtl/` can do on every library: `python benchmarks/designs.py [options]`.

One row for each design and library: the certified delay of all its values, of its fastest 9 and 16, and of its fastest
*useful* 9 and 16: those among which some 9 or 16 represent a Gaussian within 1 dB of the best quantizer of that size.
Delays are register to register, with the weight constant and with it launched at the clock edge as any value of the set
(`constant / launched`; a streaming MAC's weight never is constant). Each netlist is the fastest of several recipes.
What is done is kept under `build/`: a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from characterization.annotation import annotate
from characterization.certify import CertifyConfig, certify_set, certify_weights
from characterization.constants import Constants
from characterization.corner_library import read_corner
from characterization.design import MacDesign, read_design
from characterization.errors import CharacterizationError
from characterization.netlist import Netlist, abut
from characterization.pdk import Corner, Pdk, read_pdk
from characterization.recipes import Recipe, all_recipes, recipe_named
from characterization.search import Candidate, fastest, search
from characterization.synthesis import Request, run_yosys
from characterization.timing import arrivals, floor_ps, topological_ps, worst_ps
from halo.subset import Histogram, best_subset

RTL = Path(__file__).parents[1] / "rtl"
WORK = Path("build/bench-designs")
SIZES = (9, 16)
NONE = float("nan")
# A subset is useful if its squared error is at most this far above that of the best quantizer of its size.
USEFUL_DB = 1.0
# Spread of the weights in units of int8 codes. Codes of fewer values take whatever scale suits them, relative to their
# range: that is free where the whole design is theirs.
SIGMA_CODES = np.linspace(24, 40, 17)
FREE_SIGMA_CODES = np.linspace(12, 80, 35)


@dataclass(frozen=True, slots=True)
class Row:
    """One design on one library; delays in ps by the name of a set of values, nan where there is none.

    Attributes:
        design, recipe: what, and how it was mapped.
        area_um2: of all cells.
        floor_ps: what no weight can beat.
        constant_ps, launched_ps: with the weight constant, and launched with the rest as any value of the set.
        exact: whether every certificate is attained.
    """

    design: MacDesign
    recipe: str
    area_um2: float
    floor_ps: float
    constant_ps: dict[str, float]
    launched_ps: dict[str, float]
    exact: bool

    def period_ps(self, name: str) -> float:
        """The period that a set allows: constant weights, or launched ones where they stream."""
        streams = self.design.weight_mode == "streaming"
        return max((self.launched_ps if streams else self.constant_ps)[name], self.floor_ps)


def gaussian(bins: int = 4001, reach: float = 6.0) -> Histogram:
    """Return a standard normal distribution."""
    position = np.linspace(-reach, reach, bins)
    density = np.exp(-(position**2) / 2)
    return Histogram(position, density, density)


def best_error(histogram: Histogram, levels: int) -> float:
    """Return the relative squared error of the optimal quantizer (Lloyd and Max) of some levels."""
    at = np.linspace(-2.5, 2.5, levels)
    for _ in range(500):
        index = np.searchsorted((at[1:] + at[:-1]) / 2, histogram.position)
        weight = np.bincount(index, histogram.mass, levels)
        at = np.bincount(index, histogram.mass * histogram.position, levels) / weight
    error = histogram.mass * (histogram.position - at[np.searchsorted((at[1:] + at[:-1]) / 2, histogram.position)]) ** 2
    return float(error.sum() / (histogram.mass * histogram.position**2).sum())


def useful_set(weights: np.ndarray, delay_ps: np.ndarray, count: int) -> tuple[int, ...]:
    """Return the useful values of least delay: at most `count` (0 among them); empty if all together are not useful."""
    histogram = gaussian()
    limit = best_error(histogram, count) * 10 ** (USEFUL_DB / 10)
    widest = float(np.abs(weights).max())
    sigma = (SIGMA_CODES if len(weights) == 256 else FREE_SIGMA_CODES) * widest / 128
    periods = np.unique(delay_ps)
    low, high, found = 0, len(periods), ()
    while low < high:
        middle = (low + high) // 2
        allowed = np.union1d(weights[delay_ps <= periods[middle]], [0])
        subset = best_subset(histogram, allowed, count, float(np.abs(allowed).max() or 1) / sigma)
        if subset.loss <= limit:
            high, found = middle, subset.codes
        else:
            low = middle + 1
    return found


def sets_of(weights: np.ndarray, delay_ps: np.ndarray) -> dict[str, tuple[int, ...]]:
    """Return the sets of values of a row, by name; an empty one where there are too few values."""
    order = weights[np.argsort(delay_ps, kind="stable")].tolist()
    fastest_of = {f"{count} fastest": tuple(order[:count]) if len(order) >= count else () for count in SIZES}
    return {"all": tuple(order)} | fastest_of | {
        f"useful {count}": useful_set(weights, delay_ps, count) for count in SIZES}


def measure(design: MacDesign, netlist: Netlist, best: Candidate, corner: Corner, options: argparse.Namespace) -> Row:
    """Return the row of a netlist."""
    timed = annotate(abut(netlist, design.neighbours), read_corner(corner), corner, design.clock, energies=False)
    weights = np.array(design.weights)
    config = CertifyConfig(time_limit_s=options.time_limit)
    folder, exact = WORK / "certificates", True
    if options.topological:
        delay_ps = topological_ps(timed, design, weights)
    else:
        proved = certify_weights(timed, design, weights, "stationary", config, 1, partial(tell, design), folder)
        delay_ps, exact = proved.upper_ps, bool(proved.exact.all())
    sets, launched = sets_of(weights, delay_ps), {}
    for name, codes in sets.items():
        launched[name] = NONE
        if codes and not options.topological:
            print(f"  {design.name}: {name}, launched", file=sys.stderr, flush=True)
            found = certify_set(timed, design, None if name == "all" else codes, config, "swap", folder)
            launched[name], exact = found.upper_ps, exact and found.exact
    streams = design.weight_mode == "streaming"
    constant = {name: float(delay_ps[np.isin(weights, codes)].max()) if codes and not streams else NONE
                for name, codes in sets.items()}  # fmt: skip
    return Row(design, best.recipe, timed.area_um2, floor_ps(timed, design), constant, launched, exact)


def tell(design: MacDesign, done: int, total: int) -> None:
    """Say on the terminal how far a design is."""
    if done % 32 == 0 or done == total:
        print(f"  {design.name}: {done} of {total} values", file=sys.stderr, flush=True)


def print_table(pdk: Pdk, corner: Corner, rows: list[Row], certified: bool) -> None:
    """Print the rows of one library as Markdown."""
    kind = "certified" if certified else "topological"
    names = list(rows[0].constant_ps)
    print(f"\n{pdk.name} {corner.name}, {kind}, ps and um2:\n")
    print(f"| design | stages | area | floor | {' | '.join(names)} | gain: all | useful 9 | useful 16 | recipe |")
    print("| --- |" + " ---: |" * (6 + len(names)) + " --- |")
    for row in rows:
        best = min((other.period_ps("all") for other in rows if other.design.weight_bits == 8
                    and depth(other.design) == depth(row.design)), default=NONE)  # fmt: skip
        gains = [best / row.period_ps(name) for name in ("all", "useful 9", "useful 16")]
        delays = [f"{shown(row.constant_ps[name])} / {shown(row.launched_ps[name])}" for name in names]
        print(f"| {row.design.name} | {depth(row.design)} | {row.area_um2:.0f} | {row.floor_ps:.0f} | "
              f"{' | '.join(delays)} | {' | '.join(shown(gain, 2) for gain in gains)} | {row.recipe}"
              f"{'' if row.exact else ' (brackets)'} |")
    print("\nGain: period of the best int8 design with as many stages, all its values, over this one's (the longer of "
          "delay and floor); above 1 is faster.")


def shown(value: float, digits: int = 0) -> str:
    """Return a number, `-` for what there is not."""
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def depth(design: MacDesign) -> int:
    """Return the stages between operand registers and result: a streaming MAC registers its operands first."""
    return design.latency - (design.weight_mode == "streaming")


def print_cells(rows: list[tuple[MacDesign, Netlist]]) -> None:
    """Print which cells of the library each netlist is made of."""
    for design, netlist in rows:
        counts = Counter(cell.kind for cell in netlist.cells)
        print(f"{design.name}: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    kinds = sorted({cell.kind for _, netlist in rows for cell in netlist.cells})
    print(f"cells used, {len(kinds)}: {' '.join(kinds)}")


def print_adders(design: MacDesign, pdk: Pdk, corner: Corner) -> None:
    """Print what inferring adder cells changes: best period and area with and without, over all scripts."""
    folder = WORK / f"{design.name}-{pdk.name}-{corner.name}"
    plain = search(design, corner, pdk.dont_use, folder, all_recipes(()))[0]
    adders = search(design, corner, pdk.dont_use, folder,
                    [recipe_named(f"{recipe.name}+adders") for recipe in all_recipes(())])[0]  # fmt: skip
    period, area = adders.period_ps / plain.period_ps - 1, adders.area_um2 / plain.area_um2 - 1
    print(f"{pdk.name:9} {design.name:26} gates {plain.period_ps:6.0f} ps {plain.area_um2:7.0f} um2 ({plain.recipe}); "
          f"adder cells {adders.period_ps:6.0f} ps {adders.area_um2:7.0f} um2 ({adders.recipe}): "
          f"period {period:+.0%}, area {area:+.0%}", flush=True)


def recipes_for(design: MacDesign) -> tuple[Recipe, ...]:
    """Return every script, and where the Verilog says `*` every script with Booth recoding too."""
    code = "".join(re.sub(r"//.*", "", path.read_text(encoding="utf-8")) for path in design.sources)
    multiplies = re.search(r"[a-z_]\w*\)? \* \$?[a-z_]", code) is not None
    return all_recipes(("booth",) if multiplies else ())


def foot_ps(pdk: Pdk, corner: Corner) -> float:
    """Return the period of the adder at the foot of a carry-save column: its second stage, the longer one."""
    source, best = (RTL / "systolic_pe_csa/column_foot.v",), float("inf")
    for recipe in all_recipes(()):
        request = Request("netlist", source, "column_foot", {}, ("low", "high_sum", "high_carry"), corner.liberty,
                          pdk.dont_use, recipe.abc_script)  # fmt: skip
        timed = annotate(Netlist.from_text(run_yosys(request, WORK / "foot")), read_corner(corner), corner, "clk")
        found = arrivals(timed, Constants(timed.gates, {}, 1))
        best = min(best, float(worst_ps(found, timed.sinks, 1)[0]))
    return best


def typical(pdk: Pdk, name: str | None) -> Corner:
    """Return the corner asked for; else the typical one at the nominal voltage, or the first."""
    if name:
        return pdk.corner(name)
    wanted = [corner for corner in pdk.corners if corner.process == "tt" and corner.voltage_v == pdk.nominal_voltage_v]
    return (wanted or list(pdk.corners))[0]


def chosen(names: str) -> Iterator[MacDesign]:
    """Yield the designs named, comma separated; all for ''."""
    for path in sorted(RTL.glob("*/design.toml")):
        if not names or path.parent.name in names.split(","):
            yield read_design(path)


def main() -> None:
    """Print what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pdks", default="sky130,osu018,asap7", help="libraries, comma separated")
    parser.add_argument("--corner", help="corner; default: typical at nominal voltage")
    parser.add_argument("--designs", default="", help="folders of rtl/, comma separated; default: all")
    parser.add_argument("--topological", action="store_true", help="no certificates: minutes become seconds")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds for each certificate")
    parser.add_argument("--cells", action="store_true", help="print which cells are used instead")
    parser.add_argument("--adders", action="store_true", help="print what inferring adder cells changes instead")
    options = parser.parse_args()
    for name in options.pdks.split(","):
        try:
            pdk = read_pdk(name)
            corner = typical(pdk, options.corner)
            read_corner(corner)
        except CharacterizationError as error:
            print(f"{name}: skipped: {error}")
            continue
        run_pdk(pdk, corner, options)


def run_pdk(pdk: Pdk, corner: Corner, options: argparse.Namespace) -> None:
    """Print what is asked of one library."""
    rows, netlists = [], []
    for design in chosen(options.designs):
        if options.adders:
            print_adders(design, pdk, corner)
            continue
        folder = WORK / f"{design.name}-{pdk.name}-{corner.name}"
        print(f"{pdk.name} {design.name}", file=sys.stderr, flush=True)
        netlist, best = fastest(design, corner, pdk.dont_use, folder, None, recipes_for(design))
        netlists.append((design, netlist))
        if not options.cells:
            rows.append(measure(design, netlist, best, corner, options))
    if options.cells:
        print_cells(netlists)
    elif rows:
        print_table(pdk, corner, rows, not options.topological)
        if any(row.design.is_redundant for row in rows):
            print(f"The adder at the foot of a carry-save column, in two stages, needs {foot_ps(pdk, corner):.0f} ps.")


if __name__ == "__main__":
    main()
