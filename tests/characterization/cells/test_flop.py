"""A flip-flop from transistors to tables; setup and hold are held against plain transients."""

from dataclasses import replace

import numpy as np
import pytest

from characterization.cells.capture import measure_captures
from characterization.cells.constraints import DEGRADATION, Search, read_times
from characterization.cells.deck import Bench, Stimulus, ramp
from characterization.cells.extraction import extract
from characterization.cells.flop import measure_flop
from characterization.cells.ngspice import leakage_nw
from characterization.cells.points import MeasureConfig
from characterization.cells.quiet_edges import measure_quiet_edges
from characterization.cells.stored_state import CLOCK, DATA, find_flop, is_flop, storing
from characterization.cells.switch_level import directions
from characterization.cells.tables import Condition
from characterization.cells.waveform import crossing_ps
from characterization.cells.wheel import find_wheel
from characterization.constants import FALL, RISE
from characterization.errors import CellsError
from tests.needs import needs_cells

pytestmark = [
    pytest.mark.tool,
    needs_cells,
]
SLEWS_PS = (30.0, 300.0)
SMALL = MeasureConfig(slews_ps=SLEWS_PS, constraint_slews_ps=SLEWS_PS, n_loads=2, load_per_um_ff=50.0, attempts=1)
TYPICAL = Condition("tt", 25.0, 1.8)
NEVER = replace(SMALL, settled=-1.0, attempts=0)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("flop")


@pytest.fixture(scope="module")
def bench(work):
    wheel = find_wheel()
    cell = extract(wheel.cell("dfxtp_1"), work / "layouts")
    return Bench(cell, *directions(cell.circuit), TYPICAL, wheel)


@pytest.fixture(scope="module")
def flop(bench, work):
    return find_flop(bench, SMALL, work)


@pytest.fixture(scope="module")
def tables(bench, work):
    return measure_flop(bench.cell, TYPICAL, bench.wheel, SMALL, work)


def test_only_cells_with_a_clock_and_an_undecided_output_are_flops(bench, work):
    assert is_flop(bench.cell.circuit)
    assert not is_flop(extract(bench.wheel.cell("nand2_1"), work / "layouts").circuit)


def test_both_edges_of_the_output_follow_the_clock_later_under_more_load(tables):
    assert [(a.related, a.input_edge, a.output_edge) for a in tables.arcs] == [("CLK", RISE, FALL), ("CLK", RISE, RISE)]
    for arc in tables.arcs:
        assert (np.diff(arc.delay_ps, axis=1) > 0).all()
        assert (np.diff(arc.slew_ps, axis=1) > 0).all()
        assert np.isfinite(arc.energy_fj).all()


def test_a_cycle_of_the_output_costs_the_same_whatever_its_load(tables):
    beyond = tables.arcs[0].energy_fj + tables.arcs[1].energy_fj
    assert np.ptp(beyond, axis=1).max() < 0.05 * tables.pins[-1].loads_ff[-1] * TYPICAL.voltage_v**2


def test_every_state_of_the_flop_has_its_energy_and_leakage(tables):
    states = {(h.pin, h.edge): set() for h in tables.hidden}
    for hidden in tables.hidden:
        states[hidden.pin, hidden.edge].add(hidden.when)
        assert hidden.energy_fj.shape == (len(SLEWS_PS),)
    assert states == {
        ("CLK", RISE): {"!D", "D"}, ("CLK", FALL): {"!D&!Q", "D&!Q", "!D&Q", "D&Q"},
        ("D", RISE): {"!CLK&!Q", "CLK&!Q", "!CLK&Q", "CLK&Q"}, ("D", FALL): {"!CLK&!Q", "CLK&!Q", "!CLK&Q", "CLK&Q"}}
    assert len({leak.when for leak in tables.leakage}) == 8
    assert all(leak.power_nw > 0 for leak in tables.leakage)


def test_data_that_the_clock_shuts_out_costs_less_than_data_that_enters(tables):
    energy = {(h.edge, h.when): h.energy_fj.mean() for h in tables.hidden if h.pin == "D"}
    for edge in (FALL, RISE):
        assert energy[edge, "CLK&Q"] < energy[edge, "!CLK&Q"]


