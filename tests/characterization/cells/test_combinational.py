"""One cell from transistors to tables, and what physics demands of the result."""


import numpy as np
import pytest

from characterization.cells.measure import measure_cell
from characterization.cells.points import MeasureConfig
from characterization.cells.tables import Condition
from characterization.cells.tables_file import tables_text
from characterization.constants import FALL, RISE
from characterization.errors import CellsError
from tests.needs import needs_cells

pytestmark = [
    pytest.mark.tool,
    needs_cells,
]
SMALL = MeasureConfig(slews_ps=(20.0, 100.0), n_loads=2, load_per_um_ff=50.0)


@pytest.fixture(scope="module")
def nand(tmp_path_factory):
    work = tmp_path_factory.mktemp("cells")
    return {volt: measure_cell("nand2_1", Condition("tt", 25.0, volt), SMALL, work) for volt in (1.2, 1.8)}


def test_all_arcs_of_a_nand_are_there_and_none_is_a_hole(nand):
    tables = nand[1.8]
    assert {(a.related, a.when, a.input_edge, a.output_edge) for a in tables.arcs} == {
        ("A", "B", FALL, RISE), ("A", "B", RISE, FALL), ("B", "A", FALL, RISE), ("B", "A", RISE, FALL)}
    assert all(np.isfinite(t).all() for a in tables.arcs for t in (a.delay_ps, a.slew_ps, a.energy_fj))
    assert {leak.when for leak in tables.leakage} == {"!A&!B", "A&!B", "!A&B", "A&B"}
    assert tables.notes == ()


def test_a_lower_voltage_and_a_larger_load_are_slower(nand):
    for low, high in zip(nand[1.2].arcs, nand[1.8].arcs, strict=True):
        assert (low.delay_ps > high.delay_ps).all()
        assert (np.diff(high.delay_ps, axis=1) > 0).all()


def test_a_cycle_draws_the_charge_of_its_load(nand):
    pin = nand[1.8].pins[-1]
    fall, rise = nand[1.8].arcs[:2]
    assert fall.output_edge != rise.output_edge
    beyond = fall.energy_fj + rise.energy_fj
    # The load's C V^2 is gone from the sum, so what is left hardly depends on the load.
    assert np.ptp(beyond, axis=1).max() < 0.05 * pin.loads_ff[-1] * 1.8**2


def test_a_voltage_at_which_a_cell_does_not_switch_is_reported_with_its_arc(tmp_path):
    config = MeasureConfig(slews_ps=(20.0,), n_loads=1, attempts=1)
    with pytest.raises(CellsError, match=r"inv_1: A -> Y does not switch at 0.3 V \(ss, -40 C\) within .* ns; "
                                         "ask for a higher voltage"):
        measure_cell("inv_1", Condition("ss", -40.0, 0.3), config, tmp_path)


def test_a_window_that_is_too_short_is_doubled_and_the_result_says_so(tmp_path, nand, monkeypatch):
    monkeypatch.setattr("characterization.cells.points.STAGE_PS", 20.0)
    monkeypatch.setattr("characterization.cells.points.DRIVE_PS_UM_PER_FF", 2.0)
    tables = measure_cell("nand2_1", Condition("tt", 25.0, 1.8), SMALL, tmp_path)
    assert "points did not settle in 1 x the estimated window" in tables.notes[0]
    for short, long in zip(tables.arcs, nand[1.8].arcs, strict=True):
        assert short.delay_ps == pytest.approx(long.delay_ps, rel=0.02)


def test_the_same_cell_is_measured_to_the_same_bytes(tmp_path, nand):
    again = measure_cell("nand2_1", Condition("tt", 25.0, 1.8), SMALL, tmp_path)
    assert tables_text(again) == tables_text(nand[1.8])


def test_both_outputs_of_a_half_adder_follow_and_share_the_energy(tmp_path):
    tables = measure_cell("ha_1", Condition("tt", 25.0, 1.8), SMALL, tmp_path)
    both = [arc for arc in tables.arcs if (arc.related, arc.when, arc.input_edge) == ("A", "B", RISE)]
    assert {(arc.output, arc.output_edge) for arc in both} == {("COUT", RISE), ("SUM", FALL)}
    assert (both[0].energy_fj == both[1].energy_fj).all()


def test_a_tie_cell_has_constants_and_no_arcs(tmp_path):
    tables = measure_cell("conb_1", Condition("tt", 25.0, 1.8), SMALL, tmp_path)
    assert {pin.name: pin.function for pin in tables.pins} == {"HI": "1", "LO": "0"}
    assert (tables.arcs, tables.hidden) == ((), ())
