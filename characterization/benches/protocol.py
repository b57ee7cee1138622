"""What is driven into a whole MAC, clock by clock, and what its bit-exact reference says must come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from characterization.benches.expectation import word
from characterization.benches.operands import join_lanes, random_activations
from characterization.design import MacDesign, bus_nets
from characterization.errors import SimulationError
from characterization.reference import Reference, load_reference, select, wrap

Progress = Callable[[int, int], None]
# A register counts as known once this many random power-up states agree on it.
POWER_UPS = 8
RESET_CYCLES = 2
OPERATIONS_PER_LOAD = 16
# In the last part of a run the controls move at random too, and a reset comes once in so many clocks.
CLOCKS_PER_RESET = 16
# Of them after every operand has been sent.
RANDOM_CLOCKS = 1000
# How many clocks lie between two reports of progress.
CLOCKS_TOLD = 256
# An odd number (Knuth's multiplier): spreads a partial sum over the second of its two words.
SPLIT = 2654435761


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a run: its operands, and the clock in which they are at the ports."""

    clock: int
    weights: tuple[int, ...]
    activations: tuple[int, ...]
    accumulator: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a whole MAC.

    Attributes:
        inputs: names of the input ports that are driven, clock excepted.
        registers: names of the registers that the reference knows.
        driven: values of `inputs`, two's complement, for each clock.
        expected: values of `registers` after the edge of each clock; None while some are unknown.
        operations: the operations among the clocks.
    """

    inputs: tuple[str, ...]
    registers: tuple[str, ...]
    driven: tuple[tuple[int, ...], ...]
    expected: tuple[tuple[int, ...] | None, ...]
    operations: tuple[Operation, ...]


class Wires(Mapping[str, np.ndarray]):
    """Bus expression -> word, from bits by net [power-up]; it remembers which ports and registers were read."""

    def __init__(self, widths: Mapping[str, int], bits: Mapping[str, np.ndarray]) -> None:
        """Hold the bits."""
        self.widths, self.bits, self.read = widths, bits, set[str]()

    def __getitem__(self, bus: str) -> np.ndarray:
        """Return a signed word, or 0 and 1 for a single bit."""
        self.read.add(base_of(bus))
        return word([self.bits[net] for net in bus_nets(bus, self.widths)])

    def __iter__(self) -> Iterator[str]:
        """Yield the ports and registers there are."""
        return iter(self.widths)

    def __len__(self) -> int:
        """Return the number of ports and registers."""
        return len(self.widths)


def base_of(bus: str) -> str:
    """Return the port or register of a bus expression."""
    return bus.partition("[")[0]


def plan_run(design: MacDesign, n_operations: int | None, seed: int, progress: Progress | None = None) -> Run:
    """Return a run: reset, weights loaded by the design's own protocol, operations, then random controls.

    Operands are random, or (`n_operations` None) every weight at every activation once in each lane. `progress` is told
    the clocks that the reference has been through, and all.

    Raises:
        SimulationError: the protocol loads no weight, or the reference's two functions disagree.
        DesignError: `reference.py` does not run.
    """
    reference, rng = load_reference(design), np.random.default_rng(seed)
    inputs, registers = places_of(design, reference)
    clocks: list[dict[str, int]] = [{design.reset: 1} if design.reset else {} for _ in range(RESET_CYCLES)]
    operands = random_operands(design, n_operations, rng) if n_operations else all_operands(design, rng)
    operations = list(operate(design, clocks, operands, rng))
    clocks += [{} for _ in range(design.latency)]
    accumulate(design, clocks, operations)
    ordered = len(clocks)
    driven = [complete(design, inputs, wanted, rng) for wanted in clocks]
    driven += [random_ports(design, inputs, rng) for _ in range(n_operations or RANDOM_CLOCKS)]
    expected = follow(design, reference, inputs, registers, driven, rng, progress)
    check_operations(design, reference, operations, registers, expected[:ordered])
    rows = tuple(tuple(values[name] for name in inputs) for values in driven)
    return Run(inputs, registers, rows, tuple(expected), tuple(operations))


def places_of(design: MacDesign, reference: Reference) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the input ports and the registers of a design: what its reference reads only, and what it returns."""
    nets = {net for name in design.widths for net in bus_nets(name, design.widths)}
    wires = Wires(design.widths, {net: np.zeros(1, dtype=np.uint8) for net in nets})
    registers = {base_of(bus) for bus in reference.next_state(wires, wrap, select)}
    return tuple(sorted(wires.read - registers)), tuple(sorted(registers))


