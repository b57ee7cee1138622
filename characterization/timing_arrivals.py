"""Latest arrivals on the one delay set, with some nets held; many cases at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from characterization.constants import Constants, passing
from characterization.timed import Sink, TimedNetlist

NEVER = -np.inf

Arrivals = dict[str, np.ndarray]


def arrivals(timed: TimedNetlist, constants: Constants) -> Arrivals:
    """Return the latest arrival of every net that moves, `[edge, case]`, -inf where an edge never arrives."""
    found: Arrivals = {}
    for source in timed.sources:
        found[source.net] = np.where(constants.moves(source.net), source.launch_ps[:, None], NEVER)
    for gate in timed.gates:
        late = np.full((2, constants.n_cases), NEVER)
        passes = passing(gate.truth, [constants[net] for net in gate.nets])
        for pin, edge_in, edge_out in np.argwhere(passes.any(axis=-1)):
            if (before := found.get(gate.nets[pin])) is not None:
                delay_ps = gate.delay_ps[pin, edge_in, edge_out]
                reached = np.where(passes[pin, edge_in, edge_out], before[edge_in] + delay_ps, NEVER)
                np.maximum(late[edge_out], reached, out=late[edge_out])
        late[:, ~constants.moves(gate.net)] = NEVER
        found[gate.net] = late
    return found


def worst_ps(found: Arrivals, sinks: Iterable[Sink], n_cases: int) -> np.ndarray:
    """Return the worst arrival plus setup over `sinks` `[case]`; 0 where nothing moves."""
    worst = np.zeros(n_cases)
    for sink in sinks:
        if sink.net in found:
            np.maximum(worst, (found[sink.net] + sink.setup_ps[:, None]).max(axis=0), out=worst)
    return worst
