from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.corner_choice import CornerConfig, choose_corners
from characterization.errors import PdkError
from characterization.pdk import Corner, Pdk, corner_name

SLOW_V = (1.28, 1.35, 1.4, 1.44, 1.6, 1.76)
TYPICAL_V = (1.2, 1.35, 1.5, 1.65, 1.8, 1.95)


def corner(process: str, temp_c: float, voltage_v: float) -> Corner:
    return Corner(corner_name(process, temp_c, voltage_v), (Path("none.lib"),), process, voltage_v, temp_c)


TYPICAL = tuple(corner("tt", 25.0, volt) for volt in TYPICAL_V)
LIBRARY = Pdk("made", (*TYPICAL, *(corner("ss", temp, volt) for temp in (-40.0, 100.0) for volt in SLOW_V),
                       corner("ff", -40.0, 1.65), corner("ff", -40.0, 1.95)), (), 1.8)  # fmt: skip
SIGNED_OFF = ["tt_025C_1v80", "ss_n40C_1v70", "ss_100C_1v70", "ff_n40C_1v95"]


def names(library=LIBRARY, **asked):
    return [corner.name for corner in choose_corners(library, CornerConfig(**asked))]


def test_nothing_asked_for_means_what_signs_the_nominal_voltage_off():
    assert names() == names(signoff=True) == names(voltages=(1.8,), signoff=True) == SIGNED_OFF


def test_a_library_without_slow_corners_is_characterized_at_its_nominal_voltage_alone():
    assert names(Pdk("tt", TYPICAL, (), 1.5)) == ["tt_025C_1v50"]


def test_a_library_that_states_no_nominal_voltage_is_characterized_everywhere():
    assert names(Pdk("tt", TYPICAL)) == [corner.name for corner in TYPICAL]
    with pytest.raises(PdkError, match="PDK tt states no nominal_voltage_v; name the voltages to sign off"):
        names(Pdk("tt", TYPICAL), signoff=True)


def test_all_means_every_characterized_corner_and_none_between():
    chosen = choose_corners(LIBRARY, CornerConfig(names=("all",)))
    assert chosen == LIBRARY.corners
    assert not any(corner.interpolated for corner in chosen)


def test_slow_corners_between_two_voltages_are_interpolated_between_their_neighbours():
    slow = choose_corners(LIBRARY, CornerConfig(voltages=(1.8,), signoff=True))[1]
    assert [near.name for near in slow.interpolated] == ["ss_n40C_1v60", "ss_n40C_1v76"]


def test_several_voltages_bring_their_slow_corners_and_the_fast_one_once():
    assert names(voltages=(1.8, 1.5), signoff=True) == [
        "tt_025C_1v80", "tt_025C_1v50", "ss_n40C_1v70", "ss_100C_1v70", "ss_n40C_1v425", "ss_100C_1v425",
        "ff_n40C_1v95"]  # fmt: skip
    assert names(voltages=(1.8, 1.5)) == ["tt_025C_1v80", "tt_025C_1v50"]


def test_a_characterized_voltage_above_the_grid_s_counts():
    # 1.87 V less 5 % is 1.7765 V: the grid says 1.775, above the library's highest; 1.76 is there.
    assert names(voltages=(1.87,), signoff=True)[1] == "ss_n40C_1v76"


def test_named_corners_may_lie_between_and_come_besides_voltages_each_once():
    assert names(names=("ss_n40C_1v70", "tt_025C_1v80"), voltages=(1.8,)) == ["ss_n40C_1v70", "tt_025C_1v80"]


@pytest.mark.parametrize(("asked", "message"), [
    (dict(names=("ss_n40C_1v10",)), "lies outside 1.28 to 1.76 V"),
    (dict(names=("sf",)), "no corner 'sf'"),
    (dict(voltages=(1.3,), signoff=True), "ss_n40C_1v235 lies outside 1.28 to 1.76 V"),
    (dict(voltages=(2.5,)), "tt_025C_2v50 lies outside 1.2 to 1.95 V"),
])  # fmt: skip
def test_what_lies_outside_the_library_is_refused(asked, message):
    with pytest.raises(PdkError, match=message):
        names(**asked)


def test_signing_off_without_slow_corners_and_voltages_without_typical_ones_are_refused():
    with pytest.raises(PdkError, match="PDK tt has no slow corner, so that nothing can be signed off"):
        names(Pdk("tt", TYPICAL, (), 1.8), signoff=True)
    with pytest.raises(PdkError, match="PDK slow has no typical corner; it has ss_n40C_1v28"):
        names(Pdk("slow", LIBRARY.corners[6:12], (), 1.8))


@given(st.floats(1.35, 1.95), st.floats(0.0, 0.05))
def test_slow_corners_lie_at_most_a_grid_step_below_the_lowered_supply(voltage_v, tolerance):
    chosen = choose_corners(LIBRARY, CornerConfig(voltages=(voltage_v,), signoff=True, tolerance=tolerance))
    slow = [corner for corner in chosen if corner.process == "ss"]
    supply_v = voltage_v * (1 - tolerance)
    assert len(slow) == 2
    assert all(min(supply_v, 1.76) - 0.025 - 1e-6 <= corner.voltage_v <= supply_v + 1e-6 for corner in slow)
