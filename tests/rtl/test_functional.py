import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from characterization.annotation import annotate
from characterization.benches.functional import run_functional
from characterization.benches.protocol import load_pulses, plan_run
from characterization.corner_library import read_corner
from characterization.design import read_design
from characterization.errors import SimulationError
from characterization.pdk import read_pdk
from characterization.synthesis import synthesize

RTL = Path(__file__).parents[2] / "rtl"
DESIGNS = sorted(path.parent.name for path in RTL.glob("*/design.toml"))
OSU018 = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")


@pytest.mark.tool
@needs_icarus
@pytest.mark.parametrize("name", DESIGNS)
def test_the_rtl_of_every_design_follows_its_reference(name, tmp_path):
    design = read_design(RTL / name)
    result = run_functional(design, tmp_path, n_operations=150)
    assert result.level == "rtl"
    assert result.n_operations == 150
    assert result.n_checked > 295
    assert {design.roles["result"], *(lane.weight.split("[")[0] for lane in design.lanes)} <= set(result.observed)


@pytest.mark.tool
@pytest.mark.slow
@needs_icarus
@pytest.mark.skipif(not OSU018.is_file(), reason="osu018 is not installed")
@pytest.mark.parametrize("name", DESIGNS)
def test_the_mapped_netlist_of_every_design_with_its_delays_follows_its_reference(name, tmp_path):
    design, corner = read_design(RTL / name), read_pdk("osu018").corners[0]
    netlist = synthesize(design, corner.liberty, tmp_path)
    timed = annotate(netlist, read_corner(corner), corner, design.clock)
    result = run_functional(design, tmp_path, timed, n_operations=40)
    assert result.level == "netlist"
    assert result.n_checked > 75
    assert design.roles["result"] in result.observed


@pytest.mark.tool
@needs_icarus
def test_wrong_rtl_is_reported_with_clock_place_and_both_values(tmp_path):
    design = read_design(RTL / "systolic_pe")
    wrong = tmp_path / "systolic_pe.v"
    text = design.sources[0].read_text().replace("weight_q <= weight_out", "weight_q <= weight_out + 1")
    wrong.write_text(text)
    with pytest.raises(SimulationError, match=r"clock \d+: \w+ is [01]+, its reference says [01]+"):
        run_functional(replace(design, sources=(wrong,)), tmp_path, n_operations=20)


def test_the_weight_is_loaded_by_raising_shift_then_swap():
    assert load_pulses(read_design(RTL / "systolic_pe")) == ["weight_shift", "swap_in"]


def test_a_weight_stands_a_full_cycle_before_it_multiplies():
    design = read_design(RTL / "systolic_pe")
    run = plan_run(design, 20, 1)
    swap, first = run.inputs.index("swap_in"), run.operations[0].clock
    last_swap = max(clock for clock in range(first) if run.driven[clock][swap])
    assert first - last_swap == 2


def test_a_protocol_that_sets_no_weight_is_refused():
    design = read_design(RTL / "systolic_pe")
    hold = {bus: value for bus, value in design.hold.items() if bus != "weight_shift"} | {"swap_out": 1}
    with pytest.raises(SimulationError, match=r"registers still depend on power-up|clocks of next_state"):
        plan_run(replace(design, hold=hold), 20, 1)


def test_a_latency_that_the_reference_does_not_show_is_refused():
    design = read_design(RTL / "systolic_pe")
    with pytest.raises(SimulationError, match=r"result\(\) gives .* but 2 clocks of next_state\(\) give"):
        plan_run(replace(design, latency=2), 20, 1)