def compute_value(design: MacDesign, port: str) -> int | None:
    """Return what an input port holds in compute mode, itself or through its neighbour; None if it is free."""
    return design.hold.get(port, design.hold.get(design.neighbours.get(port, "")))


def load_pulses(design: MacDesign) -> list[str]:
    """Return the control ports that load a weight when raised one after another, in the order of [hold]."""
    driver = {source: sink for sink, source in design.neighbours.items()}
    ports = [driver.get(bus, bus) for bus, value in design.hold.items() if value == 0 and bus != design.reset]
    return [port for port in ports if design.widths.get(port) == 1]


def random_operands(
    design: MacDesign, n_operations: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Yield the weights and activations [lane] of each operation, and whether its weights are new."""
    lanes = len(design.lanes)
    weights = np.zeros(lanes, dtype=np.int64)
    for index in range(n_operations):
        new = design.weight_mode == "streaming" or index % OPERATIONS_PER_LOAD == 0
        weights = rng.choice(design.weights, lanes) if new else weights
        yield weights, random_activations(design, rng, (lanes,)), new


def all_operands(
    design: MacDesign, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Yield every weight at every activation, each lane in an order of its own."""
    half, lanes = 1 << design.activation_bits - 1, range(len(design.lanes))
    weights = np.stack([rng.permutation(design.weights) for _ in lanes], axis=1)
    for held in weights:
        activations = np.stack([rng.permutation(np.arange(-half, half)) for _ in lanes], axis=1)
        for index, acting in enumerate(activations):
            yield held, acting, index == 0


def operate(
    design: MacDesign, clocks: list[dict[str, int]], operands: Iterable[tuple[np.ndarray, np.ndarray, bool]],
    rng: np.random.Generator,
) -> Iterator[Operation]:
    """Append clocks that perform operations, and yield those; the accumulator's input is left to `accumulate`."""
    half = 1 << (design.accumulator_bits - 1)
    for weights, activations, new in operands:
        held = {design.roles["weight"]: int(join_lanes(design.encode(weights)[None], design.weight_bits)[0])}
        if design.weight_mode == "stationary" and new:
            # One clock for each control, and the bubble: the weight stands a full cycle before it multiplies.
            clocks += [{**held, port: 1} for port in load_pulses(design)] + [dict(held)]
        acting = int(join_lanes(activations[None], design.activation_bits)[0])
        clocks.append({**held, design.roles["activation"]: acting})
        yield Operation(
            len(clocks) - 1, tuple(weights.tolist()), tuple(activations.tolist()), int(rng.integers(-half, half))
        )


def accumulate(design: MacDesign, clocks: list[dict[str, int]], operations: list[Operation]) -> None:
    """Put each operation's partial sum at the port in the clock it is due, in place."""
    for operation in operations:
        due = operation.clock + design.latency - design.accumulator_latency
        value = operation.accumulator % (1 << design.accumulator_bits)
        if design.is_redundant:
            # Two words that add up to it, both anything.
            carry = (operation.accumulator * SPLIT) % (1 << design.accumulator_bits)
            clocks[due][design.roles["accumulator_carry"]] = carry
            value = (value - carry) % (1 << design.accumulator_bits)
        clocks[due][design.roles["accumulator_in"]] = value


def complete(
    design: MacDesign, inputs: tuple[str, ...], wanted: Mapping[str, int], rng: np.random.Generator
) -> dict[str, int]:
    """Return a value for every input: what is wanted, else what compute mode holds, else a random one."""
    values = random_ports(design, inputs, rng)
    for port in inputs:
        held = 0 if port == design.reset else compute_value(design, port)
        values[port] = wanted.get(port, values[port] if held is None else held)
    return values


def random_ports(design: MacDesign, inputs: tuple[str, ...], rng: np.random.Generator) -> dict[str, int]:
    """Return random values for all inputs, with a rare reset."""
    values = {port: int(rng.integers(0, 1 << design.widths[port])) for port in inputs}
    if design.reset:
        values[design.reset] = int(rng.integers(0, CLOCKS_PER_RESET) == 0)
    return values


def follow(
    design: MacDesign, reference: Reference, inputs: tuple[str, ...], registers: tuple[str, ...],
    driven: list[dict[str, int]], rng: np.random.Generator, progress: Progress | None = None,
) -> list[tuple[int, ...] | None]:
    """Return the registers after each clock, None while power-up states still show in any of them."""
    state = {
        net: rng.integers(0, 2, POWER_UPS, dtype=np.uint8)
        for name in registers for net in bus_nets(name, design.widths)
    }
    expected: list[tuple[int, ...] | None] = []
    for done, values in enumerate(driven):
        if progress and done % CLOCKS_TOLD == 0:
            progress(done, len(driven))
        wires = Wires(design.widths, state | {
            net: np.full(POWER_UPS, values[port] >> bit & 1, dtype=np.uint8)
            for port in inputs for bit, net in enumerate(bus_nets(port, design.widths))
        })
        after = reference.next_state(wires, wrap, select)
        state = {net: bit for bus, value in after.items() for net, bit in bits_of(design, bus, value)}
        known = all((bit == bit[0]).all() for bit in state.values())
        expected.append(tuple(first_word(design, name, state) for name in registers) if known else None)
    if progress:
        progress(len(driven), len(driven))
    return expected


def bits_of(design: MacDesign, bus: str, value: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return the bits [power-up] of a word by net."""
    spread = np.broadcast_to(np.asarray(value, dtype=np.int64), POWER_UPS)
    nets = bus_nets(bus, design.widths)
    return [(net, (spread >> position & 1).astype(np.uint8)) for position, net in enumerate(nets)]


def first_word(design: MacDesign, name: str, state: Mapping[str, np.ndarray]) -> int:
    """Return a register's value in the first power-up, unsigned."""
    return sum(int(state[net][0]) << position for position, net in enumerate(bus_nets(name, design.widths)))


def check_operations(
    design: MacDesign, reference: Reference, operations: list[Operation], registers: tuple[str, ...],
    expected: list[tuple[int, ...] | None],
) -> None:
    """Check that each operation's result stands in the result register `latency` edges after its operands.

    Raises:
        SimulationError: it does not, or the registers are never all known.
    """
    bits = design.accumulator_bits
    columns = [registers.index(design.roles[role]) for role in ("result", "result_carry") if role in design.roles]
    for operation in operations:
        wanted = reference.result(operation.weights, operation.activations, operation.accumulator, wrap)
        found = expected[operation.clock + design.latency - 1]
        if found is None:
            raise SimulationError(
                f"{design.name}: registers still depend on power-up when operation {operation} ends; does reset or "
                f"raising {', '.join(load_pulses(design))} in turn set them all?"
            )
        value = wrap(sum(found[column] for column in columns), bits)
        if value != wrap(wanted, bits):
            raise SimulationError(
                f"{design.reference}: result() gives {wanted} for weights {operation.weights}, activations "
                f"{operation.activations}, accumulator {operation.accumulator}, but {design.latency} clocks of "
                f"next_state() give {value}; check latency, hold and the protocol."
            )
