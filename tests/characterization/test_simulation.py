import itertools
from dataclasses import replace

import numpy as np
import pytest

from characterization import simulation
from characterization.benches.core import net_order
from characterization.errors import SimulationError
from characterization.flat import net_costs
from characterization.simulation import simulate
from characterization.timed import FALL, RISE
from tests.characterization.made_cores import (
    BUF,
    INV,
    NAND2,
    XOR2,
    core,
    expected_cost,
    expected_of,
    expected_trace,
    gate,
    random_core,
    random_states,
    sink,
    source,
    stimulus_of,
    trace_of,
    uniform,
)
from tests.needs import needs_icarus


def states(*rows: str) -> np.ndarray:
    """One block of states, each a string of source values in order."""
    return np.array([[[int(bit) for bit in row] for row in rows]], dtype=np.uint8)


def settle_ps(timed, *rows: str) -> list[float]:
    return simulate(timed, stimulus_of(states(*rows))).settle_ps[0].tolist()


def random_costs(timed, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-(10**12), 10**13, (len(net_order(timed)), 2))


def test_a_chain_settles_after_launch_delays_and_the_setup_of_the_last_edge():
    timed = core(
        [source("a", launch=(20.0, 10.0))],
        [gate("b", INV, ["a"], {(0, RISE, FALL): 3.0, (0, FALL, RISE): 4.0}),
         gate("c", INV, ["b"], {(0, RISE, FALL): 5.0, (0, FALL, RISE): 6.5})],
        [sink("c", setup=(100.0, 200.0))],
    )
    trace = simulate(timed, stimulus_of(states("0", "1", "0", "0")), costs=net_costs(timed, np.ones((3, 2), int)))
    assert trace.settle_ps[0].tolist() == [10 + 3 + 6.5 + 200, 20 + 4 + 5 + 100, 0]
    assert trace.cost[0].tolist() == [3, 3, 0]
    assert trace.edges[0].tolist() == [[1, 1]] * 3


def test_a_pulse_shorter_than_its_gate_is_swallowed_whole():
    # x = a xor late(a) pulses for 7 ps at each edge of a; a gate of 8 ps does not see it, one of 6 ps does.
    timed = core(
        [source("a")],
        [gate("late", BUF, ["a"], uniform(BUF, 1, 7.0, 7.0)),
         gate("x", XOR2, ["a", "late"], uniform(XOR2, 2, 1.0, 1.0)),
         gate("slow", BUF, ["x"], uniform(BUF, 1, 8.0, 8.0)), gate("quick", BUF, ["x"], uniform(BUF, 1, 6.0, 6.0))],
        [sink("slow"), sink("quick")],
    )
    trace = simulate(timed, stimulus_of(states("0", "1", "0")))
    assert trace.settle_ps[0].tolist() == [7 + 1 + 6, 7 + 1 + 6]
    edges = dict(zip(trace.nets, trace.edges[0].tolist(), strict=True))
    assert edges["x"] == edges["quick"] == [2, 2]
    assert edges["slow"] == [0, 0]


def test_pulses_shorter_than_their_edges_cost_in_proportion_passed_or_swallowed():
    # Pulses of 7 ps as above, where an edge takes 28 ps from rail to rail: each swings a quarter of the supply.
    timed = core(
        [source("a")],
        [gate("late", BUF, ["a"], uniform(BUF, 1, 7.0, 7.0)),
         gate("x", XOR2, ["a", "late"], uniform(XOR2, 2, 1.0, 1.0)),
         gate("slow", BUF, ["x"], uniform(BUF, 1, 8.0, 8.0)), gate("quick", BUF, ["x"], uniform(BUF, 1, 6.0, 6.0))],
        [sink("slow"), sink("quick")],
    )
    costs = replace(net_costs(timed, np.full((5, 2), 10**6)), rail_fs=np.full(4, 28_000),
                    pair=np.full(4, 2 * 10**6))
    trace = simulate(timed, stimulus_of(states("0", "1", "0")), costs=costs)
    # The edges of a and late are whole; x, slow and quick each make two edges, of a quarter of their swing.
    np.testing.assert_allclose(trace.cost[0], 2 * 10**6 + 3 * 2 * 10**6 / 4, atol=10)
    assert dict(zip(trace.nets, trace.edges[0].tolist(), strict=True))["slow"] == [0, 0]


