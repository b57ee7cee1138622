"""Seconds of every phase of quantizing one large layer, given its Hessian, and the memory it takes.

    python benchmarks/large_layer.py --outputs 4096 --inputs 11008
    python benchmarks/large_layer.py --outputs 11008 --inputs 4096

Random weights and correlated inputs behind quantized layers stand for a layer of a 7B model; the steps are those of
`halo.methods.halo`, in its order. Processor seconds count all threads: on N quiet cores a phase takes at best an N-th
of them. With `--priced` every code is chosen by error and energy together.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from halo.codebook import GRIDS, Codebook
from halo.factor import factorize
from halo.feedback import activation_order, descend, feed_back, propagated_target
from halo.layer_task import LayerTask, finish, spread
from halo.levels import make_levels
from halo.methods import halo as method
from halo.refit import dense_target, refit_scales
from halo.tiles import TileConfig, uniform_map

FACTORS = 64  # directions that inputs share


def make_task(outputs: int, inputs: int, tokens: int, grid: str, *, priced: bool) -> LayerTask:
    """Return a layer of random weights, and what its inputs were."""
    generator = torch.Generator().manual_seed(7)
    shared = torch.randn(FACTORS, inputs, generator=generator)
    hessian, drift = torch.zeros(inputs, inputs), torch.zeros(outputs, inputs)
    weight = torch.randn(outputs, inputs, generator=generator) * inputs**-0.5
    for _ in range(0, tokens, 512):
        x = torch.randn(512, inputs, generator=generator)
        x.addmm_(torch.randn(512, FACTORS, generator=generator), shared, alpha=FACTORS**-0.5)
        hessian.addmm_(x.T, x)
        drift.addmm_((0.01 * torch.randn(512, inputs, generator=generator) @ weight.T).T, x)
    book = Codebook(grid, GRIDS[grid], 1000.0)
    prices = 1e-9 * torch.arange(-128, 128).abs().float() if priced else None
    return LayerTask("layer", weight, None, hessian, torch.ones_like(weight), (book,),
                     uniform_map("layer", outputs, inputs, TileConfig()), 128, torch.ones(outputs), prices, drift)


class Clock:
    """Runs steps and keeps what each took."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []

    def take(self, name: str, step: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of `step(*arguments)`; note its wall and processor seconds."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = step(*arguments)
        self.rows.append((name, time.perf_counter() - wall, time.process_time() - cpu))
        return result


def quantize(task: LayerTask, config: method.Config, clock: Clock) -> None:
    """Do what `halo.methods.halo.quantize_layer` does, step by step."""
    order = activation_order(task.hessian)
    factor = clock.take("factorization", factorize, task.hessian, order, config.damping)
    own, target = task, clock.take("propagated target", propagated_target, task.weight, task.drift, factor)
    task = replace(task, weight=target)
    sparse = clock.take("sparse part: with and without", method.choose_sparse, task, config.sparse, factor)
    scales = clock.take("scales", method.fold_scales, task, sparse, factor)
    levels = make_levels(task, spread(scales, task.weight.shape[1], task.fold))
    codes, values, _ = clock.take("error feedback", feed_back, task.weight, factor, levels, sparse)
    del factor, levels, _
    sparse = replace(sparse, values=values)
    hessian = task.hessian.clone()
    hessian.diagonal().add_(config.damping * hessian.diagonal().mean())
    pull = clock.take("targets x Hessian", torch.matmul, dense_target(task.weight, values, sparse.scales), hessian)
    for sweep in range(config.sweeps):
        scales = clock.take(f"refit {sweep + 1}", refit_scales, pull, hessian, scales, codes, task.fold)
        levels = make_levels(task, spread(scales, codes.shape[1], task.fold))
        codes = clock.take(f"sweep {sweep + 1}", descend, task.weight, hessian, levels, codes, sparse)
    scales = clock.take("last refit", refit_scales, pull, hessian, scales, codes, task.fold)
    del pull, hessian
    clock.take("error of the result", finish, own, codes, scales, sparse, "")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=int, default=4096)
    parser.add_argument("--inputs", type=int, default=11008)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--sweeps", type=int, default=2)
    parser.add_argument("--grid", default="w4-shifted", choices=sorted(GRIDS))
    parser.add_argument("--priced", action="store_true")
    options = parser.parse_args()
    config = method.Config(sweeps=options.sweeps)
    quantize(make_task(256, 256, 512, options.grid, priced=options.priced), config, Clock())  # numba compiles
    task = make_task(options.outputs, options.inputs, options.tokens, options.grid, priced=options.priced)
    clock = Clock()
    quantize(task, config, clock)
    table = Table("phase", "wall s", "CPU s", title=f"{options.outputs} outputs x {options.inputs} inputs")
    for name, wall, cpu in (*clock.rows, ("sum", *(sum(row[at] for row in clock.rows) for at in (1, 2)))):
        table.add_row(name, f"{wall:.1f}", f"{cpu:.1f}")
    Console(width=100).print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{torch.get_num_threads()} threads on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; peak "
          f"{peak:.2f} GB, of the program and all; the Hessian in float32 is {4e-9 * options.inputs**2:.2f} GB.")


if __name__ == "__main__":
    main()
