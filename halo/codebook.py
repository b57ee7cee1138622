"""Codebooks: the sets of int8 values that a tile may use, with the delay that the profile proves for each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from characterization.profile import MacProfile
from halo.errors import ConfigError
from halo.operating_point import PointConfig, footing

NINE_VALUE_BITS = 3.2  # five values of nine in a 16-bit word: 9**5 < 2**16
GRIDS: dict[str, tuple[int, ...]] = {
    "all": tuple(range(-128, 128)),
    "w4-shifted": tuple(range(-128, 128, 16)),
    "w3-shifted": tuple(range(-128, 128, 32)),
    "w4-low": tuple(range(-8, 8)),
    "w3-low": tuple(range(-4, 4)),
    "pot": (-128, -64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64),  # what `rtl/systolic_pe_pot` has
}


@dataclass(frozen=True, slots=True)
class Codebook:
    """A sorted set of int8 values and the delay of its slowest member.

    >>> Codebook("tiny", (-64, 0, 64), 900.0).index_bits
    2

    Attributes:
        name: "all", "fast16", "fast9", "w4-shifted", ...
        codes: sorted, unique, within -128..127, with 0 (a sparse position holds 0 in the dense part).
        max_delay_ps: what the profile bounds for the set at the planned voltage.
    """

    name: str
    codes: tuple[int, ...]
    max_delay_ps: float

    def __post_init__(self) -> None:
        """Check the codes.

        Raises:
            ConfigError: they are not sorted unique int8 values with 0.
        """
        if list(self.codes) != sorted(set(self.codes)) or 0 not in self.codes:
            raise ConfigError(f"codebook {self.name}: codes {self.codes} must be sorted, unique, and contain 0.")
        if self.codes[0] < -128 or self.codes[-1] > 127:
            raise ConfigError(f"codebook {self.name}: codes {self.codes[0]}..{self.codes[-1]} leave -128..127.")

    @property
    def index_bits(self) -> float:
        """Bits that one index takes: 3 up to 8 values, 3.2 for 9 (five in a 16-bit word), 4 up to 16, 8 for all."""
        if len(self.codes) == 9:
            return NINE_VALUE_BITS
        return max(1, math.ceil(math.log2(len(self.codes))))


def make_codebook(name: str, codes: Iterable[int], profile: MacProfile, points: PointConfig) -> Codebook:
    """Return the codebook of `codes` with the delay that `profile` bounds for them at the planned voltage."""
    chosen = tuple(sorted({int(code) for code in codes}))
    place = footing(profile, points)
    return Codebook(name, chosen, profile.worst_ps(chosen, place.corners, place.arrival))


def grid_codebook(name: str, profile: MacProfile, points: PointConfig) -> Codebook:
    """Return one of the fixed grids of the baselines.

    Raises:
        ConfigError: there is no grid of that name.
    """
    if name not in GRIDS:
        raise ConfigError(f"no grid {name!r}; there are {', '.join(GRIDS)}.")
    return make_codebook(name, GRIDS[name], profile, points)
