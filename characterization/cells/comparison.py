"""compare_cells(): how far a library's figures are from another's, on the other's own grid inside our range.

A library that states one arc for all side states is compared with the slowest of ours (the foundry's `worst_edges`),
its energy with the state of ours that comes closest, since it does not say which it took.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from characterization.constants import FALL, RISE
from characterization.liberty import Arc, CellLibrary, LibraryCell, Power
from characterization.liberty_tables import Table
from characterization.nldm import columns_at, curve_at

# Errors of shorter delays, in per cent, say more about where a waveform starts than about the cell.
LEAST_DELAY_PS = 20.0
Key = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True, eq=False)
class CellComparison:
    """Our figure over the reference's, less one, for one cell; arrays over whatever was compared.

    Attributes:
        delay, slew: `[point]` over arcs, edges and the reference's grid.
        energy: `[point]` of a whole cycle (a rise and a fall), the load's C V^2 included.
        capacitance: `[pin and edge]`.
        leakage: of the mean over states.
        delay_ps: our delays `[point]` and the reference's, for comparing voltages.
    """

    cell: str
    delay: np.ndarray
    slew: np.ndarray
    energy: np.ndarray
    capacitance: np.ndarray
    leakage: float
    delay_ps: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class FlopComparison:
    """A flip-flop: clock to output as in CellComparison; `setup_ps` is ours less the reference's `[point]`."""

    cell: str
    clock_to_q: np.ndarray
    setup_ps: np.ndarray


def compare_flops(ours: CellLibrary, theirs: CellLibrary) -> tuple[FlopComparison, ...]:
    """Return the comparison of each flip-flop that both libraries have, in our order."""
    found = []
    for name, cell in ours.cells.items():
        if cell.flop is None or name not in theirs.cells or theirs.cells[name].flop is None:
            continue
        other = theirs.cells[name]
        delays = [worst(cell, output, arc, edge, "delay") for output in other.outputs
                  for arc in other.pins[output].arcs for edge in (FALL, RISE)]
        setups = [worst(cell, pin, arc, edge, "delay") for pin in other.inputs for arc in other.pins[pin].arcs
                  if arc.kind.startswith("setup") for edge in (FALL, RISE)]
        setup_ps = np.concatenate(setups, axis=1)
        known = np.isfinite(setup_ps).all(axis=0)
        found.append(FlopComparison(name, relative(np.concatenate(delays, axis=1)),
                                    setup_ps[0][known] - setup_ps[1][known]))
    return tuple(found)


def compare_cells(ours: CellLibrary, theirs: CellLibrary) -> tuple[CellComparison, ...]:
    """Return the comparison of each combinational cell that both libraries have, in our order."""
    return tuple(compare_cell(cell, theirs.cells[name], theirs.nominal_voltage_v) for name, cell in ours.cells.items()
                 if name in theirs.cells and cell.flop is None and cell.inputs and not theirs.cells[name].unusable)


def compare_cell(ours: LibraryCell, theirs: LibraryCell, voltage_v: float) -> CellComparison:
    """Return the comparison of one cell."""
    delays, slews, energies = [], [], []
    for output in theirs.outputs:
        for arc in theirs.pins[output].arcs:
            for edge in (FALL, RISE):
                delays.append(worst(ours, output, arc, edge, "delay"))
                slews.append(worst(ours, output, arc, edge, "slew"))
        for pin in theirs.inputs:
            energies.append(cycle_errors(ours, theirs, output, pin, voltage_v))
    delay_ps, slew_ps = (np.concatenate(columns, axis=1) for columns in (delays, slews))
    delay_ps = np.where(np.abs(delay_ps[1]) > LEAST_DELAY_PS, delay_ps, np.nan)
    caps = np.array([[cell.pins[pin].capacitance_ff[edge] for pin in theirs.inputs for edge in (FALL, RISE)]
                     for cell in (ours, theirs)])
    return CellComparison(ours.name, relative(delay_ps), relative(slew_ps), np.concatenate(energies), relative(caps),
                          ours.leakage_nw / theirs.leakage_nw - 1, delay_ps)


