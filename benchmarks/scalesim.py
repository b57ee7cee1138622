"""Our cycles and SRAM accesses against SCALE-Sim's own, on a grid of shapes, arrays and the three dataflows.

    python -m venv build/scalesim && build/scalesim/bin/pip install 'scalesim==3.0.0' 'numpy<2.4'
    python benchmarks/scalesim.py --python build/scalesim/bin/python

SCALE-Sim 3.0.0 is MIT-licensed and on PyPI; it fails with NumPy 2.4, so it lives in an environment of its own and runs
as a program. One row per array and dataflow: products compared, how many have equal cycles, equal reads of activations,
of weights, and equal writes of sums, and the range of utilization. SCALE-Sim adds R + C writes to each fold of an
output-stationary product, which nothing writes: they are taken off before comparing.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from halo.dataflow import Accesses, Array, Dataflow, accesses, n_folds, product_cycles, utilization

Shape = tuple[int, int, int]
SHAPES: tuple[Shape, ...] = (
    (1, 1, 1), (4, 4, 4), (7, 9, 11), (1, 64, 64), (32, 32, 32), (33, 31, 35), (16, 100, 24), (64, 17, 130),
    (128, 64, 96), (5, 257, 66), (100, 1, 50), (1, 200, 3),
)
ARRAYS = ((4, 4), (4, 8), (8, 4), (16, 16), (16, 32), (32, 32))
PROGRAM = """
import sys
from scalesim.scale_sim import scalesim
folder = sys.argv[1]
made = scalesim(save_disk_space=True, verbose=False, config=folder + "/run.cfg", topology=folder + "/shapes.csv",
                layout=folder + "/layout.csv", input_type_gemm=True)
made.run_scale(top_path=folder)
"""
CONFIG = """
[general]
run_name = out
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {cols}
IfmapSramSzkB = 1024
FilterSramSzkB = 1024
OfmapSramSzkB = 1024
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Dataflow = {flow}
Bandwidth = 10
ReadRequestBuffer = 512
WriteRequestBuffer = 512
[layout]
IfmapCustomLayout = False
FilterCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 40
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What SCALE-Sim reports of one product."""

    cycles: int
    accesses: Accesses


def run_scalesim(python: str, shapes: Sequence[Shape], array: Array) -> list[Found]:
    """Return what SCALE-Sim reports of each shape.

    Raises:
        SystemExit: it cannot be run.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run.cfg").write_text(CONFIG.format(rows=array.rows, cols=array.cols, flow=array.dataflow))
        lines = [f"s{i}, {m}, {n}, {k}," for i, (m, n, k) in enumerate(shapes)]
        (folder / "shapes.csv").write_text("\n".join(["Layer, M, N, K,", *lines, ""]))
        orders = ", ".join(["1"] * 40)
        (folder / "layout.csv").write_text("\n".join(["Layer", *(f"s{i}, {orders}," for i in range(len(shapes))), ""]))
        done = subprocess.run([python, "-c", PROGRAM, name], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"SCALE-Sim failed:\n{done.stderr[-2000:]}\nsee the head of {__file__} for how it is installed.")
        compute, detail = (read_report(folder / "out" / f"{kind}_REPORT.csv")
                           for kind in ("COMPUTE", "DETAILED_ACCESS"))
    return [found_in(c, d) for c, d in zip(compute, detail, strict=True)]


def read_report(path: Path) -> list[dict[str, str]]:
    """Return the rows of a report, by column."""
    with path.open(encoding="utf-8") as stream:
        return [{(key or "").strip(): (value or "").strip() for key, value in row.items() if key}
                for row in csv.DictReader(stream)]


def found_in(compute: dict[str, str], detail: dict[str, str]) -> Found:
    """Return what two rows of reports say."""
    counts = [round(float(detail[name])) for name in ("SRAM IFMAP Reads", "SRAM Filter Reads", "SRAM OFMAP Writes")]
    return Found(round(float(compute["Total Cycles"])), Accesses(*counts))


def compare(python: str, array: Array) -> Iterator[tuple[bool, bool, bool, bool]]:
    """Yield per shape whether cycles, activation reads, weight reads and sum writes are equal."""
    for (m, n, k), found in zip(SHAPES, run_scalesim(python, SHAPES, array), strict=True):
        own, theirs = accesses(m, n, k, array), found.accesses
        extra = (array.rows + array.cols) * n_folds(m, n, k, array) if array.dataflow == "os" else 0
        yield (product_cycles(m, n, k, array) == found.cycles, own.activation_reads == theirs.activation_reads,
               own.weight_reads == theirs.weight_reads, own.sum_writes == theirs.sum_writes - extra)


def main() -> None:
    """Print the table; exit code 1 where anything differs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--python", default=sys.executable, help="interpreter that has scalesim")
    python = options.parse_args().python
    print(f"{'array':>8} {'flow':>4} {'products':>8} "
          + " ".join(f"{name:>7}" for name in ("cycles", "act rd", "wgt rd", "sum wr")) + f" {'util. %':>12}")
    equal = whole = 0
    for rows, cols in ARRAYS:
        for flow in get_args(Dataflow):
            array = Array(rows, cols, flow, "scalesim")
            results = list(compare(python, array))
            counts = [sum(column) for column in zip(*results, strict=True)]
            shares = [100 * utilization(*shape, array) for shape in SHAPES]
            print(f"{f'{rows}x{cols}':>8} {flow:>4} {len(results):>8} " + " ".join(f"{n:>7}" for n in counts)
                  + f" {min(shares):>6.2f}..{max(shares):.1f}")
            equal, whole = equal + sum(counts), whole + 4 * len(results)
    print(f"{equal} of {whole} figures equal ({len(ARRAYS) * 3 * len(SHAPES)} products)")
    sys.exit(equal != whole)


if __name__ == "__main__":
    main()
