"""Rail: what the elements of a MAC spend at one voltage, by code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from characterization.corner_grid import SAME_V
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


def voltage_beside(int8: MacProfile, voltage_v: float) -> float:
    """Return the voltage of the int8 MACs beside an array at `voltage_v`: the same, or the next higher one they have.

    Where they have none as high it is `voltage_v`, which the profile then refuses.
    """
    known = sorted(float(int8.voltage_v[index]) for index in int8.grid.of_speed("typical"))
    return next((each for each in known if each >= voltage_v - SAME_V), voltage_v)


def rail_beside(int8: MacProfile, voltage_v: float) -> Rail:
    """Return what the int8 MACs beside an array at `voltage_v` spend.

    Raises:
        ArtifactError: they have no typical corner as high.
    """
    return rail_at(int8, int8.grid.typical(voltage_beside(int8, voltage_v)))
