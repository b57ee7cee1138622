"""measure_table(): the energy table of a design at one corner, from its Verilog."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from characterization.annotation import annotate
from characterization.artifact import Provenance, digest_file
from characterization.benches.activity import check_observed
from characterization.benches.operands import StimulusConfig
from characterization.corner_library import read_corner
from characterization.corner_stages import StageProgress
from characterization.design import MacDesign, read_design
from characterization.energy import simulate_weights
from characterization.energy_table import EnergyTable, energy_table
from characterization.errors import SimulationError
from characterization.netlist import abut
from characterization.pdk import Pdk
from characterization.pipeline import map_design, slowest
from characterization.timing import topological_ps


@dataclass(frozen=True, slots=True)
class TableConfig:
    """What an energy table is measured with.

    Attributes:
        rounds: of a streaming design, how often a lane comes from each previous weight.
        seed: of partial sums, and of all else that is drawn.
        partial_sum: one that stands still; None draws them.
        workers: threads.
    """

    rounds: int = 16
    seed: int = 1
    partial_sum: int | None = None
    workers: int = 2

    def stimulus(self, design: MacDesign) -> StimulusConfig:
        """Return the stimulus that takes every move of the operand."""
        if design.weight_mode == "streaming":
            transitions = self.rounds * len(design.weights)
            return StimulusConfig(transitions, self.seed, design.weights, partial_sum=self.partial_sum)
        return StimulusConfig(0, self.seed, design.weights, "exhaustive", self.partial_sum)


def measure_table(
    design_path: Path, pdk: Pdk, corner_name: str | None, config: TableConfig, work: Path, progress: StageProgress
) -> EnergyTable:
    """Return the energy of every weight at every pair of activations; if weights stream, at every previous weight.

    Every transition is checked against the reference and against the static bound.

    Args:
        design_path: a `design.toml` or its folder.
        pdk: the library.
        corner_name: where; None for the corner that synthesis sees.
        config: the stimulus.
        work: cache; a killed run takes up what is there.
        progress: called with (stage, done, total).

    Raises:
        CharacterizationError: a stage failed.
    """
    design = read_design(design_path)
    corner = pdk.corner(corner_name) if corner_name else slowest(pdk)
    folder = work / f"{design.name}-{pdk.name}"
    netlist = map_design(design, pdk, folder, progress)
    timed = annotate(abut(netlist, design.neighbours), read_corner(corner), corner, design.clock)
    stimulus = config.stimulus(design)
    activity = simulate_weights(timed, design, stimulus, folder / corner.name, config.workers,
                                partial(progress, f"simulation {corner.name}"))
    check_observed(activity.weights, activity.settle_ps, topological_ps(timed, design, np.array(design.weights)))
    inputs = {"netlist": netlist.digest, "liberty": "+".join(map(digest_file, corner.liberty))}
    settings = {"rounds": config.rounds, "seed": config.seed, "partial_sum": config.partial_sum}
    tools = {name: version(name) for name in ("pyosys", "numba", "numpy")}
    provenance = Provenance("energy table", inputs, settings, tools, config.seed)
    return energy_table(activity, design, stimulus, corner.name, provenance)


def read_recorded(path: Path, design: MacDesign) -> np.ndarray:
    """Return recorded activations of one MAC, cycle after cycle, int64 [step], from a `.npy` file of integers.

    Raises:
        SimulationError: no such file, not integers in one row, values beyond the design's activations, or a design of
            which the table is not over activations.
    """
    if design.weight_mode == "streaming":
        raise SimulationError(f"{path}: {design.name} streams its weights; its table is over previous weights, which "
                              "recorded activations do not weigh.")
    try:
        values: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SimulationError(f"{path}: not a NumPy file of activations ({error}).") from None
    if values.ndim != 1 or values.size < 2 or not np.issubdtype(values.dtype, np.integer):
        raise SimulationError(f"{path}: activations of shape {list(values.shape)} and type {values.dtype}; needed are "
                              "integers in one row, as one MAC sees them, at least two.")
    half = 1 << design.activation_bits - 1
    if values.min() < -half or values.max() >= half:
        raise SimulationError(f"{path}: activations reach from {values.min()} to {values.max()}, beyond the "
                              f"{design.activation_bits} bits of {design.name}.")
    return values.astype(np.int64)
