"""Verilog to a mapped netlist: `synthesize(design, liberty, work)`. Each run is a fresh process (see `yosys.py`)."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from characterization.artifact import atomic_path, write_text
from characterization.design import MacDesign, check_ports
from characterization.errors import SynthesisError
from characterization.netlist import CONSTANTS, Netlist

# Restructure, map for delay, buffer by slew, then size up and give back area off the critical path. On an int8 MAC
# this is 14-38 % faster than Yosys' default script, for 1-22 % more area.
ABC_SCRIPT = (
    "strash;&get,-n;&fraig,-x;&put;scorr;dc2;strash;dch,-f;map,-B,0.9;topo;"
    "buffer,-c;topo;stime,-p;upsize,-c;dnsize,-c;stime,-p"
)


@dataclass(frozen=True, slots=True)
class Request:
    """What to run: `goal` is `netlist` or `ports`. Paths are absolute; `log` is appended to.

    `registers` are the names that must survive as names of nets.
    """

    goal: str
    sources: tuple[str, ...]
    top: str
    parameters: dict[str, int] = field(default_factory=dict)
    registers: tuple[str, ...] = ()
    liberty: tuple[str, ...] = ()
    dont_use: tuple[str, ...] = ()
    abc_script: str = ""
    cache: str = ""
    log: str = ""
    output: str = ""

    def to_json(self) -> str:
        """Return the request as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True, slots=True)
class ModuleListing:
    """An elaborated module as Yosys sees it.

    Attributes:
        ports: (name, direction, width, signed), in the order of the source.
        parameters: defaults by name.
        registers: (name, width, signed) of flops with a name of their own.
    """

    top: str
    ports: tuple[tuple[str, str, int, bool], ...]
    parameters: dict[str, int]
    registers: tuple[tuple[str, int, bool], ...]


def synthesize(
    design: MacDesign, liberty: tuple[Path, ...], work: Path, dont_use: tuple[str, ...] = ()
) -> Netlist:
    """Return `design` flattened and mapped onto the cells of one library, equal to the byte wherever it is run.

    Args:
        design: what to synthesize.
        liberty: the library's Liberty files, `.lib` or `.lib.gz`.
        work: folder for unpacked files and `yosys.log`.
        dont_use: patterns of cell names (`*_lpflow_*`) to leave alone.

    Raises:
        SynthesisError: Yosys rejected the sources or cannot map them.
        DesignError: `design.toml` does not fit the elaborated module.
    """
    listing = list_module(design.sources, design.top, work, design.parameters)
    ports = {name: (direction, width) for name, direction, width, _ in listing.ports}
    registers = {name: width for name, width, _ in listing.registers}
    check_ports(design, ports, registers)
    request = Request(
        goal="netlist", sources=absolute(design.sources), top=design.top, parameters=dict(design.parameters),
        registers=tuple(sorted(set(design.widths) - set(ports))), dont_use=dont_use, abc_script=ABC_SCRIPT,
        liberty=tuple(str(unpacked(path, work / "liberty")) for path in liberty),
    )
    netlist = Netlist.from_text(run_yosys(request, work))
    check_driven(netlist)
    return netlist


def list_module(
    sources: tuple[Path, ...], top: str, work: Path, parameters: Mapping[str, int] | None = None
) -> ModuleListing:
    """Return ports, parameters and registers of `top` ('' for the module that no other instantiates).

    Raises:
        SynthesisError: Yosys rejected the sources.
    """
    request = Request(goal="ports", sources=absolute(sources), top=top, parameters=dict(parameters or {}))
    found = json.loads(run_yosys(request, work))
    ports = tuple((name, direction, width, signed) for name, direction, width, signed in found["ports"])
    registers = tuple((name, width, signed) for name, width, signed in found["registers"])
    return ModuleListing(found["top"], ports, found["parameters"], registers)


def absolute(paths: tuple[Path, ...]) -> tuple[str, ...]:
    """Return absolute paths as text."""
    return tuple(str(path.resolve()) for path in paths)


def unpacked(path: Path, folder: Path) -> Path:
    """Return a plain-text path of a Liberty file; a `.gz` is unpacked into `folder`.

    Raises:
        SynthesisError: the file is missing or its compressed data are damaged.
    """
    if not path.is_file():
        raise SynthesisError(f"{path}: no such Liberty file.")
    if path.suffix != ".gz":
        return path.resolve()
    plain = folder / path.stem
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise SynthesisError(f"{path}: damaged gzip file ({error}); fetch it again.") from error
    with atomic_path(plain) as partial:
        partial.write_bytes(data)
    return plain.resolve()


def run_yosys(request: Request, work: Path) -> str:
    """Return what one fresh Yosys process wrote; its log stays at `work/yosys.log`.

    Raises:
        SynthesisError: the process failed, with its last `ERROR:` line.
    """
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    log, output, request_path = work / "yosys.log", work / f"{request.goal}.out", work / "request.json"
    for stale in (log, output):
        stale.unlink(missing_ok=True)
    placed = replace(request, log=str(log), output=str(output), cache=str(work / "scl"))
    write_text(request_path, placed.to_json())
    command = [sys.executable, "-m", "characterization.yosys", str(request_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode or not output.is_file():
        raise SynthesisError(f"{request.top or request.sources[0]}: {failure(log, done.stderr)} (log: {log})")
    return output.read_text(encoding="utf-8")


def failure(log: Path, stderr: str) -> str:
    """Return why Yosys stopped: its last `ERROR:` line, with the first warnings that a failed check counts."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    errors = [line for line in lines if "ERROR:" in line]
    if not errors:
        last = (stderr.strip().splitlines() or ["no message"])[-1]
        return f"Yosys ended without an error line: {last}"
    reason = errors[-1].strip()
    if "check -assert" in reason:
        warnings = [line.strip() for line in lines if line.startswith("Warning:")]
        reason += f" {'; '.join(warnings[:4])}"
    return reason


def check_driven(netlist: Netlist) -> None:
    """Check that every pin and output has a driver.

    Raises:
        SynthesisError: some net floats.
    """
    driven = {*netlist.driver, *netlist.inputs, *CONSTANTS}
    outputs = {net for port in netlist.ports if port.direction == "output" for net in port.nets}
    if floating := sorted((set(netlist.loads) | outputs) - driven):
        raise SynthesisError(f"{netlist.top}: nothing drives {', '.join(floating[:8])}; was a register never assigned?")
