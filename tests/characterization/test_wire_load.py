"""Wire-load models: only when asked for, and then as OpenSTA has them."""


import numpy as np
import pytest

from characterization.errors import LibertyError
from characterization.liberty import read_liberty
from characterization.opensta import opensta_endpoints
from characterization.timing import annotate, critical_path
from tests.characterization.small_library import library_text
from tests.characterization.test_timing import CORNER, design, flop, netlist
from tests.needs import needs_sta

MODEL = """wire_load ("W") { capacitance : 0.002; resistance : %s; area : 0; slope : 3;
  fanout_length (2, 3); fanout_length (4, 8); }
  default_wire_load : "W";"""
WIDE = netlist(
    flop("f1", "d", Q="q"), *[(f"u{i}", "INV", {"A": "q", "Y": f"n{i}"}) for i in range(4)],
    ("u9", "NAND2", {"A": "n0", "B": "n1", "Y": "d"}), outputs=(("o", "q"), ("o2", "n1")),
)


def library(folder, resistance="0", model=MODEL):
    path = folder / "wires.lib"
    path.write_text(library_text().replace("  operating_conditions", f"  {model.replace('%s', resistance)}\n"
                                           "  operating_conditions", 1))
    return read_liberty((path,))


def test_lengths_are_interpolated_and_go_on_along_the_slope(tmp_path):
    model = library(tmp_path).wire_load("W")
    assert [model.length(fanout) for fanout in (1, 2, 3, 4, 6)] == [0.0, 3.0, 5.5, 8.0, 14.0]
    assert library(tmp_path).wire_load("default") == model


def test_wires_count_only_when_asked_for(tmp_path):
    wires = library(tmp_path)
    plain, loaded = annotate(WIDE, wires, CORNER, "clk"), annotate(WIDE, wires, CORNER, "clk", "W")
    # q drives four inverters and a port: five loads, length 8 + 3, 2 fF each unit.
    assert loaded.load_ff["q"] - plain.load_ff["q"] == pytest.approx(2 * 11)
    assert loaded.load_ff["d"] == plain.load_ff["d"]      # one load: 3 - 3 x 1 is no wire at all
    assert plain.load_ff["q"] == pytest.approx(4 * 2)


@pytest.mark.tool
@needs_sta
@pytest.mark.parametrize("asked", ["", "W"])
def test_loads_with_wires_are_those_of_opensta(tmp_path, asked):
    wires = library(tmp_path)
    timed = annotate(WIDE, wires, CORNER, "clk", asked)
    commands = [f"set_wire_load_model -name {asked}"] if asked else []
    found = opensta_endpoints(WIDE, wires.paths, "clk", [{}], tmp_path / "sta", commands=commands)[0]
    assert max(found.values()) == pytest.approx(critical_path(timed, design(), None)[-1].arrival_ps, abs=0.01)


def test_a_model_whose_resistance_counts_is_refused(tmp_path):
    annotate(WIDE, library(tmp_path, "0.001"), CORNER, "clk", "W")
    with pytest.raises(LibertyError, match=r"wires.lib:\d+: wire-load model W has resistance that costs [\d.]+ ps"):
        annotate(WIDE, library(tmp_path, "1"), CORNER, "clk", "W")


@pytest.mark.parametrize(("model", "message"), [
    (MODEL.replace("fanout_length", "length"), "wire-load model W has no fanout_length"),
    (MODEL + ' pulling_resistance_unit : "2ohm";', "pulling_resistance_unit is '2ohm'; known are 1ohm"),
])
def test_a_damaged_model_is_refused(tmp_path, model, message):
    with pytest.raises(LibertyError, match=message):
        library(tmp_path, model=model)


def test_an_unknown_model_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(LibertyError, match="no wire-load model 'X'; it has W, default"):
        annotate(WIDE, library(tmp_path), CORNER, "clk", "X")
    assert np.isfinite(annotate(WIDE, library(tmp_path), CORNER, "clk", "default").load_ff["q"])
