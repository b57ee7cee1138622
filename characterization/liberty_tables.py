"""Liberty's look-up tables and units: values in our units, axes in one order whatever order the library uses."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from characterization.boolean import Function
from characterization.errors import LibertyError
from characterization.liberty_syntax import Group

# Both orders of axes occur in the wild, so a table is read by its template's variables, never by position.
SLEW_VARIABLES = {"input_net_transition", "input_transition_time", "constrained_pin_transition"}
LOAD_VARIABLES = {"total_output_net_capacitance", "related_pin_transition"}
PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
POINT = np.zeros(1)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A look-up table. An axis of length one does not matter to the value.

    Attributes:
        slew_ps: slew of the input (of a check: of the data pin), ascending.
        other: load in fF (of a check: slew of the clock pin in ps), ascending.
        values: `[slew, other]`, ps or fJ.
    """

    slew_ps: np.ndarray
    other: np.ndarray
    values: np.ndarray


Edges = tuple[Table | None, Table | None]


@dataclass(frozen=True, slots=True)
class Units:
    """What the library's units are in ours: `second_ps` is ps per time unit, and so on."""

    second_ps: float
    farad_ff: float
    watt_nw: float
    volt: float

    @property
    def joule_fj(self) -> float:
        """Internal energy is stated in (voltage unit) squared times (capacitance unit)."""
        return self.farad_ff * self.volt**2


def read_units(library: Group) -> Units:
    """Return the units of a library.

    Raises:
        LibertyError: a unit is absent or unknown.
    """
    text = library.lists.get("capacitive_load_unit", "").replace('"', " ").replace(",", " ").split()
    if len(text) != 2:
        raise LibertyError(f"{library.where}: library {library.name} has no capacitive_load_unit (value, unit).")
    return Units(
        second_ps=scale_of(library, "time_unit", library.text("time_unit"), "s") * 1e12,
        farad_ff=scale_of(library, "capacitive_load_unit", "".join(text), "f") * 1e15,
        watt_nw=scale_of(library, "leakage_power_unit", library.text("leakage_power_unit", "1nW"), "w") * 1e9,
        volt=scale_of(library, "voltage_unit", library.text("voltage_unit", "1V"), "v"),
    )


def operating_conditions(library: Group) -> tuple[float, float]:
    """Return V and degrees Celsius of the default operating conditions, else the nominal ones.

    Raises:
        LibertyError: neither is in the file.
    """
    wanted = library.text("default_operating_conditions")
    named = [group for group in library.of_kind("operating_conditions") if group.name == wanted]
    found = []
    for name in ("voltage", "temperature"):
        value = named[0].number(name) if named else None
        value = library.number("nom_" + name) if value is None else value
        if value is None:
            raise LibertyError(f"{library.where}: library {library.name} states neither operating conditions nor "
                               f"nom_{name}; add nom_{name} to it.")
        found.append(value)
    return found[0] * read_units(library).volt, found[1]


def scale_of(library: Group, attribute: str, text: str, unit: str) -> float:
    """Return a unit such as `10ps` as a factor to the SI unit (`s`)."""
    found = re.fullmatch(rf"\s*([\d.eE+-]*?)\s*([munpf]?){unit}\s*", text, re.IGNORECASE)
    if not found:
        raise LibertyError(f"{library.where}: {attribute} is {text!r}; expected a number and a unit, such as "
                           f"1n{unit}.")
    # Scaled through decimal text, so that 1ns is exactly 1000 ps.
    return float(found[1] or 1) * PREFIXES[found[2].lower()]


class TableReader:
    """Reads the tables of one library. What occurs again and again is parsed once: axes, and expressions over pins."""

    def __init__(self, library: Group) -> None:
        """Note the library's units and templates."""
        self.units = read_units(library)
        self._templates = {group.name: group for group in library.of_kind("lu_table_template", "power_lut_template")}
        self._axes: dict[str, np.ndarray] = {}
        self.functions: dict[tuple[str, tuple[str, ...]], Function] = {}

    def edges(self, group: Group, fall: str, rise: str) -> Edges:
        """Return the tables of a falling and of a rising edge; None where the group has none."""
        return self.table(group, fall), self.table(group, rise)

    def table(self, group: Group, kind: str) -> Table | None:
        """Return the table called `kind` in `group`, with axes `[slew, other]`, in ps or (for power) fJ.

        Raises:
            LibertyError: its template is missing, has an unknown variable, or the counts do not match.
        """
        found = next(group.of_kind(kind), None)
        if found is None:
            return None
        scale = self.units.joule_fj if kind.endswith("power") else self.units.second_ps
        values = np.array(self.numbers(found, "values")) * scale
        axes = [(name, self._axis(found, f"index_{i + 1}", name)) for i, name in enumerate(self._variables(found))]
        if values.size != np.prod([axis.size for _, axis in axes], dtype=int):
            raise LibertyError(f"{found.where}: {kind} has {values.size} values for axes of "
                               f"{' x '.join(str(axis.size) for _, axis in axes) or '1'}; is the file damaged?")
        slews = [axis for name, axis in axes if name in SLEW_VARIABLES]
        others = [axis for name, axis in axes if name in LOAD_VARIABLES]
        values = values.reshape([axis.size for _, axis in axes] or [1])
        if len(axes) == 2 and axes[0][0] in LOAD_VARIABLES:
            values = values.T
        slew, other = slews[0] if slews else POINT, others[0] if others else POINT
        return Table(slew, other, values.reshape(slew.size, other.size))

    def _variables(self, table: Group) -> list[str]:
        """Return the variables of a table's template in its order."""
        if table.name in ("", "scalar"):
            return []
        template = self._templates.get(table.name)
        if template is None:
            raise LibertyError(f"{table.where}: {table.kind} uses template {table.name}, which the library lacks; "
                               f"it has {', '.join(sorted(self._templates))}.")
        names = [template.text(f"variable_{i}") for i in (1, 2, 3) if template.text(f"variable_{i}")]
        unknown = [name for name in names if name not in SLEW_VARIABLES | LOAD_VARIABLES]
        if unknown or sum(name in SLEW_VARIABLES for name in names) > 1 or len(names) > 2:
            raise LibertyError(f"{template.where}: template {template.name} has variables {', '.join(names)}; "
                               f"known are {', '.join(sorted(SLEW_VARIABLES | LOAD_VARIABLES))}, one of a kind.")
        return names

    def _axis(self, table: Group, index: str, variable: str) -> np.ndarray:
        """Return an axis in ps or fF: the table's own, else its template's."""
        holder = table if index in table.lists else self._templates[table.name]
        text = holder.lists.get(index, "")
        scale = self.units.farad_ff if variable.endswith("capacitance") else self.units.second_ps
        key = f"{scale} {text}"
        if key not in self._axes:
            axis = np.array(self.numbers(holder, index)) * scale
            if axis.size == 0 or (np.diff(axis) <= 0).any():
                raise LibertyError(f"{holder.where}: {index} of {holder.kind} is not ascending: {text}.")
            self._axes[key] = axis
        return self._axes[key]

    def numbers(self, group: Group, name: str) -> list[float]:
        """Return the numbers of a list attribute, rows joined."""
        text = group.lists.get(name, "")
        try:
            return [float(part) for part in text.replace('"', " ").replace("\\", " ").replace(",", " ").split()]
        except ValueError as error:
            raise LibertyError(f"{group.where}: {name} of {group.kind} holds something that is no number "
                               f"({str(error).split(': ')[-1]}).") from None
