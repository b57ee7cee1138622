from dataclasses import replace

import numpy as np
import pytest

from characterization.benches.activity import watched_sinks
from characterization.benches.expectation import BusValues, expected_sinks
from characterization.benches.operands import Recorded, StimulusConfig, pair_order, previous_weights
from characterization.benches.registers import Registers
from characterization.benches.settled import combine
from characterization.benches.stimulus import Stimulus, make_stimulus
from characterization.errors import SimulationError
from characterization.timed import TimedNetlist
from tests.characterization.made_cores import INV, core, gate, sink, source, toy_core, toy_design, uniform


def words(stimulus: Stimulus, timed: TimedNetlist, design, bus: str) -> np.ndarray:
    """Values of a bus, [weight, step]."""
    return np.stack([BusValues(Registers(timed, design), block)[bus] for block in stimulus.states])


@pytest.fixture
def stationary(tmp_path):
    return toy_core("stationary"), toy_design(tmp_path, "stationary")


@pytest.fixture
def streaming(tmp_path):
    return toy_core("streaming"), toy_design(tmp_path, "streaming")


def test_a_stationary_weight_and_what_nobody_names_stand_still_while_operands_move(stationary):
    timed, design = stationary
    stimulus = make_stimulus(timed, design, StimulusConfig(50, 3, (-128, 0, 77)))
    assert stimulus.states.shape == (3, 51, len(timed.sources))
    assert (words(stimulus, timed, design, "weight_q") == np.array([[-128], [0], [77]])).all()
    assert (words(stimulus, timed, design, "enable") == 1).all()
    assert (np.diff(words(stimulus, timed, design, "shadow"), axis=1) == 0).all()
    for bus in ("act_out", "acc_out"):
        assert (np.diff(words(stimulus, timed, design, bus), axis=1) != 0).mean() > 0.9
    np.testing.assert_array_equal(stimulus.settle_steps, stimulus.cost_steps)
    assert stimulus.cost_steps.tolist() == [False, *[True] * 50]


def test_every_weight_sees_the_same_operands_whatever_other_weights_are_simulated(stationary):
    timed, design = stationary
    both = make_stimulus(timed, design, StimulusConfig(20, 3, (5, 6)))
    alone = make_stimulus(timed, design, StimulusConfig(20, 3, (6,)))
    other = make_stimulus(timed, design, StimulusConfig(20, 4, (6,)))
    np.testing.assert_array_equal(both.states[1], alone.states[0])
    for bus in ("act_out", "acc_out", "shadow"):
        np.testing.assert_array_equal(*words(both, timed, design, bus))
    assert (other.states != alone.states).any()


def test_activations_cover_int8_evenly(stationary):
    timed, design = stationary
    stimulus = make_stimulus(timed, design, StimulusConfig(20_000, 1, (1,)))
    counts = np.bincount(words(stimulus, timed, design, "act_out")[0] + 128, minlength=256)
    assert counts.min() > 40
    assert counts.max() < 130


def test_where_energy_counts_one_streaming_lane_moves_to_the_weight_and_others_hold(streaming):
    timed, design = streaming
    stimulus = make_stimulus(timed, design, StimulusConfig(40, 3, (9,)))
    lanes = np.stack([words(stimulus, timed, design, lane.weight)[0] for lane in design.lanes], axis=1)
    (steps,) = np.nonzero(stimulus.cost_steps)
    assert len(steps) == stimulus.settle_steps.sum() == 40
    for turn, step in enumerate(steps):
        lane = turn % 2
        assert lanes[step, lane] == 9
        assert lanes[step, 1 - lane] == lanes[step - 1, 1 - lane]
    assert np.unique(lanes[steps - 1, np.arange(40) % 2]).size > 30
    assert (lanes[stimulus.settle_steps] == 9).all()
    moving = [words(stimulus, timed, design, lane.activation)[0] for lane in design.lanes]
    assert all((activation[steps] != activation[steps - 1]).mean() > 0.9 for activation in moving)


