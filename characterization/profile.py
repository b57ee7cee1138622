"""MacProfile: what the hardware half tells the model half. Delay and energy of every weight value, per corner.

A profile is one NetCDF file (readable with xarray or ncdump), every variable with a `units` attribute.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from characterization.artifact import Provenance, atomic_path, digest_file
from characterization.errors import ArtifactError
from characterization.units import FJ_PER_NW_PS

SCHEMA = 1
DelayKind = Literal["topological", "sta", "observed"]
WEIGHTS = np.arange(-128, 128)
UNITS = {
    "topological_ps": "ps", "sta_ps": "ps", "observed_ps": "ps", "floor_ps": "ps", "energy_fj": "fJ",
    "energy_std_fj": "fJ", "register_energy_fj": "fJ", "leakage_nw": "nW", "n_transitions": "1", "voltage_v": "V",
    "temp_c": "degC", "area_um2": "um2",
}
PER_WEIGHT = ("topological_ps", "sta_ps", "observed_ps", "energy_fj", "energy_std_fj", "register_energy_fj")
PER_CORNER = ("floor_ps", "leakage_nw", "voltage_v", "temp_c")


@dataclass(frozen=True, slots=True)
class ProfileHead:
    """What a profile is of: the MAC, its library, and how its numbers were had."""

    design: str
    weight_mode: Literal["stationary", "streaming"]
    weight_bits: int
    activation_bits: int
    accumulator_bits: int
    lanes: int
    library: str
    netlist_digest: str
    n_cells: int
    area_um2: float
    stimulus: str
    lookups_outside: int


@dataclass(frozen=True, eq=False)
class MacProfile:
    """Delay and energy of every weight value of one MAC design.

    Arrays are float64; `[corner, weight]` runs over `corners` and over -128..127 in order. Delays are register to
    register: clk->q, path, and setup. Energy is of one operation, data, clock and registers together, leakage apart.

    Attributes:
        topological_ps: longest path with the weight fixed, global slews, worst `when` `[corner, weight]`.
        sta_ps: the same as OpenSTA has it under case analysis `[corner, weight]`.
        observed_ps: latest settle time plus setup seen in timed simulation `[corner, weight]`.
        energy_fj, energy_std_fj: mean and standard deviation over simulated transitions `[corner, weight]`.
        register_energy_fj: the part of `energy_fj` spent in clock pins and registers `[corner, weight]`.
        n_transitions: transitions simulated for each weight.
        floor_ps, leakage_nw, voltage_v, temp_c: `[corner]`.
    """

    head: ProfileHead
    corners: tuple[str, ...]
    topological_ps: np.ndarray
    sta_ps: np.ndarray
    observed_ps: np.ndarray
    energy_fj: np.ndarray
    energy_std_fj: np.ndarray
    register_energy_fj: np.ndarray
    n_transitions: int
    floor_ps: np.ndarray
    leakage_nw: np.ndarray
    voltage_v: np.ndarray
    temp_c: np.ndarray
    provenance: Provenance

    def __post_init__(self) -> None:
        """Check shapes and physics, and make the arrays read-only."""
        for name in PER_WEIGHT:
            check_array(name, getattr(self, name), (len(self.corners), WEIGHTS.size))
        for name in PER_CORNER:
            check_array(name, getattr(self, name), (len(self.corners),))
        late = np.argwhere(self.observed_ps > self.topological_ps + 0.01)
        if late.size:
            corner, weight = self.corners[late[0, 0]], WEIGHTS[late[0, 1]]
            raise ArtifactError(f"corner {corner}, weight {weight}: observed delay exceeds the topological bound.")

    @property
    def energy_sem_fj(self) -> np.ndarray:
        """Standard error of the mean energy `[corner, weight]`."""
        return np.asarray(self.energy_std_fj / np.sqrt(self.n_transitions))

    def corner_index(self, corner: str | None = None) -> int:
        """Return the position of `corner`; None means the only one.

        Raises:
            ArtifactError: the profile has no such corner, or several and none was named.
        """
        if corner is None and len(self.corners) == 1:
            return 0
        if corner in self.corners:
            return self.corners.index(corner)
        raise ArtifactError(f"no corner {corner!r} in this profile; it has {', '.join(self.corners)}.")

    def bound_ps(self, corner: str | None = None) -> np.ndarray:
        """Return the delay no stimulus exceeds, `[weight]`: the topological one until certificates are added."""
        return np.asarray(self.topological_ps[self.corner_index(corner)])

    def worst_ps(self, codes: np.ndarray, corner: str | None = None) -> float:
        """Return the delay of the slowest of `codes` (values of -128..127), not below the floor."""
        index = self.corner_index(corner)
        return float(max(self.bound_ps(corner)[np.asarray(codes) + 128].max(), self.floor_ps[index]))

    def operation_energy_fj(self, period_ps: float, corner: str | None = None) -> np.ndarray:
        """Return energy per operation with leakage over `period_ps`, `[weight]`."""
        index = self.corner_index(corner)
        leakage_fj = float(self.leakage_nw[index]) * period_ps * FJ_PER_NW_PS
        return np.asarray(self.energy_fj[index] + leakage_fj)

    def fastest(self, count: int, corner: str | None = None) -> np.ndarray:
        """Return the `count` fastest weight values, sorted; ties go to the smaller magnitude."""
        delay = self.bound_ps(corner)
        order = np.lexsort((WEIGHTS < 0, np.abs(WEIGHTS), delay))
        return np.sort(WEIGHTS[order[:count]])

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one plain row per corner and weight, for CSV and tables."""
        for c, corner in enumerate(self.corners):
            for w, weight in enumerate(WEIGHTS):
                values = {name: float(getattr(self, name)[c, w]) for name in PER_WEIGHT}
                values["energy_sem_fj"] = float(self.energy_sem_fj[c, w])
                yield {"corner": corner, "weight": int(weight), **values}


