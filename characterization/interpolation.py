"""interpolate_libraries(): the cells between two characterized voltages of one process and temperature.

Delays, slews and constraints lie on the log-linear chord (ln of the value linear in voltage): an upper bound wherever
the value is log-convex in voltage. Energies and capacitances are linear, leakage is log-linear, and of limits and of
multi-input factors the worse of the two counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from characterization.errors import LibertyError
from characterization.liberty import Arc, CellLibrary, LibraryCell, Pin, Power
from characterization.liberty_tables import Edges, Table
from characterization.multi_input import Factors


def interpolate_libraries(lower: CellLibrary, upper: CellLibrary, voltage_v: float, name: str) -> CellLibrary:
    """Return the library at a voltage between those of `lower` and `upper`.

    Raises:
        LibertyError: the voltage is not between them, or they differ in cells, pins, arcs or grids.
    """
    low_v, high_v = lower.nominal_voltage_v, upper.nominal_voltage_v
    if not low_v <= voltage_v <= high_v or low_v == high_v or lower.nominal_temp_c != upper.nominal_temp_c:
        raise LibertyError(f"{name}: {voltage_v:g} V cannot be interpolated between {lower.name} ({low_v:g} V, "
                           f"{lower.nominal_temp_c:g} C) and {upper.name} ({high_v:g} V, {upper.nominal_temp_c:g} C).")
    if set(lower.cells) != set(upper.cells):
        odd = min(set(lower.cells) ^ set(upper.cells))
        raise LibertyError(f"{name}: only one of {lower.name} and {upper.name} has cell {odd}; characterize both for "
                           "the same cells.")
    between = Between((voltage_v - low_v) / (high_v - low_v), name)
    cells = {kind: between.cell(cell, upper.cells[kind]) for kind, cell in lower.cells.items()}
    return CellLibrary(
        name, lower.paths + upper.paths, MappingProxyType(cells), voltage_v, lower.nominal_temp_c,
        worse_factors(lower.multi_input, upper.multi_input), lower.multi_input_source, (lower.name, upper.name),
        lower.wire_loads, lower.rail_per_slew,
    )  # fmt: skip


def worse_factors(low: Mapping[str, Factors], high: Mapping[str, Factors]) -> Mapping[str, Factors]:
    """Return of each edge's factors the later late one and the earlier early one."""
    worse: dict[str, Factors] = {}
    for cell in {**low, **high}:
        first, second = low.get(cell, {}), high.get(cell, {})
        edges = {}
        for edge in {**first, **second}:
            pairs = [pair for pair in (first.get(edge), second.get(edge)) if pair]
            edges[edge] = (max(late for late, _ in pairs), min(early for _, early in pairs))
        worse[cell] = MappingProxyType(edges)
    return MappingProxyType(worse)


def log_chord(low: np.ndarray, high: np.ndarray, share: float) -> np.ndarray:
    """Return values on the log-linear chord; linear where either end is not positive.

    >>> log_chord(np.array([4.0, -1.0]), np.array([1.0, 1.0]), 0.5).tolist()
    [2.0, 0.0]
    """
    positive = (low > 0) & (high > 0)
    chord = np.where(positive, low, 1.0) ** (1 - share) * np.where(positive, high, 1.0) ** share
    return np.where(positive, chord, (1 - share) * low + share * high)


class Between:
    """A place between two libraries: `share` is 0 at the lower voltage and 1 at the upper."""

    def __init__(self, share: float, name: str) -> None:
        self.share, self.name = share, name

    def linear(self, low: float, high: float) -> float:
        """Return a value on the straight line."""
        return (1 - self.share) * low + self.share * high

    def cell(self, low: LibraryCell, high: LibraryCell) -> LibraryCell:
        """Return one cell."""
        if list(low.pins) != list(high.pins) or low.unusable != high.unusable:
            raise LibertyError(f"{self.name}: cell {low.name} has other pins at {high.where} than at {low.where}; "
                               "characterize both in the same way.")
        pins = {name: self.pin(pin, high.pins[name], low) for name, pin in low.pins.items()}
        leakage_nw = log_chord(np.array(low.leakage_nw), np.array(high.leakage_nw), self.share)
        return replace(low, pins=MappingProxyType(pins), leakage_nw=float(leakage_nw))

    def pin(self, low: Pin, high: Pin, cell: LibraryCell) -> Pin:
        """Return one pin of `cell`."""
        arcs, powers = [arc_key(arc) for arc in low.arcs], [power_key(power) for power in low.powers]
        if (low.direction, low.function, arcs, powers) != (
            high.direction, high.function, [arc_key(arc) for arc in high.arcs], [power_key(p) for p in high.powers],
        ):  # fmt: skip
            raise LibertyError(f"{self.name}: pin {low.name} of cell {cell.name} ({cell.where}) has other arcs, "
                               "energies or another function at its two neighbours; characterize both in the same way.")
        limits = [pin.max_capacitance_ff for pin in (low, high) if pin.max_capacitance_ff is not None]
        fall, rise = (self.linear(*ends) for ends in zip(low.capacitance_ff, high.capacitance_ff, strict=True))
        least = zip(low.least_capacitance_ff, high.least_capacitance_ff, strict=True)
        least_fall, least_rise = (min(self.linear(*ends), cap) for ends, cap in zip(least, (fall, rise), strict=True))
        where = f"{cell.name}.{low.name}"
        return replace(
            low, capacitance_ff=(fall, rise), max_capacitance_ff=min(limits, default=None),
            least_capacitance_ff=(least_fall, least_rise),
            arcs=tuple(self.arc(arc, other, where) for arc, other in zip(low.arcs, high.arcs, strict=True)),
            powers=tuple(self.power(power, other, where) for power, other in zip(low.powers, high.powers, strict=True)),
        )  # fmt: skip

    def arc(self, low: Arc, high: Arc, where: str) -> Arc:
        """Return one arc, its tables on the log-linear chord."""
        delay = self.edges(low.delay, high.delay, where, logarithmic=True)
        return replace(low, delay=delay, slew=self.edges(low.slew, high.slew, where, logarithmic=True))

    def power(self, low: Power, high: Power, where: str) -> Power:
        """Return one energy, linear."""
        return replace(low, energy=self.edges(low.energy, high.energy, where, logarithmic=False))

    def edges(self, low: Edges, high: Edges, where: str, *, logarithmic: bool) -> Edges:
        """Return the tables of both edges."""
        return (self.table(low[0], high[0], where, logarithmic=logarithmic),
                self.table(low[1], high[1], where, logarithmic=logarithmic))

    def table(self, low: Table | None, high: Table | None, where: str, *, logarithmic: bool) -> Table | None:
        """Return one table; both ends must have the same axes."""
        if low is None or high is None:
            if low is not high:
                raise LibertyError(f"{self.name}: a table of {where} is there at one of its two neighbours only.")
            return None
        if not (np.array_equal(low.slew_ps, high.slew_ps) and np.array_equal(low.other, high.other)):
            raise LibertyError(f"{self.name}: a table of {where} has other slews or loads at its two neighbours, so "
                               "nothing lies between them; characterize both on the same grid.")
        if logarithmic:
            return Table(low.slew_ps, low.other, log_chord(low.values, high.values, self.share))
        return Table(low.slew_ps, low.other, self.share * high.values + (1 - self.share) * low.values)


def arc_key(arc: Arc) -> tuple[object, ...]:
    """Return what identifies an arc among those of its pin."""
    return arc.related_pin, arc.kind, arc.sense, arc.when


def power_key(power: Power) -> tuple[object, ...]:
    """Return what identifies an energy among those of its pin."""
    return power.related_pin, power.when
