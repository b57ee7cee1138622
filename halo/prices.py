"""Prices: what time and energy are worth in loss, so that one objective weighs all three."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from characterization.profile import MacProfile
from halo.errors import ConfigError
from halo.operating_point import PointConfig, footing
from halo.weight_stream import value_energy


@dataclass(frozen=True, slots=True)
class PriceConfig:
    """How many nats per token of predicted loss the MACs' whole energy, or their whole time, is worth.

    The whole is what they would take if every one of the MAC's weight values occurred equally often, at the clock that
    all values allow: a plan that saves a tenth of the energy may lose a tenth of `energy`.

    Attributes:
        energy, time: the two prices; 0 looks at the loss alone.
    """

    energy: float = 0.0
    time: float = 0.0

    def __post_init__(self) -> None:
        """Check signs.

        Raises:
            ConfigError: a price is negative.
        """
        if not (0 <= self.energy < float("inf") and 0 <= self.time < float("inf")):
            raise ConfigError(f"prices: energy = {self.energy:g} and time = {self.time:g} must be 0 or more nats.")


def relative_energy(profile: MacProfile, points: PointConfig, shares: np.ndarray | None = None) -> np.ndarray:
    """Return the energy of an operation with each weight value over the mean of all values, float64 `[weight]`.

    At the typical corner of the planned voltage, leakage apart. Where weights stream it is what one more weight of a
    value costs among independent draws from `shares` `[weight]` (None: all values alike), so that the mean under these
    shares is right, and other mixtures are to first order. A streaming profile without energies of pairs has only the
    mean over all previous weights, which ranks values.
    """
    corner = footing(profile, points).typical
    pair_fj = profile.pair_fj(corner)
    if pair_fj is None:
        energy_fj = profile.energy_fj[profile.corner_index(corner)]
        return np.asarray(energy_fj / energy_fj.mean())
    alike = np.full(profile.weights.size, 1 / profile.weights.size)
    return np.asarray(value_energy(pair_fj, alike if shares is None else shares) / pair_fj.mean())


def value_prices(
    profile: MacProfile, points: PointConfig, config: PriceConfig, n_weights: float, shares: np.ndarray | None = None
) -> np.ndarray:
    """Return what one weight of each value costs by its energy, nats per token, float64 `[weight]`."""
    return np.asarray(config.energy * relative_energy(profile, points, shares) / n_weights)
