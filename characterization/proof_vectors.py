"""ProofVectors: tiles of a quantized model and the activations they met; `halo` records them, `prove` runs them.

A neutral file (compressed NetCDF): integers, clock classes and digests; nothing in it knows of models.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from characterization.artifact import Provenance, atomic_path
from characterization.errors import ArtifactError

SCHEMA = 1
VECTORS_FILE = "vectors.nc"


@dataclass(frozen=True, slots=True)
class ProofClass:
    """A clock class of a plan.

    Attributes:
        codes: the values its tiles may hold.
        voltage_v: nominal.
        period_ps: planned, with everything added to the delay.
        delay_ps: the bound that the period rests on, floor included.
        corner, typical: of the profile, whose delay rules and whose energy counts.
    """

    name: str
    codes: tuple[int, ...]
    voltage_v: float
    period_ps: float
    delay_ps: float
    corner: str
    typical: str


@dataclass(frozen=True, eq=False)
class ProofTile:
    """One tile and what streamed through it.

    Attributes:
        clock_class: its class, by name.
        origin: the matrix, and where in it, in words.
        running: whether sums run on over all rows (one scale per channel); else each fold starts at zero.
        weights: values, int8 `[row, column]`; rows are the reduction axis.
        activations: int8 `[step, row]`.
    """

    clock_class: str
    origin: str
    running: bool
    weights: np.ndarray
    activations: np.ndarray


@dataclass(frozen=True, eq=False)
class ProofVectors:
    """What a plan is proved with.

    Attributes:
        design: name of the MAC.
        profile_digest: of the profile that the plan was made from.
        netlist_digest: of the netlist that it measured.
        method: whose plan it is.
        tiles: all of one shape, with as many steps each.
    """

    design: str
    profile_digest: str
    netlist_digest: str
    method: str
    classes: tuple[ProofClass, ...]
    tiles: tuple[ProofTile, ...]
    provenance: Provenance

    def __post_init__(self) -> None:
        """Check that everything fits together.

        Raises:
            ArtifactError: a period is not positive, a class is unknown, or a tile has another shape or a value that its
                class lacks.
        """
        known = {item.name: item for item in self.classes}
        for item in self.classes:
            if not item.period_ps > 0:
                raise ArtifactError(f"vectors of {self.method}: class {item.name} has a period of {item.period_ps:g} "
                                    "ps; a clock needs a positive one.")
        for tile in self.tiles:
            if tile.clock_class not in known:
                raise ArtifactError(f"vectors of {self.method}: {tile.origin} is of class {tile.clock_class}, which is "
                                    f"none of {', '.join(known)}.")
            self.check_shape(tile)
            outside = sorted(set(np.unique(tile.weights).tolist()) - set(known[tile.clock_class].codes))
            if outside:
                raise ArtifactError(f"vectors of {self.method}: {tile.origin} holds {outside[0]}, which is not in "
                                    f"class {tile.clock_class}.")

    def check_shape(self, tile: ProofTile) -> None:
        """Check that a tile has the first one's shape.

        Raises:
            ArtifactError: it has not.
        """
        first = self.tiles[0]
        if tile.weights.shape != first.weights.shape or tile.activations.shape != first.activations.shape:
            raise ArtifactError(f"vectors of {self.method}: {tile.origin} is {list(tile.weights.shape)} with "
                                f"activations {list(tile.activations.shape)}, others are {list(first.weights.shape)} "
                                f"with {list(first.activations.shape)}.")
        if tile.activations.ndim != 2 or tile.activations.shape[1] != tile.weights.shape[0]:
            raise ArtifactError(f"vectors of {self.method}: activations of {list(tile.activations.shape)} do not fit "
                                f"the {tile.weights.shape[0]} rows of {tile.origin}.")


def save_vectors(vectors: ProofVectors, path: Path) -> None:
    """Write vectors as compressed NetCDF, in one step; equal vectors give equal bytes."""
    stacks = {"weights": (("tile", "row", "column"), [tile.weights for tile in vectors.tiles]),
              "activations": (("tile", "step", "row"), [tile.activations for tile in vectors.tiles])}
    variables: dict[str, Any] = {
        name: (axes, np.stack(arrays).astype(np.int8), {"units": "1"}) for name, (axes, arrays) in stacks.items()
    }
    rows = [{"clock_class": tile.clock_class, "origin": tile.origin, "running": tile.running} for tile in vectors.tiles]
    attributes = {
        "schema": SCHEMA, "design": vectors.design, "profile_digest": vectors.profile_digest,
        "netlist_digest": vectors.netlist_digest, "method": vectors.method,
        "classes": json.dumps([asdict(item) for item in vectors.classes]), "tiles": json.dumps(rows),
        "provenance": vectors.provenance.to_json(), "title": f"Proof vectors of {vectors.method}",
    }
    packed = {name: {"zlib": True, "complevel": 4} for name in stacks}
    with atomic_path(path) as partial:
        xr.Dataset(variables, attrs=attributes).to_netcdf(partial, engine="h5netcdf", encoding=packed)


def load_vectors(path: Path) -> ProofVectors:
    """Return the vectors saved at `path`, or in the plan's folder `path`.

    Raises:
        ArtifactError: the file is missing, damaged, or of another schema, or its parts do not fit together.
    """
    path = path / VECTORS_FILE if path.is_dir() else path
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; `halo run` writes one beside each plan.")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as data:
            data.load()
        head = dict(data.attrs)
        if head.get("schema") != SCHEMA:
            raise ArtifactError(f"{path}: proof vectors of schema {head.get('schema')}, not {SCHEMA}; make the plan "
                                "again with `halo run`.")
        classes = tuple(ProofClass(**{**fields, "codes": tuple(fields["codes"])})
                        for fields in json.loads(head["classes"]))
        rows, weights, activations = json.loads(head["tiles"]), data["weights"].values, data["activations"].values
        tiles = tuple(ProofTile(**row, weights=weights[i], activations=activations[i]) for i, row in enumerate(rows))
        return ProofVectors(str(head["design"]), str(head["profile_digest"]), str(head["netlist_digest"]),
                            str(head["method"]), classes, tiles, Provenance.from_json(head["provenance"]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ArtifactError(f"{path}: not readable proof vectors ({error}); make the plan again with `halo run`."
                            ) from None


def read_activations(path: Path, rows: int, bits: int) -> np.ndarray:
    """Return recorded activations, int8 `[step, row]`, from a `.npy` file of integers.

    Args:
        path: the file.
        rows: of the tiles they stream through.
        bits: of the design's activations.

    Raises:
        ArtifactError: no such file, not integers of that width, or beyond those bits.
    """
    try:
        values: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: not a NumPy file of activations ({error}).") from None
    if values.ndim != 2 or values.shape[1] != rows or len(values) < 2 or not np.issubdtype(values.dtype, np.integer):
        raise ArtifactError(f"{path}: activations of shape {list(values.shape)} and type {values.dtype}; the tiles "
                            f"have {rows} rows, so needed are integers [steps, {rows}], two steps at least.")
    half = 1 << bits - 1
    if values.min() < -half or values.max() >= half:
        raise ArtifactError(f"{path}: activations reach from {values.min()} to {values.max()}, beyond {bits} bits.")
    return values.astype(np.int8)
