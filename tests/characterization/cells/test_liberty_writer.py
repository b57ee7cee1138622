import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from characterization.boolean import parse_function
from characterization.cells.liberty_writer import write_liberty
from characterization.cells.tables import Condition
from characterization.design import read_design
from characterization.errors import CellsError
from characterization.liberty import read_liberty
from characterization.netlist import abut
from characterization.opensta import opensta_ps
from characterization.pdk import pdk_from_liberty
from characterization.synthesis import synthesize
from characterization.timing import annotate, fixed_nets, sta_ps
from tests.characterization.cells.made_cells import LOGIC, made_cell, made_flop, made_library
from tests.needs import needs_sta

RTL = Path(__file__).parents[3] / "rtl"
RAILS = {"VPWR": "primary_power", "VGND": "primary_ground"}
DIGITS = 6e-5
WEIGHTS = np.array([-77, 1, 85])


def read_back(cells, folder, **how):
    path = folder / "made.lib"
    path.write_text(write_liberty(cells, "made", ("A comment { with a brace.", ""), **how))
    return read_liberty((path,))


def same(table, axes, values):
    np.testing.assert_allclose(table.slew_ps, axes[0], rtol=DIGITS)
    if len(axes) > 1:
        np.testing.assert_allclose(table.other, axes[1], rtol=DIGITS)
    np.testing.assert_allclose(table.values.reshape(np.shape(values)), values, rtol=DIGITS)


def check_arcs(cell, found):
    """Every measured arc and energy stands once in the library, and nothing else does."""
    names = [pin.name for pin in cell.pins]
    for arc in cell.arcs:
        pin = next(pin for pin in cell.pins if pin.name == arc.output)
        condition = parse_function(arc.when, names) if arc.when else None
        kind = "combinational" if cell.flop is None else f"{('falling', 'rising')[arc.input_edge]}_edge"
        unate = "positive_unate" if arc.input_edge == arc.output_edge else "negative_unate"
        sense = "non_unate" if cell.flop else unate
        [read] = [one for one in found.pins[arc.output].arcs
                  if (one.related_pin, one.when, one.kind, one.sense) == (arc.related, condition, kind, sense)]
        axes = (cell.slews_ps, pin.loads_ff)
        same(read.delay[arc.output_edge], axes, arc.delay_ps)
        same(read.slew[arc.output_edge], axes, arc.slew_ps)
        [power] = [one for one in found.pins[arc.output].powers
                   if (one.related_pin, one.when) == (arc.related, condition)]
        same(power.energy[arc.output_edge], axes, arc.energy_fj)
    n_edges = sum(table is not None for pin in cell.pins if pin.direction == "output"
                  for arc in found.pins[pin.name].arcs for table in arc.delay)
    assert n_edges == len(cell.arcs)


def check_pins(cell, found):
    names = tuple(pin.name for pin in cell.pins)
    for pin in cell.pins:
        read = found.pins[pin.name]
        assert (read.direction, read.max_capacitance_ff) == (pin.direction, pin.max_capacitance_ff)
        if pin.direction == "input":
            np.testing.assert_allclose(read.capacitance_ff, pin.capacitance_ff, rtol=DIGITS)
        if pin.function:
            assert read.function == parse_function(pin.function, (*names, "IQ", "IQ_N"))
    for row in cell.hidden:
        condition = parse_function(row.when, names) if row.when else None
        [power] = [one for one in found.pins[row.pin].powers if (one.related_pin, one.when) == ("", condition)]
        same(power.energy[row.edge], (cell.slews_ps,), row.energy_fj)
    for row in cell.constraints:
        [check] = [arc for arc in found.pins[row.pin].arcs if arc.kind.startswith(row.kind)]
        same(check.delay[row.edge], (cell.constraint_slews_ps,) * 2, row.constraint_ps)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from([*LOGIC, "flop"]), n_slews=st.integers(1, 5),
       n_loads=st.integers(1, 5), rails=st.sampled_from([{}, RAILS]))
def test_what_is_written_is_read_back_to_five_digits(tmp_path_factory, seed, kind, n_slews, n_loads, rails):
    how = {"seed": seed, "n_slews": n_slews, "n_loads": n_loads}
    cell = made_flop(**how) if kind == "flop" else made_cell(kind, **how)
    library = read_back([cell], tmp_path_factory.mktemp("made"), rails=rails)
    found = library.cells[cell.name]
    assert (library.name, library.nominal_voltage_v, library.nominal_temp_c) == ("made", 1.8, 25.0)
    assert found.area_um2 == pytest.approx(cell.area_um2, rel=DIGITS)
    assert found.leakage_nw == pytest.approx(np.mean([row.power_nw for row in cell.leakage]), rel=DIGITS)
    assert not found.unusable
    check_arcs(cell, found)
    check_pins(cell, found)


