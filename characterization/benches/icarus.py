"""Icarus Verilog under cocotb's Python runner: compile once, run test modules, and never take silence for success."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from characterization.errors import SimulationError, ToolMissingError

PROGRAMS = ("iverilog", "vvp")
COMPLAINT = re.compile(r"\b(error|warning|sorry)\b", re.IGNORECASE)
# cocotb's interface asks Icarus for package instances, which Verilog-2005 does not have.
HARMLESS = "vpi_iterate returned NULL for type vpiInstance"
# Where a bench writes why it stopped; cocotb's own report only counts failures.
FAILURE = "failure.txt"
LAST_LINES = 3


def require_icarus() -> None:
    """Check that Icarus and a shared libpython are installed.

    Raises:
        ToolMissingError: naming the Debian package that has what is missing.
    """
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise ToolMissingError(f"{program} is not on PATH; install the Debian package iverilog.")
    from find_libpython import find_libpython  # noqa: PLC0415  (searches the disk when imported by the bench only)

    if find_libpython() is None:
        raise ToolMissingError(
            "no shared libpython for this Python, which cocotb loads into the simulator; install the Debian package "
            "libpython3.11, or a Python built with --enable-shared."
        )


def compile_bench(sources: Sequence[Path], top: str, build: Path) -> None:
    """Compile Verilog into `build`; times are in femtoseconds.

    Raises:
        ToolMissingError: Icarus is not installed.
        SimulationError: Icarus rejects the sources or warns, with its first complaint.
    """
    require_icarus()
    from cocotb_tools.runner import get_runner  # noqa: PLC0415  (starts cocotb's machinery)

    build.mkdir(parents=True, exist_ok=True)
    log = build / "compile.log"
    failed = False
    try:
        get_runner("icarus").build(
            sources=list(sources), hdl_toplevel=top, build_args=["-g2005-sv", "-Wall", "-Wno-timescale"],
            timescale=("1fs", "1fs"), build_dir=build, always=True, log_file=log,
        )
    except RuntimeError:
        failed = True
    complaint = first_complaint(log)
    if failed or complaint:
        raise SimulationError(f"Icarus does not compile {top}: {complaint or 'no message'} (log: {log})")


def run_bench(
    top: str, module: str, build: Path, folder: Path, environment: Mapping[str, str], wave: bool = False
) -> None:
    """Run a cocotb test module against a compiled bench, with logs, results and (`wave`) its dump in `folder`.

    Raises:
        SimulationError: the bench found a mismatch, or the simulator failed or complained.
    """
    from cocotb_tools.runner import get_results, get_runner  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    failure, results, log = folder / FAILURE, folder / "results.xml", folder / "run.log"
    for stale in (failure, results):
        stale.unlink(missing_ok=True)
    try:
        get_runner("icarus").test(
            hdl_toplevel=top, hdl_toplevel_lang="verilog", test_module=module, build_dir=build.resolve(),
            test_dir=folder.resolve(), log_file=log, results_xml=str(results.resolve()), waves=wave,
            extra_env={"HALO_BENCH_FAILURE": str(failure.resolve()), "COCOTB_ANSI_OUTPUT": "0", **environment},
        )
        passed, failed = get_results(results)
        died = ""
    except (RuntimeError, SystemExit) as error:
        passed, failed, died = 0, 0, f"the simulator died ({str(error).rstrip('.')}); "
    if failure.is_file():
        raise SimulationError(f"{top}: {failure.read_text(encoding='utf-8').strip()} (log: {log})")
    complaint = first_complaint(log)
    if failed or not passed or complaint:
        reason = complaint if complaint and not died else f"{died or 'no test passed; '}its log ends: {log_end(log)}"
        raise SimulationError(f"{top}: the bench {module} failed: {reason} (log: {log})")


def first_complaint(log: Path) -> str:
    """Return the first line of a log with an error or warning in it, or ''."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return next((line.strip() for line in lines if COMPLAINT.search(line) and HARMLESS not in line), "")


def log_end(log: Path) -> str:
    """Return the last lines of a log that say something, on one line, cocotb's columns of blanks closed."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return " | ".join([" ".join(line.split()) for line in lines if line.strip()][-LAST_LINES:]) or "nothing"
