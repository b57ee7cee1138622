"""profile_mac(): the stages from Verilog to MacProfile, in order. What was done before is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from characterization.annotation import annotate
from characterization.artifact import Provenance, cached, digest_file
from characterization.benches.activity import check_observed
from characterization.benches.functional import FunctionalResult, run_functional
from characterization.benches.stimulus import StimulusConfig
from characterization.corner_library import read_corner
from characterization.design import MacDesign, read_design
from characterization.energy import CoreActivity, simulate_weights
from characterization.equivalence import prove_equivalent
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist, abut
from characterization.pdk import Corner, Pdk, pdk_from_liberty, read_pdk
from characterization.profile import WEIGHTS, MacProfile, ProfileHead
from characterization.synthesis import synthesize
from characterization.timed import TimedNetlist
from characterization.timing import floor_ps, sta_ps, topological_ps

# Called with (stage, done, total).
StageProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class CharacterizeConfig:
    """What is simulated: transitions for each weight, the seed of the stimulus, and simulator processes."""

    transitions: int = 300
    seed: int = 1
    workers: int = 2


@dataclass(frozen=True, eq=False)
class CornerResult:
    """Everything measured at one corner."""

    corner: Corner
    timed: TimedNetlist
    topological_ps: np.ndarray
    sta_ps: np.ndarray
    floor_ps: float
    activity: CoreActivity


def select_pdk(name: str, liberty: list[Path] | None, corner: str | None, root: Path | None = None) -> Pdk:
    """Return the PDK of the command line's options: Liberty files win over a name; one corner if one is named."""
    pdk = pdk_from_liberty(*liberty) if liberty else read_pdk(name, root)
    return replace(pdk, corners=(pdk.corner(corner),)) if corner else pdk


def slowest(pdk: Pdk) -> Corner:
    """Return the corner that synthesis sees: slow process first, then the lowest voltage."""
    return min(pdk.corners, key=lambda corner: (not corner.process.startswith("s"), corner.voltage_v, corner.temp_c))


def profile_mac(
    design_path: Path, pdk: Pdk, config: CharacterizeConfig, work: Path, progress: StageProgress
) -> MacProfile:
    """Return the profile of a MAC design on every corner of `pdk`.

    Args:
        design_path: a `design.toml` or its folder.
        pdk: library and corners; one netlist serves them all.
        config: the stimulus.
        work: cache and logs.
        progress: called with (stage, done, total).

    Raises:
        CharacterizationError: any stage failed; see `errors.py`.
    """
    design = read_design(design_path)
    folder = work / f"{design.name}-{pdk.name}"
    library = read_corner(slowest(pdk))
    netlist = map_design(design, pdk, folder, progress)
    prove(netlist, design, library, folder, progress)
    joined = abut(netlist, design.neighbours)
    # All corners are annotated before any is simulated: a cell that one of them lacks must not cost minutes to find.
    cores = [annotate(joined, read_corner(corner), corner, design.clock) for corner in pdk.corners]
    results = [measure(joined, timed, design, corner, config, folder, progress)
               for corner, timed in zip(pdk.corners, cores, strict=True)]
    return assemble(design, pdk, netlist, config, results)


def map_design(design: MacDesign, pdk: Pdk, folder: Path, progress: StageProgress) -> Netlist:
    """Return the mapped netlist, from the cache when sources, library and Yosys are the same."""
    progress("synthesis", 0, 1)
    corner = slowest(pdk)
    inputs = {f"source {path.name}": digest_file(path) for path in design.sources}
    inputs |= {f"liberty {path.name}": digest_file(path) for path in corner.liberty}
    config = {"top": design.top, "parameters": dict(design.parameters), "dont_use": list(pdk.dont_use),
              "widths": dict(design.widths), "version": 1}  # fmt: skip
    provenance = Provenance("synthesis", inputs, config, {"pyosys": version("pyosys")})
    text, _ = cached(
        folder, provenance, ".json", lambda: synthesize(design, corner.liberty, folder, pdk.dont_use).to_text()
    )
    progress("synthesis", 1, 1)
    return Netlist.from_text(text)


