"""close_books(): the energy of a gate-level array over all nets and registers, against what the tables predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from characterization.array_element import ArrayElement
from characterization.array_program import Edge, Load, array_edge, array_program
from characterization.array_run import ArrayTrace, run_array
from characterization.benches.operands import Recorded, StimulusConfig
from characterization.clocked import ElementCore, Program
from characterization.energy import simulate_weights
from characterization.timed import TimedNetlist

# Runs of steps of single elements that the table is measured with: spread over rows, columns and time.
RUNS, RUN_STEPS = 16, 64


@dataclass(frozen=True, slots=True)
class ArrayBooks:
    """Energy of an array that computes, leakage apart; per operation, one element in one cycle, unless it says else.

    Attributes:
        array_fj: over all nets and registers of the array, weight loading included.
        table_fj: the tables' prediction: of each weight under the activations and partial sums that were met, plus what
            loading costs.
        profile_fj: what the profile says of the same weights, under its own stimulus: what a plan is charged.
        register_fj: the part of `array_fj` inside flops and clock pins.
        zero_fj: the same activations through an array of zeros.
        loading_fj: of one load, for each element of it.
        charged_loading_fj: what an accelerator's account charges for it.
        operations: the elements' cycles that were summed.
    """

    array_fj: float
    table_fj: float
    profile_fj: float
    register_fj: float
    zero_fj: float
    loading_fj: float
    charged_loading_fj: float
    operations: int

    @property
    def error(self) -> float:
        """By which share of the array's energy the tables are off."""
        return self.table_fj / self.array_fj - 1


@dataclass(frozen=True, eq=False)
class EnergyCase:
    """What the books of one class are closed over.

    Attributes:
        timed: abutted to itself, at the corner whose energy counts.
        period_ps: of the clock.
        energy_fj, register_fj: the profile's, by weight value.
    """

    element: ArrayElement
    core: ElementCore
    timed: TimedNetlist
    period_ps: float
    energy_fj: dict[int, float]
    register_fj: dict[int, float]


def close_books(case: EnergyCase, loads: Sequence[Load], work: Path) -> ArrayBooks:
    """Return the energy of an array that runs `loads`, and the tables' prediction of it.

    Args:
        case: the element and its tables.
        loads: real data.
        work: folder for the table's simulation.
    """
    rows, columns = loads[0].weights.shape
    edge = array_edge(case.element, loads)
    program = array_program(case.element, edge, rows)
    trace = run_array(case.element, case.core, program, case.period_ps, record=True)
    operations = trace.counted_cycles * rows * columns
    loading_fj = measure_loading(case, loads)
    n_loads = int(edge.swap[edge.computing].sum())
    table = table_under(case, edge, program, trace, rows, work)
    met = held_weights(loads, edge)
    zeros = [replace(load, weights=np.zeros_like(load.weights)) for load in loads]
    blank = run_array(case.element, case.core, array_program(case.element, array_edge(case.element, zeros), rows),
                      case.period_ps)
    per_load = loading_fj * rows * columns * n_loads / operations
    return ArrayBooks(
        array_fj=total_fj(trace) / operations, table_fj=mean_over(table, met) + per_load,
        profile_fj=mean_over(case.energy_fj, met), register_fj=float(trace.register_fj.sum()) / operations,
        zero_fj=total_fj(blank) / operations, loading_fj=loading_fj,
        charged_loading_fj=charged_loading(case, rows), operations=operations,
    )


def total_fj(trace: ArrayTrace) -> float:
    """Return all energy of a run."""
    return float(trace.data_fj.sum() + trace.register_fj.sum())


