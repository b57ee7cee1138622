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
from characterization.energy_counts import read_activations
from characterization.energy_moves import energy_table
from characterization.energy_table import EnergyTable
from characterization.errors import SimulationError
from characterization.netlist import Netlist, abut
from characterization.pdk import Pdk
from characterization.pipeline import map_design, slowest
from characterization.profile import MacProfile
from characterization.profile_checks import AGREE_PS
from characterization.simulation import Device
from characterization.timing import topological_ps


@dataclass(frozen=True, slots=True)
class TableConfig:
    """What an energy table is measured with.

    Attributes:
        rounds: of a streaming design, how often a lane comes from each previous weight.
        seed: of partial sums, and of all else that is drawn.
        partial_sum: one that stands still; None draws them.
        workers: threads.
        device: that transitions are simulated on; the table does not depend on it.
    """

    rounds: int = 16
    seed: int = 1
    partial_sum: int | None = None
    workers: int = 2
    device: Device = "cpu"

    def stimulus(self, design: MacDesign) -> StimulusConfig:
        """Return the stimulus that takes every move of the operand."""
        if design.weight_mode == "streaming":
            transitions = self.rounds * len(design.weights)
            return StimulusConfig(transitions, self.seed, design.weights, partial_sum=self.partial_sum)
        return StimulusConfig(0, self.seed, design.weights, "exhaustive", self.partial_sum)


def measure_table(
    design_path: Path, pdk: Pdk, corner_name: str | None, config: TableConfig, work: Path, progress: StageProgress,
    profile: MacProfile | None = None,
) -> EnergyTable:
    """Return the energy of every weight at every pair of activations; if weights stream, at every previous weight.

    Every transition is checked against the reference, and against its weight's topological delay or a profile's
    certificate.

    Args:
        design_path: a `design.toml` or its folder.
        pdk: the library.
        corner_name: where; None for the corner that synthesis sees.
        config: the stimulus.
        work: cache; a killed run takes up what is there.
        progress: called with (stage, done, total).
        profile: of the same netlist; its certified delays at this corner then are the bound.

    Raises:
        CharacterizationError: a stage failed.
    """
    design = read_design(design_path)
    corner = pdk.corner(corner_name) if corner_name else slowest(pdk)
    folder = work / f"{design.name}-{pdk.name}"
    netlist = map_design(design, pdk, folder, progress)
    timed = annotate(abut(netlist, design.neighbours), read_corner(corner), corner, design.clock)
    bound_ps = topological_ps(timed, design, np.array(design.weights))
    if profile is not None:
        bound_ps = certified_bound_ps(profile, netlist, corner.name, bound_ps)
    stimulus = config.stimulus(design)
    activity = simulate_weights(timed, design, stimulus, folder / corner.name, config.workers,
                                partial(progress, f"simulation {corner.name}"), config.device)
    check_observed(activity.weights, activity.settle_ps, bound_ps,
                   "topological" if profile is None else "certified")
    inputs = {"netlist": netlist.digest, "liberty": "+".join(map(digest_file, corner.liberty))}
    settings = {"rounds": config.rounds, "seed": config.seed, "partial_sum": config.partial_sum}
    tools = {name: version(name) for name in ("pyosys", "numba", "numpy")}
    provenance = Provenance("energy table", inputs, settings, tools, config.seed)
    return energy_table(activity, design, stimulus, corner.name, provenance)


def certified_bound_ps(
    profile: MacProfile, netlist: Netlist, corner: str, topological: np.ndarray
) -> np.ndarray:
    """Return what a profile proves of every weight at a corner `[weight]`.

    Raises:
        SimulationError: the profile is of another netlist, or has no certificates there.
        ArtifactError: it has no such corner.
    """
    if profile.head.netlist_digest != netlist.digest:
        raise SimulationError(f"{netlist.top}: the profile is of another netlist, {profile.head.netlist_digest[:12]}, "
                              f"not {netlist.digest[:12]}; measure both from the same design and library.")
    certified_ps = profile.certified_ps[profile.corner_index(corner)]
    if np.isnan(certified_ps).any():
        raise SimulationError(f"{netlist.top}: the profile has no certificates at {corner}; make them with "
                              "`characterize certify`.")
    bound_ps: np.ndarray = np.minimum(certified_ps + AGREE_PS, topological)
    return bound_ps


def read_recorded(path: Path, design: MacDesign) -> np.ndarray:
    """Return recorded activations of one MAC, cycle after cycle, int64 [step], from a `.npy` file of integers.

    Raises:
        SimulationError: no such file, not integers in one row, values beyond the design's activations, or a design of
            which the table is not over activations.
    """
    if design.weight_mode == "streaming":
        raise SimulationError(f"{path}: {design.name} streams its weights; its table is over previous weights, which "
                              "recorded activations do not weigh.")
    return read_activations(path, design.name, design.activation_bits)
