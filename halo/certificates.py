"""require_certificates(): no streaming codebook is planned before its delay is proved; what is missing is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from characterization.codebook_file import write_codebooks
from characterization.profile import MacProfile
from halo.clocks import launched_together
from halo.codebook import Codebook
from halo.errors import PlanError
from halo.operating_point import PointConfig, footing, uncertified

CODEBOOKS = "codebooks.json"


def require_certificates(
    profile: MacProfile, points: PointConfig, models: Mapping[str, Sequence[Codebook]], path: Path, folder: Path
) -> None:
    """Check that every codebook that is to be planned has a set certificate where the MAC's weights stream.

    Args:
        profile: of the MAC.
        points: the planned voltage.
        models: the codebooks of each model that is to be planned, by its name.
        path: of the profile, for the error.
        folder: where the codebooks that lack a certificate are written.

    Raises:
        PlanError: some lack one; they are then in `folder`, and the command that proves them is named.
    """
    place = footing(profile, points)
    sets = {f"{model}: {name}": codes for model, books in models.items()
            for name, codes in launched_together({book.name: book.codes for book in books},
                                                 profile.head.weight_mode).items()}
    missing = {name: codes for name, codes in sets.items() if uncertified(profile, codes, place)}
    if not missing:
        return
    distinct = {codes: name for name, codes in reversed(missing.items())}
    write_codebooks(folder / CODEBOOKS, {name: codes for codes, name in reversed(distinct.items())})
    corners = ", ".join(dict.fromkeys(c for codes in missing.values() for c in uncertified(profile, codes, place)))
    raise PlanError(f"{profile.head.design}: weights stream, and {', '.join(missing)} have no set certificate at "
                    f"{corners}; run `characterize certify {path} --codebooks {folder / CODEBOOKS}`, then this again.")
