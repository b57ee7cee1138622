"""under_moves(): a profile as it would be under other activations; recorded_moves(): how often real ones move.

A profile's energies are of uniform random activations. An energy table (`characterize energy`) has the energy of each
weight at every move from one activation to the next, at one corner; what a distribution of moves changes there is taken
to change by the same factor at every corner, and registers like the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from characterization.energy_table import EnergyTable
from characterization.profile import MacProfile
from characterization.proof_vectors import ProofVectors
from halo.errors import ConfigError

ENERGIES = ("energy_fj", "energy_std_fj", "energy_p05_fj", "energy_p50_fj", "energy_p95_fj", "register_energy_fj")
ACTIVATIONS = 256


def recorded_moves(vectors: Iterable[ProofVectors]) -> np.ndarray:
    """Return how often an activation follows another in recorded tiles, token by token, int64 `[previous, next]`."""
    counts = np.zeros(ACTIVATIONS**2, dtype=np.int64)
    for found in vectors:
        for tile in found.tiles:
            chain = tile.activations.astype(np.int64) + ACTIVATIONS // 2
            counts += np.bincount((chain[:-1] * ACTIVATIONS + chain[1:]).ravel(), minlength=counts.size)
    return counts.reshape(ACTIVATIONS, ACTIVATIONS)


def distributions(recorded: np.ndarray) -> dict[str, np.ndarray]:
    """Return the distributions of moves that are varied, by name.

    Zero-rich: half of the activations are 0, as after a ReLU, the others as recorded, each drawn by itself.
    """
    share = recorded.sum(axis=0) / recorded.sum()
    share[ACTIVATIONS // 2] = 0.0
    share *= 0.5 / share.sum()
    share[ACTIVATIONS // 2] = 0.5
    return {"recorded activations": recorded.astype(np.float64), "half of the activations 0": np.outer(share, share)}


def under_moves(profile: MacProfile, table: EnergyTable, counts: np.ndarray) -> MacProfile:
    """Return `profile` with each weight's energies changed as `counts` change them in `table`.

    Raises:
        ConfigError: the table is of another netlist, or of a design whose weights stream.
    """
    if table.netlist_digest != profile.head.netlist_digest or table.energy_fj.ndim != 3:
        raise ConfigError(f"the energy table of {table.design} at {table.corner} is not of the netlist of "
                          f"{profile.head.design}, or its weights stream; make one with `characterize energy`.")
    factor = table.mean_fj(counts) / table.mean_fj(np.ones_like(counts))
    changed = {name: getattr(profile, name) * factor for name in ENERGIES}
    return replace(profile, **changed)


def profiles_under(
    profile: MacProfile, tables: Iterable[EnergyTable], recorded: np.ndarray
) -> Mapping[str, MacProfile]:
    """Return a profile under each distribution of moves, by name; none where no table is of its netlist."""
    for table in tables:
        if table.netlist_digest == profile.head.netlist_digest:
            return {name: under_moves(profile, table, counts) for name, counts in distributions(recorded).items()}
    return {}
