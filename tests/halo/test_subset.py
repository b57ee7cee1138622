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
    histogram = Histogram(np.sort(rng.normal(size=30)), rng.random(30), np.ones(30))
    levels = np.sort(np.concatenate([[0.0], rng.normal(size=7)]))
    zero = int(np.flatnonzero(levels == 0)[0])
    chosen, loss = choose_levels(histogram, levels, np.zeros(8), zero, count)
    assert zero in chosen
    assert len(chosen) <= count
    assert loss == pytest.approx(loss_of(histogram, levels[list(chosen)]))
    rivals = (pick for k in range(1, count + 1) for pick in combinations(range(8), k) if zero in pick)
    assert loss <= min(loss_of(histogram, levels[list(pick)]) for pick in rivals) + 1e-9


def test_weights_at_a_few_places_are_represented_exactly():
    histogram = Histogram(np.array([-2.0, -1.0, 0.0, 1.0]), np.ones(4), np.ones(4))
    found = best_subset(histogram, np.array([-64, -32, -7, 0, 5, 32]), 4, np.array([1.0, 1.5, 2.0]))
    assert found.codes == (-64, -32, 0, 32)
    assert found.loss == pytest.approx(0)
    assert found.step == pytest.approx(2 / 64)


def test_with_zero_alone_everything_is_lost():
    histogram = Histogram(np.array([-1.0, 1.0]), np.ones(2), np.ones(2))
    assert best_subset(histogram, np.array([0]), 9, np.array([1.0])).loss == 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.floats(0, 1))
def test_with_prices_no_subset_with_zero_costs_less(seed, count, price):
    """All weights have the mean mass, so that the borders between levels are exact."""
    rng = np.random.default_rng(seed)
    histogram = Histogram(np.sort(rng.normal(size=30)), np.full(30, 0.7), np.ones(30))
    levels = np.sort(np.concatenate([[0.0], rng.normal(size=7)]))
    prices, zero = price * rng.random(8), int(np.flatnonzero(levels == 0)[0])

    def cost_of(pick):
        """Every weight goes to one of the two levels around it, whichever costs less."""
        at = levels[list(pick)]
        each = 0.7 * (histogram.position[:, None] - at) ** 2 + prices[list(pick)]
        above = np.searchsorted(at, histogram.position)
        around = np.abs(np.arange(len(at)) + 0.5 - above[:, None]) < 1
        return float(np.where(around, each, np.inf).min(1).sum())

    chosen, cost = choose_levels(histogram, levels, prices, zero, count)
    assert cost == pytest.approx(cost_of(chosen))
    rivals = (pick for k in range(1, count + 1) for pick in combinations(range(8), k) if zero in pick)
    assert cost <= min(cost_of(pick) for pick in rivals) + 1e-9


def test_dear_values_are_avoided_and_the_result_says_what_it_spends():
    histogram = Histogram(np.linspace(-3, 3, 601), np.exp(-np.linspace(-3, 3, 601) ** 2 / 2), np.ones(601))
    allowed = np.arange(-16, 17)
    energy = np.where(allowed % 4 == 0, 1.0, 3.0)
    free, dear = (best_subset(histogram, allowed, 7, np.linspace(1.5, 3, 9), price * energy / 601, energy)
                  for price in (0.0, 5.0))
    assert dear.energy < 1.2 < free.energy
    assert dear.loss > free.loss
    assert all(code % 4 == 0 for code in dear.codes)
