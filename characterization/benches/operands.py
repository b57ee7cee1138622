"""Operands of a timed core's stimulus: what each weight is simulated with, value by value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from characterization.design import MacDesign
from characterization.errors import SimulationError
from characterization.profile import WEIGHTS

# Draws of previous weights are apart from those of operands, whose number depends on the design.
PREVIOUS_STREAM = 1


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Operands as a model streamed them through one MAC, a row a cycle.

    Attributes:
        activations: int `[step, lane]`.
        sums: partial sums entering with them, int `[step]`; None draws them at random.
        carries: the second word of redundant sums, of which `sums` then is the first, int `[step]`; None draws how a
            sum is split.
    """

    activations: np.ndarray
    sums: np.ndarray | None = None
    carries: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class StimulusConfig:
    """What each weight is simulated with.

    Attributes:
        transitions: for each weight; read where activations are random.
        seed: of all draws, the same for every weight.
        weights: the values simulated.
        activations: `random`, uniform pairs; `exhaustive`, each of the 256 x 256 pairs of activations once; or as
            recorded from a model.
        partial_sum: a partial sum that stands still, a redundant one with all of it in its first word; None draws
            sums, and how they are split, uniformly (a recording may have its own sums).
    """

    transitions: int = 300
    seed: int = 1
    weights: tuple[int, ...] = tuple(int(weight) for weight in WEIGHTS)
    activations: Literal["random", "exhaustive"] | Recorded = "random"
    partial_sum: int | None = None


@dataclass(frozen=True, eq=False)
class Operands:
    """Operand values of the steps of one block: weights and activations [step, lane], partial sums [step].

    A redundant partial sum is `accumulator + carry`; else `carry` is zero.
    """

    weights: np.ndarray
    activations: np.ndarray
    accumulator: np.ndarray
    carry: np.ndarray


def n_transitions(design: MacDesign, config: StimulusConfig) -> int:
    """Return how many transitions of the activations each weight sees."""
    if isinstance(config.activations, Recorded):
        return len(config.activations.activations) - 1
    return 4**design.activation_bits if config.activations == "exhaustive" else config.transitions


def check_recorded(design: MacDesign, recorded: Recorded) -> None:
    """Check that recorded operands are of the design's lanes and widths.

    Raises:
        SimulationError: they are not; every problem is in the message.
    """
    shape, lanes = recorded.activations.shape, len(design.lanes)
    problems = [] if shape[1:] == (lanes,) else [f"activations have shape {list(shape)}, not [step, {lanes}]"]
    if recorded.sums is not None and recorded.sums.shape != shape[:1]:
        problems.append(f"partial sums have shape {list(recorded.sums.shape)}, not {list(shape[:1])}")
    for name, values, bits in (("activations", recorded.activations, design.activation_bits),
                               ("partial sums", recorded.sums, design.accumulator_bits)):
        if values is not None and values.size and (values.min() < -(1 << bits - 1) or values.max() >= 1 << bits - 1):
            problems.append(f"{name} reach from {values.min()} to {values.max()}, beyond {bits} bits")
    if problems:
        raise SimulationError(f"{design.name}: recorded operands do not fit: {'; '.join(problems)}.")


def make_operands(design: MacDesign, config: StimulusConfig, weight: int, rng: np.random.Generator) -> Operands:
    """Return the operands of one weight's block."""
    make = stationary_operands if design.weight_mode == "stationary" else streaming_operands
    return make(design, weight, config, rng)


def stationary_operands(
    design: MacDesign, weight: int, config: StimulusConfig, rng: np.random.Generator
) -> Operands:
    """Return a chain of steps with all lanes at a constant weight."""
    activations = activation_chain(design, config, rng)
    sums = sum_chain(design, config, rng, len(activations))
    if isinstance(config.activations, Recorded) and config.activations.carries is not None:
        return Operands(np.full(activations.shape, weight), activations, sums, config.activations.carries)
    split = design.is_redundant and config.partial_sum is None
    carry = random_sums(design, rng, len(activations)) if split else np.zeros_like(sums)
    return Operands(np.full(activations.shape, weight), activations, sums - carry, carry)


