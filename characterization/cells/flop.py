"""measure_flop: a flip-flop at one condition. Clock to output, energy of every edge, pins, leakage, setup and hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from characterization.cells.capture import Captured, as_table, measure_captures
from characterization.cells.constraints import measure_constraints
from characterization.cells.deck import Bench
from characterization.cells.extraction import Extracted
from characterization.cells.ngspice import leakage_nw
from characterization.cells.points import MeasureConfig
from characterization.cells.quiet_edges import QuietEdge, measure_quiet_edges
from characterization.cells.stored_state import CLOCK, DATA, Flop, find_flop
from characterization.cells.switch_level import condition as expression
from characterization.cells.switch_level import directions
from characterization.cells.tables import (
    CellTables,
    Condition,
    FlopFunction,
    HiddenEnergy,
    Leakage,
    MeasuredArc,
    MeasuredPin,
)
from characterization.cells.wheel import Wheel
from characterization.constants import FALL, RISE

STATE = "IQ"


def measure_flop(
    cell: Extracted, condition: Condition, wheel: Wheel, config: MeasureConfig, work: Path,
) -> CellTables:
    """Return everything measured of a flip-flop at one condition; `work` is for the simulator's files.

    Raises:
        CellsError: it does not take, keep or let go a value at this condition, or the simulator refuses the cell.
        ToolMissingError: ngspice is not installed.
    """
    flop = find_flop(Bench(cell, *directions(cell.circuit), condition, wheel), config, work)
    points = [(slew, load) for slew in config.slews_ps for load in flop.loads_ff]
    points += [(slew, flop.loads_ff[0]) for slew in config.constraint_slews_ps]
    captures, notes = {}, []
    for value in (0, 1):
        captures[value], repeated = measure_captures(flop, value, points, config, work)
        notes += repeated
    quiet = [measure_quiet_edges(flop, value, config.slews_ps, config, work) for value in (0, 1)]
    by_slew = [[*zero, *one] for zero, one in zip(*quiet, strict=True)]
    hidden = hidden_energies(by_slew)
    n_points = len(config.slews_ps) * len(flop.loads_ff)
    return CellTables(
        cell.circuit.name, condition, cell.area_um2, config.slews_ps,
        (*(input_pin(pin, by_slew[len(by_slew) // 2], condition) for pin in (CLOCK, DATA)),
         MeasuredPin(flop.output, "output", STATE, (0.0, 0.0), flop.loads_ff[-1], flop.loads_ff)),
        tuple(arc(flop, value, captures[value][:n_points], hidden, config) for value in (0, 1)),
        tuple(hidden.values()), leakages(flop, work), (), FlopFunction(CLOCK, DATA), config.constraint_slews_ps,
        measure_constraints(flop, config.constraint_slews_ps, {v: captures[v][n_points:] for v in (0, 1)}, work),
        tuple(notes),
    )


def hidden_energies(by_slew: Sequence[Sequence[QuietEdge]]) -> dict[tuple[str, str, int], HiddenEnergy]:
    """Return (pin, when, edge) -> energy of the edges that move no output, over the slews."""
    found: dict[tuple[str, str, int], list[float]] = {}
    for edges in by_slew:
        for each in edges:
            found.setdefault((each.pin, each.when, each.edge), []).append(each.supply_fj)
    return {key: HiddenEnergy(*key, np.array(energies)) for key, energies in sorted(found.items())}


def arc(
    flop: Flop, value: int, captures: Sequence[Captured], hidden: Mapping[tuple[str, str, int], HiddenEnergy],
    config: MeasureConfig,
) -> MeasuredArc:
    """Return the arc from the clock to the output's edge to `value`.

    Its energy is beyond 1/2 C V^2 and beyond what the clock's rise costs anyhow with data at `value`.
    """
    delay_ps, slews_ps, supply_fj = as_table(captures, len(config.slews_ps), len(flop.loads_ff))
    wires_fj = np.array(flop.loads_ff) * flop.bench.condition.voltage_v**2 / 2
    anyhow = hidden[CLOCK, expression({DATA: value}), RISE].energy_fj
    return MeasuredArc(flop.output, CLOCK, "", RISE, value, delay_ps, slews_ps,
                       supply_fj - wires_fj[None, :] - anyhow[:, None])


def input_pin(pin: str, edges: Sequence[QuietEdge], condition: Condition) -> MeasuredPin:
    """Return an input pin: charge up to half the swing over half the supply, the largest over the states."""
    fall, rise = (max(each.pin_fc for each in edges if (each.pin, each.edge) == (pin, edge))
                  / (condition.voltage_v / 2) for edge in (FALL, RISE))
    return MeasuredPin(pin, "input", "", (fall, rise), None)


def leakages(flop: Flop, work: Path) -> tuple[Leakage, ...]:
    """Return the leakage of all states of clock, data and output."""
    found = []
    for value, clock in ((0, 0), (0, 1), (1, 0), (1, 1)):
        states = [{CLOCK: clock, DATA: data, flop.output: value} for data in (0, 1)]
        powers = leakage_nw(flop.bench, states, work, flop.stored[value, clock])
        found += [Leakage(expression(state), power) for state, power in zip(states, powers, strict=True)]
    return tuple(found)
