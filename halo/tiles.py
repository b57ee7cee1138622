"""Tiles: blocks of a weight matrix, each with its own codebook, and which codebook each gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from halo.errors import ConfigError

Variant = Literal["perf-opt", "acc-opt", "bal"]
Score = Literal["hessian", "guided", "fisher", "absgrad"]
SCORES = get_args(Score)


@dataclass(frozen=True, slots=True)
class TileConfig:
    """How matrices are cut, and which points of the front variants stand for ("bal" is its knee).

    Attributes:
        tile_in, tile_out: a tile's extent along the reduction axis and along the outputs.
        array_rows: R, the fold: rows of the reduction axis summed in one column of the array.
        array_cols: C, outputs in the array at once.
        score: what tells a tile's loss: "hessian", the quantizer's own first pass; or rounding to nearest, its errors
            weighted by the "guided" Hessian, the "fisher" diagonal or absolute gradients.
        spend: what the front is of, against loss: "time", or "energy".
        perf_time_share: "perf-opt" takes the least loss within this share of the way from the least time (or energy) to
            the most.
        acc_loss_share: "acc-opt" takes the least time (or energy) within this share above the least loss.
    """

    tile_in: int = 128
    tile_out: int = 128
    array_rows: int = 128
    array_cols: int = 128
    score: Score = "hessian"
    spend: Literal["time", "energy"] = "time"
    perf_time_share: float = 0.02
    acc_loss_share: float = 0.05

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ConfigError: a size is not positive, or a tile does not divide the array.
        """
        axes = (("tile_in", self.tile_in, self.array_rows), ("tile_out", self.tile_out, self.array_cols))
        for axis, tile, array in axes:
            if tile < 1 or array < 1 or array % tile:
                raise ConfigError(f"tiles.{axis} = {tile} does not divide the array's {array}; use a divisor of it.")


@dataclass(frozen=True, eq=False)
class TileMap:
    """Which codebook each tile of one layer uses.

    Attributes:
        name: the layer.
        classes: int8 `[ceil(out / tile_out), ceil(in / tile_in)]`, positions in the codebooks.
    """

    name: str
    classes: np.ndarray
    tile_in: int
    tile_out: int

    def __post_init__(self) -> None:
        """Make the classes read-only."""
        self.classes.setflags(write=False)

    def of_weights(self, out_features: int, in_features: int) -> np.ndarray:
        """Return the class of every weight, int8 `[out, in]`."""
        rows = self.classes.repeat(self.tile_out, axis=0)[:out_features]
        return rows.repeat(self.tile_in, axis=1)[:, :in_features]

    def sizes(self, out_features: int, in_features: int) -> np.ndarray:
        """Return how many weights each tile has, int64, the shape of `classes`; edge tiles have fewer."""
        rows = np.diff(np.minimum(np.arange(self.classes.shape[0] + 1) * self.tile_out, out_features))
        cols = np.diff(np.minimum(np.arange(self.classes.shape[1] + 1) * self.tile_in, in_features))
        return np.outer(rows, cols)


def uniform_map(name: str, out_features: int, in_features: int, config: TileConfig, chosen: int = 0) -> TileMap:
    """Return the map that gives every tile of a layer the codebook at position `chosen`."""
    shape = (-(-out_features // config.tile_out), -(-in_features // config.tile_in))
    return TileMap(name, np.full(shape, chosen, np.int8), config.tile_in, config.tile_out)
