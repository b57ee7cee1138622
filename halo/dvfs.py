"""plan_dvfs(): voltage and clock of every array load, phase by phase, in the order that costs least."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from characterization.artifact import Provenance, digest_of
from characterization.profile import MacProfile
from halo.accelerators.systolic import Config as SystolicConfig
from halo.accelerators.systolic import machine as systolic_machine
from halo.clocks import Clocks, make_clocks
from halo.cost import Price
from halo.errors import PlanError, ThroughputError
from halo.estimate import check_layers
from halo.layers import QuantizedModel
from halo.loads import LayerPlan, LoadGroup, ModelLoads, Progress, model_loads
from halo.machine import ClockPoint, Machine, Setup
from halo.objective import Best, best_schedule, fastest_schedule
from halo.operating_point import PointConfig
from halo.plan import (
    ALL_VALUES,
    SWITCH_PRESETS,
    ClockClass,
    DvfsConfig,
    DvfsPlan,
    PhaseResult,
    Scope,
    Segment,
    Switch,
    point_changes,
)
from halo.plan_words import hold_words, why_frequency_only
from halo.schedule import Changes, Schedule, Stage
from halo.workload import ATTENTION_INPUT, Product, Workload, shared_input_stage

Build = Callable[[MacProfile, Setup], Machine]
FJ_PER_J = 1e15


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass, ready to be scheduled.

    Attributes:
        groups: of each stage: the product, its layer where it is planned, and the loads.
        prices: of each stage `[group][point]`; None where a group may not run at a point.
    """

    workload: Workload
    stages: tuple[Stage, ...]
    groups: tuple[tuple[tuple[Product, LayerPlan | None, LoadGroup], ...], ...]
    members: tuple[tuple[tuple[int, ...], ...], ...]
    prices: tuple[tuple[tuple[Price | None, ...], ...], ...]


def plan_dvfs(
    quantized: QuantizedModel, profile: MacProfile, points: PointConfig, config: DvfsConfig,
    progress: Progress | None = None, *, workloads: Sequence[Workload] = (), build: Build | None = None,
) -> DvfsPlan:
    """Return the plan of a quantized model.

    Args:
        quantized: the model.
        profile: of its MAC.
        points: how a delay becomes a period, and the nominal voltage.
        config: what is best, within what.
        progress: told layers done and in all.
        workloads: one per phase; () plans one pass of the linear layers alone, with as many rows as the array has.
        build: makes the machine that is planned for; None: a systolic array of the planned size with its defaults.

    Raises:
        PlanError: tiles that do not divide the array, scales of another fold, no operating point, or a budget that
            nothing keeps.
    """
    build = build or default_build(config)
    loads = loads_of(quantized, profile, points, config, build, progress)
    return plan_loads(loads, profile, points, config, workloads, build)


def loads_of(
    quantized: QuantizedModel, profile: MacProfile, points: PointConfig, config: DvfsConfig, build: Build,
    progress: Progress | None = None,
) -> ModelLoads:
    """Return the loads of a quantized model, each in the class of its slowest tile at the nominal voltage.

    Raises:
        PlanError: tiles that do not divide the array, scales of another fold, or two codebooks of one name.
    """
    names = [book.name for book in quantized.codebooks]
    if len(set(names)) != len(names):
        raise PlanError(f"two codebooks share a name: {', '.join(names)}; rename one.")
    codebooks = {book.name: book.codes for book in quantized.codebooks}
    clocks = make_clocks(codebooks, profile, points, config)
    rank = {name: clocks.at(clocks.together[name], clocks.nominal_v, name).period_ps for name in codebooks}
    machine = build(profile, setup_of(clocks, 8.0, has_sparse=False, config=config))
    lanes = profile.head.lanes if machine.weights_move and profile.pairs is not None else 0
    return model_loads(quantized, rank, config.array_rows, config.array_cols, machine.unit, progress, lanes)


