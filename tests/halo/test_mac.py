import numpy as np
import pytest

from characterization.errors import ArtifactError
from characterization.profile_file import save_profile
from characterization.set_certificate import SetCertificate
from halo.errors import PlanError
from halo.mac import load_dedicated, load_mac
from tests.halo.synthetic import synthetic_profile


def test_a_profile_of_int8_weights_is_loaded(tmp_path):
    save_profile(synthetic_profile(), tmp_path / "mac.nc")
    assert load_mac(tmp_path / "mac.nc").digest == synthetic_profile().digest


def test_a_mac_of_other_weights_is_refused_with_its_values(tmp_path):
    save_profile(synthetic_profile(weights=np.arange(-8, 8)), tmp_path / "int4.nc")
    with pytest.raises(PlanError, match=r"int4.nc: systolic_pe has 16 weight values, -8\.\.7; models are planned on"):
        load_mac(tmp_path / "int4.nc")


def test_a_missing_profile_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="no such profile"):
        load_mac(tmp_path / "none.nc")


def test_values_of_a_dedicated_pe_stand_under_the_codes_that_they_are_scaled_to(tmp_path):
    set_of_all = SetCertificate("tt_025C_1v80", "swap", tuple(range(-8, 8)), 3000.0, 3000.0)
    narrow = synthetic_profile(weights=np.arange(-8, 8), certificates=(set_of_all,))
    save_profile(narrow, tmp_path / "int4.nc")
    found = load_dedicated(tmp_path / "int4.nc")
    assert found.weights.tolist() == list(range(-128, 128, 16))
    assert found.bound_of([-128, 64]).delay_ps == narrow.bound_of([-8, 4]).delay_ps
    assert found.certificates[0].codes == tuple(range(-128, 128, 16))
    powers = np.array([-128, -1, 0, 1, 64])
    save_profile(synthetic_profile(weights=powers), tmp_path / "pot.nc")
    assert load_dedicated(tmp_path / "pot.nc").weights.tolist() == powers.tolist()


def test_what_is_no_dedicated_pe_is_refused(tmp_path):
    save_profile(synthetic_profile(), tmp_path / "int8.nc")
    with pytest.raises(PlanError, match="is a MAC of all int8 values, no dedicated PE; give it with --profile"):
        load_dedicated(tmp_path / "int8.nc")
    save_profile(synthetic_profile(weights=np.array([1, 2, 4])), tmp_path / "odd.nc")
    with pytest.raises(PlanError, match=r"3 weight values, 1\.\.4; a dedicated PE has int8 values, 0 among them"):
        load_dedicated(tmp_path / "odd.nc")
