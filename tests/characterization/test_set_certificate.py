import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.errors import ArtifactError
from characterization.set_certificate import (
    SetCertificate,
    best_certificate,
    certificate_from,
    codes_digest,
    merge_certificates,
)

CODES = st.sets(st.integers(-128, 127), min_size=1, max_size=12)


def proof(codes, upper_ps=100.0, corner="tt", mode="streaming"):
    return SetCertificate(corner, mode, tuple(sorted(codes)), upper_ps, upper_ps)


@given(CODES)
def test_a_certificate_survives_its_fields(codes):
    certificate = proof(codes)
    assert certificate_from(certificate.to_fields()) == certificate
    assert certificate.digest == codes_digest(sorted(codes, reverse=True))


@given(CODES, CODES)
def test_what_holds_for_a_set_holds_for_its_parts_only(codes, others):
    assert proof(codes | others).covers(codes)
    assert proof(codes).covers(others) == (others <= codes)


@given(st.lists(st.tuples(CODES, st.floats(1, 1000)), max_size=6), CODES)
def test_the_lowest_certificate_that_covers_a_set_is_taken(proved, asked):
    certificates = [proof(codes, ps) for codes, ps in proved]
    best = best_certificate(certificates, asked, "tt", "streaming")
    fitting = [ps for codes, ps in proved if asked <= codes]
    assert (best.upper_ps if best else None) == min(fitting, default=None)
    assert best_certificate(certificates, asked, "ss", "streaming") is None
    assert best_certificate(certificates, asked, "tt", "swap") is None


def test_of_two_proofs_for_the_same_set_the_lower_stays_whatever_the_order():
    loose, tight, other = proof({0, 1}, 120.0), proof({0, 1}, 110.0), proof({0}, 90.0)
    assert merge_certificates([loose, other], [tight]) == merge_certificates([tight], [other, loose]) == (other, tight)


@pytest.mark.parametrize("codes", [(), (1, 0), (0, 0)])
def test_codes_must_be_sorted_unique_and_not_empty(codes):
    with pytest.raises(ArtifactError, match="must be sorted, unique, not empty"):
        SetCertificate("tt", "swap", codes, 1.0, 1.0)


def test_an_empty_bracket_is_refused():
    with pytest.raises(ArtifactError, match=r"attained 5.0 ps and proved 4.0 ps contradict each other"):
        SetCertificate("tt", "swap", (0,), 4.0, 5.0)
