"""The search against every vector, on random cores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from characterization.certify_search import CertifyConfig, Members, search
from characterization.constants import Constants
from characterization.errors import CertifyError
from characterization.floating_case import UNKNOWN, floating_case
from characterization.floating_mode import floating_core
from characterization.floating_settle import settle_as
from characterization.simulation import simulate
from characterization.timing_arrivals import arrivals, worst_ps
from characterization.units import AS_PER_PS
from tests.characterization.floating_reference import all_vectors, requirement_as
from tests.characterization.made_arithmetic import MUX
from tests.characterization.made_cores import (
    AND2,
    core,
    gate,
    random_core,
    random_states,
    sink,
    source,
    stimulus_of,
    uniform,
)

SEEDS = st.integers(0, 10**6)
SOLVERS = ("glucose4", "minisat22")


def brute(timed, fixed, still, allowed=lambda vector: True):
    """Return the latest requirement over all vectors that agree with `fixed`."""
    vectors = all_vectors(len(timed.sources))
    keep = ((vectors == fixed) | (fixed == UNKNOWN)).all(axis=1) & np.array([allowed(v) for v in vectors])
    names = [s.net for s, quiet in zip(timed.sources, still, strict=True) if quiet]
    known = [s.net for s, bit in zip(timed.sources, fixed, strict=True) if bit != UNKNOWN]
    return requirement_as(timed, timed.sinks, vectors[keep], names, known).max()


def free_case(timed):
    """Return the core with nothing fixed."""
    n_sources = len(timed.sources)
    return floating_case(floating_core(timed, timed.sinks), np.full(n_sources, UNKNOWN, dtype=np.int8),
                         np.zeros(n_sources, dtype=bool))


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_the_vector_engine_equals_the_second_one(seed):
    timed = random_core(seed)
    vectors = all_vectors(len(timed.sources))
    found = settle_as(free_case(timed), vectors)
    assert (found == requirement_as(timed, timed.sinks, vectors)).all()


@settings(deadline=None, max_examples=150)
@given(SEEDS, st.lists(st.sampled_from((0, 1, UNKNOWN)), min_size=7, max_size=7),
       st.lists(st.booleans(), min_size=7, max_size=7), st.sampled_from(SOLVERS))
def test_the_search_finds_the_latest_of_all_vectors(seed, fixed, still, solver):
    timed = random_core(seed, n_sources=7, n_gates=50)
    fixed, still = np.array(fixed, dtype=np.int8), np.array(still)
    case = floating_case(floating_core(timed, timed.sinks), fixed, still)
    found = search(case, None, CertifyConfig((solver,)))
    assert found.exact
    assert found.upper_as == brute(timed, fixed, still)
    assert settle_as(case, found.witness[None])[0] == found.lower_as
    assert found.upper_as <= case.topological_as or case.topological_as == 0


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.lists(st.sampled_from((0, 1, UNKNOWN)), min_size=7, max_size=7), st.integers(1, 4))
def test_what_is_known_of_other_cases_changes_no_result(seed, fixed, n_known):
    timed = random_core(seed, n_sources=7, n_gates=50)
    case = floating_case(floating_core(timed, timed.sinks), np.array(fixed, dtype=np.int8), np.zeros(7, dtype=bool))
    known = list(np.random.default_rng(seed).integers(0, 2, (n_known, 7), dtype=np.uint8))
    alone, helped = search(case, None, CertifyConfig()), search(case, None, CertifyConfig(), known)
    assert (helped.lower_as, helped.upper_as) == (alone.lower_as, alone.upper_as)
    assert ((helped.witness == fixed) | (case.fixed == UNKNOWN)).all()
    assert settle_as(case, helped.witness[None])[0] == helped.lower_as


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.sets(st.integers(0, 7), min_size=1), st.booleans())
def test_a_set_is_as_late_as_its_latest_member_in_any_lane(seed, codes, launched):
    timed = random_core(seed, n_sources=8)
    lanes = (((0, 1), (1, 0), (2, 1)), ((3, 1), (4, 1), (5, 0)))
    members = Members(lanes, tuple(sorted(codes)))

    def allowed(vector):
        return all(sum((vector[s] == one) << bit for bit, (s, one) in enumerate(lane)) in codes for lane in lanes)

    fixed, still = np.full(8, UNKNOWN, dtype=np.int8), np.array([not launched] * 6 + [False] * 2)
    found = search(floating_case(floating_core(timed, timed.sinks), fixed, still), members, CertifyConfig())
    assert found.exact
    assert found.upper_as == brute(timed, fixed, still, allowed)
    assert allowed(found.witness)


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_no_simulated_transition_settles_after_the_certificate(seed):
    timed = random_core(seed)
    states = random_states(seed, blocks=1, steps=100, sources=len(timed.sources))
    found = search(free_case(timed), None, CertifyConfig())
    assert simulate(timed, stimulus_of(states), workers=1).settle_ps.max() <= found.upper_as / AS_PER_PS


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_a_complement_always_opposes_its_twin(seed):
    timed = random_core(seed)
    first, second, *rest = timed.sources
    paired = source(second.net, second.launch_ps, complement_of=first.net)
    timed = core([first, paired, *rest], timed.gates, timed.sinks)
    free = np.full(6, UNKNOWN, dtype=np.int8)
    found = search(free_case(timed), None, CertifyConfig())
    assert found.upper_as == brute(timed, free, np.zeros(6, dtype=bool), lambda v: v[0] != v[1])
    assert found.witness[0] != found.witness[1]


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_a_case_that_runs_out_of_time_stays_a_sound_bracket(seed):
    timed = random_core(seed, n_sources=7, n_gates=50)
    free, none = np.full(7, UNKNOWN, dtype=np.int8), np.zeros(7, dtype=bool)
    case = free_case(timed)
    found = search(case, None, CertifyConfig(time_limit_s=1e-9))
    assert found.n_questions <= 1
    assert found.lower_as <= brute(timed, free, none) <= found.upper_as
    assert settle_as(case, found.witness[None])[0] == found.lower_as


def test_nothing_that_moves_is_certified_at_zero():
    both = gate("y", AND2, "ab", uniform(AND2, 2, 3, 4))
    timed = core([source("a", (1, 1)), source("b", (1, 1))], [both], [sink("y")])
    fixed, still = np.array([0, UNKNOWN], dtype=np.int8), np.array([True, False])
    case = floating_case(floating_core(timed, timed.sinks), fixed, still)
    found = search(case, None, CertifyConfig())
    assert (found.lower_as, found.upper_as, case.topological_as) == (0, 0, 0)


def test_a_multiplexer_is_not_relied_on_while_its_select_moves():
    late_select = core([source("a", (1, 1)), source("b", (2, 2)), source("s", (9, 9))],
                       [gate("y", MUX, "abs", uniform(MUX, 3, 3, 4))], [sink("y")])
    assert search(free_case(late_select), None, CertifyConfig()).upper_as == 13 * AS_PER_PS
    both_low = (np.array([0, 0, UNKNOWN], dtype=np.int8), np.array([False, False, False]))
    moving = floating_case(floating_core(late_select, late_select.sinks), *both_low)
    assert search(moving, None, CertifyConfig()).upper_as == 13 * AS_PER_PS


def test_a_multiplexer_of_equal_constants_does_not_move():
    late_select = core([source("a"), source("b"), source("s", (9, 9))],
                       [gate("y", MUX, "abs", uniform(MUX, 3, 3, 4))], [sink("y")])
    fixed, still = np.array([1, 1, UNKNOWN], dtype=np.int8), np.array([True, True, False])
    case = floating_case(floating_core(late_select, late_select.sinks), fixed, still)
    assert search(case, None, CertifyConfig()).upper_as == 0
    fixed[1] = 0
    case = floating_case(floating_core(late_select, late_select.sinks), fixed, still)
    assert search(case, None, CertifyConfig()).upper_as == 13 * AS_PER_PS


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.lists(st.sampled_from((0, 1, UNKNOWN)), min_size=6, max_size=6))
def test_no_certificate_lies_above_the_longest_path_of_static_timing(seed, fixed):
    timed = random_core(seed)
    fixed = np.array(fixed, dtype=np.int8)
    case = floating_case(floating_core(timed, timed.sinks), fixed, fixed != UNKNOWN)
    held = {s.net: bit[None] for s, bit in zip(timed.sources, fixed, strict=True) if bit != UNKNOWN}
    longest = worst_ps(arrivals(timed, Constants(timed.gates, held, 1)), timed.sinks, 1)[0]
    assert search(case, None, CertifyConfig()).upper_as <= case.topological_as <= round(longest * AS_PER_PS)


def test_a_cell_without_an_arc_that_can_move_is_reported():
    timed = core([source("a")], [gate("y", 0b01, "a", {(0, 1, 0): 1.0})], [sink("y")])
    with pytest.raises(CertifyError, match=r"cell cell_y \(K1\): its output Y can rise when A falls, but the library"):
        floating_core(timed, timed.sinks)


def test_a_time_limit_must_be_positive():
    with pytest.raises(CertifyError, match="time limit -1 s must be positive"):
        CertifyConfig(time_limit_s=-1)
