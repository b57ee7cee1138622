"""choose_corners(): which corners of a cell library a MAC is characterized at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from characterization.corner_grid import SAME_V, SUPPLY_TOLERANCE, Speed, speed_of
from characterization.errors import PdkError
from characterization.pdk import Corner, Pdk

# Slow corners are asked for on this grid; the next lower voltage counts, at most this far below what is needed.
GRID_V = 0.025
ALL = "all"


@dataclass(frozen=True, slots=True)
class CornerConfig:
    """Which corners are asked for.

    Attributes:
        names: of corners, characterized or interpolated; `all` for every characterized one.
        voltages: nominal ones: the typical corner at each.
        signoff: whether the slow corners that sign `voltages` off come along, and the fast one that hold is checked at.
        tolerance: share by which the supply may fall below nominal.
    """

    names: tuple[str, ...] = ()
    voltages: tuple[float, ...] = ()
    signoff: bool = False
    tolerance: float = SUPPLY_TOLERANCE


def choose_corners(pdk: Pdk, config: CornerConfig) -> tuple[Corner, ...]:
    """Return the corners that `config` asks for: typical ones first, each once.

    Nothing asked for means: what signs the library's nominal voltage off, as far as the library goes; or all corners
    where it states none.

    Raises:
        PdkError: a corner or voltage lies outside the library, or it has no slow corner to sign off at.
    """
    named = [corner for name in config.names for corner in (pdk.corners if name == ALL else (pdk.corner(name),))]
    if config.voltages or config.signoff:
        voltages = config.voltages or (nominal(pdk),)
        named += at_voltages(pdk, voltages)
        named += signing_off(pdk, voltages, config.tolerance) if config.signoff else []
    elif not named and pdk.nominal_voltage_v is None:
        named = list(pdk.corners)
    elif not named:
        named = at_voltages(pdk, (nominal(pdk),))
        named += signing_off(pdk, (nominal(pdk),), config.tolerance) if of_speed(pdk, "slow") else []
    return tuple({corner.name: corner for corner in named}.values())


def nominal(pdk: Pdk) -> float:
    """Return the library's nominal voltage.

    Raises:
        PdkError: it states none.
    """
    if pdk.nominal_voltage_v is None:
        raise PdkError(f"PDK {pdk.name} states no nominal_voltage_v; name the voltages to sign off with --voltages.")
    return pdk.nominal_voltage_v


def of_speed(pdk: Pdk, speed: Speed) -> list[Corner]:
    """Return the library's corners of this speed."""
    return [corner for corner in pdk.corners if speed_of(corner.process) == speed]


def at_voltages(pdk: Pdk, voltages: Iterable[float]) -> list[Corner]:
    """Return the typical corner at each voltage, at the temperature nearest to 25 C.

    Raises:
        PdkError: the library has no typical corner, or none at such a voltage.
    """
    typical = of_speed(pdk, "typical")
    if not typical:
        raise PdkError(f"PDK {pdk.name} has no typical corner; it has {', '.join(c.name for c in pdk.corners)}.")
    like = min(typical, key=lambda corner: abs(corner.temp_c - 25.0))
    return [pdk.at(like.process, like.temp_c, voltage_v) for voltage_v in voltages]


def signing_off(pdk: Pdk, voltages: Sequence[float], tolerance: float) -> list[Corner]:
    """Return, for each voltage, the slow corner of each temperature just below it; and the fast corner, for hold.

    Raises:
        PdkError: the library has no slow corner, or none as low.
    """
    kinds = dict.fromkeys((corner.process, corner.temp_c) for corner in of_speed(pdk, "slow"))
    if not kinds:
        raise PdkError(f"PDK {pdk.name} has no slow corner, so that nothing can be signed off; it has "
                       f"{', '.join(corner.name for corner in pdk.corners)}. Leave --signoff out.")
    slow = [slow_corner(pdk, process, temp_c, voltage_v * (1 - tolerance))
            for voltage_v in voltages for process, temp_c in kinds]
    fast = sorted(of_speed(pdk, "fast"), key=lambda corner: (corner.voltage_v, -corner.temp_c))
    return [*slow, *fast[-1:]]


def slow_corner(pdk: Pdk, process: str, temp_c: float, supply_v: float) -> Corner:
    """Return the corner at the highest voltage, characterized or on the grid, that is not above `supply_v`.

    Raises:
        PdkError: every characterized voltage of this process and temperature lies above `supply_v`.
    """
    known = [c.voltage_v for c in pdk.corners if (c.process, c.temp_c) == (process, temp_c)]
    on_grid = min(math.floor(supply_v / GRID_V + SAME_V) * GRID_V, max(known))
    below = [voltage_v for voltage_v in known if voltage_v <= supply_v + SAME_V]
    return pdk.at(process, temp_c, round(max([*below, on_grid]), 6) if below else supply_v)
