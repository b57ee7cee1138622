from itertools import pairwise, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo.errors import PlanError
from halo.objective import best_schedule, fastest_schedule
from halo.schedule import Changes, Stage, cheapest_schedule, stage_columns

POINTS = 3


def metric(values):
    """A matrix of changes with the triangle inequality: distances on a line, and a fixed part."""
    at = np.array(values)
    return np.abs(at[:, None] - at[None, :]) + 0.5 * (at[:, None] != at[None, :])


@st.composite
def passes(draw, max_stages=3, max_groups=2):
    """Stages with costs and changes that make schedules differ."""
    size = st.floats(0.1, 10.0)
    stages = []
    for number in range(draw(st.integers(1, max_stages))):
        groups = draw(st.integers(1, max_groups))
        table = st.lists(st.lists(size, min_size=POINTS, max_size=POINTS), min_size=groups, max_size=groups)
        time, energy = np.array(draw(table)), np.array(draw(table))
        blocked = np.array(draw(st.lists(st.booleans(), min_size=groups, max_size=groups)))
        time[blocked, 0] = energy[blocked, 0] = np.inf
        spills = (((0, 1), draw(size)),) if groups > 1 else ()
        stages.append(Stage(str(number), time, energy, spills))
    tables = [metric(draw(st.lists(st.floats(0, 2), min_size=POINTS, max_size=POINTS, unique=True))) for _ in range(4)]
    return stages, Changes(*tables)


def every_schedule(stages, changes):
    """Time and energy of all schedules there are."""
    choices = []
    for stage in stages:
        own = []
        for points in product(range(POINTS), repeat=len(stage.time_s)):
            if not np.isinf(sum(stage.time_s[g, p] for g, p in enumerate(points))):
                own += [(points, order) for order in permutations(range(len(points)))]
        choices.append(own)
    for chosen in product(*choices):
        time = energy = 0.0
        routes = [tuple(points[g] for g in order) for points, order in chosen]
        for i, (stage, (points, _), route) in enumerate(zip(stages, chosen, routes, strict=True)):
            time += sum(stage.time_s[g, p] for g, p in enumerate(points))
            energy += sum(stage.energy_fj[g, p] for g, p in enumerate(points))
            energy += sum(each * (len({points[g] for g in groups}) - 1) for groups, each in stage.spills)
            legs = [(a, b, changes.inside_s, changes.inside_fj) for a, b in pairwise(route)]
            legs.append((routes[i - 1][-1], route[0], changes.between_s, changes.between_fj))
            time += sum(s[a, b] for a, b, s, _ in legs)
            energy += sum(e[a, b] for a, b, _, e in legs)
        yield time, energy


@settings(max_examples=60, deadline=None)
@given(passes(), st.sampled_from([0.0, 0.3, 1.0, 7.0]))
def test_no_schedule_costs_less_than_the_one_chosen_at_any_price_of_time(made, price):
    stages, changes = made
    found = cheapest_schedule(stages, changes, price)
    assert found.energy_fj + price * found.time_s == pytest.approx(
        min(energy + price * time for time, energy in every_schedule(stages, changes)))


@settings(max_examples=60, deadline=None)
@given(passes(), st.floats(0, 1))
def test_no_schedule_within_the_time_needs_less_energy_and_the_bound_bounds(made, share):
    stages, changes = made
    every = list(every_schedule(stages, changes))
    times = [time for time, _ in every]
    limit = min(times) + share * (max(times) - min(times))
    found = best_schedule(stages, changes, "energy", limit, gap=0.0)
    least = min(energy for time, energy in every if time <= limit * (1 + 1e-9))
    assert found.value == found.schedule.energy_fj == pytest.approx(least, rel=2e-6)
    assert found.bound <= found.value * (1 + 1e-9)
    assert found.value <= found.heuristic
    assert found.schedule.time_s <= limit * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(passes())
def test_no_schedule_has_a_smaller_product_and_none_is_faster_than_the_fastest(made):
    stages, changes = made
    every = list(every_schedule(stages, changes))
    found = best_schedule(stages, changes, "edp")
    assert found.value == pytest.approx(min(time * energy for time, energy in every))
    assert fastest_schedule(stages, changes).time_s == pytest.approx(min(time for time, _ in every), rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(passes(), st.floats(0, 1), st.floats(0, 1))
def test_more_time_never_needs_more_energy(made, one, other):
    stages, changes = made
    fast, slow = fastest_schedule(stages, changes).time_s, cheapest_schedule(stages, changes, 0.0).time_s
    tight, loose = (best_schedule(stages, changes, "energy", fast + share * (slow - fast), gap=0.0)
                    for share in sorted((one, other)))
    assert loose.value <= tight.value * (1 + 2e-6)


def test_a_time_that_nothing_keeps_has_no_schedule():
    stage = Stage("a", np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]]))
    none = Changes(*[np.zeros((2, 2))] * 4)
    assert best_schedule([stage], none, "energy", 0.9) is None
    assert best_schedule([stage], none, "energy", 1.0).value == 2.0


def alike(n):
    """Stages that are all the same, with a slow and frugal point, and changes between the two points."""
    stages = [Stage(str(i), np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]])) for i in range(n)]
    return stages, Changes(*[0.01 * (1 - np.eye(2))] * 4)


def test_a_milp_closes_the_gap_that_corners_leave():
    # There is time for both long stages to run slowly, which are no neighbours: no stretch fills it.
    stages, changes = alike(5)
    for stage, saved in zip(stages, (1.0, 0.35, 1.0, 0.35, 0.35), strict=True):
        stage.energy_fj[0, 1] = 2.0 - saved
        stage.time_s[0, 1] = 1.0 + saved
    found = best_schedule(stages, changes, "energy", 7.05, gap=0.0)
    assert found.how.endswith("MILP (HiGHS)")
    assert found.value == pytest.approx(8.04)
    assert found.bound < found.value < found.heuristic


def test_a_stretch_of_alike_stages_runs_slowly_where_the_front_has_no_corner():
    # Time for two and a half of four stages to run slowly; two, in a row.
    found = best_schedule(*alike(4), "energy", 6.5)
    assert found.value == pytest.approx(6.02)
    assert found.bound < found.value < found.heuristic == 8.0
    # With many of them a stretch is as good as the bound, and nothing is searched.
    many = best_schedule(*alike(400), "energy", 600.3)
    assert many.how == "dynamic programming, LP bound, two corners in turn"
    assert many.value == pytest.approx(600.02)
    assert many.gap < 1e-3 < many.heuristic / many.bound - 1


def test_too_many_classes_and_points_are_refused_rather_than_guessed():
    stage = Stage("wide", np.ones((5, 30)), np.arange(150.0).reshape(5, 30))
    changes = Changes(*[1e3 * (1 - np.eye(30))] * 4)
    with pytest.raises(PlanError, match=r"wide: 5 clock classes at 30 points make .* plan fewer voltages"):
        stage_columns(stage, changes, 0.0)
