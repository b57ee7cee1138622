"""all_finite(): whether a tensor holds only numbers, asked a few rows at a time: torch's own answer takes a copy."""

from __future__ import annotations

import torch

ROWS_AT_ONCE = 512


def all_finite(values: torch.Tensor) -> bool:
    """Return whether no element is NaN or infinite."""
    return all(bool(torch.isfinite(rows).all()) for rows in torch.split(values, ROWS_AT_ONCE))
