"""One synthesis in one fresh process: `python -m characterization.yosys FOLDER`. The only import of pyosys.

A Yosys error ends the process, and a second synthesis in the same process gives another netlist (Yosys numbers its
objects per process); so `synthesis.py` starts this program once per run and reads what it leaves behind.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pyosys import libyosys as ys

from characterization.netlist import CONST0, CONST1, Cell, Netlist, Port
from characterization.synthesis import ADDERS, LOG, OUTPUT, REQUEST, Request

# Constants under the names of `netlist.py`; an undefined bit was set to zero before mapping.
STATES = {"S0": CONST0, "S1": CONST1}


def read_sources(request: Request, run: Any) -> None:
    """Read the Verilog and elaborate and flatten the top module with its parameters."""
    for source in request.sources:
        flags = "-sv" if source.suffix == ".sv" else ""
        run(f'read_verilog {flags} -I{source.parent} "{source}"')
    for name, value in sorted(request.parameters.items()):
        run(f"chparam -set {name} {value} {request.top}")
    # With no top given the module that nothing instantiates is taken, and the rest is looked for beside its file.
    beside = f"-libdir {request.sources[0].parent}"
    run(f"hierarchy -check -top {request.top}" if request.top else f"hierarchy -check -auto-top {beside}")
    if request.top:
        # Where part of a signed bus enters a module with parameters, the top is derived anew, under another name.
        run(f"rename -top {request.top}")
    run("proc")
    if not request.hierarchy:
        run("flatten")
    # Undriven nets, several drivers, loops. An undriven net would be optimized to whatever is cheapest.
    run("check -assert")


def synthesize(request: Request, run: Any) -> None:
    """Run the passes from elaborated Verilog to cells of the library."""
    library = " ".join(f"-liberty {path}" for path in request.liberty)
    library += "".join(f" -dont_use {pattern}" for pattern in request.dont_use)
    run("opt_expr")
    run("opt_clean")
    for register in request.registers:
        run(f"setattr -set keep 1 w:{register}")
    run("setundef -zero")
    run(f"synth -top {request.top} -noabc {'-booth' if request.booth else ''}")
    if request.adders:
        run("extract_fa -fa -ha")
        run(f"techmap -map {ADDERS}")
        run("opt_clean")
        # What is no adder after all goes on as gates.
        run("simplemap")
    run(f"dfflibmap {library}")
    run("opt")
    run("libcache -scl -dir scl")
    run(f'abc {library} -script "+{request.abc_script}"')
    run("flatten")
    run("setundef -zero")
    run("opt_clean -purge")
    run("rename -enumerate -pattern n% w:$*")
    run("rename -enumerate -pattern u% c:*")


class Names:
    """Net names: bits joined by `assign` share one name; ports win over registers, registers over the rest."""

    def __init__(self, module: Any, registers: Collection[str]) -> None:
        """Join the aliases of a flat module and choose a name for each class."""
        self.parent: dict[Any, Any] = {}
        for left, right in module.connections():
            for one, other in zip(left.bits(), right.bits(), strict=True):
                self.parent[self.find(bit_of(one))] = self.find(bit_of(other))
        best: dict[Any, tuple[Any, ...]] = {}
        for wire in module.wires_.values():
            name = wire.name.str()[1:]
            rank = rank_of(wire, name, registers)
            for index in range(wire.width):
                root = self.find((name, index))
                label = f"{name}[{index}]" if wire.width > 1 else name
                best[root] = min(best.get(root, (9,)), (rank, len(name), name, index, label))
        self.label = {root: key[-1] for root, key in best.items()}

    def find(self, bit: Any) -> Any:
        """Return the representative of a bit's class; a constant represents itself."""
        while bit in self.parent and self.parent[bit] != bit:
            bit = self.parent[bit]
        return bit

    def of(self, bit: Any) -> str:
        """Return the net of a Yosys bit."""
        root = self.find(bit_of(bit))
        return root if isinstance(root, str) else self.label[root]


def rank_of(wire: Any, name: str, registers: Collection[str]) -> int:
    """Return the order of preference among the names of one net; names that `rename` made up come last."""
    if wire.port_input or wire.port_output:
        return 0 if wire.port_input else 1
    enumerated = name[:1] == "n" and name[1:].isdigit()
    return 2 if name in registers else 4 if enumerated else 3


def bit_of(bit: Any) -> Any:
    """Return (wire name, offset), or the name of a constant."""
    if bit.is_wire():
        return (bit.wire.name.str()[1:], bit.offset)
    return STATES.get(str(bit.data).rsplit(".", 1)[-1], CONST0)