def plan_loads(
    loads: ModelLoads, profile: MacProfile, points: PointConfig, config: DvfsConfig, workloads: Sequence[Workload] = (),
    build: Build | None = None,
) -> DvfsPlan:
    """Return the plan of a model given as loads; see `plan_dvfs`."""
    build = build or default_build(config)
    codebooks = {**loads.codebooks, ALL_VALUES: tuple(int(code) for code in profile.weights)}
    if loads.codebooks.get(ALL_VALUES, codebooks[ALL_VALUES]) != codebooks[ALL_VALUES]:
        raise PlanError(f"a codebook named {ALL_VALUES!r} has {len(loads.codebooks[ALL_VALUES])} values; rename it.")
    has_sparse = any(layer.plan.n_sparse for layer in loads.layers)
    probe = build(profile, setup_of(make_clocks(loads.codebooks, profile, points, config), loads.bits,
                                    has_sparse=has_sparse, config=config))
    if probe.weights_move:
        points = replace(points, bubble=False)
    clocks = make_clocks(loads.codebooks, profile, points, config)
    machine = build(profile, setup_of(clocks, loads.bits, has_sparse=has_sparse, config=config))
    classes = clocks.classes_at(clocks.nominal_v, codebooks)
    table = tuple(item for voltage in clocks.voltages for item in clocks.classes_at(voltage, codebooks))
    layers = {layer.plan.layer: layer.plan for layer in loads.layers}
    segments: list[Segment] = []
    switches: list[Switch] = []
    results = []
    for workload in workloads or (bare_workload(loads),):
        one, several, result = plan_phase(workload, loads, clocks, machine, config)
        segments += one
        switches += several
        results.append(result)
    inputs = {"profile": profile.digest, "model": digest_of([layer.digest for layer in loads.layers]),
              "accelerator": digest_of([machine.name, asdict(machine.config)])}
    return DvfsPlan(
        method=loads.method, accelerator=machine.name, rows=loads.rows, cols=loads.cols, classes=classes,
        clocks=table, layers=tuple(layers.values()), segments=tuple(segments), switches=tuple(switches),
        results=tuple(results), effective_bits=loads.bits, skipped=dict(loads.skipped), points=clocks.points,
        config=config, frequency_only=why_frequency_only(profile, clocks),
        assumptions=(*assumptions(classes, profile, clocks, config), *machine.assumptions()),
        provenance=Provenance("plan", inputs, {"method": loads.method, "accelerator": machine.name}),
    )


def default_build(config: DvfsConfig) -> Build:
    """Return what makes a systolic array of the planned size, with its default memories."""
    wanted = SystolicConfig(rows=config.array_rows, cols=config.array_cols)
    return lambda profile, setup: systolic_machine(profile, setup, wanted)


def setup_of(clocks: Clocks, bits: float, *, has_sparse: bool, config: DvfsConfig) -> Setup:
    """Return what a machine must know of a plan."""
    return Setup(
        clocks.nominal_v, {voltage: clocks.typical(voltage) for voltage in clocks.voltages},
        {v: clocks.at(clocks.together[ALL_VALUES], v, ALL_VALUES).period_ps for v in clocks.voltages},
        bits, has_sparse, clocks.points.bubble, config)


def bare_workload(loads: ModelLoads) -> Workload:
    """Return one pass of the linear layers, with as many rows of activations as the array has."""
    products = tuple(Product(layer.plan.layer, loads.rows, layer.plan.n, layer.plan.k, "linear")
                     for layer in loads.layers)
    return Workload("linear layers", "any", products, loads.rows)


