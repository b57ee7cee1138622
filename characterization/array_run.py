"""run_array(): an array of gate-level elements clocked through its program: what was late, wrong, and spent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from characterization.array_element import ArrayElement, element_core
from characterization.benches.cells import whole_fs
from characterization.clocked import FULL, STUCK, ElementCore, Lanes, Program, Seen, run_clocked
from characterization.energy import UNITS_PER_FJ
from characterization.errors import SimulationError
from characterization.units import FS_PER_PS

CAPACITY, MOST_EDGES = 1 << 13, 1 << 24
MOST_PINS = 16


@dataclass(frozen=True, eq=False)
class ArrayTrace:
    """What a run saw, up to the cycle it stopped in.

    Attributes:
        cycles: run.
        late_ps: latest requirement, last edge plus setup, of the captured values that count `[cycle]`.
        corrupted: flops that counted and took a value that moved within their setup window `[cycle]`.
        wrong: results and marks at the columns' feet that differ from the integer reference `[cycle]`.
        data_fj, register_fj: energy of the counted cycles, clock pins included, leakage apart `[element]`.
        counted_cycles: how many those are.
        states: what every flop captured, uint8 `[cycle, element, flop]`, if it was asked for.
    """

    cycles: int
    late_ps: np.ndarray
    corrupted: np.ndarray
    wrong: np.ndarray
    data_fj: np.ndarray
    register_fj: np.ndarray
    counted_cycles: int
    states: np.ndarray

    @property
    def latest_ps(self) -> float:
        """The latest requirement of the run."""
        return float(self.late_ps.max(initial=0.0))

    @property
    def mismatches(self) -> int:
        """Results and marks that differ."""
        return int(self.wrong.sum())


def run_array(
    element: ArrayElement, core: ElementCore, program: Program, period_ps: float, *, stop_when_wrong: bool = False,
    record: bool = False,
) -> ArrayTrace:
    """Return what an array does under a clock.

    Args:
        element: what it is made of.
        core: the same as `element_core` makes it.
        program: what it is driven with; its elements are all the array's.
        period_ps: of the clock.
        stop_when_wrong: whether to stop after the first cycle with a wrong result.
        record: whether every flop's captures are kept.

    Raises:
        SimulationError: the period is shorter than a flop takes to launch, or a gate lacks the arc that it needs.
    """
    period = whole_fs(period_ps)
    if period <= int(core.launch.max()):
        raise SimulationError(f"{element.design.name}: a period of {period_ps:g} ps; registers launch up to "
                              f"{core.launch.max() / FS_PER_PS:g} ps after the clock, and data must follow.")
    capacity = CAPACITY
    while True:
        lanes, seen = lanes_of(core, program, capacity), seen_of(core, program, record)
        cycles, code = run_clocked(core, lanes, program, seen, period, stop_when_wrong)
        if not code:
            break
        if code != FULL or capacity >= MOST_EDGES:
            raise SimulationError(reason(element, cycles, code))
        capacity *= 4
    counted = int(program.counted[:cycles].sum())
    register_fj = seen.register_cost / UNITS_PER_FJ + counted * element.timed.clock_energy_fj
    return ArrayTrace(cycles, seen.late[:cycles] / FS_PER_PS, seen.corrupted[:cycles], seen.wrong[:cycles],
                      seen.data_cost / UNITS_PER_FJ, register_fj, counted, seen.states)


def lanes_of(core: ElementCore, program: Program, capacity: int) -> Lanes:
    """Return the arrays of a run, with room for `capacity` edges in one element's cycle."""
    lanes, n_sources, n_gates = program.driven.shape[1], len(core.launch), len(core.gates)
    n_nets = len(core.fan_start) - 1
    pattern, due, cause = np.zeros((3, lanes, n_gates), np.int64)
    pin, head, end, now = np.zeros((4, MOST_PINS), np.int64)
    return Lanes(
        np.zeros((lanes, n_nets), np.uint8), np.zeros((lanes, n_sources), np.uint8), pattern, due, cause,
        np.zeros(capacity, np.int64), np.zeros((n_nets, 2), np.int64), np.zeros(n_nets, np.int64),
        np.zeros(n_gates, np.int64), pin, head, end, now,
    )


def seen_of(core: ElementCore, program: Program, record: bool) -> Seen:
    """Return what a run fills."""
    cycles, lanes = program.driven.shape[:2]
    states = np.zeros((cycles if record else 0, lanes, len(core.flops)), np.uint8)
    late, corrupted, wrong = np.zeros((3, cycles), np.int64)
    data_cost, register_cost = np.zeros((2, lanes), np.int64)
    return Seen(late, corrupted, wrong, data_cost, register_cost, states)


def reason(element: ArrayElement, cycle: int, code: int) -> str:
    """Return why an array could not be run."""
    where = f"{element.timed.top}: array cycle {cycle}"
    if code == FULL:
        return f"{where}: more than {MOST_EDGES} edges in one element; the netlist multiplies its glitches."
    gate = element.timed.gates[STUCK - code]
    return (f"{where}: {gate.pin} of {gate.cell} ({gate.kind}) does not come to its function; the library has no "
            "timing arc for this edge.")


__all__ = ["ArrayTrace", "element_core", "run_array"]
