"""Where a model's weights lie in units of their fold's spread, and what an error there costs: layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from torch import nn

from halo.model import list_linears
from halo.sensitivity import Sensitivity
from halo.subset import Histogram

OUTLIER_SIGMAS = 3.0
REACH = 5.0
BINS = 1000
EDGES = np.linspace(-REACH, REACH, BINS + 1)
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2


def weight_histograms(model: nn.Module, sensitivity: Sensitivity, fold: int) -> Mapping[str, Histogram]:
    """Return the histogram of every layer, weights counting Fisher x spread^2 / 2.

    A squared error then costs nats per token, as far as weights err independently of each other.
    """
    return {name: layer_histogram(linear.weight.detach().double().cpu().numpy(),
                                  sensitivity.layers[name].read("fisher"), fold)
            for name, linear in list_linears(model).linears.items()}


def layer_histogram(weight: np.ndarray, fisher: np.ndarray, fold: int) -> Histogram:
    """Return the histogram of `weight` `[out, in]` without its outliers, in units of each fold's spread.

    Args:
        weight: float64.
        fisher: mean squared gradients, of the same shape.
        fold: rows of the reduction axis that share a scale.
    """
    kept = np.abs(weight) <= OUTLIER_SIGMAS * weight.std()
    mass, moment, count = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    for start in range(0, weight.shape[1], fold):
        part, counted = weight[:, start : start + fold], kept[:, start : start + fold]
        spread = np.sqrt((part**2 * counted).sum(1, keepdims=True) / np.maximum(counted.sum(1, keepdims=True), 1))
        unit = np.divide(part, spread, out=np.zeros_like(part), where=spread > 0)
        worth = fisher[:, start : start + fold] * spread**2 * counted / 2
        mass += np.histogram(unit, EDGES, weights=worth)[0]
        moment += np.histogram(unit, EDGES, weights=worth * unit)[0]
        count += np.histogram(unit, EDGES, weights=counted.astype(float))[0]
    return Histogram(centres(mass, moment), mass, count)


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return the histogram of the weights of several."""
    each = tuple(histograms)
    mass = np.sum([one.mass for one in each], axis=0)
    moment = np.sum([one.mass * one.position for one in each], axis=0)
    return Histogram(centres(mass, moment), mass, np.sum([one.count for one in each], axis=0))


def centres(mass: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Return where the mass of each bin lies, its middle where there is none."""
    return np.asarray(np.divide(moment, mass, out=MIDDLES.copy(), where=mass > 0))