def activation_chain(design: MacDesign, config: StimulusConfig, rng: np.random.Generator) -> np.ndarray:
    """Return the activations of a chain, int64 [step, lane]."""
    n_lanes, half = len(design.lanes), 1 << design.activation_bits - 1
    if isinstance(config.activations, Recorded):
        return config.activations.activations.astype(np.int64)
    if config.activations == "random":
        return random_activations(design, rng, (config.transitions + 1, n_lanes))
    order = pair_order(2 * half)
    # Each lane runs through its own renaming of the values, so that lanes are not alike.
    return np.stack([rng.permutation(2 * half)[order] - half for _ in range(n_lanes)], axis=1)


def random_activations(design: MacDesign, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return uniform activations as int64."""
    half = 1 << (design.activation_bits - 1)
    return rng.integers(-half, half, shape)


def pair_order(values: int) -> np.ndarray:
    """Return a walk over 0..values-1 that takes each of the values ** 2 ordered pairs of neighbours exactly once.

    >>> pair_order(3).tolist()
    [0, 0, 1, 0, 2, 1, 1, 2, 2, 0]
    """
    walk = [np.array([0])]
    for low in range(values):
        high = np.arange(low + 1, values)
        walk.append(np.stack([np.full_like(high, low), high], axis=1).ravel())
        walk.append(np.array([min(low + 1, values - 1)]))
    walk[-1][:] = 0
    return np.concatenate(walk)[: values**2 + 1]


def sum_chain(design: MacDesign, config: StimulusConfig, rng: np.random.Generator, steps: int) -> np.ndarray:
    """Return the partial sums of a chain, int64 [step]."""
    if isinstance(config.activations, Recorded) and config.activations.sums is not None:
        return config.activations.sums.astype(np.int64)
    if config.partial_sum is not None:
        return np.full(steps, config.partial_sum)
    return random_sums(design, rng, steps)


def random_sums(design: MacDesign, rng: np.random.Generator, steps: int) -> np.ndarray:
    """Return uniform words of the accumulator's width, as int64 [step]."""
    half = 1 << design.accumulator_bits - 1
    return rng.integers(-half, half, steps)


def streaming_operands(
    design: MacDesign, weight: int, config: StimulusConfig, rng: np.random.Generator
) -> Operands:
    """Return the stationary chain, then pairs of steps: a lane takes another weight, the next moves to `weight`.

    The second step of a pair is the one whose energy counts: activations and partial sums move in it too.
    """
    held = stationary_operands(design, weight, config, rng)
    moving = stationary_operands(design, weight, config, rng)
    lanes, pairs = len(design.lanes), len(held.accumulator) - 1
    previous = previous_weights(design, config, pairs + lanes)
    now, weights = previous[:lanes].copy(), np.empty((2 * pairs, lanes), dtype=np.int64)
    for pair in range(pairs):
        now[(pair - 1) % lanes] = previous[pair - 1 + lanes]
        weights[2 * pair] = now
        now[pair % lanes] = weight
        weights[2 * pair + 1] = now
    # The first step of a pair repeats the operands that the last pair ended with.
    paired = [np.repeat(chain, 2, axis=0)[1:-1] for chain in (moving.activations, moving.accumulator, moving.carry)]
    whole = zip((held.activations, held.accumulator, held.carry), paired, strict=True)
    return Operands(np.concatenate([held.weights, weights]), *(np.concatenate(parts) for parts in whole))


def previous_weights(design: MacDesign, config: StimulusConfig, pairs: int) -> np.ndarray:
    """Return the weights from which lanes move, pair after pair, each value once before any comes again, int64 [pair].

    Whatever weight is simulated they are the same, so energies can be told by [previous weight, weight].
    """
    rng, count = np.random.default_rng((config.seed, PREVIOUS_STREAM)), len(design.weights)
    rounds = [rng.permutation(design.weights) for _ in range(-(-pairs // count))]
    return np.concatenate(rounds)[:pairs]


def join_lanes(values: np.ndarray, bits: int) -> np.ndarray:
    """Return lanes of some bits [step, lane] side by side in one word [step], lane 0 lowest.

    >>> join_lanes(np.array([[-1, 2]]), 8).tolist()
    [767]
    """
    shifts = bits * np.arange(values.shape[1])
    joined: np.ndarray = ((values & ((1 << bits) - 1)) << shifts).sum(axis=1)
    return joined
