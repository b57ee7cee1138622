"""What a flip-flop holds: the voltages of its nodes for each value, from which all else that is measured starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from characterization.cells.deck import Bench, Guess, Stimulus, level, ramp
from characterization.cells.ngspice import Waves, simulate
from characterization.cells.points import MeasureConfig, loads_ff, window_ps
from characterization.cells.spice_netlist import SUPPLIES, Circuit
from characterization.cells.switch_level import directions, settle, strength
from characterization.cells.tables import Condition
from characterization.errors import CellsError

START_PS = 10.0
CLOCK, DATA = "CLK", "D"
# The storing edge is of no interest by itself: any clear one will do.
CLOCK_SLEW_PS = 50.0


@dataclass(frozen=True, slots=True)
class Flop:
    """A flip-flop on the bench: clocked by the rise of CLK, D in, one output out.

    Attributes:
        stored: (value, clock) -> node voltages while it holds the value at that level of the clock, D at the value too.
        loads_ff: loads of the output at which it is measured.
    """

    bench: Bench
    output: str
    stored: Mapping[tuple[int, int], Guess]
    loads_ff: tuple[float, ...]

    def window_ps(self, load_ff: float) -> float:
        """Return an estimate of how long the output takes to settle after an edge of the clock."""
        circuit = self.bench.cell.circuit
        return window_ps(circuit, [(load_ff, output_strength(circuit, self.output))], self.bench.condition)


def is_flop(circuit: Circuit) -> bool:
    """Return whether a cell has inputs CLK and D, and an output that they leave undecided while the clock is low."""
    inputs, outputs = directions(circuit)
    return set(inputs) == {CLOCK, DATA} and len(outputs) == 1 and outputs[0] not in settle(circuit, {CLOCK: 0, DATA: 0})


def find_flop(bench: Bench, config: MeasureConfig, work: Path) -> Flop:
    """Return a flip-flop with what it holds, found by clocking both values in.

    Raises:
        CellsError: it does not take a value at the rise of the clock, or loses it at the fall.
    """
    output, = bench.outputs
    circuit = bench.cell.circuit
    loads = loads_ff(circuit, output_gates(circuit, output), output, config)
    bare = Flop(bench, output, {}, loads)
    nodes = inner_nodes(bench.cell.text, circuit)
    for attempt in range(config.attempts + 1):
        window = bare.window_ps(loads[0]) * 2**attempt
        waves = simulate(bench, [store(bare, value, window, config) for value in (0, 1)], work, nodes)
        states = {(value, clock): read_state(bare, value, wave, START_PS + window * (2 - clock), config)
                  for value, wave in enumerate(waves) for clock in (0, 1)}
        if all(states.values()):
            return Flop(bench, output, states, loads)
    raise CellsError(f"{circuit.name}: {output} does not take the value of {DATA} at the rise of {CLOCK} at "
                     f"{shown(bench.condition)} within {window / 1000:.3g} ns; ask for a higher voltage.")


def shown(condition: Condition) -> str:
    """Return a condition as messages have it."""
    return f"{condition.voltage_v:g} V ({condition.process}, {condition.temp_c:g} C)"


def output_gates(circuit: Circuit, output: str) -> tuple[str, ...]:
    """Return the nodes that control the transistors at an output."""
    return tuple(sorted({device.gate for device in circuit.devices if output in device.ends}))


def output_strength(circuit: Circuit, output: str) -> float:
    """Return how strongly the weaker of the two output edges is driven, in um of n-transistor width."""
    gates = output_gates(circuit, output)
    return min(strength(circuit, dict.fromkeys(gates, value), output) for value in (0, 1))


def inner_nodes(text: str, circuit: Circuit) -> tuple[str, ...]:
    """Return the nodes of a subcircuit that are neither pins nor supplies.

    >>> inner_nodes("X0 n1 A VPWR_1 VPB pfet w=1", Circuit("inv", ("A", "VPB"), ()))
    ('n1', 'vpwr_1')
    """
    words = [line.split() for line in text.splitlines()]
    found = {node for word in words if word and word[0][0] in "XCR"
             for node in word[1:5 if word[0][0] == "X" else 3]}
    return tuple(sorted(node.lower() for node in found - set(circuit.ports) - set(SUPPLIES)))


def store(flop: Flop, value: int, window: float, config: MeasureConfig) -> Stimulus:
    """Return the transient that clocks a value in: the clock rises, and falls a window later."""
    supply_v = flop.bench.condition.voltage_v
    clock = ramp(START_PS, CLOCK_SLEW_PS, 0.0, supply_v) + ramp(START_PS + window, CLOCK_SLEW_PS, supply_v, 0.0)
    return Stimulus({CLOCK: clock, DATA: level(value * supply_v)}, {flop.output: flop.loads_ff[0]},
                    START_PS + 2 * window, window / config.steps)


def read_state(flop: Flop, value: int, waves: Waves | None, at_ps: float, config: MeasureConfig) -> Guess:
    """Return the node voltages just before a time, named as in a deck; none if the output is not at its rail then."""
    if waves is None or not held(flop, value, waves, at_ps, config):
        return {}
    last = point_before(waves, at_ps)
    return {node_name(flop, node): float(volt[last]) for node, volt in waves.voltage_v.items()
            if node not in flop.bench.inputs}


def point_before(waves: Waves, at_ps: float) -> int:
    """Return the last point of a transient that is not after a time."""
    return max(int(np.searchsorted(waves.time_ps, at_ps + 1e-6)) - 1, 0)


def node_name(flop: Flop, node: str) -> str:
    """Return a node's name in the deck."""
    return node.lower() if node in flop.bench.outputs else f"xcell.{node}"


def held(flop: Flop, value: int, waves: Waves, at_ps: float, config: MeasureConfig) -> bool:
    """Return whether the output is at a value's rail just before a time."""
    supply_v = flop.bench.condition.voltage_v
    beside_v = waves.voltage_v[flop.output][point_before(waves, at_ps)] - value * supply_v
    return bool(abs(beside_v) <= config.settled * supply_v)


def storing(flop: Flop, value: int, stimuli: Sequence[Stimulus], work: Path) -> list[Waves | None]:
    """Return the waveforms of stimuli that start while the flop holds a value; see `simulate`."""
    return simulate(flop.bench, stimuli, work, (), flop.stored[value, 0])
