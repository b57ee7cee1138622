"""fit_alpha_power(): how well d = k V / (V - Vt)^a describes delay over voltage. A diagnostic: nothing is scaled by it.

The law is Sakurai and Newton's (IEEE JSSC 25(2), 1990). Vt and a are effective fit numbers, not device values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_VT_V = 0.2
STEP_V = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class AlphaPower:
    """Fits of many arcs `[arc]`; `residual` is the largest relative error over the voltages."""

    k_ps: np.ndarray
    threshold_v: np.ndarray
    alpha: np.ndarray
    residual: np.ndarray


def fit_alpha_power(voltages_v: np.ndarray, delays_ps: np.ndarray) -> AlphaPower:
    """Return the fit of each arc, least squares in ln d, the threshold by search on a 5 mV grid below the voltages.

    Args:
        voltages_v: ascending, at least three `[voltage]`.
        delays_ps: positive `[arc, voltage]`.

    >>> volts = np.array([1.2, 1.4, 1.6, 1.8])
    >>> fit = fit_alpha_power(volts, 30 * volts / (volts - 0.8)[None] ** 1.4)
    >>> [round(float(value[0]), 3) for value in (fit.k_ps, fit.threshold_v, fit.alpha, fit.residual)]
    [30.0, 0.8, 1.4, 0.0]
    """
    thresholds_v = np.arange(LEAST_VT_V, voltages_v[0] - STEP_V, STEP_V)
    target = np.log(delays_ps) - np.log(voltages_v)
    found: list[tuple[np.ndarray, ...]] = []
    for threshold_v in thresholds_v:
        regressor = np.log(voltages_v - threshold_v)
        centred = regressor - regressor.mean()
        slope = target @ centred / (centred @ centred)
        offset = target.mean(axis=1) - slope * regressor.mean()
        errors = offset[:, None] + slope[:, None] * regressor - target
        found.append((np.exp(offset), np.full_like(slope, threshold_v), -slope, np.abs(np.expm1(errors)).max(axis=1),
                      (errors**2).sum(axis=1)))  # fmt: skip
    k_ps, threshold, alpha, residual, squares = (np.stack(column) for column in zip(*found, strict=True))
    best = squares.argmin(axis=0), np.arange(len(target))
    return AlphaPower(k_ps[best], threshold[best], alpha[best], residual[best])
