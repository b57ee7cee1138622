"""What each technique of the quantizer brings: one model per technique left out, and paired ratios between methods.

    python benchmarks/quantizer.py ablation --config examples/demo/demo.toml --values 16
    python benchmarks/quantizer.py ratios build/demo/results halo-16 gptq-w4a8-grouped

`ablation` quantizes onto one searched codebook of at most so many values, with everything and with one technique left
out at a time, and prints net KL, the ratio to everything with its paired 95 % bootstrap interval over windows, and CPU
seconds. `ratios` prints the same ratio of two methods that `halo run` or `halo evaluate --methods` has measured.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from halo.config import read_config
from halo.judge import Judge, make_judge
from halo.methods.halo import Config
from halo.preparation import Prepared, job_of, make_quantized, prepare
from halo.recipes import METHODS, Recipe
from halo.results import load_accuracy

RESAMPLES, SEED = 2000, 20261120


def ratio_words(own: np.ndarray, base: np.ndarray) -> str:
    """Return the ratio of two mean KLs over the same windows, with its 95 % interval."""
    picks = np.random.default_rng(SEED).integers(0, len(own), (RESAMPLES, len(own)))
    low, high = np.percentile(own[picks].mean(1) / base[picks].mean(1), [2.5, 97.5])
    return f"{own.mean() / base.mean():.3f} [{low:.3f} .. {high:.3f}]"


def ablations(config: Config) -> dict[str, Config]:
    """Return everything, and everything but one technique."""
    return {
        "everything": config,
        "without coordinate descent and refit": replace(config, sweeps=0, refit=False),
        "without refit": replace(config, refit=False),
        "one sweep": replace(config, sweeps=1),
        "without propagated targets": replace(config, propagate=False),
        "without activation order": replace(config, act_order=False),
        "3-sigma and salient sparse part": replace(config, sparse=replace(config.sparse, rule="sigma")),
    }


def ablation(path: Path, overrides: list[str], values: int) -> None:
    """Print the table of techniques."""
    config = read_config(path, overrides)
    recipe = replace(METHODS[f"halo-{values}"], options={})
    prepared = prepare(config, (recipe,))
    judge = make_judge(config, prepared.loaded)
    found: dict[str, np.ndarray] = {}
    print(f"{values} values: {prepared.single[values].codes}")
    print(f"{'technique':40s} {'net KL':>8s} {'ratio to everything':>24s} {'bits':>7s} {'CPU s':>6s}")
    for name, options in ablations(job_of(prepared, recipe).method_config).items():
        kl, bits, cpu_s = measured(prepared, replace(recipe, label=name), options, judge)
        found[name] = kl
        ratio = ratio_words(kl, found["everything"])
        print(f"{name:40s} {kl.mean():8.5f} {ratio:>24s} {bits:7.3f} {cpu_s:6.0f}", flush=True)


def measured(prepared: Prepared, recipe: Recipe, options: Config, judge: Judge) -> tuple[np.ndarray, float, float]:
    """Return net KL per window, effective bits, and CPU seconds of quantizing with the method's `options`."""
    began = time.process_time()
    method = dict(prepared.config.method) | {recipe.method: options}
    own = replace(prepared, config=replace(prepared.config, method=method))
    quantized = make_quantized(own, recipe)
    cpu_s = time.process_time() - began
    return judge.measure(quantized, "", recipe.label).window_kl, quantized.effective_bits().total, cpu_s


def ratios(folder: Path, own: str, base: str) -> None:
    """Print the ratio of two measured methods."""
    kls = [load_accuracy(folder / name / "accuracy.json").window_kl for name in (own, base)]
    print(f"net KL of {own} over {base}: {ratio_words(*kls)}")


def main() -> None:
    """Parse and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("ablation")
    table.add_argument("--config", type=Path, default=Path("examples/demo/demo.toml"))
    table.add_argument("--set", action="append", default=[], dest="overrides")
    table.add_argument("--values", type=int, choices=(8, 9, 16), default=16)
    pair = commands.add_parser("ratios")
    pair.add_argument("results", type=Path)
    pair.add_argument("own")
    pair.add_argument("base")
    asked = parser.parse_args()
    if asked.command == "ablation":
        ablation(asked.config, asked.overrides, asked.values)
    else:
        ratios(asked.results, asked.own, asked.base)


if __name__ == "__main__":
    main()
