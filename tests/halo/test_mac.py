import numpy as np
import pytest

from characterization.errors import ArtifactError
from characterization.profile_file import save_profile
from halo.errors import PlanError
from halo.mac import load_mac
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
