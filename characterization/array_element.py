"""array_element(): an element of a systolic array as the clocked engine and Icarus take it.

Static timing sees an element abutted to itself, where its own registers and its neighbour's are one. In an array they
are not: what enters through a port moves when the neighbour's register does, at the same time and slew, with a value of
its own. Every delay and energy stays what it is in the abutted netlist, so that certificates speak of this element.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from characterization.benches.cells import delay_fs, whole_fs
from characterization.benches.registers import Registers, cell_of
from characterization.benches.settled import truth_array
from characterization.clocked import ElementCore
from characterization.design import MacDesign
from characterization.energy import edge_costs
from characterization.errors import NetlistError
from characterization.flat import pulse_costs
from characterization.inertial import MISSING
from characterization.netlist import CONST0, CONST1, Netlist
from characterization.timed import FALL, RISE, Gate, Sink, Source, TimedNetlist
from characterization.units import FS_PER_PS

INVERTER, BUFFER = 0b01, 0b10
# What rtl/systolic_array asks of an element beside its operands: the tokens that travel right, and the load's control.
TOKENS = {"swap_in": "swap_out", "valid_in": "valid_out"}
SHIFT, VALID = "weight_shift", "valid_out"


@dataclass(frozen=True, slots=True)
class PortBit:
    """One bit that enters an element.

    Attributes:
        net: the port bit, a source of the element.
        port, bit: its port and place.
        follows: the neighbour's source it carries; None where every element is driven from outside (controls).
        inverted: whether it carries the complement of that source.
        above: whether the neighbour is above; else it is to the left.
    """

    net: str
    port: str
    bit: int
    follows: str | None
    inverted: bool
    above: bool


@dataclass(frozen=True, slots=True)
class Flop:
    """One flop: its cell, the net of its data pin, its outputs (None for one not used), and its setup.

    Attributes:
        setup_fs: by data edge `(fall, rise)`.
        result: whether it holds a result, which counts for nothing unless it is marked valid.
    """

    cell: str
    data: str
    q: str | None
    complement: str | None
    setup_fs: tuple[int, int]
    result: bool


@dataclass(frozen=True, eq=False)
class ArrayElement:
    """An element with its neighbours' registers told apart from its own.

    Attributes:
        timed: gates and sources, ports among the sources; sinks are as in the abutted netlist and not to be used.
        ports: every bit that enters.
        flops: in the order of their cells.
        outputs: result words, each a list of (source, inverted), lowest bit first.
        valid: (source, inverted) of the bit that marks results.
        late: clocks by which partial sums enter later than activations.
    """

    design: MacDesign
    timed: TimedNetlist
    ports: tuple[PortBit, ...]
    flops: tuple[Flop, ...]
    outputs: tuple[tuple[tuple[str, bool], ...], ...]
    valid: tuple[str, bool]
    late: int


def array_element(netlist: Netlist, timed: TimedNetlist, design: MacDesign) -> ArrayElement:
    """Return the element of an array.

    Args:
        netlist: the mapped netlist, not abutted.
        timed: the same abutted to itself, annotated.
        design: what its ports and registers mean.

    Raises:
        NetlistError: the design is no element of rtl/systolic_array, an output is not registered, or a flop has not
            exactly one data pin.
    """
    check_ports(design)
    merged = joined_nets(netlist, design)
    gates = tuple(with_own_nets(gate, netlist, merged) for gate in timed.gates)
    entering = [port_bit(net, port, bit, merged, timed, design) for port, bit, net in input_bits(netlist, design)]
    launched = [neighbour_source(port, merged, timed) for port, _ in entering if port.follows is not None]
    sources = (*timed.sources, *launched)
    known = {source.net for source in sources}
    ports = tuple(port for port, _ in entering if port.net in known)
    own = replace(timed, gates=gates, sources=sources)
    words = [design.roles[role] for role in ("result", "result_carry") if role in design.roles]
    chains = {bus: tuple(through_chain(net, timed) for net in output_nets(netlist, bus)) for bus in (*words, VALID)}
    outputs = tuple(tuple((chain.source, chain.inverted) for chain in chains[bus]) for bus in words)
    return ArrayElement(design, own, ports, flops_of(netlist, timed, design, merged), outputs,
                        (chains[VALID][0].source, chains[VALID][0].inverted),
                        design.latency - design.accumulator_latency)


def check_ports(design: MacDesign) -> None:
    """Check that a design has the ports that rtl/systolic_array drives.

    Raises:
        NetlistError: naming what it lacks.
    """
    needed = [SHIFT, *TOKENS, design.roles["weight"], design.roles["activation"], design.roles["accumulator_in"]]
    missing = [name for name in needed
               if name not in design.widths or (name != SHIFT and name not in design.neighbours)]
    if design.weight_mode == "streaming" or len(design.lanes) != 1 or missing:
        why = f"it lacks or does not pair {', '.join(missing)}" if missing else "its weights stream, or it has lanes"
        raise NetlistError(f"{design.name} is no element of a weight-stationary systolic array (rtl/systolic_array): "
                           f"{why}. Only such plans can be proved on an array.")


def joined_nets(netlist: Netlist, design: MacDesign) -> dict[str, str]:
    """Return the output net that each paired input net becomes when the netlist is abutted."""
    return {own: joined for port, out in design.neighbours.items()
            for own, joined in zip(netlist.port(port).nets, netlist.port(out).nets, strict=True)}


def input_bits(netlist: Netlist, design: MacDesign) -> Iterable[tuple[str, int, str]]:
    """Yield port, bit and net of every input but the clock."""
    for port in netlist.ports:
        if port.direction == "input" and port.name != design.clock:
            for bit, net in enumerate(port.nets):
                yield port.name, bit, net


def output_nets(netlist: Netlist, bus: str) -> tuple[str, ...]:
    """Return the nets of an output port."""
    return netlist.port(bus).nets


def with_own_nets(gate: Gate, netlist: Netlist, merged: dict[str, str]) -> Gate:
    """Return a gate with the nets it had before its netlist was abutted, where they were inputs."""
    pins = netlist.cell_named[gate.cell].pins
    nets = tuple(pins[pin] if pins.get(pin) in merged else net for pin, net in zip(gate.pins, gate.nets, strict=True))
    return replace(gate, nets=nets)


@dataclass(frozen=True, slots=True)
class Chain:
    """A net that follows one source through inverters and buffers, and when its edges arrive, fs `(fall, rise)`."""

    source: str
    inverted: bool
    arrival_fs: tuple[int, int]


def through_chain(net: str, timed: TimedNetlist) -> Chain:
    """Return the source that an output port shows.

    Raises:
        NetlistError: it is not registered, or logic stands between register and port.
    """
    source = timed.source_of.get(net)
    if source is not None:
        fall, rise = (max(0, whole_fs(float(source.launch_ps[edge]))) for edge in (FALL, RISE))
        return Chain(net, False, (fall, rise))
    gate = timed.gate_of.get(net)
    if gate is None or len(gate.nets) != 1 or gate.truth not in (INVERTER, BUFFER):
        raise NetlistError(f"{timed.top}: output net {net} is no register's; the elements of an array pass values on "
                           "through registers only.")
    before, inverts = through_chain(gate.nets[0], timed), gate.truth == INVERTER
    arrival = tuple(before.arrival_fs[edge ^ inverts] + delay_fs(float(gate.delay_ps[0, edge ^ inverts, edge]))
                    for edge in (FALL, RISE))
    return Chain(before.source, before.inverted ^ inverts, (arrival[0], arrival[1]))


def port_bit(
    net: str, port: str, bit: int, merged: dict[str, str], timed: TimedNetlist, design: MacDesign
) -> tuple[PortBit, Chain | None]:
    """Return a port bit, and how its neighbour drives it."""
    above = port in {design.roles.get(role) for role in ("weight", "accumulator_in", "accumulator_carry")}
    if net not in merged:
        return PortBit(net, port, bit, None, False, above), None
    chain = through_chain(merged[net], timed)
    return PortBit(net, port, bit, chain.source, chain.inverted, above), chain


def neighbour_source(port: PortBit, merged: dict[str, str], timed: TimedNetlist) -> Source:
    """Return the source that a neighbour's register is to this element; its energy is the neighbour's."""
    fall, rise = through_chain(merged[port.net], timed).arrival_fs
    return Source(port.net, port.net, np.array([fall, rise]) / FS_PER_PS, np.zeros((2, 2)))


def flops_of(
    netlist: Netlist, timed: TimedNetlist, design: MacDesign, merged: dict[str, str]
) -> tuple[Flop, ...]:
    """Return every flop.

    Raises:
        NetlistError: one has not exactly one data pin.
    """
    registers = Registers(timed, design)
    results = {bit.sink for bus in design.result_registers for bit in registers.bus(bus) or ()}
    found = []
    for cell, sink_at in sorted(registers.sink_of_cell.items(), key=lambda item: (len(item[0]), item[0])):
        sink = timed.sinks[sink_at]
        data = netlist.cell_named[cell].pins[sink.origin.rpartition("/")[2]]
        outputs = [source.net for source in timed.sources if "/" in source.origin and cell_of(source) == cell]
        q = sink.captures if sink.captures in outputs else None
        complement = next((net for net in outputs if net != q), None)
        fall, rise = (whole_fs(float(sink.setup_ps[edge])) for edge in (FALL, RISE))
        found.append(Flop(cell, data if data in merged else sink.net, q, complement, (fall, rise), sink_at in results))
    places: list[Source | Sink] = [*timed.sinks, *timed.sources]
    cells = {cell_of(place) for place in places if "/" in place.origin}
    if odd := sorted(cells - {flop.cell for flop in found}):
        raise NetlistError(f"{timed.top}: flop {odd[0]} has not exactly one data pin; map without enable and set/reset "
                           "flops (dont_use) to prove it on an array.")
    return tuple(found)


def element_core(element: ArrayElement) -> ElementCore:
    """Return an element as flat arrays, with the energies of its own nets and registers.

    Setup times that are negative are made positive by sampling, and launching, that much later: nothing else changes.

    Raises:
        NetlistError: a flop launches before the latest of them samples.
    """
    timed = element.timed
    costs = edge_costs(timed)
    order = [*(source.net for source in timed.sources), *(gate.net for gate in timed.gates), CONST0, CONST1]
    place = {net: i for i, net in enumerate(order)}
    entering = {port.net for port in element.ports if port.follows is not None}
    own = np.array([source.net not in entering for source in timed.sources])
    setup = np.array([flop.setup_fs for flop in element.flops], np.int64).reshape(-1, 2)
    launch = np.array([[max(0, whole_fs(float(t))) for t in source.launch_ps] for source in timed.sources], np.int64)
    shift = max(0, -int(setup.min(initial=0)))
    is_port = np.array(["/" not in source.origin and source.net not in entering for source in timed.sources])
    launch[is_port] += shift
    if shift and launch.min() < shift:
        raise NetlistError(f"{timed.top}: a setup of -{shift / FS_PER_PS:g} ps samples after a flop launches.")
    pins = np.array([len(gate.nets) for gate in timed.gates], np.int64)
    delays = [delay for gate in timed.gates for delay in gate.delay_ps.ravel().tolist()]
    rows = np.stack([pins, np.zeros_like(pins), 1 << pins, pins << pins], axis=1)
    gates = np.cumsum(rows, axis=0) - rows
    gates[:, 1] = pins
    starts, fan_gate, fan_pins = fanout(timed, place)
    return ElementCore(
        launch - shift, costs.source * own[:, None], costs.launch * own[:, None, None], gates,
        np.array([place[net] for gate in timed.gates for net in gate.nets], np.int64),
        np.concatenate([truth_array(gate.truth, len(gate.nets)) for gate in timed.gates]),
        np.array([MISSING if np.isnan(delay) else delay_fs(delay) for delay in delays], np.int64),
        joined(costs.gate), joined(costs.hidden), costs.rail_fs, pulse_costs(costs), starts, fan_gate, fan_pins,
        np.array([[place[flop.data], place.get(flop.q or "", -1), place.get(flop.complement or "", -1), flop.result]
                  for flop in element.flops], np.int64).reshape(-1, 4),
        setup + shift,
        np.array([[place[port.net], place.get(port.follows or "", -1), port.inverted, port.above]
                  for port in element.ports], np.int64).reshape(-1, 4),
        np.array([[place[net], inverted, bit] for word in element.outputs for bit, (net, inverted) in enumerate(word)],
                 np.int64).reshape(-1, 3),
        np.array([place[element.valid[0]], element.valid[1]], np.int64),
    )


def joined(tables: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return tables one after the other, int64."""
    return np.concatenate([np.zeros(0, np.int64), *(np.ravel(table) for table in tables)], dtype=np.int64)


def fanout(timed: TimedNetlist, place: dict[str, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each net's loads begin `[net + 1]`, the gates, and the masks of their pins on it `[load]`."""
    loads: list[dict[int, int]] = [{} for _ in place]
    for index, gate in enumerate(timed.gates):
        for pin, net in enumerate(gate.nets):
            loads[place[net]][index] = loads[place[net]].get(index, 0) | 1 << pin
    starts = np.cumsum([0, *(len(some) for some in loads)], dtype=np.int64)
    return (starts, np.array([gate for some in loads for gate in some], np.int64),
            np.array([mask for some in loads for mask in some.values()], np.int64))