def prove(netlist: Netlist, design: MacDesign, library: CellLibrary, folder: Path, progress: StageProgress) -> None:
    """Prove the netlist equal to its reference, unless this very netlist and reference were proved before."""
    inputs = {"netlist": netlist.digest, "reference": digest_file(design.reference)}
    provenance = Provenance("equivalence", inputs, {"design": design.name, "version": 1},
                            {"python-sat": version("python-sat")})  # fmt: skip
    tick = partial(progress, "equivalence proof")

    def build() -> str:
        return json.dumps(asdict(prove_equivalent(netlist, design, library, tick)), sort_keys=True) + "\n"

    tick(0, 1)
    cached(folder, provenance, ".json", build)
    tick(1, 1)


def measure(
    joined: Netlist, timed: TimedNetlist, design: MacDesign, corner: Corner, config: CharacterizeConfig, folder: Path,
    progress: StageProgress,
) -> CornerResult:
    """Return delays and activity at one corner; every simulated transition is checked against the bound."""
    bound = topological_ps(timed, design, WEIGHTS)
    stimulus = StimulusConfig(config.transitions, config.seed)
    tick = partial(progress, f"simulation {corner.name}")
    activity = simulate_weights(timed, design, stimulus, folder / corner.name, config.workers, tick)
    check_observed(activity.weights, activity.settle_ps, bound)
    static = sta_ps(joined, read_corner(corner), design, WEIGHTS)
    return CornerResult(corner, timed, bound, static, floor_ps(timed, design), activity)


def assemble(
    design: MacDesign, pdk: Pdk, netlist: Netlist, config: CharacterizeConfig, results: list[CornerResult]
) -> MacProfile:
    """Return the corners' results as one profile."""
    first = results[0].timed
    head = ProfileHead(
        design.name, design.weight_mode, design.weight_bits, design.activation_bits, design.accumulator_bits,
        len(design.lanes), pdk.name, netlist.digest, len(netlist.cells), first.area_um2,
        results[0].activity.description, sum(result.timed.lookups_outside for result in results),
    )
    inputs = {"netlist": netlist.digest, "design": digest_file(design.folder / "design.toml")}
    inputs |= {f"liberty {r.corner.name}": "+".join(map(digest_file, r.corner.liberty)) for r in results}
    tools = {name: version(name) for name in ("pyosys", "cocotb", "numpy")}
    settings = {"transitions": config.transitions, "seed": config.seed}
    return MacProfile(
        head, tuple(result.corner.name for result in results),
        topological_ps=np.stack([r.topological_ps for r in results]), sta_ps=np.stack([r.sta_ps for r in results]),
        observed_ps=np.stack([r.activity.observed_ps for r in results]),
        energy_fj=np.stack([r.activity.mean_fj for r in results]),
        energy_std_fj=np.stack([r.activity.std_fj for r in results]),
        register_energy_fj=np.stack([r.activity.register_fj for r in results]), n_transitions=config.transitions,
        floor_ps=np.array([r.floor_ps for r in results]), leakage_nw=np.array([r.timed.leakage_nw for r in results]),
        voltage_v=np.array([r.corner.voltage_v for r in results]), temp_c=np.array([r.corner.temp_c for r in results]),
        provenance=Provenance("profile", inputs, settings, tools, config.seed),
    )  # fmt: skip


def run_benches(
    design_path: Path, pdk: Pdk, operations: int, seed: int, work: Path, progress: StageProgress
) -> tuple[FunctionalResult, FunctionalResult]:
    """Return the functional benches of the RTL and of the mapped netlist, both against `reference.py`.

    Raises:
        CharacterizationError: a mismatch, with its clock and register, or a stage that failed.
    """
    design = read_design(design_path)
    folder = work / f"{design.name}-{pdk.name}"
    progress("functional benches", 0, 2)
    rtl = run_functional(design, folder, None, operations, seed)
    progress("functional benches", 1, 2)
    netlist, corner = map_design(design, pdk, folder, progress), slowest(pdk)
    timed = annotate(netlist, read_corner(corner), corner, design.clock)
    mapped = run_functional(design, folder, timed, operations, seed)
    progress("functional benches", 2, 2)
    return rtl, mapped
