"""CellTables: everything measured of one cell at one operating condition, in our units; what a Liberty cell holds.

Edges are FALL=0, RISE=1. Tables run over `slews_ps` (20-80 %, the foundry's thresholds) and the output's `loads_ff`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class Condition:
    """Where a cell was measured."""

    process: str
    temp_c: float
    voltage_v: float


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredArc:
    """One input edge to one output edge, with the other inputs held at `when`.

    Attributes:
        output, related: output pin, input pin (the clock pin for clk->q).
        when: Liberty expression over the other inputs ('' when there are none, and for clk->q).
        input_edge, output_edge: FALL or RISE.
        delay_ps, slew_ps: 50-50 % delay, 20-80 % slew `[slew, load]`.
        energy_fj: internal energy `[slew, load]`, the foundry's convention: supply charge x V - 1/2 C V^2 on both
            output edges, less the hidden energy of the input pin.
    """

    output: str
    related: str
    when: str
    input_edge: int
    output_edge: int
    delay_ps: np.ndarray
    slew_ps: np.ndarray
    energy_fj: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class HiddenEnergy:
    """Energy of an input pin's edge that moves no output, with the other inputs at `when`; `energy_fj` is `[slew]`."""

    pin: str
    when: str
    edge: int
    energy_fj: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """Setup or hold of a data edge `[data slew, clock slew]`, over `constraint_slews_ps` both ways."""

    kind: str
    pin: str
    edge: int
    constraint_ps: np.ndarray


@dataclass(frozen=True, slots=True)
class Leakage:
    """Static power in one state of the inputs (and of the flop)."""

    when: str
    power_nw: float


@dataclass(frozen=True, slots=True)
class MultiInput:
    """Factors on single-input arcs when several inputs switch at once, by output pin and edge.

    `late` is at least 1 (slower than the slowest single arc of that edge), `early` at most 1 (faster than the fastest).
    `late` covers reliance on lasting primes only (`primes.lasting_cubes`): not on a mux's data while its select moves.
    """

    output: str
    edge: int
    late: float
    early: float


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredPin:
    """A signal pin: `capacitance_ff` is (fall, rise), `function` a Liberty expression ('' for inputs)."""

    name: str
    direction: str
    function: str
    capacitance_ff: tuple[float, float]
    max_capacitance_ff: float | None
    loads_ff: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class FlopFunction:
    """The state of an edge-triggered cell, as Liberty's `ff` group has it."""

    clocked_on: str
    next_state: str


@dataclass(frozen=True, slots=True, eq=False)
class CellTables:
    """One cell at one condition.

    Attributes:
        notes: what was retried, and why; empty when everything settled at the first attempt.
    """

    name: str
    condition: Condition
    area_um2: float
    slews_ps: tuple[float, ...]
    pins: tuple[MeasuredPin, ...]
    arcs: tuple[MeasuredArc, ...]
    hidden: tuple[HiddenEnergy, ...]
    leakage: tuple[Leakage, ...]
    multi_input: tuple[MultiInput, ...] = ()
    flop: FlopFunction | None = None
    constraint_slews_ps: tuple[float, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    notes: tuple[str, ...] = field(default=())
