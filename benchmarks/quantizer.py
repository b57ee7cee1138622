"""What each technique of the quantizer brings: one model per technique left out, and paired ratios between methods.

    python benchmarks/quantizer.py ablation --config examples/demo/demo.toml --values 16
    python benchmarks/quantizer.py transforms --config examples/demo/demo.toml --values 16
    python benchmarks/quantizer.py mix --config examples/demo/demo.toml
    python benchmarks/quantizer.py ratios build/demo/results halo-16 gptq-w4a8-grouped

`ablation` quantizes onto one searched codebook of at most so many values, with everything, with one technique left
out at a time, with a codebook for each layer and with static activation scales, and prints net KL, the ratio to
everything with its paired 95 % bootstrap interval over windows, the values' energy over everything's, bits, and CPU
seconds of quantizing and measuring. `transforms` does the same for the model smoothed, rotated or both before
anything is measured, each with the codebook searched for it. `mix` goes from all tiles in the fast class to all in
the slow one, at a quarter, half and three quarters of the energy between: tiles chosen by a budget of energy that
prices codes too, by a budget at the configured price, and by the paper's rule (tiles of most mean squared gradient
are slow) at the same price; beside each KL its ratio to the straight line between the ends at the same energy, and to
the paper's rule, with intervals. `ratios` prints the ratio of two methods that `halo run` or `halo evaluate
--methods` has measured, of one run or (`--in`) of two. What an earlier call finished is taken from the run's folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from halo.budget import Budget
from halo.codebook_search import search_one
from halo.config import read_config
from halo.judge import Judge, make_judge
from halo.layers import QuantizedModel
from halo.methods.halo import Config
from halo.preparation import Prepared, assign_within, job_of, prepare, priced_to
from halo.prices import relative_energy
from halo.quantize import Job, quantize
from halo.recipes import METHODS, W8A8, Recipe, variant_recipe
from halo.results import load_accuracy
from halo.tiles import TileMap
from halo.transform import TransformConfig

RESAMPLES, SEED = 2000, 20261120
SHARES = (0.5, 0.25, 0.75)
WHOLE = 256  # values: W8A8


def progress(stage: str, done: int, total: int) -> None:
    """Tell how far a stage is, on the terminal's last line."""
    print(f"\r{stage}: {done}/{total}   ", end="\n" if done == total else "", file=sys.stderr, flush=True)


def ratio_words(own: np.ndarray, base: np.ndarray) -> str:
    """Return the ratio of two mean KLs over the same windows, with its 95 % interval."""
    picks = np.random.default_rng(SEED).integers(0, len(own), (RESAMPLES, len(own)))
    low, high = np.percentile(own[picks].mean(1) / base[picks].mean(1), [2.5, 97.5])
    return f"{own.mean() / base.mean():.3f} [{low:.3f} .. {high:.3f}]"


def ablations(prepared: Prepared, recipe: Recipe) -> dict[str, Job]:
    """Return everything, everything but one technique, and what is done only where it is asked for."""
    job = job_of(prepared, recipe)
    config: Config = job.method_config
    techniques = {
        "everything": config,
        "without coordinate descent and refit": replace(config, sweeps=0, refit=False),
        "without refit": replace(config, refit=False),
        "one sweep": replace(config, sweeps=1),
        "without propagated targets": replace(config, propagate=False),
        "without activation order": replace(config, act_order=False),
        "3-sigma and salient sparse part": replace(config, sparse=replace(config.sparse, rule="sigma")),
    }
    jobs = {name: replace(job, method_config=options) for name, options in techniques.items()}
    jobs["a codebook for each layer"] = job_of(with_own_codebooks(prepared, recipe.values), recipe)
    jobs["static activation scales"] = replace(job, config=replace(job.config, static_activations=True))
    return jobs


def with_own_codebooks(prepared: Prepared, values: int) -> Prepared:
    """Return what is prepared with a codebook for each layer, of the values that are as fast as the common one."""
    assert prepared.question is not None, "prepare() was told of a searched codebook"
    layered = replace(prepared.question, config=replace(prepared.config.codebook, per_layer=True))
    return replace(prepared, single={values: search_one(layered, values).codebook})


