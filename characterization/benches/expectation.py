"""What a core must settle to: its truth tables, held against the design's bit-exact `reference.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from characterization.benches.registers import Bit, Registers
from characterization.benches.settled import settled_values, sink_values, source_columns
from characterization.design import MacDesign
from characterization.errors import SimulationError
from characterization.reference import Reference, load_reference, select, wrap
from characterization.timed import TimedNetlist


class BusValues(Mapping[str, np.ndarray]):
    """Bus expression -> values [state] of that bus in a core's states: signed words, single bits 0 or 1."""

    def __init__(self, registers: Registers, states: np.ndarray) -> None:
        """Hold states, uint8 [state, source]."""
        self.registers, self.states = registers, states

    def __getitem__(self, bus: str) -> np.ndarray:
        """Return the values of `bus`; a port or register that is no source of the core stands still at 0."""
        bits = self.registers.bus(bus)
        if bits is None:
            return np.zeros(len(self.states), dtype=np.int64)
        return word([self.states[:, bit.column] ^ bit.inverted for bit in bits])

    def __iter__(self) -> Iterator[str]:
        """Yield nothing: buses are asked for by name."""
        return iter(())

    def __len__(self) -> int:
        """Return 0, as iteration yields nothing."""
        return 0


def word(bits: list[np.ndarray]) -> np.ndarray:
    """Return bits [state], lowest first, as a signed word, or as 0 and 1 for a single bit."""
    value = np.zeros(len(bits[0]), dtype=np.int64)
    for position, bit in enumerate(bits):
        value += bit.astype(np.int64) << position
    return value if len(bits) == 1 else np.asarray(wrap(value, len(bits)))


def expected_sinks(timed: TimedNetlist, design: MacDesign, states: np.ndarray) -> np.ndarray:
    """Return the settled value of every sink, uint8 [state, sink], checked against the reference.

    Args:
        timed: the core.
        design: whose reference says what the result registers must capture.
        states: uint8 [state, source].

    Raises:
        SimulationError: the core computes something else than `reference.py`; the state is in the message.
        DesignError: `reference.py` does not run.
    """
    registers = Registers(timed, design)
    sinks = sink_values(timed, settled_values(timed, source_columns(timed, states)))
    check_reference(registers, load_reference(design), states, sinks)
    return sinks


def check_reference(registers: Registers, reference: Reference, states: np.ndarray, sinks: np.ndarray) -> None:
    """Compare what flops capture with the reference's next state, for every register that has one data pin.

    Raises:
        SimulationError: they differ, or a result register cannot be compared.
    """
    design = registers.design
    after = reference.next_state(BusValues(registers, states), wrap, select)
    checked: set[str] = set()
    for bus, values in after.items():
        bits = registers.bus(bus)
        if bits is None or any(bit.sink is None for bit in bits):
            continue
        checked.update(design.nets_of(bus))
        compare(design, bus, np.broadcast_to(values, len(states)), captured(bits, sinks), states)
    wanted = {net for bus in design.result_registers for net in design.nets_of(bus)}
    if missing := sorted(wanted - checked):
        raise SimulationError(
            f"{design.name}: result register {missing[0]} has no flop with one data pin in the netlist, or "
            f"{design.reference.name} does not say its next state; it cannot be checked."
        )


def captured(bits: tuple[Bit, ...], sinks: np.ndarray) -> np.ndarray:
    """Return the word that the flops of a bus capture, [state]."""
    return word([sinks[:, bit.sink] ^ bit.sink_inverted for bit in bits if bit.sink is not None])


def compare(design: MacDesign, bus: str, wanted: np.ndarray, found: np.ndarray, states: np.ndarray) -> None:
    """Check a register's next value in every state.

    Raises:
        SimulationError: with the first state where they differ.
    """
    wrong = np.flatnonzero(wanted != found)
    if wrong.size:
        first: Any = wrong[0]
        vector = "".join(str(bit) for bit in states[first, ::-1])
        raise SimulationError(
            f"{design.name}: {bus} captures {found[first]}, {design.reference.name} says {wanted[first]} "
            f"({wrong.size} of {len(states)} states differ; first with sources {vector})."
        )
