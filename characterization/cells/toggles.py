"""Toggles: each input pin in each state of the others, and which outputs follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from characterization.boolean import Function
from characterization.cells.spice_netlist import Circuit
from characterization.cells.switch_level import condition, directions, patterns


@dataclass(frozen=True, slots=True)
class Toggle:
    """An input pin that rises and falls while the others hold still.

    Attributes:
        side: the other inputs' values.
        follows: outputs that move with the pin -> 1 if they rise with its rise, else 0. Empty: a hidden toggle.
    """

    pin: str
    side: Mapping[str, int]
    follows: Mapping[str, int]

    @property
    def when(self) -> str:
        """The side state as a Liberty expression; '' if there are no other inputs."""
        return condition(self.side)


def find_toggles(circuit: Circuit, of: Mapping[str, Function]) -> tuple[Toggle, ...]:
    """Return all toggles of a combinational cell, `of` its functions by output."""
    inputs, outputs = directions(circuit)
    found = []
    for pin in inputs:
        for side in patterns([other for other in inputs if other != pin]):
            low, high = ({output: of[output].value(index(inputs, side | {pin: value})) for output in outputs}
                         for value in (0, 1))
            found.append(Toggle(pin, side, {output: high[output] for output in outputs if low[output] != high[output]}))
    return tuple(found)


def index(pins: tuple[str, ...], state: Mapping[str, int]) -> int:
    """Return the number of an input pattern in a truth table."""
    return sum(state[pin] << i for i, pin in enumerate(pins))
