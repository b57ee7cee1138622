"""Whose energy an edge is: by the pin that caused it and the state, held against numbers reckoned by hand."""

from dataclasses import replace

import numpy as np
import pytest

from characterization.annotation import annotate
from characterization.boolean import parse_function
from characterization.constants import FALL, RISE
from characterization.energy import edge_costs
from characterization.internal_energy import held, mean_weights, weights
from characterization.liberty import Power, read_liberty
from characterization.liberty_tables import Table
from characterization.netlist import Cell, Netlist, Port
from characterization.pdk import Corner
from characterization.simulation import simulate
from tests.characterization.made_cores import stimulus_of
from tests.characterization.small_library import cell, library_text, output, pin, power, timing

OUTPUTS = dict.fromkeys(("AND", "XOR", "MUX"), ("Y",)) | {"FLOP": ("Q",)}
CORNER = Corner("made", (), "tt", 2.0, 25.0)
# An AND whose arc from B costs more, and more still where C, which its function does not need, is high.
AND = cell(
    "AND", pin("A", power(1, 2, when="!B")), pin("B", power(40, 80)), pin("C"),
    output("Y", "A B + A B C", timing("A B C", 10, 10, "positive_unate") + power(100, 200, "A")
           + power(300, 400, "B", "!C") + power(500, 600, "B", "C")),
)
XOR = cell("XOR", pin("A"), pin("B"), output("Y", "A^B", timing("A", 10, 10, "non_unate")
           + timing("B", 20, 20, "non_unate") + power(1, 2, "A", "!B") + power(3, 4, "A", "B") + power(5, 6, "B")))
MUX = cell("MUX", pin("A"), pin("B"), pin("S"), output("Y", "A !S + B S", "".join(
    timing(one, 10, 10, "non_unate") for one in "ABS") + power(7, 9, "S", "A !B") + power(11, 15, "S", "!A B")))
FLOP = cell(
    "FLOP", 'ff (IQ, IQN) { clocked_on : "CLK"; next_state : "D"; }\n',
    pin("CLK", "clock : true;" + power(1, 2, when="D !Q") + power(4, 8, when="D Q") + power(16, 32, when="!D Q")
        + power(64, 128, when="!D !Q")),
    pin("D", """timing () { related_pin : "CLK"; timing_type : setup_rising;
        rise_constraint (scalar) { values ("0.01"); } fall_constraint (scalar) { values ("0.01"); } }"""
        + power(3, 5, when="CLK") + power(5, 9, when="!CLK")),
    output("Q", "IQ", timing("CLK", 100, 110, "non_unate", "", "rising_edge") + power(1000, 2000, "CLK")),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "states.lib"
    path.write_text(library_text(AND, XOR, MUX, FLOP))
    return read_liberty((path,))


def timed_of(library, *cells: Cell, ports: str = "abc", out: str = "y"):
    inputs = tuple(Port(name, "input", (name,)) for name in ("clk", *ports))
    netlist = Netlist("made", (*inputs, Port(out, "output", (out,))), cells, OUTPUTS)
    return annotate(netlist, library, CORNER, "clk")


def test_an_edge_takes_the_energy_of_its_cause_in_the_state_it_makes(library):
    gate = timed_of(library, Cell("u", "AND", {"A": "a", "B": "b", "C": "c", "Y": "y"})).gates[0]
    # Pattern bits are A, B, C; the output rises where A and B are 1.
    assert gate.energy_fj[0].tolist() == [pytest.approx(100 if p & 3 == 3 else 200) for p in range(8)]
    # B's groups depend on C alone.
    expected = [(500 if p & 4 else 300) if p & 3 == 3 else (600 if p & 4 else 400) for p in range(8)]
    assert gate.energy_fj[1].tolist() == pytest.approx(expected)


def test_a_pin_without_groups_takes_nothing(library):
    gate = timed_of(library, Cell("u", "AND", {"A": "a", "B": "b", "C": "c", "Y": "y"})).gates[0]
    assert gate.energy_fj[2].tolist() == [0] * 8


def test_where_no_group_speaks_for_the_state_the_mean_of_the_arc_does(library):
    gate = timed_of(library, Cell("u", "MUX", {"A": "a", "B": "b", "S": "c", "Y": "y"})).gates[0]
    select = gate.energy_fj[2]
    assert select[0b001] == pytest.approx(7)        # S fell, A is 1, B 0: Y rose.
    assert select[0b101] == pytest.approx(9)        # S rose: Y fell.
    assert select[0b011] == pytest.approx((7 + 11) / 2)  # Both inputs are 1: only with S and an input can Y have moved.


def test_an_input_pins_own_energy_is_added_in_the_state_the_cell_then_has(library):
    timed = timed_of(library, Cell("u", "AND", {"A": "a", "B": "b", "C": "c", "Y": "y"}))
    hidden = timed.gates[0].hidden_fj
    # Pin A spends something only while B is 0; pin B does so in every state, which needs no gate.
    assert hidden[0].tolist() == pytest.approx([2, 1, 0, 0, 2, 1, 0, 0])
    assert hidden[1].tolist() == [0] * 8
    assert timed.input_energy_fj["b"] == pytest.approx([80, 40])
    assert "a" not in timed.input_energy_fj


def test_simulated_energy_is_that_of_cause_and_state(library):
    timed = timed_of(library, Cell("u", "XOR", {"A": "a", "B": "b", "Y": "y"}), ports="ab")
    steps = np.array([[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0], [1, 1]]], dtype=np.uint8)
    cost = simulate(timed, stimulus_of(steps), costs=edge_costs(timed)).cost[0] / 1e6
    pins = 0.5 * 2.0 * 2.0**2  # each input pin has 2 fF; the output drives nothing
    # A rises at B=0: Y rises; B rises: Y falls; A falls at B=1: Y rises; B falls: Y falls; both rise: Y stands still.
    assert cost.tolist() == pytest.approx([1 + pins, 6 + pins, 3 + pins, 6 + pins, 2 * pins])


