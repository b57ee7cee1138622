"""write_liberty(): measured cells as Liberty text, equal to the byte for equal cells.

Units are ours (ps, fF, fJ, nW), so numbers are written as they were measured, to five significant digits: the simulator
is accurate to about 0.1 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from characterization.boolean import parse_function
from characterization.cells.tables import CellTables, Condition, Constraint, MeasuredArc, MeasuredPin
from characterization.constants import FALL, RISE
from characterization.errors import CellsError

EDGES = {FALL: "fall", RISE: "rise"}
STATES = ("IQ", "IQ_N")
# Delay between crossings of 50 %, slew from 20 to 80 %, as the foundry's libraries have them.
HEAD = """delay_model : table_lookup;
time_unit : "1ps";
voltage_unit : "1V";
current_unit : "1uA";
pulling_resistance_unit : "1kohm";
leakage_power_unit : "1nW";
capacitive_load_unit (1, ff);
input_threshold_pct_rise : 50;
input_threshold_pct_fall : 50;
output_threshold_pct_rise : 50;
output_threshold_pct_fall : 50;
slew_lower_threshold_pct_rise : 20;
slew_lower_threshold_pct_fall : 20;
slew_upper_threshold_pct_rise : 80;
slew_upper_threshold_pct_fall : 80;
slew_derate_from_library : 1;
default_cell_leakage_power : 0;
default_fanout_load : 1;
default_inout_pin_cap : 0;
default_input_pin_cap : 0;
default_output_pin_cap : 0;"""
# Template -> the variables of its axes.
TEMPLATES = {
    "delay": ("lu_table_template", ("input_net_transition", "total_output_net_capacitance")),
    "check": ("lu_table_template", ("related_pin_transition", "constrained_pin_transition")),
    "energy": ("power_lut_template", ("input_transition_time", "total_output_net_capacitance")),
    "hidden": ("power_lut_template", ("input_transition_time",)),
}
Axes = tuple[tuple[float, ...], ...]


def write_liberty(
    cells: Sequence[CellTables], name: str, header: Sequence[str] = (), rails: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return a library of cells measured at one condition as Liberty text.

    Args:
        cells: the cells, in the order in which they shall stand.
        name: the library's name; also that of its operating conditions.
        header: lines of the comment at the top: what made this, from what, under which licence.
        rails: supply pin -> `pg_type` (`primary_power` or `primary_ground`); none leaves supplies out.

    Raises:
        CellsError: no cells, cells of several conditions, two of one name, or a table that has holes or no grid.
    """
    if not cells:
        raise CellsError(f"library {name} has no cells; measure at least one.")
    condition = cells[0].condition
    for cell in cells:
        if cell.condition != condition:
            raise CellsError(f"library {name}: {cells[0].name} was measured at {condition}, {cell.name} at "
                             f"{cell.condition}; a library holds one condition.")
        if sum(other.name == cell.name for other in cells) > 1:
            raise CellsError(f"library {name}: cell {cell.name} was measured twice; give each cell once.")
    body = [*HEAD.splitlines(), *conditions(name, condition, rails), *templates(cells)]
    body.append(f"default_max_transition : {number(max(max(cell.slews_ps) for cell in cells))};")
    for cell in cells:
        body += CellWriter(cell, rails).lines()
    comment = ["/*", *(f" * {line}".rstrip() for line in header), " */"] if header else []
    return "\n".join([*comment, *block(f'library ("{name}")', body)]) + "\n"


def number(value: float) -> str:
    """Return a number to five significant digits.

    >>> number(1234.56789), number(-0.0), number(2.50)
    ('1234.6', '0', '2.5')
    """
    return f"{value + 0.0:.5g}"


def block(head: str, body: Iterable[str]) -> list[str]:
    """Return the lines of a group."""
    return [f"{head} {{", *(f"  {line}" for line in body), "}"]


def attribute(key: str, value: str) -> list[str]:
    """Return `key : "value";`, or nothing for an empty value."""
    return [f'{key} : "{value}";'] if value else []


def conditions(name: str, condition: Condition, rails: Mapping[str, str]) -> list[str]:
    """Return the operating conditions."""
    temp_c, voltage_v = number(condition.temp_c), number(condition.voltage_v)
    body = ["process : 1;", f"temperature : {temp_c};", f"voltage : {voltage_v};", "tree_type : balanced_tree;"]
    volts = {rail: "0" if "ground" in kind else voltage_v for rail, kind in rails.items()}
    return [f"nom_process : 1; nom_temperature : {temp_c}; nom_voltage : {voltage_v};",
            *(f"voltage_map ({rail}, {volt});" for rail, volt in volts.items()),
            *block(f'operating_conditions ("{name}")', body), f'default_operating_conditions : "{name}";']


