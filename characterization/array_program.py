"""array_program(): what rtl/systolic_array puts on every element's ports, clock by clock, and what must come out.

A load shifts its weights in while the array computes with the last one's, and takes effect with the swap token, a
bubble before its first activation. Row r of the array runs r clocks behind row 0, column c as many behind column 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from characterization.array_element import SHIFT, TOKENS, ArrayElement
from characterization.clocked import NOTHING, Program

RESET_CYCLES = 2


@dataclass(frozen=True, eq=False)
class Load:
    """One load of an array and what streams through it.

    Attributes:
        weights: values, int64 `[row, column]`.
        activations: int64 `[step, row]`.
        sums, carries: partial sum that enters the first row with each, the second word 0 unless redundant, int64
            `[step, column]`.
    """

    weights: np.ndarray
    activations: np.ndarray
    sums: np.ndarray
    carries: np.ndarray

    @property
    def results(self) -> np.ndarray:
        """The integer reference: what must leave each column, unwrapped, int64 `[step, column]`."""
        return np.asarray(self.sums + self.carries + self.activations @ self.weights)


def plain_load(weights: np.ndarray, activations: np.ndarray, sums: np.ndarray | None = None) -> Load:
    """Return a load whose partial sums start at `sums`, or at zero."""
    zero = np.zeros((len(activations), weights.shape[1]), np.int64)
    return Load(weights.astype(np.int64), activations.astype(np.int64), zero if sums is None else sums, zero)


@dataclass(frozen=True, eq=False)
class Edge:
    """What enters the array before it is skewed, clock by clock.

    Attributes:
        activations, weights, sums, carries: int64 `[cycle, row or column]`.
        valid, swap, shift: bool `[cycle]`.
        expected: results of the activations that enter in a cycle, NOTHING where none, int64 `[cycle, column]`.
    """

    activations: np.ndarray
    weights: np.ndarray
    sums: np.ndarray
    carries: np.ndarray
    valid: np.ndarray
    swap: np.ndarray
    shift: np.ndarray
    expected: np.ndarray

    @property
    def computing(self) -> slice:
        """The cycles from the first activation to the last."""
        at = np.flatnonzero(self.valid)
        return slice(int(at[0]), int(at[-1]) + 1)


def array_edge(element: ArrayElement, loads: Sequence[Load]) -> Edge:
    """Return what enters an array that runs `loads` one after the other, `max(steps, rows) + 1` clocks each."""
    rows, columns = loads[0].weights.shape
    spans = [max(len(load.activations), rows) + 1 for load in loads]
    swaps = RESET_CYCLES + rows + np.cumsum([0, *spans])
    cycles = int(swaps[-1]) + rows + columns + element.late + 2
    mask = (1 << element.design.accumulator_bits) - 1
    weights, sums, carries = np.zeros((3, cycles, columns), np.int64)
    valid, swapped, shift = np.zeros((3, cycles), bool)
    edge = Edge(np.zeros((cycles, rows), np.int64), weights, sums, carries, valid, swapped, shift,
                np.full((cycles, columns), NOTHING))
    for load, swap, span in zip(loads, swaps, spans, strict=False):
        steps = slice(swap + 2, swap + 2 + len(load.activations))
        edge.swap[swap] = True
        edge.shift[swap - rows:swap] = True
        edge.weights[swap - rows:swap] = element.design.encode(load.weights)[::-1]
        edge.valid[steps] = True
        edge.activations[steps], edge.sums[steps], edge.carries[steps] = load.activations, load.sums, load.carries
        edge.expected[steps] = load.results & mask
        # Between loads the last row of activations stands still.
        edge.activations[steps.stop:swap + 2 + span] = load.activations[-1]
    return edge


def delayed(values: np.ndarray, cycles: int) -> np.ndarray:
    """Return `values` `[cycle, ...]` some cycles later, zero before."""
    late = np.zeros_like(values)
    late[cycles:] = values[:len(values) - cycles] if cycles else values
    return late


def array_program(element: ArrayElement, edge: Edge, rows: int) -> Program:
    """Return the program of every element, and the energy counted from the first activation to the last."""
    design, columns, cycles = element.design, edge.weights.shape[1], len(edge.valid)
    words = element_words(element, edge, rows, columns)
    driven = np.zeros((cycles, rows * columns, len(element.ports)), np.uint8)
    for place, port in enumerate(element.ports):
        if port.port in words:
            driven[:, :, place] = words[port.port] >> port.bit & 1
    marked = np.stack([delayed(edge.valid, rows - 1 + c) for c in range(columns)], axis=1)
    expected = np.full((cycles, columns), NOTHING)
    for c in range(columns):
        late = rows - 1 + c + element.late
        expected[late:, c] = edge.expected[:cycles - late, c]
    excused = np.stack([~delayed(edge.valid, r + c) for r in range(rows) for c in range(columns)], axis=1)
    counted = np.zeros(cycles, np.uint8)
    counted[edge.computing] = 1
    mask = (1 << design.accumulator_bits) - 1
    return Program(columns, driven, excused.astype(np.uint8), expected, marked.astype(np.uint8), counted, mask)


def element_words(element: ArrayElement, edge: Edge, rows: int, columns: int) -> dict[str, np.ndarray]:
    """Return the words on each port of every element from outside the array, int64 [cycle, element].

    What comes from a neighbour is left to the array; only the first row and column of it are right here.
    """
    roles, cycles = element.design.roles, len(edge.valid)
    swap_port, valid_port = TOKENS
    shape = cycles, rows * columns
    words = {name: np.zeros(shape, np.int64) for name in (roles["activation"], swap_port, valid_port, SHIFT)}
    above = {roles["weight"]: edge.weights, roles["accumulator_in"]: delayed(edge.sums, element.late)}
    if "accumulator_carry" in roles:
        above[roles["accumulator_carry"]] = delayed(edge.carries, element.late)
    words |= {name: np.zeros(shape, np.int64) for name in above}
    shift = np.zeros((cycles, columns), bool)
    for r in range(rows):
        # As in rtl/systolic_array: row r shifts in the clocks r .. rows-1 of its column's load.
        asked = np.stack([delayed(edge.shift, c) for c in range(columns)], axis=1)
        shift = asked if r == 0 else delayed(shift, 1) & asked
        words[SHIFT][:, r * columns:(r + 1) * columns] = shift
        words[roles["activation"]][:, r * columns] = delayed(edge.activations[:, r], r)
        words[swap_port][:, r * columns] = delayed(edge.swap, r)
        words[valid_port][:, r * columns] = delayed(edge.valid, r)
    for name, values in above.items():
        for c in range(columns):
            words[name][:, c] = delayed(values[:, c], c)
    if element.design.reset:
        words[element.design.reset] = np.zeros(shape, np.int64)
        words[element.design.reset][:RESET_CYCLES] = 1
    return words
