"""Verilog to a mapped netlist: `synthesize(design, liberty, work)`. Each run is a fresh process (see `yosys.py`)."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from characterization.adder_cells import adder_verilog
from characterization.artifact import write_text
from characterization.design import MacDesign, check_ports
from characterization.errors import LibertyError, SynthesisError
from characterization.liberty import CellLibrary, read_liberty
from characterization.netlist import CONSTANTS, Netlist
from characterization.reach import check_reach
from characterization.recipes import DEFAULT, Recipe, recipe_named
from characterization.yosys_log import reason_in

# Files of a run, in its scratch folder.
REQUEST, LOG, OUTPUT, ADDERS = "request.json", "yosys.log", "result.out", "adders.v"


@dataclass(frozen=True, slots=True)
class Request:
    """What Yosys shall do: `goal` is `netlist` or `ports`; `registers` must survive as names of nets.

    `abc_script`, `booth`, `hierarchy` are those of `Recipe`; `adders` is the Verilog that maps adders, '' for none.

    The process gets it with `sources` and `liberty` named within its scratch folder, for ABC takes no path with a
    space in it.
    """

    goal: Literal["netlist", "ports"]
    sources: tuple[Path, ...]
    top: str
    parameters: dict[str, int]
    registers: tuple[str, ...] = ()
    liberty: tuple[Path, ...] = ()
    dont_use: tuple[str, ...] = ()
    abc_script: str = ""
    booth: bool = False
    hierarchy: bool = False
    adders: str = ""


@dataclass(frozen=True, slots=True)
class ModuleListing:
    """An elaborated module as Yosys sees it.

    Attributes:
        ports: (name, direction, width, signed), in the order of the source.
        parameters: defaults by name.
        registers: (name, width, signed) of flops with a name of their own.
        parts: names of the modules it is made of.
    """

    top: str
    ports: tuple[tuple[str, str, int, bool], ...]
    parameters: dict[str, int]
    registers: tuple[tuple[str, int, bool], ...]
    parts: tuple[str, ...] = ()


def synthesize(
    design: MacDesign, liberty: tuple[Path, ...], work: Path, dont_use: tuple[str, ...] = (),
    recipe: Recipe | None = None,
) -> Netlist:
    """Return `design` flattened and mapped onto the cells of one library, equal to the byte wherever it is run.

    Args:
        design: what to synthesize.
        liberty: the library's Liberty files, `.lib` or `.lib.gz`.
        work: folder for `yosys.log`.
        dont_use: patterns of cell names (`*_lpflow_*`) to leave alone.
        recipe: how; by default the one that the design names, or `choices`.

    Raises:
        SynthesisError: Yosys rejected the sources or cannot map them, or the weight gets nowhere.
        DesignError: `design.toml` does not fit the elaborated module.
        LibertyError: the recipe wants adder cells, and the library has none; or synthesis failed, and a gate has no
            timing or no flip-flop can be used.
    """
    recipe = recipe or recipe_named(design.recipe or DEFAULT)
    listing = list_module(design.sources, design.top, work, design.parameters)
    ports = {name: (direction, width) for name, direction, width, _ in listing.ports}
    check_ports(design, ports, {name: width for name, width, _ in listing.registers})
    request = Request(
        goal="netlist", sources=design.sources, top=design.top, parameters=dict(design.parameters), liberty=liberty,
        registers=tuple(sorted(set(design.widths) - set(ports))), dont_use=dont_use, abc_script=recipe.abc_script,
        booth=recipe.booth, hierarchy=recipe.hierarchy,
        adders=adder_verilog(read_liberty(liberty), dont_use) if recipe.adders else "",
    )
    try:
        netlist = Netlist.from_text(run_yosys(request, work))
    except SynthesisError:
        explain(liberty, dont_use)
        raise
    check_driven(netlist)
    check_reach(netlist, design)
    return netlist


def explain(liberty: tuple[Path, ...], dont_use: tuple[str, ...]) -> None:
    """Say more than Yosys does of why synthesis failed, where the cells are the reason.

    Raises:
        LibertyError: a gate has no delays, or no flip-flop can be used.
    """
    try:
        library = read_liberty(liberty)
    except LibertyError:  # what Yosys said of the file stands
        return
    check_cells(library, dont_use)


def check_cells(library: CellLibrary, dont_use: tuple[str, ...]) -> None:
    """Check that synthesis can do with a library's cells; ABC and dfflibmap say little when they cannot.

    Raises:
        LibertyError: a gate has no delays, or no flip-flop can be used.
    """
    cells = [cell for name, cell in sorted(library.cells.items())
             if not any(fnmatchcase(name, pattern) for pattern in dont_use)]  # fmt: skip
    for cell in cells:
        for pin in (cell.pins[name] for name in cell.outputs if not cell.flop):
            if pin.function is not None and pin.function.pins and not pin.arcs:
                raise LibertyError(f"{cell.where}: cell {cell.name} has a function at {pin.name} and no timing, which "
                                   "synthesis cannot use; add the timing, or the cell to the PDK's dont_use.")
    flops = [cell for cell in cells if cell.flop]
    if flops and all(cell.unusable for cell in flops):
        raise LibertyError(f"{flops[0].where}: no flip-flop of {library.name} can be used; of {flops[0].name}, "
                           f"{flops[0].unusable}.")


def list_module(
    sources: tuple[Path, ...], top: str, work: Path, parameters: Mapping[str, int] | None = None
) -> ModuleListing:
    """Return ports, parameters and registers of `top` ('' for the module that no other instantiates).

    Raises:
        SynthesisError: Yosys rejected the sources.
    """
    request = Request(goal="ports", sources=sources, top=top, parameters=dict(parameters or {}))
    found = json.loads(run_yosys(request, work))
    ports = tuple((name, direction, width, signed) for name, direction, width, signed in found["ports"])
    registers = tuple((name, width, signed) for name, width, signed in found["registers"])
    return ModuleListing(found["top"], ports, found["parameters"], registers, tuple(found["modules"]))


def run_yosys(request: Request, work: Path) -> str:
    """Return what one fresh Yosys process wrote; its log is kept as `work/yosys.log`.

    Raises:
        SynthesisError: the process failed, with its last `ERROR:` line; or a Liberty file is missing or damaged.
    """
    kept = work / LOG
    work.mkdir(parents=True, exist_ok=True)
    kept.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        sources = linked_sources(request.sources, scratch)
        libraries = [linked_library(path, scratch, index) for index, path in enumerate(request.liberty)]
        write_text(scratch / REQUEST, json.dumps(asdict(request) | {"sources": sources, "liberty": libraries}))
        write_text(scratch / ADDERS, request.adders)
        command = [sys.executable, "-m", "characterization.yosys", name]
        # ABC leaves its own folder behind when it fails; in ours it goes away with the rest.
        environment = os.environ | {"TMPDIR": name}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment
        )
        if (scratch / LOG).is_file():
            shutil.copyfile(scratch / LOG, kept)
        if done.returncode or not (scratch / OUTPUT).is_file():
            raise SynthesisError(f"{request.top or request.sources[0]}: {failure(kept, done.stderr)} (log: {kept})")
        return (scratch / OUTPUT).read_text(encoding="utf-8")


def linked_sources(sources: tuple[Path, ...], scratch: Path) -> list[str]:
    """Return paths of the sources through links in `scratch`, so that includes are found beside each."""
    found = []
    (scratch / "sources").mkdir()
    for index, path in enumerate(sources):
        (scratch / "sources" / str(index)).symlink_to(path.parent.resolve())
        found.append(f"sources/{index}/{path.name}")
    return found


def linked_library(path: Path, scratch: Path, index: int) -> str:
    """Return the name of a Liberty file in `scratch`: a link, or for a `.gz` the file unpacked.

    Raises:
        SynthesisError: the file is missing or its compressed data are damaged.
    """
    if not path.is_file():
        raise SynthesisError(f"{path}: no such Liberty file.")
    place = scratch / f"{index}.lib"
    if path.suffix != ".gz":
        place.symlink_to(path.resolve())
        return place.name
    try:
        place.write_bytes(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error) as error:
        raise SynthesisError(f"{path}: damaged gzip file ({error}); fetch it again.") from error
    return place.name


def failure(log: Path, stderr: str) -> str:
    """Return why Yosys stopped: what is wrong with the design where its log says so, else its last `ERROR:` line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    last = (stderr.strip().splitlines() or ["no message"])[-1]
    return reason_in(lines) or f"Yosys ended without an error line: {last}"


def check_driven(netlist: Netlist) -> None:
    """Check that every pin and output has a driver.

    Raises:
        SynthesisError: some net floats.
    """
    driven = {*netlist.driver, *netlist.inputs, *CONSTANTS}
    outputs = {net for port in netlist.ports if port.direction == "output" for net in port.nets}
    if floating := sorted((set(netlist.loads) | outputs) - driven):
        raise SynthesisError(f"{netlist.top}: nothing drives {', '.join(floating[:8])}; was a register never assigned?")
