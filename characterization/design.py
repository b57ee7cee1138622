"""MacDesign: one MAC's Verilog and what its ports and registers mean, read from `design.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from characterization.errors import DesignError
from characterization.recipes import recipe_named

WeightMode = Literal["stationary", "streaming"]

# Every key of design.toml with the type of its value.
KEYS: dict[str, type] = {
    "name": str, "top": str, "sources": list, "reference": str, "weight_mode": str, "latency": int,
    "accumulator_latency": int, "result_registers": list, "parameters": dict, "roles": dict, "widths": dict,
    "hold": dict, "lanes": list, "neighbours": dict, "weight_bits": int, "activation_bits": int, "weight_values": list,
    "recipe": str,
}
OPTIONAL: dict[str, Any] = {
    "parameters": {}, "hold": {}, "neighbours": {}, "accumulator_latency": 0, "weight_bits": 8, "activation_bits": 8,
    "weight_values": [], "recipe": "",
}
# The second words of a redundant partial sum, sum and carry, which no adder has resolved yet.
CARRY_ROLES = {"accumulator_carry", "result_carry"}
OPTIONAL_ROLES = {"reset", *CARRY_ROLES}
ROLES = {"clock", "weight", "activation", "accumulator_in", "result", *OPTIONAL_ROLES}
OUTPUT_ROLES = {"result", "result_carry"}
# Two's complement operands of more bits would need tables of more than 2**16 rows.
MOST_BITS = 16
TYPE_NAMES = {str: "a string", list: "a list", int: "an integer", dict: "a table"}
BUS = re.compile(r"(?P<name>[A-Za-z_][\w.$]*)(\[(?P<high>\d+)(:(?P<low>\d+))?\])?")


@dataclass(frozen=True)
class Lane:
    """The register nets of one multiplier lane, by bus name in the mapped netlist (`weight_q`, or `weight_q[15:8]`).

    Attributes:
        weight: the bus that holds the weight while it multiplies.
        activation: the bus that holds the activation while it multiplies.
    """

    weight: str
    activation: str


@dataclass(frozen=True)
class MacDesign:
    """A MAC design as its `design.toml` describes it.

    Attributes:
        name, top, folder, sources, parameters: what to synthesize.
        weight_mode: `stationary` (constant while activations stream) or `streaming`.
        latency: clock edges from operands at the ports to the result at the output port.
        accumulator_latency: the same from `accumulator_in`; it equals `latency` where design.toml does not say.
        clock: clock port. reset: reset port ('' for none), active high.
        hold: control port or register bus -> the value it holds in compute mode.
        roles: role -> port, for `weight`, `activation`, `accumulator_in`, `result`; and, where partial sums are
            redundant (their value is the sum of two words), `accumulator_carry` and `result_carry`.
        lanes: one for a systolic PE, four for a dp4.
        result_registers: buses whose capture ends the computation (where the weight's influence must settle).
        neighbours: input port -> the neighbour's output port that drives it.
        reference: path of `reference.py`.
        widths: bits of every port, and of every register that the description names.
        weight_bits, activation_bits: of one lane.
        weight_values: the multiplier that each weight code stands for, by unsigned code; empty for two's complement.
        recipe: how to synthesize it (`recipes.py`); '' for the fastest of several.
    """

    name: str
    top: str
    folder: Path
    sources: tuple[Path, ...]
    parameters: Mapping[str, int]
    weight_mode: WeightMode
    latency: int
    clock: str
    reset: str
    roles: Mapping[str, str]
    hold: Mapping[str, int]
    lanes: tuple[Lane, ...]
    neighbours: Mapping[str, str]
    reference: Path
    weight_bits: int = 8
    activation_bits: int = 8
    accumulator_bits: int = 24
    widths: Mapping[str, int] = field(default_factory=dict)
    result_registers: tuple[str, ...] = ()
    accumulator_latency: int = 1
    weight_values: tuple[int, ...] = ()
    recipe: str = ""

    @property
    def weights(self) -> tuple[int, ...]:
        """Every value that a weight can have, ascending."""
        half = 1 << (self.weight_bits - 1)
        return tuple(sorted(set(self.weight_values))) if self.weight_values else tuple(range(-half, half))

    @property
    def is_redundant(self) -> bool:
        """Whether a partial sum is the sum of two words."""
        return "result_carry" in self.roles

    def encode(self, values: Any) -> np.ndarray:
        """Return the code of each weight value, what the weight's register holds, unsigned int64 of the same shape.

        Raises:
            DesignError: some value is not among `weights`.
        """
        wanted = np.asarray(values, dtype=np.int64)
        if unknown := sorted(set(wanted.ravel().tolist()) - set(self.weights)):
            span = f"{self.weights[0]}..{self.weights[-1]}"
            known = ", ".join(map(str, self.weights)) if self.weight_values else span
            raise DesignError(f"{self.name}: no weight has the value {unknown[0]}; they are {known}.")
        if not self.weight_values:
            return wanted & ((1 << self.weight_bits) - 1)
        code_of = {value: code for code, value in reversed(list(enumerate(self.weight_values)))}
        return np.array([code_of[value] for value in wanted.ravel().tolist()], dtype=np.int64).reshape(wanted.shape)

    def nets_of(self, bus: str) -> tuple[str, ...]:
        """Return the nets of a bus expression, lowest bit first: `q`, `q[3]` or `q[15:8]`."""
        return bus_nets(bus, self.widths)


def bus_nets(bus: str, widths: Mapping[str, int]) -> tuple[str, ...]:
    """Return the nets of a bus expression, lowest bit first; a one-bit bus is its bare name.

    Raises:
        DesignError: the expression is malformed, names no known bus, or reaches outside it.

    >>> bus_nets("q[2:1]", {"q": 8})
    ('q[1]', 'q[2]')
    """
    match = BUS.fullmatch(bus)
    if not match:
        raise DesignError(f"{bus!r} is not a bus; write NAME, NAME[BIT] or NAME[HIGH:LOW].")
    name = match["name"]
    if name not in widths:
        raise DesignError(f"no port or register {name!r} under [widths]; it has {', '.join(sorted(widths))}.")
    high = int(match["high"]) if match["high"] else widths[name] - 1
    low = int(match["low"]) if match["low"] else high if match["high"] else 0
    if not low <= high < widths[name]:
        raise DesignError(f"{bus!r} reaches outside {name}, which has {widths[name]} bits.")
    if widths[name] == 1:
        return (name,)
    return tuple(f"{name}[{bit}]" for bit in range(low, high + 1))


def read_design(path: Path) -> MacDesign:
    """Return the design described by `path`, a `design.toml` or the folder that holds one.

    Raises:
        DesignError: the file is missing, is not TOML, or has any wrong key, value, bus or role; all are listed.
    """
    path = path / "design.toml" if path.is_dir() else path
    if not path.is_file():
        raise DesignError(f"{path}: no such file; `characterize new FILE.v` writes a design.toml to fill in.")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DesignError(f"{path}: not TOML: {error}.") from error
    problems = shape_problems(table)
    problems = problems or content_problems({**OPTIONAL, **table}, path.parent)
    if problems:
        raise DesignError(f"{path}: {'; '.join(problems)}.")
    return build({**OPTIONAL, **table}, path.parent.resolve())


def shape_problems(table: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the keys and the types of their values."""
    known = ", ".join(KEYS)
    problems = [f"unknown key {key!r}; known keys are {known}" for key in table if key not in KEYS]
    problems += [f"key {key!r} is missing" for key in KEYS if key not in table and key not in OPTIONAL]
    for key, value in table.items():
        if key in KEYS and (not isinstance(value, KEYS[key]) or isinstance(value, bool)):
            problems.append(f"{key} = {value!r} must be {TYPE_NAMES[KEYS[key]]}")
    if problems:
        return problems
    for key in ("sources", "result_registers"):
        if not table[key] or not all(isinstance(item, str) for item in table[key]):
            problems.append(f"{key} = {table[key]!r} must be a list of strings, not empty")
    for key in ("parameters", "widths", "hold"):
        problems += typed_problems(key, table.get(key, {}), int)
    for key in ("roles", "neighbours"):
        problems += typed_problems(key, table.get(key, {}), str)
    return problems + lane_problems(table["lanes"])


def typed_problems(key: str, table: Mapping[str, Any], kind: type) -> list[str]:
    """Return the entries of a table whose values are not of `kind`."""
    return [
        f"{key}.{name} = {value!r} must be {TYPE_NAMES[kind]}"
        for name, value in table.items()
        if not isinstance(value, kind) or isinstance(value, bool)
    ]


def lane_problems(lanes: list[Any]) -> list[str]:
    """Return what is wrong with the shape of [[lanes]]."""
    if not lanes:
        return ["lanes is empty; name the weight and activation registers of each multiplier under [[lanes]]"]
    fields = {"weight", "activation"}
    return [
        f"lanes[{i}] = {lane!r} must have exactly the keys weight and activation, both strings"
        for i, lane in enumerate(lanes)
        if not isinstance(lane, dict) or set(lane) != fields or not all(isinstance(v, str) for v in lane.values())
    ]


def content_problems(table: Mapping[str, Any], folder: Path) -> list[str]:
    """Return what is wrong with the values of a table of the right shape."""
    roles, widths = table["roles"], table["widths"]
    problems = [f"sources: no file {name!r} in {folder}" for name in table["sources"] if not (folder / name).is_file()]
    if not (folder / table["reference"]).is_file():
        problems.append(f"reference: no file {table['reference']!r} in {folder}")
    if table["weight_mode"] not in get_args(WeightMode):
        problems.append(f"weight_mode = {table['weight_mode']!r} must be one of {', '.join(get_args(WeightMode))}")
    if table["latency"] < 1:
        problems.append(f"latency = {table['latency']} must be at least 1")
    if not 0 <= table["accumulator_latency"] <= max(table["latency"], 0):
        problems.append(
            f"accumulator_latency = {table['accumulator_latency']} must lie in 1..{table['latency']}, the latency"
        )
    problems += [f"unknown role {role!r}; roles are {', '.join(sorted(ROLES))}" for role in sorted(set(roles) - ROLES)]
    problems += [f"role {role!r} is missing" for role in sorted(ROLES - OPTIONAL_ROLES - set(roles))]
    problems += [
        f"roles.{role} = {port!r} is not under [widths], which has {', '.join(sorted(widths))}"
        for role, port in roles.items()
        if port not in widths
    ]
    problems += [f"widths.{name} = {width} must be at least 1" for name, width in widths.items() if width < 1]
    problems += operand_problems(table) + (recipe_problems(table["recipe"]) if table["recipe"] else [])
    if problems:
        return problems
    # Widths are compared once every bus resolves.
    unresolved = bus_problems(table)
    return [*unresolved, *neighbour_problems(table), *([] if unresolved else width_problems(table))]


def operand_problems(table: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the widths and values of operands, and with half a redundant sum."""
    problems = [
        f"{key} = {table[key]} must lie in 1..{MOST_BITS}"
        for key in ("weight_bits", "activation_bits")
        if not 1 <= table[key] <= MOST_BITS
    ]
    values = table["weight_values"]
    if not problems and values and (
        len(values) != 1 << table["weight_bits"] or not all(isinstance(value, int) for value in values)
    ):
        problems.append(f"weight_values must list an integer for each of the {1 << table['weight_bits']} codes of "
                        f"{table['weight_bits']} bits, in the order of the codes; it lists {len(values)}")
    if len(found := CARRY_ROLES & set(table["roles"])) == 1:
        problems.append(f"role {found.pop()} stands alone; a redundant sum needs {' and '.join(sorted(CARRY_ROLES))}")
    return problems


def recipe_problems(name: str) -> list[str]:
    """Return what is wrong with the name of a recipe."""
    try:
        recipe_named(name)
    except DesignError as error:
        return [f"recipe: {str(error).rstrip('.')}"]
    return []


def bus_problems(table: Mapping[str, Any]) -> list[str]:
    """Return the bus expressions that do not resolve, and held values that do not fit."""
    places = [(f"result_registers[{i}]", bus) for i, bus in enumerate(table["result_registers"])]
    places += [(f"lanes[{i}].{key}", bus) for i, lane in enumerate(table["lanes"]) for key, bus in lane.items()]
    places += [("hold", bus) for bus in table["hold"]]
    problems = []
    for place, bus in places:
        try:
            bits = len(bus_nets(bus, table["widths"]))
        except DesignError as error:
            problems.append(f"{place}: {str(error).rstrip('.')}")
            continue
        value = table["hold"].get(bus, 0)
        if place == "hold" and not 0 <= value < 2**bits:
            problems.append(f"hold.{bus} = {value} does not fit into {bits} bits")
    return problems


def width_problems(table: Mapping[str, Any]) -> list[str]:
    """Return contradictions between the widths of ports, lanes and roles."""
    widths, roles, n_lanes = table["widths"], table["roles"], len(table["lanes"])
    problems = []
    for role in ("result", *sorted(CARRY_ROLES & set(roles))):
        if widths[roles["accumulator_in"]] != widths[roles[role]]:
            problems.append(
                f"accumulator_in {roles['accumulator_in']} has {widths[roles['accumulator_in']]} bits and {role} "
                f"{roles[role]} has {widths[roles[role]]}; partial sums must keep their width"
            )
    for role in ("weight", "activation"):
        bits = table[f"{role}_bits"]
        if widths[roles[role]] != bits * n_lanes:
            problems.append(
                f"role {role}: {roles[role]} has {widths[roles[role]]} bits, but {n_lanes} lanes of {bits} bits need "
                f"{bits * n_lanes}; is {role}_bits = {bits} right?"
            )
    for role in ("clock", "reset"):
        if role in roles and widths[roles[role]] != 1:
            problems.append(f"role {role}: {roles[role]} has {widths[roles[role]]} bits, not 1")
    for i, lane in enumerate(table["lanes"]):
        for key, bus in lane.items():
            if (bits := len(bus_nets(bus, widths))) != table[f"{key}_bits"]:
                problems.append(f"lanes[{i}].{key} = {bus!r} has {bits} bits, not {table[f'{key}_bits']}")
    return problems


def neighbour_problems(table: Mapping[str, Any]) -> list[str]:
    """Return pairs under [neighbours] that name unknown ports or join different widths."""
    widths, problems = table["widths"], []
    for sink, source in table["neighbours"].items():
        unknown = [name for name in (sink, source) if name not in widths]
        if unknown:
            problems.append(f"neighbours.{sink} = {source!r}: no port {unknown[0]!r} under [widths]")
        elif widths[sink] != widths[source]:
            problems.append(f"neighbours.{sink} = {source!r} joins {widths[sink]} to {widths[source]} bits")
    return problems


def build(table: Mapping[str, Any], folder: Path) -> MacDesign:
    """Return the design of a checked table."""
    roles = dict(table["roles"])
    clock, reset = roles.pop("clock"), roles.pop("reset", "")
    return MacDesign(
        name=table["name"], top=table["top"], folder=folder,
        sources=tuple(folder / name for name in table["sources"]), parameters=dict(table["parameters"]),
        weight_mode=table["weight_mode"], latency=table["latency"], clock=clock, reset=reset, roles=roles,
        hold=dict(table["hold"]), lanes=tuple(Lane(**lane) for lane in table["lanes"]),
        neighbours=dict(table["neighbours"]), reference=folder / table["reference"],
        accumulator_bits=table["widths"][roles["result"]], widths=dict(table["widths"]),
        result_registers=tuple(table["result_registers"]),
        accumulator_latency=table["accumulator_latency"] or table["latency"],
        weight_bits=table["weight_bits"], activation_bits=table["activation_bits"],
        weight_values=tuple(table["weight_values"]), recipe=table["recipe"],
    )


def check_ports(design: MacDesign, ports: Mapping[str, tuple[str, int]], registers: Mapping[str, int]) -> None:
    """Check a description against the elaborated module: direction and width of ports, width of registers.

    Raises:
        DesignError: names that do not exist, ports that are not described, other widths or directions; all listed.
    """
    actual = dict(registers) | {name: width for name, (_, width) in ports.items()}
    problems = [f"port {name} of the Verilog is not under [widths]" for name in ports if name not in design.widths]
    for name, width in design.widths.items():
        if name not in actual:
            known = ", ".join(f"{found}[{bits}]" for found, bits in actual.items())
            problems.append(f"widths.{name}: neither a port nor a register; the elaborated module has {known}")
        elif actual[name] != width:
            problems.append(f"widths.{name} = {width}, the elaborated module has {actual[name]} bits")
    problems += direction_problems(design, ports)
    if problems:
        raise DesignError(f"{design.folder / 'design.toml'}: top {design.top}: {'; '.join(problems)}.")


def direction_problems(design: MacDesign, ports: Mapping[str, tuple[str, int]]) -> list[str]:
    """Return roles and neighbours whose ports do not exist or point the wrong way."""
    wanted = [(f"roles.{role}", port, "output" if role in OUTPUT_ROLES else "input")
              for role, port in design.roles.items()]
    wanted += [("roles.clock", design.clock, "input")]
    wanted += [("roles.reset", design.reset, "input")] if design.reset else []
    wanted += [(f"neighbours.{sink}", sink, "input") for sink in design.neighbours]
    wanted += [(f"neighbours.{sink}", source, "output") for sink, source in design.neighbours.items()]
    return [
        f"{place} = {port} must be an {direction} port, it is {'an ' + ports[port][0] if port in ports else 'no port'}"
        for place, port, direction in wanted
        if port not in ports or ports[port][0] != direction
    ]
