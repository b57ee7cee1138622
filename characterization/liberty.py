"""CellLibrary: what a Liberty file says of its cells, in our units. The only Liberty parser.

Pairs indexed by an edge are in the order FALL=0, RISE=1. Functions run over the pins they name, in the order in which
the cell declares its pins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from characterization.boolean import Function, parse_function
from characterization.errors import LibertyError
from characterization.liberty_syntax import Group, parse_liberty
from characterization.liberty_tables import Edges, TableReader, operating_conditions, read_units
from characterization.wire_load import WireLoad, read_wire_loads

Direction = Literal["input", "output", "inout", "internal"]
# Arc types that timing reads; pulse widths, recovery, three-state, and asynchronous set and clear are left out.
PATHS = {"combinational", "combinational_rise", "combinational_fall", "rising_edge", "falling_edge"}
# Where a library does not state its thresholds, they are Liberty's 20 and 80 %.
RAIL_PER_SLEW = 1 / 0.6
CHECKS = {"setup_rising", "setup_falling", "hold_rising", "hold_falling"}


@dataclass(frozen=True, slots=True, eq=False)
class Arc:
    """A timing arc from `related_pin` to the pin that holds it.

    Attributes:
        kind: Liberty's `timing_type`, `combinational` where it is absent.
        sense: `positive_unate`, `negative_unate`, `non_unate`, or '' where the library leaves it to the function.
        when: the condition under which the arc applies; None always.
        delay: by output edge; of a check: the constraint by data edge.
        slew: by output edge; of a check: (None, None).
    """

    related_pin: str
    kind: str
    sense: str
    when: Function | None
    delay: Edges
    slew: Edges


@dataclass(frozen=True, slots=True, eq=False)
class Power:
    """Internal energy of the pin's edges, by edge; `related_pin` is '' for energy spent at an input pin itself."""

    related_pin: str
    when: Function | None
    energy: Edges


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """A signal pin. `function` may name state variables of the cell's flop.

    `capacitance_ff` is `(fall, rise)`, and `least_capacitance_ff` the low ends of Liberty's capacitance ranges, which
    count for hold; the same where the library states none.
    """

    name: str
    direction: str
    capacitance_ff: tuple[float, float]
    max_capacitance_ff: float | None
    clock: bool
    function: Function | None
    arcs: tuple[Arc, ...]
    powers: tuple[Power, ...]
    least_capacitance_ff: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class FlipFlop:
    """An edge-triggered state: `clocked_on` rising means that its truth over one pin is 0b10."""

    state: str
    inverted: str
    clocked_on: Function
    next_state: Function
    clear: Function | None
    preset: Function | None


@dataclass(frozen=True, slots=True, eq=False)
class LibraryCell:
    """A cell. `unusable` says why timing and simulation cannot take it ('' if they can); `where` is `file:line`."""

    name: str
    area_um2: float
    leakage_nw: float
    pins: Mapping[str, Pin]
    flop: FlipFlop | None
    unusable: str
    where: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Input pins in the order of the file."""
        return tuple(name for name, pin in self.pins.items() if pin.direction == "input")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output pins in the order of the file."""
        return tuple(name for name, pin in self.pins.items() if pin.direction == "output")

    @property
    def clock_pin(self) -> str:
        """The flop's clock pin; '' for other cells."""
        return self.flop.clocked_on.pins[0] if self.flop else ""

    def pin(self, name: str) -> Pin:
        """Return the pin called `name`.

        Raises:
            LibertyError: there is none.
        """
        if name not in self.pins:
            raise LibertyError(f"{self.where}: cell {self.name} has no pin {name}; it has {', '.join(self.pins)}. "
                               "Was the netlist mapped with this library?")
        return self.pins[name]


