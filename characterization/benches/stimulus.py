"""Stimulus of a timed core: for every weight value a seeded series of states, and which steps of it count for what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from characterization.benches.registers import Bit, Registers
from characterization.benches.settled import settled_values, source_columns
from characterization.design import MacDesign
from characterization.errors import SimulationError
from characterization.profile import WEIGHTS
from characterization.timed import TimedNetlist

# Pipeline stages that a value may have to pass before all registers of one operation are known.
DEEPEST_PIPELINE = 16


@dataclass(frozen=True, slots=True)
class StimulusConfig:
    """How many transitions are simulated for each weight, from which seed, and for which weights (all 256)."""

    transitions: int = 300
    seed: int = 1
    weights: tuple[int, ...] = tuple(int(weight) for weight in WEIGHTS)


@dataclass(frozen=True, eq=False)
class Stimulus:
    """States to step through, a block for each weight.

    Attributes:
        weights: the weight value of each block.
        block: makes the states of one block, by its position: uint8 [step, source], in the order of the core's
            sources; step 0 is where the block starts. Exhaustive blocks are large, so they are made when needed.
        settle_steps, cost_steps: bool [step]: whether the transition into a step counts as a settle time, and as a
            cost; never step 0.
        text: the distribution, in words, for whoever reads the profile.
    """

    weights: tuple[int, ...]
    block: Callable[[int], np.ndarray]
    settle_steps: np.ndarray
    cost_steps: np.ndarray
    text: str

    @property
    def states(self) -> np.ndarray:
        """The states of all blocks, uint8 [weight, step, source]."""
        return np.stack([self.block(index) for index in range(len(self.weights))])


@dataclass(frozen=True, eq=False)
class Operands:
    """Operand values of the steps of one block: weights and activations [step, lane], partial sums [step].

    A redundant partial sum is `accumulator + carry`; else `carry` is zero.
    """

    weights: np.ndarray
    activations: np.ndarray
    accumulator: np.ndarray
    carry: np.ndarray


def make_stimulus(timed: TimedNetlist, design: MacDesign, config: StimulusConfig) -> Stimulus:
    """Return the stimulus of a core.

    Raises:
        SimulationError: no transitions are asked for, or a register of the design is not in the core.
    """
    if config.transitions < 1 or not config.weights:
        raise SimulationError(
            f"{design.name}: {config.transitions} transitions of {len(config.weights)} weights; both must be positive."
        )
    registers, moved = Registers(timed, design), config.transitions
    for lane in design.lanes:
        for bus in (lane.weight, lane.activation):
            registers.required_bus(bus)
    step = np.arange(moved + 1 if design.weight_mode == "stationary" else 3 * moved + 1)
    held = (step > 0) & (step <= moved)
    cost = held if design.weight_mode == "stationary" else (step > moved) & ((step - moved) % 2 == 0)
    block = partial(block_states, registers, config)
    return Stimulus(config.weights, block, held, cost, describe(design, config))


def describe(design: MacDesign, config: StimulusConfig) -> str:
    """Return the distribution in words."""
    sums = (
        f"random {design.accumulator_bits}-bit partial sums; controls held as in compute mode, the same draws for "
        f"every weight, seed {config.seed}"
    )
    if design.weight_mode == "stationary":
        return (
            f"{config.transitions} transitions per weight: weight constant, activation pairs uniform over "
            f"int{design.activation_bits}, {sums}"
        )
    return (
        f"delay from {config.transitions} transitions per weight: all lanes hold the weight, activation pairs of all "
        f"lanes uniform over int{design.activation_bits}; energy from {config.transitions} more: one lane, each in "
        f"turn, moves from a random weight to the weight, other lanes hold random weights, activations of all lanes "
        f"move uniformly; every pipeline stage of one operation moves in the same cycle, {sums}"
    )


def block_states(registers: Registers, config: StimulusConfig, index: int) -> np.ndarray:
    """Return the states of one weight's block, uint8 [step, source]."""
    design, timed, weight = registers.design, registers.timed, config.weights[index]
    # One seed for all weights: what operands are drawn moves all weights' energies alike and leaves their ratios.
    rng = np.random.default_rng(config.seed)
    if design.weight_mode == "stationary":
        operands = stationary_operands(design, weight, config.transitions, rng)
    else:
        operands = streaming_operands(design, weight, config.transitions, rng)
    # What nobody names (a shadow weight, say) stands still at a random value.
    states = np.repeat(rng.integers(0, 2, (1, len(timed.sources)), dtype=np.uint8), len(operands.accumulator), axis=0)
    places = named_values(registers, operands)
    for bits, values in places:
        write_bits(states, bits, values)
    write_pipeline(registers, states, {bit.column for bits, _ in places for bit in bits})
    write_complements(timed, states)
    return states


def stationary_operands(design: MacDesign, weight: int, transitions: int, rng: np.random.Generator) -> Operands:
    """Return a chain of `transitions + 1` steps with all lanes at a constant weight."""
    shape = (transitions + 1, len(design.lanes))
    activations, accumulator = random_activations(design, rng, shape), random_sums(design, rng, shape[0])
    carry = random_sums(design, rng, shape[0]) if design.is_redundant else np.zeros_like(accumulator)
    return Operands(np.full(shape, weight), activations, accumulator, carry)


