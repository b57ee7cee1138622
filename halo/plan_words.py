"""Sentences of a plan: what is known of hold, and why no voltage is planned."""

from __future__ import annotations

import numpy as np

from characterization.profile import MacProfile
from halo.clocks import Clocks
from halo.operating_point import PointConfig


def why_frequency_only(profile: MacProfile, clocks: Clocks) -> str:
    """Return why no voltage is planned; '' where one is."""
    if len(clocks.voltages) > 1:
        return ""
    n_typical = len(profile.grid.of_speed("typical"))
    if n_typical == 1:
        return "frequency only: one typical voltage in the profile"
    return f"frequency only: {clocks.nominal_v:g} V was given, one of {n_typical}"


def hold_words(profile: MacProfile, points: PointConfig) -> str:
    """Return what is known of hold: the corner that tolerates least skew, against the skew that periods allow for."""
    if np.isnan(profile.tolerated_skew_ps).all():
        return "hold is not checked in this profile: a skew between neighbours is added to periods, nothing more"
    worst = int(np.nanargmin(profile.tolerated_skew_ps))
    tolerated_ps = float(profile.tolerated_skew_ps[worst])
    kept = "kept" if points.skew_ps <= tolerated_ps else "VIOLATED: insert delay, or lower the skew"
    return f"hold at a skew of {points.skew_ps:g} ps: {kept}; {profile.corners[worst]} tolerates {tolerated_ps:.1f} ps"
