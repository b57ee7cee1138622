"""profile_mac(): the stages from Verilog to MacProfile, in order. What was done before is not done again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from characterization.annotation import annotate
from characterization.artifact import Provenance, cached, digest_file
from characterization.benches.functional import BenchConfig, FunctionalResult, Level, run_functional
from characterization.benches.operands import n_transitions
from characterization.corner_grid import speed_of
from characterization.corner_library import read_corner
from characterization.corner_stages import (
    Bench,
    CharacterizeConfig,
    CornerCore,
    CornerResult,
    StageProgress,
    measure_corner,
)
from characterization.design import MacDesign, read_design
from characterization.equivalence import prove_equivalent
from characterization.errors import ArtifactError
from characterization.netlist import Netlist, abut
from characterization.pair_energy import PairEnergy
from characterization.pdk import Corner, Pdk, pdk_from_liberty, read_pdk
from characterization.profile import CERTIFIED, MacProfile, ProfileHead
from characterization.search import fastest
from characterization.set_certificate import RESOLUTION_PS, merge_certificates

__all__ = ["CharacterizeConfig", "profile_mac", "reopen", "run_benches", "select_pdk", "slowest"]


def select_pdk(name: str, liberty: list[Path] | None, root: Path | None = None) -> Pdk:
    """Return the PDK of the command line's options: Liberty files win over a name."""
    return pdk_from_liberty(*liberty) if liberty else read_pdk(name, root)


def slowest(pdk: Pdk) -> Corner:
    """Return the corner that synthesis sees: slow process first, then the lowest voltage."""
    return min(pdk.corners, key=lambda corner: (speed_of(corner.process) != "slow", corner.voltage_v, corner.temp_c))


def profile_mac(
    design_path: Path, pdk: Pdk, corners: Sequence[Corner], config: CharacterizeConfig, work: Path,
    progress: StageProgress,
) -> MacProfile:
    """Return the profile of a MAC design at some corners of `pdk`.

    Args:
        design_path: a `design.toml` or its folder.
        pdk: the library; one netlist, mapped at its slowest corner, serves all corners.
        corners: where it is measured; see `choose_corners`.
        config: the stimulus.
        work: cache and logs.
        progress: called with (stage, done, total).

    Raises:
        CharacterizationError: any stage failed; see `errors.py`.
    """
    design = read_design(design_path)
    folder = work / f"{design.name}-{pdk.name}"
    netlist = map_design(design, pdk, folder, progress)
    prove(netlist, design, pdk, folder, progress)
    bench = Bench(design, abut(netlist, design.neighbours), config, folder)
    # All corners are annotated before any is simulated: a cell that one of them lacks must not cost minutes to find.
    cores = annotate_all(bench, corners, progress)
    results = [measure_corner(bench, core, progress) for core in cores]
    return assemble(bench, pdk, netlist, results)


def reopen(
    profile: MacProfile, design_path: Path, pdk: Pdk, work: Path, progress: StageProgress,
    corners: Sequence[str] = (),
) -> tuple[MacDesign, Netlist, tuple[CornerCore, ...]]:
    """Return the design of a profile, its netlist, and that annotated at the profile's corners, to measure more of it.

    Args:
        profile: of the design.
        design_path: a `design.toml` or its folder.
        pdk: the library.
        work: cache.
        progress: called with (stage, done, total).
        corners: some of the profile's, by name; none for all of them.

    Raises:
        ArtifactError: what is mapped now is not the profile's netlist.
        CharacterizationError: a stage failed.
    """
    design = read_design(design_path)
    folder = work / f"{design.name}-{pdk.name}"
    netlist = map_design(design, pdk, folder, progress)
    if netlist.digest != profile.head.netlist_digest:
        raise ArtifactError(f"{design.name} on {pdk.name} maps to netlist {netlist.digest[:12]}, the profile is of "
                            f"{profile.head.netlist_digest[:12]}: Verilog, cells or Yosys have changed; run "
                            "`characterize run` again.")
    bench = Bench(design, abut(netlist, design.neighbours), CharacterizeConfig(), folder)
    names = [profile.corners[index] for index in profile.corner_indices(corners or profile.corners)]
    return design, netlist, tuple(annotate_all(bench, [pdk.corner(name) for name in names], progress))


def annotate_all(bench: Bench, corners: Sequence[Corner], progress: StageProgress) -> list[CornerCore]:
    """Return the netlist annotated at every corner."""
    cores = []
    for done, corner in enumerate(corners):
        progress("cell libraries", done, len(corners))
        library = read_corner(corner)
        cores.append(CornerCore(corner, library, annotate(bench.joined, library, corner, bench.design.clock)))
    progress("cell libraries", len(corners), len(corners))
    return cores


def map_design(design: MacDesign, pdk: Pdk, folder: Path, progress: StageProgress) -> Netlist:
    """Return the fastest netlist at the slowest corner, from the cache when nothing that it depends on has changed."""
    return fastest(design, slowest(pdk), pdk.dont_use, folder, partial(progress, "synthesis"))[0]


def prove(netlist: Netlist, design: MacDesign, pdk: Pdk, folder: Path, progress: StageProgress) -> None:
    """Prove the netlist equal to its reference, unless this very netlist and reference were proved before."""
    inputs = {"netlist": netlist.digest, "reference": digest_file(design.reference)}
    provenance = Provenance("equivalence", inputs, {"design": design.name, "version": 1},
                            {"python-sat": version("python-sat")})  # fmt: skip
    tick = partial(progress, "equivalence proof")

    def build() -> str:
        proof = prove_equivalent(netlist, design, read_corner(slowest(pdk)), tick)
        return json.dumps(asdict(proof), sort_keys=True) + "\n"

    tick(0, 1)
    cached(folder, provenance, ".json", build)
    tick(1, 1)


