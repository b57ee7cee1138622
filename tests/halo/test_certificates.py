import pytest

from characterization.codebook_file import read_codebooks
from characterization.profile import add_certificates
from characterization.set_certificate import SetCertificate
from halo.certificates import require_certificates
from halo.errors import PlanError
from tests.halo.synthetic import POINTS, SIGN_OFF, codebooks_of, synthetic_profile

STREAMING = synthetic_profile(weight_mode="streaming", corners=SIGN_OFF)
MODELS = {"w8a8": codebooks_of(STREAMING, "all"), "bal": codebooks_of(STREAMING, "w3-shifted", "w4-low"),
          "w3": codebooks_of(STREAMING, "w3-shifted")}  # fmt: skip


def test_stationary_weights_need_no_set_certificate(tmp_path):
    require_certificates(synthetic_profile(), POINTS, MODELS, tmp_path / "p.nc", tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_lacks_a_certificate_is_written_down_once_with_the_command_that_proves_it(tmp_path):
    with pytest.raises(PlanError, match=r"weights stream, and bal: w3-shifted, bal: w4-low, w3: w3-shifted have no set "
                                        r"certificate at ss_n40C_1v70, ss_100C_1v70; run `characterize certify "
                                        r"mac.nc --codebooks .*codebooks.json`, then this again"):
        require_certificates(STREAMING, POINTS, MODELS, "mac.nc", tmp_path)
    books = read_codebooks(tmp_path / "codebooks.json")
    assert {name: len(codes) for name, codes in books.items()} == {"bal: w3-shifted": 8, "bal: w4-low": 23}


def test_certified_codebooks_pass(tmp_path):
    with pytest.raises(PlanError):
        require_certificates(STREAMING, POINTS, MODELS, "mac.nc", tmp_path)
    proved = add_certificates(STREAMING, [
        SetCertificate(corner, "streaming", codes, 3000.0, 3000.0)
        for codes in read_codebooks(tmp_path / "codebooks.json").values() for corner in STREAMING.corners[1:3]])
    require_certificates(proved, POINTS, MODELS, "mac.nc", tmp_path / "other")
    assert not (tmp_path / "other").exists()
