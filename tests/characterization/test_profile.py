from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.errors import ArtifactError
from characterization.profile import WEIGHTS, add_certificates, signed_values
from characterization.set_certificate import SetCertificate
from tests.characterization.synthetic import MANY, synthetic_profile


def with_late(name: str, value: float, **changes):
    """A profile in which weight -125 has another delay."""
    made = synthetic_profile(certified=0.95)
    table = getattr(made, name).copy()
    table[0, 3] = value
    return {name: table} | changes


@pytest.mark.parametrize(("name", "value", "message"), [
    ("observed_ps", 1120.0, r"weight -125: observed delay exceeds the certified bound, 1120.000 over 1092.500 ps"),
    ("observed_ps", 5000.0, "weight -125: observed delay exceeds the topological bound"),
    ("certified_ps", 1300.0, "weight -125: certified delay exceeds the topological bound"),
    ("certified_lower_ps", 1200.0, "weight -125: attained delay exceeds the certified bound"),
    ("topological_ps", 1500.0, "weight -125: topological delay exceeds the free bound"),
])  # fmt: skip
def test_delays_that_contradict_each_other_are_refused_with_corner_and_weight(name, value, message):
    with pytest.raises(ArtifactError, match=f"corner tt, {message}"):
        synthetic_profile(certified=0.95, **with_late(name, value))


def test_swap_delays_lie_between_what_a_constant_weight_attains_and_what_any_weights_need():
    swap = np.full((1, 256), 1440.0)
    made = synthetic_profile(certified=0.95, swap_ps=swap, swap_lower_ps=swap.copy())
    assert (made.bound_ps(arrival="swap") == 1440.0).all()
    assert (synthetic_profile().bound_ps(arrival="swap") == 1450.0).all()
    with pytest.raises(ArtifactError, match="swap delay exceeds the free bound"):
        synthetic_profile(swap_ps=swap + 20, swap_lower_ps=swap.copy())
    with pytest.raises(ArtifactError, match="attained delay exceeds the swap bound"):
        synthetic_profile(certified=0.95, swap_ps=swap - 400, swap_lower_ps=swap - 400)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy_fj": np.full((1, 256), np.nan)}, "256 values that are not finite"),
        ({"energy_fj": np.full((1, 256), -1.0)}, "energy_fj has a negative value"),
        ({"energy_fj": np.ones((1, 16))}, "was it made for other widths"),
        (with_late("certified_ps", np.nan), "certified_ps must be known for all weights of a corner or for none"),
        ({"weights": WEIGHTS[::-1].copy()}, "weights of a profile must be sorted and unique"),
        ({"process": ()}, "0 values of process for 1 corners"),
    ],
)
def test_impossible_tables_are_refused(changes, message):
    with pytest.raises(ArtifactError, match=message):
        synthetic_profile(**changes)


