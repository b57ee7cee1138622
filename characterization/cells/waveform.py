"""Figures of a waveform: when it crosses a level, how long it takes between two, what charge flowed."""

from __future__ import annotations

import numpy as np

FC_PER_UA_PS = 1e-3


def crossing_ps(time_ps: np.ndarray, volt: np.ndarray, level_v: float, rising: bool) -> float:
    """Return the last time at which a waveform crosses a level in a direction; nan if it never does.

    Between points the waveform follows the cubic through its four neighbours: straight lines between the simulator's
    sparse points would stretch slews by a per cent.

    >>> time = np.arange(0.0, 11.0)
    >>> round(crossing_ps(time, time**2, 30.25, True), 9)
    5.5
    """
    side = volt >= level_v
    hits = np.nonzero((~side[:-1] & side[1:]) if rising else (side[:-1] & ~side[1:]))[0]
    if len(hits) == 0:
        return float("nan")
    k = int(hits[-1])
    low, high = max(k - 1, 0), min(k + 3, len(time_ps))
    return find_level(time_ps[low:high], volt[low:high] - level_v, time_ps[k], time_ps[k + 1])


def crossings_ps(time_ps: np.ndarray, volt: np.ndarray, level_v: float) -> list[tuple[float, int]]:
    """Return all times at which a waveform crosses a level, each with its edge: 0 falling, 1 rising.

    >>> crossings_ps(np.arange(5.0), np.array([0.0, 1.0, 1.0, 1.0, 0.0]), 0.5)[0][1]
    1
    """
    side = volt >= level_v
    found = []
    for k in (int(hit) for hit in np.nonzero(side[1:] != side[:-1])[0]):
        low, high = max(k - 1, 0), min(k + 3, len(time_ps))
        found.append((find_level(time_ps[low:high], volt[low:high] - level_v, time_ps[k], time_ps[k + 1]),
                      int(side[k + 1])))
    return found


def find_level(times: np.ndarray, values: np.ndarray, left: float, right: float) -> float:
    """Return where the polynomial through points is zero between `left` and `right`, at which its signs differ."""
    origin, span = left, right - left
    x = (times - origin) / span
    if (np.diff(x) <= 0).any():
        return float(left)
    coefficients = np.linalg.solve(np.vander(x), values).tolist()
    low, high = 0.0, 1.0
    sign = values[int(np.argmin(np.abs(x)))] < 0
    for _ in range(40):
        middle, value = (low + high) / 2, 0.0
        for coefficient in coefficients:
            value = value * middle + coefficient
        if (value < 0) == sign:
            low = middle
        else:
            high = middle
    return float(origin + span * (low + high) / 2)


def slew_ps(time_ps: np.ndarray, volt: np.ndarray, supply_v: float, rising: bool) -> float:
    """Return the time between 20 % and 80 % of the supply."""
    first, last = (0.2, 0.8) if rising else (0.8, 0.2)
    return (crossing_ps(time_ps, volt, last * supply_v, rising)
            - crossing_ps(time_ps, volt, first * supply_v, rising))


def charge_fc(time_ps: np.ndarray, current_ua: np.ndarray) -> float:
    """Return the charge in fC that a current delivers."""
    return float(np.trapezoid(current_ua, time_ps)) * FC_PER_UA_PS


def charge_until(time_ps: np.ndarray, current_ua: np.ndarray, until_ps: float) -> float:
    """Return the charge in fC that flows before a time."""
    k = int(np.searchsorted(time_ps, until_ps))
    last = np.interp(until_ps, time_ps, current_ua)
    return charge_fc(np.r_[time_ps[:k], until_ps], np.r_[current_ua[:k], last])


def window(time_ps: np.ndarray, start_ps: float, stop_ps: float) -> slice:
    """Return the points of a waveform between two times, both included."""
    return slice(int(np.searchsorted(time_ps, start_ps - 1e-6)), int(np.searchsorted(time_ps, stop_ps + 1e-6)))
