import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from characterization.annotation import annotate
from characterization.benches.core import latest_fs
from characterization.benches.functional import BenchConfig, run_functional
from characterization.benches.protocol import all_operands, load_pulses, plan_run
from characterization.corner_library import read_corner
from characterization.design import read_design
from characterization.errors import SimulationError
from characterization.pdk import read_pdk
from characterization.synthesis import synthesize
from tests.needs import needs_icarus, needs_osu018

RTL = Path(__file__).parents[2] / "rtl"
DESIGNS = sorted(path.parent.name for path in RTL.glob("*/design.toml"))


@pytest.mark.tool
@needs_icarus
@pytest.mark.parametrize("name", DESIGNS)
def test_the_rtl_of_every_design_follows_its_reference(name, tmp_path):
    design = read_design(RTL / name)
    result = run_functional(design, tmp_path, config=BenchConfig(150))
    assert result.level == "rtl"
    assert result.n_operations == 150
    assert result.n_checked > 295
    assert {design.roles["result"], *(lane.weight.split("[")[0] for lane in design.lanes)} <= set(result.observed)


@pytest.mark.tool
@pytest.mark.slow
@needs_icarus
@needs_osu018
@pytest.mark.parametrize("name", DESIGNS)
def test_the_mapped_netlist_of_every_design_with_its_delays_follows_its_reference(name, tmp_path):
    design, corner = read_design(RTL / name), read_pdk("osu018").corners[0]
    netlist = synthesize(design, corner.liberty, tmp_path)
    timed = annotate(netlist, read_corner(corner), corner, design.clock)
    result = run_functional(design, tmp_path, timed, BenchConfig(40))
    assert result.level == "netlist"
    assert result.n_checked > 75
    assert design.roles["result"] in result.observed


@pytest.mark.tool
@needs_icarus
@pytest.mark.parametrize(("loaded", "seen"), [
    ("weight_out + 1", r"\w+ is [01]+"), ("{weight_out[7:1], 1'bx}", r"net acc_out\[0\] is X.*; acc_out is X+"),
])
def test_wrong_or_unknown_values_are_reported_with_clock_place_and_both_values(loaded, seen, tmp_path):
    design = read_design(RTL / "systolic_pe")
    wrong = tmp_path / "systolic_pe.v"
    wrong.write_text(design.sources[0].read_text().replace("weight_q <= weight_out", f"weight_q <= {loaded}"))
    with pytest.raises(SimulationError, match=rf"clock \d+: {seen}, its reference says [01]+"):
        run_functional(replace(design, sources=(wrong,)), tmp_path, config=BenchConfig(20))


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


@pytest.mark.tool
@pytest.mark.slow
@needs_icarus
@needs_osu018
def test_a_netlist_keeps_up_at_its_slowest_path_and_not_at_a_quarter_of_it(tmp_path):
    design, corner = read_design(RTL / "systolic_pe_int4"), read_pdk("osu018").corners[0]
    timed = annotate(synthesize(design, corner.liberty, tmp_path), read_corner(corner), corner, design.clock)
    longest_ps = latest_fs(timed) / 1000
    result = run_functional(design, tmp_path / "fits", timed, BenchConfig(60, period_ps=1.01 * longest_ps))
    assert result.period_ps == pytest.approx(1.01 * longest_ps, abs=0.01)
    with pytest.raises(SimulationError, match=r"clock \d+: \w+ is [01]+, its reference says [01]+"):
        run_functional(design, tmp_path / "fails", timed, BenchConfig(60, period_ps=longest_ps / 4))


@pytest.mark.tool
@needs_icarus
def test_a_run_leaves_waveforms_and_a_junit_report_and_counts_the_operands_it_saw(tmp_path):
    design = read_design(RTL / "systolic_pe_int4")
    result = run_functional(design, tmp_path, config=BenchConfig(32, wave=True))
    assert (result.folder / "waves.fst").stat().st_size > 1000
    assert "<testcase" in (result.folder / "results.xml").read_text()
    assert 1 <= result.coverage.weights[0] <= 2 < result.coverage.weights[1] == 16
    assert result.coverage.pairs[0] <= 32 < result.coverage.pairs[1] == 16 * 256


@pytest.mark.parametrize("name", ["systolic_pe_int4", "tensor_core_dp4"])
def test_all_operands_are_every_weight_at_every_activation_once_in_each_lane(name):
    design = read_design(RTL / name)
    seen = Counter()
    loads = 0
    for weights, activations, new in all_operands(design, np.random.default_rng(1)):
        seen.update((lane, int(w), int(a)) for lane, (w, a) in enumerate(zip(weights, activations, strict=True)))
        loads += new
    assert loads == len(design.weights)
    assert set(seen.values()) == {1}
    assert len(seen) == len(design.lanes) * len(design.weights) * 256


@pytest.mark.parametrize("period_ps", [0.0, -5.0, float("nan"), float("inf")])
def test_a_period_too_short_to_be_one_is_refused_before_anything_is_built(period_ps):
    with pytest.raises(SimulationError, match=rf"a clock period of {period_ps:g} ps; it must be at least 0\.004 ps"):
        BenchConfig(20, period_ps=period_ps)


@pytest.mark.tool
@needs_icarus
@pytest.mark.skipif(not (RTL.parent / ".venv").exists(), reason="the makefiles use .venv")
def test_a_design_runs_under_cocotbs_own_makefiles():
    done = subprocess.run(["make", "-C", str(RTL / "systolic_pe_int4"), "sim", "VECTORS=20"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS=1 FAIL=0" in done.stdout