def templates(cells: Sequence[CellTables]) -> list[str]:
    """Return a template for each kind and size of table; tables carry their own axes."""
    sizes: dict[tuple[str, tuple[int, ...]], None] = {}
    for cell in cells:
        loads = {len(pin.loads_ff) for pin in cell.pins if pin.loads_ff}
        sizes |= {(kind, (len(cell.slews_ps), count)): None for kind in ("delay", "energy") for count in sorted(loads)}
        sizes["hidden", (len(cell.slews_ps),)] = None
        if cell.constraints:
            sizes["check", (len(cell.constraint_slews_ps),) * 2] = None
    found = []
    for kind, counts in sizes:
        group, variables = TEMPLATES[kind]
        body = [f"variable_{i + 1} : {variable};" for i, variable in enumerate(variables)]
        body += [f"index_{i + 1} (\"{', '.join(map(str, range(1, count + 1)))}\");" for i, count in enumerate(counts)]
        found += block(f"{group} ({template_name(kind, counts)})", body)
    return found


def template_name(kind: str, counts: Sequence[int]) -> str:
    """Return the name of a template.

    >>> template_name("delay", (5, 7))
    'delay_5x7'
    """
    return f"{kind}_{'x'.join(map(str, counts))}"


class CellWriter:
    """The lines of one cell."""

    def __init__(self, cell: CellTables, rails: Mapping[str, str]) -> None:
        self.cell, self.rails = cell, rails
        self.clock = cell.flop.clocked_on.strip("!()' ") if cell.flop else ""
        self.clock_edge = "falling" if cell.flop and cell.flop.clocked_on.strip("() ") != self.clock else "rising"

    def lines(self) -> list[str]:
        """Return the whole cell."""
        cell = self.cell
        body = [f"area : {number(cell.area_um2)};", *self.leakage(), *self.state()]
        for rail, kind in self.rails.items():
            body += block(f"pg_pin ({rail})", [f'voltage_name : "{rail}";', f"pg_type : {kind};"])
        for pin in cell.pins:
            body += block(f'pin ("{pin.name}")', self.pin(pin))
        return block(f'cell ("{cell.name}")', body)

    def leakage(self) -> list[str]:
        """Return the leakage of each state and their mean."""
        names = (*(pin.name for pin in self.cell.pins), *STATES)
        shares = [parse_function(row.when, names).share if row.when else 1.0 for row in self.cell.leakage]
        powers = [row.power_nw for row in self.cell.leakage]
        if not powers or not np.isfinite(powers).all():
            raise CellsError(f"cell {self.cell.name}: leakage {powers} is not measured in every state.")
        found = [f"cell_leakage_power : {number(float(np.average(powers, weights=shares)))};"]
        for row in self.cell.leakage:
            found += block("leakage_power ()", [*attribute("when", row.when), f"value : {number(row.power_nw)};"])
        return found

    def state(self) -> list[str]:
        """Return the flip-flop's group."""
        if self.cell.flop is None:
            return []
        flop = self.cell.flop
        body = [f'clocked_on : "{flop.clocked_on}";', f'next_state : "{flop.next_state}";']
        return block(f'ff ("{STATES[0]}", "{STATES[1]}")', body)

    def pin(self, pin: MeasuredPin) -> list[str]:
        """Return what a pin's group holds."""
        fall, rise = pin.capacitance_ff
        body = [f"direction : {pin.direction};", *attribute("function", pin.function)]
        if pin.name == self.clock:
            body.append("clock : true;")
        if pin.direction == "input":
            body += [f"capacitance : {number((fall + rise) / 2)};", f"fall_capacitance : {number(fall)};",
                     f"rise_capacitance : {number(rise)};"]
        if pin.max_capacitance_ff is not None:
            body.append(f"max_capacitance : {number(pin.max_capacitance_ff)};")
        for (related, when), arcs in self.arc_groups(pin).items():
            body += self.timing(pin, related, when, arcs)
            body += self.power(pin, related, when, arcs)
        return body + self.checks(pin) + self.hidden(pin)

    def arc_groups(self, pin: MeasuredPin) -> dict[tuple[str, str], dict[int, MeasuredArc]]:
        """Return the pin's arcs by (related pin, when), then by output edge."""
        found: dict[tuple[str, str], dict[int, MeasuredArc]] = {}
        for arc in self.cell.arcs:
            if arc.output == pin.name:
                edges = found.setdefault((arc.related, arc.when), {})
                if arc.output_edge in edges:
                    raise CellsError(f"cell {self.cell.name}: two arcs {arc.related} -> {pin.name} "
                                     f"{EDGES[arc.output_edge]} with when {arc.when!r}; `when` must tell them apart.")
                edges[arc.output_edge] = arc
        return {key: dict(sorted(edges.items(), reverse=True)) for key, edges in found.items()}

    def timing(self, pin: MeasuredPin, related: str, when: str, arcs: Mapping[int, MeasuredArc]) -> list[str]:
        """Return the timing group of one related pin and condition."""
        senses = {arc.input_edge == edge for edge, arc in arcs.items()}
        sense = "non_unate" if len(senses) > 1 else "positive_unate" if senses == {True} else "negative_unate"
        clocked = related == self.clock
        body = [*attribute("related_pin", related), *attribute("when", when),
                f"timing_sense : {'non_unate' if clocked else sense};",
                f"timing_type : {f'{self.clock_edge}_edge' if clocked else 'combinational'};"]
        for edge, arc in arcs.items():
            axes = (self.cell.slews_ps, pin.loads_ff)
            body += self.table(f"cell_{EDGES[edge]}", "delay", axes, arc.delay_ps)
            body += self.table(f"{EDGES[edge]}_transition", "delay", axes, arc.slew_ps)
        return block("timing ()", body)

    def power(self, pin: MeasuredPin, related: str, when: str, arcs: Mapping[int, MeasuredArc]) -> list[str]:
        """Return the internal energy of one related pin and condition."""
        body = [*attribute("related_pin", related), *attribute("when", when)]
        for edge, arc in arcs.items():
            body += self.table(f"{EDGES[edge]}_power", "energy", (self.cell.slews_ps, pin.loads_ff), arc.energy_fj)
        return block("internal_power ()", body)

    def checks(self, pin: MeasuredPin) -> list[str]:
        """Return the setup and hold groups of a data pin."""
        found: list[str] = []
        for kind in ("setup", "hold"):
            rows = [row for row in self.cell.constraints if (row.kind, row.pin) == (kind, pin.name)]
            if rows:
                body = [f'related_pin : "{self.clock}";', f"timing_type : {kind}_{self.clock_edge};"]
                for row in sorted(rows, key=lambda row: -row.edge):
                    body += self.constraint(row)
                found += block("timing ()", body)
        return found

    def constraint(self, row: Constraint) -> list[str]:
        """Return one table of a check; the file's first axis is the clock's slew."""
        axes = (self.cell.constraint_slews_ps, self.cell.constraint_slews_ps)
        return self.table(f"{EDGES[row.edge]}_constraint", "check", axes, np.asarray(row.constraint_ps).T)

    def hidden(self, pin: MeasuredPin) -> list[str]:
        """Return the energies that an input pin's own edges take."""
        rows = [row for row in self.cell.hidden if row.pin == pin.name]
        found: list[str] = []
        for when in dict.fromkeys(row.when for row in rows):
            body = attribute("when", when)
            for row in sorted((row for row in rows if row.when == when), key=lambda row: -row.edge):
                body += self.table(f"{EDGES[row.edge]}_power", "hidden", (self.cell.slews_ps,), row.energy_fj)
            found += block("internal_power ()", body)
        return found

    def table(self, kind: str, template: str, axes: Axes, values: np.ndarray) -> list[str]:
        """Return one table.

        Raises:
            CellsError: its shape is not that of its axes, an axis does not ascend, or it has a hole.
        """
        shape = tuple(len(axis) for axis in axes)
        if not values.size or values.shape != shape or any((np.diff(axis) <= 0).any() for axis in axes):
            raise CellsError(f"cell {self.cell.name}: {kind} of shape {values.shape} does not fit ascending axes of "
                             f"{' x '.join(map(str, shape))}.")
        if not np.isfinite(values).all():
            raise CellsError(f"cell {self.cell.name}: {kind} has a hole at {np.argwhere(~np.isfinite(values))[0]}; "
                             "every point must be measured.")
        rows = [", ".join(map(number, row)) for row in np.atleast_2d(values)]
        body = [f'index_{i + 1} ("{", ".join(map(number, axis))}");' for i, axis in enumerate(axes)]
        body.append("values ( \\")
        body += [f'  "{row}"{", " + chr(92) if i + 1 < len(rows) else ");"}' for i, row in enumerate(rows)]
        return block(f"{kind} ({template_name(template, shape)})", body)
