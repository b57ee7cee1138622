"""What must hold of a profile's tables: shapes, signs, and the order of its delays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from characterization.errors import ArtifactError

if TYPE_CHECKING:
    from characterization.profile import MacProfile

# Delays are sums of tens of arcs; one engine rounds to femtoseconds, another to attoseconds.
AGREE_PS = 0.01


def check_table(name: str, array: np.ndarray, shape: tuple[int, ...], *, optional: bool, signed: bool = False) -> None:
    """Make `array` read-only after checking shape, finiteness and sign; optional rows may be NaN throughout.

    Raises:
        ArtifactError: any of them is wrong.
    """
    if array.shape != shape:
        raise ArtifactError(f"{name} has shape {list(array.shape)}, not {list(shape)}; was it made for other widths?")
    missing = np.isnan(array)
    if not optional and not np.isfinite(array).all():
        raise ArtifactError(f"{name} has {int((~np.isfinite(array)).sum())} values that are not finite.")
    if np.isinf(array).any() or (array.ndim > 1 and (missing.any(axis=1) != missing.all(axis=1)).any()):
        raise ArtifactError(f"{name} must be known for all weights of a corner or for none.")
    if not signed and (array < 0).any():
        raise ArtifactError(f"{name} has a negative value, {np.nanmin(array):g}.")
    array.setflags(write=False)


def check_order(profile: MacProfile) -> None:
    """Check observed <= certified <= topological <= free, and what witnesses attain against what is proved.

    Raises:
        ArtifactError: with the first corner and weight that contradict it.
    """
    free = np.broadcast_to(profile.free_ps[:, None], profile.topological_ps.shape)
    tables = {
        "observed": profile.observed_ps, "topological": profile.topological_ps, "free": free,
        "certified": profile.certified_ps, "attained": profile.certified_lower_ps, "swap": profile.swap_ps,
        "attained swap": profile.swap_lower_ps,
    }
    for low, high in (("observed", "topological"), ("observed", "certified"), ("certified", "topological"),
                      ("attained", "certified"), ("attained", "swap"), ("attained swap", "swap"), ("swap", "free"),
                      ("topological", "free")):  # fmt: skip
        # A comparison with NaN is False: what is not known contradicts nothing.
        late = np.argwhere(tables[low] > tables[high] + AGREE_PS)
        if late.size:
            c, w = late[0]
            raise ArtifactError(
                f"corner {profile.corners[c]}, weight {profile.weights[w]}: {low} delay exceeds the {high} bound, "
                f"{tables[low][c, w]:.3f} over {tables[high][c, w]:.3f} ps; on one delay set that is a bug."
            )
