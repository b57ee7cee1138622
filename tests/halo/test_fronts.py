from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo.fronts import FrontPoint, hypervolume, undominated, wins

SHARES = st.floats(0.0, 0.99)
POINTS = st.lists(st.builds(FrontPoint, st.just("m"), SHARES, SHARES), min_size=1, max_size=8)


def least(points, loss):
    return min((point.cost for point in points if point.loss <= loss), default=1.0)


@given(POINTS, POINTS)
def test_a_hypervolume_is_the_area_under_the_least_cost_and_grows_with_points(ours, theirs):
    edges = sorted({0.0, 1.0, *(point.loss for point in ours)})
    area = sum((b - a) * (1.0 - least(ours, a)) for a, b in pairwise(edges))
    assert hypervolume(ours, 1.0, 1.0) == pytest.approx(area)
    assert hypervolume([*ours, *theirs], 1.0, 1.0) >= area - 1e-12
    assert hypervolume(undominated(ours), 1.0, 1.0) == pytest.approx(area)


@given(POINTS, POINTS, SHARES)
def test_wins_are_where_ours_cost_less(ours, theirs, loss):
    inside = any(win.low <= loss < win.high for win in wins(ours, theirs, 1.0))
    own, other = (min((p.cost for p in some if p.loss <= loss), default=2.0) for some in (ours, theirs))
    assert inside == (own < other)


def test_points_beyond_the_reference_dominate_nothing():
    assert hypervolume([FrontPoint("a", 0.2, 1.1), FrontPoint("b", 2.0, 0.1)], 1.0, 1.0) == 0
