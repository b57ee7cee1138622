"""Seconds of every phase of quantizing one large layer, given its Hessian, and the memory it takes.

    python benchmarks/large_layer.py --outputs 4096 --inputs 11008
    python benchmarks/large_layer.py --outputs 11008 --inputs 4096

Random weights and correlated inputs behind quantized layers stand for a layer of a 7B model; what is watched is
`halo.methods.halo` itself. Processor seconds count all threads: on N quiet cores a phase takes at best an N-th
of them. With `--priced` every code is chosen by error and energy together.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from halo.codebook import GRIDS, Codebook
from halo.layer_task import LayerTask
from halo.methods import halo as method
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


PHASES = {
    "factorize": "factorization", "propagated_target": "propagated target",
    "choose_sparse": "sparse part: with and without, on 512 rows", "fold_scales": "scales",
    "feed_back": "error feedback", "target_pull": "targets x Hessian", "refit_scales": "refits", "descend": "sweeps",
    "finish": "error of the result",
}


@dataclass
class Phase:
    """What a phase took: seconds, and the most memory of the program in megabytes."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0


@dataclass
class Clock:
    """Watches the functions that a method calls; what they call of each other counts as theirs."""

    phases: dict[str, Phase] = field(default_factory=lambda: {name: Phase() for name in PHASES.values()})
    running: bool = False

    def watched(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return `step` that is watched as the phase `name`."""

        def run(*arguments: Any) -> Any:
            if self.running:
                return step(*arguments)
            self.running, wall, cpu = True, time.perf_counter(), time.process_time()
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            result = step(*arguments)
            phase, self.running = self.phases[name], False
            phase.wall_s += time.perf_counter() - wall
            phase.cpu_s += time.process_time() - cpu
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            phase.peak_mb = max(phase.peak_mb, *(int(line.split()[1]) * 1.024e-3 for line in lines if "VmHWM" in line))
            return result

        return run


def watch(clock: Clock) -> None:
    """Have `clock` watch all phases of the method, as it calls them."""
    for function, name in PHASES.items():
        setattr(method, function, clock.watched(name, getattr(method, function)))


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
    method.quantize_layer(make_task(256, 256, 512, options.grid, priced=options.priced), config)  # numba compiles
    task = make_task(options.outputs, options.inputs, options.tokens, options.grid, priced=options.priced)
    clock, wall, cpu = Clock(), time.perf_counter(), time.process_time()
    watch(clock)
    layer = method.quantize_layer(task, config)
    whole = Phase(time.perf_counter() - wall, time.process_time() - cpu, max(p.peak_mb for p in clock.phases.values()))
    table = Table("phase", "wall s", "CPU s", "peak MB", title=f"{options.outputs} outputs x {options.inputs} inputs")
    for name, phase in {**clock.phases, "all": whole}.items():
        table.add_row(name, f"{phase.wall_s:.1f}", f"{phase.cpu_s:.1f}", f"{phase.peak_mb:.0f}")
    Console(width=100).print(table)
    hessian_mb, array_mb = 4e-6 * options.inputs**2, 4e-6 * options.outputs * options.inputs
    print(f"error {layer.loss:.6f}; {torch.get_num_threads()} threads on {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}; peaks are of the program and all: the Hessian in float32 takes "
          f"{hessian_mb:.0f} MB, an array of the weights' shape {array_mb:.0f} MB.")


if __name__ == "__main__":
    main()
