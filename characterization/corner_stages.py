"""measure_corner(): everything measured of one netlist at one corner. What was done before is taken from the cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from characterization.artifact import Provenance, cached, digest_file, digest_of
from characterization.benches.activity import Bound, check_observed
from characterization.benches.operands import StimulusConfig, n_transitions, previous_weights
from characterization.certify import VERSION, Certificate, CertifyConfig, certify_set, certify_weights
from characterization.corner_grid import speed_of
from characterization.design import MacDesign
from characterization.energy import simulate_weights
from characterization.errors import SimulationError
from characterization.hold import hold_report
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist
from characterization.pair_energy import pair_statistics
from characterization.pdk import Corner
from characterization.profile import QUANTILES, WeightArrival
from characterization.set_certificate import SetCertificate, SetMode, certificate_from
from characterization.simulation import Device
from characterization.timed import TimedNetlist
from characterization.timing import floor_ps, free_ps, sta_ps, topological_ps

# Called with (stage, done, total).
StageProgress = Callable[[str, int, int], None]
# Figures by the name they have in a profile: `[weight]`, or a number.
Figures = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class CharacterizeConfig:
    """What is measured, and with how many workers.

    Attributes:
        transitions: simulated for each weight, where activations are random.
        activations: `random`, or `exhaustive`: every pair of activations once, for each weight.
        seed: of the stimulus.
        certify: whether delays are certified; without, bounds stay topological.
        time_limit_s: after which a certificate stays a bracket; None for no limit.
        device: that transitions are simulated on, `cpu` or `cuda`; results do not depend on it.
        pair_transitions: of a streaming design, simulated for each pair of previous weight and weight, at typical
            corners; 0 for no table of pairs.
    """

    transitions: int = 300
    seed: int = 1
    workers: int = 2
    activations: Literal["random", "exhaustive"] = "random"
    certify: bool = True
    time_limit_s: float | None = None
    pair_transitions: int = 4
    device: Device = "cpu"

    def __post_init__(self) -> None:
        """Check the pairs.

        Raises:
            SimulationError: one transition of each, which has no standard error, or fewer than none.
        """
        if self.pair_transitions < 0 or self.pair_transitions == 1:
            raise SimulationError(f"{self.pair_transitions} transitions of each pair of weights; give 2 or more, so "
                                  "that energies have a standard error, or 0 for no table of pairs.")


@dataclass(frozen=True, eq=False)
class Bench:
    """What is measured at every corner: one netlist (abutted), its design, and how.

    Attributes:
        folder: cache and logs.
    """

    design: MacDesign
    joined: Netlist
    config: CharacterizeConfig
    folder: Path

    @property
    def weights(self) -> np.ndarray:
        """The weight values, sorted."""
        return np.array(self.design.weights)

    @property
    def stimulus(self) -> StimulusConfig:
        """What each weight is simulated with."""
        return StimulusConfig(self.config.transitions, self.config.seed, self.design.weights, self.config.activations)

    @property
    def bound(self) -> Bound:
        """What bounds settle times."""
        return "certified" if self.config.certify else "topological"

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of what every stage depends on, the corner apart."""
        return {"netlist": self.joined.digest, "design": digest_file(self.design.folder / "design.toml"),
                "reference": digest_file(self.design.reference)}


@dataclass(frozen=True, eq=False)
class CornerCore:
    """A corner with its cells, and the netlist annotated with them."""

    corner: Corner
    library: CellLibrary
    timed: TimedNetlist


@dataclass(frozen=True, eq=False)
class CornerResult:
    """Everything measured at one corner.

    Attributes:
        figures: by the name they have in a profile.
        stimulus: what was simulated, in words.
        hold_endpoint: the data pin whose hold is tightest; '' where no register reaches another.
        certificates: of all values together, where delays are certified.
        pairs: of a streaming design, energy and standard error `[previous weight, weight]`, where they were measured.
    """

    core: CornerCore
    figures: Figures
    stimulus: str
    hold_endpoint: str
    certificates: tuple[SetCertificate, ...]
    pairs: tuple[np.ndarray, np.ndarray] | None = None


