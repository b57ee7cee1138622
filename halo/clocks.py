"""Clocks: at which period each set of weight values meets timing, at every voltage that a plan may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from characterization.errors import ArtifactError
from characterization.profile import MacProfile
from halo.errors import PlanError
from halo.operating_point import OperatingPoint, PointConfig, footing, operating_point
from halo.plan import ALL_VALUES, ClockClass, DvfsConfig


@dataclass(frozen=True, eq=False)
class Clocks:
    """The clock of every set of values at every planned voltage.

    Attributes:
        voltages: nominal, ascending.
        nominal_v: the voltage that memories stay at, and that codebooks were searched for.
        together: codebook -> the values that share its clock.
        left_out: voltage -> why it is not planned.
    """

    profile: MacProfile
    points: PointConfig
    voltages: tuple[float, ...]
    nominal_v: float
    together: Mapping[str, tuple[int, ...]]
    left_out: Mapping[float, str]
    known: dict[tuple[float, frozenset[int]], OperatingPoint] = field(default_factory=dict)

    def at(self, codes: Sequence[int], voltage_v: float, name: str = "") -> OperatingPoint:
        """Return the point of a set of values at a planned voltage."""
        key = (voltage_v, frozenset(codes))
        if key not in self.known:
            self.known[key] = operating_point(self.profile, sorted(key[1]), self.points_at(voltage_v), name)
        return self.known[key]

    def points_at(self, voltage_v: float) -> PointConfig:
        """Return the rules of a period at one voltage."""
        return replace(self.points, voltage_v=voltage_v)

    def of_group(self, codebook: str, used: Sequence[int], voltage_v: float) -> OperatingPoint:
        """Return the point of loads of a clock class that hold the values `used`, its own and what rides along."""
        return self.at(sorted({*self.together[codebook], *used}), voltage_v, codebook)

    def typical(self, voltage_v: float) -> str:
        """Return the corner whose energy and leakage count at a voltage."""
        return footing(self.profile, self.points_at(voltage_v)).typical

    def classes_at(self, voltage_v: float, codes: Mapping[str, tuple[int, ...]]) -> tuple[ClockClass, ...]:
        """Return the clock class of each codebook at one voltage."""
        result = []
        for name, own in codes.items():
            point = self.at(self.together[name], voltage_v, name)
            result.append(ClockClass(name, own, voltage_v, point.period_ps, point.delay_ps, point.corner, point.basis,
                                     point.signed_off, point.capped))
        return tuple(result)


def make_clocks(
    codebooks: Mapping[str, tuple[int, ...]], profile: MacProfile, points: PointConfig, config: DvfsConfig
) -> Clocks:
    """Return the clocks of these codebooks and of all values at every planned voltage.

    Raises:
        PlanError: a codebook is called like the class of all values and is not it, or no voltage is left.
        ArtifactError: a voltage that was asked for is not in the profile, or cannot be signed off.
    """
    together = {**launched_together(codebooks, profile.head.weight_mode),
                ALL_VALUES: tuple(int(code) for code in profile.weights)}
    voltages, left_out = planned_voltages(profile, points, config)
    nominal_v = points.voltage_v if points.voltage_v in voltages else max(voltages)
    return Clocks(profile, replace(points, voltage_v=nominal_v), voltages, nominal_v, together, left_out)


def planned_voltages(
    profile: MacProfile, points: PointConfig, config: DvfsConfig
) -> tuple[tuple[float, ...], Mapping[float, str]]:
    """Return the voltages to choose from, ascending, and why others of the profile are left out.

    Raises:
        PlanError: none of the profile's can be planned.
        ArtifactError: one that was asked for cannot.
    """
    if not config.every_voltage:
        asked = config.voltages or (points.voltage_v,)
        found = {footing(profile, replace(points, voltage_v=voltage_v)).voltage_v for voltage_v in asked}
        return tuple(sorted(found)), {}
    typical = sorted({float(profile.voltage_v[index]) for index in profile.grid.of_speed("typical")})
    left_out = {}
    for voltage_v in typical:
        try:
            footing(profile, replace(points, voltage_v=voltage_v))
        except ArtifactError as error:
            left_out[voltage_v] = str(error)
    kept = tuple(voltage_v for voltage_v in typical if voltage_v not in left_out)
    if not kept:
        reasons = "; ".join(left_out.values()) or "it has no typical corner"
        raise PlanError(f"no voltage of the profile of {profile.head.design} can be planned: {reasons}")
    return kept, left_out


def launched_together(codebooks: Mapping[str, tuple[int, ...]], weight_mode: str) -> dict[str, tuple[int, ...]]:
    """Return for each codebook the values that share its clock, by name; its own where weights are stationary.

    Tiles of faster codebooks ride in the loads of slower ones. Where weights stream, a value of one may then follow a
    value of the other, so that the codebooks are nested: each with all that stand before it, fast ones first.
    """
    if weight_mode != "streaming":
        return dict(codebooks)
    sets: dict[str, tuple[int, ...]] = {}
    launched: set[int] = set()
    for name, codes in codebooks.items():
        launched |= set(codes)
        sets[name] = tuple(sorted(launched))
    return sets
