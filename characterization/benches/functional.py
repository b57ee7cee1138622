"""run_functional(): a whole MAC, clock by clock, against its reference: the RTL, or the mapped netlist with delays."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from characterization.artifact import write_text
from characterization.benches.cells import whole_fs
from characterization.benches.icarus import compile_bench, run_bench
from characterization.benches.protocol import Run, plan_run
from characterization.benches.sequential import bench_verilog, half_period_fs, output_ports, sequential_verilog
from characterization.design import MacDesign
from characterization.errors import SimulationError
from characterization.timed import TimedNetlist
from characterization.units import FS_PER_PS

Level = Literal["rtl", "netlist"]
LEVEL_NAMES: dict[Level, str] = {"rtl": "RTL", "netlist": "gates"}
# Called with (stage, done, total).
StageProgress = Callable[[str, int, int], None]
POLL_S = 0.2
# RTL has no delays: any period does.
RTL_HALF_PERIOD_FS = 1000
# A femtosecond for the ports to move, and one for the clock.
SHORTEST_HALF_FS = 2
PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """How a MAC is exercised.

    Attributes:
        vectors: random operations, followed by as many clocks with all controls at random; None for every weight at
            every activation once in each lane.
        seed: of operands and controls.
        period_ps: of the clock of a netlist; None for one in which everything settles.
        wave: whether to write `waves.fst`.
    """

    vectors: int | None = 1000
    seed: int = 1
    period_ps: float | None = None
    wave: bool = False

    def __post_init__(self) -> None:
        """Check the period.

        Raises:
            SimulationError: it is too short to be one, or no number.
        """
        shortest_ps = 2 * SHORTEST_HALF_FS / FS_PER_PS
        if self.period_ps is not None and not shortest_ps <= self.period_ps < float("inf"):
            raise SimulationError(f"a clock period of {self.period_ps:g} ps; it must be at least {shortest_ps:g} ps.")


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of a design's operands were seen, over all lanes: (seen, possible)."""

    weights: tuple[int, int]
    activations: tuple[int, int]
    pairs: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FunctionalResult:
    """A run that passed.

    Attributes:
        design: name of the design.
        level: what was simulated.
        n_clocks: clocks driven. n_checked: clocks after which every observed register was compared.
        n_operations: operations among them, each with weights loaded as the design loads them.
        observed: the ports and registers compared.
        coverage: which operands were seen.
        period_ps: of the clock; without meaning for RTL, which has no delays.
        folder: where the log, `results.xml` (JUnit) and, if asked for, `waves.fst` are.
    """

    design: str
    level: Level
    n_clocks: int
    n_checked: int
    n_operations: int
    observed: tuple[str, ...]
    coverage: Coverage
    period_ps: float
    folder: Path


def run_functional(
    design: MacDesign, work: Path, timed: TimedNetlist | None = None, config: BenchConfig | None = None,
    progress: StageProgress | None = None,
) -> FunctionalResult:
    """Return the count of what was compared, all of it equal to the design's `reference.py`.

    Args:
        design: the MAC.
        work: folder for the bench and its logs.
        timed: the mapped netlist, annotated but not abutted (its ports are driven); None for the RTL.
        config: operands, clock, waveforms.
        progress: called with (stage, clocks done, clocks).

    Raises:
        SimulationError: a port or register differs, with clock, name and values; or the simulator failed.
        DesignError: `reference.py` does not run.
        ToolMissingError: Icarus is not installed.
    """
    config = config or BenchConfig()
    bench = prepare_functional(design, work, timed, config, progress)
    compile_bench(bench.sources, "bench", bench.folder / "build")
    run_prepared(bench, config.wave, progress or unreported)
    run = bench.run
    checked = sum(values is not None for values in run.expected)
    return FunctionalResult(
        design.name, bench.level, len(run.driven), checked, len(run.operations), bench.observed,
        coverage_of(design, run), 2 * bench.half_fs / FS_PER_PS, bench.folder,
    )