def plan_phase(
    workload: Workload, loads: ModelLoads, clocks: Clocks, machine: Machine, config: DvfsConfig
) -> tuple[list[Segment], list[Switch], PhaseResult]:
    """Return segments in order, changes and figures of one phase.

    Raises:
        PlanError: the workload is of another model, or a budget cannot be kept; with the nearest that can.
    """
    candidates = candidate_points(loads, clocks, config)
    ready = prepare_pass(workload, loads, clocks, machine, candidates, config)
    changes = changes_of(machine, candidates)
    best = schedule_pass(ready, changes, config)
    segments, split_fj = segments_of(ready, best.schedule, candidates)
    scopes: tuple[Scope, ...] = ("linear", "all")
    switches = [switch for scope in scopes for switch in find_switches(segments, machine, scope)]
    schedule = best.schedule
    result = PhaseResult(workload.phase, workload.name, workload.tokens, schedule.time_s, schedule.energy_fj, split_fj,
                         best.value, best.bound, best.heuristic, best.how)
    return segments, switches, result


def candidate_points(loads: ModelLoads, clocks: Clocks, config: DvfsConfig) -> tuple[ClockPoint, ...]:
    """Return all points that loads may run at: every class's period at every voltage, slower ones under a power cap."""
    periods: set[ClockPoint] = set()
    for voltage in clocks.voltages:
        own = {clocks.at(codes, voltage).period_ps for codes in clocks.together.values()}
        own |= {clocks.of_group(group.codebook, used_codes(group), voltage).period_ps
                for layer in loads.layers for group in layer.groups}
        factors = (1.0, *config.slowdowns) if config.power_cap_w else (1.0,)
        periods |= {ClockPoint(voltage, period * factor) for period in own for factor in factors}
    return tuple(sorted(periods))


def used_codes(group: LoadGroup) -> list[int]:
    """Return the values that occur in the loads of a group."""
    return [int(index) - 128 for index in np.flatnonzero(group.code_counts)]


def prepare_pass(
    workload: Workload, loads: ModelLoads, clocks: Clocks, machine: Machine, candidates: Sequence[ClockPoint],
    config: DvfsConfig,
) -> Pass:
    """Return the stages of a pass with every price."""
    layers = {layer.plan.layer: layer for layer in loads.layers}
    check_layers(workload, [layer.plan for layer in loads.layers], loads.skipped, loads.method)
    names, groups, members, prices = [], [], [], []
    for name, products in dependent_stages(workload):
        own = [(product, layers[product.layer].plan if planned else None, group)
               for product in products
               for planned in [product.kind == "linear" and product.layer in layers]
               for group in (layers[product.layer].groups if planned else (whole_group(product, machine),))]
        names.append(name)
        groups.append(tuple(own))
        members.append(group_by_class(own))
        prices.append(tuple(price_row(item, clocks, machine, candidates) for item in own))
    if cap_w := config.power_cap_w:
        check_cap(cap_w, [item[2] for own in groups for item in own], [row for rows in prices for row in rows])
        prices = [tuple(tuple(p if p and power_w(p) <= cap_w else None for p in row) for row in rows)
                  for rows in prices]
    stages = [make_stage(*parts, machine) for parts in zip(names, groups, prices, members, strict=True)]
    return Pass(workload, tuple(stages), tuple(groups), tuple(members), tuple(prices))


def dependent_stages(workload: Workload) -> list[tuple[str, list[Product]]]:
    """Return products that depend on nothing among each other, stage by stage, in order."""
    stages: dict[str, list[Product]] = {}
    for product in workload.products:
        name = shared_input_stage(product.layer) if product.kind == "linear" else fixed_stage(product)
        stages.setdefault(name, []).append(product)
    return list(stages.items())


def fixed_stage(product: Product) -> str:
    """Return the stage of a product that every method runs in the all-values class."""
    if product.kind != "attention":
        return product.layer
    parent = product.layer.rpartition(".")[0]
    return f"{shared_input_stage(f'{parent}.{sorted(ATTENTION_INPUT)[0]}')} (attention)"


def whole_group(product: Product, machine: Machine) -> LoadGroup:
    """Return the loads of a product that runs as int8 in the all-values class, its values taken as uniform."""
    return LoadGroup(product.layer, ALL_VALUES, machine.n_loads(product), 0, product.n * product.k, (), 0, leads=True)


