"""Captures of a flip-flop: the clock rises while data and output differ. Delay, slew and energy by slew and load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from characterization.cells.deck import Stimulus, level, ramp
from characterization.cells.ngspice import Waves
from characterization.cells.points import MeasureConfig
from characterization.cells.stored_state import CLOCK, DATA, START_PS, Flop, held, shown, storing
from characterization.cells.waveform import charge_fc, crossing_ps, slew_ps
from characterization.errors import CellsError


@dataclass(frozen=True, slots=True)
class Capture:
    """One transient: the clock rises with a slew, and the output changes to `value` against a load."""

    value: int
    slew_ps: float
    load_ff: float
    window_ps: float


@dataclass(frozen=True, slots=True)
class Captured:
    """What a capture did: clock to output, the output's slew, energy from the supply."""

    delay_ps: float
    slew_ps: float
    supply_fj: float


def measure_captures(
    flop: Flop, value: int, points: Sequence[tuple[float, float]], config: MeasureConfig, work: Path,
) -> tuple[list[Captured], list[str]]:
    """Return the captures of `value` at pairs of clock slew and load, and notes of what had to be repeated.

    Raises:
        CellsError: the output does not reach the value, at whatever window.
    """
    found: dict[int, Captured] = {}
    notes: list[str] = []
    waiting = [(i, Capture(value, slew, load, flop.window_ps(load))) for i, (slew, load) in enumerate(points)]
    for attempt in range(config.attempts + 1):
        scaled = [replace(capture, window_ps=capture.window_ps * 2**attempt) for _, capture in waiting]
        waves = storing(flop, 1 - value, [stimulus(flop, capture, config) for capture in scaled], work)
        for (index, _), capture, wave in zip(waiting, scaled, waves, strict=True):
            captured = None if wave is None else read_capture(flop, capture, wave, config)
            if captured is not None:
                found[index] = captured
        waiting = [(index, capture) for index, capture in waiting if index not in found]
        if not waiting:
            return [found[index] for index in range(len(points))], notes
        notes.append(f"{len(waiting)} of {len(points)} captures of {value} did not settle in {2**attempt} x the "
                     "estimated window")
    raise CellsError(f"{flop.bench.cell.circuit.name}: {CLOCK} -> {flop.output} does not bring {value} at "
                     f"{shown(flop.bench.condition)} within {waiting[0][1].window_ps * 2**config.attempts / 1000:.3g} "
                     "ns; ask for a higher voltage.")


def stimulus(flop: Flop, capture: Capture, config: MeasureConfig) -> Stimulus:
    """Return a capture's transient."""
    supply_v = flop.bench.condition.voltage_v
    return Stimulus({CLOCK: ramp(START_PS, capture.slew_ps, 0.0, supply_v), DATA: level(capture.value * supply_v)},
                    {flop.output: capture.load_ff}, stop_ps(capture), capture.window_ps / config.steps)


def stop_ps(capture: Capture) -> float:
    """Return when a capture's transient ends."""
    return START_PS + capture.slew_ps / 0.6 + capture.window_ps


def read_capture(flop: Flop, capture: Capture, waves: Waves, config: MeasureConfig) -> Captured | None:
    """Return what a capture did, or None if the output is not at its rail when the transient ends."""
    if not held(flop, capture.value, waves, stop_ps(capture), config):
        return None
    supply_v, time_ps, volt = flop.bench.condition.voltage_v, waves.time_ps, waves.voltage_v[flop.output]
    rising = capture.value == 1
    delay_ps = (crossing_ps(time_ps, volt, supply_v / 2, rising)
                - crossing_ps(time_ps, waves.voltage_v[CLOCK], supply_v / 2, True))
    energy_fj = charge_fc(time_ps, waves.current_ua["VPWR"]) * supply_v
    return Captured(delay_ps, slew_ps(time_ps, volt, supply_v, rising), energy_fj)


def as_table(captures: Sequence[Captured], n_slews: int, n_loads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return delays, slews and supply energies `[slew, load]` of captures in that order."""
    rows = np.array([(c.delay_ps, c.slew_ps, c.supply_fj) for c in captures]).reshape(n_slews, n_loads, 3)
    return rows[..., 0], rows[..., 1], rows[..., 2]
