"""Combinational cells on the bench: delay, slew and energy of every toggle, input capacitance, leakage by state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from characterization.cells.deck import Bench, Stimulus, level, ramp
from characterization.cells.extraction import Extracted
from characterization.cells.ngspice import Waves, leakage_nw, simulate
from characterization.cells.points import MeasureConfig, loads_ff, window_ps
from characterization.cells.switch_level import condition as expression
from characterization.cells.switch_level import directions, functions, patterns, strength
from characterization.cells.tables import CellTables, Condition, HiddenEnergy, Leakage, MeasuredArc, MeasuredPin
from characterization.cells.toggles import Toggle, find_toggles
from characterization.cells.waveform import charge_fc, charge_until, crossing_ps, slew_ps, window
from characterization.cells.wheel import Wheel
from characterization.constants import FALL, RISE
from characterization.errors import CellsError

START_PS = 10.0


@dataclass(frozen=True, slots=True)
class Point:
    """One transient: a toggle at a slew and a load index; both edges of the pin, `window_ps` after each."""

    toggle: Toggle
    slew: int
    load: int
    loads_ff: Mapping[str, float]
    window_ps: float


@dataclass(frozen=True, slots=True)
class Edge:
    """What one edge of the pin did. Delays and slews in ps by output that follows; energy from the supply.

    `pin_fc` is the charge into the pin until it is half way, counted in the edge's direction.
    """

    delay_ps: Mapping[str, float]
    slew_ps: Mapping[str, float]
    supply_fj: float
    pin_fc: float


Edges = tuple[Edge, Edge]


def measure_combinational(
    cell: Extracted, condition: Condition, wheel: Wheel, config: MeasureConfig, work: Path,
) -> CellTables:
    """Return everything measured of a combinational cell at one condition; `work` is for the simulator's files.

    Raises:
        CellsError: an output does not settle, at whatever window, or the simulator refuses the cell.
        ToolMissingError: ngspice is not installed.
    """
    inputs, outputs = directions(cell.circuit)
    bench = Bench(cell, inputs, outputs, condition, wheel)
    of = functions(cell.circuit)
    toggles = find_toggles(cell.circuit, of)
    loads = {output: loads_ff(cell.circuit, inputs, output, config) for output in outputs}
    points = [point for toggle in toggles for point in plan(bench, toggle, loads, config)]
    edges, notes = measure_points(bench, points, config, work)
    found = dict(zip([(id(p.toggle), p.slew, p.load) for p in points], edges, strict=True))
    table = {id(t): [[found[id(t), i, k] for k in range(config.n_loads if t.follows else 1)]
                     for i in range(len(config.slews_ps))] for t in toggles}
    hidden = hidden_energies(toggles, table, config)
    states = patterns(inputs)
    powers = leakage_nw(bench, states, work)
    return CellTables(
        cell.circuit.name, condition, cell.area_um2, config.slews_ps,
        (*input_pins(inputs, toggles, table, condition),
         *(MeasuredPin(o, "output", of[o].text, (0.0, 0.0), loads[o][-1], loads[o]) for o in outputs)),
        tuple(arc for toggle in toggles for arc in arcs(toggle, table[id(toggle)], loads, hidden, condition)),
        tuple(hidden.values()),
        tuple(Leakage(expression(state), power) for state, power in zip(states, powers, strict=True)),
        notes=tuple(notes),
    )


def plan(
    bench: Bench, toggle: Toggle, loads: Mapping[str, Sequence[float]], config: MeasureConfig,
) -> list[Point]:
    """Return the points of a toggle: all slews by all loads, or all slews at the least load if no output follows."""
    circuit = bench.cell.circuit
    strengths = {output: min(strength(circuit, {**toggle.side, toggle.pin: value}, output) for value in (0, 1))
                 for output in toggle.follows}
    found = []
    for slew in range(len(config.slews_ps)):
        for load in range(config.n_loads if toggle.follows else 1):
            values = {output: steps[load if output in toggle.follows else 0] for output, steps in loads.items()}
            driven = [(values[output], um) for output, um in strengths.items()]
            found.append(Point(toggle, slew, load, values, window_ps(circuit, driven, bench.condition)))
    return found


def measure_points(
    bench: Bench, points: Sequence[Point], config: MeasureConfig, work: Path,
) -> tuple[list[Edges], list[str]]:
    """Return the edges of each point and notes of what had to be repeated, with windows doubled until all settle.

    Raises:
        CellsError: a point does not settle in the last window either.
    """
    found: dict[int, Edges] = {}
    notes: list[str] = []
    waiting = list(enumerate(points))
    for attempt in range(config.attempts + 1):
        scaled = [replace(point, window_ps=point.window_ps * 2**attempt) for _, point in waiting]
        waves = simulate(bench, [stimulus(bench, point, config) for point in scaled], work)
        for (index, _), point, wave in zip(waiting, scaled, waves, strict=True):
            edges = None if wave is None else read_edges(bench, point, wave, config)
            if edges is not None:
                found[index] = edges
        waiting = [(index, point) for index, point in waiting if index not in found]
        if not waiting:
            return [found[index] for index in range(len(points))], notes
        notes.append(f"{len(waiting)} of {len(points)} points did not settle in {2**attempt} x the estimated window")
    raise CellsError(does_not_switch(bench, waiting[0][1], config))


def does_not_switch(bench: Bench, point: Point, config: MeasureConfig) -> str:
    """Return the message for a point that never settled."""
    toggle, at = point.toggle, bench.condition
    outputs = ", ".join(toggle.follows) or "its outputs"
    when = f" when {toggle.when}" if toggle.when else ""
    return (f"{bench.cell.circuit.name}: {toggle.pin} -> {outputs}{when} does not switch at {at.voltage_v:g} V "
            f"({at.process}, {at.temp_c:g} C) within {point.window_ps * 2**config.attempts / 1000:.3g} ns; "
            "ask for a higher voltage.")


def stimulus(bench: Bench, point: Point, config: MeasureConfig) -> Stimulus:
    """Return a point's transient: the pin rises, holds, falls, holds."""
    supply_v, toggle = bench.condition.voltage_v, point.toggle
    slew = config.slews_ps[point.slew]
    _, second_ps, stop_ps = times(point, config)
    drives = {pin: level(value * supply_v) for pin, value in toggle.side.items()}
    drives[toggle.pin] = ramp(START_PS, slew, 0.0, supply_v) + ramp(second_ps, slew, supply_v, 0.0)
    return Stimulus(drives, point.loads_ff, stop_ps, 2 * point.window_ps / config.steps)


