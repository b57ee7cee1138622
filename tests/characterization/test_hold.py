"""Hold against numbers reckoned by hand on a library that is linear in load and slew."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from characterization.hold import hold_report
from characterization.timed import FALL, RISE
from characterization.timing import annotate, critical_path, sta_hold_ps
from tests.characterization.small_library import CELLS, NAND2, constraint, library_text
from tests.characterization.test_timing import CHAIN, CORNER, GATED, design, flop, netlist, random_pe, read

HOLDING = CELLS[-1].replace(
    constraint("setup_rising", 50, 60), constraint("setup_rising", 50, 60) + constraint("hold_rising", 7, 4))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return read(tmp_path_factory.mktemp("library"), library_text(*CELLS[:-1], HOLDING))


def test_hold_slack_is_the_earliest_path_minus_the_hold_time(library):
    report = hold_report(annotate(CHAIN, library, CORNER, "clk"))
    rise = 112 + (20 + 2 * 3 + 0.1 * (10 + 1 * 1)) - 7      # q falls, d rises
    fall = 106 + (10 + 2 * 1 + 0.1 * (10 + 1 * 3)) - 4
    assert report.slack_ps == report.tolerated_skew_ps == pytest.approx(min(rise, fall))
    assert [(step.cell, step.pin, step.edge) for step in report.steps] == [
        ("f1", "Q", "rise"), ("u1", "A", "fall"), ("f1", "D", "fall")]
    assert sum(step.delay_ps for step in report.steps) == pytest.approx(report.slack_ps)
    assert report.slacks_ps == {"f1/D": report.slack_ps} == pytest.approx(sta_hold_ps(CHAIN, library, "clk"))


def test_several_inputs_at_once_make_hold_tighter(library):
    factors = {"XOR2": {("Y", RISE): (1.0, 0.5), ("Y", FALL): (1.0, 0.6)}}
    plain, early = (annotate(GATED, replace(library, multi_input=one), CORNER, "clk") for one in ({}, factors))
    slow, fast = (hold_report(timed).slacks_ps["fr/D"] for timed in (plain, early))
    xor = plain.gate_of["sum"].early_ps
    np.testing.assert_allclose(early.gate_of["sum"].early_ps, xor * [0.6, 0.5])
    assert fast < slow
    assert sta_hold_ps(GATED, library, "clk")["fr/D"] == pytest.approx(slow)


def test_the_low_end_of_a_capacitance_range_counts_for_hold_only(library, tmp_path):
    ranged = NAND2.replace("fall_capacitance", "fall_capacitance_range (0.0002, 0.001); fall_capacitance")
    other = read(tmp_path, library_text(*CELLS[:1], ranged, *CELLS[2:-1], HOLDING))
    several = netlist(flop("f1", "y", Q="q"), flop("f2", "q", Q="r"), ("u1", "NAND2", {"A": "q", "B": "r", "Y": "y"}))
    plain, light = (annotate(several, one, CORNER, "clk") for one in (library, other))
    assert light.source_of["q"].early_ps[FALL] == pytest.approx(plain.source_of["q"].early_ps[FALL] - 2 * 0.8)
    assert light.source_of["q"].launch_ps == pytest.approx(plain.source_of["q"].launch_ps)
    assert critical_path(light, design(), None) == critical_path(plain, design(), None)


def test_input_ports_do_not_count(library):
    through = netlist(flop("f1", "en", Q="q"), inputs=("en",))
    report = hold_report(annotate(through, library, CORNER, "clk"))
    assert (report.slack_ps, report.endpoint, report.steps) == (np.inf, "", ())
    assert sta_hold_ps(through, library, "clk") == {}


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_the_earliest_path_ends_at_the_slack_and_never_after_the_latest(library, data):
    timed = annotate(random_pe(data.draw), library, CORNER, "clk")
    report = hold_report(timed)
    for gate in timed.gates:
        assert (gate.early_ps <= gate.delay_ps + 1e-9)[~np.isnan(gate.delay_ps)].all()
    assert sum(step.delay_ps for step in report.steps) == pytest.approx(report.slack_ps)
    assert report.slack_ps == min(report.slacks_ps.values())
    last = critical_path(timed, design(), None)[-1]
    assert report.steps[-2].arrival_ps <= last.arrival_ps - last.delay_ps + 1e-9
