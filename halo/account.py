"""compare_run(): the honest account of a finished run, as tables and a page: on each MAC, with everything beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from characterization.energy_table import load_table
from characterization.profile import MacProfile
from characterization.proof_vectors import load_vectors
from halo.accelerators import Accelerator
from halo.checkpoint import load_quantized
from halo.comparison import Comparison, compare_models
from halo.comparison_figures import write_comparison
from halo.comparison_grids import grids_of, mode_grid
from halo.config import RunConfig
from halo.contenders import Contender, Merit, beside_int8, is_baseline_itself, on_dedicated, on_one_mac
from halo.dvfs import Build
from halo.errors import ConfigError
from halo.estimate import setup_from
from halo.fronts import hypervolume_grid, matched_grid
from halo.half_precision import find_half, half_grid
from halo.layers import EffectiveBits, QuantizedModel
from halo.mac import load_dedicated, load_mac
from halo.machine import Machine, Setup
from halo.moves import profiles_under, recorded_moves
from halo.page import Grid
from halo.paper import paper_grid, published_grid
from halo.pipeline import workloads
from halo.plugins import resolve
from halo.preparation import Progress, step_of
from halo.projection import project
from halo.ranges import range_grid
from halo.results import RESULTS, load_accuracy, load_run, read_json
from halo.workload import Workload, find_shape, linear_only


@dataclass(frozen=True, slots=True)
class CompareConfig:
    """What a comparison is of.

    Attributes:
        profiles: of the int8 MACs, each compared by itself.
        methods: labels of the run; () for all. Its first method is the baseline.
        dedicated: profiles of PEs for fewer weights, the designer's alternative.
        shape: preset or folder of another model's shapes; '' for the run's own.
        varied: whether margins, corners and switches are varied too.
        tables: energies by move of the activation, of some of the profiles' netlists: activations then vary too.
        beside: `out` folders of other finished runs, at another price, say, whose methods contend too.
    """

    profiles: tuple[Path, ...]
    methods: tuple[str, ...] = ()
    dedicated: tuple[Path, ...] = ()
    shape: str = ""
    varied: bool = False
    tables: tuple[Path, ...] = ()
    beside: tuple[Path, ...] = ()


def compare_run(
    config: RunConfig, wanted: CompareConfig, progress: Progress | None = None
) -> list[tuple[Grid, ...]]:
    """Return the tables of how a finished run's models compare, on each MAC: linear layers of the prompt.

    KL and perplexity are those that the run measured. Tables, waterfalls and fronts are written to `out`/compare.

    Raises:
        OutputError: a run is not finished.
        ConfigError: a label that none has, runs of another model or text, or a dedicated PE without a method.
    """
    facts = load_run(config.out)
    homes = methods_of(facts, config.out, wanted.beside)
    if unknown := sorted(set(wanted.methods) - set(homes)):
        raise ConfigError(f"no {', '.join(unknown)} in {config.out}; the run has {', '.join(homes)}.")
    chosen = {facts["labels"][0], *wanted.methods} if wanted.methods else set(homes)
    homes = {label: home for label, home in homes.items() if label in chosen}
    merits = {label: load_merit(out / RESULTS / name) for label, (out, name) in homes.items()}
    models = {label: load_quantized(out / "models" / name) for label, (out, name) in homes.items()}
    shape = find_shape(wanted.shape) if wanted.shape else facts["model_config"]
    work = workloads(config, shape)["prefill"]
    if wanted.shape:
        work = replace(work, name=f"{Path(wanted.shape).name}-{work.name}")
    recorded = [out / RESULTS / name for out, name in homes.values()]
    return [compare_on(path, config, wanted, models, merits, work, recorded, progress) for path in wanted.profiles]


def methods_of(facts: Mapping[str, Any], out: Path, beside: Sequence[Path]) -> dict[str, tuple[Path, str]]:
    """Return where each method lies that is compared, its run's folder and its name there, by the label it has here.

    Those of other runs have the name of their folder behind their own.

    Raises:
        OutputError: a run is not finished.
        ConfigError: a run's KL is not comparable: it is of another model, text, or protocol.
    """
    found = {label: (out, label) for label in facts["labels"]}
    for other in beside:
        theirs = load_run(other)
        for what in ("model", "text"):
            if theirs["inputs"][what] != facts["inputs"][what]:
                raise ConfigError(f"--beside {other}: a run of another {what} than {out}; their KL cannot be compared.")
        if theirs["config"]["evaluation"] != facts["config"]["evaluation"]:
            raise ConfigError(f"--beside {other}: evaluated otherwise than {out}; their KL cannot be compared.")
        found |= {f"{label} ({other.name})": (other, label) for label in theirs["labels"]}
    return found


def load_merit(folder: Path) -> Merit:
    """Return how well a method of a run predicts; its plans and costs are not read, they are made anew.

    Raises:
        OutputError: a file is missing, damaged or of another schema.
    """
    quality, method = load_accuracy(folder / "accuracy.json").quality, read_json(folder / "method.json")
    return Merit(quality.net_kl.mean, quality.perplexity, EffectiveBits(**method["bits"]).total, bool(method["ours"]),
                 quality.perplexity / (1 + quality.perplexity_change))


def compare_on(
    path: Path, config: RunConfig, wanted: CompareConfig, models: Mapping[str, QuantizedModel],
    merits: Mapping[str, Merit], work: Workload, recorded_in: Sequence[Path], progress: Progress | None,
) -> tuple[Grid, ...]:
    """Return the tables on one MAC, and write them."""
    profile, points, linear = load_mac(path), config.points, linear_only(work)
    contenders = on_one_mac(models, profile, builder(config))
    alternatives = dedicated_contenders(config, wanted.dedicated, models, profile)
    merits = dict(merits) | {label: merits[label.partition(" on ")[0]] for label in alternatives}
    options: dict[str, Any] = {}
    if wanted.shape:
        options |= {"reshape": lambda loads: project(loads, work),
                    "note": f"Shapes of {wanted.shape}, each matrix coded like the run's of its type; KL and "
                            "perplexity are the run's model's."}
    found = compare_models({**contenders, **alternatives}, points, config.dvfs, linear,
                           step_of(progress, f"{path.name}, linear layers"), **options)
    whole = compare_models(contenders, points, config.dvfs, work, step_of(progress, f"{path.name}, all products"),
                           with_front=False, **options)
    half = find_half(found, linear, builder(config)(profile, setup_from(found.base.plan, profile)))
    grids = {"Everything, attention and head as W8A8 for every method": whole_grids(whole, merits),
             "Fronts of loss against cost": fronts(found, models, merits),
             "FP16, where a cited model exists": (half_grid(found, merits, half),),
             "The paper's own accounting": (paper_grid(found, models, merits), published_grid())}
    if wanted.varied:
        tables = [load_table(table) for table in wanted.tables]
        recorded = recorded_moves(map(load_vectors, recorded_in)) if tables else None
        others = profiles_under(profile, tables, recorded) if recorded is not None else {}
        grids["How far ratios move"] = (range_grid(
            contenders, points, config.dvfs, linear, step_of(progress, f"{path.name}, varied"), profiles=others,
            **options),)
    name = f"{path.stem}-{Path(wanted.shape).name}" if wanted.shape else path.stem
    write_comparison(found, merits, config.out / "compare" / name, grids)
    return (*grids_of(found, merits), *(grid for several in grids.values() for grid in several))


def builder(config: RunConfig, int8: MacProfile | None = None) -> Build:
    """Return what makes the run's first accelerator; of a dedicated PE, with the int8 MACs beside the array."""
    name, options = next(iter(config.accelerator.items()))
    plugin = resolve("halo.accelerators", name, Accelerator)
    extra = {} if int8 is None else {"int8": int8}

    def build(mac: MacProfile, setup: Setup) -> Machine:
        made: Machine = plugin.machine(mac, setup, options, **extra)
        return made

    return build


