"""A CUDA device beside the CPU's engine, on the same transitions: `python benchmarks/device.py [DESIGN@PDK ...]`.

All weights of each design by `--transitions` random ones, settle times, edges and energies. Results must be equal to
the bit. Wall times are of a second run: the first one compiles. The CPU uses `--workers` threads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table
from simulation import WORK, core_of

from characterization.benches.operands import StimulusConfig
from characterization.energy import CoreActivity, simulate_weights
from characterization.errors import CharacterizationError
from characterization.inertial_cuda import require_cuda
from characterization.simulation import Device

CASES = ("systolic_pe@osu018", "systolic_pe_csa@osu018", "tensor_core_dp4@osu018")


def timed_run(case: str, transitions: int, device: Device, workers: int) -> tuple[CoreActivity, float]:
    """Return what was simulated on a device, and its wall time in s once everything is compiled."""
    timed, design = core_of(case)
    with tempfile.TemporaryDirectory(dir=WORK) as work:
        simulate_weights(timed, design, StimulusConfig(2, 1, design.weights[:1]), Path(work), workers, device=device)
        start = time.perf_counter()
        config = StimulusConfig(transitions, 1, design.weights)
        found = simulate_weights(timed, design, config, Path(work), workers, device=device)
        return found, time.perf_counter() - start


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=CASES, metavar="DESIGN@PDK")
    parser.add_argument("--transitions", type=int, default=4096, help="of each weight (4096)")
    parser.add_argument("--workers", type=int, default=2, help="threads of the CPU's engine (2)")
    asked = parser.parse_args()
    try:
        require_cuda()
    except CharacterizationError as error:
        parser.error(str(error))
    WORK.mkdir(parents=True, exist_ok=True)
    shown = Table(Column("design", no_wrap=True), "transitions", "CPU, thousand/s", "device, thousand/s", "ratio",
                  "equal", box=SIMPLE_HEAD)  # fmt: skip
    for case in asked.cases:
        cpu, cpu_s = timed_run(case, asked.transitions, "cpu", asked.workers)
        gpu, gpu_s = timed_run(case, asked.transitions, "cuda", asked.workers)
        equal = all(np.array_equal(getattr(cpu, name), getattr(gpu, name))
                    for name in ("settle_ps", "energy_fj", "edges"))
        count = cpu.settle_ps.size
        shown.add_row(case, str(count), f"{count / cpu_s / 1e3:.0f}", f"{count / gpu_s / 1e3:.0f}",
                      f"{cpu_s / gpu_s:.1f}", "yes" if equal else "NO")
    Console(width=110).print(shown)


if __name__ == "__main__":
    main()