def extract(module: Any, registers: Collection[str]) -> Netlist:
    """Return the mapped module as plain data, before Yosys can move its objects."""
    names = Names(module, registers)
    cells: list[Cell] = []
    outputs: dict[str, tuple[str, ...]] = {}
    for cell in module.cells_.values():
        kind = cell.type.str()[1:]
        pins = {pin.str()[1:]: names.of(signal.bits()[0]) for pin, signal in cell.connections_.items() if signal.bits()}
        driven = [pin.str()[1:] for pin in cell.connections_ if cell.output(pin)]
        outputs[kind] = tuple(sorted({*outputs.get(kind, ()), *driven}))
        cells.append(Cell(cell.name.str()[1:], kind, pins))
    return Netlist(module.name.str()[1:], tuple(ports_of(module, names)), tuple(cells), outputs)


def ports_of(module: Any, names: Names) -> list[Port]:
    """Return the ports in the order of the source."""
    wires = {wire.name.str()[1:]: wire for wire in module.wires_.values()}
    found = []
    for identifier in module.ports:
        wire = wires[identifier.str()[1:]]
        direction = "input" if wire.port_input else "output"
        nets = tuple(names.of(bit) for bit in ys.SigSpec(wire).bits())
        found.append(Port(identifier.str()[1:], direction, nets))
    return found


def list_module(module: Any) -> dict[str, Any]:
    """Return ports (direction, width, signedness), parameters with defaults, and registers of an elaborated module."""
    ports = []
    for identifier in module.ports:
        wire = module.wires_[identifier]
        direction = "inout" if wire.port_input and wire.port_output else "input" if wire.port_input else "output"
        ports.append([identifier.str()[1:], direction, wire.width, bool(wire.is_signed)])
    defaults = {name.str()[1:]: value.as_int(True) for name, value in module.parameter_default_values.items()}
    return {"top": module.name.str()[1:], "ports": ports, "parameters": defaults, "registers": registers_of(module)}


def parts_of(log: str) -> list[str]:
    """Return the modules that are instantiated, by the names they have in the source."""
    return sorted(set(re.findall(r"^Used module:  +(?:\$paramod\S*?)?\\([A-Za-z_]\w*)", log, re.MULTILINE)))


def registers_of(module: Any) -> list[list[Any]]:
    """Return [name, width, signed] of every register with a public name."""
    found = {}
    for cell in module.cells_.values():
        if "dff" in cell.type.str():
            for pin, signal in cell.connections_.items():
                for bit in signal.bits() if pin.str() == "\\Q" else ():
                    if bit.is_wire() and bit.wire.name.str().startswith("\\"):
                        found[bit.wire.name.str()[1:]] = [bit.wire.width, bool(bit.wire.is_signed)]
    return [[name, *rest] for name, rest in sorted(found.items())]


def unmapped(netlist: Netlist, known: set[str]) -> list[str]:
    """Return cell kinds that the library does not have."""
    return sorted({cell.kind for cell in netlist.cells} - known)


def run_request(request: Request) -> str:
    """Return the text of the result: a netlist, or a listing of ports."""
    design = ys.Design()

    def run(command: str) -> None:
        design.run_pass(f"tee -q -a {LOG} {command}")

    read_sources(request, run)
    if request.goal == "ports":
        parts = parts_of(Path(LOG).read_text(encoding="utf-8"))
        return json.dumps(list_module(design.top_module()) | {"modules": parts})
    ours = {name.str() for name in design.modules_}
    # The library's cells as black boxes: they tell inputs from outputs.
    for path in request.liberty:
        run(f"read_liberty -lib -ignore_miss_func {path}")
    known = {name.str()[1:] for name in design.modules_ if name.str() not in ours}
    synthesize(request, run)
    netlist = extract(design.top_module(), request.registers)
    if missing := unmapped(netlist, known):
        run(f"log ERROR: no cell of the library implements {', '.join(missing)}")
        sys.exit(1)
    return netlist.to_text()


def main() -> None:
    """Run the request in the folder named on the command line."""
    os.chdir(sys.argv[1])
    told = json.loads(Path(REQUEST).read_text(encoding="utf-8"))
    request = Request(**told | {"sources": tuple(map(Path, told["sources"]))})
    Path(OUTPUT).write_text(run_request(request), encoding="utf-8")


if __name__ == "__main__":
    main()
