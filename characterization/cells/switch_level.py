"""What a cell computes, from its transistors as switches: functions, states, and how strongly outputs are driven.

The wheel has no Liberty, and its Verilog models would tie us to one PDK's primitives; the transistors are what is
measured, so they say too what there is to measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from characterization.boolean import Function
from characterization.cells.spice_netlist import Circuit, Device
from characterization.errors import CellsError

HIGH, LOW = "VPWR", "VGND"
# Strength of a p-transistor against an n-transistor of the same width, for estimates of windows and loads only.
P_STRENGTH = 0.4


def directions(circuit: Circuit) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a cell's inputs and outputs: an output is where a transistor's channel (or a tie) ends."""
    driven = {end for device in circuit.devices for end in device.ends} | {end for tie in circuit.ties for end in tie}
    return (tuple(pin for pin in circuit.pins if pin not in driven),
            tuple(pin for pin in circuit.pins if pin in driven))


def settle(circuit: Circuit, inputs: Mapping[str, int]) -> dict[str, int]:
    """Return the value of each node that the inputs decide; undecided ones (a latch's) are absent."""
    known = {HIGH: 1, LOW: 0, **inputs}
    while True:
        on, maybe = [], []
        for device in circuit.devices:
            value = known.get(device.gate)
            if value is None:
                maybe.append(device.ends)
            elif value == (device.kind == "n"):
                on.append(device.ends)
        on += circuit.ties
        surely = {value: reach([node for node, v in known.items() if v == value], on, known) for value in (0, 1)}
        perhaps = {value: reach([node for node, v in known.items() if v == value], on + maybe, known)
                   for value in (0, 1)}
        new = {node: value for value in (0, 1) for node in surely[value] - perhaps[1 - value]} | known
        if new == known:
            return known
        known = new


def reach(start: Sequence[str], edges: Sequence[tuple[str, str]], stop: Mapping[str, int]) -> set[str]:
    """Return the nodes that channels join to `start`; nodes in `stop` drive, and pass nothing on."""
    seen, front = set(start), list(start)
    while front:
        node = front.pop()
        for one, other in edges:
            for near, far in ((one, other), (other, one)):
                if near == node and far not in seen and far not in stop:
                    seen.add(far)
                    front.append(far)
    return seen


def patterns(pins: Sequence[str]) -> list[dict[str, int]]:
    """Return all values of pins, the first pin changing fastest."""
    return [{pin: index >> i & 1 for i, pin in enumerate(pins)} for index in range(1 << len(pins))]


def functions(circuit: Circuit) -> dict[str, Function]:
    """Return output -> its function of the inputs.

    Raises:
        CellsError: an input pattern leaves an output undecided, as in a flip-flop.
    """
    inputs, outputs = directions(circuit)
    truths = dict.fromkeys(outputs, 0)
    for index, pattern in enumerate(patterns(inputs)):
        values = settle(circuit, pattern)
        for output in outputs:
            if output not in values:
                shown = " ".join(f"{pin}={value}" for pin, value in pattern.items())
                raise CellsError(f"{circuit.name}: its transistors leave output {output} undecided when {shown}; "
                                 "only combinational cells and known flip-flops are measured.")
            truths[output] |= values[output] << index
    return {output: Function(inputs, truth, expression(inputs, truth)) for output, truth in truths.items()}


def expression(pins: Sequence[str], truth: int) -> str:
    """Return a short Liberty expression, a sum of prime implicants.

    >>> expression(("A", "B"), 0b0111)
    '(!A) | (!B)'
    """
    ones = [index for index in range(1 << len(pins)) if truth >> index & 1]
    if len(ones) in (0, 1 << len(pins)):
        return "1" if ones else "0"
    cubes = sorted(implicants(len(pins), set(ones)), key=lambda cube: (len(cube), cube))
    cover: tuple[tuple[tuple[int, int], ...], ...] = ()
    for size in range(1, len(cubes) + 1):
        found = [chosen for chosen in combinations(cubes, size)
                 if all(any(holds(cube, index) for cube in chosen) for index in ones)]
        if found:
            cover = found[0]
            break
    return " | ".join(f"({condition({pins[i]: value for i, value in cube})})" for cube in cover)


def holds(cube: Iterable[tuple[int, int]], index: int) -> bool:
    """Return whether an input pattern lies in a cube (pairs of pin index and value)."""
    return all(index >> i & 1 == value for i, value in cube)


def implicants(n_pins: int, ones: set[int]) -> list[tuple[tuple[int, int], ...]]:
    """Return the prime implicants of a function."""
    found: list[tuple[tuple[int, int], ...]] = []
    for size in range(n_pins + 1):
        for chosen in combinations(range(n_pins), size):
            for values in patterns([str(i) for i in chosen]):
                cube = tuple((i, values[str(i)]) for i in chosen)
                covered = {index for index in range(1 << n_pins) if holds(cube, index)}
                if covered <= ones and not any(set(prime) <= set(cube) for prime in found):
                    found.append(cube)
    return found


def condition(state: Mapping[str, int]) -> str:
    """Return a Liberty expression that holds in one state of some pins.

    >>> condition({"B": 0, "C": 1})
    '!B&C'
    """
    return "&".join(pin if value else f"!{pin}" for pin, value in state.items())


def strength(circuit: Circuit, inputs: Mapping[str, int], output: str) -> float:
    """Return how strongly an output is driven in a state: its conductance to a rail in um of n-transistor width."""
    values = settle(circuit, inputs)
    on = [device for device in circuit.devices if values.get(device.gate) == (device.kind == "n")]
    rail = HIGH if values.get(output) == 1 else LOW
    nodes = sorted({end for device in on for end in device.ends} - {rail} | {output})
    index = {node: i for i, node in enumerate(nodes)}
    matrix = np.eye(len(nodes)) * 1e-9
    for device in on:
        add_conductance(matrix, [index.get(end, -1) for end in device.ends], width(device))
    unit = np.zeros(len(nodes))
    unit[index[output]] = 1.0
    return float(1 / np.linalg.solve(matrix, unit)[index[output]])


def width(device: Device) -> float:
    """Return a transistor's strength in um of n-transistor width."""
    return device.width_um * (P_STRENGTH if device.kind == "p" else 1.0)


def add_conductance(matrix: np.ndarray, ends: Sequence[int], conductance: float) -> None:
    """Add a conductance between two nodes of a nodal matrix; -1 is the rail."""
    one, other = ends
    for near, far in ((one, other), (other, one)):
        if near >= 0:
            matrix[near, near] += conductance
            if far >= 0:
                matrix[near, far] -= conductance
