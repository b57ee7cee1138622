"""Contender: a quantized model on a MAC. Dedicated PEs of the same library contend with the models they can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from characterization.profile import MacProfile
from halo.dvfs import Build
from halo.errors import ConfigError
from halo.layers import QuantizedModel
from halo.machine import Machine, Setup
from halo.operating_point import PointConfig, operating_point
from halo.rail import voltage_beside


@dataclass(frozen=True, eq=False)
class Contender:
    """A quantized model, the MAC it runs on, and what makes the machine of that MAC."""

    model: QuantizedModel
    profile: MacProfile
    build: Build


@dataclass(frozen=True, slots=True)
class Merit:
    """How well a method predicts, and on how much it does.

    Attributes:
        kl: to the original, net of int8 activations, nats per token.
        bits: all that are stored, per quantized weight.
        ours: whether its codebooks are searched, and no fixed grid for all tiles.
        original_perplexity: of the model that it was made from.
    """

    kl: float
    perplexity: float
    bits: float
    ours: bool
    original_perplexity: float = float("nan")


def on_one_mac(models: Mapping[str, QuantizedModel], profile: MacProfile, build: Build) -> dict[str, Contender]:
    """Return every model on the same MAC, by label."""
    return {label: Contender(model, profile, build) for label, model in models.items()}


def on_dedicated(
    models: Mapping[str, QuantizedModel], pe: MacProfile, int8: MacProfile, make: Build
) -> dict[str, Contender]:
    """Return the models whose codes a dedicated PE has, on that PE, by "label on design".

    Args:
        models: by label.
        pe: of the dedicated PE, its values under the int8 codes that they stand for.
        int8: of the MAC that it is the alternative to.
        make: makes the machine.

    Raises:
        ConfigError: the libraries differ, or no model fits.
    """
    design = pe.head.design
    if pe.head.library != int8.head.library:
        raise ConfigError(f"--dedicated: {design} was measured on {pe.head.library}, {int8.head.design} on "
                          f"{int8.head.library}; compare PEs of one library.")
    found = {f"{label} on {design}": Contender(model, pe, make) for label, model in models.items() if holds(pe, model)}
    if not found:
        raise ConfigError(f"--dedicated: {design} has {pe.weights.size} values, and no method that is compared keeps "
                          "to them; give the run baselines that do, such as gptq-w4a8 for int4, gptq-pot for powers "
                          "of two.")
    return found


def holds(pe: MacProfile, model: QuantizedModel) -> bool:
    """Return whether every dense code of a model's codebooks is a value of the PE."""
    return all(np.isin(book.codes, pe.weights).all() for book in model.codebooks)


def beside_int8(make: Build, int8: MacProfile, points: PointConfig) -> Build:
    """Return `make` told when the int8 MACs beside the array are done: at the period of all their values."""

    def build(mac: MacProfile, setup: Setup) -> Machine:
        places = {voltage_v: replace(points, voltage_v=voltage_beside(int8, voltage_v)) for voltage_v in setup.typical}
        periods = {voltage_v: operating_point(int8, int8.weights.tolist(), at).period_ps
                   for voltage_v, at in places.items()}
        return make(mac, replace(setup, all_values_ps=periods))

    return build


def is_fixed_grid(codes: Sequence[int]) -> bool:
    """Return whether codes are evenly spaced: an integer grid, shifted or not.

    >>> is_fixed_grid(range(-128, 128, 16)), is_fixed_grid((-96, -64, -32, 0, 32, 64, 96))
    (True, True)
    >>> is_fixed_grid((-64, -8, 0, 8, 64))
    False
    """
    return len(set(np.diff(list(codes)).tolist())) == 1


def is_baseline_itself(model: QuantizedModel) -> bool:
    """Return whether a model's tiles all use one and the same fixed grid, wherever its codebook came from.

    Where layers chose values of their own these count, and not all that their class has.
    """
    used = {model.codebooks[position].codes_in(layer.name)
            for layer in model.layers for position in np.unique(layer.tiles.classes).tolist()}
    return len(used) == 1 and is_fixed_grid(used.pop())
