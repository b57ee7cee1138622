"""A table of pairs against streams of weights in which all lanes move: does it predict what they spend?

    python benchmarks/streams.py
    python benchmarks/streams.py --pdk sky130 --transitions 8 --steps 4000
    python benchmarks/streams.py --profile build/dp4.nc     # with the pairs of a profile, and codebooks searched on it

The table is measured with one lane moving from every weight to every weight, as in a profile, and read as it reads it:
lanes add up. Streams are simulated with a new weight in every lane and cycle, activations and partial sums random.
`value alone` is what the mean over all previous weights would say: the pairs' own means by weight, in the same units.

Codebooks are of at most 16 values for a normal histogram, any delay allowed: what the search finds with energies by
pairs and with the profile's energy of each value alone, at several prices of energy (nats for all of it, where rounding
every weight to 0 costs one). Both energies are those of the pairs, independent draws, over that of all values alike.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from characterization.annotation import annotate
from characterization.commands.progress import progress_bars
from characterization.corner_library import read_corner
from characterization.corner_stages import Bench, CharacterizeConfig, CornerCore, measure_pairs
from characterization.design import MacDesign, read_design
from characterization.netlist import abut
from characterization.pair_energy import PairEnergy
from characterization.pdk import read_pdk
from characterization.pipeline import map_design, slowest
from characterization.profile import MacProfile
from characterization.profile_file import load_profile
from characterization.stream_energy import measure_stream
from characterization.timing import topological_ps
from halo.codebook_search import CodebookConfig, Question, best_codes, spread_shares
from halo.operating_point import PointConfig
from halo.prices import PriceConfig
from halo.subset import Histogram

RTL = Path(__file__).parents[1] / "rtl"
WIDTH = 110


def streams_of(design: MacDesign, steps: int) -> dict[str, np.ndarray]:
    """Return streams of weights by name, int64 [step, lane]."""
    rng, shape = np.random.default_rng(1), (steps, len(design.lanes))
    normal = np.clip(np.round(rng.normal(0, 30, shape)), -128, 127).astype(np.int64)
    low, high = (rng.choice(np.arange(-8, 8) * scale, shape) for scale in (1, 16))
    few = rng.choice(np.array([-64, -32, -16, 0, 16, 32, 64, 1]), shape)
    return {
        "all values alike": rng.integers(-128, 128, shape), "int8, normal": normal,
        "int8, normal, in ascending order": np.sort(normal, axis=0), "int4, low end": low,
        "int4, shifted to the fast end": high, "eight values": few, "a weight that stands still": np.full(shape, 77),
        "77 and -77 in turn": np.where(np.arange(steps)[:, None] % 2, 77, -77) * np.ones(shape, np.int64),
    }


def shares_of(stream: np.ndarray) -> np.ndarray:
    """Return how often each value follows another in a lane, int64 [previous weight, weight]."""
    places = (stream[:-1] + 128) * 256 + stream[1:] + 128
    return np.bincount(places.ravel(), minlength=1 << 16).reshape(256, 256)


def row_of(name: str, stream: np.ndarray, found_fj: np.ndarray, pairs: PairEnergy) -> tuple[str, ...]:
    """Return a row of the table."""
    shares = shares_of(stream)
    told, error = pairs.mean_fj(0, shares), pairs.mean_sem_fj(0, shares)
    measured, spread = found_fj.mean(), found_fj.std() / np.sqrt(found_fj.size)
    by_value = pairs.operation_fj(0).mean(axis=0) @ shares.sum(axis=0) / shares.sum()
    return (name, f"{measured:.0f} +- {spread:.0f}", f"{told:.0f} +- {error:.0f}", f"{told / measured - 1:+.1%}",
            f"{by_value:.0f}", f"{by_value / measured - 1:+.1%}")


def codebooks_table(profile: MacProfile) -> Table:
    """Return what codebooks cost that were searched with and without pairs."""
    position = np.linspace(-5, 5, 1001)[:-1] + 0.005
    count = 1e6 * np.exp(-(position**2) / 2)
    histogram = Histogram(position, count / (count * position**2).sum(), count)
    pair_fj, allowed = profile.pair_fj(), np.arange(-128, 128)
    shown = Table(title="16 values for normal weights, searched", box=SIMPLE_HEAD)
    for name in ("price", "loss, by value", "energy", "in all", "loss, by pairs", "energy", "in all"):
        shown.add_column(name, justify="right")
    for price in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):
        row = [f"{price:g}"]
        for known in (replace(profile, pairs=None), profile):
            asked = Question({"normal": histogram}, known, PointConfig(), CodebookConfig(), PriceConfig(energy=price))
            found = best_codes(asked, allowed, 16)
            shares = spread_shares(profile, found.codes, found.shares)
            energy = float(shares @ pair_fj @ shares / pair_fj.mean())
            row += [f"{found.loss:.4f}", f"{energy:.3f}", f"{found.loss + price * energy:.4f}"]
        shown.add_row(*row)
    return shown


def main() -> None:
    """Measure pairs and streams, and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", type=Path, default=RTL / "tensor_core_dp4")
    parser.add_argument("--pdk", default="osu018")
    parser.add_argument("--corner", default="", help="default: the one that synthesis sees")
    parser.add_argument("--transitions", type=int, default=4)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--profile", type=Path, help="with pairs of this design at this corner; none are measured")
    parser.add_argument("--work", type=Path, default=Path("build/characterize"))
    options = parser.parse_args()
    design, pdk = read_design(options.design), read_pdk(options.pdk)
    corner = pdk.corner(options.corner) if options.corner else slowest(pdk)
    folder = options.work / f"{design.name}-{pdk.name}"
    with progress_bars() as progress:
        joined = abut(map_design(design, pdk, folder, progress), design.neighbours)
        library = read_corner(corner)
        core = CornerCore(corner, library, annotate(joined, library, corner, design.clock))
        if options.profile:
            profile = load_profile(options.profile)
            pairs = profile.pairs
        else:
            config = CharacterizeConfig(certify=False, pair_transitions=options.transitions, workers=1)
            bound_ps = topological_ps(core.timed, design, np.array(design.weights))
            table = measure_pairs(Bench(design, joined, config, folder), core, bound_ps,
                                  lambda done, total: progress("pairs", done, total))
            arrays = (np.array(table[name], np.float32)[None] for name in ("energy_fj", "sem_fj"))
            pairs = PairEnergy(options.transitions, len(design.lanes), *arrays)
    shown = Table(title=f"{design.name} at {pdk.name} {corner.name}, fJ per operation, {pairs.transitions} "
                        f"transitions of each pair, {options.steps} operations of each stream", box=SIMPLE_HEAD)
    for name in ("stream", "measured", "by pairs", "off", "by value alone", "off"):
        shown.add_column(name, justify="left" if name == "stream" else "right")
    for name, stream in streams_of(design, options.steps).items():
        shown.add_row(*row_of(name, stream, measure_stream(core.timed, design, stream), pairs))
    Console(width=WIDTH).print(shown)
    if options.profile:
        Console(width=WIDTH).print(codebooks_table(profile))


if __name__ == "__main__":
    main()
