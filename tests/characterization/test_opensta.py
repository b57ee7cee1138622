"""The figure for comparison is OpenSTA's own, on every design and library at hand."""

from pathlib import Path

import numpy as np
import pytest

from characterization.corner_library import read_corner
from characterization.design import read_design
from characterization.errors import CharacterizationError, PdkError, ToolMissingError
from characterization.hold import hold_report
from characterization.liberty import read_liberty
from characterization.netlist import abut
from characterization.opensta import opensta_endpoints, opensta_ps
from characterization.pdk import pdk_from_liberty, read_pdk
from characterization.synthesis import synthesize
from characterization.timing import (
    annotate,
    critical_path,
    fixed_nets,
    sta_endpoints_ps,
    sta_hold_ps,
    sta_ps,
    topological_ps,
    weight_sinks,
)
from tests.characterization.small_library import library_text
from tests.characterization.test_timing import CHAIN, GATED
from tests.needs import needs_sta

RTL = Path(__file__).parents[2] / "rtl"
WEIGHTS = np.array([-128, -77, -1, 0, 2, 3, 64, 85])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "small.lib"
    path.write_text(library_text())
    return path


@pytest.mark.tool
@needs_sta
@pytest.mark.parametrize(("folder", "pdk"), [
    ("systolic_pe", "osu018"), ("tensor_core_dp4", "osu018"), ("systolic_pe", "sky130"), ("systolic_pe", "sky130hd"),
    ("systolic_pe_booth", "asap7"),
])
def test_arrivals_at_every_endpoint_and_hold_equal_those_of_opensta(folder, pdk, tmp_path):
    try:
        cells = read_pdk(pdk)
    except PdkError as error:
        pytest.skip(str(error))
    design, corner = read_design(RTL / folder), cells.corners[0]
    netlist = abut(synthesize(design, corner.liberty, tmp_path / "yosys", cells.dont_use), design.neighbours)
    library = read_corner(corner)
    timed = annotate(netlist, library, corner, design.clock)
    fixed = fixed_nets(timed, design, WEIGHTS)
    origins = {timed.source_of[net].origin: values for net, values in fixed.items()}
    cases = [{origin: int(values[i]) for origin, values in origins.items()} for i in range(WEIGHTS.size)]
    found = sta_endpoints_ps(netlist, library, design, WEIGHTS)
    referee = opensta_endpoints(netlist, corner.liberty, design.clock, cases, tmp_path / "sta")
    for i, ends in enumerate(referee):
        assert {end: row[i] for end, row in found.items() if row[i] >= 0} == pytest.approx(ends, rel=1e-3, abs=0.01)
    reached = {sink.origin for sink in weight_sinks(timed, design)}
    worst = [max((needed for end, needed in ends.items() if end in reached), default=0.0) for ends in referee]
    assert sta_ps(netlist, library, design, WEIGHTS) == pytest.approx(worst, rel=1e-3, abs=0.01)
    # The one delay set lies above, whatever slews a version merges, where constants spread by truth tables in both.
    for dead_slews in (False, True):
        exact = sta_endpoints_ps(netlist, library, design, WEIGHTS, "truth", dead_slews)
        bound = topological_ps(timed, design, WEIGHTS)
        assert all((exact[end] <= bound + 1e-6).all() for end in reached)
    hold = opensta_endpoints(netlist, corner.liberty, design.clock, [{}], tmp_path / "sta", "hold")[0]
    assert sta_hold_ps(netlist, library, design.clock) == pytest.approx(hold, rel=1e-3, abs=0.01)
    assert hold_report(timed).slack_ps <= min(hold.values()) + 0.01


@pytest.mark.tool
@needs_sta
@pytest.mark.parametrize("netlist", [CHAIN, GATED], ids=["chain", "gated"])
def test_the_small_library_is_read_as_opensta_reads_it(netlist, small, tmp_path):
    timed = annotate(netlist, read_liberty((small,)), pdk_from_liberty(small).corner(), "clk")
    referee = opensta_ps(netlist, (small,), "clk", [{}], tmp_path)[0]
    path = critical_path(timed, read_design(RTL / "systolic_pe"), None)
    assert path[-1].arrival_ps == pytest.approx(referee, abs=0.01)


@pytest.mark.tool
@needs_sta
def test_what_opensta_complains_of_is_an_error(small, tmp_path):
    other = tmp_path / "other.lib"
    other.write_text(library_text().replace("cell (INV)", "cell (INVERTER)"))
    with pytest.raises(CharacterizationError, match=r"cases.tcl: OpenSTA says: .*black box"):
        opensta_ps(CHAIN, (other,), "clk", [{}], tmp_path / "sta")
    with pytest.raises(CharacterizationError, match=r"OpenSTA says: .*'u9/Q' not found"):
        opensta_ps(CHAIN, (small,), "clk", [{"u9/Q": 1}], tmp_path / "sta")


def test_a_missing_opensta_is_named_with_its_package(small, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="install the Debian package opensta"):
        opensta_ps(CHAIN, (small,), "clk", [{}], tmp_path / "sta")
