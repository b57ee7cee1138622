import re
from dataclasses import replace

import pytest

from characterization.adder_cells import adder_of, adder_verilog, find_adders
from characterization.errors import LibertyError
from characterization.liberty import read_liberty
from tests.needs import OSU018, needs_osu018

CELL = """cell ({name}) {{ area : {area}; {inputs}
  pin (P) {{ direction : output; function : "{p}"; {arcs} }}
  pin (Q) {{ direction : output; function : "{q}"; {arcs} }} }}
"""
INPUT = "pin ({pin}) {{ direction : input; capacitance : 0.01; }}"
ARC = """timing () {{ related_pin : "{pin}"; timing_sense : non_unate; cell_rise (scalar) {{ values ("0.1"); }}
  cell_fall (scalar) {{ values ("0.1"); }} rise_transition (scalar) {{ values ("0.1"); }}
  fall_transition (scalar) {{ values ("0.1"); }} }}"""


def library(folder, *cells):
    """A library of cells with two outputs, each (name, area, input pins, function P, function Q)."""
    text = "".join(
        CELL.format(name=name, area=area, p=p, q=q, inputs=" ".join(INPUT.format(pin=pin) for pin in pins),
                    arcs=" ".join(ARC.format(pin=pin) for pin in pins))
        for name, area, pins, p, q in cells
    )
    path = folder / "adders.lib"
    path.write_text('library (l) { delay_model : table_lookup; time_unit : "1ns"; capacitive_load_unit (1, pf);\n'
                    "nom_voltage : 1.8; nom_temperature : 25;\n"
                    + text + "}\n")
    return read_liberty((path,))


PARITY, MAJORITY = "A^B^C", "(A B) + (C (A + B))"
BOTH = [("WIDE", 9, "ABC", PARITY, MAJORITY), ("X17", 7, "ABC", f"!({MAJORITY})", f"!({PARITY})"),
        ("ODD", 1, "ABC", PARITY, "A B C"), ("PAIR", 3, "XY", "X^Y", "X Y"), ("PAIRN", 2, "XY", "X+Y", "X Y")]


def test_adders_are_found_by_what_they_compute_and_the_smallest_is_taken(tmp_path):
    full, half = find_adders(library(tmp_path, *BOTH))
    assert (full.kind, full.total, full.carry) == ("X17", ("Q", True), ("P", True))
    assert (half.kind, half.inputs, half.total, half.carry) == ("PAIR", ("X", "Y"), ("P", False), ("Q", False))


def test_cells_to_leave_alone_are_left_alone(tmp_path):
    full, half = find_adders(library(tmp_path, *BOTH), ("X*", "PAIR"))
    assert full.kind == "WIDE"
    assert half is None


def test_a_cell_that_timing_cannot_take_is_no_adder(tmp_path):
    cells = library(tmp_path, *BOTH).cells
    assert adder_of(cells["WIDE"]) is not None
    assert adder_of(replace(cells["WIDE"], unusable="no arcs")) is None


def test_what_the_library_lacks_stays_logic_and_a_library_without_adders_is_refused(tmp_path):
    text = adder_verilog(library(tmp_path, *BOTH), ("PAIR*",))
    assert "X17 adder (.A(A[i]), .B(B[i]), .C(C[i]), .Q(s), .P(c)); assign Y[i] = ~s; assign X[i] = ~c;" in text
    assert re.search(r"begin : half\n +assign Y\[i\] = A\[i\] \^ B\[i\]", text)
    with pytest.raises(LibertyError, match=r"the library has no full or half adder .* leave `\+adders` away"):
        adder_verilog(library(tmp_path, *BOTH), ("*",))


@needs_osu018
def test_the_adders_of_a_real_library_are_its_adders():
    full, half = find_adders(read_liberty((OSU018,)))
    assert (full.kind, full.total, full.carry) == ("FAX1", ("YS", False), ("YC", False))
    assert half.kind == "HAX1"