@dataclass(frozen=True, eq=False)
class CellLibrary:
    """The cells of one corner; several Liberty files make one library.

    Attributes:
        multi_input: factors on a cell's delays for several inputs that switch at once: by cell name, then by (output
            pin, output edge), the pair (late, early); late is at least 1, early at most 1, a cell not listed has 1.
        multi_input_source: where those factors come from, in words; '' if nobody asked for any.
        interpolated: names of the two libraries between whose voltages this one lies; None if it was read from a file.
        wire_loads: wire-load models by name; `default` is the library's default one.
        rail_per_slew: how long an edge would take from rail to rail, were it straight, over its slew in the tables.
    """

    name: str
    paths: tuple[Path, ...]
    cells: Mapping[str, LibraryCell]
    nominal_voltage_v: float
    nominal_temp_c: float
    multi_input: Mapping[str, Mapping[tuple[str, int], tuple[float, float]]] = field(default_factory=dict)
    multi_input_source: str = ""
    interpolated: tuple[str, str] | None = None
    wire_loads: Mapping[str, WireLoad] = field(default_factory=dict)
    rail_per_slew: float = RAIL_PER_SLEW

    def cell(self, kind: str, needed_by: str) -> LibraryCell:
        """Return the cell called `kind`, usable in timing; `needed_by` names who asks.

        Raises:
            LibertyError: the library has no such cell, or it is of a sort that is not supported.
        """
        files = ", ".join(str(path) for path in self.paths)
        if kind not in self.cells:
            near = [name for name in self.cells if name[:3].lower() == kind[:3].lower()] or list(self.cells)
            raise LibertyError(f"{files}: no cell {kind}, which {needed_by} needs; it has {', '.join(near[:8])} "
                               f"({len(self.cells)} cells). Was the netlist mapped with this library?")
        if reason := self.cells[kind].unusable:
            raise LibertyError(f"{self.cells[kind].where}: cell {kind}, which {needed_by} needs, is not supported: "
                               f"{reason}. Add it to the PDK's dont_use.")
        return self.cells[kind]

    def wire_load(self, name: str) -> WireLoad:
        """Return the wire-load model called `name`.

        Raises:
            LibertyError: there is none.
        """
        if name not in self.wire_loads:
            files = ", ".join(str(path) for path in self.paths)
            raise LibertyError(f"{files}: no wire-load model {name!r}; it has "
                               f"{', '.join(sorted(self.wire_loads)) or 'none'}.")
        return self.wire_loads[name]


def read_liberty(paths: tuple[Path, ...]) -> CellLibrary:
    """Return the cells of one corner's Liberty files (plain or gzipped); a later file may not redefine a cell.

    Raises:
        LibertyError: a file is missing, truncated, malformed, or two files define one cell.
    """
    if not paths:
        raise LibertyError("a corner without Liberty files was asked for; give at least one.")
    cells: dict[str, LibraryCell] = {}
    libraries = [parse_liberty(path) for path in paths]
    for library in libraries:
        if (model := library.text("delay_model", "table_lookup")) != "table_lookup":
            raise LibertyError(f"{library.where}: delay_model is {model}; only table_lookup (NLDM) is read.")
        tables = TableReader(library)
        for group in library.of_kind("cell"):
            if group.name in cells:
                raise LibertyError(f"{group.where}: cell {group.name} is defined at {cells[group.name].where} too.")
            cells[group.name] = read_cell(group, library, tables)
    if not cells:
        raise LibertyError(f"{paths[0]}: has no cells.")
    voltage_v, temp_c = operating_conditions(libraries[0])
    wires: dict[str, WireLoad] = {}
    for library in reversed(libraries):
        wires |= read_wire_loads(library, read_units(library))
    return CellLibrary(libraries[0].name, tuple(paths), MappingProxyType(cells), voltage_v, temp_c,
                       wire_loads=MappingProxyType(wires), rail_per_slew=rail_per_slew(libraries[0]))