@pytest.mark.parametrize(("launch_ps", "energy"), [((0.0, 0.0), 200), ((1.0, 0.0), 400), ((0.0, 1.0), 200)])
def test_of_two_causes_the_one_whose_edge_arrives_first_is_charged_and_of_equals_the_first_pin(
    launch_ps, energy, library
):
    timed = timed_of(library, Cell("u", "AND", {"A": "a", "B": "b", "C": "c", "Y": "y"}))
    late = [replace(source, launch_ps=np.full(2, by)) for source, by in zip(timed.sources, launch_ps, strict=False)]
    made = replace(timed, sources=(*late, timed.sources[2]))
    # Both inputs fall while C is low; either alone would bring the output down 10 ps later.
    trace = simulate(made, stimulus_of(np.array([[[1, 1, 0], [0, 0, 0]]], dtype=np.uint8)), costs=edge_costs(made))
    # A's own energy counts unless B is still high.
    own = 80 + (0 if launch_ps == (0.0, 1.0) else 2)
    assert trace.cost[0, 0] / 1e6 == pytest.approx(energy + own + 2 * 0.5 * 2.0 * 2.0**2)


def test_a_flops_energy_is_that_of_its_clock_pin_in_its_states_and_of_its_output(library):
    timed = timed_of(library, Cell("f", "FLOP", {"CLK": "clk", "D": "a", "Q": "q"}), ports="a", out="q")
    # The clock rises with the old Q and the captured D; before, it fell with the old Q, and D the old or the captured.
    expected = [[64 + 128, 1 + (128 + 2) / 2 + 1000], [16 + (8 + 32) / 2 + 2000, 4 + 8]]
    np.testing.assert_allclose(timed.sources[0].energy_fj, expected)
    assert timed.clock_energy_fj == pytest.approx(2.0 * 2.0**2)
    assert timed.input_energy_fj["a"] == pytest.approx([(5 + 9) / 2, (3 + 5) / 2])


def test_a_flop_of_which_nothing_is_used_still_burns_its_clock(library):
    timed = timed_of(library, Cell("f", "FLOP", {"CLK": "clk", "D": "a"}),
                     Cell("g", "FLOP", {"CLK": "clk", "D": "a", "Q": "q"}), ports="a", out="q")
    means = np.mean([1, 4, 16, 64]) + np.mean([2, 8, 32, 128])
    assert timed.clock_energy_fj == pytest.approx(2 * 2.0 * 2.0**2 + means)


def group(when: str, edges: tuple[int, ...] = (FALL, RISE)) -> Power:
    table = Table(np.zeros(1), np.zeros(1), np.ones((1, 1)))
    energy = table if FALL in edges else None, table if RISE in edges else None
    return Power("", parse_function(when, ("A", "B")) if when else None, energy)


def test_groups_weigh_by_the_share_of_what_is_open_and_an_unconditional_one_fills_the_gaps():
    powers = (group("A B"), group("!A"), group(""))
    assert weights(powers, {"A": 0}, RISE).tolist() == [0, 1, 0]
    assert weights(powers, {"A": 1, "B": 0}, RISE).tolist() == [0, 0, 1]
    assert weights(powers, {}, RISE).tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    assert weights(powers[:2], {"A": 1, "B": 0}, RISE).tolist() == [0, 0]
    assert mean_weights(powers, RISE).tolist() == pytest.approx([0.25 / 1.75, 0.5 / 1.75, 1 / 1.75])
    assert held(parse_function("A^B", ("A", "B")), {"B": 1}) == 0.5


def test_a_group_that_states_only_the_other_edge_has_no_voice():
    powers = (group("A", (RISE,)), group("A B", (FALL,)), group("A !B", (FALL,)), group("", (RISE,)))
    assert weights(powers, {"A": 1, "B": 1}, RISE).tolist() == [1, 0, 0, 0]
    assert weights(powers, {"A": 1, "B": 1}, FALL).tolist() == [0, 1, 0, 0]
    assert weights(powers, {"A": 1}, FALL).tolist() == [0, 0.5, 0.5, 0]
    assert weights(powers, {"A": 0}, FALL).tolist() == [0, 0, 0, 0]
    assert mean_weights(powers, RISE).tolist() == pytest.approx([1 / 3, 0, 0, 2 / 3])
