"""estimate_on(): cycles, time and energy of a workload under a plan on a machine, product by product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from characterization.profile import MacProfile
from halo.clocks import Clocks
from halo.cost import CostReport, CostRow, Energy, RowKind, sum_energy, sum_prices
from halo.errors import PlanError
from halo.loads import LayerPlan, LoadGroup
from halo.machine import ClockPoint, Machine, Setup
from halo.plan import ALL_VALUES, DvfsPlan, Scope, Segment, Switch
from halo.workload import Product, Workload


def setup_from(plan: DvfsPlan, profile: MacProfile) -> Setup:
    """Return what a machine must know of a saved plan."""
    voltages = tuple(sorted({item.voltage_v for item in plan.clocks}))
    clocks = Clocks(profile, plan.points, voltages, plan.points.voltage_v, {}, {})
    return Setup(
        plan.points.voltage_v, {voltage: clocks.typical(voltage) for voltage in voltages},
        {item.voltage_v: item.period_ps for item in plan.clocks if item.name == ALL_VALUES}, plan.effective_bits,
        any(layer.n_sparse for layer in plan.layers), plan.points.bubble, plan.config)


def estimate_on(workload: Workload, plan: DvfsPlan, machine: Machine) -> CostReport:
    """Return time and energy of `workload` under `plan`.

    Raises:
        PlanError: the plan is of another model.
    """
    check_layers(workload, plan.layers, plan.skipped, plan.method)
    layers = {layer.layer: layer for layer in plan.layers}
    segments: dict[str, list[Segment]] = {}
    for segment in plan.segments_of(workload.phase):
        segments.setdefault(segment.layer, []).append(segment)
    rows = [product_row(product, layers.get(product.layer), segments.get(product.layer, ()), plan, machine)
            for product in workload.products]
    linear, whole = (plan.switches_of(scope, workload.phase) for scope in SCOPES)
    inner, every = switch_row("clock changes", "switch", linear), switch_row("", "switch", whole)
    extra = CostRow("clock changes around attention and head", "switch-fixed", every.cycles - inner.cycles,
                    every.compute_s - inner.compute_s, 0.0, 0.0, every.total_s - inner.total_s, 0,
                    Energy(switching_fj=every.energy.switching_fj - inner.energy.switching_fj))
    return CostReport(plan.method, workload.name, workload.phase, machine.name, (*rows, inner, extra),
                      tuple(dict.fromkeys((*plan.assumptions, *machine.assumptions()))))


SCOPES: tuple[Scope, Scope] = ("linear", "all")


def product_row(
    product: Product, layer: LayerPlan | None, segments: Sequence[Segment], plan: DvfsPlan, machine: Machine
) -> CostRow:
    """Return cycles, time and energy of one product (all copies of it)."""
    own = layer if product.kind == "linear" else None
    parts = [(segment.loads, ClockPoint(segment.voltage_v, segment.period_ps)) for segment in segments]
    if not parts:
        whole = plan.all_values
        parts = [(LoadGroup(product.layer, ALL_VALUES, machine.n_loads(product), 0, product.n * product.k, (), 0,
                            leads=True), ClockPoint(whole.voltage_v, whole.period_ps))]
    prices = [machine.price(product, own, group, point) for group, point in parts]
    total = sum_prices(prices)
    points = {group.codebook: point for group, point in parts}
    energy = sum_energy([total.energy, Energy(grouping_fj=split_fj(product, own, points, machine))])
    return CostRow(product.layer, product.kind, total.cycles, total.compute_s, total.sparse_s, total.memory_s,
                   sum(price.total_s for price in prices), product.n_macs, energy)


def split_fj(
    product: Product, layer: LayerPlan | None, points: Mapping[str, ClockPoint], machine: Machine
) -> float:
    """Return the energy of sums put aside because loads of one column run at several points."""
    panels = layer.panels if layer else ()
    return sum(machine.split_fj(product, panel.n_outputs) * (len({points[name] for name in panel.codebooks}) - 1)
               for panel in panels if panel.visits == 1)


def switch_row(name: str, kind: RowKind, switches: Iterable[Switch]) -> CostRow:
    """Return the sum of changes of point."""
    found = [switch.cost for switch in switches]
    time_s = sum(cost.time_s for cost in found)
    return CostRow(name, kind, sum(cost.cycles for cost in found), time_s, 0.0, 0.0, time_s, 0,
                   Energy(switching_fj=sum(cost.energy_fj for cost in found)))


def check_layers(
    workload: Workload, layers: Iterable[LayerPlan], skipped: Mapping[str, str], method: str
) -> None:
    """Refuse a workload whose linear layers are neither planned nor skipped, or have other shapes.

    Raises:
        PlanError: all of them in one message.
    """
    faults, known = [], {layer.layer: layer for layer in layers}
    for product in workload.products:
        layer = known.get(product.layer)
        if product.kind == "linear" and layer is None and product.layer not in skipped:
            faults.append(f"{product.layer} is not in the plan")
        if product.kind == "linear" and layer is not None and (layer.n, layer.k) != (product.n, product.k):
            faults.append(f"{product.layer} is {layer.n} x {layer.k} in the plan, {product.n} x {product.k} here")
    if faults:
        raise PlanError(f"plan of {method} and workload {workload.name} disagree: {'; '.join(faults)}.")