def test_a_pipeline_register_holds_what_the_operands_of_the_same_step_yield(streaming):
    timed, design = streaming
    stimulus = make_stimulus(timed, design, StimulusConfig(30, 3, (9,)))
    for lane, product in zip(design.lanes, ("product_q[7:0]", "product_q[15:8]"), strict=True):
        operands = words(stimulus, timed, design, lane.weight) & words(stimulus, timed, design, lane.activation)
        np.testing.assert_array_equal(words(stimulus, timed, design, product), operands)


@pytest.mark.parametrize("mode", ["stationary", "streaming"])
def test_the_text_says_how_many_transitions_and_from_which_seed(mode, tmp_path):
    text = make_stimulus(toy_core(mode), toy_design(tmp_path, mode), StimulusConfig(12, 34, (0,))).text
    assert "12 transitions per weight" in text
    assert "seed 34" in text
    assert ("one lane" in text) == (mode == "streaming")


def test_only_sinks_that_the_weight_reaches_within_the_cycle_are_watched(streaming):
    timed, design = streaming
    assert {timed.sinks[index].captures for index in watched_sinks(timed, design)} == {
        f"product_q[{bit}]" for bit in range(16)
    }
    with pytest.raises(SimulationError, match="toy: no sink of core depends on the weight registers"):
        watched_sinks(replace(timed, sinks=timed.sinks[16:]), design)


@pytest.mark.parametrize("config", [StimulusConfig(0, 1, (1,)), StimulusConfig(5, 1, ())])
def test_nothing_to_simulate_is_refused(config, stationary):
    with pytest.raises(SimulationError, match="both must be positive"):
        make_stimulus(*stationary, config)


def test_a_core_without_the_weight_register_is_refused(stationary):
    timed, design = stationary
    cut = replace(timed, sources=timed.sources[1:])
    with pytest.raises(SimulationError, match="register weight_q is no source of the netlist of core; was the netlist"):
        make_stimulus(cut, design, StimulusConfig(5, 1, (1,)))


@pytest.mark.parametrize("mode", ["stationary", "streaming"])
def test_settled_sinks_agree_with_the_reference(mode, tmp_path):
    timed, design = toy_core(mode), toy_design(tmp_path, mode)
    stimulus = make_stimulus(timed, design, StimulusConfig(20, 1, (-3,)))
    sinks = expected_sinks(timed, design, stimulus.states[0])
    assert sinks.shape == (len(stimulus.cost_steps), len(timed.sinks))
    assert set(np.unique(sinks)) == {0, 1}


def test_a_core_that_disagrees_with_its_reference_is_refused_with_a_state(tmp_path):
    timed, design = toy_core("stationary"), toy_design(tmp_path, "stationary", '{"acc_out": now["acc_in"]}')
    stimulus = make_stimulus(timed, design, StimulusConfig(20, 1, (-3,)))
    with pytest.raises(SimulationError, match=r"toy: acc_out captures -?\d+, reference.py says .*with sources [01]+"):
        expected_sinks(timed, design, stimulus.states[0])


def test_a_result_register_of_which_the_reference_says_nothing_is_refused(tmp_path):
    timed, design = toy_core("stationary"), toy_design(tmp_path, "stationary", "{}")
    stimulus = make_stimulus(timed, design, StimulusConfig(5, 1, (-3,)))
    with pytest.raises(SimulationError, match=r"toy: result register acc_out\[0\] has no flop with one data pin"):
        expected_sinks(timed, design, stimulus.states[0])


def test_a_register_behind_an_inverter_or_with_two_outputs_is_found_with_its_polarity(tmp_path):
    design = toy_design(tmp_path, "stationary")
    sources = [source("qn"), source("acc_out[1]"), source("both_n", complement_of="acc_out[1]")]
    gates = [gate("acc_out[0]", INV, ["qn"], uniform(INV, 1, 1.0, 1.0))]
    sinks = [replace(sink("acc_out[0]"), origin="flop_qn/D", captures=None), sink("acc_out[0]", captures="acc_out[1]")]
    registers = Registers(core(sources, gates, sinks), design)
    only_qn, with_q, other = registers.bit("acc_out[0]"), registers.bit("acc_out[1]"), registers.bit("both_n")
    assert (only_qn.column, only_qn.inverted, only_qn.sink, only_qn.sink_inverted) == (0, True, 0, False)
    assert (with_q.column, with_q.inverted, with_q.sink, with_q.sink_inverted) == (1, False, 1, False)
    assert (other.column, other.inverted) == (1, True)
    assert registers.bit("weight_q[0]") is None


