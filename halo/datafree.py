"""Sensitivity without data: every input and every output counts the same, so that a weight's own error decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from characterization.artifact import Provenance
from halo.model import digest_weights, list_linears
from halo.sensitivity import LayerSensitivity, Moment, Sensitivity

NOWHERE = Path("no-data")


@dataclass(frozen=True, slots=True)
class UniformSensitivity(LayerSensitivity):
    """One layer's moments where nothing is known: identity and ones, made when asked for."""

    n_out: int
    n_in: int

    def read(self, moment: Moment) -> np.ndarray:
        """Return one moment, of the shape that a measured one has."""
        if moment in {"hessian", "guided"}:
            return np.eye(self.n_in)
        return np.ones(self.n_out if moment == "output" else (self.n_out, self.n_in), np.float32)


def uniform_sensitivity(model: nn.Module, model_digest: str = "") -> Sensitivity:
    """Return the sensitivity of a model of which only the weights are known.

    Args:
        model: any with quantizable linears.
        model_digest: of its folder; where empty, the weights themselves are digested.
    """
    linears = list_linears(model).linears
    provenance = Provenance("sensitivity", {"model": model_digest or digest_weights(model)}, {"data": "none"})
    layers = {name: UniformSensitivity(name, NOWHERE, linear.out_features, linear.in_features)
              for name, linear in linears.items()}
    return Sensitivity(layers, 1, 1, provenance)
