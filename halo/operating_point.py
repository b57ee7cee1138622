"""Operating points: the voltage and frequency at which a set of weight values provably meets timing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from characterization.corner_grid import SUPPLY_TOLERANCE
from characterization.profile import DelayBound, MacProfile, WeightArrival
from characterization.set_certificate import best_certificate
from halo.errors import ConfigError, PlanError


@dataclass(frozen=True, slots=True)
class PointConfig:
    """At which voltage a plan runs, and what is added to a delay to make a clock period.

    Attributes:
        voltage_v: nominal supply, one of the profile's typical voltages; 0 where the profile has only one.
        signoff: true: periods are those of the slow corners at `voltage_v` less `tolerance`; false: of the typical
            corner, not signed off; auto: signed off where the profile has slow corners at all.
        tolerance: share by which the supply may fall below nominal.
        margin: flat share added to the delay.
        jitter_ps, skew_ps: constants added after the margin; they hurt fast classes most.
        cap_ghz: fastest clock of everything that is not the MAC (SRAM, accumulators, controller); 0 for none.
        bubble: whether every load spends a cycle, so that a weight is constant for one full cycle before the first
            result that counts; without it the swap delays set the clock.
    """

    voltage_v: float = 0.0
    signoff: bool | Literal["auto"] = "auto"
    tolerance: float = SUPPLY_TOLERANCE
    margin: float = 0.05
    jitter_ps: float = 20.0
    skew_ps: float = 20.0
    cap_ghz: float = 1.5
    bubble: bool = True

    def __post_init__(self) -> None:
        """Check signs.

        Raises:
            ConfigError: something is negative, or the tolerance no share.
        """
        parts = {"voltage_v": self.voltage_v, "margin": self.margin, "jitter_ps": self.jitter_ps,
                 "skew_ps": self.skew_ps, "cap_ghz": self.cap_ghz}
        if wrong := [f"{name} = {value:g}" for name, value in parts.items() if value < 0]:
            raise ConfigError(f"points: {', '.join(wrong)} must not be negative.")
        if not 0 <= self.tolerance < 1:
            raise ConfigError(f"points: tolerance = {self.tolerance:g} must be a share of the supply, 0 or more and "
                              "below 1.")

    @property
    def arrival(self) -> WeightArrival:
        """How weights arrive under the first result that counts."""
        return "stationary" if self.bubble else "swap"


@dataclass(frozen=True, slots=True)
class Footing:
    """The corners that a plan stands on.

    Attributes:
        voltage_v: nominal supply.
        corners: delays are those of the slowest of them.
        typical: energies and leakage are those of this one.
        signed_off: whether `corners` are slow ones at the lowered supply.
        says: how far the result is signed off, in words.
        arrival: how weights arrive under the first result that counts.
    """

    voltage_v: float
    corners: tuple[str, ...]
    typical: str
    signed_off: bool
    says: str
    arrival: WeightArrival


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A voltage and a clock, and what they rest on.

    Attributes:
        voltage_v: nominal.
        delay_ps: delay of the slowest value of the codebook, not below the floor.
        corner: the corner whose delay rules.
        basis: kind of delay, corner, interpolated or not, signed off or "typical, not signed off".
        signed_off: whether the delay is of the slow corners at the lowered supply.
        capped: whether the non-MAC cap, not the MAC, sets the period.
    """

    voltage_v: float
    period_ps: float
    delay_ps: float
    corner: str
    basis: str
    signed_off: bool
    capped: bool

    @property
    def freq_ghz(self) -> float:
        """The clock frequency."""
        return 1000.0 / self.period_ps


def footing(profile: MacProfile, config: PointConfig) -> Footing:
    """Return the corners of `profile` that `config` asks for.

    Raises:
        ArtifactError: the profile has no typical corner at the voltage, or no slow corner low enough to sign it off.
        PlanError: it has several typical voltages, and none is named.
    """
    several = [f"{profile.voltage_v[index]:g}" for index in profile.grid.of_speed("typical")]
    if not config.voltage_v and len(several) > 1:
        raise PlanError(f"the profile of {profile.head.design} has {len(several)} typical voltages, "
                        f"{', '.join(several)} V, and none was named; set points.voltage_v to one of them.")
    typical = profile.grid.typical(config.voltage_v or None)
    voltage_v, name = float(profile.voltage_v[typical]), profile.corners[typical]
    if config.signoff is False or (config.signoff == "auto" and not profile.grid.of_speed("slow")):
        return Footing(voltage_v, (name,), name, False, "typical, not signed off", config.arrival)
    found = profile.signoff(voltage_v, config.tolerance)
    says = f"signed off at {voltage_v:g} V less {config.tolerance:.0%}, the slower of {' and '.join(found.corners)}"
    if len(found.corners) == 1:
        says = f"signed off at {voltage_v:g} V less {config.tolerance:.0%}, at the only slow temperature there is"
    return Footing(voltage_v, found.corners, name, True, says, config.arrival)