def rail_per_slew(library: Group) -> float:
    """Return how long a straight edge takes from rail to rail over its slew, by the library's thresholds of slews.

    Raises:
        LibertyError: the upper threshold is not above the lower.
    """
    lower, upper = (sum(library.number(f"slew_{end}_threshold_pct_{edge}", default) or 0.0 for edge in ("fall", "rise"))
                    / 2 for end, default in (("lower", 20.0), ("upper", 80.0)))
    if not 0 <= lower < upper <= 100:
        raise LibertyError(f"{library.where}: slews are taken from {lower:g} to {upper:g} per cent of the supply.")
    return float((library.number("slew_derate_from_library", 1.0) or 1.0) * 100 / (upper - lower))


class CellReader:
    """What reading one cell needs: its library, its rails, and its expressions, each text parsed once."""

    def __init__(self, group: Group, library: Group, tables: TableReader) -> None:
        self.group, self.library, self.tables, self.units = group, library, tables, tables.units
        self.pins = [(name, pin) for pin in group.of_kind("pin") for name in pin.names]
        states = [name for flop in group.of_kind("ff", "latch") for name in flop.names]
        # A pin may bear the name of the state it shows; the pin comes first.
        self._names = tuple(dict.fromkeys([*(name for name, _ in self.pins), *states]))
        self.grounds = {rail.name for rail in group.of_kind("pg_pin") if "ground" in rail.text("pg_type")}

    def function(self, group: Group, attribute: str) -> Function | None:
        """Return the expression in an attribute; None where it is absent or empty."""
        text = group.text(attribute)
        known = self.tables.functions
        if text and (text, self._names) not in known:
            try:
                known[text, self._names] = parse_function(text, self._names)
            except LibertyError as error:
                raise LibertyError(f"{group.where}: cell {self.group.name}: {attribute}: {error}") from None
        return known.get((text, self._names))


def read_cell(group: Group, library: Group, tables: TableReader) -> LibraryCell:
    """Return one cell."""
    reader = CellReader(group, library, tables)
    flop = read_flop(reader)
    if any(group.of_kind("statetable", "latch", "latch_bank", "ff_bank", "bus", "bundle")):
        # Such cells name nodes that are no pins; they are listed, so that an error can say why they are refused.
        reason = reason_unusable(group, {}, flop)
        return LibraryCell(group.name, group.number("area", 0.0) or 0.0, 0.0, {}, None, reason, group.where)
    pins = {name: read_pin(name, pin, reader) for name, pin in reader.pins}
    return LibraryCell(group.name, group.number("area", 0.0) or 0.0, read_leakage(reader), MappingProxyType(pins), flop,
                       reason_unusable(group, pins, flop), group.where)


def read_flop(reader: CellReader) -> FlipFlop | None:
    """Return the cell's only flip-flop, or None; multi-bit cells are left to `reason_unusable`."""
    flops = list(reader.group.of_kind("ff"))
    if len(flops) != 1:
        return None
    clocked_on, next_state = reader.function(flops[0], "clocked_on"), reader.function(flops[0], "next_state")
    if clocked_on is None or next_state is None:
        return None
    state, inverted = (*flops[0].names, "", "")[:2]
    return FlipFlop(state, inverted, clocked_on, next_state, reader.function(flops[0], "clear"),
                    reader.function(flops[0], "preset"))


def reason_unusable(group: Group, pins: Mapping[str, Pin], flop: FlipFlop | None) -> str:
    """Return why a cell is beyond timing and simulation, or ''."""
    for kind in ("statetable", "latch", "latch_bank", "ff_bank", "bus", "bundle", "test_cell"):
        if any(group.of_kind(kind)):
            return f"it has a {kind} group"
    if any(group.of_kind("ff")) and (flop is None or len(flop.clocked_on.pins) != 1):
        return "it has several flip-flops, or one that is not clocked by exactly one pin"
    outputs = [pin for pin in pins.values() if pin.direction == "output"]
    if not outputs or any(pin.direction == "inout" for pin in pins.values()):
        return "it has no output pin, or an inout pin"
    if any("three_state" in pin.simple for pin in group.of_kind("pin")):
        return "it has a three-state output"
    if without := [pin.name for pin in outputs if pin.function is None]:
        return f"its output {without[0]} has no function"
    return ""


