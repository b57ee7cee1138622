"""Operating points: the voltage and frequency at which a set of weight values provably meets timing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from characterization.profile import MacProfile
from halo.errors import PlanError


@dataclass(frozen=True, slots=True)
class PointConfig:
    """What is added to a delay to make a clock period.

    Attributes:
        margin: flat share added to the delay.
        jitter_ps, skew_ps: constants added after the margin; they hurt fast classes most.
        cap_ghz: fastest clock of everything that is not the MAC (SRAM, accumulators, controller); 0 for none.
        corner: corner of the profile; '' where it has only one.
    """

    margin: float = 0.05
    jitter_ps: float = 20.0
    skew_ps: float = 20.0
    cap_ghz: float = 1.5
    corner: str = ""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A voltage and a clock, and what they rest on.

    Attributes:
        delay_ps: delay of the slowest value of the codebook, not below the floor.
        signed_off: whether the delay is of the slow corners at the lowered supply; else "typical, not signed off".
        capped: whether the non-MAC cap, not the MAC, sets the period.
    """

    voltage_v: float
    period_ps: float
    delay_ps: float
    basis: str
    signed_off: bool
    capped: bool

    @property
    def freq_ghz(self) -> float:
        """The clock frequency."""
        return 1000.0 / self.period_ps


def operating_point(profile: MacProfile, codes: np.ndarray, config: PointConfig) -> OperatingPoint:
    """Return the fastest point of `codes` (int8 values) at the profile's corner.

    `period = max(delay, floor) x (1 + margin) + jitter + skew`, and never below the cap of what is not the MAC.

    Raises:
        PlanError: `codes` is empty, or the MAC's weights stream and no set certificate is there.
    """
    if len(codes) == 0:
        raise PlanError("an operating point was asked for an empty codebook; a codebook needs at least the value 0.")
    corner = config.corner or None
    delay_ps = profile.worst_ps(codes, corner)
    if profile.head.weight_mode == "streaming":
        # Weights launch with the activations: any value may follow any other, so only all values are proven.
        delay_ps = profile.worst_ps(np.arange(-128, 128), corner)
    wanted_ps = delay_ps * (1 + config.margin) + config.jitter_ps + config.skew_ps
    cap_ps = 1000.0 / config.cap_ghz if config.cap_ghz else 0.0
    return OperatingPoint(
        voltage_v=float(profile.voltage_v[profile.corner_index(corner)]), period_ps=max(wanted_ps, cap_ps),
        delay_ps=delay_ps, basis="topological delay, typical corner, not signed off", signed_off=False,
        capped=cap_ps > wanted_ps,
    )
