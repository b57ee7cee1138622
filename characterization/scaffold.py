"""A design.toml to fill in, from a Verilog file: `new_design_toml(path)`. What is guessed is marked `# guess`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from characterization.errors import DesignError
from characterization.synthesis import ModuleListing, list_module

# Name fragments by which designers call a role's port, the more telling first.
HINTS = {
    "clock": ("clk", "clock", "ck"),
    "reset": ("rst", "reset", "clear"),
    "weight": ("weight", "wgt", "filter", "w", "b"),
    "activation": ("act", "data", "ifmap", "x", "a"),
    "accumulator_in": ("acc", "psum", "partial", "sum", "c"),
    "result": ("acc", "psum", "result", "sum", "out", "y", "q"),
}
# Second words of a redundant partial sum; a role of its own only where both are found.
CARRIES = {"accumulator_carry": ("carry",), "result_carry": ("carry",)}
OUTPUTS = {"result", "result_carry"}
CONTROL = {"clock", "reset"}
OPERAND_BITS = 8


@dataclass(frozen=True)
class Source:
    """One module as both readers see it; `note` says why pyverilog's half is missing, if it is."""

    path: Path
    listing: ModuleListing
    ranges: Mapping[str, str]
    defaults: Mapping[str, str]
    note: str

    def width(self, name: str) -> int:
        """The bits of a port or register."""
        known = {port: bits for port, _, bits, _ in self.listing.ports}
        return {**{register: bits for register, bits, _ in self.listing.registers}, **known}[name]


def new_design_toml(path: Path) -> str:
    """Return the text of a `design.toml` for the top module of a Verilog file, its guesses marked.

    Raises:
        DesignError: there is no such file.
        SynthesisError: Yosys rejects it.
    """
    if not path.is_file():
        raise DesignError(f"{path}: no such Verilog file.")
    with tempfile.TemporaryDirectory() as folder:
        listing = list_module((path,), "", Path(folder))
        found = read_with_pyverilog(path, Path(folder))
    module = found.get("modules", {}).get(listing.top, {"ports": {}, "parameters": {}})
    source = Source(path, listing, module["ports"], module["parameters"], found.get("error", ""))
    roles = {role: guess_port(source, role) for role in HINTS}
    carries = {role: guess_port(source, role) for role in CARRIES}
    roles |= carries if all(carries.values()) else {}
    return "\n".join([
        *head_lines(source), *parameter_lines(source), *role_lines(roles), *width_lines(source),
        *hold_lines(source, roles), *lane_lines(source, roles), *neighbour_lines(source),
    ])


def read_with_pyverilog(path: Path, folder: Path) -> dict[str, Any]:
    """Return pyverilog's listing of a file, or `{"error": why not}`."""
    command = [sys.executable, "-W", "ignore", "-m", "characterization.verilog_source", str(path), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1]}


def guess_port(source: Source, role: str) -> str:
    """Return the port whose name and direction fit a role best; '' if none does."""
    wanted = "output" if role in OUTPUTS else "input"
    ports = [(name, bits) for name, direction, bits, _ in source.listing.ports if direction == wanted]
    ports = [(name, bits) for name, bits in ports if (bits == 1) == (role in CONTROL)]
    if role in OUTPUTS:
        # The result is as wide as anything that leaves.
        widest = max((bits for _, bits in ports), default=0)
        ports = [(name, bits) for name, bits in ports if bits == widest]
    for hint in (HINTS | CARRIES)[role]:
        for name, _ in ports:
            parts = re.split(r"_|\d+", name.lower())
            if hint in parts or (len(hint) > 2 and hint in name.lower()):
                return name
    return ""


def head_lines(source: Source) -> list[str]:
    """Return everything above the tables."""
    lines = [f"# Made from {source.path.name}. Fill in what is empty and check every line marked `guess`."]
    if source.note:
        lines.append(f"# pyverilog could not read the file ({source.note}); widths are Yosys' alone.")
    registers = ", ".join(f"{name}[{bits}]" for name, bits, _ in source.listing.registers) or "none"
    result = guess_port(source, "result")
    return [
        *lines,
        f"# Registers: {registers}.",
        f'name = "{source.listing.top}"',
        f'top = "{source.listing.top}"',
        f"sources = {json.dumps(files_of(source))}",
        'reference = "reference.py"            # to write: result() and next_state(), as in rtl/systolic_pe',
        'weight_mode = "stationary"            # guess; or "streaming"',
        "latency = 1                           # guess; clock edges from operands at the ports to the result",
        f'result_registers = ["{result}"]  # guess; where the influence of the weight must have settled',
        *bits_lines(source),
        "",
    ]


def files_of(source: Source) -> list[str]:
    """Return the file, and those beside it that are named for the modules it is made of."""
    beside = [f"{part}{source.path.suffix}" for part in source.listing.parts]
    return [source.path.name, *(name for name in beside if (source.path.parent / name).is_file())]


