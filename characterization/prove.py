"""prove_class(): tiles of one clock class on a gate-level array, at the planned period, and where it would fail."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from characterization.array_element import ArrayElement
from characterization.array_program import Load, array_edge, array_program
from characterization.array_run import ArrayTrace, run_array
from characterization.clocked import NOTHING, ElementCore, Program
from characterization.errors import SimulationError
from characterization.proof_loads import Witness, find_witness, tile_loads, witness_load
from characterization.proof_vectors import ProofClass, ProofTile
from characterization.timed import TimedNetlist

# Periods are told apart by this much.
STEP_PS = 1.0
# The slowest values of a class whose witnesses run beside its data.
WITNESSES = 4
STREAMS = 8


@dataclass(frozen=True, slots=True)
class ProveConfig:
    """How a plan is proved.

    Attributes:
        rows, columns: of the array.
        tiles: of each class.
        cycles: of the array, for each class, at least.
        seed: of the states from which witnesses are entered.
        workers: threads; results do not depend on it.
    """

    rows: int = 4
    columns: int = 4
    tiles: int = 1
    cycles: int = 20_000
    seed: int = 1
    workers: int = 2


@dataclass(frozen=True, eq=False)
class Silicon:
    """The element of an array at one corner.

    Attributes:
        timed: abutted to itself, as certificates have it.
        core: the element as flat arrays.
    """

    element: ArrayElement
    timed: TimedNetlist
    core: ElementCore


@dataclass(frozen=True, slots=True)
class Outcome:
    """What several streams through an array came to, together.

    Attributes:
        period_ps: of the clock.
        cycles, results: run, and compared.
        mismatches: results and valid marks that differ from the integer reference.
        corrupted: captures that counted and moved within their setup window.
        latest_ps: latest requirement, last edge plus setup, of a capture that counts.
    """

    period_ps: float
    cycles: int
    results: int
    mismatches: int
    corrupted: int
    latest_ps: float

    @property
    def slack_ps(self) -> float:
        """The worst slack seen."""
        return self.period_ps - self.latest_ps


@dataclass(frozen=True, slots=True)
class Outsider:
    """A slow value outside the codebook, driven by its witness at the class's own delay, nothing added.

    Attributes:
        weight, certified_ps: the value and what is certified of it.
        hidden: whether it still meets timing: then the class is no faster than all values, and counts as no gain.
    """

    weight: int
    certified_ps: float
    outcome: Outcome

    @property
    def hidden(self) -> bool:
        """Whether nothing went wrong."""
        return self.outcome.mismatches == 0


@dataclass(frozen=True, slots=True)
class ClassProof:
    """What was seen of one clock class.

    Attributes:
        tiles: where they are from.
        planned: the run at the planned period.
        witnesses: (value, certified, reached) of the slowest values.
        early: the run one step below the latest requirement of the planned run: it must fail.
        shortest_ps: the shortest period at which nothing differs, in steps of `STEP_PS`; that of a passing run.
        outsider: None where the class has all values.
    """

    clock: ProofClass
    tiles: tuple[str, ...]
    planned: Outcome
    witnesses: tuple[tuple[int, float, float], ...]
    early: Outcome
    shortest_ps: float
    outsider: Outsider | None


def prove_class(
    silicon: Silicon, clock: ProofClass, tiles: Sequence[ProofTile], delays_ps: dict[int, float], config: ProveConfig,
) -> ClassProof:
    """Return what an array does with tiles of a class at its period, and below.

    Args:
        silicon: the element at the corner whose delay rules.
        clock: the class.
        tiles: of it.
        delays_ps: bound of every weight value at that corner.
        config: the array, and how much is run.

    Raises:
        SimulationError: the class has no tile, or nothing moves.
    """
    if not tiles:
        raise SimulationError(f"class {clock.name} has no tile among the proof vectors.")
    loads = tile_loads(tiles, config.rows, config.columns, config.cycles)
    slowest = sorted(clock.codes, key=lambda code: (-delays_ps[code], code))[:WITNESSES]
    settled_ps = 2 * max(delays_ps.values())
    witnesses = [find_witness(silicon.element, silicon.core, silicon.timed, code, settled_ps, config.seed)
                 for code in slowest]
    programs = stream_programs(silicon, loads, witnesses, config)
    planned = play(silicon, programs, clock.period_ps, config)
    early = play(silicon, programs, planned.latest_ps - STEP_PS, config, stop=True)
    return ClassProof(
        clock, tuple(tile.origin for tile in tiles), planned,
        tuple((one.weight, one.certified_ps, one.reached_ps) for one in witnesses), early,
        shortest_period(silicon, programs, planned, early, config),
        try_outsider(silicon, clock, loads[0], delays_ps, config),
    )


def stream_programs(
    silicon: Silicon, loads: Sequence[Load], witnesses: Sequence[Witness], config: ProveConfig
) -> list[Program]:
    """Return independent streams, each with its share of the loads, the witnesses' among them."""
    n_streams = min(STREAMS, len(loads))
    streams: list[list[Load]] = [list(loads[index::n_streams]) for index in range(n_streams)]
    for place, witness in enumerate(witnesses):
        stream = streams[place % n_streams]
        stream.insert(len(stream) // 2, witness_load(witness, stream[0]))
    return [array_program(silicon.element, array_edge(silicon.element, stream), config.rows) for stream in streams]


def play(
    silicon: Silicon, programs: Sequence[Program], period_ps: float, config: ProveConfig, *, stop: bool = False
) -> Outcome:
    """Return what all streams come to at a period; with `stop`, up to the first stream that goes wrong."""
    traces: list[ArrayTrace] = []
    pool = ThreadPoolExecutor(max(1, config.workers))
    runs = [pool.submit(run_array, silicon.element, silicon.core, program, period_ps, stop_when_wrong=stop)
            for program in programs]
    try:
        for run in runs:
            traces.append(run.result())
            if stop and traces[-1].mismatches:
                break
    finally:
        pool.shutdown(cancel_futures=True)
    results = sum(int((program.expected[:trace.cycles] != NOTHING).sum())
                  for program, trace in zip(programs, traces, strict=False))
    return Outcome(
        period_ps, sum(trace.cycles for trace in traces), results, sum(trace.mismatches for trace in traces),
        sum(int(trace.corrupted.sum()) for trace in traces), max(trace.latest_ps for trace in traces))


def shortest_period(
    silicon: Silicon, programs: Sequence[Program], planned: Outcome, early: Outcome, config: ProveConfig
) -> float:
    """Return the shortest period without mismatches, down to `STEP_PS`: galloping down, then halving.

    Shorter periods are taken to fail where one does.
    """
    if planned.mismatches:
        return float("nan")

    def passes(period_ps: float) -> bool:
        return play(silicon, programs, period_ps, config, stop=True).mismatches == 0

    good_ps, bad_ps = planned.period_ps, 0.0
    if passes(planned.latest_ps):
        good_ps = planned.latest_ps
    if early.mismatches and good_ps == planned.latest_ps:
        return good_ps
    step_ps, tried_ps = 2 * STEP_PS, good_ps - STEP_PS
    while tried_ps > 0 and passes(tried_ps):
        good_ps, tried_ps, step_ps = tried_ps, tried_ps - step_ps, 2 * step_ps
    bad_ps = max(tried_ps, 0.0)
    while good_ps - bad_ps > STEP_PS:
        middle_ps = bad_ps + np.ceil((good_ps - bad_ps) / 2)
        good_ps, bad_ps = (middle_ps, bad_ps) if passes(middle_ps) else (good_ps, middle_ps)
    return float(good_ps)


def try_outsider(
    silicon: Silicon, clock: ProofClass, beside: Load, delays_ps: dict[int, float], config: ProveConfig
) -> Outsider | None:
    """Return what the slowest value outside a class does at the class's delay; None where it has all values."""
    outside = sorted(set(delays_ps) - set(clock.codes), key=lambda code: (-delays_ps[code], code))
    if not outside:
        return None
    witness = find_witness(silicon.element, silicon.core, silicon.timed, outside[0], 2 * max(delays_ps.values()),
                           config.seed)
    load = witness_load(witness, beside)
    program = array_program(silicon.element, array_edge(silicon.element, [load]), config.rows)
    return Outsider(outside[0], witness.certified_ps, play(silicon, [program], clock.delay_ps, config))