def held_weights(loads: Sequence[Load], edge: Edge) -> dict[int, float]:
    """Return how many element cycles each weight value computes in, of those that are counted."""
    spans = np.diff([*np.flatnonzero(edge.swap), edge.computing.stop - 2])
    met: dict[int, float] = {}
    for load, span in zip(loads, spans, strict=True):
        values, counts = np.unique(load.weights, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            met[value] = met.get(value, 0.0) + float(count * span)
    return met


def mean_over(energy_fj: dict[int, float], met: dict[int, float]) -> float:
    """Return the mean energy of an operation over the weights that were met."""
    return sum(energy_fj[value] * count for value, count in met.items()) / sum(met.values())


def table_under(
    case: EnergyCase, edge: Edge, program: Program, trace: ArrayTrace, rows: int, work: Path
) -> dict[int, float]:
    """Return the mean energy of each weight value under the operands that the array met, whichever element met them."""
    design = case.element.design
    activations, sums, carries = met_operands(case.element, program, trace, computing_runs(edge, rows, program.columns))
    values = sorted(held_values(edge, case.element))
    recorded = Recorded(activations[:, None], sums, carries)
    config = StimulusConfig(0, 1, tuple(values), recorded)
    found = simulate_weights(case.timed, design, config, work, workers=1)
    return dict(zip(found.weights, found.mean_fj.tolist(), strict=True))


def held_values(edge: Edge, element: ArrayElement) -> set[int]:
    """Return the weight values that are ever loaded."""
    codes = element.design.encode(np.array(element.design.weights))
    by_code = dict(zip(codes.tolist(), element.design.weights, strict=True))
    return {by_code[code] for code in np.unique(edge.weights[edge.shift]).tolist()}


def computing_runs(edge: Edge, rows: int, columns: int) -> list[tuple[int, int]]:
    """Return (element, first cycle) of runs of steps in which an element computes without a break."""
    lanes = np.linspace(0, rows * columns - 1, RUNS).round().astype(int)
    starts = np.flatnonzero(edge.valid[1:] & ~edge.valid[:-1]) + 1
    lengths = [int(np.argmin(np.append(edge.valid[start:], False))) for start in starts]
    found = []
    for place, lane in enumerate(lanes.tolist()):
        at = place % len(starts)
        room = max(0, lengths[at] - RUN_STEPS)
        offset = room * (place // len(starts)) // max(1, RUNS // len(starts))
        found.append((lane, int(starts[at]) + lane // columns + lane % columns + min(offset, room)))
    return found


def met_operands(
    element: ArrayElement, program: Program, trace: ArrayTrace, runs: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return activations, sums and carries on the ports of some elements in some runs of cycles, int64 [step]."""
    design = element.design
    names = [design.roles["activation"], design.roles["accumulator_in"], design.roles.get("accumulator_carry", "")]
    words = [np.concatenate([word_on(element, program, trace, name, lane, start) for lane, start in runs])
             for name in names]
    half = 1 << design.activation_bits - 1
    return (words[0] + half) % (2 * half) - half, signed(words[1], design.accumulator_bits), words[2]


def signed(words: np.ndarray, bits: int) -> np.ndarray:
    """Return two's complement words as numbers."""
    return (words + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def word_on(
    element: ArrayElement, program: Program, trace: ArrayTrace, port: str, lane: int, start: int
) -> np.ndarray:
    """Return what stood on one port of an element in `RUN_STEPS` cycles from `start`, int64 [step]."""
    flop_of = {net: (place, inverted) for place, flop in enumerate(element.flops)
               for net, inverted in ((flop.q, False), (flop.complement, True)) if net is not None}
    word = np.zeros(RUN_STEPS, np.int64)
    columns = program.columns
    for place, bit in enumerate(element.ports):
        if bit.port != port:
            continue
        outer = lane < columns if bit.above else lane % columns == 0
        if outer or bit.follows is None:
            values = program.driven[start:start + RUN_STEPS, lane, place].astype(np.int64)
        else:
            flop, inverted = flop_of[bit.follows]
            neighbour = lane - (columns if bit.above else 1)
            # What was captured at the end of a cycle stands on the ports in the next.
            captured = trace.states[start - 1:start - 1 + RUN_STEPS, neighbour, flop].astype(np.int64)
            values = captured ^ inverted ^ bit.inverted
        word[:len(values)] |= values << bit.bit
    return word


def measure_loading(case: EnergyCase, loads: Sequence[Load]) -> float:
    """Return the energy of shifting in one load's weights, for each of its elements.

    The array computes with its first weights throughout; in one run the others are shifted in behind them, and never
    swapped, in the other nothing is.
    """
    rows, columns = loads[0].weights.shape
    quiet = array_edge(case.element, loads[:1])
    steps = np.flatnonzero(quiet.valid)
    busy = replace(quiet, weights=quiet.weights.copy(), shift=quiet.shift.copy())
    starts = range(int(steps[0]) + 1, int(steps[-1]) - 2 * rows - columns, rows + 1)
    for place, start in enumerate(starts):
        busy.shift[start:start + rows] = True
        load = loads[(place + 1) % len(loads)]
        busy.weights[start:start + rows] = case.element.design.encode(load.weights)[::-1]
    spent = [total_fj(run_array(case.element, case.core, array_program(case.element, edge, rows), case.period_ps))
             for edge in (busy, quiet)]
    return float((spent[0] - spent[1]) / (max(1, len(starts)) * rows * columns))


def charged_loading(case: EnergyCase, rows: int) -> float:
    """Return what `halo`'s systolic account charges for a load and element: the weight's share of the registers.

    Row r of the array shifts in the clocks r .. rows-1 of a load.
    """
    design = case.element.design
    share = design.weight_bits / (design.weight_bits + design.activation_bits + design.accumulator_bits)
    return float((rows + 1) / 2 * share * np.mean(list(case.register_fj.values())))