def dedicated_contenders(
    config: RunConfig, paths: Sequence[Path], models: Mapping[str, QuantizedModel], int8: MacProfile
) -> dict[str, Contender]:
    """Return the models that dedicated PEs can hold, on them.

    Raises:
        ConfigError: the accelerator is no array of PEs, or no model fits one of them.
    """
    name = next(iter(config.accelerator))
    if paths and name != "systolic":
        raise ConfigError(f"--dedicated: accelerator.{name} is no array of PEs; use accelerator.systolic.")
    make = beside_int8(builder(config, int8), int8, config.points)
    found: dict[str, Contender] = {}
    for path in paths:
        found |= on_dedicated(models, load_dedicated(path), int8, make)
    return found


def whole_grids(found: Comparison, merits: Mapping[str, Merit]) -> tuple[Grid, ...]:
    """Return the tables of a whole pass."""
    return tuple(mode_grid(found, mode, merits) for mode in ("one voltage", "one throughput"))


def fronts(
    found: Comparison, models: Mapping[str, QuantizedModel], merits: Mapping[str, Merit]
) -> tuple[Grid, ...]:
    """Return the table of hypervolumes."""
    same = [label for label, model in models.items() if merits[label].ours and is_baseline_itself(model)]
    return hypervolume_grid(found, merits, same), matched_grid(found, merits, same)
