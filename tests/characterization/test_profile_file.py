from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from characterization.errors import ArtifactError
from characterization.profile import CERTIFIED, HOLD, PER_CORNER, PER_WEIGHT, add_certificates, signed_values
from characterization.profile_file import load_profile, profile_digest, save_profile
from characterization.set_certificate import SetCertificate
from tests.characterization.synthetic import MANY, synthetic_profile


def full_profile():
    made = synthetic_profile(MANY, certified=0.95, interpolated=("", "tt_a and tt_b", *[""] * 5))
    return add_certificates(made, [SetCertificate("ss_n40C_1v60", "swap", (-1, 0, 1), 1500.0, 1400.0)])


def test_a_profile_survives_its_file(tmp_path: Path):
    profile = full_profile()
    save_profile(profile, tmp_path / "p.nc")
    loaded = load_profile(tmp_path / "p.nc")
    for name in ("head", "provenance", "corners", "process", "interpolated", "certificates", "digest"):
        assert getattr(loaded, name) == getattr(profile, name)
    for name in (*PER_WEIGHT, *CERTIFIED, *PER_CORNER, *HOLD):
        assert np.array_equal(getattr(loaded, name), getattr(profile, name), equal_nan=True)


def test_a_profile_of_four_bit_weights_survives_its_file(tmp_path: Path):
    save_profile(synthetic_profile(weights=signed_values(4)), tmp_path / "p.nc")
    assert load_profile(tmp_path / "p.nc").weights.tolist() == list(range(-8, 8))


def test_equal_profiles_are_equal_bytes(tmp_path: Path):
    save_profile(full_profile(), tmp_path / "a.nc")
    save_profile(full_profile(), tmp_path / "b.nc")
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()
    assert profile_digest(tmp_path / "a.nc") == profile_digest(tmp_path / "b.nc")


def test_every_variable_of_the_file_has_a_unit(tmp_path: Path):
    save_profile(full_profile(), tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc", engine="h5netcdf") as dataset:
        assert all("units" in dataset[name].attrs for name in dataset.variables)


def test_a_missing_profile_names_the_command_that_makes_it(tmp_path: Path):
    with pytest.raises(ArtifactError, match="make one with `characterize run"):
        load_profile(tmp_path / "none.nc")


def test_a_truncated_profile_is_refused(tmp_path: Path):
    save_profile(synthetic_profile(), tmp_path / "p.nc")
    (tmp_path / "p.nc").write_bytes((tmp_path / "p.nc").read_bytes()[:300])
    with pytest.raises(ArtifactError, match="not a readable profile"):
        load_profile(tmp_path / "p.nc")


def test_another_schema_is_refused_with_the_command_that_makes_it_again(tmp_path: Path):
    path = tmp_path / "p.nc"
    xr.Dataset(attrs={"schema": 1, "head": '{"design": "systolic_pe", "library": "osu018"}'}).to_netcdf(
        path, engine="h5netcdf")
    with pytest.raises(ArtifactError, match="profile schema 1, not 4; make it again: `characterize run rtl/syst"
                                            f"olic_pe --pdk osu018 --out {path}`"):
        load_profile(path)
    xr.Dataset(attrs={"schema": 99}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ArtifactError, match="profile schema 99, not 4; make it again: `characterize run DESIGN --out"):
        load_profile(path)


def test_a_file_that_lacks_a_table_is_refused(tmp_path: Path):
    path = tmp_path / "p.nc"
    save_profile(synthetic_profile(), path)
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        dataset.load().drop_vars("swap_ps").to_netcdf(tmp_path / "q.nc", engine="h5netcdf")
    with pytest.raises(ArtifactError, match=r"not a whole profile \(.*swap_ps.*; make it again: `characterize"):
        load_profile(tmp_path / "q.nc")


def test_a_replaced_head_is_saved(tmp_path: Path):
    profile = synthetic_profile()
    save_profile(replace(profile, head=replace(profile.head, notes=("one", "two"))), tmp_path / "p.nc")
    assert load_profile(tmp_path / "p.nc").head.notes == ("one", "two")
