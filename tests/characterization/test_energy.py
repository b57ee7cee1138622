import numpy as np
import pytest

from characterization.benches.core import net_order
from characterization.benches.operands import StimulusConfig
from characterization.benches.stimulus import make_stimulus
from characterization.energy import UNITS_PER_FJ, edge_costs, net_energy_fj, simulate_weights
from characterization.simulation import launch_costs
from tests.characterization.made_cores import AND2, BUF, core, gate, sink, source, toy_core, toy_design, uniform


def test_an_edge_costs_half_c_v_squared_and_what_its_loads_burn_inside_and_a_gate_adds_its_own():
    timed = core(
        [source("a", energy=(0.5, 0.25))], [gate("b", BUF, ["a"], uniform(BUF, 1, 1.0, 1.0), energy=(2.0, -3.0))],
        [sink("b")], load_ff={"a": 10.0, "b": 4.0}, voltage_v=2.0, input_energy_fj={"a": np.array([1.0, 0.125])},
    )
    assert net_order(timed) == ("a", "b")
    # Edges are fall, rise.
    np.testing.assert_allclose(net_energy_fj(timed), [[20 + 1.0, 20 + 0.125], [8, 8]])
    costs = edge_costs(timed)
    np.testing.assert_array_equal(costs.source, [[21_000_000, 20_125_000]])
    np.testing.assert_array_equal(costs.gate[0], [[10_000_000, 5_000_000]])
    np.testing.assert_array_equal(costs.launch, [[[0, 250_000], [500_000, 0]]])


def test_launch_costs_are_one_clock_edge_for_each_source_that_moves(tmp_path):
    timed = toy_core("stationary")
    series = make_stimulus(timed, toy_design(tmp_path, "stationary"), StimulusConfig(10, 1, (3,))).states[0]
    found = launch_costs(edge_costs(timed).launch, series.T) / UNITS_PER_FJ
    for step in range(10):
        rises = int(((series[step] == 0) & (series[step + 1] == 1)).sum())
        falls = int(((series[step] == 1) & (series[step + 1] == 0)).sum())
        assert found[step] == pytest.approx(0.75 * rises + 0.25 * falls)


def test_launch_costs_may_depend_on_the_bit_before_and_after():
    cost = np.array([[[1, 10], [100, 1000]], [[2, 20], [200, 2000]]])
    states = np.array([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]], dtype=np.uint8)
    np.testing.assert_array_equal(launch_costs(cost, states.T), [1 + 20, 10 + 2000, 1000 + 200, 100 + 2])


@pytest.mark.parametrize("mode", ["stationary", "streaming"])
def test_energies_are_what_the_counted_edges_and_the_clock_cost(mode, tmp_path):
    timed, weights = toy_core(mode), (-1, 0, 17)
    activity = simulate_weights(timed, toy_design(tmp_path, mode), StimulusConfig(25, 1, weights), tmp_path, 1)
    inside = [[s.energy_fj[1, 0], s.energy_fj[0, 1]] for s in timed.sources]
    inside += [[g.energy_fj[0, 0], g.energy_fj[0, -1]] if g.truth == AND2 else [1.5, 2.5] for g in timed.gates]
    edges = (activity.edges * (net_energy_fj(timed) + inside)).sum(axis=(1, 2))
    np.testing.assert_allclose(activity.energy_fj.sum(axis=1), edges + 25 * timed.clock_energy_fj, rtol=1e-6)
    assert not list(tmp_path.glob("simulation-*"))
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
