"""project(): the loads of a model as those of a larger one would be: classes, values and sparse part by layer type.

The larger model's weights are not there. Each of its matrices takes, from the reference model's matrices of the same
type (q, k, v, o, gate, up, down), how many of the loads are in which class, which values occur in them and how often,
and how many weights the sparse part holds. No accuracy follows from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from halo.errors import PlanError
from halo.loads import LayerLoads, LayerPlan, LoadGroup, ModelLoads, Panels
from halo.workload import Product, Workload, shared_input_stage


def project(loads: ModelLoads, workload: Workload) -> ModelLoads:
    """Return the loads that the linear layers of `workload` would have, were they quantized like those of `loads`.

    Every column of a matrix is taken to hold every class that occurs in its type: with many folds it does.

    Raises:
        PlanError: the array is not weight-stationary, or a type of layer is not in `loads`.
    """
    if loads.unit != "fold-panel":
        raise PlanError("shapes of another model are compared on weight-stationary arrays only; use "
                        "accelerator.systolic with dataflow = \"ws\".")
    by_type: dict[str, list[LayerLoads]] = {}
    for layer in loads.layers:
        by_type.setdefault(type_of(layer.plan.layer), []).append(layer)
    linear = [product for product in workload.products if product.kind == "linear"]
    if missing := sorted({type_of(product.layer) for product in linear} - set(by_type)):
        raise PlanError(f"{workload.name} has layers of type {', '.join(missing)}, {loads.method} has "
                        f"{', '.join(by_type)}; take shapes of the same architecture.")
    layers = tuple(project_layer(by_type[type_of(product.layer)], product, loads) for product in linear)
    return replace(loads, layers=layers)


def type_of(layer: str) -> str:
    """Return the type of a layer: the last part of its name."""
    return layer.rpartition(".")[2]


def project_layer(like: Sequence[LayerLoads], product: Product, loads: ModelLoads) -> LayerLoads:
    """Return the loads of one matrix in the likeness of some others; classes slowest first, as codebooks are listed."""
    groups: dict[str, list[LoadGroup]] = {name: [] for name in reversed(list(loads.codebooks))}
    for layer in like:
        for group in layer.groups:
            groups[group.codebook].append(group)
    n_all = -(-product.k // loads.rows) * -(-product.n // loads.cols)
    share = {name: sum(group.n_loads for group in found) for name, found in groups.items() if found}
    n_loads = {name: int(n) for name, n in zip(share, dealt(list(share.values()), n_all), strict=True) if n}
    n_values = dealt(list(n_loads.values()), product.n * product.k)
    density = product.n * product.k / sum(layer.plan.n * layer.plan.k for layer in like)
    made: list[LoadGroup] = []
    for (name, count), values in zip(n_loads.items(), n_values, strict=True):
        counts = dealt(np.sum([group.code_counts for group in groups[name]], axis=0), int(values))
        sparse = round(density * sum(group.n_sparse for group in groups[name]))
        made.append(LoadGroup(product.layer, name, count, count, int(values), tuple(counts.tolist()), sparse,
                              leads=not made))
    plan = project_plan([layer.plan for layer in like], product, loads.rows, made)
    return LayerLoads(plan, tuple(made), like[0].digest)


def project_plan(
    like: Sequence[LayerPlan], product: Product, rows: int, groups: Sequence[LoadGroup]
) -> LayerPlan:
    """Return a matrix, its loads apart, in the likeness of some others."""
    per_channel = any(plan.k > rows for plan in like) and all(plan.n_scalings == 1 for plan in like)
    counts, n_sparse = np.sum([plan.sparse_counts for plan in like], axis=0), sum(group.n_sparse for group in groups)
    sparse = tuple(dealt(counts, n_sparse).tolist()) if counts.sum() else (0,) * counts.size
    sparse_rows = round(product.n * sum(plan.n_sparse_rows for plan in like) / sum(plan.n for plan in like))
    panels = (Panels(tuple(group.codebook for group in groups), product.n, 1),)
    return LayerPlan(product.layer, shared_input_stage(product.layer), product.n, product.k,
                     1 if per_channel else -(-product.k // rows), sparse_rows, sparse, panels)


def dealt(shares: Sequence[float] | np.ndarray, total: int) -> np.ndarray:
    """Return whole numbers in these shares that add up to `total`, largest remainders first, int64.

    >>> dealt([1, 1, 2], 7).tolist()
    [2, 2, 3]
    """
    share = np.asarray(shares, dtype=np.float64)
    exact = share / share.sum() * total
    whole: np.ndarray = np.floor(exact).astype(np.int64)
    left = int(total - whole.sum())
    whole[np.argsort(-(exact - whole), kind="stable")[:left]] += 1
    return whole