def test_of_inputs_that_move_in_one_instant_or_later_the_earliest_cause_wins():
    arcs = {(0, FALL, RISE): 30.0, (1, FALL, RISE): 20.0, (0, RISE, FALL): 12.0, (1, RISE, FALL): 15.0}
    together = core([source("a"), source("b")], [gate("y", NAND2, ["a", "b"], arcs)], [sink("y")])
    assert settle_ps(together, "11", "00", "11") == [20.0, 12.0]
    # a falls at 0 and would raise y at 30; b falls at 5 and raises it at 5 + 20.
    apart = replace(together, sources=(source("a"), source("b", launch=(5.0, 5.0))))
    assert settle_ps(apart, "11", "00") == [25.0]


def test_inputs_that_cross_in_one_instant_do_not_glitch():
    timed = core([source("a"), source("b")], [gate("y", XOR2, ["a", "b"], uniform(XOR2, 2, 1.0, 1.0))], [sink("y")])
    assert settle_ps(timed, "01", "10", "01") == [0, 0]


def test_delays_of_seconds_and_of_nothing_are_simulated_alike():
    timed = core(
        [source("a")],
        [gate("b", INV, ["a"], uniform(INV, 1, 2e12, 2e12)), gate("c", INV, ["b"], uniform(INV, 1, -5.0, 0.0))],
        [sink("c")],
    )
    assert settle_ps(timed, "0", "1") == [pytest.approx(2e12 + 0.001, abs=1e-3)]


@pytest.mark.parametrize("seed", range(40))
def test_random_cores_agree_exactly_with_a_second_engine(seed):
    timed = random_core(seed)
    vectors = random_states(seed, 3, 40, len(timed.sources))
    trace = simulate(timed, stimulus_of(vectors))
    settle_fs, edges = expected_trace(timed, vectors)
    np.testing.assert_array_equal(np.round(trace.settle_ps * 1000).astype(int), settle_fs)
    np.testing.assert_array_equal(trace.edges, edges)
    assert edges.sum() > 1000


@pytest.mark.parametrize("seed", range(6))
def test_costs_of_short_pulses_agree_with_a_second_engine(seed):
    timed, rng = random_core(seed), np.random.default_rng(seed)
    vectors = random_states(seed, 2, 20, len(timed.sources))
    plain = net_costs(timed, random_costs(timed))
    costs = replace(plain, gate=tuple(rng.integers(0, 10**12, gate.shape) for gate in plain.gate),
                    rail_fs=rng.integers(0, 40, len(timed.gates)), pair=rng.integers(0, 10**12, len(timed.gates)))
    found = simulate(timed, stimulus_of(vectors), costs=costs).cost
    np.testing.assert_array_equal(found, expected_cost(timed, vectors, costs))
    whole = simulate(timed, stimulus_of(vectors), costs=replace(costs, rail_fs=plain.rail_fs)).cost
    assert (found < whole).any()
    assert (found > whole).any()


@pytest.mark.parametrize("seed", range(8))
def test_blocks_that_share_waveforms_have_the_results_of_each_alone(seed):
    timed = random_core(seed, n_gates=60)
    # Source 0 differs in every block, 1 in every second, 2 in every fourth; the last block is the one before again.
    vectors = np.repeat(random_states(seed, 1, 300, len(timed.sources)), 9, axis=0)
    for block, source_place in itertools.product(range(8), range(3)):
        vectors[block, :, source_place] ^= np.uint8(block >> source_place & 1)
    vectors[8] = vectors[7]
    costs = net_costs(timed, random_costs(timed))
    together = simulate(timed, stimulus_of(vectors), costs=costs, workers=1)
    for block in range(9):
        alone = simulate(timed, stimulus_of(vectors[block : block + 1]), costs=costs, workers=1)
        for name in ("settle_ps", "cost", "edges"):
            np.testing.assert_array_equal(getattr(together, name)[block], getattr(alone, name)[0])
    assert len({row.tobytes() for row in together.cost}) > 4


