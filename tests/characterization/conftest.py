"""A measured profile that many tests read and none changes."""

from pathlib import Path

import pytest

from characterization.pipeline import CharacterizeConfig, profile_mac
from characterization.profile import MacProfile
from tests.characterization.two_corners import INT4, Stages, two_corners


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MacProfile, dict[str, tuple[int, int]]]:
    """A profile of the int4 PE at two corners, the folder of its stages, and what was told about progress."""
    pdk, stages = two_corners(), Stages()
    work = tmp_path_factory.mktemp("profile")
    profile = profile_mac(INT4, pdk, pdk.corners, CharacterizeConfig(transitions=20, workers=2), work, stages)
    return work, profile, stages.seen
