"""load_mac(): the profile of the MAC that a model is planned for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from characterization.profile import WEIGHTS, MacProfile
from characterization.profile_file import load_profile
from halo.errors import PlanError


def load_mac(path: Path) -> MacProfile:
    """Return the profile saved at `path`, of a MAC whose weights are the int8 values.

    Raises:
        ArtifactError: the file is missing, damaged, or of another schema.
        PlanError: the MAC has other weight values; models are quantized to int8 codes.
    """
    profile = load_profile(path)
    if not np.array_equal(profile.weights, WEIGHTS):
        span = f"{profile.weights.size} weight values, {profile.weights[0]}..{profile.weights[-1]}"
        raise PlanError(f"{path}: {profile.head.design} has {span}; models are planned on MACs of all int8 values, "
                        "-128..127.")
    return profile