@pytest.mark.tool
@needs_icarus
def test_random_cores_agree_exactly_with_icarus_also_in_costs_and_where_steps_do_not_count(tmp_path):
    timed = random_core(100, n_gates=80)
    vectors, cost = random_states(1, 2, 41, len(timed.sources)), random_costs(timed)
    every_other = np.arange(41) % 2 == 0
    every_other[0] = False
    for counted in (None, every_other):
        ours = simulate(timed, stimulus_of(vectors, counted), costs=net_costs(timed, cost))
        theirs = trace_of(timed, vectors, tmp_path, cost, cost_steps=counted)
        assert ours.nets == theirs.nets
        for name in ("settle_ps", "cost", "edges"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_settled_sinks_are_what_the_truth_tables_say():
    timed, found = random_core(7), []
    vectors = random_states(7, 2, 50, len(timed.sources))
    simulate(timed, stimulus_of(vectors), check=lambda block, sinks: found.append((block, sinks)), workers=1)
    np.testing.assert_array_equal(np.stack([block for block, _ in found]), vectors)
    np.testing.assert_array_equal(np.stack([sinks for _, sinks in found]), expected_of(timed, vectors))


def test_only_watched_sinks_are_required():
    timed = core([source("a")], [gate("b", BUF, ["a"], uniform(BUF, 1, 5.0, 5.0))], [sink("a"), sink("b")])
    stimulus = stimulus_of(states("0", "1"))
    assert [simulate(timed, stimulus, watched).settle_ps[0, 0] for watched in ([0], [1], [0, 1])] == [0, 5, 5]


def test_results_do_not_depend_on_workers_and_finished_blocks_are_not_run_again(tmp_path, monkeypatch):
    timed, seen = random_core(5), []
    vectors = random_states(3, 8, 12, len(timed.sources))
    monkeypatch.setattr(simulation, "GROUP_WEIGHTS", 2)
    options = {"costs": net_costs(timed, random_costs(timed)), "folder": tmp_path}
    one = simulate(timed, stimulus_of(vectors), workers=1, **options)
    paths = sorted(tmp_path.glob("simulation-*/blocks-*.npz"))
    assert len(paths) == 4
    stamps = [path.stat().st_mtime_ns for path in paths]
    paths[2].unlink()
    two = simulate(timed, stimulus_of(vectors), workers=3, progress=lambda *done: seen.append(done), **options)
    assert [path.stat().st_mtime_ns == stamp for path, stamp in zip(paths, stamps, strict=True)] == [
        True, True, False, True,
    ]
    assert seen == [(0, 8), (2, 8), (4, 8), (6, 8), (8, 8)]
    for name in ("settle_ps", "cost", "edges", "launch_cost"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_saved_blocks_are_of_one_core_one_cost_and_one_stimulus(tmp_path):
    timed = random_core(5)
    vectors = random_states(3, 2, 12, len(timed.sources))
    slower = replace(timed, gates=tuple(replace(g, delay_ps=g.delay_ps + 1) for g in timed.gates))
    cost = net_costs(timed, random_costs(timed))
    for core_of_run, block, costs in ((timed, vectors, None), (slower, vectors, None), (timed, 1 - vectors, None),
                                      (timed, vectors, cost)):
        saved = simulate(core_of_run, stimulus_of(block), costs=costs, folder=tmp_path)
        fresh = simulate(core_of_run, stimulus_of(block), costs=costs)
        np.testing.assert_array_equal(saved.settle_ps, fresh.settle_ps)
        np.testing.assert_array_equal(saved.cost, fresh.cost)


def test_more_edges_than_there_is_room_for_get_more_room_up_to_a_limit(monkeypatch):
    timed = random_core(5, n_gates=120)
    vectors = stimulus_of(random_states(3, 2, 30, len(timed.sources)))
    roomy = simulate(timed, vectors)
    monkeypatch.setattr(simulation, "CAPACITY", 12)
    np.testing.assert_array_equal(simulate(timed, vectors).edges, roomy.edges)
    monkeypatch.setattr(simulation, "MOST_EDGES", 12)
    with pytest.raises(SimulationError, match="core: weight 0, transitions 1 to 29: too many edges; the netlist"):
        simulate(timed, vectors)


def test_an_arc_that_the_library_lacks_is_named_with_its_gate_and_transition():
    timed = core([source("a")], [gate("b", INV, ["a"], {(0, RISE, FALL): 1.0})], [sink("b")])
    with pytest.raises(SimulationError, match=r"weight 0, transition 2: Y of cell_b \(K1\) does not settle to its fun"):
        simulate(timed, stimulus_of(states("0", "1", "0")))


def test_a_core_beyond_the_engine_is_refused():
    wide = gate("y", 1, "a" * 6, {})
    timed = core([source("a")], [replace(wide, nets=("a",) * 13)], [sink("y")])
    with pytest.raises(SimulationError, match=r"core: cell_y \(K6\) has 13 inputs; the engine takes 12"):
        simulate(timed, stimulus_of(states("0", "1")))
