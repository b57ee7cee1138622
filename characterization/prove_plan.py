"""prove_plan(): every clock class of a plan on a gate-level array, its counterparts that fail, and its energy books."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from characterization.array_element import array_element, element_core
from characterization.array_energy import ArrayBooks, EnergyCase, close_books
from characterization.array_icarus import ArrayAgreement, hold_array_against_icarus
from characterization.array_program import array_edge
from characterization.corner_stages import StageProgress
from characterization.design import MacDesign
from characterization.errors import ArtifactError
from characterization.netlist import Netlist
from characterization.pdk import Pdk
from characterization.pipeline import reopen
from characterization.profile import MacProfile
from characterization.proof_file import (
    ClassRecord,
    EnergyRecord,
    OutsideRecord,
    ProofRecord,
    ReplayRecord,
    RunRecord,
)
from characterization.proof_loads import find_witness, tile_loads, witness_load
from characterization.proof_vectors import ProofClass, ProofTile, ProofVectors
from characterization.prove import ClassProof, Outcome, ProveConfig, Silicon, prove_class
from characterization.timed import TimedNetlist

# Loads whose energy is summed.
ENERGY_LOADS = 8
# Steps of a load in the run that Icarus sees: several loads, so that weights are swapped in it.
ICARUS_STEPS = 24


@dataclass(frozen=True, slots=True)
class PlanProof:
    """What was seen of one clock class: timing, energy, and agreement with Icarus (None where it was not asked)."""

    timing: ClassProof
    books: ArrayBooks
    icarus: ArrayAgreement | None

    @property
    def holds(self) -> bool:
        """Whether the planned period is proved: nothing differs there, and the array can fail below."""
        held = not self.timing.planned.mismatches and not self.timing.planned.corrupted
        return held and self.timing.early.mismatches > 0 and (self.icarus is None or not self.icarus.differ)


@dataclass(frozen=True, slots=True)
class PlanProofConfig:
    """How a plan is proved.

    Attributes:
        array: size and amount.
        icarus_cycles: array cycles of each class held against Icarus; 0 for none.
        period_ps: in place of the planned ones; None for those.
        activations: in place of the recorded ones, int8 [step, row]; None for those.
        array_rtl: folder of the array's Verilog.
    """

    array: ProveConfig
    icarus_cycles: int = 200
    period_ps: float | None = None
    activations: np.ndarray | None = None
    array_rtl: Path = Path("rtl/systolic_array")


def to_record(
    vectors: ProofVectors, vectors_digest: str, config: PlanProofConfig, found: Sequence[PlanProof]
) -> ProofRecord:
    """Return what is kept of a proof, with the digests of what it ran."""
    array = config.array
    asked = {"rows": array.rows, "columns": array.columns, "tiles": array.tiles, "cycles": array.cycles,
             "seed": array.seed, "icarus_cycles": config.icarus_cycles, "period_ps": config.period_ps,
             "own_activations": config.activations is None}
    return ProofRecord(vectors.method, vectors.design, vectors.profile_digest, vectors.netlist_digest, vectors_digest,
                       asked, tuple(map(class_record, found)))


def class_record(found: PlanProof) -> ClassRecord:
    """Return what is kept of one class."""
    timing, clock, outside, replay = found.timing, found.timing.clock, found.timing.outsider, found.icarus
    energy = EnergyRecord(**{name: getattr(found.books, name) for name in EnergyRecord.__dataclass_fields__})
    return ClassRecord(
        clock.name, clock.corner, clock.voltage_v, clock.delay_ps, timing.tiles, timing.witnesses,
        run_record(timing.planned), run_record(timing.early), timing.shortest_ps,
        OutsideRecord(outside.weight, outside.certified_ps, run_record(outside.outcome)) if outside else None, energy,
        ReplayRecord(replay.cycles, replay.captures, replay.differ) if replay else None, found.holds)


def run_record(outcome: Outcome) -> RunRecord:
    """Return what is kept of one run."""
    return RunRecord(**asdict(outcome))


def check_origin(vectors: ProofVectors, profile: MacProfile) -> None:
    """Check that vectors and profile are of one design and one measurement.

    Raises:
        ArtifactError: they are not, with both digests.
    """
    if vectors.design != profile.head.design:
        raise ArtifactError(f"the plan of {vectors.method} is for {vectors.design}, the profile is of "
                            f"{profile.head.design}; name the plan's own with --profile.")
    if vectors.profile_digest != profile.digest:
        raise ArtifactError(f"the plan of {vectors.method} was made from profile {vectors.profile_digest[:12]}, this "
                            f"one is {profile.digest[:12]}; make the plan again with `halo run`.")


def prove_plan(
    vectors: ProofVectors, profile: MacProfile, design_path: Path, pdk: Pdk, config: PlanProofConfig, work: Path,
    progress: StageProgress,
) -> tuple[PlanProof, ...]:
    """Return the proof of every clock class that has tiles.

    Args:
        vectors: what the plan's folder holds.
        profile: that the plan was made from.
        design_path: a `design.toml` or its folder.
        pdk: the library.
        config: the array, and how much is run.
        work: cache and benches.
        progress: called with (stage, done, total).

    Raises:
        CharacterizationError: the plan is of another design or profile, or a stage failed.
    """
    check_origin(vectors, profile)
    corners = tuple(dict.fromkeys(name for item in vectors.classes for name in (item.corner, item.typical)))
    design, netlist, cores = reopen(profile, design_path, pdk, work, progress, corners)
    silicon = {core.corner.name: silicon_of(netlist, core.timed, design) for core in cores}
    folder = work / f"{design.name}-{pdk.name}" / "proof"
    cases = [Case(clock if config.period_ps is None else replace(clock, period_ps=config.period_ps), tiles, silicon)
             for clock in vectors.classes if (tiles := tiles_of(vectors, clock, config))]
    found = []
    # Icarus is one process beside our threads.
    with ThreadPoolExecutor(1) as beside:
        checks = [beside.submit(against_icarus, case, profile, config, folder / f"icarus-{place}")
                  for place, case in enumerate(cases) if config.icarus_cycles]
        for done, case in enumerate(cases):
            progress("proof at speed", done, len(cases))
            found.append(PlanProof(time_class(case, profile, config), close_class(case, profile, config, folder), None))
        progress("proof at speed", len(cases), len(cases))
        for done, check in enumerate(checks):
            progress("the same in Icarus", done, len(checks))
            found[done] = replace(found[done], icarus=check.result())
        if checks:
            progress("the same in Icarus", len(checks), len(checks))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Case:
    """One clock class, its tiles, and elements at every corner that the plan rests on."""

    clock: ProofClass
    tiles: tuple[ProofTile, ...]
    silicon: dict[str, Silicon]

    @property
    def slow(self) -> Silicon:
        """The element at the corner whose delay rules."""
        return self.silicon[self.clock.corner]


def tiles_of(vectors: ProofVectors, clock: ProofClass, config: PlanProofConfig) -> tuple[ProofTile, ...]:
    """Return the tiles of a class that are run."""
    found = [with_activations(tile, config) for tile in vectors.tiles if tile.clock_class == clock.name]
    return tuple(found[:config.array.tiles])


def silicon_of(netlist: Netlist, timed: TimedNetlist, design: MacDesign) -> Silicon:
    """Return the element of an array at the corner of `timed`."""
    element = array_element(netlist, timed, design)
    return Silicon(element, timed, element_core(element))


def with_activations(tile: ProofTile, config: PlanProofConfig) -> ProofTile:
    """Return a tile with the activations that are asked for."""
    return tile if config.activations is None else replace(tile, activations=config.activations)


def time_class(case: Case, profile: MacProfile, config: PlanProofConfig) -> ClassProof:
    """Return what the array does at the class's clock and below."""
    return prove_class(case.slow, case.clock, case.tiles, by_value(profile, profile.bound_ps(case.clock.corner)),
                       config.array)


