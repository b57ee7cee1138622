"""load_mac(): the profile of the MAC that a model is planned for; load_dedicated(): of a PE for fewer weight values."""

from __future__ import annotations

from dataclasses import replace
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
    if not is_int8(profile):
        raise PlanError(f"{path}: {profile.head.design} has {span(profile)}; models are planned on MACs of all int8 "
                        "values, -128..127; `halo compare --dedicated` takes others.")
    return profile


def load_dedicated(path: Path) -> MacProfile:
    """Return the profile saved at `path` of a PE for fewer weights, each value under the int8 code it stands for.

    A weight's scale is free: value v at scale 16 s is code 16 v at scale s. So the values are spread as far as int8
    codes reach, and the int4 PE has the codes of int4 shifted by 4 bits; delays and energies stay what they are.

    Raises:
        ArtifactError: the file is missing, damaged, or of another schema.
        PlanError: the MAC is an int8 MAC itself, has values that int8 has not, or no 0.
    """
    profile = load_profile(path)
    if is_int8(profile):
        raise PlanError(f"{path}: {profile.head.design} is a MAC of all int8 values, no dedicated PE; give it with "
                        "--profile.")
    if not set(profile.weights.tolist()) <= set(WEIGHTS.tolist()) or 0 not in profile.weights:
        raise PlanError(f"{path}: {profile.head.design} has {span(profile)}; a dedicated PE has int8 values, 0 among "
                        "them.")
    step = 1
    while 2 * step * profile.weights[0] >= WEIGHTS[0] and 2 * step * profile.weights[-1] <= WEIGHTS[-1]:
        step *= 2
    certificates = tuple(replace(item, codes=tuple(step * code for code in item.codes))
                         for item in profile.certificates)
    return replace(profile, weights=profile.weights * step, certificates=certificates)


def is_int8(profile: MacProfile) -> bool:
    """Return whether the MAC's weights are all int8 values."""
    return np.array_equal(profile.weights, WEIGHTS)


def span(profile: MacProfile) -> str:
    """Return how many weight values a MAC has, and which, in words."""
    return f"{profile.weights.size} weight values, {profile.weights[0]}..{profile.weights[-1]}"