def read_pin(name: str, group: Group, reader: CellReader) -> Pin:
    """Return one pin with its arcs and internal power."""
    direction = group.text("direction")
    if direction not in ("input", "output", "inout", "internal"):
        raise LibertyError(f"{group.where}: pin {name} of cell {reader.group.name} has direction {direction!r}; "
                           "expected input, output, inout or internal.")
    mean = group.number("capacitance", reader.library.number(f"default_{direction}_pin_cap", 0.0))
    fall, rise = group.number("fall_capacitance", mean), group.number("rise_capacitance", mean)
    limit, scale = group.number("max_capacitance"), reader.units.farad_ff
    capacitance_ff = (fall or 0.0) * scale, (rise or 0.0) * scale
    lowest = [reader.tables.numbers(group, f"{edge}_capacitance_range")[:1] for edge in ("fall", "rise")]
    low_fall, low_rise = (low[0] * scale if low else cap for low, cap in zip(lowest, capacitance_ff, strict=True))
    return Pin(
        name, direction, capacitance_ff, None if limit is None else limit * scale,
        group.text("clock") == "true", reader.function(group, "function") if direction == "output" else None,
        tuple(arc for timing in group.of_kind("timing") for arc in read_arcs(timing, reader)),
        tuple(power for part in group.of_kind("internal_power") for power in read_powers(part, reader)),
        (low_fall, low_rise),
    )


def read_arcs(group: Group, reader: CellReader) -> list[Arc]:
    """Return the arcs of one `timing` group, one for each related pin; none if its type is not read."""
    kind = group.text("timing_type") or "combinational"
    if kind not in PATHS | CHECKS:
        return []
    if not (related := group.text("related_pin").replace(",", " ").split()):
        raise LibertyError(f"{group.where}: timing group of cell {reader.group.name} has no related_pin.")
    slew: Edges = (None, None)
    if kind in CHECKS:
        delay = reader.tables.edges(group, "fall_constraint", "rise_constraint")
    else:
        delay = reader.tables.edges(group, "cell_fall", "cell_rise")
        slew = reader.tables.edges(group, "fall_transition", "rise_transition")
    when = reader.function(group, "when")
    return [Arc(pin, kind, group.text("timing_sense"), when, delay, slew) for pin in related]


def read_powers(group: Group, reader: CellReader) -> list[Power]:
    """Return the internal energies of one `internal_power` group.

    Where a library states energy for each rail, the ground rail repeats the charge that the supply rail delivered
    (over a rise and a fall both add up to the same), so only the supply's is energy drawn.
    """
    if group.text("related_pg_pin") in reader.grounds:
        return []
    energy = reader.tables.edges(group, "fall_power", "rise_power")
    if energy == (None, None):
        energy = reader.tables.edges(group, "power", "power")
    related = group.text("related_pin").replace(",", " ").split() or [""]
    when = reader.function(group, "when")
    return [Power(pin, when, energy) for pin in related]


def read_leakage(reader: CellReader) -> float:
    """Return a cell's leakage in nW: its stated mean, else the mean over the states it lists, for each supply rail."""
    stated = reader.group.number("cell_leakage_power")
    rows = [(part.text("related_pg_pin"), reader.function(part, "when"), part.number("value", 0.0) or 0.0)
            for part in reader.group.of_kind("leakage_power")]
    if stated is None and rows:
        rows = [row for row in rows if row[1] is not None] or rows
        weights: dict[str, float] = {}
        for rail, when, _ in rows:
            weights[rail] = weights.get(rail, 0.0) + (when.share if when else 1.0)
        stated = sum(value * (when.share if when else 1.0) / weights[rail] for rail, when, value in rows)
    if stated is None:
        stated = reader.library.number("default_cell_leakage_power", 0.0) or 0.0
    return stated * reader.units.watt_nw
