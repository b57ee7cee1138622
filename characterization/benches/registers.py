"""Where the registers of a design are in a timed core: which source carries a register bit, and which sink loads it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from characterization.design import MacDesign
from characterization.errors import SimulationError
from characterization.timed import Sink, Source, TimedNetlist

INVERTER, BUFFER = 0b01, 0b10


@dataclass(frozen=True, slots=True)
class Bit:
    """One register bit or input-port bit.

    Attributes:
        column: its position among `timed.sources`.
        inverted: whether the source carries the complement (a flop of which only QN is used).
        sink: position among `timed.sinks` of the pin that loads it; None for a port.
        sink_inverted: whether that pin sees the complement of the bit's next value.
    """

    column: int
    inverted: bool
    sink: int | None
    sink_inverted: bool


@dataclass(frozen=True)
class Registers:
    """The register and port bits of `design` in `timed`, found by the names of their nets."""

    timed: TimedNetlist
    design: MacDesign

    @cached_property
    def column_of(self) -> dict[str, int]:
        """Position of each source by net."""
        return {source.net: column for column, source in enumerate(self.timed.sources)}

    @cached_property
    def sink_of_cell(self) -> dict[str, int]:
        """Position of the data sink of each flop by cell name; flops with several data pins are left out."""
        found: dict[str, list[int]] = {}
        for index, sink in enumerate(self.timed.sinks):
            if "/" in sink.origin:
                found.setdefault(cell_of(sink), []).append(index)
        return {cell: sinks[0] for cell, sinks in found.items() if len(sinks) == 1}

    @cached_property
    def net_at_port(self) -> dict[str, str]:
        """The net at each output-port bit: two ports on one net share a name that only one of them has."""
        return {sink.origin: sink.net for sink in self.timed.sinks if "/" not in sink.origin}

    @cached_property
    def weight_nets(self) -> set[str]:
        """The source nets of all lanes' weights, Q and QN alike.

        Raises:
            SimulationError: a weight register is not in the core.
        """
        buses = [self.required_bus(lane.weight) for lane in self.design.lanes]
        nets = {self.timed.sources[bit.column].net for bus in buses for bit in bus}
        return nets | {source.net for source in self.timed.sources if source.complement_of in nets}

    def source(self, net: str) -> tuple[int, bool] | None:
        """Return the source that carries `net` and whether inverted, through inverters and buffers; None if none."""
        inverted = False
        net = self.net_at_port.get(net, net)
        while net not in self.column_of:
            gate = self.timed.gate_of.get(net)
            if gate is None or gate.truth not in (INVERTER, BUFFER) or len(gate.nets) != 1:
                return None
            inverted ^= gate.truth == INVERTER
            net = gate.nets[0]
        source = self.timed.sources[self.column_of[net]]
        if source.complement_of in self.column_of:
            return self.column_of[str(source.complement_of)], not inverted
        return self.column_of[net], inverted

    def bit(self, net: str) -> Bit | None:
        """Return the bit whose value is net `net`, or None where the core has no such source."""
        found = self.source(net)
        if found is None:
            return None
        column, inverted = found
        source = self.timed.sources[column]
        sink = self.sink_of_cell.get(cell_of(source)) if "/" in source.origin else None
        complement = sink is not None and self.timed.sinks[sink].captures != source.net
        return Bit(column, inverted, sink, inverted != complement)

    def bus(self, bus: str) -> tuple[Bit, ...] | None:
        """Return the bits of a bus expression, lowest first; an abutted input port is its neighbour's output.

        None where some bit is no source of this core (a clock, an output port without a register of that name).
        """
        bits = tuple(self.bit(net) for net in self.design.nets_of(bus))
        if all(bits):
            return tuple(bit for bit in bits if bit)
        paired = self.design.neighbours.get(bus)
        return self.bus(paired) if paired else None

    def required_bus(self, bus: str) -> tuple[Bit, ...]:
        """Return the bits of a bus that must be there.

        Raises:
            SimulationError: some bit of it is no source of the core.
        """
        bits = self.bus(bus)
        if bits is None:
            raise SimulationError(
                f"{self.design.name}: register {bus} is no source of the netlist of {self.timed.top}; was the netlist "
                "abutted, and are its registers named in design.toml as in the Verilog?"
            )
        return bits


def cell_of(place: Source | Sink) -> str:
    """Return the cell of a flop pin."""
    return place.origin.rsplit("/", 1)[0]
