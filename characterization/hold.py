"""hold_report(): the earliest a register's data may change after the clock edge, against its hold time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from characterization.constants import FALL, RISE, Constants, passing
from characterization.timed import Gate, Sink, TimedNetlist
from characterization.timing_path import PathStep, step

NEVER = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class HoldReport:
    """The tightest hold check from register to register, neighbours included where the netlist is abutted.

    Attributes:
        slack_ps: earliest arrival minus hold, the clock ideal: also the skew that is tolerated, if positive; inf where
            no register reaches another.
        endpoint: the data pin, `cell/pin`; '' where there is none.
        steps: the earliest path into it; the last step's delay is the hold time, subtracted.
        slacks_ps: slack of every data pin that a register reaches.
    """

    slack_ps: float
    endpoint: str
    steps: tuple[PathStep, ...]
    slacks_ps: dict[str, float]

    @property
    def tolerated_skew_ps(self) -> float:
        """How much later the clock may reach the capturing register than the launching one; negative is a violation."""
        return self.slack_ps


def hold_report(timed: TimedNetlist) -> HoldReport:
    """Return the hold slacks of a netlist at its corner; ask it of the fastest one.

    Delays are the least over slews and conditions, times the early factor for several inputs that switch at once.
    Nothing is held. Input ports are left out: when they change is not known here.
    """
    constants = Constants(timed.gates, {}, 1)
    found = earliest(timed, constants)
    slacks: dict[str, tuple[float, int, Sink]] = {}
    for sink in timed.sinks:
        times = [(float(found[sink.net][edge] - sink.hold_ps[edge]), edge) for edge in (FALL, RISE)
                 if sink.net in found and sink.hold_ps[edge] > -np.inf]
        if times and min(times)[0] < NEVER:
            slacks[sink.origin] = (*min(times), sink)
    if not slacks:
        return HoldReport(NEVER, "", (), {})
    slack_ps, edge, sink = min(slacks.values(), key=lambda end: (end[0], end[2].origin))
    steps = earliest_steps(timed, sink, edge, found, constants)
    return HoldReport(slack_ps, sink.origin, steps, {origin: end[0] for origin, end in slacks.items()})


def earliest(timed: TimedNetlist, constants: Constants) -> dict[str, np.ndarray]:
    """Return the earliest change of every net after a clock edge `[edge]`, inf where none comes from a register."""
    found: dict[str, np.ndarray] = {}
    for source in timed.sources:
        is_flop = "/" in source.origin and constants.moves(source.net)[0]
        found[source.net] = source.early_ps if is_flop else np.full(2, NEVER)
    for gate in timed.gates:
        early = np.full(2, NEVER)
        for pin, edge_in, edge_out in ways(gate, constants):
            if (before := found.get(gate.nets[pin])) is not None:
                early[edge_out] = min(early[edge_out], before[edge_in] + gate.early_ps[pin, edge_in, edge_out])
        found[gate.net] = early
    return found


def ways(gate: Gate, constants: Constants) -> Iterator[tuple[int, int, int]]:
    """Yield the (input, input edge, output edge) by which a gate may pass an edge."""
    passes = passing(gate.truth, [constants[net] for net in gate.nets])[..., 0]
    if constants.moves(gate.net)[0]:
        yield from (tuple(map(int, place)) for place in np.argwhere(passes))  # type: ignore[misc]


def earliest_steps(
    timed: TimedNetlist, sink: Sink, edge: int, found: dict[str, np.ndarray], constants: Constants
) -> tuple[PathStep, ...]:
    """Return the earliest path into a sink that a register reaches."""
    cell, _, pin = sink.origin.partition("/")
    hold_ps, net = float(sink.hold_ps[edge]), sink.net
    steps = [step(timed, (cell, "", pin), net, edge, -hold_ps, float(found[net][edge]) - hold_ps)]
    while (gate := timed.gate_of.get(net)) is not None:
        _, before, edge_in = min((float(found[gate.nets[i]][e] + gate.early_ps[i, e, out]), i, e)
                                 for i, e, out in ways(gate, constants) if out == edge and gate.nets[i] in found)
        delay_ps = float(gate.early_ps[before, edge_in, edge])
        through = gate.cell, gate.kind, gate.pins[before]
        steps.append(step(timed, through, net, edge, delay_ps, float(found[net][edge])))
        net, edge = gate.nets[before], edge_in
    cell, _, pin = timed.source_of[net].origin.partition("/")
    launch_ps = float(timed.source_of[net].early_ps[edge])
    steps.append(step(timed, (cell, "", pin), net, edge, launch_ps, launch_ps))
    return tuple(reversed(steps))
