"""Energy per bit, capacity and bandwidth of memories, each figure with its source; a plugin's table overrides them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from halo.errors import ConfigError

BITS_PER_KB = 8 * 1024


@dataclass(frozen=True, slots=True)
class Sram:
    """An on-chip memory."""

    kilobytes: int
    read_pj_per_bit: float
    source: str

    @property
    def bits(self) -> int:
        """What it holds."""
        return self.kilobytes * BITS_PER_KB


@dataclass(frozen=True, slots=True)
class Dram:
    """A memory off the chip.

    Attributes:
        low_pj_per_bit, high_pj_per_bit: what sources say; `pj_per_bit` is what is counted.
    """

    pj_per_bit: float
    low_pj_per_bit: float
    high_pj_per_bit: float
    gb_per_s: float
    source: str


# CACTI 7, HP cells: node -> kilobytes -> read energy in pJ per bit.
CACTI_PJ_PER_BIT: Mapping[str, Mapping[int, float]] = {
    "45nm": {2: 0.042, 8: 0.095, 32: 0.266, 256: 0.487, 1024: 0.81, 4096: 1.72, 16384: 3.18},
    "22nm": {2: 0.011, 8: 0.027, 32: 0.063, 256: 0.148, 1024: 0.26, 4096: 0.51, 16384: 1.02},
}
CACTI = "CACTI 7, one read/write port, one bank, 360 K; writes within about 25 %"


def size_name(kilobytes: int) -> str:
    """Return a size as presets spell it.

    >>> size_name(256), size_name(4096)
    ('256KB', '4MB')
    """
    return f"{kilobytes}KB" if kilobytes < 1024 else f"{kilobytes // 1024}MB"


SRAMS: Mapping[str, Sram] = {
    f"{node}-{size_name(kilobytes)}": Sram(kilobytes, energy, f"{node} HP {size_name(kilobytes)}: {CACTI}")
    for node, sizes in CACTI_PJ_PER_BIT.items() for kilobytes, energy in sizes.items()
}
DRAMS: Mapping[str, Dram] = {
    "lpddr4": Dram(8.0, 4.0, 8.0, 25.6, "LPDDR4 4 to 8 pJ/bit (hwcomponents-cacti: 8); 64 bit x 3200 MT/s"),
    "ddr3": Dram(70.0, 15.0, 70.0, 34.0, "DDR3 70 pJ/bit (hwcomponents-cacti), 15 to 20 for DDR4; 34 GB/s as TPU v1's "
                                         "weight memory (Jouppi, ISCA 2017)"),
    "gddr5": Dram(14.0, 7.5, 14.0, 320.0, "GDDR5 14 pJ/bit (O'Connor, MICRO 2017); 256 bit x 10 Gb/s"),
    "gddr6": Dram(7.5, 7.0, 7.5, 616.0, "GDDR6 7.5 pJ/bit (Micron, device power); RTX 2080 Ti 616 GB/s"),
    "hbm2": Dram(3.9, 3.9, 6.0, 1555.0, "HBM2 3.9 pJ/bit (O'Connor, MICRO 2017), HBM2E 6 (Micron); A100 40 GB "
                                        "1555 GB/s"),
    "hbm2e": Dram(6.0, 3.9, 6.0, 2039.0, "HBM2E 6 pJ/bit (Micron, device power); A100 80 GB 2039 GB/s"),
    "hbm3": Dram(3.9, 3.0, 6.0, 3350.0, "HBM3, taken as HBM2's 3.9 pJ/bit (no figure of its own read); H100 SXM "
                                        "3350 GB/s"),
}


def find_sram(name: str, key: str) -> Sram:
    """Return the SRAM called `name`.

    Raises:
        ConfigError: there is none; `key` says which option asked.
    """
    if name not in SRAMS:
        raise ConfigError(f"{key} = {name!r}; known are {', '.join(SRAMS)}.")
    return SRAMS[name]


def find_dram(name: str, key: str) -> Dram:
    """Return the DRAM called `name`.

    Raises:
        ConfigError: there is none; `key` says which option asked.
    """
    if name not in DRAMS:
        raise ConfigError(f"{key} = {name!r}; known are {', '.join(DRAMS)}.")
    return DRAMS[name]
