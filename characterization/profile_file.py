"""Profiles as files: NetCDF with a `units` attribute on every variable; equal profiles are equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from characterization.artifact import Provenance, atomic_path, digest_file
from characterization.errors import ArtifactError
from characterization.pair_energy import PairEnergy
from characterization.profile import CERTIFIED, HOLD, PER_CORNER, PER_WEIGHT, MacProfile, head_fields, head_from
from characterization.set_certificate import certificate_from

SCHEMA = 4
PAIRS = ("pair_energy_fj", "pair_sem_fj")
UNITS = {"fj": "fJ", "ps": "ps", "nw": "nW", "v": "V", "c": "degC"}


def unit_of(name: str) -> str:
    """Return the unit that a variable's name ends in.

    >>> unit_of("energy_std_fj"), unit_of("temp_c")
    ('fJ', 'degC')
    """
    return UNITS[name.rpartition("_")[2]]


def save_profile(profile: MacProfile, path: Path) -> None:
    """Write `profile` as NetCDF, in one step; equal profiles give equal bytes."""
    axes: dict[str, tuple[str, ...]] = dict.fromkeys((*PER_WEIGHT, *CERTIFIED), ("corner", "weight"))
    axes |= dict.fromkeys((*PER_CORNER, *HOLD), ("corner",))
    variables: dict[str, Any] = {
        name: (where, getattr(profile, name), {"units": unit_of(name)}) for name, where in axes.items()
    }
    variables |= {name: (("corner",), text_array(getattr(profile, name)), {"units": "1"})
                  for name in ("process", "interpolated")}  # fmt: skip
    variables["n_transitions"] = ((), profile.n_transitions, {"units": "1"})
    variables["area_um2"] = ((), profile.head.area_um2, {"units": "um2"})
    attributes = {
        "schema": SCHEMA, "head": json.dumps(head_fields(profile.head), sort_keys=True),
        "certificates": json.dumps([item.to_fields() for item in profile.certificates]),
        "provenance": profile.provenance.to_json(), "title": f"MacProfile of {profile.head.design}",
    }
    coordinates = {"corner": ("corner", text_array(profile.corners), {"units": "1"}),
                   "weight": ("weight", profile.weights.astype(np.int16), {"units": "1"})}
    packed = {}
    if profile.pairs is not None:
        variables |= {name: (("corner", "previous", "weight"), table, {"units": "fJ"})
                      for name, table in zip(PAIRS, (profile.pairs.energy_fj, profile.pairs.sem_fj), strict=True)}
        variables["pair_transitions"] = ((), profile.pairs.transitions, {"units": "1"})
        coordinates["previous"] = ("previous", profile.weights.astype(np.int16), {"units": "1"})
        packed = {name: {"zlib": True, "complevel": 4, "shuffle": True} for name in PAIRS}
    with atomic_path(path) as partial:
        xr.Dataset(variables, coordinates, attributes).to_netcdf(partial, engine="h5netcdf", encoding=packed)


def text_array(words: tuple[str, ...]) -> np.ndarray:
    """Return words as NetCDF has them."""
    return np.array(words, dtype=object)


def load_profile(path: Path) -> MacProfile:
    """Return the profile saved at `path`.

    Raises:
        ArtifactError: the file is missing, damaged, or of another schema.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such profile; make one with `characterize run DESIGN --out {path}`.")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            dataset.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ArtifactError(f"{path}: not a readable profile ({error}); run `characterize run` again.") from error
    if (found := dataset.attrs.get("schema")) != SCHEMA:
        raise ArtifactError(f"{path}: profile schema {found}, not {SCHEMA}; make it again: {rebuild(dataset, path)}.")
    try:
        return profile_of(dataset)
    except (KeyError, TypeError, ValueError) as error:
        again = rebuild(dataset, path)
        raise ArtifactError(f"{path}: not a whole profile ({error!r}); make it again: {again}.") from error


def profile_of(dataset: xr.Dataset) -> MacProfile:
    """Return the profile that a data set of our schema holds."""
    names = (*PER_WEIGHT, *CERTIFIED, *PER_CORNER, *HOLD)
    arrays: dict[str, Any] = {name: dataset[name].to_numpy().astype(np.float64) for name in names}
    words: dict[str, Any] = {name: tuple(map(str, dataset[name].to_numpy())) for name in ("process", "interpolated")}
    return MacProfile(
        head_from(json.loads(dataset.attrs["head"])), dataset["weight"].to_numpy().astype(np.int64),
        tuple(map(str, dataset["corner"].to_numpy())), n_transitions=int(dataset["n_transitions"]),
        provenance=Provenance.from_json(dataset.attrs["provenance"]), pairs=pairs_of(dataset),
        certificates=tuple(map(certificate_from, json.loads(dataset.attrs["certificates"]))), **words, **arrays,
    )


def pairs_of(dataset: xr.Dataset) -> PairEnergy | None:
    """Return the energies of pairs that a data set holds; None where it has none."""
    if PAIRS[0] not in dataset:
        return None
    energy_fj, sem_fj = (dataset[name].to_numpy().astype(np.float32) for name in PAIRS)
    return PairEnergy(int(dataset["pair_transitions"]), json.loads(dataset.attrs["head"])["lanes"], energy_fj, sem_fj)


def rebuild(dataset: xr.Dataset, path: Path) -> str:
    """Return the command that makes a profile again, as far as the file tells."""
    try:
        head = json.loads(dataset.attrs["head"])
        return f"`characterize run rtl/{head['design']} --pdk {head['library']} --out {path}`"
    except (KeyError, TypeError, ValueError):
        return f"`characterize run DESIGN --out {path}`"


def profile_digest(path: Path) -> str:
    """Return the digest of a profile's file, which runs record."""
    return digest_file(path)