def streaming_operands(design: MacDesign, weight: int, transitions: int, rng: np.random.Generator) -> Operands:
    """Return the stationary chain, then pairs of steps: a lane takes a random weight alone, the next moves to `weight`.

    The second step of a pair is the one whose energy counts: activations and partial sums move in it too.
    """
    held = stationary_operands(design, weight, transitions, rng)
    moving = stationary_operands(design, weight, transitions - 1, rng)
    lanes = len(design.lanes)
    now, weights = rng.choice(design.weights, lanes), np.empty((2 * transitions, lanes), dtype=np.int64)
    for pair in range(transitions):
        now[(pair - 1) % lanes] = rng.choice(design.weights)
        weights[2 * pair] = now
        now[pair % lanes] = weight
        weights[2 * pair + 1] = now
    activations = np.concatenate([held.activations[-1:], np.repeat(moving.activations, 2, axis=0)[:-1]])
    accumulator = np.concatenate([held.accumulator[-1:], np.repeat(moving.accumulator, 2)[:-1]])
    carry = np.concatenate([held.carry[-1:], np.repeat(moving.carry, 2)[:-1]])
    return Operands(
        np.concatenate([held.weights, weights]), np.concatenate([held.activations, activations]),
        np.concatenate([held.accumulator, accumulator]), np.concatenate([held.carry, carry]),
    )


def random_activations(design: MacDesign, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return uniform activations as int64."""
    half = 1 << (design.activation_bits - 1)
    return rng.integers(-half, half, shape)


def random_sums(design: MacDesign, rng: np.random.Generator, steps: int) -> np.ndarray:
    """Return uniform partial sums of the accumulator's width, as int64."""
    half = 1 << (design.accumulator_bits - 1)
    return rng.integers(-half, half, steps)


def named_values(registers: Registers, operands: Operands) -> list[tuple[tuple[Bit, ...], np.ndarray]]:
    """Return the bits that the description names, with their values [step], later ones winning.

    Raises:
        SimulationError: an operand register is not in the core.
    """
    design = registers.design
    steps = len(operands.accumulator)
    activations = join_lanes(operands.activations, design.activation_bits)
    optional: list[tuple[str, np.ndarray]] = [(design.roles["activation"], activations)]
    codes = design.encode(operands.weights)
    if design.weight_mode == "streaming":
        optional.append((design.roles["weight"], join_lanes(codes, design.weight_bits)))
    sums = {"result": operands.accumulator, "result_carry": operands.carry}
    sums |= {"accumulator_in": operands.accumulator, "accumulator_carry": operands.carry}
    optional += [(design.roles[role], values) for role, values in sums.items() if role in design.roles]
    optional += [(bus, np.full(steps, value)) for bus, value in design.hold.items()]
    places = [(bits, values) for bus, values in optional if (bits := registers.bus(bus))]
    for index, lane in enumerate(design.lanes):
        places.append((registers.required_bus(lane.weight), codes[:, index]))
        places.append((registers.required_bus(lane.activation), operands.activations[:, index]))
    return places


def join_lanes(values: np.ndarray, bits: int) -> np.ndarray:
    """Return lanes of some bits [step, lane] side by side in one word [step], lane 0 lowest.

    >>> join_lanes(np.array([[-1, 2]]), 8).tolist()
    [767]
    """
    shifts = bits * np.arange(values.shape[1])
    joined: np.ndarray = ((values & ((1 << bits) - 1)) << shifts).sum(axis=1)
    return joined


def write_bits(states: np.ndarray, bits: tuple[Bit, ...], values: np.ndarray) -> None:
    """Set the source columns of a bus to two's complement `values` [step], in place."""
    for position, bit in enumerate(bits):
        states[:, bit.column] = (values >> position & 1) ^ bit.inverted


def write_pipeline(registers: Registers, states: np.ndarray, named: set[int]) -> None:
    """Set the registers behind the operands to what the operands of the same step yield, in place.

    So one step holds all stages of one operation at once: their gates are apart, their energies add.
    """
    stages = pipeline_bits(registers, named)
    for _ in range(DEEPEST_PIPELINE if stages else 0):
        write_complements(registers.timed, states)
        values = settled_values(registers.timed, source_columns(registers.timed, states))
        before = states.copy()
        for column, sink, inverted in stages:
            states[:, column] = values[registers.timed.sinks[sink].net] ^ inverted
        if (before == states).all():
            return


def pipeline_bits(registers: Registers, named: set[int]) -> list[tuple[int, int, bool]]:
    """Return (column, sink, inverted) of the unnamed flops that the lanes' weights reach."""
    timed = registers.timed
    reached = set(registers.weight_nets)
    found: dict[int, tuple[int, int, bool]] = {}
    while True:
        known = len(found)
        fanout = timed.fanout_of(reached)
        for column, source in enumerate(timed.sources):
            bit = registers.bit(source.net)
            if column in named or bit is None or bit.column != column or bit.sink is None:
                continue
            if timed.sinks[bit.sink].net in fanout:
                found[column] = (column, bit.sink, bit.sink_inverted)
                reached.add(source.net)
        if len(found) == known:
            return list(found.values())


def write_complements(timed: TimedNetlist, states: np.ndarray) -> None:
    """Set every QN whose Q is used too to the complement of Q, in place."""
    column_of = {source.net: column for column, source in enumerate(timed.sources)}
    for column, source in enumerate(timed.sources):
        if source.complement_of in column_of:
            states[:, column] = 1 - states[:, column_of[str(source.complement_of)]]


