from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from characterization.artifact import Provenance
from characterization.errors import ArtifactError
from characterization.profile import WEIGHTS, MacProfile, ProfileHead, load_profile, save_profile


def synthetic_profile(**changes) -> MacProfile:
    """A profile whose delay and energy grow with the number of set bits."""
    bits = np.array([bin(int(w) & 255).count("1") for w in WEIGHTS], float)[None]
    head = ProfileHead("toy", "stationary", 8, 8, 24, 1, "toylib", "ab" * 32, 10, 100.0, "seeded", 0)
    fields = dict(
        head=head,
        corners=("tt",),
        topological_ps=1000 + 50 * bits,
        sta_ps=990 + 50 * bits,
        observed_ps=800 + 50 * bits,
        energy_fj=100 + 10 * bits,
        energy_std_fj=5 + bits,
        register_energy_fj=40 + 0 * bits,
        n_transitions=300,
        floor_ps=np.array([900.0]),
        leakage_nw=np.array([10.0]),
        voltage_v=np.array([1.8]),
        temp_c=np.array([25.0]),
        provenance=Provenance("profile", {"netlist": "ab"}),
    )
    return MacProfile(**{**fields, **changes})


def test_a_profile_survives_its_file(tmp_path: Path):
    profile = synthetic_profile()
    save_profile(profile, tmp_path / "p.nc")
    loaded = load_profile(tmp_path / "p.nc")
    assert loaded.head == profile.head
    assert loaded.provenance == profile.provenance
    assert np.array_equal(loaded.topological_ps, profile.topological_ps)
    assert np.array_equal(loaded.energy_std_fj, profile.energy_std_fj)


def test_equal_profiles_are_equal_bytes(tmp_path: Path):
    save_profile(synthetic_profile(), tmp_path / "a.nc")
    save_profile(synthetic_profile(), tmp_path / "b.nc")
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_every_variable_of_the_file_has_a_unit(tmp_path: Path):
    save_profile(synthetic_profile(), tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc", engine="h5netcdf") as dataset:
        assert all("units" in dataset[name].attrs for name in dataset.variables)


def test_an_observation_beyond_the_bound_is_refused():
    late = synthetic_profile().observed_ps.copy()
    late[0, 3] = 5000.0
    with pytest.raises(ArtifactError, match="weight -125: observed delay exceeds the topological bound"):
        synthetic_profile(observed_ps=late)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy_fj": np.full((1, 256), np.nan)}, "256 values that are not finite"),
        ({"energy_fj": np.full((1, 256), -1.0)}, "energy_fj has a negative value"),
        ({"energy_fj": np.ones((1, 16))}, "was it made for other widths"),
    ],
)
def test_impossible_tables_are_refused(changes, message):
    with pytest.raises(ArtifactError, match=message):
        synthetic_profile(**changes)


def test_a_missing_profile_names_the_command_that_makes_it(tmp_path: Path):
    with pytest.raises(ArtifactError, match="make one with `characterize run"):
        load_profile(tmp_path / "none.nc")


def test_a_truncated_profile_is_refused(tmp_path: Path):
    save_profile(synthetic_profile(), tmp_path / "p.nc")
    (tmp_path / "p.nc").write_bytes((tmp_path / "p.nc").read_bytes()[:300])
    with pytest.raises(ArtifactError, match="not a readable profile"):
        load_profile(tmp_path / "p.nc")


def test_another_schema_is_refused(tmp_path: Path):
    xr.Dataset(attrs={"schema": 99}).to_netcdf(tmp_path / "p.nc", engine="h5netcdf")
    with pytest.raises(ArtifactError, match="profile schema 99, not 1"):
        load_profile(tmp_path / "p.nc")


def test_a_profile_of_other_weight_widths_is_refused(tmp_path: Path):
    profile = synthetic_profile()
    save_profile(replace(profile, head=replace(profile.head, weight_bits=4)), tmp_path / "p.nc")
    with pytest.raises(ArtifactError, match="4-bit weights"):
        load_profile(tmp_path / "p.nc")


def test_an_unknown_corner_is_named_with_the_known_ones():
    with pytest.raises(ArtifactError, match="no corner 'ss' in this profile; it has tt"):
        synthetic_profile().bound_ps("ss")


def test_the_worst_delay_of_a_set_is_not_below_the_floor():
    assert synthetic_profile(floor_ps=np.array([3000.0])).worst_ps(np.array([0])) == 3000.0


def test_the_fastest_values_have_the_smallest_bounds():
    profile = synthetic_profile()
    fastest = profile.fastest(9)
    assert profile.worst_ps(fastest) <= np.sort(profile.bound_ps())[8]
    assert 0 in fastest
