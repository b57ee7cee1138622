"""Is a shifted integer grid the best codebook that a MAC has? The exact search beside it, at several prices of energy.

    python benchmarks/codebooks.py examples/demo/demo.toml --profile build/plain.nc --prices 0.1,0.3,0.6

For each price (nats per token that all the MACs' energy is worth) the best at most so many values at any delay, beside
int4 << 4 and int3 << 5 at their best scale: predicted loss (sensitivity-weighted squared error, rounding to nearest, as
a share of all), mean energy of an operation over that of all values alike, and both as one cost in nats per token.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from halo.codebook_search import Question, make_question, search_class
from halo.config import RunConfig, read_config
from halo.mac import load_mac
from halo.model import load_model
from halo.operating_point import proposed_period_ps
from halo.prices import relative_energy
from halo.sensitivity import measure_sensitivity
from halo.subset import Subset, describe
from halo.tokens import read_windows

GRIDS = {"int4 << 4": range(-128, 128, 16), "int3 << 5": range(-128, 128, 32)}
REACHES = np.linspace(1.2, 4.4, 24)


def question_of(config: RunConfig) -> Question:
    """Return what codebooks are searched for in, the model's sensitivity measured or taken from the run's folder."""
    loaded = load_model(config.model, config.ignore)
    tokens = read_windows(loaded.tokenizer, config.calibration, config.windows)
    found = measure_sensitivity(loaded.model, tokens, config.sensitivity, config.out / "work", loaded.digest)
    by_price = replace(config.codebook, rule="price")
    return make_question(loaded.model, load_mac(config.profile), found, by_price, config.points, config.prices)


def best_scale(question: Question, codes: Sequence[int]) -> Subset:
    """Return what a fixed grid costs at the scale that serves it best."""
    values, profile = np.array(codes), question.profile
    energy = relative_energy(profile, question.points)[profile.positions(values)]
    prices = question.prices.energy * energy / float(question.histogram.count.sum())
    return min((describe(question.histogram, values, tuple(range(len(values))), reach / np.abs(values).max(), prices,
                         energy) for reach in REACHES), key=lambda found: found.cost)


def print_row(price: float, name: str, loss: float, energy: float, cost: float, period_ps: float) -> None:
    """Print one codebook."""
    print(f"| {price:g} | {name} | {loss:.4f} | {energy:.3f} | {cost:.4f} | {period_ps:.0f} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, help="TOML of a run")
    parser.add_argument("--profile", type=Path, help="of the MAC; default: the run's")
    parser.add_argument("--prices", default="0.1,0.3,0.6", help="nats per token, comma separated")
    parser.add_argument("--values", default="16,9", help="how many at most, comma separated")
    options, overrides = parser.parse_known_args()
    config = read_config(options.config, [each for each in overrides if each != "--set"])
    config = replace(config, profile=options.profile or config.profile)
    asked = question_of(config)
    print("| price | values | loss | energy | cost | period ps |\n|---:|---|---:|---:|---:|---:|")
    for price in map(float, options.prices.split(",")):
        question = replace(asked, prices=replace(asked.prices, energy=price))
        for name, codes in GRIDS.items():
            grid = best_scale(question, list(codes))
            print_row(price, name, grid.loss, grid.energy, grid.cost,
                      proposed_period_ps(question.profile, list(codes), question.points))
        for count in map(int, options.values.split(",")):
            found = search_class(question, count, math.inf)
            point = found.front[found.chosen]
            print_row(price, f"searched: {' '.join(map(str, point.codes))}", point.loss, point.energy, point.cost,
                      point.period_ps)


if __name__ == "__main__":
    main()