def transient(flop, kind, edge, data, clock, time_ps):
    """The clock rises at 3 ns; data moves `time_ps` before (setup) or after (hold)."""
    mids = {CLOCK: 3000.0, DATA: 3000.0 - time_ps if kind == "setup" else 3000.0 + time_ps}
    slews = {CLOCK: SLEWS_PS[clock], DATA: SLEWS_PS[data]}
    start = {CLOCK: 0.0, DATA: TYPICAL.voltage_v * (1 - edge)}
    drives = {pin: ramp(mid - slews[pin] / 1.2, slews[pin], start[pin], TYPICAL.voltage_v - start[pin])
              for pin, mid in mids.items()}
    return Stimulus(drives, {"Q": flop.loads_ff[0]}, 6000.0, 10.0)


def delay_ps(waves, value):
    """Clock to output, or nan if the output does not take the value for good."""
    crossed = crossing_ps(waves.time_ps, waves.voltage_v["Q"], TYPICAL.voltage_v / 2, value == 1) - 3000.0
    return crossed if abs(waves.voltage_v["Q"][-1] - value * TYPICAL.voltage_v) < 0.01 else float("nan")


@pytest.mark.parametrize("kind", ["setup", "hold"])
@pytest.mark.parametrize("edge", [FALL, RISE])
def test_beyond_its_constraint_a_flop_is_in_time_and_before_it_is_not(flop, tables, work, kind, edge):
    constraint, = (c for c in tables.constraints if (c.kind, c.edge) == (kind, edge))
    value = edge if kind == "setup" else 1 - edge
    arc, = (a for a in tables.arcs if a.output_edge == value)
    points = [(data, clock, sign) for data, clock in ((0, 0), (1, 0), (0, 1)) for sign in (1, -1)]
    stimuli = [transient(flop, kind, edge, data, clock, constraint.constraint_ps[data, clock] + 4.5 * sign)
               for data, clock, sign in points]
    for (_, clock, sign), waves in zip(points, storing(flop, 1 - value, stimuli, work), strict=True):
        assert (delay_ps(waves, value) < DEGRADATION * arc.delay_ps[clock, 0]) == (sign > 0)


def test_slow_data_needs_more_setup_and_less_hold(tables):
    for constraint in tables.constraints:
        sign = 1 if constraint.kind == "setup" else -1
        assert (sign * np.diff(constraint.constraint_ps, axis=0) > 0).all()


def test_a_flop_that_does_not_switch_is_named_with_its_voltage(bench, flop, work):
    with pytest.raises(CellsError, match=r"dfxtp_1: Q does not take the value of D at the rise of CLK at 0\.1 V"):
        find_flop(replace(bench, condition=Condition("tt", 25.0, 0.1)), replace(SMALL, attempts=0), work)
    with pytest.raises(CellsError, match=r"dfxtp_1: CLK -> Q does not bring 1 at 1\.8 V \(tt, 25 C\) within"):
        measure_captures(flop, 1, [(30.0, 1.0)], NEVER, work)
    with pytest.raises(CellsError, match=r"dfxtp_1: Q does not keep 0 at 1\.8 V .* while D moves"):
        measure_quiet_edges(flop, 0, (30.0,), NEVER, work)


def test_a_state_that_the_operating_point_is_not_in_is_named(flop, work):
    with pytest.raises(CellsError, match=r"no operating point in state CLK=0 D=0 Q=1 at 1\.8 V"):
        leakage_nw(flop.bench, [{"CLK": 0, "D": 0, "Q": 1}], work, flop.stored[0, 0])


def test_a_search_that_does_not_close_is_named(flop):
    search = Search("hold", FALL, 0, 1, 300.0)
    with pytest.raises(CellsError, match=r"no hold time of D falling .* from -500 to 1e\+09 ps is undecided"):
        read_times(flop, [search], "@ hold 0 1 -500 1e9 40\n")
    with pytest.raises(CellsError, match=r"no hold time of D falling is found at .*: Error: no such thing"):
        read_times(flop, [search], "Error: no such thing\n")