def times(point: Point, config: MeasureConfig) -> tuple[float, float, float]:
    """Return when the pin starts to rise, when it starts to fall, and when the transient ends, in ps."""
    edge_ps = config.slews_ps[point.slew] / 0.6 + point.window_ps
    return START_PS, START_PS + edge_ps, START_PS + 2 * edge_ps


def read_edges(bench: Bench, point: Point, waves: Waves, config: MeasureConfig) -> Edges | None:
    """Return what the (falling, rising) edge of the pin did; None if an output did not settle."""
    rise_ps, fall_ps, stop_ps = times(point, config)
    if not (settled(bench, point, waves, 1, fall_ps, config) and settled(bench, point, waves, 0, stop_ps, config)):
        return None
    return (read_edge(bench, point, waves, FALL, (fall_ps, stop_ps)),
            read_edge(bench, point, waves, RISE, (rise_ps, fall_ps)))


def settled(bench: Bench, point: Point, waves: Waves, value: int, at_ps: float, config: MeasureConfig) -> bool:
    """Return whether all outputs are at their rails just before `at_ps`, the pin being at `value`."""
    last = max(int(np.searchsorted(waves.time_ps, at_ps + 1e-6)) - 1, 0)
    supply_v = bench.condition.voltage_v
    for output, follows in point.toggle.follows.items():
        rail_v = supply_v * (follows == value)
        if abs(waves.voltage_v[output][last] - rail_v) > config.settled * supply_v:
            return False
    return True


