"""WireLoad: a Liberty wire-load model, the capacitance that a net's wires are guessed to have by its fanout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from characterization.errors import LibertyError
from characterization.liberty_syntax import Group
from characterization.liberty_tables import Units

# Resistance of wires is left out; a model in which it could cost more than this on any net is refused.
NEGLIGIBLE_PS = 1.0
OHM_FF_PER_PS = 1000.0
OHMS = {"1ohm": 1.0, "10ohm": 10.0, "100ohm": 100.0, "1kohm": 1000.0}


@dataclass(frozen=True, slots=True)
class WireLoad:
    """A wire-load model.

    Attributes:
        lengths: (fanout, length), ascending. slope: length for each further load.
        capacitance_ff, resistance_ohm: of one unit of length.
        where: `file:line`.
    """

    name: str
    lengths: tuple[tuple[float, float], ...]
    slope: float
    capacitance_ff: float
    resistance_ohm: float
    where: str

    def length(self, fanout: int) -> float:
        """Return the length of a net: interpolated, and beyond the last fanout along the slope.

        >>> model = WireLoad("w", ((1, 2), (3, 5)), 3.0, 1.0, 0.0, "")
        >>> model.length(2), model.length(4)
        (3.5, 8.0)
        """
        fanouts, lengths = (np.array(column, dtype=float) for column in zip(*self.lengths, strict=True))
        if fanout > fanouts[-1]:
            return float(lengths[-1] + (fanout - fanouts[-1]) * self.slope)
        if fanout < fanouts[0]:
            return max(float(lengths[0] - (fanouts[0] - fanout) * self.slope), 0.0)
        return float(np.interp(fanout, fanouts, lengths))

    def wire_ff(self, fanout: int, pins_ff: float) -> float:
        """Return the capacitance of a net's wires.

        Raises:
            LibertyError: their resistance would count, which is not modelled.
        """
        length = self.length(fanout)
        wire_ff = length * self.capacitance_ff
        delay_ps = length * self.resistance_ohm * (wire_ff + pins_ff) / OHM_FF_PER_PS
        if delay_ps > NEGLIGIBLE_PS:
            raise LibertyError(f"{self.where}: wire-load model {self.name} has resistance that costs {delay_ps:.1f} ps "
                               f"on a net of {fanout} loads; only capacitance is modelled, take another model.")
        return wire_ff


def read_wire_loads(library: Group, units: Units) -> Mapping[str, WireLoad]:
    """Return the wire-load models of a library by name; its default one is also called `default`.

    Raises:
        LibertyError: a model states no length of any fanout, or the unit of resistance is unknown.
    """
    unit, models = library.text("pulling_resistance_unit", "1kohm"), {}
    if unit not in OHMS:
        raise LibertyError(f"{library.where}: pulling_resistance_unit is {unit!r}; known are {', '.join(OHMS)}.")
    for group in library.of_kind("wire_load"):
        pairs = [tuple(map(float, row.replace('"', " ").split(",")[:2]))
                 for row in group.lists.get("fanout_length", "").split(";") if row.strip()]
        if not pairs:
            raise LibertyError(f"{group.where}: wire-load model {group.name} has no fanout_length.")
        models[group.name] = WireLoad(
            group.name, tuple((pair[0], pair[1]) for pair in sorted(pairs)), group.number("slope", 0.0) or 0.0,
            (group.number("capacitance", 0.0) or 0.0) * units.farad_ff,
            (group.number("resistance", 0.0) or 0.0) * OHMS[unit], group.where,
        )  # fmt: skip
    if (default := library.text("default_wire_load")) in models:
        models["default"] = models[default]
    return models
