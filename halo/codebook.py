"""Codebooks: the sets of int8 values that a tile may use, with the delay that the profile proves for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

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
        layers: layer -> the codes that it uses of them, sorted, with 0, where layers choose for themselves.
    """

    name: str
    codes: tuple[int, ...]
    max_delay_ps: float
    layers: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the codes.

        Raises:
            ConfigError: they are not sorted unique int8 values with 0, or a layer's are not among them.
        """
        for codes in (self.codes, *self.layers.values()):
            if list(codes) != sorted(set(codes)) or 0 not in codes:
                raise ConfigError(f"codebook {self.name}: codes {codes} must be sorted, unique, and contain 0.")
        if self.codes[0] < -128 or self.codes[-1] > 127:
            raise ConfigError(f"codebook {self.name}: codes {self.codes[0]}..{self.codes[-1]} leave -128..127.")
        if foreign := [layer for layer, codes in self.layers.items() if not set(codes) <= set(self.codes)]:
            raise ConfigError(f"codebook {self.name}: layer {foreign[0]} has codes that are not in it.")

    def codes_in(self, layer: str) -> tuple[int, ...]:
        """Return the codes that a layer uses, sorted."""
        return self.layers.get(layer, self.codes)

    @property
    def tables(self) -> tuple[tuple[int, ...], ...]:
        """The sets of codes that are stored: one for all layers, or one for each."""
        return tuple(self.layers.values()) or (self.codes,)

    @property
    def n_values(self) -> int:
        """The most values that one layer uses."""
        return max(map(len, self.tables))

    @property
    def index_bits(self) -> float:
        """The most bits that one index takes in any layer."""
        return bits_of_index(self.n_values)


def bits_of_index(n_values: int) -> float:
    """Return the bits of an index: 3 up to 8 values, 3.2 for 9 (five in a 16-bit word), 4 up to 16, 8 for all."""
    return NINE_VALUE_BITS if n_values == 9 else max(1, math.ceil(math.log2(n_values)))


def make_codebook(name: str, codes: Iterable[int], profile: MacProfile, points: PointConfig) -> Codebook:
    """Return the codebook of `codes` with the delay that `profile` bounds for them at the planned voltage."""
    chosen = tuple(sorted({int(code) for code in codes}))
    place = footing(profile, points)
    return Codebook(name, chosen, profile.worst_ps(chosen, place.corners, place.arrival))


def layered_codebook(
    name: str, layers: Mapping[str, tuple[int, ...]], profile: MacProfile, points: PointConfig
) -> Codebook:
    """Return the codebook of all codes of `layers`, layer -> its own: one class, one clock, that of the slowest."""
    whole = make_codebook(name, (code for codes in layers.values() for code in codes), profile, points)
    return replace(whole, layers=layers)


def grid_codebook(name: str, profile: MacProfile, points: PointConfig) -> Codebook:
    """Return one of the fixed grids of the baselines.

    Raises:
        ConfigError: there is no grid of that name.
    """
    if name not in GRIDS:
        raise ConfigError(f"no grid {name!r}; there are {', '.join(GRIDS)}.")
    return make_codebook(name, GRIDS[name], profile, points)