def price_row(
    item: tuple[Product, LayerPlan | None, LoadGroup], clocks: Clocks, machine: Machine,
    candidates: Sequence[ClockPoint],
) -> tuple[Price | None, ...]:
    """Return the price of a group at each point; None where its values need longer."""
    product, layer, group = item
    used = used_codes(group)
    need = {v: clocks.of_group(group.codebook, used, v).period_ps for v in clocks.voltages}
    return tuple(machine.price(product, layer, group, point) if point.period_ps >= need[point.voltage_v] else None
                 for point in candidates)


def check_cap(cap_w: float, groups: Sequence[LoadGroup], prices: Sequence[Sequence[Price | None]]) -> None:
    """Refuse a power cap that some group exceeds at every point; the message has the least that all can keep.

    Raises:
        PlanError: with the group that draws most at its least.
    """
    least = [min(power_w(price) for price in row if price) for row in prices]
    worst = int(np.argmax(least))
    if least[worst] > cap_w:
        raise PlanError(f"dvfs.power_cap_w = {cap_w:g} is below what {groups[worst].layer} ({groups[worst].codebook}) "
                        f"draws even at its slowest and lowest point, {least[worst]:.6g} W; raise the cap to that, or "
                        "add lower voltages or slower clocks (dvfs.voltages, dvfs.slowdowns).")


def power_w(price: Price) -> float:
    """Return the power of loads while they run, off-chip memory included."""
    return price.energy.total_fj / FJ_PER_J / price.total_s


def group_by_class(own: Sequence[tuple[Product, LayerPlan | None, LoadGroup]]) -> tuple[tuple[int, ...], ...]:
    """Return which groups of a stage are scheduled together: those of one clock class, whichever their matrix."""
    classes: dict[str, list[int]] = {}
    for at, (_, _, group) in enumerate(own):
        classes.setdefault(group.codebook, []).append(at)
    return tuple(tuple(at) for at in classes.values())


def make_stage(
    name: str, own: Sequence[tuple[Product, LayerPlan | None, LoadGroup]], priced: Sequence[Sequence[Price | None]],
    by_class: Sequence[Sequence[int]], machine: Machine,
) -> Stage:
    """Return a stage with the time and energy of each class at each point.

    Raises:
        PlanError: a class has no point left, because its matrices have none in common under the power cap.
    """
    time = np.array([[p.total_s if p else np.inf for p in row] for row in priced])
    energy = np.array([[p.energy.total_fj if p else np.inf for p in row] for row in priced])
    times = np.stack([time[list(at)].sum(axis=0) for at in by_class])
    energies = np.stack([energy[list(at)].sum(axis=0) for at in by_class])
    if np.isinf(times).all(axis=1).any():
        raise PlanError(f"{name}: no point keeps timing and the power cap for all its matrices; raise "
                        "dvfs.power_cap_w.")
    position = {own[at[0]][2].codebook: i for i, at in enumerate(by_class)}
    spills = []
    for product, layer in {item[0].layer: item[:2] for item in own}.values():
        for panel in layer.panels if layer else ():
            met = tuple(sorted(position[name] for name in panel.codebooks))
            if len(met) > 1 and panel.visits == 1:
                spills.append((met, machine.split_fj(product, panel.n_outputs)))
    return Stage(name, times, energies, tuple(spills))


def changes_of(machine: Machine, candidates: Sequence[ClockPoint]) -> Changes:
    """Return what every change of point costs."""
    tables = np.zeros((4, len(candidates), len(candidates)))
    for i, old in enumerate(candidates):
        for j, new in enumerate(candidates):
            if i != j:
                between, inside = machine.change(old, new, inside=False), machine.change(old, new, inside=True)
                tables[:, i, j] = between.time_s, between.energy_fj, inside.time_s, inside.energy_fj
    return Changes(*tables)


