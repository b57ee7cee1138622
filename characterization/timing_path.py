"""Paths as engineers read them: each step with its cell, pin, edge, slew, load, delay and arrival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from characterization.constants import FALL, RISE, Constants, passing
from characterization.design import MacDesign
from characterization.timed import Gate, Sink, TimedNetlist
from characterization.timing_arrivals import NEVER, Arrivals, arrivals
from characterization.timing_cases import fixed_nets, weight_sinks


@dataclass(frozen=True, slots=True)
class PathStep:
    """One step of a path: the edge that arrives at `net`, through which input of which cell, and when.

    The first step is the launch (`pin` is the flop's output), the last the capture (`delay_ps` is the setup time).
    `slew_ps` is that of the edge on `net`, the flattest over all paths, and `load_ff` what the net weighs.
    """

    cell: str
    kind: str
    pin: str
    net: str
    edge: Literal["fall", "rise"]
    delay_ps: float
    arrival_ps: float
    slew_ps: float = 0.0
    load_ff: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """A sink with the worst path into it; `needed_ps` is its arrival plus setup."""

    sink: Sink
    edge: Literal["fall", "rise"]
    needed_ps: float
    steps: tuple[PathStep, ...]


def critical_path(timed: TimedNetlist, design: MacDesign, weight: int | None) -> tuple[PathStep, ...]:
    """Return the longest path into the weight's sinks with the weight fixed, or (None) of the whole netlist, free.

    Empty where nothing moves.
    """
    worst = endpoints(timed, design, weight, 1)
    return worst[0].steps if worst else ()


def endpoints(timed: TimedNetlist, design: MacDesign, weight: int | None, n_paths: int) -> tuple[Endpoint, ...]:
    """Return the worst sinks, latest first, each with its longest path.

    Args:
        timed: the netlist.
        design: names the weight registers and what is held.
        weight: the value all lanes hold, to look at the weight's sinks; None for all sinks with nothing held.
        n_paths: how many sinks at most; those that nothing reaches are left out.
    """
    fixed = {} if weight is None else fixed_nets(timed, design, np.array([weight]))
    constants = Constants(timed.gates, fixed, 1)
    found = arrivals(timed, constants)
    sinks = timed.sinks if weight is None else weight_sinks(timed, design)
    ends = [(*max((float(found[sink.net][edge, 0] + sink.setup_ps[edge]), edge) for edge in (FALL, RISE)), i)
            for i, sink in enumerate(sinks) if sink.net in found]
    worst = sorted((end for end in ends if end[0] > NEVER), key=lambda end: (-end[0], end[2]))[:n_paths]
    return tuple(Endpoint(sinks[i], edge_name(edge), needed_ps, steps_to(timed, sinks[i], edge, found, constants))
                 for needed_ps, edge, i in worst)


def steps_to(
    timed: TimedNetlist, sink: Sink, edge: int, found: Arrivals, constants: Constants
) -> tuple[PathStep, ...]:
    """Return the longest path into a sink whose edge arrives."""
    cell, _, pin = sink.origin.partition("/")
    setup_ps, net = float(sink.setup_ps[edge]), sink.net
    steps = [step(timed, (cell, "", pin), net, edge, setup_ps, float(found[net][edge, 0]) + setup_ps)]
    while (gate := timed.gate_of.get(net)) is not None:
        before, edge_in = slowest_input(gate, edge, found, constants)
        delay_ps = float(gate.delay_ps[before, edge_in, edge])
        through = gate.cell, gate.kind, gate.pins[before]
        steps.append(step(timed, through, net, edge, delay_ps, float(found[net][edge, 0])))
        net, edge = gate.nets[before], edge_in
    source = timed.source_of[net]
    cell, _, pin = source.origin.partition("/")
    launch_ps = float(source.launch_ps[edge])
    steps.append(step(timed, (cell, "", pin), net, edge, launch_ps, launch_ps))
    return tuple(reversed(steps))


def step(
    timed: TimedNetlist, through: tuple[str, str, str], net: str, edge: int, delay_ps: float, arrival_ps: float
) -> PathStep:
    """Return one step; `through` is (cell, kind, pin)."""
    slew_ps = float(timed.slew_ps[net][edge]) if net in timed.slew_ps else 0.0
    return PathStep(*through, net, edge_name(edge), delay_ps, arrival_ps, slew_ps, timed.load_ff.get(net, 0.0))


def slowest_input(gate: Gate, edge_out: int, found: Arrivals, constants: Constants) -> tuple[int, int]:
    """Return the (input, edge) from which a gate's latest output edge comes."""
    passes = passing(gate.truth, [constants[net] for net in gate.nets])[..., 0]
    options = [(float(found[gate.nets[pin]][edge_in, 0] + gate.delay_ps[pin, edge_in, edge_out]), int(pin), edge_in)
               for pin in range(len(gate.nets)) for edge_in in (FALL, RISE)
               if passes[pin, edge_in, edge_out] and gate.nets[pin] in found]
    _, pin, edge_in = max(options)
    return pin, edge_in


def edge_name(edge: int) -> Literal["fall", "rise"]:
    """Return an edge in words."""
    return "rise" if edge == RISE else "fall"
