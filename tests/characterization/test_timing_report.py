"""The report of static timing: slacks, endpoints, and what the command line shows of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from characterization.pdk import Corner, Pdk
from characterization.time_design import fastest
from characterization.timing import annotate, floor_ps, sta_ps, topological_ps
from characterization.timing_report import Clock, timing_report
from tests.characterization.small_library import CELLS, library_text
from tests.characterization.test_cli import invoke
from tests.characterization.test_hold import HOLDING
from tests.characterization.test_timing import CORNER, GATED, design, read
from tests.needs import needs_osu018

PE = Path(__file__).parents[2] / "rtl" / "systolic_pe"
OSU = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return read(tmp_path_factory.mktemp("library"), library_text(*CELLS[:-1], HOLDING))


def report(library, weight, n_paths=5, clock=None):
    timed = annotate(GATED, library, CORNER, "clk")
    return timing_report(GATED, timed, library, design(), "slow", weight, n_paths, clock or Clock())


def test_a_report_agrees_with_the_figures_of_a_profile(library):
    timed = annotate(GATED, library, CORNER, "clk")
    found, one = report(library, 1), np.array([1])
    assert found.topological_ps == topological_ps(timed, design(), one)[0] == found.ends[0].needed_ps
    assert found.sta_ps == sta_ps(GATED, library, design(), one)[0]
    assert found.floor_ps == floor_ps(timed, design())


def test_endpoints_come_latest_first_each_with_its_path(library):
    found = report(library, None)
    assert [end.sink.origin for end in found.ends] == ["fr/D", "fa/D", "fw/D", "out"]
    for end in found.ends:
        assert end.steps[-1].arrival_ps == pytest.approx(end.needed_ps)
        assert sum(step.delay_ps for step in end.steps) == pytest.approx(end.needed_ps)
    assert [end.needed_ps for end in found.ends] == sorted((end.needed_ps for end in found.ends), reverse=True)
    assert len(report(library, None, 2).ends) == 2


def test_a_step_states_slew_and_load(library):
    launch, *_ = report(library, 1).ends[0].steps
    timed = annotate(GATED, library, CORNER, "clk")
    assert launch.load_ff == pytest.approx(timed.load_ff[launch.net])
    assert launch.slew_ps == pytest.approx(timed.slew_ps[launch.net][0 if launch.edge == "fall" else 1])


def test_skew_and_jitter_come_off_the_period(library):
    clock = Clock(1000.0, skew_ps=30.0, jitter_ps=12.0)
    found = report(library, 1, clock=clock).to_json()
    end = found["endpoints"][0]
    assert end["slack_ps"] == pytest.approx(1000 - 30 - 12 - end["needed_ps"])
    assert found["hold"]["slack_ps"] == pytest.approx(found["hold"]["tolerated_skew_ps"] - 30)
    assert report(library, 1).to_json()["endpoints"][0]["slack_ps"] is None


def test_hold_is_checked_at_the_fastest_corner():
    corners = [Corner(f"{process}{voltage_v}{temp_c}", (), process, voltage_v, temp_c)
               for process in ("ss", "ff", "tt") for voltage_v in (1.6, 1.9) for temp_c in (-40.0, 100.0)]
    assert fastest(Pdk("p", tuple(corners))).name == "ff1.9-40.0"
    assert fastest(Pdk("p", tuple(corners[:4]))).name == "ss1.9-40.0"


def test_the_hold_of_another_corner_is_named(library):
    timed = annotate(GATED, library, CORNER, "clk")
    quick = replace(timed, sources=tuple(replace(source, early_ps=source.early_ps - 50) for source in timed.sources))
    found = timing_report(GATED, timed, library, design(), "slow", 1, 1, Clock(), fast=("quick", quick))
    assert found.hold_corner == "quick"
    assert found.hold.slack_ps == pytest.approx(report(library, 1).hold.slack_ps - 50)


def test_a_report_is_json(library):
    assert json.loads(json.dumps(report(library, None).to_json()))["sta_ps"] is None


@pytest.mark.tool
@needs_osu018
def test_the_command_prints_paths_and_writes_sdf(tmp_path, monkeypatch, capsys):
    work = tmp_path / "work"
    asked = ("timing", PE, "--pdk", "osu018", "--weight", 64, "--work", work)
    code, out, _ = invoke(monkeypatch, capsys, *asked, "--period", 3000, "--sdf", tmp_path / "pe.sdf")
    assert code == 0
    assert "weight 64, compute mode" in out
    assert "VIOLATED" in out
    assert "tolerates a skew of" in out
    assert (tmp_path / "pe.sdf").read_text().startswith("(DELAYFILE")
    assert "module systolic_pe" in (tmp_path / "pe.v").read_text()
    code, out, _ = invoke(monkeypatch, capsys, *asked, "--paths", 3, "--json")
    found = json.loads(out)
    assert (code, len(found["endpoints"]), found["weight"]) == (0, 3, 64)
    assert found["hold"]["corner"] == found["corner"] == "typical"
    code, _, err = invoke(monkeypatch, capsys, *asked, "--corner", "hot")
    assert (code, "no corner 'hot'" in err) == (2, True)
    code, _, err = invoke(monkeypatch, capsys, *asked, "--wire-load", "big")
    assert (code, "no wire-load model 'big'; it has none" in err) == (2, True)
