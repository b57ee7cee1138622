import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.errors import ArtifactError
from characterization.profile import DelayBound
from halo.errors import ConfigError, PlanError
from halo.operating_point import PointConfig, footing, kind_words, operating_point, proposed_period_ps
from tests.halo.synthetic import SIGN_OFF, TT, synthetic_profile

VOLTS = (1.8, 1.65, 1.5, 1.35)
SWEEP = synthetic_profile(corners=[("tt", 25.0, volt) for volt in VOLTS]
                          + [("ss", temp, round(0.95 * volt, 4)) for temp in (-40.0, 100.0) for volt in VOLTS])
CODES = st.sets(st.integers(-128, 127), min_size=1, max_size=16)


@given(CODES, CODES)
def test_more_values_are_never_faster(codes, others):
    profile = synthetic_profile()
    small, large = (operating_point(profile, chosen, PointConfig()) for chosen in (codes, codes | others))
    assert small.period_ps <= large.period_ps


@given(CODES, st.sampled_from(VOLTS), st.sampled_from(VOLTS), st.sampled_from([True, False]))
def test_more_voltage_is_never_slower(codes, one, other, signoff):
    low, high = (operating_point(SWEEP, codes, PointConfig(voltage_v=volt, signoff=signoff))
                 for volt in sorted((one, other)))
    assert high.period_ps <= low.period_ps
    assert (low.voltage_v, high.voltage_v) == tuple(sorted((one, other)))


@given(CODES, st.sampled_from(VOLTS), st.floats(0.0, 0.1))
def test_signing_off_is_never_faster_than_typical_and_less_tolerance_never_slower(codes, volt, tolerance):
    typical = operating_point(SWEEP, codes, PointConfig(voltage_v=volt, signoff=False))
    try:
        loose = operating_point(SWEEP, codes, PointConfig(voltage_v=volt, tolerance=tolerance))
    except ArtifactError as error:
        assert "nothing is extrapolated" in str(error)  # noqa: PT017
        return
    assert typical.period_ps <= loose.period_ps
    assert not typical.signed_off
    assert loose.signed_off


@given(st.floats(0, 0.5), st.floats(0, 100), st.floats(0, 100))
def test_the_period_is_the_delay_with_margin_jitter_and_skew(margin, jitter_ps, skew_ps):
    config = PointConfig(margin=margin, jitter_ps=jitter_ps, skew_ps=skew_ps, cap_ghz=0)
    found = operating_point(synthetic_profile(), [1], config)
    assert found.period_ps == pytest.approx(3200.0 * (1 + margin) + jitter_ps + skew_ps)
    assert not found.capped


def test_the_slow_corner_that_rules_is_named_and_interpolated_ones_say_so():
    profile = synthetic_profile(corners=SIGN_OFF, interpolated=("", "ss_n40C_1v60 and ss_n40C_1v76", "", ""))
    found = operating_point(profile, [1], PointConfig())
    assert found.corner == "ss_n40C_1v70"
    assert found.basis == ("topological delay at ss_n40C_1v70 (interpolated between ss_n40C_1v60 and ss_n40C_1v76); "
                           "signed off at 1.8 V less 5%, the slower of ss_n40C_1v70 and ss_100C_1v70")


def test_a_single_slow_temperature_signs_off_and_says_that_it_is_the_only_one():
    profile = synthetic_profile(corners=SIGN_OFF[:2])
    assert footing(profile, PointConfig()).says.endswith("at the only slow temperature there is")


def test_auto_signs_off_where_there_are_slow_corners_and_never_falls_back_silently():
    assert not operating_point(synthetic_profile(), [1], PointConfig()).signed_off
    assert operating_point(synthetic_profile(corners=SIGN_OFF), [1], PointConfig()).signed_off
    high = synthetic_profile(corners=(("tt", 25.0, 1.8), ("ss", -40.0, 1.76)))
    with pytest.raises(ArtifactError, match=r"1.71 V is below ss_n40C_1v76, the lowest of ss at -40 C"):
        operating_point(high, [1], PointConfig())


def test_signing_off_without_slow_corners_is_refused():
    with pytest.raises(ArtifactError, match="no slow corner in this profile, so that nothing can be signed off"):
        operating_point(synthetic_profile(), [1], PointConfig(signoff=True))


def test_an_empty_codebook_has_no_operating_point():
    with pytest.raises(PlanError, match="an operating point was asked for an empty codebook"):
        operating_point(synthetic_profile(), [], PointConfig())


def test_streaming_values_are_ranked_by_themselves_until_a_certificate_decides():
    profile, config = synthetic_profile(weight_mode="streaming"), PointConfig(cap_ghz=0)
    assert proposed_period_ps(profile, [0, 64], config) < proposed_period_ps(profile, [1], config)
    assert proposed_period_ps(profile, [1], config) < operating_point(profile, profile.weights, config).period_ps
    stationary = synthetic_profile()
    assert proposed_period_ps(stationary, [1], config) == operating_point(stationary, [1], config).period_ps


@pytest.mark.parametrize(("bound", "words"), [
    (DelayBound(1.0, TT, "certified"), "certified delay (proved, not known to be attained)"),
    (DelayBound(1.0, TT, "topological"), "topological delay"),
    (DelayBound(1.0, TT, "floor"), "floor, which no weight beats,"),
    (DelayBound(1.0, TT, "set certificate", True, (0, 1)), "set certificate of 2 values"),
])  # fmt: skip
def test_the_kind_of_delay_is_told_in_words(bound, words):
    assert kind_words(bound) == words


@pytest.mark.parametrize(("values", "message"), [
    (dict(margin=-0.1, skew_ps=-1.0), "points: margin = -0.1, skew_ps = -1 must not be negative"),
    (dict(tolerance=1.0), "points: tolerance = 1 must be a share of the supply"),
])  # fmt: skip
def test_points_that_cannot_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        PointConfig(**values)


def test_arrays_of_codes_are_taken_as_they_are():
    profile = synthetic_profile()
    config = PointConfig()
    assert operating_point(profile, np.array([0, 64]), config) == operating_point(profile, (64, 0), config)