def read_edge(bench: Bench, point: Point, waves: Waves, edge: int, span_ps: tuple[float, float]) -> Edge:
    """Return what one edge of the pin did, within its window."""
    part = window(waves.time_ps, *span_ps)
    time_ps, supply_v = waves.time_ps[part], bench.condition.voltage_v
    pin = point.toggle.pin
    half_ps = crossing_ps(time_ps, waves.voltage_v[pin][part], supply_v / 2, edge == RISE)
    delays, slews = {}, {}
    for output, follows in point.toggle.follows.items():
        volt, rising = waves.voltage_v[output][part], follows == edge
        delays[output] = crossing_ps(time_ps, volt, supply_v / 2, rising) - half_ps
        slews[output] = slew_ps(time_ps, volt, supply_v, rising)
    into = waves.current_ua[pin][part]
    return Edge(delays, slews, charge_fc(time_ps, waves.current_ua["VPWR"][part]) * supply_v,
                (1 if edge == RISE else -1) * charge_until(time_ps, into, half_ps))


Table = Mapping[int, list[list[Edges]]]


def hidden_energies(
    toggles: Sequence[Toggle], table: Table, config: MeasureConfig,
) -> dict[tuple[str, int], HiddenEnergy]:
    """Return (pin, edge) -> the supply's energy when nothing follows, the mean over the states where that is so.

    The mean carries no `when`: tools add it to every edge of the pin, so arcs state what is beyond it.
    """
    found = {}
    for pin in dict.fromkeys(toggle.pin for toggle in toggles):
        quiet = [toggle for toggle in toggles if toggle.pin == pin and not toggle.follows]
        for edge in (FALL, RISE) if quiet else ():
            energy = np.mean([[row[0][edge].supply_fj for row in table[id(toggle)]] for toggle in quiet], axis=0)
            found[pin, edge] = HiddenEnergy(pin, "", edge, energy)
    assert all(len(each.energy_fj) == len(config.slews_ps) for each in found.values())
    return found


def arcs(
    toggle: Toggle, rows: list[list[Edges]], loads: Mapping[str, Sequence[float]],
    hidden: Mapping[tuple[str, int], HiddenEnergy], condition: Condition,
) -> list[MeasuredArc]:
    """Return the arcs of a toggle: each output that follows, for both edges of the pin.

    The energy of an edge beyond its loads' 1/2 C V^2 is shared equally by the outputs that follow.
    """
    found = []
    for output, follows in toggle.follows.items():
        for edge in (FALL, RISE):
            at = [[edges[edge] for edges in row] for row in rows]
            delay_ps = np.array([[one.delay_ps[output] for one in row] for row in at])
            slews_ps = np.array([[one.slew_ps[output] for one in row] for row in at])
            supply_fj = np.array([[one.supply_fj for one in row] for row in at])
            wires_ff = np.sum([loads[other] for other in toggle.follows], axis=0)
            energy_fj = supply_fj - wires_ff[None, :] * condition.voltage_v**2 / 2
            if (toggle.pin, edge) in hidden:
                energy_fj = energy_fj - hidden[toggle.pin, edge].energy_fj[:, None]
            found.append(MeasuredArc(output, toggle.pin, toggle.when, edge, edge if follows else 1 - edge, delay_ps,
                                     slews_ps, energy_fj / len(toggle.follows)))
    return found


def input_pins(
    inputs: Sequence[str], toggles: Sequence[Toggle], table: Table, condition: Condition,
) -> list[MeasuredPin]:
    """Return the input pins with their capacitances: charge up to half the swing over half the supply.

    The largest over the side states, at the middle slew and the least load.
    """
    pins = []
    for pin in inputs:
        charges = [table[id(toggle)] for toggle in toggles if toggle.pin == pin]
        fall, rise = (max(rows[len(rows) // 2][0][edge].pin_fc for rows in charges) / (condition.voltage_v / 2)
                      for edge in (FALL, RISE))
        pins.append(MeasuredPin(pin, "input", "", (fall, rise), None))
    return pins
