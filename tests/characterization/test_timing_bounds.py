"""What must hold of static timing on any netlist."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from characterization.certify import certify_set
from characterization.liberty import CellLibrary
from characterization.netlist import Cell
from characterization.timed import SHORTEST_PS
from characterization.timing import (
    annotate,
    free_ps,
    sta_endpoints_ps,
    sta_ps,
    sta_sweep_ps,
    topological_ps,
    weight_sinks,
)
from tests.characterization.made_cores import AND2, INV, core, gate, sink, source, uniform, waveforms
from tests.characterization.small_library import CELLS, cell, library_text, output, pin, table, timing
from tests.characterization.test_timing import CORNER, GATED, design, random_pe, read

WEIGHTS = np.array([-128, -1, 0, 1, 85])
# Falls with slew beyond the first knot, as some tables of real libraries do.
BENT = table("cell_rise", 90, 2, -0.9) + table("cell_fall", 80, 2, -0.8) + table("rise_transition", 30, 1, -0.3) + \
    table("fall_transition", 30, 1, -0.3)
XOR_PLAIN = cell("XOR2", pin("A"), pin("B"), output("Y", "A^B", timing("A B", 70, 75, "non_unate")))


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> CellLibrary:
    return read(tmp_path_factory.mktemp("library"), library_text())


@pytest.fixture(scope="module")
def bent(tmp_path_factory) -> CellLibrary:
    """A library in which an inverter is slower the steeper its input."""
    inverter = cell("INV", pin("A"), output("Y", "!A", 'timing () { related_pin : "A"; timing_sense : negative_unate;\n'
                                            + BENT + "}\n"))
    return read(tmp_path_factory.mktemp("bent"), library_text(inverter, *CELLS[1:]))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.booleans(), st.booleans())
def test_no_reading_of_opensta_lies_above_the_bound(library, bent, data, is_bent, dead_slews):
    pe, cells = random_pe(data.draw), bent if is_bent else library
    timed, spec = annotate(pe, cells, CORNER, "clk"), design(bits=8)
    found = sta_endpoints_ps(pe, cells, spec, WEIGHTS, "truth", dead_slews)
    bound = topological_ps(timed, spec, WEIGHTS)
    for one in weight_sinks(timed, spec):
        assert (found[one.origin] <= bound + 1e-9).all()


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_truth_tables_never_find_fewer_constants_than_the_text(library, data):
    pe = random_pe(data.draw)
    text, truth = (sta_endpoints_ps(pe, library, design(bits=8), WEIGHTS, logic) for logic in ("text", "truth"))
    for end, row in truth.items():
        assert (row <= text[end] + 1e-9).all()


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_slower_gate_never_lowers_the_bound(library, data):
    timed = annotate(random_pe(data.draw), library, CORNER, "clk")
    slow = data.draw(st.sampled_from(timed.gates))
    slower = replace(timed, gates=tuple(
        replace(one, delay_ps=one.delay_ps * 1.5) if one is slow else one for one in timed.gates))
    spec = design(bits=8)
    assert (topological_ps(slower, spec, WEIGHTS) >= topological_ps(timed, spec, WEIGHTS) - 1e-9).all()


def test_a_delay_that_falls_with_slew_counts_at_the_steepest_slew(bent):
    wide = [Cell(f"v{i}", "INV", {"A": "a", "Y": f"x{i}"}) for i in range(4)]     # a is flatter than w
    inverter = annotate(replace(GATED, cells=(*GATED.cells, *wide)), bent, CORNER, "clk").gate_of["n2"]
    flat, steep = (10 + 1 * 1 + 0.2 * (10 + load_ff) for load_ff in (18, 6))     # n1 falls, after a or w rose
    rising = [90 + 2 * 3 - 0.9 * slew for slew in (flat, steep)]
    assert inverter.early_ps[0, 0, 1] == pytest.approx(min(rising))
    assert inverter.delay_ps[0, 0, 1] == pytest.approx(max(rising))


def test_a_delay_below_nothing_is_taken_as_a_femtosecond_by_bound_and_proof_alike(tmp_path):
    """A steep gate behind a flat slew; a bound that counts it negative would lie below what is proved."""
    quick = table("cell_rise", -80, 1, 0) + table("cell_fall", -80, 1, 0) + table("rise_transition", 30, 1, 0.1) + \
        table("fall_transition", 30, 1, 0.1)
    inverter = cell("INV", pin("A"), output("Y", "!A", 'timing () { related_pin : "A"; timing_sense : negative_unate;\n'
                                            + quick + "}\n"))
    timed = annotate(GATED, read(tmp_path, library_text(inverter, *CELLS[1:])), CORNER, "clk")
    assert timed.gate_of["n2"].delay_ps[0, 0, 1] == timed.gate_of["n2"].delay_ps[0, 1, 0] == SHORTEST_PS
    assert timed.gate_of["n2"].early_ps[0, 0, 1] < 0
    spec = design("w", bits=1)
    proved, bound = certify_set(timed, spec, None), free_ps(timed, spec)
    assert proved.upper_ps <= proved.topological_ps == pytest.approx(bound, abs=1e-3)


@pytest.mark.parametrize("scope", ["weight", "all"])
def test_a_sweep_over_corners_equals_each_corner_alone(library, bent, tmp_path, scope):
    other = read(tmp_path, library_text(*CELLS[:2], XOR_PLAIN, *CELLS[3:]))     # other arcs: cases cannot be shared
    libraries, weights = [library, bent, other, library], np.array([0, 1])
    alone = [sta_ps(GATED, one, design(), weights, scope) for one in libraries]
    np.testing.assert_array_equal(sta_sweep_ps(GATED, libraries, design(), weights, scope), alone)


def test_a_net_that_is_constant_only_once_settled_counts_for_it_glitches():
    # z = a AND NOT a settles at 0 whatever a is, and yet a register behind it sees it move: implication across
    # reconvergence would give a bound of 0 that the netlist breaks.
    timed = core(
        [source("w"), source("a", (5.0, 5.0))],
        [gate("n", INV, ["a"], uniform(INV, 1, 20.0, 20.0)), gate("z", AND2, ["a", "n"], uniform(AND2, 2, 7.0, 7.0)),
         gate("y", AND2, ["z", "w"], uniform(AND2, 2, 3.0, 3.0))],
        [sink("y", captures="r")])
    seen = waveforms(timed, np.array([1, 0]), np.array([1, 1]))["y"]
    assert [value for _, value in seen] == [1, 0]
    blocked, free = topological_ps(timed, design(), np.array([0, 1]))
    assert seen[-1][0] / 1000 == pytest.approx(5 + 20 + 7 + 3) == pytest.approx(free)
    assert blocked == 0
