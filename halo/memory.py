"""Energy per bit and bandwidth of memories, each figure with its source. Override them in `[accelerator.<name>]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from halo.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Sram:
    """An on-chip memory."""

    read_pj_per_bit: float
    source: str


@dataclass(frozen=True, slots=True)
class Dram:
    """A memory off the chip."""

    pj_per_bit: float
    gb_per_s: float
    source: str


CACTI = "CACTI 7, one read/write port, one bank, 360 K; writes within about 25 %"
SRAMS: Mapping[str, Sram] = {
    "45nm-32KB": Sram(0.266, f"45 nm HP 32 KB: {CACTI}"),
    "45nm-256KB": Sram(0.487, f"45 nm HP 256 KB: {CACTI}"),
    "45nm-1MB": Sram(0.81, f"45 nm HP 1 MB: {CACTI}"),
    "45nm-4MB": Sram(1.72, f"45 nm HP 4 MB: {CACTI}"),
    "22nm-32KB": Sram(0.063, f"22 nm HP 32 KB: {CACTI}"),
    "22nm-256KB": Sram(0.148, f"22 nm HP 256 KB: {CACTI}"),
    "22nm-1MB": Sram(0.26, f"22 nm HP 1 MB: {CACTI}"),
    "22nm-4MB": Sram(0.51, f"22 nm HP 4 MB: {CACTI}"),
}
DRAMS: Mapping[str, Dram] = {
    "lpddr4": Dram(8.0, 25.6, "LPDDR4 8 pJ/bit (hwcomponents-cacti); 64 bit x 3200 MT/s"),
    "gddr6": Dram(7.5, 616.0, "GDDR6 7.5 pJ/bit (device power); RTX 2080 Ti 616 GB/s"),
    "hbm2": Dram(3.9, 1555.0, "HBM2 3.9 pJ/bit (O'Connor, MICRO 2017); A100 40 GB 1555 GB/s"),
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
