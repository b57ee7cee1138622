"""The factor that a transition needs is exactly the one at which the floating-mode rule reaches its crossing."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from characterization.cells.joint_switching import (
    EARLY_SHARES,
    Joint,
    at_once,
    balanced,
    early_factor,
    early_skews,
    holding,
    late_factor,
    late_skews,
    pairs,
    steps,
    value,
)

NAND3, MUX2 = 0b01111111, 0b11001010
TIMES = st.floats(1.0, 100.0)


@st.composite
def transitions(draw):
    """A function, a transition that changes it, delays of all arcs, and when the output crosses."""
    n = draw(st.integers(2, 4))
    truth = draw(st.integers(1, 2 ** (2**n) - 2))
    start, end = draw(st.integers(0, 2**n - 1)), draw(st.integers(0, 2**n - 1))
    assume(value(truth, start) != value(truth, end))
    offsets = tuple(draw(TIMES) if (start ^ end) >> i & 1 else 0.0 for i in range(n))
    delays = {(i, a, b): draw(TIMES) for i in range(n) for a in (0, 1) for b in (0, 1)}
    return truth, Joint(start, end, offsets), delays, max(offsets) + draw(TIMES)


@given(transitions())
def test_with_the_late_factor_the_output_is_stable_just_when_it_crosses(case):
    truth, joint, delays, crossing = case
    factor, edge = late_factor(truth, joint, crossing, delays), value(truth, joint.end)
    stable = min(max(joint.offsets[pin] + factor * delays[pin, joint.end >> pin & 1, edge]
                     for pin in joint.moving if mask >> pin & 1)
                 for mask, _ in holding(truth, len(joint.offsets), joint.end))
    assert stable == pytest.approx(crossing)


@given(transitions())
def test_with_the_early_factor_the_first_input_can_move_the_output_just_when_it_crosses(case):
    truth, joint, delays, crossing = case
    edge = value(truth, joint.end)
    factor = early_factor(joint, edge, crossing, delays)
    first = min(joint.offsets[pin] + factor * delays[pin, joint.end >> pin & 1, edge] for pin in joint.moving)
    assert first == pytest.approx(crossing)


def test_inputs_without_an_arc_to_the_edge_do_not_hold_an_early_factor_up():
    joint = Joint(1, 2, (0.0, 20.0))
    assert early_factor(joint, 0, 50.0, {(1, 1, 0): 60.0}) == pytest.approx(0.5)
    assert early_factor(joint, 0, 50.0, {}) == 1.0


@given(st.integers(2, 4).flatmap(lambda n: st.tuples(st.integers(0, 2 ** (2**n) - 1), st.just(n))))
def test_every_pair_that_changes_the_function_through_several_inputs_is_listed_once(function):
    truth, n = function
    listed = pairs([truth], n)
    assert len(set(listed)) == len(listed)
    assert {pair for pair in listed if value(truth, pair[0]) != value(truth, pair[1])} == {
        (a, b) for a in range(2**n) for b in range(a + 1, 2**n)
        if (a ^ b).bit_count() > 1 and value(truth, a) != value(truth, b)}


def test_pulses_count_only_where_an_input_acts_in_both_senses():
    assert all(value(NAND3, a) != value(NAND3, b) for a, b in pairs([NAND3], 3))
    assert (0b000, 0b110) in pairs([MUX2], 3)


def test_steps_move_one_input_up():
    assert steps(2) == [(0, 1), (2, 3), (0, 2), (1, 3)]


def test_a_chain_is_skewed_so_that_its_delays_end_together():
    fall, delays = at_once((0b000, 0b111), 3), {(0, 1, 0): 40.0, (1, 1, 0): 45.0, (2, 1, 0): 50.0}
    assert late_skews(NAND3, fall, delays, 20.0) == [(Joint(0b000, 0b111, (10.0, 5.0, 0.0)), fall)]


def test_late_outsiders_resemble_the_transition_without_them():
    rise, delays = at_once((0b111, 0b100), 3), {(0, 0, 1): 40.0, (1, 0, 1): 45.0}
    assert late_skews(NAND3, rise, delays, 20.0) == [
        (Joint(0b111, 0b100, (0.0, 20.0, 0.0)), at_once((0b111, 0b110), 3)),
        (Joint(0b111, 0b100, (20.0, 0.0, 0.0)), at_once((0b111, 0b101), 3))]


def test_inputs_that_drive_an_edge_are_balanced_by_shares_and_those_against_it_come_later():
    both = early_skews(at_once((0b111, 0b100), 3), 1, {(0, 0, 1): 40.0, (1, 0, 1): 50.0}, 9.0)
    assert [joint.offsets for joint in both] == [(share * 10.0, 0.0, 0.0) for share in EARLY_SHARES]
    one = early_skews(at_once((0b10, 0b01), 2), 0, {(0, 1, 0): 40.0}, 9.0)
    assert one[-1].offsets == (0.0, 9.0)


@given(transitions(), st.floats(0.0, 1.0))
def test_balanced_delays_end_together(case, share):
    truth, joint, delays, _ = case
    edge = value(truth, joint.end)
    skewed = balanced(joint, edge, joint.moving, delays, share)
    ends = [skewed.offsets[pin] + share * delays[pin, joint.end >> pin & 1, edge] for pin in joint.moving]
    assert ends == pytest.approx([max(ends)] * len(ends))
    assert min(skewed.offsets) == pytest.approx(0.0)


def test_there_and_back_are_one_transient():
    joint = Joint(5, 2, (1.0, 2.0, 3.0))
    assert joint.either == joint.back == joint.back.either
