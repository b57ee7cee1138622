"""What transistors compute."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.boolean import parse_function
from characterization.cells.spice_netlist import Circuit, Device, read_circuit
from characterization.cells.switch_level import directions, expression, functions, patterns, settle, strength
from characterization.cells.toggles import find_toggles
from characterization.cells.wheel import PREFIX, find_wheel
from characterization.errors import CellsError
from characterization.liberty import read_liberty
from tests.needs import needs_wheel

FOUNDRY = Path(__file__).parents[4] / "shared/pdk/sky130hd/sky130_fd_sc_hd__tt_025C_1v80.lib.gz"


def mos(kind, gate, one, other, width_um=1.0):
    return Device("m", kind, gate, (one, other), width_um, 0.15)


NAND = Circuit("nand", ("A", "B", "VGND", "VPWR", "Y"), (
    mos("n", "A", "Y", "x"), mos("n", "B", "x", "VGND"), mos("p", "A", "VPWR", "Y"), mos("p", "B", "VPWR", "Y")))


def test_a_nand_is_read_from_its_transistors():
    assert directions(NAND) == (("A", "B"), ("Y",))
    assert functions(NAND)["Y"].truth == 0b0111


def test_an_internal_node_between_two_open_switches_is_undecided():
    assert "x" not in settle(NAND, {"A": 0, "B": 0})


def test_a_latch_is_refused_by_name_and_state():
    latch = Circuit("latch", ("D", "G", "VGND", "VPWR", "Q"), (
        mos("n", "G", "D2", "Q"), mos("n", "D", "D2", "VGND"), mos("p", "D", "D2", "VPWR")))
    with pytest.raises(CellsError, match="latch: its transistors leave output Q undecided when D=0 G=0"):
        functions(latch)


def test_stacked_transistors_drive_half_as_strongly():
    assert strength(NAND, {"A": 1, "B": 1}, "Y") == pytest.approx(0.5, rel=1e-6)
    assert strength(NAND, {"A": 0, "B": 0}, "Y") == pytest.approx(2 * strength(NAND, {"A": 0, "B": 1}, "Y"), rel=1e-6)


@given(st.integers(1, 4).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, 2 ** 2**n - 1))))
def test_an_expression_means_its_truth_table(case):
    n_pins, truth = case
    pins = ("A", "B", "C", "D")[:n_pins]
    read = parse_function(expression(pins, truth), pins)
    for index, pattern in enumerate(patterns(pins)):
        assert read.value(sum(pattern[pin] << i for i, pin in enumerate(read.pins))) == truth >> index & 1


def test_toggles_are_all_pins_in_all_states_of_the_others():
    found = find_toggles(NAND, functions(NAND))
    assert [(t.pin, t.when, dict(t.follows)) for t in found] == [
        ("A", "!B", {}), ("A", "B", {"Y": 0}), ("B", "!A", {}), ("B", "A", {"Y": 0})]


@needs_wheel
@pytest.mark.skipif(not FOUNDRY.is_file(), reason="the foundry's libraries are not here")
@pytest.mark.slow
def test_all_combinational_cells_compute_what_the_foundry_says():
    wheel, compared = find_wheel(), 0
    for name, cell in read_liberty((FOUNDRY,)).cells.items():
        # fah drives pass gates from its inputs: it is no cell of ours.
        if cell.unusable or cell.flop or name == f"{PREFIX}fah_1":
            continue
        ours = functions(read_circuit(wheel.cell(name).netlist))
        for output in cell.outputs:
            theirs = cell.pins[output].function
            assert theirs is not None
            for index, pattern in enumerate(patterns(ours[output].pins)):
                value = theirs.value(sum(pattern[pin] << i for i, pin in enumerate(theirs.pins)))
                assert ours[output].value(index) == value, (name, output, pattern)
            compared += 1
    assert compared > 250


def test_netlist_lines_that_are_no_transistors_are_reported(tmp_path):
    path = tmp_path / "x.spice"
    path.write_text(".subckt x A VGND\nC0 A VGND 1f\n.ends\n", encoding="utf-8")
    with pytest.raises(CellsError, match=r"x.spice:2: 'C0 A VGND 1f' is neither a transistor nor a resistor"):
        read_circuit(path)
    path.write_text(".subckt x A VGND\nX0 A B C D sky130_fd_pr__diode w=1u l=1u\n.ends\n", encoding="utf-8")
    with pytest.raises(CellsError, match=r"x.spice:2: device sky130_fd_pr__diode is not a 1.8 V transistor"):
        read_circuit(path)
    path.write_text("* nothing\n", encoding="utf-8")
    with pytest.raises(CellsError, match=r"x.spice: has no .subckt"):
        read_circuit(path)
