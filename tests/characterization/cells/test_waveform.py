"""Figures of waveforms whose answer is known in closed form."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.cells.deck import ramp
from characterization.cells.waveform import charge_fc, crossing_ps, slew_ps, window


@given(st.floats(1.0, 50.0), st.floats(0.5, 2.0), st.integers(12, 60))
def test_an_exponential_crosses_its_levels_where_the_logarithm_says(tau_ps, supply_v, n_points):
    time_ps = np.linspace(0, 8 * tau_ps, n_points)
    volt = supply_v * (1 - np.exp(-time_ps / tau_ps))
    assert crossing_ps(time_ps, volt, supply_v / 2, True) == pytest.approx(tau_ps * math.log(2), rel=0.05)
    assert slew_ps(time_ps, volt, supply_v, True) == pytest.approx(tau_ps * math.log(4), rel=0.05)
    falling = supply_v - volt
    assert slew_ps(time_ps, falling, supply_v, False) == pytest.approx(slew_ps(time_ps, volt, supply_v, True), rel=1e-6)


def test_a_cubic_is_crossed_exactly_between_sparse_points():
    time_ps = np.arange(0.0, 11.0)
    assert crossing_ps(time_ps, time_ps**3, 100.0, True) == pytest.approx(100 ** (1 / 3), abs=1e-9)


def test_a_waveform_that_never_crosses_has_no_crossing():
    assert math.isnan(crossing_ps(np.arange(3.0), np.zeros(3), 0.5, True))


def test_the_last_crossing_counts_when_there_are_several():
    time_ps = np.arange(7.0)
    volt = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    assert 2 < crossing_ps(time_ps, volt, 0.5, True) < 3


def test_charge_is_the_area_under_the_current():
    assert charge_fc(np.array([0.0, 10.0, 20.0]), np.array([0.0, 100.0, 0.0])) == pytest.approx(1.0)


def test_a_window_holds_both_of_its_ends():
    assert window(np.arange(6.0), 2.0, 4.0) == slice(2, 5)


def test_a_ramp_takes_its_slew_from_twenty_to_eighty_per_cent():
    (start_ps, before), (end_ps, after) = ramp(10.0, 60.0, 0.0, 1.8)
    assert (start_ps, before, after) == (10.0, 0.0, 1.8)
    assert (end_ps - start_ps) * 0.6 == pytest.approx(60.0)
