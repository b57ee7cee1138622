"""run_functional(): a whole MAC, clock by clock, against its reference: the RTL, or the mapped netlist with delays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from characterization.artifact import write_text
from characterization.benches.icarus import compile_bench, run_bench
from characterization.benches.protocol import Run, plan_run
from characterization.benches.sequential import bench_verilog, half_period_fs, output_ports, sequential_verilog
from characterization.design import MacDesign
from characterization.errors import SimulationError
from characterization.timed import TimedNetlist

# RTL has no delays: any period does.
RTL_HALF_PERIOD_FS = 1000


@dataclass(frozen=True, slots=True)
class FunctionalResult:
    """A run that passed.

    Attributes:
        design: name of the design.
        level: what was simulated.
        n_clocks: clocks driven. n_checked: clocks after which every observed register was compared.
        n_operations: operations among them, each with weights loaded as the design loads them.
        observed: the ports and registers compared.
    """

    design: str
    level: Literal["rtl", "netlist"]
    n_clocks: int
    n_checked: int
    n_operations: int
    observed: tuple[str, ...]


def run_functional(
    design: MacDesign, work: Path, timed: TimedNetlist | None = None, n_operations: int = 1000, seed: int = 1
) -> FunctionalResult:
    """Return the count of what was compared, all of it equal to the design's `reference.py`.

    Args:
        design: the MAC.
        work: folder for the bench and its logs.
        timed: the mapped netlist, annotated but not abutted (its ports are driven); None for the RTL.
        n_operations: operations, followed by as many clocks with all controls at random.
        seed: of operands and controls.

    Raises:
        SimulationError: a port or register differs, with clock, name and values; or the simulator failed.
        DesignError: `reference.py` does not run.
        ToolMissingError: Icarus is not installed.
    """
    run = plan_run(design, n_operations, seed)
    level: Literal["rtl", "netlist"] = "rtl" if timed is None else "netlist"
    folder = work / f"functional-{level}"
    if timed is None:
        observed, half_fs, sources = run.registers, RTL_HALF_PERIOD_FS, design.sources
        bench_text = bench_verilog(design, run.inputs, ())
    else:
        ports = output_ports(timed, design)
        observed, half_fs = tuple(name for name in run.registers if name in ports), half_period_fs(timed)
        write_text(folder / "netlist.v", sequential_verilog(timed, design, run.inputs))
        sources = (folder / "netlist.v",)
        bench_text = bench_verilog(replace(design, parameters={}), run.inputs, observed)
    if design.roles["result"] not in observed:
        raise SimulationError(
            f"{design.name}: {design.roles['result']} is no output of the {level}; check roles.result in design.toml."
        )
    bench, plan = folder / "bench.v", folder / "plan.json"
    write_text(bench, bench_text)
    compile_bench([*sources, bench], "bench", folder / "build")
    write_text(plan, plan_text(design, run, observed, "mac" if timed is None else "", half_fs))
    module = "characterization.benches.functional_bench"
    run_bench("bench", module, folder / "build", folder, {"HALO_BENCH_PLAN": str(plan.resolve())})
    checked = sum(values is not None for values in run.expected)
    return FunctionalResult(design.name, level, len(run.driven), checked, len(run.operations), observed)


def plan_text(design: MacDesign, run: Run, observed: Sequence[str], scope: str, half_fs: int) -> str:
    """Return what the bench reads, as JSON; `scope` is the instance in which the observed names are."""
    columns = [run.registers.index(name) for name in observed]
    expected = [None if row is None else [row[column] for column in columns] for row in run.expected]
    return json.dumps({
        "clock": design.clock, "half_period_fs": half_fs, "inputs": run.inputs, "observed": list(observed),
        "scope": scope, "driven": run.driven, "expected": expected,
    })
