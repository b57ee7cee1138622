"""energy_table(): the energies of simulated transitions, sorted by the move of the operand that each made."""

from __future__ import annotations

import numpy as np

from characterization.artifact import Provenance
from characterization.benches.operands import StimulusConfig, activation_chain, previous_weights
from characterization.design import MacDesign
from characterization.energy import CoreActivity
from characterization.energy_table import EnergyTable
from characterization.errors import SimulationError


def energy_table(
    activity: CoreActivity, design: MacDesign, config: StimulusConfig, corner: str, provenance: Provenance
) -> EnergyTable:
    """Return the table of what was simulated.

    Args:
        activity: of `config`.
        design: one lane that holds its weight, or any number that stream.
        config: exhaustive if weights are held; else with as many transitions as each previous weight needs to occur.
        corner: where it was simulated.
        provenance: what it was made from.

    Raises:
        SimulationError: the stimulus does not take every move.
    """
    streaming, energy_fj = design.weight_mode == "streaming", activity.energy_fj
    if streaming:
        operands = np.array(design.weights)
        moves = np.searchsorted(operands, previous_weights(design, config, energy_fj.shape[1]))
        shape: tuple[int, ...] = (operands.size,)
    else:
        half = 1 << design.activation_bits - 1
        operands = np.arange(-half, half)
        chain = activation_chain(design, config, np.random.default_rng(config.seed))[:, 0] + half
        moves, shape = chain[:-1] * operands.size + chain[1:], (operands.size, operands.size)
    counts = np.bincount(moves, minlength=int(np.prod(shape)))
    if not counts.all() or (not streaming and len(design.lanes) > 1):
        raise SimulationError(f"{design.name}: {int((counts == 0).sum())} of {counts.size} moves were not simulated in "
                              f"{moves.size} transitions of {len(design.lanes)} lanes; a table needs each of them.")
    sums = np.stack([np.bincount(moves, row, minlength=counts.size) for row in energy_fj])
    table = (sums / counts).astype(np.float32).reshape(-1, *shape)
    return EnergyTable(design.name, corner, provenance.inputs.get("netlist", ""), activity.description,
                       np.array(activity.weights), operands, table, activity.register_fj, provenance)