def test_tables_cannot_be_written_to():
    profile = synthetic_profile()
    for name in ("weights", "topological_ps", "certified_ps", "voltage_v", "tolerated_skew_ps"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(profile, name)[...] = 0


def test_an_unknown_corner_is_named_with_the_known_ones():
    with pytest.raises(ArtifactError, match="no corner 'ss' in this profile; it has tt"):
        synthetic_profile().bound_ps("ss")


def test_an_unknown_weight_is_named_with_the_range():
    profile = synthetic_profile(weights=signed_values(4))
    assert profile.weights.tolist() == list(range(-8, 8))
    with pytest.raises(ArtifactError, match=r"weight 8 is none of the 16 values of toy, -8\.\.7"):
        profile.worst_ps([0, 8])


def test_the_worst_delay_of_a_set_is_not_below_the_floor():
    profile = synthetic_profile(floor_ps=np.array([3000.0]))
    assert profile.worst_ps([0]) == 3000.0
    assert profile.bound_of([0]).kind == "floor"


def test_the_fastest_values_have_the_smallest_bounds():
    profile = synthetic_profile()
    fastest = profile.fastest(9)
    assert profile.worst_ps(fastest) <= np.sort(profile.bound_ps())[8]
    assert 0 in fastest


def test_the_bound_is_certified_where_a_corner_has_certificates_and_topological_elsewhere():
    made = synthetic_profile(MANY[:2], certified=0.95)
    proved = made.certified_ps.copy()
    proved[1] = np.nan
    mixed = replace(made, certified_ps=proved, certified_lower_ps=proved.copy())
    assert (mixed.bound_ps("tt_025C_1v80") == made.certified_ps[0]).all()
    assert (mixed.bound_ps("tt_025C_1v50") == made.topological_ps[1]).all()
    assert [mixed.bound_of([3], corner).kind for corner in mixed.corners] == ["certified", "topological"]
    assert mixed.bound_of([3], mixed.corners).corner == "tt_025C_1v50"


def test_a_bracket_counts_with_its_proved_end_and_is_marked():
    made = synthetic_profile(certified=0.95)
    lower = made.certified_lower_ps.copy()
    lower[0, 3] -= 40.0
    bracket = replace(made, certified_lower_ps=lower)
    assert bracket.certified_exact.sum() == 255
    assert bracket.bound_of([-125]) == replace(made.bound_of([-125]), exact=False)
    assert made.bound_of([-125]).exact


@given(st.sets(st.integers(-128, 127), min_size=1, max_size=9),
       st.lists(st.sampled_from(MANY), min_size=1, unique=True))
def test_of_several_corners_the_slowest_counts_value_by_value(codes, corners):
    profile = synthetic_profile(MANY, certified=0.9)
    names = [name for name, *_ in corners]
    each = [profile.worst_ps(codes, name) for name in names]
    assert profile.worst_ps(codes, names) == max(each)
    assert (profile.bound_ps(names) == np.max([profile.bound_ps(name) for name in names], axis=0)).all()
    # The delay of a set is that of its slowest value, and no set is slower than all values.
    assert profile.worst_ps(codes, names) == max(profile.worst_ps([code], names) for code in codes)
    assert profile.worst_ps(codes, names) <= profile.worst_ps(profile.weights, names)


@given(st.floats(1.2, 2.2), st.floats(1.2, 2.2), st.integers(-128, 127))
def test_more_voltage_never_makes_the_corner_that_counts_slower(one, other, code):
    profile = synthetic_profile(MANY)
    low, high = sorted((one, other))
    assert profile.worst_ps([code], profile.at(high)) <= profile.worst_ps([code], profile.at(low))


@given(st.floats(1.2, 2.2))
def test_the_corner_that_counts_is_never_above_the_voltage_and_none_lies_between(voltage_v):
    profile = synthetic_profile(MANY)
    index = profile.corner_index(profile.at(voltage_v))
    assert profile.voltage_v[index] <= voltage_v + 1e-6
    between = [v for v, process in zip(profile.voltage_v, profile.process, strict=True)
               if process == "tt" and profile.voltage_v[index] < v <= voltage_v - 1e-6]
    assert not between


def test_streaming_sets_take_the_lowest_certificate_that_covers_them():
    free = synthetic_profile(weight_mode="streaming")
    assert free.bound_of([0, 16]) == free.bound_of(WEIGHTS)
    assert free.worst_ps([0, 16]) == 1450.0
    proved = add_certificates(free, [SetCertificate("tt", "streaming", (-16, 0, 16), 1300.0, 1300.0),
                                     SetCertificate("tt", "streaming", (0, 16), 1250.0, 1200.0),
                                     SetCertificate("tt", "swap", (0, 16), 1000.0, 1000.0)])
    assert proved.worst_ps([0, 16]) == 1250.0
    assert proved.worst_ps([-16, 16]) == 1300.0
    assert proved.bound_of([0]).codes == (0, 16)
    assert not proved.bound_of([0]).exact
    assert proved.worst_ps([3]) == 1450.0


def test_a_swap_certificate_of_the_set_counts_where_it_is_lower_than_each_value_from_any_old_one():
    swap = np.full((1, 256), 1440.0)
    profile = synthetic_profile(swap_ps=swap, swap_lower_ps=swap.copy())
    proved = add_certificates(profile, [SetCertificate("tt", "swap", (0, 16), 1300.0, 1300.0)])
    assert proved.worst_ps([0, 16], arrival="swap") == 1300.0
    assert proved.worst_ps([0, 3], arrival="swap") == 1440.0
    assert proved.worst_ps([0, 16]) == profile.worst_ps([0, 16])


def test_certificates_that_cannot_be_of_the_profile_are_refused():
    profile = synthetic_profile(weight_mode="streaming")
    with pytest.raises(ArtifactError, match="no corner 'ss'"):
        add_certificates(profile, [SetCertificate("ss", "streaming", (0,), 1.0, 1.0)])
    with pytest.raises(ArtifactError, match="weight 300 is none of the 256 values"):
        add_certificates(profile, [SetCertificate("tt", "streaming", (0, 300), 1.0, 1.0)])
    with pytest.raises(ArtifactError, match=r"of 2 values, 1500.00 ps, exceeds the longest path, 1450.00 ps"):
        add_certificates(profile, [SetCertificate("tt", "streaming", (0, 3), 1500.0, 1400.0)])


def test_the_digest_follows_every_table_and_certificate():
    profile = synthetic_profile(certified=0.95)
    assert profile.digest == synthetic_profile(certified=0.95).digest
    others = [synthetic_profile(), synthetic_profile(certified=0.95, floor_ps=np.array([901.0])),
              add_certificates(profile, [SetCertificate("tt", "swap", (0,), 1300.0, 1300.0)])]
    assert len({profile.digest, *(other.digest for other in others)}) == 4


def test_rows_say_everything_and_leave_the_unknown_empty():
    rows = list(synthetic_profile(MANY[:2], weights=signed_values(3)).rows())
    assert [(row["corner"], row["weight"]) for row in rows[:9:8]] == [("tt_025C_1v80", -4), ("tt_025C_1v50", -4)]
    assert (rows[0]["certified_ps"], rows[0]["certified_exact"], rows[0]["process"]) == ("", 0, "tt")
    assert rows[8]["floor_ps"] == pytest.approx(900 * 1.2**1.5)