def relative(pair: np.ndarray) -> np.ndarray:
    """Return `pair[0] / pair[1] - 1` where both are known."""
    known = np.isfinite(pair).all(axis=0)
    return np.asarray(pair[0][known] / pair[1][known] - 1)


def worst(ours: LibraryCell, output: str, theirs: Arc, edge: int, what: str) -> np.ndarray:
    """Return (ours, theirs) `[2, point]` of one edge on their grid, nan outside our range."""
    reference = (theirs.delay if what == "delay" else theirs.slew)[edge]
    if reference is None:
        return np.zeros((2, 0))
    found = []
    for arc in ours.pins[output].arcs:
        table = (arc.delay if what == "delay" else arc.slew)[edge]
        # Clock to output and checks have no sense that would matter.
        alike = arc.sense == theirs.sense or "non_unate" in (arc.sense, theirs.sense) or arc.kind != "combinational"
        if table is not None and (arc.related_pin, arc.kind) == (theirs.related_pin, theirs.kind) and alike:
            found.append(on_grid(table, reference))
    mine = np.max(found, axis=0) if found else np.full(reference.values.shape, np.nan)
    return np.array([mine.ravel(), reference.values.ravel()])


def on_grid(table: Table, grid: Table) -> np.ndarray:
    """Return a table's values at the points of another `[slew, other]`, nan outside the table."""
    columns, outside = columns_at(table, grid.other)
    found = np.array([np.interp(grid.slew_ps, table.slew_ps, column, np.nan, np.nan) for column in columns])
    found[outside] = np.nan
    return found.T


def cycle_errors(
    ours: LibraryCell, theirs: LibraryCell, output: str, pin: str, voltage_v: float,
) -> np.ndarray:
    """Return the relative errors of the energy of a rise and a fall of an output, caused by one pin."""
    reference = [power for power in theirs.pins[output].powers if power.related_pin == pin]
    states = group(power for power in ours.pins[output].powers if power.related_pin == pin)
    errors = []
    for power in reference:
        if power.energy[FALL] is None or power.energy[RISE] is None:
            continue
        grid = power.energy[RISE]
        assert grid is not None
        loads_fj = grid.other[None, :] * voltage_v**2
        expected = sum(on_grid(table, grid) for table in power.energy if table is not None)
        expected = expected + loads_fj + input_cycle(theirs, pin, grid)
        found = [sum(on_grid(table, grid) for table in state.values()) + loads_fj + input_cycle(ours, pin, grid)
                 for state in states.values() if len(state) == 2]
        relative_ = [one / expected - 1 for one in found]
        if relative_:
            closest = min(relative_, key=lambda error: float(np.nanmean(np.abs(error))))
            errors.append(closest[np.isfinite(closest)])
    return np.concatenate(errors) if errors else np.zeros(0)


def group(powers: Iterable[Power]) -> dict[object, dict[int, Table]]:
    """Return side state -> its tables by edge."""
    found: dict[object, dict[int, Table]] = {}
    for power in powers:
        for edge, table in enumerate(power.energy):
            if table is not None:
                found.setdefault(power.when, {})[edge] = table
    return found


def input_cycle(cell: LibraryCell, pin: str, grid: Table) -> np.ndarray:
    """Return what a rise and a fall cost at an input pin itself, at the grid's slews `[slew, 1]`."""
    total = np.zeros(len(grid.slew_ps))
    for power in cell.pins[pin].powers:
        for table in power.energy:
            if table is not None and power.related_pin == "":
                total += curve_at(table, 0.0).at(grid.slew_ps)
    return total[:, None]


def voltage_ratios(at: Mapping[float, tuple[CellComparison, ...]], reference_v: float) -> dict[float, np.ndarray]:
    """Return voltage -> relative errors of delay over the delay at `reference_v`, over all points known at both."""
    found = {}
    for voltage_v, cells in at.items():
        errors = []
        for one, base in zip(cells, at[reference_v], strict=True):
            ratio = one.delay_ps / base.delay_ps
            known = np.isfinite(ratio).all(axis=0)
            errors.append(ratio[0][known] / ratio[1][known] - 1)
        found[voltage_v] = np.concatenate(errors)
    return found
