"""PairEnergy: what an operation spends where weights stream, by [previous weight, weight], with standard errors.

Measured with one lane that moves from each weight to each, the other lanes holding random weights, while activations of
all lanes and the sum move. What all lanes spend together follows, as far as lanes add up: `lanes x pair - (lanes
- 1) x mean of the pairs that stand still`, for that is what an operation spends all of whose lanes hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from characterization.artifact import digest_bytes
from characterization.errors import ArtifactError


@dataclass(frozen=True, eq=False)
class PairEnergy:
    """Energies of one streaming design at some corners, leakage apart.

    Attributes:
        transitions: simulated of each pair; activations, sums and the other lanes' weights are drawn for each.
        lanes: of the design.
        energy_fj: of a whole operation, one lane moving, float32 `[corner, previous weight, weight]`; NaN throughout
            where a corner was not measured.
        sem_fj: its standard error, in the same form.
    """

    transitions: int
    lanes: int
    energy_fj: np.ndarray
    sem_fj: np.ndarray

    def __post_init__(self) -> None:
        """Check shapes and signs, and make the arrays read-only.

        Raises:
            ArtifactError: no square tables, a negative energy or error, or fewer than two transitions of a pair.
        """
        shape = self.energy_fj.shape
        if len(shape) != 3 or shape[1] != shape[2] or self.sem_fj.shape != shape:
            raise ArtifactError(f"pair energies have shape {list(shape)}, their errors {list(self.sem_fj.shape)}; both "
                                "must be [corner, previous weight, weight].")
        if self.transitions < 2 or self.lanes < 1:
            raise ArtifactError(f"pair energies of {self.lanes} lanes from {self.transitions} transitions of each; an "
                                "error needs two.")
        for array in (self.energy_fj, self.sem_fj):
            missing = np.isnan(array)
            if (missing.any(axis=(1, 2)) != missing.all(axis=(1, 2))).any() or (array < 0).any():
                raise ArtifactError("pair energies must be known for all pairs of a corner or none, none negative.")
            array.setflags(write=False)

    @property
    def known(self) -> np.ndarray:
        """Whether a corner was measured, bool `[corner]`."""
        return np.asarray(~np.isnan(self.energy_fj[:, 0, 0]))

    @property
    def digest(self) -> str:
        """The digest of all that is in it."""
        return digest_bytes(f"{self.transitions} {self.lanes}".encode() + self.energy_fj.tobytes()
                            + self.sem_fj.tobytes())

    def operation_fj(self, corner: int) -> np.ndarray:
        """Return the energy of an operation in which every lane moves alike, float64 `[previous weight, weight]`.

        The mean over the lanes' own pairs is what an operation spends whose lanes move differently.
        """
        pair = self.energy_fj[corner].astype(np.float64)
        return np.asarray(self.lanes * pair - (self.lanes - 1) * np.diagonal(pair).mean())

    def mean_fj(self, corner: int, shares: np.ndarray) -> float:
        """Return the mean energy of an operation whose lanes move as often as `shares` `[previous weight, weight]`."""
        return float((self.operation_fj(corner) * shares).sum() / shares.sum())

    def mean_sem_fj(self, corner: int, shares: np.ndarray) -> float:
        """Return the standard error of that mean.

        What is drawn is the same for all weights that follow one weight, so their errors are taken to be alike; draws
        after different weights are independent. No error is counted of the lanes at rest, which all weights tell of.
        """
        rows = (self.sem_fj[corner].astype(np.float64) * shares).sum(axis=1) / shares.sum()
        return float(self.lanes * np.sqrt((rows**2).sum()))


def pair_statistics(previous: np.ndarray, energy_fj: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard error of the energies of each pair, float32 `[previous weight, weight]`.

    Args:
        previous: from which weight each transition moved, every one of `weights` equally often `[transition]`.
        energy_fj: `[weight, transition]`.
        weights: the weight values, sorted.
    """
    order = np.argsort(previous, kind="stable")
    cells = energy_fj[:, order].reshape(len(weights), len(weights), -1)
    sem = cells.std(axis=2, ddof=1) / np.sqrt(cells.shape[2])
    return cells.mean(axis=2).T.astype(np.float32), sem.T.astype(np.float32)
