"""EnergyTable: the energy of every weight at every move of its operand, from which means under any histogram follow.

Of a stationary design `[weight, previous activation, activation]`; of a streaming one `[weight, previous weight]`, the
mean over activations. A file of its own, compressed NetCDF: 256 x 65,536 numbers are beyond what a profile carries.
It is a door to `halo`, like the profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from characterization.artifact import Provenance, atomic_path
from characterization.errors import ArtifactError

SCHEMA = 3
# Sums of shares end a little beside their true value.
ROUNDING = 1e-12
FIELDS = ("design", "corner", "netlist_digest", "stimulus")


@dataclass(frozen=True, eq=False)
class EnergyTable:
    """Energies of one design at one corner, leakage apart.

    Attributes:
        design, corner, netlist_digest: what was simulated.
        stimulus: in words.
        weights: the weight values, sorted `[weight]`.
        operands: the values that move: activations, or previous weights `[operand]`.
        energy_fj: float32 `[weight, previous activation, activation]` or `[weight, previous weight]`.
        register_fj: the part of the mean over all moves that is spent inside flops and clock pins `[weight]`.
    """

    design: str
    corner: str
    netlist_digest: str
    stimulus: str
    weights: np.ndarray
    operands: np.ndarray
    energy_fj: np.ndarray
    register_fj: np.ndarray
    provenance: Provenance

    def __post_init__(self) -> None:
        """Check the shape and make the arrays read-only."""
        n = self.operands.size
        if self.energy_fj.shape not in ((self.weights.size, n, n), (self.weights.size, n)):
            raise ArtifactError(f"energy table has shape {list(self.energy_fj.shape)}, not {self.weights.size} weights "
                                f"by one or two axes of {n} operands.")
        if self.register_fj.shape != self.weights.shape:
            raise ArtifactError(f"{self.register_fj.size} energies of registers for {self.weights.size} weights.")
        for array in (self.weights, self.operands, self.energy_fj, self.register_fj):
            array.setflags(write=False)

    def mean_fj(self, counts: np.ndarray) -> np.ndarray:
        """Return the mean energy of each weight where moves occur as often as `counts`, float64 `[weight]`.

        Args:
            counts: as the table without its weights: `[previous activation, activation]`, or `[previous weight]`.

        Raises:
            ArtifactError: counts of another shape, negative, or all zero.
        """
        mean: np.ndarray = self.rows @ self.shares(counts)
        return mean

    def std_fj(self, counts: np.ndarray) -> np.ndarray:
        """Return the standard deviation over the same moves, float64 `[weight]`."""
        shares = self.shares(counts)
        return np.sqrt([(row - row @ shares) ** 2 @ shares for row in self.rows])

    def quantiles_fj(self, counts: np.ndarray, levels: Sequence[float] = (0.05, 0.5, 0.95)) -> np.ndarray:
        """Return the energies that these shares of the same moves do not exceed, float64 `[weight, level]`."""
        shares, found = self.shares(counts), np.zeros((self.weights.size, len(levels)))
        for place, row in enumerate(self.rows):
            order = np.argsort(row, kind="stable")
            reached = np.searchsorted(np.cumsum(shares[order]), np.array(levels) - ROUNDING)
            found[place] = row[order[np.minimum(reached, order.size - 1)]]
        return found

    @property
    def rows(self) -> np.ndarray:
        """Energies of all moves in a row, `[weight, move]`."""
        return self.energy_fj.reshape(self.weights.size, -1)

    def shares(self, counts: np.ndarray) -> np.ndarray:
        """Return the share of each move, float64 `[move]`.

        Raises:
            ArtifactError: counts of another shape, negative, or all zero.
        """
        shape = self.energy_fj.shape[1:]
        if counts.shape != shape or (counts < 0).any() or not counts.any():
            raise ArtifactError(f"counts must have shape {list(shape)}, none negative, and not all zero; these have "
                                f"shape {list(counts.shape)} and reach from {counts.min()} to {counts.max()}.")
        return np.asarray(counts / counts.sum()).ravel()

    def moves(self, chain: np.ndarray) -> np.ndarray:
        """Return how often each move occurs in a chain of activations [step], int64 `[previous, next]`."""
        places = np.searchsorted(self.operands, chain)
        n = self.operands.size
        counts: np.ndarray = np.bincount(places[:-1] * n + places[1:], minlength=n * n).reshape(n, n)
        return counts


def save_table(table: EnergyTable, path: Path) -> None:
    """Write a table as compressed NetCDF, in one step; equal tables give equal bytes."""
    axes = ("weight", "previous", "next") if table.energy_fj.ndim == 3 else ("weight", "previous")
    coordinates = {axis: (axis, values.astype(np.int16), {"units": "1"}) for axis, values in
                   zip(axes, (table.weights, table.operands, table.operands), strict=False)}
    attributes = {"schema": SCHEMA, "provenance": table.provenance.to_json(),
                  "title": f"Energy table of {table.design}"} | {name: getattr(table, name) for name in FIELDS}
    arrays = {"energy_fj": (axes, table.energy_fj, {"units": "fJ"}),
              "register_fj": (axes[:1], table.register_fj, {"units": "fJ"})}  # fmt: skip
    data = xr.Dataset(arrays, coordinates, attributes)
    with atomic_path(path) as partial:
        data.to_netcdf(partial, engine="h5netcdf",
                       encoding={"energy_fj": {"zlib": True, "complevel": 4, "shuffle": True}})


def load_table(path: Path) -> EnergyTable:
    """Return the table saved at `path`.

    Raises:
        ArtifactError: the file is missing, damaged, or of another schema.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such energy table; make one with `characterize energy DESIGN --out {path}`.")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as data:
            data.load()
        found = data.attrs.get("schema")
        if found != SCHEMA:
            raise ArtifactError(f"{path}: energy table schema {found}, not {SCHEMA}; make it again with "
                                "`characterize energy`.")
        design, corner, digest, stimulus = (str(data.attrs[name]) for name in FIELDS)
        return EnergyTable(design, corner, digest, stimulus, data["weight"].to_numpy().astype(np.int64),
                           data["previous"].to_numpy().astype(np.int64), data["energy_fj"].to_numpy(),
                           data["register_fj"].to_numpy(), Provenance.from_json(data.attrs["provenance"]))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ArtifactError(f"{path}: not a readable energy table ({error}); make it again with `characterize "
                            "energy`.") from None