def ablation(path: Path, overrides: list[str], values: int, rows: list[str]) -> None:
    """Print the table of techniques."""
    config = read_config(path, overrides)
    recipe = replace(METHODS[f"halo-{values}"], options={})
    prepared = prepare(config, (recipe,), progress)
    judge = make_judge(config, prepared.original, progress)
    found: dict[str, np.ndarray] = {}
    whole = 0.0
    print(f"{values} values: {prepared.single[values].codes}")
    print(f"{'technique':40s} {'net KL':>8s} {'ratio to everything':>24s} {'energy':>7s} {'bits':>7s} {'CPU s':>6s}")
    for name, job in ablations(prepared, recipe).items():
        if found and rows and name not in rows:
            continue
        began = time.process_time()
        made, found[name] = measured(prepared, job, name, judge)
        whole = whole or spent_by(made, prepared)
        energy, bits = spent_by(made, prepared) / whole, made.effective_bits().total
        ratio = ratio_words(found[name], found["everything"])
        print(f"{name:40s} {found[name].mean():8.5f} {ratio:>24s} {energy:7.4f} {bits:7.3f} "
              f"{time.process_time() - began:6.0f}", flush=True)


TRANSFORMS = {
    "as it is": TransformConfig(), "smoothing 0.25": TransformConfig(smoothing=0.25),
    "smoothing 0.5": TransformConfig(smoothing=0.5), "smoothing 0.75": TransformConfig(smoothing=0.75),
    "rotation": TransformConfig(rotation="hadamard"), "rotation, other signs": TransformConfig("hadamard", seed=2),
    "rotation, smoothing 0.5": TransformConfig("hadamard", smoothing=0.5),
}


def transforms(path: Path, overrides: list[str], values: int) -> None:
    """Print the table of transforms; of W8A8 the whole KL, since what int8 activations cost is all that it has."""
    config = read_config(path, overrides)
    recipe = METHODS[f"halo-{values}"] if values < WHOLE else METHODS[W8A8]
    plain, whole, judge = np.zeros(0), 0.0, None
    what = "net KL" if values < WHOLE else "KL"
    print(f"{'model':26s} {what:>8s} {'ratio to as it is':>24s} {'energy':>7s} {'bits':>7s} {'CPU s':>6s}")
    for name, transform in TRANSFORMS.items():
        began = time.process_time()
        prepared = prepare(replace(config, transform=transform), (recipe,), progress)
        judge = judge or make_judge(config, prepared.original, progress)
        made, kl = measured(prepared, job_of(prepared, recipe), name, judge)
        kl = kl if values < WHOLE else kl + judge.reference.activation_kl
        plain, whole = (plain if len(plain) else kl), whole or spent_by(made, prepared)
        print(f"{name:26s} {kl.mean():8.5f} {ratio_words(kl, plain):>24s} {spent_by(made, prepared) / whole:7.4f} "
              f"{made.effective_bits().total:7.3f} {time.process_time() - began:6.0f}", flush=True)


def measured(prepared: Prepared, job: Job, label: str, judge: Judge) -> tuple[QuantizedModel, np.ndarray]:
    """Return what a job makes, and its net KL per window."""
    made = quantize(prepared.loaded.model, prepared.tokens, prepared.sensitivity, job, prepared.config.out / "work",
                    label, lambda done, total: progress(f"quantize {label}", done, total))
    return made, judge.accuracy(made, kept_in(prepared, made), label, prepared.loaded.model).window_kl


def spent_by(made: QuantizedModel, prepared: Prepared) -> float:
    """Return the energy of all of a model's values, in units of the mean value's."""
    each = relative_energy(prepared.profile, prepared.config.points)
    return sum(float(each[layer.codes.astype(int) + 128].sum()) for layer in made.layers)


def kept_in(prepared: Prepared, quantized: QuantizedModel) -> Path:
    """Return where the accuracy of a model is kept for the next call."""
    return prepared.config.out / "benchmark" / f"{quantized.provenance.key[:20]}.json"