def operating_point(
    profile: MacProfile, codes: Iterable[int], config: PointConfig, name: str = ""
) -> OperatingPoint:
    """Return the fastest point of `codes` at the planned voltage; `name` is the codebook's, for errors.

    `period = max(delay, floor) x (1 + margin) + jitter + skew`, and never below the cap of what is not the MAC.

    Raises:
        PlanError: `codes` is empty, or the MAC's weights stream and no set certificate speaks for them.
        ArtifactError: the profile has no corner for the voltage.
    """
    chosen = [int(code) for code in codes]
    if not chosen:
        raise PlanError("an operating point was asked for an empty codebook; a codebook needs at least the value 0.")
    place = footing(profile, config)
    if missing := uncertified(profile, chosen, place):
        raise PlanError(f"{profile.head.design}: weights stream, and codebook {name or chosen} ({len(chosen)} values) "
                        f"has no set certificate at {', '.join(missing)}; run `characterize certify PROFILE "
                        "--codebooks FILE` and plan again.")
    bound = profile.bound_of(chosen, place.corners, place.arrival)
    wanted_ps = period_ps(bound.delay_ps, config)
    cap_ps = 1000.0 / config.cap_ghz if config.cap_ghz else 0.0
    basis = f"{kind_words(bound)} at {corner_words(profile, bound.corner)}; {place.says}"
    return OperatingPoint(
        voltage_v=place.voltage_v, period_ps=max(wanted_ps, cap_ps), delay_ps=bound.delay_ps, corner=bound.corner,
        basis=basis, signed_off=place.signed_off, capped=cap_ps > wanted_ps,
    )  # fmt: skip


def period_ps(delay_ps: float, config: PointConfig) -> float:
    """Return the period that a delay needs, the cap of what is not the MAC apart.

    >>> period_ps(1000.0, PointConfig(margin=0.05, jitter_ps=20, skew_ps=10))
    1080.0
    """
    return delay_ps * (1 + config.margin) + config.jitter_ps + config.skew_ps


def proposed_period_ps(profile: MacProfile, codes: Iterable[int], config: PointConfig) -> float:
    """Return the period by which a search ranks `codes`.

    On a stationary design it is that of the operating point. Where weights stream, delays with all lanes alike only
    rank candidates: the search proposes, a set certificate decides.
    """
    chosen = [int(code) for code in codes]
    if profile.head.weight_mode != "streaming":
        return operating_point(profile, chosen, config).period_ps
    corners = footing(profile, config).corners
    floor_ps = max(float(profile.floor_ps[index]) for index in profile.corner_indices(corners))
    delay_ps = float(profile.bound_ps(corners)[profile.positions(chosen)].max())
    return max(period_ps(max(delay_ps, floor_ps), config), 1000.0 / config.cap_ghz if config.cap_ghz else 0.0)


def uncertified(profile: MacProfile, codes: Iterable[int], place: Footing) -> tuple[str, ...]:
    """Return the corners at which streaming `codes` lack a certificate of their own, or of fewer than all values.

    The longest path with the weights free bounds all values together; it says nothing of a codebook.
    """
    chosen = set(codes)
    if profile.head.weight_mode != "streaming" or len(chosen) == profile.weights.size:
        return ()
    found = {corner: best_certificate(profile.certificates, chosen, corner, "streaming") for corner in place.corners}
    return tuple(corner for corner, item in found.items() if item is None or len(item.codes) == profile.weights.size)


def kind_words(bound: DelayBound) -> str:
    """Return what kind of delay a bound is.

    >>> kind_words(DelayBound(900.0, "tt", "certified", exact=True))
    'certified delay'
    """
    if bound.kind == "floor":
        return "floor, which no weight beats,"
    own = bound.kind == "set certificate"
    words = f"set certificate of {len(bound.codes)} values" if own else f"{bound.kind} delay"
    proved = own or bound.kind == "certified"
    return f"{words} (proved, not known to be attained)" if proved and not bound.exact else words


def corner_words(profile: MacProfile, corner: str) -> str:
    """Return a corner with the two that it is interpolated between, if it is."""
    between = profile.interpolated[profile.corner_index(corner)]
    return f"{corner} (interpolated between {between})" if between else corner


def planned_bounds(profile: MacProfile, config: PointConfig) -> np.ndarray:
    """Return the delay of every weight value at the planned corners, `[weight]`."""
    place = footing(profile, config)
    return profile.bound_ps(place.corners, place.arrival)