def run_prepared(bench: PreparedBench, wave: bool, progress: StageProgress) -> None:
    """Run a compiled bench, and tell how far it is.

    Raises:
        SimulationError: a mismatch, or the simulator failed.
    """
    told, total = bench.folder / "progress.txt", len(bench.run.driven)
    told.unlink(missing_ok=True)
    environment = {"HALO_BENCH_PLAN": str((bench.folder / PLAN).resolve()), "HALO_BENCH_PROGRESS": str(told.resolve())}
    stage = f"bench, {LEVEL_NAMES[bench.level]}"
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(run_bench, "bench", "characterization.benches.functional_bench", bench.folder / "build",
                          bench.folder, environment, wave)
        while not run.done():
            text = told.read_text(encoding="ascii") if told.is_file() else ""
            progress(stage, int(text or 0), total)
            wait([run], POLL_S)
        run.result()
    progress(stage, total, total)


def unreported(stage: str, done: int, total: int) -> None:
    """Take progress that nobody asked for."""


@dataclass(frozen=True, eq=False)
class PreparedBench:
    """A bench as files: `sources` with module `bench` among them, and its plan in `folder`."""

    level: Level
    run: Run
    observed: tuple[str, ...]
    half_fs: int
    sources: tuple[Path, ...]
    folder: Path


def prepare_functional(
    design: MacDesign, work: Path, timed: TimedNetlist | None, config: BenchConfig,
    progress: StageProgress | None = None,
) -> PreparedBench:
    """Write the bench of a MAC and its plan, as `run_functional` runs them.

    Raises:
        SimulationError: the result is no output, or operands are never known.
    """
    level: Level = "rtl" if timed is None else "netlist"
    run = plan_run(design, config.vectors, config.seed,
                   partial(progress or unreported, f"reference, {LEVEL_NAMES[level]}"))
    folder = work / f"functional-{level}"
    if timed is None:
        observed, half_fs, sources = run.registers, RTL_HALF_PERIOD_FS, design.sources
        bench_text = bench_verilog(design, run.inputs, (), config.wave)
    else:
        ports = output_ports(timed, design)
        observed, half_fs = tuple(name for name in run.registers if name in ports), half_period_fs(timed)
        half_fs = half_fs if config.period_ps is None else whole_fs(config.period_ps / 2)
        write_text(folder / "netlist.v", sequential_verilog(timed, design, run.inputs))
        sources = (folder / "netlist.v",)
        bench_text = bench_verilog(replace(design, parameters={}), run.inputs, observed, config.wave)
    if design.roles["result"] not in observed:
        raise SimulationError(
            f"{design.name}: {design.roles['result']} is no output of the {level}; check roles.result in design.toml."
        )
    write_text(folder / "bench.v", bench_text)
    write_text(folder / PLAN, plan_text(design, run, observed, "mac" if timed is None else "", half_fs))
    return PreparedBench(level, run, observed, half_fs, (*sources, folder / "bench.v"), folder)


def coverage_of(design: MacDesign, run: Run) -> Coverage:
    """Return which operands the operations of a run had."""
    seen = {(lane, *pair) for operation in run.operations
            for lane, pair in enumerate(zip(operation.weights, operation.activations, strict=True))}
    lanes, weights, activations = len(design.lanes), len(design.weights), 1 << design.activation_bits
    return Coverage(
        (len({(lane, weight) for lane, weight, _ in seen}), lanes * weights),
        (len({(lane, activation) for lane, _, activation in seen}), lanes * activations),
        (len(seen), lanes * weights * activations),
    )


def plan_text(design: MacDesign, run: Run, observed: Sequence[str], scope: str, half_fs: int) -> str:
    """Return what the bench reads, as JSON; `scope` is the instance in which the observed names are."""
    columns = [run.registers.index(name) for name in observed]
    expected = [None if row is None else [row[column] for column in columns] for row in run.expected]
    return json.dumps({
        "clock": design.clock, "half_period_fs": half_fs, "inputs": run.inputs, "observed": list(observed),
        "scope": scope, "driven": run.driven, "expected": expected,
    })