def schedule_pass(ready: Pass, changes: Changes, config: DvfsConfig) -> Best:
    """Return the best schedule of a pass.

    Raises:
        ThroughputError: the required throughput is not reached; with what can be.
    """
    wanted = config.tokens_per_s(ready.workload.phase)
    limit_s = ready.workload.tokens / wanted if wanted else np.inf
    found = best_schedule(ready.stages, changes, config.objective, limit_s, config.gap, config.milp_nodes)
    if found is None:
        fastest_s = fastest_schedule(ready.stages, changes).time_s
        phase = ready.workload.phase
        raise ThroughputError(
            f"dvfs.{phase}_tokens_per_s = {wanted:g} is not reached: at its fastest a pass of {ready.workload.tokens} "
            f"tokens takes {1e3 * fastest_s:.4g} ms, that is {ready.workload.tokens / fastest_s:.6g} tokens per "
            "second; ask for no more, or give more voltage, power or bandwidth.")
    return found


def segments_of(
    ready: Pass, schedule: Schedule, candidates: Sequence[ClockPoint]
) -> tuple[list[Segment], float]:
    """Return the segments in order, and the energy of partial sums put aside."""
    result, split_fj = [], 0.0
    for stage, own, members, priced, chosen in zip(ready.stages, ready.groups, ready.members, ready.prices,
                                                   schedule.arrangements, strict=True):
        for met, each in stage.spills:
            split_fj += each * (len({chosen.points[at] for at in met}) - 1)
        for at in chosen.order:
            point = candidates[chosen.points[at]]
            for index in members[at]:
                price = priced[index][chosen.points[at]]
                assert price is not None, "the schedule keeps to allowed points"
                product, _, group = own[index]
                result.append(Segment(
                    ready.workload.phase, stage.name, product.kind, group, point.voltage_v, point.period_ps,
                    price.cycles, price.compute_s, price.memory_s, price.total_s, price.energy.total_fj))
    return result, split_fj


def find_switches(segments: Sequence[Segment], machine: Machine, scope: Scope) -> list[Switch]:
    """Return every change of point of a pass, taken as a circle, of the linear layers alone or of everything."""
    result = []
    for at, before, after, inside in point_changes(segments, scope):
        old, new = (ClockPoint(s.voltage_v, s.period_ps) for s in (before, after))
        result.append(Switch(
            after.phase, scope, at, before.stage, after.stage, before.codebook, after.codebook, old.voltage_v,
            new.voltage_v, old.period_ps, new.period_ps, inside, machine.change(old, new, inside)))
    return result


def assumptions(
    classes: Sequence[ClockClass], profile: MacProfile, clocks: Clocks, config: DvfsConfig
) -> tuple[str, ...]:
    """Return what the plan rests on, one sentence each."""
    bubble = ("one bubble per load, so that a weight is visible one full cycle before the first captured result"
              if clocks.points.bubble else
              "no bubble per load: periods hold for weights that launch with the activations")
    by_basis: dict[str, list[str]] = {}
    for item in classes:
        by_basis.setdefault(item.basis, []).append(item.name)
    result = [f"periods of {', '.join(names)} rest on: {basis}" for basis, names in by_basis.items()]
    result += [
        hold_words(profile, clocks.points),
        f"clock changes by {config.switch}: {SWITCH_PRESETS[config.switch].source}; two wavefronts in the array: "
        + ("the slower clock until the old one has left" if config.change == "wavefront" else "the array drains first"),
        bubble,
        "loads reorder only within one matrix or among matrices with one input (q, k, v; gate, up)",
        "attention products and lm_head run in the all-values class for every method",
    ]
    result += [f"{voltage:g} V is not planned: {reason}" for voltage, reason in clocks.left_out.items()]
    capped = [c.name for c in classes if c.capped]
    if capped:
        result.append(f"clock held by the cap of what is not the MAC: {', '.join(capped)}")
    return tuple(result)