def test_equal_cells_give_equal_bytes():
    assert write_liberty(made_library(3), "made") == write_liberty(made_library(3), "made")
    assert write_liberty(made_library(3), "made") != write_liberty(made_library(4), "made")


def test_a_flop_of_the_falling_edge_is_read_as_one(tmp_path):
    flop = read_back([made_flop(clocked_on="!CLK")], tmp_path).cells["made_dfxtp_1"]
    assert (flop.clock_pin, flop.flop.clocked_on.truth) == ("CLK", 0b01)
    assert {arc.kind for arc in flop.pins["D"].arcs} == {"setup_falling", "hold_falling"}


def test_a_library_of_nothing_or_of_several_conditions_is_refused():
    with pytest.raises(CellsError, match="library made has no cells"):
        write_liberty([], "made")
    other = made_cell("buf_2", condition=Condition("ss", -40.0, 1.6))
    with pytest.raises(CellsError, match=r"made_inv_1 was measured at .*'tt'.*, made_buf_2 at .*'ss'"):
        write_liberty([made_cell("inv_1"), other], "made")
    with pytest.raises(CellsError, match="cell made_inv_1 was measured twice"):
        write_liberty([made_cell("inv_1")] * 2, "made")


def test_a_hole_or_a_wrong_shape_is_refused():
    cell = made_cell("inv_1")
    arc = cell.arcs[0]

    def refused(message, **changes):
        with pytest.raises(CellsError, match=message):
            write_liberty([replace(cell, **changes)], "made")

    delay_ps = arc.delay_ps.copy()
    delay_ps[1, 2] = math.nan
    refused(r"cell made_inv_1: cell_rise has a hole at \[1 2\]", arcs=(replace(arc, delay_ps=delay_ps),))
    refused(r"shape \(2, 4\) does not fit ascending axes of 3 x 4", arcs=(replace(arc, delay_ps=delay_ps[:2]),))
    refused("does not fit ascending axes", slews_ps=(3.0, 2.0, 1.0))
    refused(r"two arcs A -> Y rise with when ''", arcs=(arc, arc))
    refused(r"leakage \[\] is not measured in every state", leakage=())


TIES = """
from pyosys import libyosys as ys
design = ys.Design()
for line in ("read_verilog t.v", "synth -top t", "dfflibmap -liberty made.lib", "abc -liberty made.lib",
             "hilomap -hicell made_conb_1 HI -locell made_conb_1 LO", "opt_clean"):
    design.run_pass("tee -q -a log " + line)
print(sorted(cell.type.str() for cell in design.top_module().cells_.values()))
"""


@pytest.mark.tool
def test_yosys_ties_constants_to_the_tie_cell(tmp_path):
    read_back(made_library(1), tmp_path, rails=RAILS)
    verilog = "module t(input c, output reg y, output z, w); always @(posedge c) y <= !y; assign z = 1, w = 0;"
    (tmp_path / "t.v").write_text(f"{verilog} endmodule\n")
    done = subprocess.run([sys.executable, "-c", TIES], cwd=tmp_path, capture_output=True, text=True, check=True)
    kinds = done.stdout.strip().splitlines()[-1]
    assert kinds.count("made_conb_1") == 2
    assert kinds.count("made_dfxtp_1") == 1


@pytest.mark.tool
@needs_sta
@pytest.mark.parametrize("rails", [{}, RAILS], ids=["no rails", "rails"])
def test_yosys_maps_onto_a_written_library_and_opensta_times_it_as_we_do(tmp_path, rails):
    read_back(made_library(1, n_slews=4), tmp_path, rails=rails)
    path = tmp_path / "made.lib"
    design, corner = read_design(RTL / "systolic_pe"), pdk_from_liberty(path).corner()
    netlist = abut(synthesize(design, (path,), tmp_path / "yosys"), design.neighbours)
    assert {"made_dfxtp_1", "made_nand2_1", "made_mux2_1"} <= {cell.kind for cell in netlist.cells}
    library = read_liberty((path,))
    timed = annotate(netlist, library, corner, design.clock)
    fixed = {timed.source_of[net].origin: values for net, values in fixed_nets(timed, design, WEIGHTS).items()}
    cases = [{origin: int(values[i]) for origin, values in fixed.items()} for i in range(WEIGHTS.size)]
    referee = opensta_ps(netlist, (path,), design.clock, cases, tmp_path / "sta")
    assert sta_ps(netlist, library, design, WEIGHTS, "all") == pytest.approx(referee, rel=1e-3)