def bits_lines(source: Source) -> list[str]:
    """Return `weight_bits` and `activation_bits` where the ports are narrower than int8."""
    widths = {role: source.width(port) for role in ("weight", "activation") if (port := guess_port(source, role))}
    return [f"{role}_bits = {bits}  # guess; of one lane" for role, bits in widths.items() if bits < OPERAND_BITS]


def parameter_lines(source: Source) -> list[str]:
    """Return [parameters], with the defaults Yosys computed and the expressions of the source."""
    lines = ["[parameters]"]
    for name, value in source.listing.parameters.items():
        written = source.defaults.get(name, "")
        lines.append(f"{name} = {value}" + (f"  # {written}" if written and written != str(value) else ""))
    return [*lines, ""]


def role_lines(roles: Mapping[str, str]) -> list[str]:
    """Return [roles]; a role without a port stays empty, an absent reset is left out."""
    lines = ["[roles]"]
    for role, port in roles.items():
        if port:
            lines.append(f'{role} = "{port}"  # guess')
        elif role == "reset":
            lines.append('# reset = ""  # no port looks like one; leave it out if there is none')
        else:
            lines.append(f'{role} = ""  # fill in: no port looks like it')
    return [*lines, ""]


def width_lines(source: Source) -> list[str]:
    """Return [widths]: every port, with what the source says of it, and the named registers that are no ports."""
    lines = ["[widths]  # of every port as elaborated with the parameters above, and of every register named below"]
    names = set()
    for name, direction, bits, signed in source.listing.ports:
        names.add(name)
        written = f", {source.ranges[name]}" if source.ranges.get(name) else ""
        lines.append(f"{name} = {bits}  # {direction}{', signed' if signed else ''}{written}")
    lines += [f"{name} = {bits}  # register" for name, bits, _ in source.listing.registers if name not in names]
    return [*lines, ""]


def hold_lines(source: Source, roles: Mapping[str, str]) -> list[str]:
    """Return [hold]: every one-bit input but the clock and those that a neighbour drives."""
    driven = {sink for sink, _ in neighbour_pairs(source)}
    lines = ["[hold]  # control ports and registers that stand still in compute mode, with their value there"]
    for name, direction, bits, _ in source.listing.ports:
        if direction == "input" and bits == 1 and name != roles["clock"] and name not in driven:
            enables = any(part in name.lower() for part in ("en", "valid", "_n"))
            lines.append(f"{name} = {int(enables)}  # guess")
        elif direction == "output" and bits == 1:
            lines.append(f"# {name} = 0  # if it is a control register: its value while computing")
    return [*lines, ""]


def lane_lines(source: Source, roles: Mapping[str, str]) -> list[str]:
    """Return [[lanes]]: as many as 8-bit operands fit into the weight port, each with its registers."""
    weight = guess_register(source, "weight", roles["weight"])
    activation = guess_register(source, "activation", roles["activation"])
    bits = source.width(roles["weight"]) if roles["weight"] else OPERAND_BITS
    n_lanes = max(bits // OPERAND_BITS, 1)
    lines = []
    for lane in range(n_lanes):
        span = f"[{OPERAND_BITS * lane + OPERAND_BITS - 1}:{OPERAND_BITS * lane}]" if n_lanes > 1 else ""
        lines += ["[[lanes]]  # the registers that hold the operands while they multiply"]
        lines += [f'weight = "{weight}{span if weight else ""}"  # guess']
        lines += [f'activation = "{activation}{span if activation else ""}"  # guess', ""]
    return lines


def guess_register(source: Source, role: str, port: str) -> str:
    """Return the register that most likely holds an operand: named alike, as wide as its port, best not a port."""
    bits = source.width(port) if port else OPERAND_BITS
    outputs = {name for name, *_ in source.listing.ports}
    fitting = [name for name, width, _ in source.listing.registers if width == bits]
    fitting.sort(key=lambda name: (name in outputs, len(name)))
    return first_with_hint(fitting, HINTS[role])


def first_with_hint(names: Iterable[str], hints: tuple[str, ...]) -> str:
    """Return the first name that contains the most telling hint; '' if none does."""
    listed = list(names)
    return next((name for hint in hints for name in listed if hint in name.lower()), "")


def neighbour_pairs(source: Source) -> list[tuple[str, str]]:
    """Return (input, output) ports of one width whose names differ in `in` and `out` alone."""
    outputs = {name: bits for name, direction, bits, _ in source.listing.ports if direction == "output"}
    pairs = []
    for name, direction, bits, _ in source.listing.ports:
        partner = re.sub(r"(^|_)in(_|$)", r"\1out\2", name)
        if direction == "input" and partner != name and outputs.get(partner) == bits:
            pairs.append((name, partner))
    return pairs


def neighbour_lines(source: Source) -> list[str]:
    """Return [neighbours]."""
    lines = ["[neighbours]  # input port = the neighbour's output port that drives it"]
    return [*lines, *(f'{sink} = "{driver}"  # guess' for sink, driver in neighbour_pairs(source)), ""]