@dataclass(frozen=True, eq=False)
class Point:
    """One model of the mix: share of tiles in the slow class, energy of its values over W8A8's, net KL per window."""

    label: str
    slow: float
    predicted: float
    energy: float
    perplexity: float
    kl: np.ndarray


def mix(path: Path, overrides: list[str]) -> None:
    """Print the table of mixed classes."""
    config = read_config(path, overrides)
    prepared = prepare(config, (variant_recipe("bal"),), progress)
    judge, points = make_judge(config, prepared.original, progress), dict[str, Point]()
    assert prepared.losses is not None, "prepare() measures tiles for a variant"
    books = [prepared.losses.codebooks[at] for at in prepared.losses.order]
    print(f"energy at {config.prices.energy:g} nats; fast {books[0].codes}, slow {books[1].codes}")
    print(f"{'tiles':24s} {'price':>6s} {'slow':>5s} {'predicted':>9s} {'energy':>7s} {'span':>5s} {'net KL':>8s} "
          f"{'ppl':>7s} {'ratio to the line':>22s} {'ratio to the paper':>22s}")
    for label, own, maps, predicted in mixes(prepared):
        point = measured_mix(label, own, maps, predicted, judge)
        points[label] = point
        show_mix(point, own.config.prices.energy, points)
    own_points = sorted((points[label] for label in points if "paper" not in label and "classes" not in label),
                        key=lambda point: point.energy)
    falls = [(b.kl.mean() - a.kl.mean()) / (b.energy - a.energy) for a, b in pairwise(own_points)]
    print("KL per energy between our points: " + ", ".join(f"{fall:.3f}" for fall in falls) + "; convex: "
          + str(all(a <= b for a, b in pairwise(falls))))


def mixes(prepared: Prepared) -> Iterator[tuple[str, Prepared, Mapping[str, TileMap], float]]:
    """Yield label, prices, tiles and predicted energy of every model of the mix; the ends first."""
    assert prepared.losses is not None, "prepare() measures tiles for a variant"
    losses = prepared.losses
    assert losses.energy is not None, "prepare() knows energies"
    ends = [sum(float(spent[position].sum()) for spent in losses.energy.values()) for position in losses.order]
    for position, label, spent in zip(losses.order, ("all fast", "all slow"), ends, strict=True):
        maps = {name: TileMap(name, np.full(value.shape[1:], position, np.int8), losses.config.tile_in,
                              losses.config.tile_out) for name, value in losses.layers.items()}
        yield label, prepared, maps, spent
    for share in SHARES:
        budget = Budget(energy=ends[0] + share * (ends[1] - ends[0]))
        paper = paper_tiles(prepared, budget.energy)
        yield f"paper {share:.0%}", prepared, paper, budget.energy
        dear = priced_to(prepared, budget, progress)
        found = assign_within(dear, budget)
        yield f"ours {share:.0%}", dear, found.maps, found.point.energy
        found = assign_within(prepared, budget)
        yield f"ours, classes only {share:.0%}", prepared, found.maps, found.point.energy


def paper_tiles(prepared: Prepared, energy: float) -> Mapping[str, TileMap]:
    """Return the tiles by HALO's rule: those of most mean squared gradient are slow, as many as the energy allows."""
    losses = prepared.losses
    assert losses is not None, "prepare() measures tiles for a variant"
    (fast, slow), config = losses.order, losses.config
    spent = losses.energy or {}
    scores = []
    for name in losses.layers:
        fisher = prepared.sensitivity.layers[name].read("fisher")
        sums = np.add.reduceat(np.add.reduceat(fisher, np.arange(0, fisher.shape[0], config.tile_out), 0),
                               np.arange(0, fisher.shape[1], config.tile_in), 1)
        scores.append(sums / TileMap(name, np.zeros(sums.shape, np.int8), config.tile_in, config.tile_out).sizes(
            *fisher.shape))
    flat = np.concatenate([score.ravel() for score in scores])
    more = np.concatenate([(spent[name][slow] - spent[name][fast]).ravel() for name in losses.layers])
    order = np.argsort(-flat, kind="stable")
    room = energy - sum(float(value[fast].sum()) for value in spent.values())
    chosen = np.full(len(flat), fast)
    chosen[order[np.cumsum(more[order]) <= room]] = slow
    maps, at = {}, 0
    for name, score in zip(losses.layers, scores, strict=True):
        classes = chosen[at : at + score.size].reshape(score.shape).astype(np.int8)
        maps[name] = TileMap(name, classes, config.tile_in, config.tile_out)
        at += score.size
    return maps


