"""What every MAC design of `rtl/` can do on every library: `python benchmarks/designs.py [options]`.

One row for each design and library: the clock period that all its values allow, that its fastest 9 and 16 allow, and
that its fastest *useful* 9 and 16 allow: those among which some 9 or 16 represent a Gaussian within 1 dB of the best
quantizer of that size. Delays are certified, register to register. Each netlist is the fastest of several recipes.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
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
# A subset is useful if its squared error is at most this far above that of the best quantizer of its size.
USEFUL_DB = 1.0
# Spread of the weights in units of int8 codes. Codes of fewer values take whatever scale suits them, relative to their
# range: that is free where the whole design is theirs.
SIGMA_CODES = np.linspace(24, 40, 17)
FREE_SIGMA_CODES = np.linspace(12, 80, 35)


@dataclass(frozen=True, slots=True)
class Row:
    """One design on one library; periods in ps, nan where there is none, by size where there are several."""

    design: MacDesign
    recipe: str
    area_um2: float
    floor_ps: float
    worst_ps: float
    fast_ps: dict[int, float]
    useful_ps: dict[int, float]
    swap_worst_ps: float
    swap_useful_ps: dict[int, float]
    exact: bool

    @property
    def period_ps(self) -> float:
        """The period that every value allows."""
        return max(self.worst_ps, self.floor_ps)

    def period_of(self, delay_ps: float) -> float:
        """The period that a delay allows."""
        return max(delay_ps, self.floor_ps)


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
        subset = best_subset(histogram, allowed, count, np.array([float(np.abs(allowed).max() or 1) / sigma]))
        if subset.loss <= limit:
            high, found = middle, subset.codes
        else:
            low = middle + 1
    return found


def kth_ps(delay_ps: np.ndarray, count: int) -> float:
    """Return the delay of the count-th fastest value; nan if there are fewer."""
    return float(np.sort(delay_ps)[count - 1]) if len(delay_ps) >= count else float("nan")


def over(weights: np.ndarray, delay_ps: np.ndarray, codes: tuple[int, ...]) -> float:
    """Return the delay of the slowest of some codes; nan for none."""
    return float(delay_ps[np.isin(weights, codes)].max()) if codes else float("nan")


def measure(design: MacDesign, netlist: Netlist, best: Candidate, corner: Corner, options: argparse.Namespace) -> Row:
    """Return the row of a netlist."""
    timed = annotate(abut(netlist, design.neighbours), read_corner(corner), corner, design.clock)
    weights = np.array(design.weights)
    config = CertifyConfig(time_limit_s=options.time_limit)
    folder = WORK / "certificates"
    exact = True
    if options.topological:
        delay_ps = topological_ps(timed, design, weights)
    else:
        proved = certify_weights(timed, design, weights, "stationary", config, 1, None, folder)
        delay_ps, exact = proved.upper_ps, bool(proved.exact.all())
    useful = {count: useful_set(weights, delay_ps, count) for count in SIZES}

    def swap(codes: tuple[int, ...] | None) -> float:
        if options.topological or codes == ():
            return float("nan")
        return certify_set(timed, design, codes, config, "swap", folder).upper_ps

    return Row(
        design, best.recipe, timed.area_um2, floor_ps(timed, design), float(delay_ps.max()),
        {count: kth_ps(delay_ps, count) for count in SIZES},
        {count: over(weights, delay_ps, codes) for count, codes in useful.items()},
        swap(None), {count: swap(codes) for count, codes in useful.items()}, exact,
    )


def print_table(pdk: Pdk, corner: Corner, rows: list[Row], certified: bool) -> None:
    """Print the rows of one library, the best of each pipeline depth marked."""
    kind = "certified" if certified else "topological"
    print(f"\n{pdk.name} {corner.name}: clock periods in ps, register to register, {kind}; area in um2")
    print(f"{'design':26} {'stages':>6} {'area':>7} {'floor':>6} {'worst':>6} {'9th':>6} {'16th':>6} {'use9':>6} "
          f"{'use16':>6} | {'swap':>6} {'use9':>6} {'use16':>6} | {'all':>5} {'use9':>5} {'use16':>5}  recipe")
    for row in rows:
        best = min((other.period_ps for other in rows if other.design.weight_bits == 8
                    and depth(other.design) == depth(row.design)), default=float("nan"))  # fmt: skip
        gains = [best / row.period_ps, *(best / row.period_of(row.useful_ps[count]) for count in SIZES)]
        figures = [row.floor_ps, row.worst_ps, *row.fast_ps.values(), *row.useful_ps.values()]
        swaps = [row.swap_worst_ps, *row.swap_useful_ps.values()]
        print(f"{row.design.name:26} {depth(row.design):>6} {row.area_um2:7.0f} {columns(figures, '6.0f')} | "
              f"{columns(swaps, '6.0f')} | {columns(gains, '5.2f')}  {row.recipe}{'' if row.exact else ' (brackets)'}")
    print("Last three columns: period of the best int8 design with as many stages over this one's, with all its\n"
          "values and with its useful 9 and 16 (floor included); above 1 is faster.")


def depth(design: MacDesign) -> int:
    """Return the stages between operand registers and result: a streaming MAC registers its operands first."""
    return design.latency - (design.weight_mode == "streaming")


def columns(values: list[float], form: str) -> str:
    """Return numbers side by side, `-` for what there is not."""
    width = int(form.partition(".")[0])
    return " ".join(f"{'-':>{width}}" if np.isnan(value) else format(value, form) for value in values)


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