def measure_corner(bench: Bench, core: CornerCore, progress: StageProgress) -> CornerResult:
    """Return delays and activity at one corner; every simulated transition is checked against the bound.

    Raises:
        CharacterizationError: a stage failed, or delays contradict each other.
    """
    name = core.corner.name
    inputs = bench.inputs | {"core": digest_core(core.timed)}
    delays = stage(bench, f"delays-{name}", inputs, {"version": 2}, partial(measure_delays, bench, core), progress)
    proofs: dict[str, Any] = {}
    if bench.config.certify:
        limit = {"time_limit_s": bench.config.time_limit_s, "version": VERSION}
        prove = partial(measure_certificates, bench, core, partial(progress, f"certificates {name}"))
        proofs = stage(bench, f"certificates-{name}", inputs, limit, prove, progress)
    bound_ps = np.array(proofs.get("certified_ps", delays["topological_ps"]))
    config = {"transitions": n_transitions(bench.design, bench.stimulus), "activations": bench.config.activations,
              "seed": bench.config.seed, "version": 4}  # fmt: skip
    build = partial(measure_activity, bench, core, bound_ps, partial(progress, f"simulation {name}"))
    activity = stage(bench, f"simulation-{name}", inputs, config, build, progress)
    found = delays | proofs | activity
    figures = {key: np.array(value, dtype=float) for key, value in found.items() if key.endswith(("_ps", "_fj"))}
    certificates = tuple(map(certificate_from, proofs.get("sets", ())))
    pairs = None
    if has_pairs(bench, core.corner):
        asked = {"transitions": bench.config.pair_transitions, "seed": bench.config.seed, "version": 2}
        build = partial(measure_pairs, bench, core, bound_ps, partial(progress, f"pairs {name}"))
        table = stage(bench, f"pairs-{name}", inputs, asked, build, progress)
        pairs = np.array(table["energy_fj"], np.float32), np.array(table["sem_fj"], np.float32)
    return CornerResult(core, figures, activity["stimulus"], delays["hold_endpoint"], certificates, pairs)


def has_pairs(bench: Bench, corner: Corner) -> bool:
    """Return whether energies of pairs are measured at a corner: where plans take their energy from."""
    streams = bench.design.weight_mode == "streaming" and bench.config.pair_transitions > 0
    return streams and speed_of(corner.process) == "typical"


def stage(
    bench: Bench, name: str, inputs: Mapping[str, str], config: Mapping[str, Any], build: Callable[[], dict[str, Any]],
    progress: StageProgress,
) -> dict[str, Any]:
    """Return what one stage measured, from the cache when its inputs are the same; tell when it begins and ends."""
    tick = partial(progress, name.replace("-", " ", 1))
    provenance = Provenance(name, inputs, config, {"numpy": version("numpy")})
    tick(0, 1)
    text, hit = cached(bench.folder, provenance, ".json", lambda: json.dumps(build(), sort_keys=True) + "\n")
    if hit or name.startswith("delays"):  # the others tell their own end
        tick(1, 1)
    found: dict[str, Any] = json.loads(text)
    return found


def measure_delays(bench: Bench, core: CornerCore) -> dict[str, Any]:
    """Return the delays of static timing, by their names in a profile; no hold slack where no register is reached."""
    timed, design = core.timed, bench.design
    hold = hold_report(timed)
    static = sta_ps(bench.joined, core.library, design, bench.weights)
    return {"topological_ps": topological_ps(timed, design, bench.weights).tolist(), "sta_ps": static.tolist(),
            "floor_ps": floor_ps(timed, design), "free_ps": free_ps(timed, design), "hold_endpoint": hold.endpoint,
            "hold_slack_ps": hold.slack_ps if hold.endpoint else None,
            "tolerated_skew_ps": hold.tolerated_skew_ps if hold.endpoint else None}


