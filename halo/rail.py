"""Rail: what the elements of a MAC spend at one voltage, by code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from characterization.corner_grid import SAME_V
from characterization.profile import MacProfile
from halo.loads import LoadGroup
from halo.weight_stream import mean_pair_fj


@dataclass(frozen=True, eq=False)
class Rail:
    """What the elements of a MAC spend at one voltage.

    Attributes:
        energy_fj, registers_fj: per operation, by code -128..127 `[256]`; 0 for codes that the MAC does not have.
        mean_fj, mean_registers_fj: of one operation, mean over the values that it has.
        pair_fj: per operation, by the code before and the code `[256, 256]`; None where it is not known, and of MACs of
            several lanes or fewer values.
    """

    energy_fj: np.ndarray
    registers_fj: np.ndarray
    mean_fj: float
    mean_registers_fj: float
    leakage_nw: float
    pair_fj: np.ndarray | None = None

    @property
    def idle_fj(self) -> float:
        """Energy of an element in a cycle without operands: clock and registers at weight 0."""
        return float(self.registers_fj[128])


    def weights_fj(self, group: LoadGroup, *, moves: bool) -> tuple[float, float]:
        """Return what one operation with each weight of a group spends, in all, and in registers.

        Where weights stream: after the weight before it (`moves`), or after itself.
        """
        counts = np.array(group.code_counts or (group.n_values / 256,) * 256, dtype=np.float64)
        if self.pair_fj is not None:
            registers = float(counts @ self.registers_fj)
            if moves:
                return group.n_values * mean_pair_fj(self.pair_fj, group.followers, group.code_counts), registers
            return float(counts @ np.diagonal(self.pair_fj)), registers
        if group.code_counts:
            return float(counts @ self.energy_fj), float(counts @ self.registers_fj)
        return group.n_values * self.mean_fj, group.n_values * self.mean_registers_fj


def rail_at(profile: MacProfile, index: int) -> Rail:
    """Return what a MAC spends at one of its corners."""
    energy_fj, registers_fj = np.zeros(256), np.zeros(256)
    energy_fj[profile.weights + 128] = profile.energy_fj[index]
    registers_fj[profile.weights + 128] = profile.register_energy_fj[index]
    plain = profile.head.lanes == 1 and profile.weights.size == energy_fj.size
    pair_fj = profile.pair_fj(profile.corners[index]) if plain else None
    return Rail(energy_fj, registers_fj, float(profile.energy_fj[index].mean()),
                float(profile.register_energy_fj[index].mean()), float(profile.leakage_nw[index]), pair_fj)


def moving_words(profile: MacProfile, rails: Iterable[Rail]) -> str:
    """Return on which table the energies of weights rest that move every cycle, in words."""
    pairs = profile.pairs
    if pairs is not None and all(rail.pair_fj is not None for rail in rails):
        return (f"energy is by [previous weight, weight], {pairs.transitions} activation transitions of each pair, in "
                "the layer's own order; of products without known values independent draws of all")
    if profile.head.weight_mode == "streaming":
        return "energy per operation is the mean over all weights before it"
    return "energy per operation, measured with weights held, is too low"


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
