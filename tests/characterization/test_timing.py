"""Static timing against numbers reckoned by hand on a library that is linear in load and slew."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from characterization.design import Lane, MacDesign
from characterization.errors import LibertyError, NetlistError
from characterization.liberty import CellLibrary, read_liberty
from characterization.liberty_tables import Table
from characterization.netlist import Cell, Netlist, Port
from characterization.nldm import curve_at
from characterization.pdk import Corner
from characterization.timed import FALL, RISE
from characterization.timing import annotate, critical_path, floor_ps, sta_ps, topological_ps, weight_sinks
from tests.characterization.small_library import CELLS, INV, cell, library_text, output, pin, timing

CORNER = Corner("slow", (), "ss", 2.0, 100.0)
OUTPUTS = {"INV": ("Y",), "NAND2": ("Y",), "XOR2": ("Y",), "AOI21": ("Y",), "HA": ("S", "C"), "DFF": ("Q", "QN")}
WEIGHTS = np.arange(-128, 128)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return read(tmp_path_factory.mktemp("library"), library_text())


def read(folder, text):
    (folder / "small.lib").write_text(text)
    return read_liberty((folder / "small.lib",))


def netlist(*cells, inputs=(), outputs=()):
    """A netlist of (name, kind, pins) rows, clocked by clk."""
    ports = [Port(name, "input", (name,)) for name in ("clk", *inputs)]
    ports += [Port(name, "output", (net,)) for name, net in outputs]
    return Netlist("pe", tuple(ports), tuple(Cell(*row) for row in cells), OUTPUTS)


def flop(name, data, **outputs):
    return name, "DFF", {"CLK": "clk", "D": data, **outputs}


def design(weight="w", hold=None, bits=1):
    return MacDesign("pe", "pe", Path(), (), {}, "stationary", 1, "clk", "", {}, hold or {},
                     (Lane(weight, "a"),), {}, Path(), widths={"w": bits, "a": 1, "en": 1, "b": 1})


CHAIN = netlist(flop("f1", "d", Q="q"), ("u1", "INV", {"A": "q", "Y": "d"}))


def test_a_register_to_register_path_is_the_sum_reckoned_by_hand(library):
    # q drives INV.A (rise 3 fF, fall 1 fF), d drives DFF.D (the same); the clock is ideal, slew 0.
    timed = annotate(CHAIN, library, CORNER, "clk")
    launch_rise = 100 + 2 * 3
    slew_q = 10 + 1 * 3
    fall = 10 + 2 * 1 + 0.1 * slew_q
    assert timed.sources[0].launch_ps == pytest.approx([110 + 2 * 1, launch_rise])
    assert timed.gates[0].delay_ps[0, RISE, FALL] == pytest.approx(fall)
    assert np.isnan(timed.gates[0].delay_ps[0, RISE, RISE])
    assert timed.sinks[0].setup_ps == pytest.approx([60, 50])
    paths = [launch_rise + fall + 60, 112 + (20 + 2 * 3 + 0.1 * (10 + 1 * 1)) + 50]
    assert critical_path(timed, design(), None)[-1].arrival_ps == pytest.approx(max(paths))


def test_a_critical_path_lists_launch_gates_and_capture(library):
    steps = critical_path(annotate(CHAIN, library, CORNER, "clk"), design(), None)
    assert [(step.cell, step.pin, step.net, step.edge) for step in steps] == [
        ("f1", "Q", "q", "fall"), ("u1", "A", "d", "rise"), ("f1", "D", "d", "rise")]
    assert steps[-1].arrival_ps == pytest.approx(sum(step.delay_ps for step in steps))


def test_loads_leakage_area_and_clock_energy_add_up(library):
    timed = annotate(CHAIN, library, CORNER, "clk")
    assert timed.load_ff == pytest.approx({"q": 2.0, "d": 2.0, "clk": 2.0})
    assert (timed.leakage_nw, timed.area_um2) == pytest.approx((4.0, 20.0))
    assert timed.clock_energy_fj == pytest.approx(2.0 * 2.0**2)


def test_energies_are_those_of_the_library(library):
    timed = annotate(CHAIN, library, CORNER, "clk")
    # The inverter rises when its input has fallen; the clock pin takes 7 and 8 in every period.
    np.testing.assert_allclose(timed.gates[0].energy_fj, [[5, -2]])
    np.testing.assert_allclose(timed.sources[0].energy_fj, [[15, 15 + 4], [15 + 6, 15]])
    assert timed.input_energy_fj["d"] == pytest.approx([3, 1])
    assert set(timed.input_energy_fj) == {"d"}


def test_lookups_outside_the_tables_are_counted(library):
    # Slews of the table are 10..100 ps, loads 1..10 fF. Outside: clk->q (slew 0), two tables for two edges. The check
    # is read at clock slew 0, once for each edge.
    assert annotate(CHAIN, library, CORNER, "clk").lookups_outside == 4 + 2
    wide = [(f"u{i}", "INV", {"A": "q", "Y": f"n{i}"}) for i in range(2, 6)]
    crowded = replace(CHAIN, cells=(*CHAIN.cells, *(Cell(*row) for row in wide)))
    assert annotate(crowded, library, CORNER, "clk").lookups_outside > 6


def test_a_non_unate_gate_keeps_all_four_edges_apart(library):
    timed = annotate(netlist(flop("f1", "y", Q="q"), ("u1", "XOR2", {"A": "q", "B": "b", "Y": "y"}), inputs=("b",)),
                     library, CORNER, "clk")
    delay = timed.gates[0].delay_ps[0]
    from_rise, from_fall = 0.1 * (10 + 3), 0.1 * (10 + 1)
    assert delay[RISE, RISE] == pytest.approx(40 + 6 + from_rise)
    assert delay[RISE, FALL] == pytest.approx(70 + 2 + from_rise)
    assert delay[FALL, RISE] == pytest.approx(60 + 6 + from_fall)
    assert delay[FALL, FALL] == pytest.approx(50 + 2 + from_fall)


def test_gates_of_several_live_inputs_are_stretched_by_the_multi_input_factor(library):
    factors = {"XOR2": {("Y", RISE): (1.25, 0.5), ("Y", FALL): (1.1, 0.6)}, "INV": {("Y", RISE): (9.0, 0.1)}}
    several = replace(library, multi_input=factors)
    tied = netlist(*map(tuple_of, GATED.cells), ("u4", "XOR2", {"A": "r", "B": "CONST1", "Y": "y"}), inputs=("en",))
    plain, slow = (annotate(tied, one, CORNER, "clk") for one in (library, several))
    for gate in plain.gates:
        late = {"u3": [1.1, 1.25]}.get(gate.cell, [1.0, 1.0])     # u4 has one live input only, u2 has one pin
        np.testing.assert_allclose(slow.gate_of[gate.net].delay_ps, gate.delay_ps * late)
        assert list(slow.gate_of[gate.net].late) == late
    # What OpenSTA says knows of no such factor.
    weights = np.array([0, 1])
    np.testing.assert_array_equal(*(sta_ps(GATED, one, design(), weights) for one in (library, several)))


def tuple_of(one):
    return one.name, one.kind, dict(one.pins)


def test_the_worst_condition_counts(tmp_path):
    slow_and_fast = timing("A", 40, 40, "negative_unate", "B") + timing("A", 30, 90, "negative_unate", "!B")
    both = output("Y", "(A B)'", slow_and_fast + timing("B", 1, 1))
    library = read(tmp_path, library_text(cell("NAND2", pin("A"), pin("B"), both), CELLS[-1]))
    timed = annotate(netlist(flop("f1", "y", Q="q"), ("u1", "NAND2", {"A": "q", "B": "b", "Y": "y"}), inputs=("b",)),
                     library, CORNER, "clk")
    assert timed.gates[0].delay_ps[0, FALL, RISE] == pytest.approx(40 + 6 + 1.1)
    assert timed.gates[0].delay_ps[0, RISE, FALL] == pytest.approx(90 + 2 + 1.3)


def test_both_outputs_of_a_half_adder_become_gates(library):
    timed = annotate(netlist(flop("f1", "s", Q="q"), flop("f2", "c", Q="r"),
                             ("u1", "HA", {"A": "q", "B": "r", "S": "s", "C": "c"})), library, CORNER, "clk")
    assert [(gate.pin, gate.net, gate.truth) for gate in timed.gates] == [("S", "s", 0b0110), ("C", "c", 0b1000)]
    assert np.isnan(timed.gates[1].delay_ps[0, RISE, FALL])   # no sense is stated: AND is positive unate


def test_both_outputs_of_a_flop_are_sources_and_know_each_other(library):
    timed = annotate(netlist(flop("f1", "y", Q="q", QN="n"), ("u1", "NAND2", {"A": "q", "B": "n", "Y": "y"})),
                     library, CORNER, "clk")
    assert {source.net: source.complement_of for source in timed.sources} == {"q": None, "n": "q"}
    assert timed.sinks[0].captures == "q"


GATED = netlist(
    flop("fw", "w", Q="w", QN="wn"), flop("fa", "a", Q="a"), flop("fr", "sum", Q="r"),
    ("u1", "NAND2", {"A": "a", "B": "w", "Y": "n1"}), ("u2", "INV", {"A": "n1", "Y": "n2"}),
    ("u3", "XOR2", {"A": "n2", "B": "r", "Y": "sum"}), inputs=("en",), outputs=(("out", "r"),),
)


def test_a_weight_takes_out_the_paths_it_blocks(library):
    timed = annotate(GATED, library, CORNER, "clk")
    blocked, free = topological_ps(timed, design(), np.array([0, 1]))
    # With w = 0 only the accumulator's own path is left: r rises or falls, through an XOR whose other input is 0.
    load_r = {"rise": 3, "fall": 1}
    rise = 100 + 2 * load_r["rise"] + 40 + 2 * 3 + 0.1 * (10 + load_r["rise"]) + 50
    fall = 110 + 2 * load_r["fall"] + 50 + 2 * 1 + 0.1 * (10 + load_r["fall"]) + 60
    assert blocked == pytest.approx(max(rise, fall))
    assert free > blocked + 50
    assert {step.cell for step in critical_path(timed, design(), 1)} >= {"fa", "u1", "u2", "u3", "fr"}
    assert "u1" not in {step.cell for step in critical_path(timed, design(), 0)}


def test_only_sinks_within_the_weights_reach_count_and_the_rest_make_the_floor(library):
    timed = annotate(GATED, library, CORNER, "clk")
    assert {sink.origin for sink in weight_sinks(timed, design())} == {"fw/D", "fr/D"}
    activation = 112 + 60      # a falls into fa/D and u1; two pins of 1 fF
    assert floor_ps(timed, design()) == pytest.approx(max(110 + 2 * 2 + 60, 100 + 2 * 6 + 50, activation))


def test_nothing_moves_where_everything_is_held(library):
    timed = annotate(GATED, library, CORNER, "clk")
    still = replace(design(), hold={"a": 0}, widths={"w": 1, "a": 1, "r": 1})
    assert topological_ps(timed, replace(still, hold={"a": 0, "r": 1}), np.array([1]))[0] == 0
    assert critical_path(timed, replace(still, hold={"a": 0, "r": 1}), 1) == ()


def test_a_register_behind_an_inverter_is_fixed_at_its_flop(library):
    behind = netlist(
        flop("fw", "w", QN="wn"), flop("fr", "y", Q="r"), ("u1", "INV", {"A": "wn", "Y": "w"}),
        ("u2", "NAND2", {"A": "wn", "B": "r", "Y": "y"}),
    )
    timed = annotate(behind, library, CORNER, "clk")
    through, blocked = topological_ps(timed, design(), np.array([0, 1]))
    assert blocked == 0
    assert through > 0


def test_conditions_contradicted_by_a_weight_are_left_out_of_the_sta_figure(library):
    timed = annotate(GATED, library, CORNER, "clk")
    static = sta_ps(GATED, library, design(), np.array([0, 1]))
    bound = topological_ps(timed, design(), np.array([0, 1]))
    assert (static <= bound + 1e-9).all()
    everywhere = sta_ps(GATED, library, design(), np.array([0, 1]), "all")
    assert (everywhere >= static).all()


def random_pe(draw):
    """A netlist of random gates between eight weight flops, six others, and sinks on random nets."""
    nets = [f"w[{i}]" for i in range(8)] + [f"r{i}" for i in range(6)] + ["en"]
    gates = []
    for i in range(draw(st.integers(3, 25))):
        kind, pins = draw(st.sampled_from([("INV", "A"), ("NAND2", "AB"), ("XOR2", "AB"), ("AOI21", "ABC")]))
        gates.append((f"u{i}", kind, {pin_: draw(st.sampled_from(nets)) for pin_ in pins} | {"Y": f"n{i}"}))
        nets.append(f"n{i}")
    flops = [flop(f"w{i}", f"w[{i}]", Q=f"w[{i}]") for i in range(8)]
    flops += [flop(f"f{i}", draw(st.sampled_from(nets)), Q=f"r{i}") for i in range(6)]
    return netlist(*flops, *gates, inputs=("en",))


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_fixing_a_weight_never_lengthens_the_longest_path(library, data):
    pe = random_pe(data.draw)
    timed = annotate(pe, library, CORNER, "clk")
    spec = design(bits=8, hold={"en": 1})
    bound = topological_ps(timed, spec, WEIGHTS)
    free = topological_ps(timed, replace(spec, lanes=(Lane("w[0]", "a"),), hold={}), np.array([0, 1]))
    whole = critical_path(timed, spec, None)
    assert bound.max() <= max((step.arrival_ps for step in whole), default=0) + 1e-9
    assert free.max() <= max((step.arrival_ps for step in whole), default=0) + 1e-9


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_critical_path_ends_at_the_topological_delay(library, data):
    timed = annotate(random_pe(data.draw), library, CORNER, "clk")
    weight = data.draw(st.integers(-128, 127))
    steps = critical_path(timed, design(bits=8), weight)
    bound = topological_ps(timed, design(bits=8), np.array([weight]))[0]
    assert bound == pytest.approx(steps[-1].arrival_ps if steps else 0.0)
    assert sum(step.delay_ps for step in steps) == pytest.approx(bound)


@given(st.floats(-50, 500), st.floats(-5, 50))
def test_a_bilinear_table_is_read_exactly_inside_and_outside(slew_ps, load_ff):
    slews, loads = np.array([10.0, 20.0, 80.0]), np.array([1.0, 5.0])
    table = Table(slews, loads, 7 + 2 * slews[:, None] + 3 * loads + 0.5 * slews[:, None] * loads)
    curve = curve_at(table, load_ff)
    assert float(curve.at(np.array(slew_ps))) == pytest.approx(7 + 2 * slew_ps + 3 * load_ff + 0.5 * slew_ps * load_ff)
    assert curve.outside(slew_ps) == (not (10 <= slew_ps <= 80 and 1 <= load_ff <= 5))


def test_a_tie_cell_is_a_constant(tmp_path):
    tie = cell("TIE", output("Y", "1", ""))
    library = read(tmp_path, library_text(*CELLS, tie))
    tied = netlist(flop("f1", "y", Q="q"), ("u0", "TIE", {"Y": "one"}),
                   ("u1", "XOR2", {"A": "q", "B": "one", "Y": "y"}))
    tied = replace(tied, output_pins={**OUTPUTS, "TIE": ("Y",)})
    steps = critical_path(annotate(tied, library, CORNER, "clk"), design(), None)
    assert [step.edge for step in steps[:2]] in (["rise", "fall"], ["fall", "rise"])   # XOR with 1 inverts


@pytest.mark.parametrize(("cells", "message"), [
    ([flop("f1", "y", Q="q"), ("u1", "NAND2", {"A": "q", "B": "x", "Y": "y"}), ("u2", "INV", {"A": "y", "Y": "x"})],
     "pe: combinational loop through u1, u2"),
    ([flop("f1", "y", Q="q"), ("u1", "INV", {"A": "clk", "Y": "y"})], r"clock clk drives pin A of u1 \(INV\)"),
    ([("f1", "DFF", {"CLK": "en", "D": "q", "Q": "q"})], r"flop f1 \(DFF\) is clocked by en through CLK"),
    ([flop("f1", "y", Q="q"), ("u1", "NAND2", {"A": "q", "Y": "y"})], r"pin B of u1 \(NAND2\) is not connected"),
    ([flop("f1", "q", Q="q")], "weight bit a does not reach the netlist: synthesis took it out"),
    ([flop("f1", "y", Q="q"), ("u1", "NAND2", {"A": "q", "B": "x", "Y": "y"})],
     r"net x, which pin B of u1 \(NAND2\) reads, has no driver; drive it"),
    ([flop("f1", "y", Q="q"), ("u1", "INV", {"A": "q", "Y": "y"}), ("u2", "INV", {"A": "en", "Y": "y"})],
     "net y is driven by u1/Y and u2/Y; give it one driver"),
    ([flop("f1", "en", Q="en")], "net en is driven by input port en and f1/Q"),
    ([flop("f1", "q", Q="q"), ("u1", "INV", {"A": "q", "Y": "CONST1"})], "net CONST1 is driven by a constant and u1/Y"),
])
def test_a_netlist_that_cannot_be_timed_is_refused(library, cells, message):
    with pytest.raises(NetlistError, match=message):
        topological_ps(annotate(netlist(*cells, inputs=("en",)), library, CORNER, "clk"), design("a"), WEIGHTS)


DFF = CELLS[-1]
WITH_CLEAR = DFF.replace("pin (CLK)", pin("R") + "pin (CLK)")
CLEARED = WITH_CLEAR.replace('next_state : "D";', 'next_state : "D"; clear : "R";')


@pytest.mark.parametrize(("cells", "message"), [
    ((INV.replace('related_pin : "A"', 'related_pin : "Z"', 1), DFF), "cell INV has no timing arc A fall -> Y rise"),
    ((INV, DFF.replace("rising_edge", "preset")), "cell DFF has no timing arc CLK -> Q"),
    ((INV, DFF.replace("setup_rising", "setup_falling")), "pin D of cell DFF has no setup time to CLK"),
    ((INV, DFF.replace('function : "IQ";', 'function : "D";')), "output Q of flop DFF is neither its state IQ"),
    ((INV, DFF.replace("cell_rise", "cell_rose", 1)), "cell DFF has no CLK -> Q table for both edges"),
    ((DFF,), "no cell INV, which netlist pe needs"),
])
def test_a_library_that_lacks_an_arc_is_refused(tmp_path, cells, message):
    with pytest.raises(LibertyError, match=message):
        annotate(CHAIN, read(tmp_path, library_text(*cells)), CORNER, "clk")


def test_an_asynchronous_clear_driven_by_logic_is_refused(tmp_path):
    library = read(tmp_path, library_text(INV, CLEARED))
    held = netlist(("f1", "DFF", {"CLK": "clk", "D": "d", "R": "en", "Q": "q"}), ("u1", "INV", {"A": "q", "Y": "d"}),
                   inputs=("en",))
    assert annotate(held, library, CORNER, "clk").sinks[0].origin == "f1/D"
    driven = replace(held, cells=(Cell("f1", "DFF", {**held.cells[0].pins, "R": "d"}), held.cells[1]))
    with pytest.raises(NetlistError, match=r"pin R of flop f1 \(DFF\) is driven by logic"):
        annotate(driven, library, CORNER, "clk")


def test_a_held_register_that_is_not_there_is_named(library):
    timed = annotate(GATED, library, CORNER, "clk")
    with pytest.raises(NetlistError, match="b is neither a register nor an input port of the mapped netlist; check"):
        topological_ps(timed, design(hold={"b": 1}), np.array([0]))


def test_a_weight_that_does_not_reach_the_result_is_refused(library):
    timed = annotate(GATED, library, CORNER, "clk")
    reaches = replace(design(), result_registers=("r",), widths={"w": 1, "a": 1, "r": 1})
    assert topological_ps(timed, reaches, np.array([1]))[0] > 0
    with pytest.raises(NetlistError, match="the weight w does not reach a within a cycle; check lanes and result_reg"):
        topological_ps(timed, replace(reaches, result_registers=("a",)), np.array([1]))


def test_an_output_port_without_a_driver_is_refused(library):
    with pytest.raises(NetlistError, match="net z, which output port out reads, has no driver"):
        annotate(netlist(flop("f1", "q", Q="q"), outputs=(("out", "z"),)), library, CORNER, "clk")


def test_annotating_twice_gives_the_same_delays(library):
    one, other = (annotate(GATED, library, CORNER, "clk") for _ in range(2))
    assert isinstance(library, CellLibrary)
    assert [gate.cell for gate in one.gates] == [gate.cell for gate in other.gates] == ["u1", "u2", "u3"]
    for left, right in zip(one.gates, other.gates, strict=True):
        np.testing.assert_array_equal(left.delay_ps, right.delay_ps)