def measure_certificates(bench: Bench, core: CornerCore, tick: Callable[[int, int], None]) -> dict[str, Any]:
    """Return certified delays by their names in a profile, and under `sets` the certificate of all values together.

    Where weights stream, no value is ever swapped in by itself, and only sets are certified for launching weights.
    """
    design, config = bench.design, CertifyConfig(time_limit_s=bench.config.time_limit_s)
    modes: list[WeightArrival] = ["stationary"] if design.weight_mode == "streaming" else ["stationary", "swap"]
    names = {"stationary": ("certified_ps", "certified_lower_ps"), "swap": ("swap_ps", "swap_lower_ps")}
    total = len(modes) * len(design.weights)
    found: dict[str, Any] = {}
    for past, mode in enumerate(modes):
        proved = certify_weights(core.timed, design, design.weights, mode, config, bench.config.workers,
                                 lambda done, n, past=past: tick(past * n + done, total),  # type: ignore[misc]
                                 bench.folder / "certificates")  # fmt: skip
        found |= dict(zip(names[mode], (proved.upper_ps.tolist(), proved.lower_ps.tolist()), strict=True))
    every = certify_set(core.timed, design, None, config)
    item = set_certificate(core, design, design.weights, every)
    tick(total, total)
    return found | {"sets": [item.to_fields()]}


def set_certificate(
    core: CornerCore, design: MacDesign, codes: Sequence[int], proved: Certificate
) -> SetCertificate:
    """Return what was proved of a set of launching weights as a profile keeps it."""
    mode: SetMode = "streaming" if design.weight_mode == "streaming" else "swap"
    return SetCertificate(core.corner.name, mode, tuple(sorted({int(code) for code in codes})), proved.upper_ps,
                          proved.lower_ps)


def measure_activity(
    bench: Bench, core: CornerCore, bound_ps: np.ndarray, tick: Callable[[int, int], None]
) -> dict[str, Any]:
    """Return what simulation saw, by its names in a profile.

    Raises:
        SimulationError: a transition settles after the bound.
    """
    folder = bench.folder / core.corner.name
    activity = simulate_weights(core.timed, bench.design, bench.stimulus, folder, bench.config.workers, tick,
                                bench.config.device)
    check_observed(activity.weights, activity.settle_ps, bound_ps, bench.bound)
    return {"observed_ps": activity.observed_ps.tolist(), "energy_fj": activity.mean_fj.tolist(),
            "energy_std_fj": activity.std_fj.tolist(), "register_energy_fj": activity.register_fj.tolist(),
            **dict(zip(QUANTILES, activity.quantiles_fj.T.tolist(), strict=True)),
            "stimulus": activity.description}


def measure_pairs(
    bench: Bench, core: CornerCore, bound_ps: np.ndarray, tick: Callable[[int, int], None]
) -> dict[str, Any]:
    """Return energy and standard error of every pair of previous weight and weight.

    Raises:
        SimulationError: a transition settles after the bound.
    """
    design = bench.design
    stimulus = StimulusConfig(bench.config.pair_transitions * len(design.weights), bench.config.seed, design.weights)
    folder = bench.folder / core.corner.name
    activity = simulate_weights(core.timed, design, stimulus, folder, bench.config.workers, tick, bench.config.device)
    check_observed(activity.weights, activity.settle_ps, bound_ps, bench.bound)
    previous = previous_weights(design, stimulus, activity.energy_fj.shape[1])
    mean, sem = pair_statistics(previous, activity.energy_fj, bench.weights)
    return {"energy_fj": mean.tolist(), "sem_fj": sem.tolist()}


def digest_core(timed: TimedNetlist) -> str:
    """Return the digest of an annotated netlist: every delay, energy and load that later stages read."""
    return digest_of(as_plain(timed))


def as_plain(value: Any) -> Any:
    """Return dataclasses, arrays and their containers as what JSON holds."""
    if is_dataclass(value):
        return {item.name: as_plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    return [as_plain(item) for item in value] if isinstance(value, tuple | list) else value
