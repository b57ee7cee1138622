
import numpy as np
import pytest

from characterization.benches.activity import check_observed, simulate_states
from characterization.benches.cells import cell_module
from characterization.benches.core import core_verilog, latest_fs, net_order
from characterization.benches.icarus import compile_bench, require_icarus, run_bench
from characterization.errors import SimulationError, ToolMissingError
from characterization.timed import FALL, RISE
from tests.characterization.made_cores import (
    AND2,
    BUF,
    INV,
    NAND2,
    XOR2,
    core,
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


def edges_of(trace, net: str) -> list[int]:
    return trace.edges[0, trace.nets.index(net)].tolist()


@pytest.mark.tool
@needs_icarus
def test_a_chain_settles_after_launch_delays_and_the_setup_of_the_last_edge(tmp_path):
    timed = core(
        [source("a", launch=(20.0, 10.0))],
        [gate("b", INV, ["a"], {(0, RISE, FALL): 3.0, (0, FALL, RISE): 4.0}),
         gate("c", INV, ["b"], {(0, RISE, FALL): 5.0, (0, FALL, RISE): 6.5})],
        [sink("c", setup=(100.0, 200.0))],
    )
    trace = trace_of(timed, states("0", "1", "0", "0"), tmp_path)
    assert trace.settle_ps[0].tolist() == [10 + 3 + 6.5 + 200, 20 + 4 + 5 + 100, 0]
    assert trace.cost[0].tolist() == [3, 3, 0]
    assert edges_of(trace, "b") == [1, 1]


@pytest.mark.tool
@needs_icarus
def test_a_pulse_shorter_than_its_gate_is_swallowed_whole(tmp_path):
    # x = a xor late(a) pulses for 7 ps at each edge of a; a gate of 8 ps does not see it, one of 6 ps does.
    timed = core(
        [source("a")],
        [gate("late", BUF, ["a"], uniform(BUF, 1, 7.0, 7.0)),
         gate("x", XOR2, ["a", "late"], uniform(XOR2, 2, 1.0, 1.0)),
         gate("slow", BUF, ["x"], uniform(BUF, 1, 8.0, 8.0)), gate("quick", BUF, ["x"], uniform(BUF, 1, 6.0, 6.0))],
        [sink("slow"), sink("quick")],
    )
    trace = trace_of(timed, states("0", "1", "0"), tmp_path)
    assert trace.settle_ps[0].tolist() == [7 + 1 + 6, 7 + 1 + 6]
    assert edges_of(trace, "x") == edges_of(trace, "quick") == [2, 2]
    assert edges_of(trace, "slow") == [0, 0]


@pytest.mark.tool
@needs_icarus
def test_inputs_that_move_in_one_instant_are_one_cause_with_the_shortest_delay(tmp_path):
    arcs = {(0, FALL, RISE): 30.0, (1, FALL, RISE): 20.0, (0, RISE, FALL): 12.0, (1, RISE, FALL): 15.0}
    timed = core([source("a"), source("b")], [gate("y", NAND2, ["a", "b"], arcs)], [sink("y")])
    trace = trace_of(timed, states("11", "00", "11"), tmp_path)
    assert trace.settle_ps[0].tolist() == [20.0, 12.0]


@pytest.mark.tool
@needs_icarus
def test_the_earliest_arrival_wins_even_from_a_later_cause(tmp_path):
    # a falls at 0 and would raise y at 30; b falls at 5 and raises it at 5 + 20.
    arcs = {(0, FALL, RISE): 30.0, (1, FALL, RISE): 20.0, (0, RISE, FALL): 12.0, (1, RISE, FALL): 15.0}
    timed = core([source("a"), source("b", launch=(5.0, 5.0))], [gate("y", NAND2, ["a", "b"], arcs)], [sink("y")])
    trace = trace_of(timed, states("11", "00"), tmp_path)
    assert trace.settle_ps[0].tolist() == [25.0]


@pytest.mark.tool
@needs_icarus
def test_inputs_that_cross_in_one_instant_do_not_glitch(tmp_path):
    timed = core([source("a"), source("b")], [gate("y", XOR2, ["a", "b"], uniform(XOR2, 2, 1.0, 1.0))], [sink("y")])
    trace = trace_of(timed, states("01", "10", "01"), tmp_path)
    assert trace.settle_ps[0].tolist() == [0, 0]
    assert edges_of(trace, "y") == [0, 0]


@pytest.mark.tool
@needs_icarus
def test_delays_of_seconds_and_of_nothing_are_simulated_alike(tmp_path):
    timed = core(
        [source("a")],
        [gate("b", INV, ["a"], uniform(INV, 1, 2e12, 2e12)), gate("c", INV, ["b"], uniform(INV, 1, -5.0, 0.0))],
        [sink("c")],
    )
    trace = trace_of(timed, states("0", "1"), tmp_path)
    assert trace.settle_ps[0].tolist() == [pytest.approx(2e12 + 0.001, abs=1e-3)]


@pytest.mark.tool
@needs_icarus
@pytest.mark.parametrize("seed", range(5))
def test_random_cores_agree_exactly_with_a_second_engine(seed, tmp_path):
    timed = random_core(seed)
    vectors = random_states(seed, 3, 40, len(timed.sources))
    trace = trace_of(timed, vectors, tmp_path)
    settle_fs, edges = expected_trace(timed, vectors)
    np.testing.assert_array_equal(np.round(trace.settle_ps * 1000).astype(int), settle_fs)
    np.testing.assert_array_equal(trace.edges, edges)
    assert edges.sum() > 1000


@pytest.mark.tool
@needs_icarus
def test_costs_per_transition_sum_to_edges_times_cost_also_where_steps_do_not_count(tmp_path):
    timed = random_core(11)
    cost = np.random.default_rng(1).integers(-(10**12), 10**13, (len(net_order(timed)), 2))
    vectors = random_states(2, 2, 31, len(timed.sources))
    every_other = np.arange(31) % 2 == 0
    every_other[0] = False
    for counted in (None, every_other):
        trace = trace_of(timed, vectors, tmp_path, cost, cost_steps=counted)
        assert trace.cost.shape[1] == (30 if counted is None else 15)
        np.testing.assert_array_equal((trace.edges * cost).sum(axis=(1, 2)), trace.cost.sum(axis=1))


@pytest.mark.tool
@needs_icarus
def test_results_do_not_depend_on_workers_and_finished_blocks_are_not_run_again(tmp_path):
    timed, seen = random_core(5), []
    vectors = random_states(3, 4, 12, len(timed.sources))
    one = trace_of(timed, vectors, tmp_path / "one", workers=1)
    two = trace_of(timed, vectors, tmp_path / "two", workers=3, progress=lambda done, total: seen.append((done, total)))
    np.testing.assert_array_equal(one.settle_ps, two.settle_ps)
    np.testing.assert_array_equal(one.cost, two.cost)
    np.testing.assert_array_equal(one.edges, two.edges)
    assert seen[-1] == (4, 4)
    blocks = sorted((tmp_path / "one").glob("core-*/block*.npz"))
    stamps = [path.stat().st_mtime_ns for path in blocks]
    blocks[2].unlink()
    again = trace_of(timed, vectors, tmp_path / "one", workers=1)
    np.testing.assert_array_equal(one.settle_ps, again.settle_ps)
    assert [path.stat().st_mtime_ns == stamp for path, stamp in zip(blocks, stamps, strict=True)] == [
        True, True, False, True,
    ]


@pytest.mark.tool
@needs_icarus
def test_a_sink_that_settles_to_another_value_is_named_with_weight_and_transition(tmp_path):
    timed = core([source("a")], [gate("b", INV, ["a"], uniform(INV, 1, 1.0, 1.0))], [sink("a"), sink("b")])
    stimulus = stimulus_of(states("0", "1", "0"))
    wrong = np.array([[[0, 1], [1, 1], [0, 1]]], dtype=np.uint8)
    with pytest.raises(SimulationError, match="weight 0, transition 1: net b at flop_b_next/D settles to"):
        simulate_states(timed, stimulus, wrong, [1], np.ones((2, 2), dtype=np.int64), tmp_path)
    assert not list(tmp_path.glob("core-*/block*.npz"))


@pytest.mark.tool
@needs_icarus
def test_an_arc_that_the_library_lacks_shows_as_a_wrong_value(tmp_path):
    timed = core([source("a")], [gate("b", INV, ["a"], {(0, RISE, FALL): 1.0})], [sink("b")])
    with pytest.raises(SimulationError, match="transition 2: net b at flop_b_next/D settles to the wrong value"):
        trace_of(timed, states("0", "1", "0"), tmp_path)


@pytest.mark.tool
@needs_icarus
def test_verilog_that_icarus_rejects_is_reported_with_its_first_error(tmp_path):
    (tmp_path / "bad.v").write_text("module bad; wire a = ; endmodule\n")
    with pytest.raises(SimulationError, match=r"Icarus does not compile bad: .*bad.v:1: (syntax )?error"):
        compile_bench([tmp_path / "bad.v"], "bad", tmp_path / "build")


@pytest.mark.tool
@needs_icarus
def test_a_bench_that_does_not_run_is_a_failure(tmp_path):
    (tmp_path / "good.v").write_text("module good; reg a; endmodule\n")
    compile_bench([tmp_path / "good.v"], "good", tmp_path / "build")
    with pytest.raises(SimulationError, match="good: the bench no_such_module failed"):
        run_bench("good", "no_such_module", tmp_path / "build", tmp_path / "run", {})


@pytest.mark.tool
@needs_icarus
def test_a_simulator_that_dies_is_reported_with_its_last_words(tmp_path, monkeypatch):
    (tmp_path / "good.v").write_text('module good; reg a; initial $display("all was well"); endmodule\n')
    compile_bench([tmp_path / "good.v"], "good", tmp_path / "build")
    (tmp_path / "deadly.py").write_text(
        "import os, cocotb, cocotb.triggers\n@cocotb.test()\nasync def die(dut):\n"
        "    await cocotb.triggers.Timer(1, 'ns')\n    print('last words', flush=True)\n    os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    said = r"good: the bench deadly failed: the simulator died \(.*-9\); its log ends: .*last words \(log: "
    with pytest.raises(SimulationError, match=said):
        run_bench("good", "deadly", tmp_path / "build", tmp_path / "run", {})


def test_a_missing_simulator_names_its_debian_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="iverilog is not on PATH; install the Debian package iverilog"):
        require_icarus()


def test_a_missing_libpython_names_its_debian_package(monkeypatch, tmp_path):
    for program in ("iverilog", "vvp"):
        (tmp_path / program).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("find_libpython.find_libpython", lambda: None)
    with pytest.raises(ToolMissingError, match=r"no shared libpython .* install the Debian package libpython3\.11"):
        require_icarus()


def test_an_observation_beyond_the_bound_names_weight_and_transition():
    settle_ps = np.array([[1.0, 2.0], [3.0, 4.5]])
    check_observed((-1, 7), settle_ps, np.array([2.0, 4.5]), "topological")
    said = r"weight 7, transition 1: settles at 4\.500 ps, after its certified delay of 4\.000 ps"
    with pytest.raises(SimulationError, match=said):
        check_observed((-1, 7), settle_ps, np.array([2.0, 4.0]), "certified")


@pytest.mark.parametrize("seed", range(3))
def test_the_step_is_never_shorter_than_what_the_second_engine_needs(seed):
    timed = random_core(seed)
    settle_fs, _ = expected_trace(timed, random_states(seed, 1, 30, len(timed.sources)))
    assert 0 < settle_fs.max() <= latest_fs(timed)


def test_gates_of_one_function_share_one_module():
    arcs = uniform(AND2, 2, 1.0, 2.0)
    timed = core([source("a"), source("b")], [gate("x", AND2, "ab", arcs), gate("y", AND2, "xb", arcs)], [sink("y")])
    text = core_verilog(timed, np.zeros((4, 2), dtype=np.int64), [0])
    assert text.count("module cell_") == 1
    assert text.count("  cell_") == 2
    assert cell_module(timed.gates[0], "never").count("core.") == 0
