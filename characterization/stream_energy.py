"""measure_stream(): what operations cost in a stream of weights, all lanes moving, as a table of pairs predicts it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from characterization.benches.expectation import check_reference
from characterization.benches.registers import Registers
from characterization.benches.stimulus import stream_stimulus
from characterization.design import MacDesign
from characterization.energy import UNITS_PER_FJ, edge_costs
from characterization.reference import load_reference
from characterization.simulation import simulate
from characterization.timed import TimedNetlist


def measure_stream(
    timed: TimedNetlist, design: MacDesign, weights: np.ndarray, seed: int = 1, work: Path | None = None
) -> np.ndarray:
    """Return the energy of each operation, fJ, leakage apart, float64 [step - 1].

    Args:
        timed: the core.
        design: whose weights stream.
        weights: int [step, lane].
        seed: of activations and partial sums.
        work: folder for finished blocks; None to keep none.

    Raises:
        SimulationError: weights that are not the design's, or a core that disagrees with its reference.
    """
    stimulus = stream_stimulus(timed, design, weights, seed)
    check = partial(check_reference, Registers(timed, design), load_reference(design))
    trace = simulate(timed, stimulus, None, edge_costs(timed), check, work, 1)
    return np.asarray((trace.cost[0] + trace.launch_cost[0]) / UNITS_PER_FJ + timed.clock_energy_fj)