def assemble(bench: Bench, pdk: Pdk, netlist: Netlist, results: Sequence[CornerResult]) -> MacProfile:
    """Return the corners' results as one profile; its construction checks that delays do not contradict each other."""
    design, timed = bench.design, [result.core.timed for result in results]
    corners = [result.core.corner for result in results]
    head = ProfileHead(
        design.name, design.weight_mode, design.weight_bits, design.activation_bits, design.accumulator_bits,
        len(design.lanes), pdk.name, netlist.digest, len(netlist.cells), timed[0].area_um2, results[0].stimulus,
        sum(core.lookups_outside for core in timed), notes_of(results),
    )  # fmt: skip
    unknown = {name: np.full(bench.weights.size, np.nan) for name in CERTIFIED}
    rows = [unknown | dict(result.figures) for result in results]
    measured: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    count = n_transitions(design, bench.stimulus)
    settings = {"transitions": count, "activations": bench.config.activations, "seed": bench.config.seed,
                "certify": bench.config.certify, "time_limit_s": bench.config.time_limit_s,
                "recipe": fastest(design, slowest(pdk), pdk.dont_use, bench.folder)[1].recipe}  # fmt: skip
    if design.weight_mode == "streaming":
        settings["pair_transitions"] = bench.config.pair_transitions
    inputs = {"netlist": netlist.digest, "design": bench.inputs["design"]}
    inputs |= {f"liberty {corner.name}": "+".join(map(digest_file, corner.liberty)) for corner in corners}
    return MacProfile(
        head, bench.weights, tuple(corner.name for corner in corners), tuple(corner.process for corner in corners),
        tuple(between(corner) for corner in corners), n_transitions=count,
        leakage_nw=np.array([core.leakage_nw for core in timed]),
        voltage_v=np.array([corner.voltage_v for corner in corners]),
        temp_c=np.array([corner.temp_c for corner in corners]),
        provenance=Provenance("profile", inputs, settings, {n: version(n) for n in ("pyosys", "python-sat", "numpy")},
                              bench.config.seed),
        pairs=pairs_of(bench, results),
        certificates=merge_certificates((), [item for result in results for item in result.certificates]),
        **measured,
    )  # fmt: skip


def pairs_of(bench: Bench, results: Sequence[CornerResult]) -> PairEnergy | None:
    """Return the energies of pairs of all corners where they were measured; None if nowhere."""
    if all(result.pairs is None for result in results):
        return None
    n = bench.weights.size
    unknown = np.full((n, n), np.nan, np.float32)
    tables = [result.pairs or (unknown, unknown) for result in results]
    return PairEnergy(bench.config.pair_transitions, len(bench.design.lanes), np.stack([table[0] for table in tables]),
                      np.stack([table[1] for table in tables]))


def between(corner: Corner) -> str:
    """Return the two corners that a corner's cells are interpolated between; '' if they were measured."""
    return " and ".join(near.name for near in corner.interpolated) if corner.interpolated else ""


def notes_of(results: Sequence[CornerResult]) -> tuple[str, ...]:
    """Return what a reader of the profile must know, one sentence each."""
    notes = []
    for source in dict.fromkeys(result.core.library.multi_input_source for result in results):
        notes.append(f"Several inputs switching at once: {source or 'one input switches at a time'}.")
    if any("certified_ps" not in result.figures for result in results):
        notes.append("No certified delays: the bounds are topological.")
    elif brackets := sum(int((r.figures["certified_ps"] > r.figures["certified_lower_ps"] + RESOLUTION_PS).sum())
                         for r in results):  # fmt: skip
        notes.append(f"{brackets} certified delays are proved, but not known to be attained: the time limit struck.")
    tightest = min(results, key=lambda result: float(np.nan_to_num(result.figures["hold_slack_ps"], nan=np.inf)))
    if tightest.hold_endpoint:
        slack_ps = float(tightest.figures["hold_slack_ps"])
        notes.append(f"Hold: tightest at {tightest.core.corner.name}, {tightest.hold_endpoint}: {slack_ps:.1f} ps.")
    return tuple(notes)


def run_benches(
    design_path: Path, pdk: Pdk, levels: Sequence[Level], corner_name: str | None, config: BenchConfig, work: Path,
    progress: StageProgress,
) -> tuple[FunctionalResult, ...]:
    """Return the functional benches at some levels, each against `reference.py`.

    Args:
        design_path: a `design.toml` or its folder.
        pdk: the library of the netlist.
        levels: RTL, or the mapped netlist.
        corner_name: whose delays the netlist has; None for the corner that synthesis sees.
        config: operands, clock, waveforms.
        work: cache, benches and logs.
        progress: called with (stage, done, total).

    Raises:
        CharacterizationError: a mismatch, with its clock and register, or a stage that failed.
    """
    design = read_design(design_path)
    corner = pdk.corner(corner_name) if corner_name else slowest(pdk)
    folder, found = work / f"{design.name}-{pdk.name}", []
    for level in levels:
        timed = None
        if level == "netlist":
            timed = annotate(map_design(design, pdk, folder, progress), read_corner(corner), corner, design.clock)
        found.append(run_functional(design, folder, timed, config, progress))
    return tuple(found)
