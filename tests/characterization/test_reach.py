from dataclasses import replace
from pathlib import Path

import pytest

from characterization.design import read_design
from characterization.errors import SynthesisError
from characterization.netlist import Cell, Netlist
from characterization.reach import check_reach, reached
from characterization.synthesis import synthesize
from tests.needs import OSU018, needs_osu018

RTL = Path(__file__).parents[2] / "rtl"
PE = read_design(RTL / "systolic_pe")


def made(*cells):
    """A netlist with the weight's nets alone: (name, kind, pins)."""
    return Netlist("m", (), tuple(Cell(name, "DFF", pins) for name, pins in cells), {"DFF": ("Q",)})


def chain(source, target):
    return [(f"{target}{i}", {"D": f"{source}[{i}]", "Q": f"{target}[{i}]"}) for i in range(8)]


LOADED, MULTIPLIED = chain("weight_in", "weight_q"), chain("weight_q", "acc_out")


def test_reach_goes_through_registers_and_never_twice():
    netlist = made(("a", {"D": "x", "Q": "y"}), ("b", {"D": "y", "Q": "x"}), ("c", {"D": "z", "Q": "w"}))
    assert reached(netlist, ["x"]) == {"x", "y"}
    check_reach(made(*LOADED, *MULTIPLIED), PE)


def test_a_weight_port_that_loads_something_else_is_refused():
    with pytest.raises(SynthesisError, match=r"m: weight port weight_in does not reach weight_q, which \[\[lanes\]\]"):
        check_reach(made(*chain("other", "weight_q"), *MULTIPLIED), PE)


@pytest.mark.tool
@needs_osu018
def test_verilog_that_never_loads_its_weight_is_refused(tmp_path):
    text = PE.sources[0].read_text()
    assert "weight_q <= weight_out" in text
    source = tmp_path / "systolic_pe.v"
    source.write_text(text.replace("weight_q <= weight_out", "weight_q <= weight_q + act_in"))
    with pytest.raises(SynthesisError, match="systolic_pe: weight port weight_in does not reach weight_q"):
        synthesize(replace(PE, sources=(source,)), (OSU018,), tmp_path / "work")
