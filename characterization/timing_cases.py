"""What a weight fixes in a netlist's cycle, and which sinks it reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from characterization.constants import LogicGate
from characterization.design import MacDesign
from characterization.errors import NetlistError
from characterization.timed import Sink, Source


class Core(Protocol):
    """What of a cycle matters here; a TimingGraph and a TimedNetlist both have it. `gates` are in topological order."""

    @property
    def top(self) -> str: ...  # noqa: D102
    @property
    def sources(self) -> Sequence[Source]: ...  # noqa: D102
    @property
    def sinks(self) -> Sequence[Sink]: ...  # noqa: D102
    @property
    def gates(self) -> Sequence[LogicGate]: ...  # noqa: D102
    @property
    def source_of(self) -> Mapping[str, Source]: ...  # noqa: D102
    @property
    def gate_of(self) -> Mapping[str, LogicGate]: ...  # noqa: D102


def fixed_nets(core: Core, design: MacDesign, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return the value of every net that a weight and compute mode fix, int8 `[weight]`, all lanes alike.

    Raises:
        NetlistError: a held or weight register is not in the netlist.
        DesignError: a weight has no such value.
    """
    weights = design.encode(weights)
    fixed: dict[str, np.ndarray] = {}
    for lane in design.lanes:
        for bit, net in enumerate(design.nets_of(lane.weight)):
            check_kept(core, net)
            fixed |= fix(core, net, weights >> bit & 1)
    return fixed | held_nets(core, design, len(weights))


def held_nets(core: Core, design: MacDesign, n_cases: int) -> dict[str, np.ndarray]:
    """Return the value of every net that compute mode fixes, int8 `[case]`, the same in all cases.

    Raises:
        NetlistError: a held register is not in the netlist.
    """
    fixed: dict[str, np.ndarray] = {}
    for bus, value in design.hold.items():
        for bit, net in enumerate(design.nets_of(bus)):
            fixed |= fix(core, net, np.full(n_cases, value >> bit & 1))
    return fixed


def is_kept(core: Core, net: str) -> bool:
    """Return whether a register bit or port is in the mapped netlist under its name."""
    return net in core.source_of or net in core.gate_of or any(sink.origin == net for sink in core.sinks)


def check_kept(core: Core, net: str) -> None:
    """Check that a weight bit is in the mapped netlist.

    Raises:
        NetlistError: it is not.
    """
    if not is_kept(core, net):
        raise NetlistError(f"{core.top}: weight bit {net} does not reach the netlist: synthesis took it out, since "
                           "nothing depends on it. Check lanes in design.toml, and the Verilog.")


def fix(core: Core, net: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the sources to fix so that `net` has `values`: its flop's outputs, true and complement.

    A flop without a true output stands behind an inverter, which synthesis may bypass; fixing the flop fixes both.

    Raises:
        NetlistError: no register bit or port of this name is in the netlist.
    """
    found = next((sink.net for sink in core.sinks if sink.origin == net), net)
    while found not in core.source_of:
        gate = core.gate_of.get(found)
        if gate is None or len(gate.nets) != 1:
            raise NetlistError(f"{core.top}: {net} is neither a register nor an input port of the mapped netlist; "
                               "check the names under hold and lanes in design.toml.")
        values = values ^ 1 if gate.truth == 0b01 else values
        found = gate.nets[0]
    values = values.astype(np.int8)
    other = core.source_of[found].complement_of
    paired = [other] if other else [source.net for source in core.sources if source.complement_of == found]
    return {found: values, **dict.fromkeys(paired, values ^ 1)}


def weight_sources(core: Core, design: MacDesign) -> set[str]:
    """Return the flop outputs that carry the weight, complements included.

    Raises:
        NetlistError: a weight bit is not in the netlist.
    """
    zero, found = np.zeros(1, dtype=np.int64), set[str]()
    for lane in design.lanes:
        for net in design.nets_of(lane.weight):
            check_kept(core, net)
            found |= set(fix(core, net, zero))
    return found


def weight_sinks(core: Core, design: MacDesign) -> tuple[Sink, ...]:
    """Return the sinks that a weight register can reach within the cycle.

    Raises:
        NetlistError: none of them is a result register that design.toml names.
    """
    reached = reach(core, weight_sources(core, design))
    found = tuple(sink for sink in core.sinks if sink.net in reached)
    zero = np.zeros(1, dtype=np.int64)
    results = {cell_of(core.source_of[source].origin) for bus in design.result_registers
               for net in design.nets_of(bus) if is_kept(core, net) for source in fix(core, net, zero)}
    if results and results.isdisjoint(cell_of(sink.origin) for sink in found):
        raise NetlistError(f"{core.top}: the weight {', '.join(lane.weight for lane in design.lanes)} does not reach "
                           f"{', '.join(design.result_registers)} within a cycle; check lanes and result_registers in "
                           "design.toml.")
    return found


def cell_of(origin: str) -> str:
    """Return the flop of `cell/pin`; a port bit stays as it is."""
    return origin.partition("/")[0]


def floor_sinks(core: Core, design: MacDesign) -> tuple[Sink, ...]:
    """Return the sinks that set the floor: out of the weight's reach, or part of loading a weight.

    In compute mode a weight register holds its value, so its own data pin never limits a weight; loading it does
    happen in a clock cycle, though, whatever the value.
    """
    reached = {sink.origin for sink in weight_sinks(core, design)}
    loading = weight_sources(core, design)
    return tuple(sink for sink in core.sinks if sink.origin not in reached or sink.captures in loading)


def reach(core: Core, nets: set[str]) -> set[str]:
    """Return every net that any of `nets` can reach through gates, `nets` included."""
    reached = set(nets)
    for gate in core.gates:
        if reached.intersection(gate.nets):
            reached.add(gate.net)
    return reached
