import shutil

import numpy as np
import pytest

from characterization.benches.core import net_order
from characterization.benches.stimulus import StimulusConfig, make_stimulus
from characterization.energy import edge_energy_fj, register_energy_fj, simulate_weights
from tests.characterization.made_cores import BUF, core, gate, sink, source, toy_core, toy_design, uniform


def test_an_edge_costs_half_c_v_squared_and_what_its_driver_and_loads_burn_inside():
    timed = core(
        [source("a", energy=(0.5, 0.25))], [gate("b", BUF, ["a"], uniform(BUF, 1, 1.0, 1.0), energy=(2.0, -3.0))],
        [sink("b")], load_ff={"a": 10.0, "b": 4.0}, voltage_v=2.0, input_energy_fj={"a": np.array([1.0, 0.125])},
    )
    assert net_order(timed) == ("a", "b")
    # Edges are fall, rise.
    np.testing.assert_allclose(edge_energy_fj(timed), [[20 + 0.5 + 1.0, 20 + 0.25 + 0.125], [8 + 2.0, 8 - 3.0]])


def test_register_energy_is_the_clock_and_one_launch_for_each_source_that_moves(tmp_path):
    timed = toy_core("stationary")
    stimulus = make_stimulus(timed, toy_design(tmp_path, "stationary"), StimulusConfig(10, 1, (0, 3)))
    energy = register_energy_fj(timed, stimulus)
    for block, series in enumerate(stimulus.states):
        for step in range(10):
            rises = int(((series[step] == 0) & (series[step + 1] == 1)).sum())
            falls = int(((series[step] == 1) & (series[step + 1] == 0)).sum())
            assert energy[block, step] == pytest.approx(7.0 + 0.75 * rises + 0.25 * falls)


@pytest.mark.tool
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
@pytest.mark.parametrize("mode", ["stationary", "streaming"])
def test_energies_are_what_the_counted_edges_and_the_clock_cost(mode, tmp_path):
    timed, weights = toy_core(mode), (-1, 0, 17)
    activity = simulate_weights(timed, toy_design(tmp_path, mode), StimulusConfig(25, 1, weights), tmp_path, 1)
    edges = (activity.edges * edge_energy_fj(timed)).sum(axis=(1, 2))
    np.testing.assert_allclose(activity.energy_fj.sum(axis=1), edges + 25 * timed.clock_energy_fj, rtol=1e-9)
    np.testing.assert_array_equal(activity.toggles, activity.edges.sum(axis=2))
    np.testing.assert_allclose(activity.mean_fj * 25, activity.energy_fj.sum(axis=1))
    np.testing.assert_allclose(activity.std_fj, activity.energy_fj.std(axis=1, ddof=1))
    assert (activity.register_energy_fj < activity.energy_fj).all()
    assert activity.settle_ps.shape == activity.energy_fj.shape == (3, 25)
    if mode == "stationary":
        # AND with 0 never moves, with -1 always follows.
        ands = [activity.nets.index(f"and{bit}") for bit in range(8)]
        assert activity.toggles[1, ands].sum() == 0
        assert activity.mean_fj[0] > activity.mean_fj[2] > activity.mean_fj[1]
        assert activity.observed_ps[0] > activity.observed_ps[1] > 0
    else:
        assert activity.observed_ps[1] == 0
