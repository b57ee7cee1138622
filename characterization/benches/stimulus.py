"""Stimulus of a timed core: for every weight value a seeded series of states, and which steps of it count for what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from characterization.benches.operands import (
    Operands,
    Recorded,
    StimulusConfig,
    check_recorded,
    join_lanes,
    make_operands,
    n_transitions,
    random_activations,
    random_sums,
)
from characterization.benches.registers import Bit, Registers
from characterization.benches.settled import settled_values, source_columns
from characterization.design import MacDesign
from characterization.errors import SimulationError
from characterization.timed import TimedNetlist

# Pipeline stages that a value may have to pass before all registers of one operation are known.
DEEPEST_PIPELINE = 16


@dataclass(frozen=True, eq=False)
class Stimulus:
    """States to step through, a block for each weight.

    Attributes:
        weights: the weight value of each block.
        blocks: makes the states of some blocks, by their positions: uint8 [block, step, source], in the order of the
            core's sources; step 0 is where a block starts. Exhaustive blocks are large, so they are made when needed.
        settle_steps, cost_steps: bool [step]: whether the transition into a step counts as a settle time, and as a
            cost; never step 0.
        text: the distribution, in words, for whoever reads the profile.
    """

    weights: tuple[int, ...]
    blocks: Callable[[Sequence[int]], np.ndarray]
    settle_steps: np.ndarray
    cost_steps: np.ndarray
    text: str

    @property
    def states(self) -> np.ndarray:
        """The states of all blocks, uint8 [weight, step, source]."""
        return self.blocks(range(len(self.weights)))


def make_stimulus(timed: TimedNetlist, design: MacDesign, config: StimulusConfig) -> Stimulus:
    """Return the stimulus of a core.

    Raises:
        SimulationError: no transitions are asked for, recorded operands do not fit the design, or a register of the
            design is not in the core.
    """
    moved = n_transitions(design, config)
    if moved < 1 or not config.weights:
        raise SimulationError(
            f"{design.name}: {moved} transitions of {len(config.weights)} weights; both must be positive."
        )
    if isinstance(config.activations, Recorded):
        check_recorded(design, config.activations)
    registers = Registers(timed, design)
    stages = pipeline_bits(registers, named_columns(registers))
    step = np.arange(moved + 1 if design.weight_mode == "stationary" else 3 * moved + 1)
    held = (step > 0) & (step <= moved)
    cost = held if design.weight_mode == "stationary" else (step > moved) & ((step - moved) % 2 == 0)
    blocks = partial(block_states, registers, stages, config)
    return Stimulus(config.weights, blocks, held, cost, describe(design, config))


def stream_stimulus(timed: TimedNetlist, design: MacDesign, weights: np.ndarray, seed: int = 1) -> Stimulus:
    """Return one block: weights that stream, a new one in each lane at each step.

    Activations and partial sums are random; every step but the first counts.

    Args:
        timed: the core.
        design: whose weights stream.
        weights: int [step, lane].
        seed: of what is drawn.

    Raises:
        SimulationError: the design holds its weights, or they are not of its lanes and values.
    """
    if design.weight_mode != "streaming" or weights.shape[1:] != (len(design.lanes),) or len(weights) < 2:
        raise SimulationError(f"{design.name}: a stream of weights of shape {list(weights.shape)}; needed is [steps, "
                              f"{len(design.lanes)}], two steps at least, on a MAC whose weights stream.")
    if unknown := sorted(set(np.unique(weights).tolist()) - set(design.weights)):
        raise SimulationError(f"{design.name}: a stream of weights holds {unknown[0]}, which is none of its values.")
    rng, registers = np.random.default_rng(seed), Registers(timed, design)
    sums, carry = random_sums(design, rng, len(weights)), np.zeros(len(weights), np.int64)
    if design.is_redundant:
        carry = random_sums(design, rng, len(weights))
    operands = Operands(weights, random_activations(design, rng, weights.shape), sums - carry, carry)
    states = operand_states(registers, operands, rng)
    settle_stages(timed, pipeline_bits(registers, named_columns(registers)), states)
    counted = np.arange(len(weights)) > 0
    return Stimulus((0,), lambda blocks: states[None][list(blocks)], counted, counted, f"{len(weights) - 1} steps of "
                    f"streaming weights, activations and sums random, seed {seed}")


def describe(design: MacDesign, config: StimulusConfig) -> str:
    """Return the distribution in words."""
    moved, kind, bits = n_transitions(design, config), config.activations, design.activation_bits
    drawn = f"random {design.accumulator_bits}-bit partial sums"
    if config.partial_sum is not None:
        drawn = f"partial sum {config.partial_sum}"
    if isinstance(kind, Recorded):
        pairs = "activations as recorded from a model"
        drawn = drawn if kind.sums is None else "partial sums recorded with them"
    elif kind == "exhaustive":
        pairs = f"each of the {1 << bits} x {1 << bits} activation pairs once"
    else:
        pairs = f"activation pairs uniform over int{bits}"
    sums = f"{drawn}; controls held as in compute mode, the same draws for every weight, seed {config.seed}"
    if design.weight_mode == "stationary":
        return f"{moved} transitions per weight: weight constant, {pairs}, {sums}"
    return (
        f"delay from {moved} transitions per weight: all lanes hold the weight, {pairs} in every lane; energy from "
        f"{moved} more: one lane, each in turn, moves from another weight, all values equally often, to the weight, "
        "other lanes hold random weights, activations of all lanes move in the same way; every pipeline stage of one "
        f"operation moves in the same cycle, {sums}"
    )


def block_states(
    registers: Registers, stages: Sequence[Stage], config: StimulusConfig, blocks: Sequence[int]
) -> np.ndarray:
    """Return the states of some weights' blocks, uint8 [block, step, source], step after step in memory."""
    first = weight_states(registers, config, config.weights[blocks[0]])
    by_source = np.empty((first.shape[1], len(blocks), len(first)), np.uint8)
    states = by_source.transpose(1, 2, 0)
    for place, index in enumerate(blocks):
        if registers.design.weight_mode == "streaming":
            states[place] = weight_states(registers, config, config.weights[index])
        else:  # nothing else that is drawn depends on the weight
            states[place] = first
            hold_weight(registers, config.weights[index], states[place])
    # All blocks at once: the gates are walked through in Python.
    settle_stages(registers.timed, stages, by_source.reshape(len(by_source), -1).T)
    return states