def measured_mix(
    label: str, prepared: Prepared, maps: Mapping[str, TileMap], predicted: float, judge: Judge
) -> Point:
    """Return one model of the mix, quantized and measured."""
    assert prepared.losses is not None, "prepare() measures tiles for a variant"
    job = replace(job_of(prepared, variant_recipe("bal")), tiles=maps)
    made = quantize(prepared.loaded.model, prepared.tokens, prepared.sensitivity, job, prepared.config.out / "work",
                    label, lambda done, total: progress(f"quantize {label}", done, total))
    accuracy = judge.accuracy(made, kept_in(prepared, made), label, prepared.loaded.model)
    slow = np.concatenate([tiles.classes.ravel() == prepared.losses.order[1] for tiles in maps.values()]).mean()
    return Point(label, float(slow), predicted, spent_by(made, prepared) / prepared.losses.whole,
                 accuracy.quality.perplexity, accuracy.window_kl)


def show_mix(point: Point, price: float, points: Mapping[str, Point]) -> None:
    """Print one row."""
    row = f"{point.label:24s} {price:6.3f} {point.slow:5.2f} {point.predicted:9.4f} {point.energy:7.4f}"
    if len(points) < 3:
        print(f"{row} {'':5s} {point.kl.mean():8.5f} {point.perplexity:7.4f}", flush=True)
        return
    fast, slow = points["all fast"], points["all slow"]
    span = (point.energy - fast.energy) / (slow.energy - fast.energy)
    line = ratio_words(point.kl, fast.kl + span * (slow.kl - fast.kl))
    paper = points.get("paper" + point.label[point.label.rindex(" "):])
    against = "" if paper is None or paper is point else ratio_words(point.kl, paper.kl)
    print(f"{row} {span:5.2f} {point.kl.mean():8.5f} {point.perplexity:7.4f} {line:>22s} {against:>22s}", flush=True)


def ratios(folder: Path, own: str, base: str, other: Path) -> None:
    """Print the ratio of two measured methods, the second one's run in the folder `other`."""
    kls = [load_accuracy(place / name / "accuracy.json").window_kl for place, name in ((folder, own), (other, base))]
    print(f"net KL of {own} over {base}: {ratio_words(*kls)}")


def main() -> None:
    """Parse and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("ablation")
    table.add_argument("--config", type=Path, default=Path("examples/demo/demo.toml"))
    table.add_argument("--set", action="append", default=[], dest="overrides")
    table.add_argument("--values", type=int, choices=(8, 9, 16), default=16)
    table.add_argument("--row", action="append", default=[], dest="rows", help="only this row beside everything")
    before = commands.add_parser("transforms")
    before.add_argument("--config", type=Path, default=Path("examples/demo/demo.toml"))
    before.add_argument("--set", action="append", default=[], dest="overrides")
    before.add_argument("--values", type=int, choices=(8, 9, 16, WHOLE), default=16)
    mixed = commands.add_parser("mix")
    mixed.add_argument("--config", type=Path, default=Path("examples/demo/demo.toml"))
    mixed.add_argument("--set", action="append", default=[], dest="overrides")
    pair = commands.add_parser("ratios")
    pair.add_argument("results", type=Path)
    pair.add_argument("own")
    pair.add_argument("base")
    pair.add_argument("--in", type=Path, default=None, dest="other", help="results of the run that has the base")
    asked = parser.parse_args()
    if asked.command == "ablation":
        ablation(asked.config, asked.overrides, asked.values, asked.rows)
    elif asked.command == "transforms":
        transforms(asked.config, asked.overrides, asked.values)
    elif asked.command == "mix":
        mix(asked.config, asked.overrides)
    else:
        ratios(asked.results, asked.own, asked.base, asked.other or asked.results)


if __name__ == "__main__":
    main()
