"""TimedNetlist: one clock cycle of a netlist, cut at its flops, with a delay on every arc and energy on every pin.

A register-to-register cycle is a combinational core: *sources* (flop outputs and input ports) change once, at their
launch time; *gates* follow; *sinks* (flop data pins and output ports) must be stable a setup time before the edge.
Static timing, SAT and simulation all read this one delay set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from characterization.units import FS_PER_PS

FALL, RISE = 0, 1
# Steep gates behind flat slews have delays of zero and less in their tables. Simulation and proof take a femtosecond at
# least, and so does every bound: one delay set serves all three.
SHORTEST_PS = 1 / FS_PER_PS


@dataclass(frozen=True, eq=False)
class Gate:
    """One output of one combinational cell.

    Attributes:
        cell, kind, pin: instance name, library cell, output pin.
        net: the net it drives.
        pins, nets: input pin names and the nets on them, in the bit order of `truth`.
        truth: the function as a truth table: bit i is the output for input pattern i, `pins[0]` the lowest bit.
        delay_ps: `[input, input edge, output edge]`, edges FALL=0 and RISE=1; NaN where no arc is. It includes `late`.
        energy_fj: internal energy of an output edge, by the input that caused it and the input pattern it came with
            `[input, pattern]`, at the annotated slews.
        late: the factor for several inputs that switch at once `[output edge]`; 1 with fewer than two live inputs.
        early_ps: the least delay, as `delay_ps` is the greatest: steepest slews, fastest `when`, the early factor.
        hidden_fj: internal energy of an input edge itself where it depends on the state, by the pattern it makes
            `[input, pattern]`; `[0, 0]` where there is none.
    """

    cell: str
    kind: str
    pin: str
    net: str
    pins: tuple[str, ...]
    nets: tuple[str, ...]
    truth: int
    delay_ps: np.ndarray
    energy_fj: np.ndarray
    late: np.ndarray = field(default_factory=lambda: np.ones(2))
    early_ps: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 2)))
    hidden_fj: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass(frozen=True, eq=False)
class Source:
    """A net that changes once a cycle: a flop output or an input-port bit.

    Attributes:
        net: the net.
        origin: `cell/pin` of the flop output, or the port bit.
        launch_ps: clk->q into the real load `[output edge]`; zero for a port.
        energy_fj: internal energy of the flop in one clock period by `[bit before, bit after]`, the clock pin's
            included; zero for a port.
        complement_of: the net of the flop's other output when this is QN and both are used, else None.
        early_ps: the earliest clk->q `[output edge]`.
    """

    net: str
    origin: str
    launch_ps: np.ndarray
    energy_fj: np.ndarray
    complement_of: str | None = None
    early_ps: np.ndarray = field(default_factory=lambda: np.zeros(2))


@dataclass(frozen=True, eq=False)
class Sink:
    """A place where a net must be stable: a flop's data pin (or any non-clock input of it), or an output-port bit.

    Attributes:
        net: the net.
        origin: `cell/pin`, or the port bit.
        captures: the Q net of the flop (None for a port or when only QN is used).
        setup_ps: setup time by data edge `[edge]`; zero for a port.
        hold_ps: hold time by data edge `[edge]`; -inf where none is asked for.
    """

    net: str
    origin: str
    captures: str | None
    setup_ps: np.ndarray
    hold_ps: np.ndarray = field(default_factory=lambda: np.full(2, -np.inf))


@dataclass(frozen=True, eq=False)
class TimedNetlist:
    """One cycle, annotated at one corner. `gates` are in topological order.

    Attributes:
        load_ff: capacitance of every net, the mean of rise and fall pin capacitances.
        clock_energy_fj: switching energy of all clock pins in one period, and what flops without a source take.
        input_energy_fj: internal energy of a net's edge at the input pins it drives (Liberty power groups without
            `related_pin`), what depends on a gate's state apart, `[edge]` by net; absent means zero.
        leakage_nw: leakage of all cells.
        voltage_v, temp_c: of the corner.
        lookups_outside: table look-ups that were extrapolated.
        netlist_digest: of the (abutted) netlist this was made from.
        slew_ps: the flattest slew of every net that may move `[edge]`.
        rail_per_slew: how long an edge would take from rail to rail, were it straight, over its slew.
    """

    top: str
    gates: tuple[Gate, ...]
    sources: tuple[Source, ...]
    sinks: tuple[Sink, ...]
    load_ff: dict[str, float]
    clock_energy_fj: float
    input_energy_fj: dict[str, np.ndarray]
    leakage_nw: float
    area_um2: float
    voltage_v: float
    temp_c: float
    lookups_outside: int
    netlist_digest: str
    slew_ps: dict[str, np.ndarray] = field(default_factory=dict)
    rail_per_slew: float = 1 / 0.6

    @cached_property
    def source_of(self) -> dict[str, Source]:
        """Sources by net."""
        return {source.net: source for source in self.sources}

    @cached_property
    def gate_of(self) -> dict[str, Gate]:
        """Gates by the net they drive."""
        return {gate.net: gate for gate in self.gates}

    def fanout_of(self, nets: set[str]) -> set[str]:
        """Return every net that any of `nets` can reach through gates, `nets` included."""
        reached = set(nets)
        for gate in self.gates:
            if reached.intersection(gate.nets):
                reached.add(gate.net)
        return reached
