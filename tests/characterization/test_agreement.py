from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from characterization import agreement
from characterization.agreement import Trial, check_sinks, hold_against_icarus
from characterization.annotation import annotate
from characterization.benches.operands import StimulusConfig
from characterization.benches.stimulus import make_stimulus
from characterization.corner_library import read_corner
from characterization.design import read_design
from characterization.errors import SimulationError
from characterization.netlist import abut
from characterization.pdk import read_pdk
from characterization.pipeline import map_design, slowest
from tests.characterization.made_cores import toy_core, toy_design
from tests.needs import needs_icarus

RTL = Path(__file__).parents[2] / "rtl"
SKY130 = Path(__file__).parents[3] / "shared" / "pdk" / "sky130hd"


@pytest.mark.tool
@pytest.mark.slow
@needs_icarus
@pytest.mark.parametrize(("name", "library", "weights"), [
    ("systolic_pe", "osu018", (85, -33)), ("systolic_pe_csa", "sky130hd", (-128, 101)),
    ("tensor_core_dp4", "osu018", (-77,)),
])
def test_the_engine_and_icarus_agree_on_every_settle_time_and_toggle_of_a_real_mac(name, library, weights, tmp_path):
    if library == "sky130hd" and not SKY130.is_dir():
        pytest.skip("the sky130hd library is not beside the repository")
    design, pdk = read_design(RTL / name), read_pdk(library)
    netlist = map_design(design, pdk, tmp_path, lambda *_: None)
    timed = annotate(abut(netlist, design.neighbours), read_corner(slowest(pdk)), slowest(pdk), design.clock)
    found = hold_against_icarus(timed, design, StimulusConfig(40, 3, weights), tmp_path)
    assert found.mismatches == 0
    assert found.transitions == 80
    assert found.icarus_cpu_s > found.engine_cpu_s > 0 == found.bare_cpu_s
    assert found.alone_cpu_s > 0 < found.events


@pytest.mark.tool
@needs_icarus
def test_differences_between_the_engines_are_counted(tmp_path, monkeypatch):
    timed, design = toy_core("stationary"), toy_design(tmp_path, "stationary")
    slower = replace(timed, gates=(replace(timed.gates[0], delay_ps=timed.gates[0].delay_ps + 1), *timed.gates[1:]))
    honest = agreement.simulate
    monkeypatch.setattr(agreement, "simulate", lambda _, *args, **options: honest(slower, *args, **options))
    found = hold_against_icarus(timed, design, StimulusConfig(60, 1, (-1,)), tmp_path, bare=True)
    # One gate is a picosecond late: settle times move, glitches may.
    assert 0 < found.settle_differ <= 60
    assert found.mismatches >= found.settle_differ
    assert found.bare_cpu_s > 0


def test_a_sink_that_settles_elsewhere_than_the_truth_tables_say_is_named(tmp_path):
    timed, design = toy_core("stationary"), toy_design(tmp_path, "stationary")
    stimulus = make_stimulus(timed, design, StimulusConfig(3, 1, (5,)))
    trial = Trial(timed, design, stimulus, stimulus, [0], np.zeros(0))
    with pytest.raises(SimulationError, match=r"toy: sink flop_acc_out\[0\]/D settles to the wrong value in step"):
        check_sinks(trial, stimulus.states[0], np.full((4, 8), 2, np.uint8))
