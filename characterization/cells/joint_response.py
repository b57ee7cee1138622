"""What a cell's outputs do when several inputs move: crossings of half the supply, there and back, from SPICE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from characterization.cells.deck import Bench, Stimulus, level, ramp
from characterization.cells.joint_switching import Joint, value
from characterization.cells.ngspice import Waves, simulate
from characterization.cells.points import MeasureConfig, slowdown, window_ps
from characterization.cells.switch_level import condition as expression
from characterization.cells.switch_level import functions, patterns, strength
from characterization.cells.tables import Condition
from characterization.cells.waveform import crossings_ps
from characterization.errors import CellsError

START_PS = 10.0
# The windows that the single-input arcs are given are ample.
WINDOW_SHARE = 0.5
STEPS = 20.0
# Slews of real nets are those of the cells that drive them, so they follow the delays. Delays over what `slowdown`
# estimates, as dfxtp_1's clock to output has it at ss -40 C 1.28 V and ff -40 C 1.95 V.
SLOWNESS = {"ss": 1.2, "ff": 0.7}


@dataclass(frozen=True, slots=True)
class Point:
    """Where a cell is driven: slew at typical 1.8 V, and load for each um of transistor that drives the output."""

    slew_ps: float
    load_per_um_ff: float


@dataclass(frozen=True, slots=True)
class Rig:
    """A cell at a point: slew and loads are those of its condition; `truths` are its functions by output."""

    bench: Bench
    truths: Mapping[str, int]
    slew_ps: float
    loads_ff: Mapping[str, float]
    window_ps: float


@dataclass(frozen=True, slots=True)
class Crossing:
    """An output at half the supply: how long after the first input was, and in which direction."""

    time_ps: float
    edge: int


Crossings = Mapping[str, Sequence[Crossing]]


@dataclass(frozen=True, slots=True)
class Response:
    """Crossings by output, as the inputs move and as they move back."""

    there: Crossings
    back: Crossings


def rig_at(bench: Bench, point: Point) -> Rig:
    """Return a cell at a point."""
    circuit, of = bench.cell.circuit, functions(bench.cell.circuit)
    states = patterns(bench.inputs)
    um = {output: min(strength(circuit, state, output) for state in states) for output in bench.outputs}
    loads = {output: point.load_per_um_ff * um[output] for output in bench.outputs}
    window = window_ps(circuit, [(loads[output], um[output]) for output in bench.outputs], bench.condition)
    return Rig(bench, {output: of[output].truth for output in bench.outputs},
               point.slew_ps * slowness(bench.condition), loads, WINDOW_SHARE * window)


def slowness(condition: Condition) -> float:
    """Return by what real slews are longer than at typical 1.8 V.

    >>> round(slowness(Condition("ff", -40.0, 1.95)), 2)
    0.6
    """
    return SLOWNESS.get(condition.process, 1.0) * slowdown(condition)


def respond(tried: Sequence[tuple[Rig, Joint]], config: MeasureConfig, work: Path) -> list[Response]:
    """Return what the cell does in each of several transitions, in one ngspice process unless some do not settle.

    Raises:
        CellsError: an output is not at its rail in the end, whatever the window.
        ToolMissingError: ngspice is not installed.
    """
    found: dict[int, Response] = {}
    waiting = list(enumerate(tried))
    for attempt in range(config.attempts + 1):
        scaled = [(index, replace(rig, window_ps=rig.window_ps * 2**attempt), joint) for index, (rig, joint) in waiting]
        stimuli = [stimulus(rig, joint) for _, rig, joint in scaled]
        waves = simulate(tried[0][0].bench, stimuli, work) if tried else []
        for (index, rig, joint), wave in zip(scaled, waves, strict=True):
            if wave is not None and settled(rig, joint, wave, config):
                found[index] = read_response(rig, joint, wave)
        waiting = [(index, case) for index, case in waiting if index not in found]
        if not waiting:
            return [found[index] for index in range(len(tried))]
    raise CellsError(does_not_settle(*waiting[0][1]))


def does_not_settle(rig: Rig, joint: Joint) -> str:
    """Return the message for a transition that never settled."""
    bench = rig.bench
    start, end = (expression({pin: joint_bits >> i & 1 for i, pin in enumerate(bench.inputs)})
                  for joint_bits in (joint.start, joint.end))
    return (f"{bench.cell.circuit.name}: from {start} to {end} an output does not settle at "
            f"{bench.condition.voltage_v:g} V ({bench.condition.process}, {bench.condition.temp_c:g} C); "
            "ask for a higher voltage.")


def turn_ps(rig: Rig, joint: Joint) -> float:
    """Return how long after their start the inputs begin to move back."""
    return max(joint.offsets) + rig.slew_ps / 0.6 + rig.window_ps


def stimulus(rig: Rig, joint: Joint) -> Stimulus:
    """Return the transient of a transition: the inputs move, and after a window move back with the same skews."""
    supply_v, turn = rig.bench.condition.voltage_v, turn_ps(rig, joint)
    drives = {}
    for i, pin in enumerate(rig.bench.inputs):
        before, after = (supply_v * (pattern >> i & 1) for pattern in (joint.start, joint.end))
        at_ps = START_PS + joint.offsets[i]
        drives[pin] = (ramp(at_ps, rig.slew_ps, before, after) + ramp(at_ps + turn, rig.slew_ps, after, before)
                       if before != after else level(before))
    return Stimulus(drives, rig.loads_ff, START_PS + 2 * turn, rig.window_ps / STEPS)


def settled(rig: Rig, joint: Joint, waves: Waves, config: MeasureConfig) -> bool:
    """Return whether all outputs are at their rails before the inputs move back, and in the end."""
    supply_v = rig.bench.condition.voltage_v
    middle = int(np.searchsorted(waves.time_ps, START_PS + turn_ps(rig, joint) + 1e-6)) - 1
    return all(abs(waves.voltage_v[output][at] - supply_v * value(truth, pattern)) <= config.settled * supply_v
               for output, truth in rig.truths.items() for at, pattern in ((middle, joint.end), (-1, joint.start)))


def read_response(rig: Rig, joint: Joint, waves: Waves) -> Response:
    """Return a transition's crossings."""
    turn, reference = turn_ps(rig, joint), START_PS + rig.slew_ps / 1.2
    there: dict[str, list[Crossing]] = {output: [] for output in rig.truths}
    back: dict[str, list[Crossing]] = {output: [] for output in rig.truths}
    for output in rig.truths:
        half_v = rig.bench.condition.voltage_v / 2
        for time_ps, edge in crossings_ps(waves.time_ps, waves.voltage_v[output], half_v):
            if time_ps < START_PS + turn:
                there[output].append(Crossing(time_ps - reference, edge))
            else:
                back[output].append(Crossing(time_ps - reference - turn, edge))
    return Response(there, back)
