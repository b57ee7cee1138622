"""Rail: what the elements of a MAC spend at one voltage, by code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from characterization.profile import MacProfile


@dataclass(frozen=True, eq=False)
class Rail:
    """What the elements of a MAC spend at one voltage.

    Attributes:
        energy_fj, registers_fj: per operation, by code -128..127 `[256]`; 0 for codes that the MAC does not have.
        mean_fj, mean_registers_fj: of one operation, mean over the values that it has.
    """

    energy_fj: np.ndarray
    registers_fj: np.ndarray
    mean_fj: float
    mean_registers_fj: float
    leakage_nw: float

    @property
    def idle_fj(self) -> float:
        """Energy of an element in a cycle without operands: clock and registers at weight 0."""
        return float(self.registers_fj[128])


def rail_at(profile: MacProfile, index: int) -> Rail:
    """Return what a MAC spends at one of its corners."""
    energy_fj, registers_fj = np.zeros(256), np.zeros(256)
    energy_fj[profile.weights + 128] = profile.energy_fj[index]
    registers_fj[profile.weights + 128] = profile.register_energy_fj[index]
    return Rail(energy_fj, registers_fj, float(profile.energy_fj[index].mean()),
                float(profile.register_energy_fj[index].mean()), float(profile.leakage_nw[index]))
