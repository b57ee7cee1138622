from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo.subset import Histogram, best_subset, choose_levels


def loss_of(histogram, levels):
    gaps = np.abs(histogram.position[:, None] - np.asarray(levels)[None, :]).min(1)
    return float((histogram.mass * gaps**2).sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5))
def test_no_subset_with_zero_beats_the_chosen_one(seed, count):
    rng = np.random.default_rng(seed)
    histogram = Histogram(np.sort(rng.normal(size=30)), rng.random(30))
    levels = np.sort(np.concatenate([[0.0], rng.normal(size=7)]))
    zero = int(np.flatnonzero(levels == 0)[0])
    chosen, loss = choose_levels(histogram, levels, zero, count)
    assert zero in chosen
    assert len(chosen) <= count
    assert loss == pytest.approx(loss_of(histogram, levels[list(chosen)]))
    rivals = (pick for k in range(1, count + 1) for pick in combinations(range(8), k) if zero in pick)
    assert loss <= min(loss_of(histogram, levels[list(pick)]) for pick in rivals) + 1e-9


def test_weights_at_a_few_places_are_represented_exactly():
    histogram = Histogram(np.array([-2.0, -1.0, 0.0, 1.0]), np.ones(4))
    found = best_subset(histogram, np.array([-64, -32, -7, 0, 5, 32]), 4, np.array([1.0, 1.5, 2.0]))
    assert found.codes == (-64, -32, 0, 32)
    assert found.loss == pytest.approx(0)
    assert found.step == pytest.approx(2 / 64)


def test_with_zero_alone_everything_is_lost():
    histogram = Histogram(np.array([-1.0, 1.0]), np.ones(2))
    assert best_subset(histogram, np.array([0]), 9, np.array([1.0])).loss == 1.0
