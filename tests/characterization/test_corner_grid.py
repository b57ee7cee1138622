import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.corner_grid import CornerGrid, SignOff
from characterization.errors import ArtifactError
from tests.characterization.synthetic import MANY

GRID = CornerGrid(*(tuple(column) for column in zip(*MANY, strict=True)))
TYPICAL = CornerGrid(*(tuple(column) for column in zip(*MANY[:3], strict=True)))


@pytest.mark.parametrize(("voltage_v", "name"), [
    (1.2, "tt_025C_1v20"), (1.49, "tt_025C_1v20"), (1.5, "tt_025C_1v50"), (1.79, "tt_025C_1v50"),
    (0.9 * 2, "tt_025C_1v80"), (5.0, "tt_025C_1v80"),
])  # fmt: skip
def test_the_next_lower_voltage_of_the_grid_counts(voltage_v, name):
    assert GRID.at(voltage_v) == name


def test_nothing_is_extrapolated_below_the_lowest_voltage():
    with pytest.raises(ArtifactError, match=r"1.19 V is below tt_025C_1v20, the lowest of tt at 25 C in this"):
        GRID.at(1.19)


def test_an_unknown_process_is_answered_with_the_corners_there_are():
    with pytest.raises(ArtifactError, match="no corner of process sf at 25 C in this profile; it has tt_025C_1v80"):
        GRID.at(1.8, "sf")


def test_a_nominal_voltage_is_signed_off_at_each_slow_temperature_below_the_lowered_supply():
    assert GRID.sign_off(1.8) == SignOff(1.8, pytest.approx(1.71), ("ss_n40C_1v70", "ss_100C_1v60"))
    assert GRID.sign_off(1.8, 0.1).corners == ("ss_n40C_1v60", "ss_100C_1v60")


def test_a_voltage_that_no_slow_corner_reaches_cannot_be_signed_off():
    with pytest.raises(ArtifactError, match=r"1.425 V is below ss_n40C_1v60, the lowest of ss at -40 C"):
        GRID.sign_off(1.5)


def test_without_slow_corners_nothing_is_signed_off():
    with pytest.raises(ArtifactError, match=r"no slow corner in this profile, so that nothing .*--signoff"):
        TYPICAL.sign_off(1.8)


def test_energy_is_taken_at_the_typical_voltage_itself_and_never_below():
    assert GRID.names[GRID.typical(1.5)] == "tt_025C_1v50"
    with pytest.raises(ArtifactError, match=r"no typical corner at 1.7 V in this profile; it has 1.8 V"):
        GRID.typical(1.7)
    with pytest.raises(ArtifactError, match="3 typical voltages and none was named"):
        GRID.typical()
    with pytest.raises(ArtifactError, match="no typical corner in this profile, and energies are taken there"):
        CornerGrid(*(tuple(column) for column in zip(*MANY[3:], strict=True))).typical()


@given(st.floats(1.69, 2.5), st.floats(0.0, 0.05))
def test_signing_off_never_takes_a_corner_above_the_supply(voltage_v, tolerance):
    found = GRID.sign_off(voltage_v, tolerance)
    assert all(GRID.voltage_v[GRID.names.index(name)] <= found.supply_v + 1e-6 for name in found.corners)
    assert len(found.corners) == 2