def close_class(case: Case, profile: MacProfile, config: PlanProofConfig, folder: Path) -> ArrayBooks:
    """Return the energy of the class's tiles on the array, at the typical corner."""
    clock, typical = case.clock, case.silicon[case.clock.typical]
    index = profile.corner_index(clock.typical)
    tables = by_value(profile, profile.energy_fj[index]), by_value(profile, profile.register_energy_fj[index])
    steps = len(case.tiles[0].activations)
    loads = tile_loads(case.tiles, config.array.rows, config.array.columns, ENERGY_LOADS * (steps + 1))
    return close_books(EnergyCase(typical.element, typical.core, typical.timed, clock.period_ps, *tables), loads,
                       folder)


def by_value(profile: MacProfile, row: np.ndarray) -> dict[int, float]:
    """Return a profile's row by weight value."""
    return dict(zip(profile.weights.tolist(), row.tolist(), strict=True))


def against_icarus(case: Case, profile: MacProfile, config: PlanProofConfig, folder: Path) -> ArrayAgreement:
    """Return how far Icarus agrees at the planned period, over real data and the slowest value's witness."""
    array, slow = config.array, case.slow
    short = [replace(tile, activations=tile.activations[:ICARUS_STEPS]) for tile in case.tiles]
    loads = tile_loads(short, array.rows, array.columns, config.icarus_cycles)
    delays_ps = by_value(profile, profile.bound_ps(case.clock.corner))
    worst = max(case.clock.codes, key=lambda code: (delays_ps[code], -code))
    witness = find_witness(slow.element, slow.core, slow.timed, worst, 2 * max(delays_ps.values()), array.seed)
    few = replace(witness, before=witness.before[:, :ICARUS_STEPS // 2])
    loads.insert(1, witness_load(few, loads[0]))
    edge = array_edge(slow.element, loads)
    return hold_array_against_icarus(slow.element, slow.core, edge, array.rows, case.clock.period_ps,
                                     config.array_rtl, folder)


__all__ = ["PlanProof", "PlanProofConfig", "check_origin", "prove_plan", "to_record"]
