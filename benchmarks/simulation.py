"""The simulation engine on trial: `python benchmarks/simulation.py [--transitions N] [--table] [DESIGN@PDK ...]`.

Beside Icarus on the same netlist, delays and vectors in one run, edge counters on and off; with `--table` also the time
and memory of the full table of each stationary design named, 256 weights by 65,536 pairs of activations, two threads.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from characterization.agreement import hold_against_icarus
from characterization.annotation import annotate
from characterization.benches.operands import StimulusConfig
from characterization.corner_library import read_corner
from characterization.design import MacDesign, read_design
from characterization.energy import simulate_weights
from characterization.netlist import abut
from characterization.pdk import read_pdk
from characterization.pipeline import map_design, slowest
from characterization.timed import TimedNetlist

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "benchmark-simulation"
CASES = tuple(f"{design}@{pdk}" for pdk in ("osu018", "sky130hd")
              for design in ("systolic_pe", "systolic_pe_csa", "tensor_core_dp4"))  # fmt: skip
N_WEIGHTS = 8


def core_of(case: str) -> tuple[TimedNetlist, MacDesign]:
    """Return the core of DESIGN@PDK at the corner that synthesis sees."""
    name, _, library = case.partition("@")
    design, pdk = read_design(ROOT / "rtl" / name), read_pdk(library or "osu018")
    netlist = map_design(design, pdk, WORK / f"{name}-{pdk.name}", lambda *_: None)
    corner = slowest(pdk)
    return annotate(abut(netlist, design.neighbours), read_corner(corner), corner, design.clock), design


def compare(cases: list[str], transitions: int) -> None:
    """Print agreement and speed of each case; weights are spread over all values."""
    shown = Table(Column("design", no_wrap=True), "gates", "transitions", "mismatches",
                  "edges each", "Icarus", "bare", "alone", "engine",
                  "M edges/s", "x Icarus", "x bare", box=SIMPLE_HEAD, caption="thousand transitions per second of "
                  "processor time. Icarus: exact cells, with counters of every net's edges, and bare. The engine, with "
                  "settle times, edges and costs: each weight alone, and weights that share what they have in "
                  "common")  # fmt: skip
    for case in cases:
        timed, design = core_of(case)
        weights = design.weights[:: max(1, len(design.weights) // N_WEIGHTS)]
        per_weight = -(-transitions // len(weights)) // (2 if design.weight_mode == "streaming" else 1)
        config = StimulusConfig(max(1, per_weight), 1, tuple(weights))
        with tempfile.TemporaryDirectory(dir=WORK) as work:
            found = hold_against_icarus(timed, design, config, Path(work), bare=True)
        times_s = found.icarus_cpu_s, found.bare_cpu_s, found.alone_cpu_s, found.engine_cpu_s
        rates = [found.steps / cpu_s / 1e3 for cpu_s in times_s]
        shown.add_row(case, str(len(timed.gates)), str(found.transitions), str(found.mismatches),
                      f"{found.events / found.steps:.0f}", *(f"{rate:.2f}" for rate in rates),
                      f"{found.events / found.engine_cpu_s / 1e6:.1f}", f"{rates[3] / rates[0]:.0f}",
                      f"{rates[3] / rates[1]:.0f}")
    Console(width=150).print(shown)


def full_tables(cases: list[str]) -> None:
    """Print time and memory of the table of all pairs, two threads."""
    shown = Table(Column("design", no_wrap=True), "transitions", "wall s",
                  "thousand/s", "CPU s", "thousand/s and core", "edges each", "MiB",
                  box=SIMPLE_HEAD)  # fmt: skip
    for case in cases:
        timed, design = core_of(case)
        if design.weight_mode == "streaming":
            continue
        with tempfile.TemporaryDirectory(dir=WORK) as work:
            simulate_weights(timed, design, StimulusConfig(2, 1, (0,)), Path(work))
            wall, cpu = time.perf_counter(), time.process_time()
            config = StimulusConfig(0, 1, design.weights, "exhaustive")
            activity = simulate_weights(timed, design, config, Path(work), workers=2)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        count = activity.settle_ps.size
        mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        shown.add_row(case, str(count), f"{wall:.0f}", f"{count / wall / 1e3:.0f}", f"{cpu:.0f}",
                      f"{count / cpu / 1e3:.0f}", f"{activity.edges.sum() / count:.0f}", f"{mebibytes:.0f}")
    Console(width=110).print(shown)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=CASES, metavar="DESIGN@PDK")
    parser.add_argument("--transitions", type=int, default=2000, help="compared for each case (2000)")
    parser.add_argument("--table", action="store_true", help="time the full tables, not Icarus")
    asked = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if asked.table:
        full_tables(list(asked.cases))
    else:
        compare(list(asked.cases), asked.transitions)


if __name__ == "__main__":
    main()