def test_a_walk_over_pairs_takes_each_ordered_pair_exactly_once():
    for values in (1, 2, 5, 16, 256):
        walk = pair_order(values)
        pairs = walk[:-1] * values + walk[1:]
        assert sorted(pairs.tolist()) == list(range(values**2))


@pytest.mark.parametrize("mode", ["stationary", "streaming"])
def test_exhaustive_activations_take_each_pair_once_in_every_lane_and_sums_may_stand_still(mode, tmp_path):
    timed, design = toy_core(mode), toy_design(tmp_path, mode)
    stimulus = make_stimulus(timed, design, StimulusConfig(1, 1, (3,), "exhaustive", partial_sum=-7))
    assert stimulus.settle_steps.sum() == stimulus.cost_steps.sum() == 65536
    lanes = [words(stimulus, timed, design, lane.activation)[0] for lane in design.lanes]
    for activation in lanes:
        for steps in (stimulus.settle_steps, stimulus.cost_steps):
            (after,) = np.nonzero(steps)
            pairs = (activation[after - 1] + 128) * 256 + activation[after] + 128
            assert np.unique(pairs).size == 65536
    assert (words(stimulus, timed, design, "acc_out") == -7).all()
    assert "each of the 256 x 256 activation pairs once" in stimulus.text
    assert "partial sum -7" in stimulus.text


def test_a_streaming_lane_comes_from_every_other_weight_equally_often(streaming):
    timed, design = streaming
    stimulus = make_stimulus(timed, design, StimulusConfig(512, 3, (9,)))
    lanes = np.stack([words(stimulus, timed, design, lane.weight)[0] for lane in design.lanes], axis=1)
    (steps,) = np.nonzero(stimulus.cost_steps)
    came_from = lanes[steps - 1, np.arange(512) % 2]
    assert np.bincount(came_from + 128, minlength=256).tolist() == [2] * 256
    np.testing.assert_array_equal(came_from, previous_weights(design, StimulusConfig(512, 3), 512))


def test_recorded_operands_are_stepped_through_as_they_are(stationary):
    timed, design = stationary
    activations, sums = np.arange(-20, 20)[:, None], np.arange(40) * 3 - 60
    stimulus = make_stimulus(timed, design, StimulusConfig(1, 1, (3, 4), Recorded(activations, sums)))
    assert stimulus.settle_steps.sum() == 39
    for block in range(2):
        np.testing.assert_array_equal(words(stimulus, timed, design, "act_out")[block], activations[:, 0])
        np.testing.assert_array_equal(words(stimulus, timed, design, "acc_out")[block], sums)
    assert "activations as recorded from a model, partial sums recorded with them" in stimulus.text


def test_recorded_operands_of_another_shape_or_width_are_refused_with_every_reason(stationary):
    wrong = Recorded(np.full((5, 2), 128), np.zeros(4, dtype=int))
    with pytest.raises(SimulationError, match=r"toy: recorded operands do not fit: activations have shape \[5, 2\], "
                       r"not \[step, 1\]; partial sums have shape \[4\], not \[5\]; activations reach from 128 to 128"):
        make_stimulus(*stationary, StimulusConfig(activations=wrong))


@pytest.mark.parametrize("inputs", range(5))
def test_eight_states_at_once_settle_to_the_truth_table(inputs):
    rng = np.random.default_rng(inputs)
    for truth in {0, (1 << (1 << inputs)) - 1, *rng.integers(0, 1 << (1 << inputs), 50).tolist()}:
        states = rng.integers(0, 2, (inputs, 77), dtype=np.uint8)
        pattern = sum((states[i].astype(int) << i for i in range(inputs)), np.zeros(77, int))
        packed = combine(int(truth), [np.packbits(state) for state in states], 10)
        np.testing.assert_array_equal(np.unpackbits(packed, count=77), truth >> pattern & 1)