def hold_weight(registers: Registers, weight: int, states: np.ndarray) -> None:
    """Set every lane's weight in states, uint8 [step, source], in place."""
    design = registers.design
    codes = design.encode(np.full((1, len(design.lanes)), weight))
    for index, lane in enumerate(design.lanes):
        write_bits(states, registers.required_bus(lane.weight), codes[:, index])


def settle_stages(timed: TimedNetlist, stages: Sequence[Stage], states: np.ndarray) -> None:
    """Set what follows from the operands, uint8 [step, source], in place."""
    write_pipeline(timed, stages, states)
    write_complements(timed, states)


def weight_states(registers: Registers, config: StimulusConfig, weight: int) -> np.ndarray:
    """Return the states of one weight's block as far as operands make them, uint8 [step, source]."""
    # One seed for all weights: what operands are drawn moves all weights' energies alike and leaves their ratios.
    rng = np.random.default_rng(config.seed)
    return operand_states(registers, make_operands(registers.design, config, weight, rng), rng)


def operand_states(registers: Registers, operands: Operands, rng: np.random.Generator) -> np.ndarray:
    """Return the states in which a core holds some operands, as far as these make them, uint8 [step, source]."""
    timed = registers.timed
    # What nobody names (a shadow weight, say) stands still at a random value.
    drawn = rng.integers(0, 2, (len(timed.sources), 1), dtype=np.uint8)
    states = np.repeat(drawn, len(operands.accumulator), axis=1).T
    for bits, values in named_values(registers, operands):
        write_bits(states, bits, values)
    return states


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


def named_columns(registers: Registers) -> frozenset[int]:
    """Return the source columns of what the description names.

    Raises:
        SimulationError: an operand register is not in the core.
    """
    shape = 1, len(registers.design.lanes)
    step = np.zeros(1, np.int64)
    one = Operands(np.full(shape, registers.design.weights[0]), np.zeros(shape, np.int64), step, step)
    return frozenset(bit.column for bits, _ in named_values(registers, one) for bit in bits)


def write_bits(states: np.ndarray, bits: tuple[Bit, ...], values: np.ndarray) -> None:
    """Set the source columns of a bus to two's complement `values` [step], or [1] for all steps, in place."""
    for position, bit in enumerate(bits):
        states[:, bit.column] = (values >> position & 1) ^ bit.inverted


@dataclass(frozen=True, slots=True)
class Stage:
    """A register bit behind the operands: its source column, the net that loads it, and whether that is inverted."""

    column: int
    net: str
    inverted: bool


def write_pipeline(timed: TimedNetlist, stages: Sequence[Stage], states: np.ndarray) -> None:
    """Set the registers behind the operands to what the operands of the same step yield, in place.

    So one step holds all stages of one operation at once: their gates are apart, their energies add.
    """
    for _ in range(DEEPEST_PIPELINE if stages else 0):
        write_complements(timed, states)
        values = settled_values(timed, source_columns(timed, states), {stage.net for stage in stages})
        moved = [stage for stage in stages if (states[:, stage.column] != values[stage.net] ^ stage.inverted).any()]
        for stage in moved:
            states[:, stage.column] = values[stage.net] ^ stage.inverted
        if not moved:
            return


def pipeline_bits(registers: Registers, named: frozenset[int]) -> list[Stage]:
    """Return the unnamed flops that the lanes' weights reach."""
    timed = registers.timed
    reached = set(registers.weight_nets)
    found: dict[int, Stage] = {}
    while True:
        known = len(found)
        fanout = timed.fanout_of(reached)
        for column, source in enumerate(timed.sources):
            bit = registers.bit(source.net)
            if column in named or bit is None or bit.column != column or bit.sink is None:
                continue
            if timed.sinks[bit.sink].net in fanout:
                found[column] = Stage(column, timed.sinks[bit.sink].net, bit.sink_inverted)
                reached.add(source.net)
        if len(found) == known:
            return list(found.values())


def write_complements(timed: TimedNetlist, states: np.ndarray) -> None:
    """Set every QN whose Q is used too to the complement of Q, in place."""
    column_of = {source.net: column for column, source in enumerate(timed.sources)}
    for column, source in enumerate(timed.sources):
        if source.complement_of in column_of:
            states[:, column] = 1 - states[:, column_of[str(source.complement_of)]]


