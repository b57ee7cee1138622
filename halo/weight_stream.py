"""How weights that move every cycle follow each other, and what they spend by [previous weight, weight].

The order is that of the reduction axis: one lane of the MAC takes an output's weights one after the other, every
`lanes`-th of them (all outputs of an input, where the sums move instead). Where the order is not known, weights are
taken as independent draws from their histogram.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np

VALUES = 256


def count_followers(codes: np.ndarray, lanes: int, *, along_inputs: bool = True) -> np.ndarray:
    """Return how often each value follows another in a lane, int64 `[previous weight, weight]`.

    Args:
        codes: int8 `[out, in]`.
        lanes: of the MAC, side by side on the reduction axis.
        along_inputs: whether a lane runs through the inputs of an output; else through the outputs of an input.
    """
    before, after = (codes[:, :-lanes], codes[:, lanes:]) if along_inputs else (codes[:-1], codes[1:])
    places = (before.astype(np.int64) + VALUES // 2) * VALUES + after + VALUES // 2
    return np.bincount(places.reshape(-1), minlength=VALUES * VALUES).reshape(VALUES, VALUES)


def independent(counts: Sequence[int]) -> np.ndarray:
    """Return the shares of pairs of independent draws, float64 `[previous weight, weight]`; of no counts all alike."""
    shares = np.array(counts or (1,) * VALUES, dtype=np.float64)
    shares /= shares.sum()
    return np.outer(shares, shares)


def pack_followers(counts: np.ndarray) -> str:
    """Return counts as text for a plan, '' where there are none; equal counts give equal text.

    >>> int(unpack_followers(pack_followers(np.eye(256, dtype=np.int64)))[3, 3])
    1
    """
    if not counts.any():
        return ""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(counts, "<i8").tobytes(), 6)).decode("ascii")


def unpack_followers(text: str) -> np.ndarray:
    """Return the counts that were packed, int64 `[previous weight, weight]`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8").reshape(VALUES, VALUES)


def mean_pair_fj(pair_fj: np.ndarray, followers: str, counts: Sequence[int]) -> float:
    """Return the mean energy of an operation on a group of weights.

    Args:
        pair_fj: of an operation all lanes of which move alike `[previous weight, weight]`.
        followers: packed counts of the pairs, in the layer's own order; '' where that is not known.
        counts: of the values `[256]`, from which weights then are drawn; () where all are equally likely.
    """
    shares = unpack_followers(followers) if followers else independent(counts)
    return float((pair_fj * shares).sum() / shares.sum())


def value_energy(pair_fj: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return what one more weight of each value costs among independent draws, `[256]`; its mean is theirs.

    A weight that is put between two others adds two pairs and takes one away.

    Args:
        pair_fj: `[previous weight, weight]`.
        shares: of the values `[256]`.
    """
    before, after = shares @ pair_fj, pair_fj @ shares
    return np.asarray(before + after - before @ shares)