def check_array(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Make `array` read-only after checking shape, finiteness and sign.

    Raises:
        ArtifactError: any of them is wrong.
    """
    if array.shape != shape:
        raise ArtifactError(f"{name} has shape {list(array.shape)}, not {list(shape)}; was it made for other widths?")
    if not np.isfinite(array).all():
        raise ArtifactError(f"{name} has {int((~np.isfinite(array)).sum())} values that are not finite.")
    if name not in {"temp_c", "voltage_v"} and (array < 0).any():
        raise ArtifactError(f"{name} has a negative value, {array.min():g}.")
    array.setflags(write=False)


def save_profile(profile: MacProfile, path: Path) -> None:
    """Write `profile` as NetCDF, in one step; equal profiles give equal bytes."""
    variables: dict[str, Any] = {
        name: (("corner", "weight"), getattr(profile, name), {"units": UNITS[name]}) for name in PER_WEIGHT
    }
    variables |= {name: (("corner",), getattr(profile, name), {"units": UNITS[name]}) for name in PER_CORNER}
    variables["n_transitions"] = ((), profile.n_transitions, {"units": "1"})
    variables["area_um2"] = ((), profile.head.area_um2, {"units": "um2"})
    attributes = {"schema": SCHEMA, "head": json.dumps(asdict(profile.head), sort_keys=True),
                  "provenance": profile.provenance.to_json(), "title": f"MacProfile of {profile.head.design}"}
    coordinates = {"corner": ("corner", np.array(profile.corners, dtype=object), {"units": "1"}),
                   "weight": ("weight", WEIGHTS.astype(np.int16), {"units": "1"})}
    with atomic_path(path) as partial:
        xr.Dataset(variables, coordinates, attributes).to_netcdf(partial, engine="h5netcdf")


def load_profile(path: Path) -> MacProfile:
    """Return the profile saved at `path`.

    Raises:
        ArtifactError: the file is missing, damaged, of another schema, or for other widths.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such profile; make one with `characterize run DESIGN --out {path}`.")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            dataset.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ArtifactError(f"{path}: not a readable profile ({error}); run `characterize run` again.") from error
    found = dataset.attrs.get("schema")
    if found != SCHEMA:
        raise ArtifactError(f"{path}: profile schema {found}, not {SCHEMA}; run `characterize run` again.")
    head = ProfileHead(**json.loads(dataset.attrs["head"]))
    if (head.weight_bits, dataset.sizes["weight"]) != (8, WEIGHTS.size):
        raise ArtifactError(f"{path}: a profile of {head.weight_bits}-bit weights; this program plans 8-bit weights.")
    arrays = {name: dataset[name].to_numpy().astype(np.float64) for name in (*PER_WEIGHT, *PER_CORNER)}
    corners = tuple(str(corner) for corner in dataset["corner"].to_numpy())
    provenance = Provenance.from_json(dataset.attrs["provenance"])
    return MacProfile(head, corners, n_transitions=int(dataset["n_transitions"]), provenance=provenance, **arrays)


def profile_digest(path: Path) -> str:
    """Return the digest that plans and checkpoints record."""
    return digest_file(path)
