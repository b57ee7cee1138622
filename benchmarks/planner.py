"""Planning speed, memory, and distance to the LP bound, on the shapes of a published model.

    python benchmarks/planner.py                                # LLaMA-2-70B, 128 x 128 tiles, made-up delays
    python benchmarks/planner.py --shape llama-2-7b --profile build/pe.nc
    python benchmarks/planner.py --tile 32 --array 128

Tiles are dealt to the shifted 4-bit and 3-bit grids at random, more fast ones in later layers; their values are drawn
from round histograms. Without --profile delays and energies are made up, at seven voltages: they set the size of the
problem, and say nothing of a MAC. One row per objective: CPU seconds of the plan (the loads apart, which are built
once), peak memory of the process so far, value over LP bound, and the same for the best corner of the convex front.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from characterization.artifact import Provenance, digest_of
from characterization.profile import MacProfile, ProfileHead
from halo.codebook import GRIDS
from halo.dvfs import plan_loads
from halo.loads import LayerLoads, LayerPlan, ModelLoads, fold_classes, load_groups, pack_loads, panels_of
from halo.mac import load_mac
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig, DvfsPlan
from halo.plan_check import check_plan
from halo.workload import Workload, find_shape, shape_workload, shared_input_stage

VOLTS = (1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8)
BOOKS = ("w3-shifted", "w4-shifted")
CODES = np.arange(-128, 128)


def made_up_profile() -> MacProfile:
    """Return a profile whose multiples of 32 and 16 are fast, at seven voltages with what signs them off."""
    corners = [("tt", 25.0, v) for v in VOLTS] + [("ss", t, round(0.95 * v, 4)) for t in (-40.0, 100.0) for v in VOLTS]
    zeros = np.array([min(8, (int(w) & -int(w)).bit_length() - 1) if w else 8 for w in CODES])
    ones = np.array([bin(int(w) & 255).count("1") for w in CODES])
    slow = np.array([(1.6 if p == "ss" else 1.0) * (1.8 / v) ** 2.2 * (1.1 if t < 0 else 1.0) for p, t, v in corners])
    square = np.array([(v / 1.8) ** 2 for _, _, v in corners])
    delay, energy = slow[:, None] * (3200.0 - 180.0 * zeros), square[:, None] * (1200.0 + 300.0 * ones)
    unknown, per_corner = np.full_like(delay, np.nan), np.full(len(corners), np.nan)
    return MacProfile(
        head=ProfileHead("made_up", "stationary", 8, 8, 24, 1, "made up", "0" * 64, 500, 9000.0, "made up", 0),
        weights=CODES, corners=tuple(f"{p}_{t:g}_{v:g}" for p, t, v in corners), process=tuple(c[0] for c in corners),
        interpolated=("",) * len(corners), topological_ps=delay, sta_ps=delay, observed_ps=0.5 * delay,
        certified_ps=unknown, certified_lower_ps=unknown.copy(), swap_ps=unknown.copy(), swap_lower_ps=unknown.copy(),
        energy_fj=energy, energy_std_fj=0.2 * energy, energy_p05_fj=0.7 * energy, energy_p50_fj=energy,
        energy_p95_fj=1.4 * energy, register_energy_fj=np.tile(350.0 * square[:, None], 256), n_transitions=300,
        floor_ps=1500.0 * slow, free_ps=3300.0 * slow, leakage_nw=np.full(len(corners), 5.0),
        voltage_v=np.array([v for _, _, v in corners]), temp_c=np.array([t for _, t, _ in corners]),
        hold_slack_ps=per_corner, tolerated_skew_ps=per_corner.copy(), provenance=Provenance("characterize"))


def made_loads(work: Workload, tile: int, array: int, rank: dict[str, float]) -> ModelLoads:
    """Return loads of every linear layer, its tiles dealt at random."""
    rng, layers = np.random.default_rng(7), []
    linear = [product for product in work.products if product.kind == "linear"]
    for at, product in enumerate(linear):
        blocks = (-(-product.n // tile), -(-product.k // tile))
        share = 0.2 + 0.5 * at / len(linear)
        classes = (rng.random(blocks) < share * rng.random((blocks[0], 1)) * 2).astype(np.int8)
        layers.append(layer_of(product.layer, product.n, product.k, classes, tile, array, rank))
    codes = {name: GRIDS[name] for name in BOOKS}
    return ModelLoads("benchmark", array, array, "fold-panel", codes, tuple(layers), 4.1, {})


def layer_of(
    name: str, n_out: int, n_in: int, classes: np.ndarray, tile: int, array: int, rank: dict[str, float]
) -> LayerLoads:
    """Return the loads of one layer from the classes of its tiles."""
    slowness = np.array([rank[book] for book in BOOKS])
    packed = pack_loads(fold_classes(classes, slowness, array // tile), slowness, array // tile, "fold-panel")
    counts = np.zeros((len(BOOKS), 256), dtype=np.int64)
    width = np.diff(np.minimum(np.arange(len(packed) + 1) * tile, n_out))
    depth = np.diff(np.minimum(np.arange(packed.shape[1] + 1) * array, n_in))
    for index, book in enumerate(BOOKS):
        values = int(width @ (packed == index) @ depth)
        drawn = np.exp(-np.abs(np.array(GRIDS[book])) / 40.0)
        counts[index, np.array(GRIDS[book]) + 128] = np.floor(values * drawn / drawn.sum()).astype(np.int64)
        counts[index, 128] += values - counts[index].sum()
    groups = tuple(load_groups(name, BOOKS, packed, counts, np.zeros(len(BOOKS), int), array // tile, "fold-panel",
                               array // tile, classes.shape[1]))
    plan = LayerPlan(name, shared_input_stage(name), n_out, n_in, packed.shape[1], 0, (0,) * 256,
                     tuple(panels_of(packed, BOOKS, tile, n_out, array // tile, "fold-panel")))
    return LayerLoads(plan, groups, digest_of([name, classes.shape, int(classes.sum())]))


def peak_gb() -> float:
    """Return the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def plans(
    loads: ModelLoads, profile: MacProfile, points: PointConfig, works: tuple[Workload, ...], array: int,
    objectives: list[str],
) -> Iterator[tuple[str, DvfsPlan, float]]:
    """Yield one plan per objective with its CPU seconds."""
    options = {"every_voltage": True, "array_rows": array, "array_cols": array}
    most: dict[str, float] = {}
    for name in objectives:
        share = float(name.rpartition("at ")[2].rstrip(" %")) / 100 if "%" in name else 0.0
        wanted = {f"{phase}_tokens_per_s": share * value for phase, value in most.items() if share}
        config = DvfsConfig(objective=name.split(maxsplit=1)[0], **options, **wanted)  # type: ignore[arg-type]
        start = time.process_time()
        plan = plan_loads(loads, profile, points, config, works)
        spent = time.process_time() - start
        most = most or {result.phase: result.tokens / result.time_s for result in plan.results}
        yield name, plan, spent


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--shape", default="llama-2-70b")
    options.add_argument("--profile", type=Path)
    options.add_argument("--voltage", type=float, default=1.8)
    options.add_argument("--tile", type=int, default=128)
    options.add_argument("--array", type=int, default=128)
    options.add_argument("--objectives", default="time,edp,energy,energy at 85 %,energy at 65 %",
                         help="energy at a share of the throughput that the first one reaches")
    chosen = options.parse_args()
    profile = load_mac(chosen.profile) if chosen.profile else made_up_profile()
    shape = find_shape(chosen.shape)
    works = tuple(shape_workload(shape, 2048, 1, 2048, phase) for phase in ("prefill", "decode"))
    start = time.process_time()
    loads = made_loads(works[0], chosen.tile, chosen.array, {"w3-shifted": 1.0, "w4-shifted": 2.0})
    n_tiles = sum(group.n_tiles for layer in loads.layers for group in layer.groups)
    print(f"{chosen.shape}: {n_tiles} tiles of {chosen.tile} x {chosen.tile}, loads in "
          f"{time.process_time() - start:.1f} s")
    print(f"{'objective':>16} {'CPU s':>7} {'GB':>6} | per phase: {'ms':>9} {'mJ':>9} {'changes':>8} {'gap':>8} "
          f"{'corner':>8}")
    points = PointConfig(voltage_v=chosen.voltage)
    for name, plan, spent in plans(loads, profile, points, works, chosen.array, chosen.objectives.split(",")):
        print(f"{name:>16} {spent:>7.1f} {peak_gb():>6.2f}", flush=True)
        for result in plan.results:
            corner = max(result.heuristic / result.bound - 1, 0.0)
            print(f"{result.phase:>44} {1e3 * result.time_s:>9.4g} {result.energy_fj * 1e-12:>9.4g} "
                  f"{len(plan.switches_of('all', result.phase)):>8} {result.gap:>8.1e} {corner:>8.1e}  {result.how}",
                  flush=True)
        check_plan(plan, profile)


if __name__ == "__main__":
    main()
