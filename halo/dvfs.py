"""plan_dvfs(): the clock of every array load, in the order that changes it least."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from characterization.artifact import Provenance, digest_bytes, digest_of
from characterization.profile import MacProfile
from halo.errors import PlanError
from halo.operating_point import PointConfig, footing, operating_point
from halo.plan import (
    ALL_VALUES,
    SWITCH_PRESETS,
    ClockClass,
    DvfsConfig,
    DvfsPlan,
    LayerPlan,
    Segment,
    Switch,
    Transition,
)
from halo.switching import Block, order_blocks
from halo.workload import ATTENTION_INPUT, shared_input_stage

if TYPE_CHECKING:
    from halo.codebook import Codebook
    from halo.layers import QuantizedLinear, QuantizedModel

__all__ = ["DvfsConfig", "DvfsPlan", "Segment", "check_plan", "plan_dvfs"]

PS_PER_NS = 1000.0
FJ_PER_NW_NS = 1e-3
FJ_PER_MW_NS = 1e3
ALL_CODES = np.arange(-128, 128)
Progress = Callable[[int, int], None]


def plan_dvfs(
    quantized: QuantizedModel, profile: MacProfile, points: PointConfig, config: DvfsConfig,
    progress: Progress | None = None,
) -> DvfsPlan:
    """Return the plan: the clock class of every load, grouped and ordered so that the clock changes least.

    Raises:
        PlanError: tiles that do not divide the array, scales of another fold, or no operating point.
    """
    classes = clock_classes(quantized.codebooks, profile, points)
    layers: list[LayerPlan] = []
    segments: dict[str, list[Segment]] = {}
    hashes: list[str] = []
    for done, layer in enumerate(quantized.layers):
        check_geometry(layer, config)
        stage = shared_input_stage(layer.name)
        layers.append(layer_plan(layer, stage))
        segments.setdefault(stage, []).extend(layer_segments(layer, stage, classes, config))
        hashes.append(digest_bytes(layer.codes.tobytes() + layer.scales.tobytes()))
        if progress:
            progress(done + 1, len(quantized.layers))
    blocks = order_blocks(stage_blocks(segments), alternating=config.order == "alternating")
    ordered = tuple(s for block in blocks for s in segments.get(block.stage, ()) if s.codebook == block.codebook)
    switches = find_switches(blocks, classes, profile, points, config)
    inputs = {"profile": profile.digest, "model": digest_of(hashes)}
    return DvfsPlan(
        method=quantized.method, rows=config.array_rows, cols=config.array_cols, classes=tuple(classes.values()),
        layers=tuple(layers), segments=ordered, switches=switches, effective_bits=quantized.effective_bits().total,
        skipped=dict(quantized.skipped), points=points, config=config,
        frequency_only=why_frequency_only(profile, points),
        assumptions=assumptions(classes, profile, points, config),
        provenance=Provenance("plan", inputs, {"method": quantized.method}),
    )


def clock_classes(
    codebooks: tuple[Codebook, ...], profile: MacProfile, points: PointConfig
) -> Mapping[str, ClockClass]:
    """Return the clock class of each codebook by name, and the class of all 256 values."""
    if len({book.name for book in codebooks}) != len(codebooks):
        raise PlanError(f"two codebooks share a name: {', '.join(book.name for book in codebooks)}; rename one.")
    sets = launched_together(codebooks, profile.head.weight_mode)
    classes = {book.name: clock_class(book.name, book.codes, sets[book.name], profile, points) for book in codebooks}
    everything = tuple(int(code) for code in profile.weights)
    whole = clock_class(ALL_VALUES, everything, everything, profile, points)
    if classes.setdefault(ALL_VALUES, whole).codes != whole.codes:
        raise PlanError(f"a codebook named {ALL_VALUES!r} has {len(classes[ALL_VALUES].codes)} values; rename it.")
    return classes


def launched_together(codebooks: Sequence[Codebook], weight_mode: str) -> dict[str, tuple[int, ...]]:
    """Return for each codebook the values that share its clock, by name; its own where weights are stationary.

    Tiles of faster codebooks ride in the loads of slower ones. Where weights stream, a value of one may then follow a
    value of the other, so that the codebooks are nested: each with all that stand before it, fast ones first.
    """
    if weight_mode != "streaming":
        return {book.name: book.codes for book in codebooks}
    sets: dict[str, tuple[int, ...]] = {}
    together: set[int] = set()
    for book in codebooks:
        together |= set(book.codes)
        sets[book.name] = tuple(sorted(together))
    return sets


def clock_class(
    name: str, codes: tuple[int, ...], together: tuple[int, ...], profile: MacProfile, points: PointConfig
) -> ClockClass:
    """Return the clock class of one codebook, whose values launch `together` with those of faster ones."""
    point = operating_point(profile, together, points, name)
    return ClockClass(name, codes, point.voltage_v, point.period_ps, point.delay_ps, point.corner, point.basis,
                      point.signed_off, point.capped)


def check_geometry(layer: QuantizedLinear, config: DvfsConfig) -> None:
    """Refuse a layer whose tiles or scales do not fit the array.

    Raises:
        PlanError: with the layer, its figures and the array's.
    """
    tiles, (n_out, n_in) = layer.tiles, layer.codes.shape
    if config.array_rows % tiles.tile_in or config.array_cols % tiles.tile_out:
        raise PlanError(f"{layer.name}: tiles of {tiles.tile_in} x {tiles.tile_out} (in x out) do not divide an array "
                        f"of {config.array_rows} x {config.array_cols}; set divisors as tiles.tile_in, tiles.tile_out.")
    blocks = (-(-n_out // tiles.tile_out), -(-n_in // tiles.tile_in))
    if tiles.classes.shape != blocks:
        raise PlanError(f"{layer.name}: its tile map is {list(tiles.classes.shape)}, its {n_out} x {n_in} codes need "
                        f"{list(blocks)}; quantize it again.")
    n_folds = -(-n_in // config.array_rows)
    if layer.scales.shape[1] not in {1, n_folds}:
        raise PlanError(f"{layer.name}: {layer.scales.shape[1]} scales per output, but an array of {config.array_rows} "
                        f"rows cuts {n_in} inputs into {n_folds} folds; quantize with tiles.array_rows = "
                        f"{config.array_rows}.")


def layer_plan(layer: QuantizedLinear, stage: str) -> LayerPlan:
    """Return what an accelerator must know of a layer beside its segments."""
    n_out, n_in = layer.codes.shape
    return LayerPlan(layer.name, stage, n_out, n_in, layer.scales.shape[1],
                     int(np.unique(layer.sparse_rows).size), count_codes(layer.sparse_values))


def count_codes(codes: np.ndarray) -> tuple[int, ...]:
    """Return how often each value of -128..127 occurs, 256 counts."""
    counts = np.bincount(codes.reshape(-1).astype(np.int64) + 128, minlength=256)
    return tuple(int(count) for count in counts)


def layer_segments(
    layer: QuantizedLinear, stage: str, classes: Mapping[str, ClockClass], config: DvfsConfig
) -> list[Segment]:
    """Return one segment per clock class that the loads of `layer` need.

    A load takes the slowest class among its tiles. The rows of a fold stay together, because they share a scale; its
    column blocks are packed slowest first, so that slow tiles share loads.
    """
    names = list(classes)
    load_class = pack_loads(layer, np.array([classes[name].period_ps for name in names]), config)
    n_out, n_in = layer.codes.shape
    tile_out, rows = layer.tiles.tile_out, config.array_rows
    counts = np.zeros((len(names), 256), dtype=np.int64)
    for fold in range(load_class.shape[1]):
        columns = layer.codes[:, fold * rows:(fold + 1) * rows]
        per_row = np.repeat(load_class[:, fold], tile_out)[:n_out]
        for index in np.unique(per_row):
            counts[index] += count_codes(columns[per_row == index])
    in_blocks = np.minimum(rows, n_in - np.arange(load_class.shape[1]) * rows)
    tiles_per_fold = -(-in_blocks // layer.tiles.tile_in)
    per_load = config.array_cols // tile_out
    result = []
    for index in np.unique(load_class):
        point, mine = classes[names[index]], load_class == index
        # Blocks of a fold are packed slowest first: the first of each group names the load.
        n_loads = int(sum(n_loads_of(load_class[:, fold], int(index), per_load) for fold in range(load_class.shape[1])))
        result.append(Segment(
            layer=layer.name, stage=stage, codebook=point.name, n_loads=n_loads,
            n_tiles=int((mine * tiles_per_fold).sum()), n_values=int(counts[index].sum()),
            code_counts=tuple(int(count) for count in counts[index]), voltage_v=point.voltage_v,
            period_ps=point.period_ps))
    return result


def n_loads_of(block_class: np.ndarray, index: int, per_load: int) -> int:
    """Return how many loads of a fold have class `index`; every load's blocks carry its class."""
    return -(-int((block_class == index).sum()) // per_load)


def pack_loads(layer: QuantizedLinear, period_ps: np.ndarray, config: DvfsConfig) -> np.ndarray:
    """Return the class index of the load that each column block goes into, `[out blocks, folds]`.

    `period_ps` is per class index of the tile map, the slower the larger.
    """
    tiles = layer.tiles
    per_fold, per_load = config.array_rows // tiles.tile_in, config.array_cols // tiles.tile_out
    n_blocks, n_in_blocks = tiles.classes.shape
    n_folds = -(-n_in_blocks // per_fold)
    result = np.empty((n_blocks, n_folds), dtype=np.int64)
    for fold in range(n_folds):
        members = tiles.classes[:, fold * per_fold:(fold + 1) * per_fold].astype(np.int64)
        slowest = members[np.arange(n_blocks), period_ps[members].argmax(axis=1)]
        order = np.argsort(-period_ps[slowest], kind="stable")
        leaders = slowest[order][(np.arange(n_blocks) // per_load) * per_load]
        result[order, fold] = leaders
    return result


def stage_blocks(segments: Mapping[str, list[Segment]]) -> list[list[Block]]:
    """Return per dependent stage the clock classes it needs; attention and head are stages of the all-values class."""
    stages = []
    for stage, members in segments.items():
        names = list(dict.fromkeys(segment.codebook for segment in members))
        stages.append([Block(stage, name, False) for name in names])
        leaves = {segment.layer.rpartition(".")[2] for segment in members}
        if leaves & ATTENTION_INPUT:
            stages.append([Block(f"{stage} (attention)", ALL_VALUES, True)])
    stages.append([Block("lm_head", ALL_VALUES, True)])
    return stages


def find_switches(
    blocks: list[Block], classes: Mapping[str, ClockClass], profile: MacProfile, points: PointConfig, config: DvfsConfig
) -> tuple[Switch, ...]:
    """Return every clock change of a pass, with and without the products that always run in the all-values class.

    The pass is a circle: the next one (another prompt, the next token) begins in the class this one began with.
    """
    result = []
    for scope, chosen in (("linear", [b for b in blocks if not b.fixed]), ("all", blocks)):
        for before, after in zip(chosen, chosen[1:] + chosen[:1], strict=True):
            old, new = classes[before.codebook], classes[after.codebook]
            if (old.period_ps, old.voltage_v) != (new.period_ps, new.voltage_v):
                transition = transition_cost(old, new, profile, points, config)
                result.append(Switch("linear" if scope == "linear" else "all", before.stage, after.stage, old.name,
                                     new.name, before.stage == after.stage, max(old.period_ps, new.period_ps),
                                     transition))
    return tuple(result)


def transition_cost(
    old: ClockClass, new: ClockClass, profile: MacProfile, points: PointConfig, config: DvfsConfig
) -> Transition:
    """Return time and energy of one change: the clock's own, the supply's where it moves, and leakage meanwhile.

    Energy of the supply is (1 - eta) C |V1^2 - V2^2| (Burd).
    """
    preset = SWITCH_PRESETS[config.switch]
    moves = old.voltage_v != new.voltage_v
    time_ns = preset.clock_ns + (preset.supply_ns if moves else 0.0) + max(old.period_ps, new.period_ps) / PS_PER_NS
    index = profile.corner_index(footing(profile, points).typical)
    leakage_fj = config.array_rows * config.array_cols * profile.leakage_nw[index] * time_ns * FJ_PER_NW_NS
    supply_fj = (1 - config.supply_efficiency) * config.rail_ff * abs(old.voltage_v**2 - new.voltage_v**2)
    clock_fj = preset.clock_mw * time_ns * FJ_PER_MW_NS
    return Transition(time_ns, float(leakage_fj + supply_fj + clock_fj))


def why_frequency_only(profile: MacProfile, points: PointConfig) -> str:
    """Return why no voltage is planned."""
    n_typical = len(profile.grid.of_speed("typical"))
    if n_typical == 1:
        return "frequency only: one typical voltage in the profile"
    return f"frequency only: {footing(profile, points).voltage_v:g} V was given, one of {n_typical}"


def assumptions(
    classes: Mapping[str, ClockClass], profile: MacProfile, points: PointConfig, config: DvfsConfig
) -> tuple[str, ...]:
    """Return what the plan rests on, one sentence each."""
    preset = SWITCH_PRESETS[config.switch]
    bubble = ("one bubble per load, so that a weight is visible one full cycle before the first captured result"
              if points.bubble else "no bubble per load: periods hold for weights that launch with the activations")
    by_basis: dict[str, list[str]] = {}
    for item in classes.values():
        by_basis.setdefault(item.basis, []).append(item.name)
    result = [f"periods of {', '.join(names)} rest on: {basis}" for basis, names in by_basis.items()]
    result += [
        hold_words(profile, points),
        f"clock changes by {config.switch}: {preset.source}",
        bubble,
        "loads reorder only within one matrix or among matrices with one input (q, k, v; gate, up)",
        "attention products and lm_head run in the all-values class for every method",
    ]
    capped = [c.name for c in classes.values() if c.capped]
    if capped:
        result.append(f"clock held by the cap of what is not the MAC: {', '.join(capped)}")
    return tuple(result)


def hold_words(profile: MacProfile, points: PointConfig) -> str:
    """Return what is known of hold: the corner that tolerates least skew, against the skew that periods allow for."""
    if np.isnan(profile.tolerated_skew_ps).all():
        return "hold is not checked in this profile: a skew between neighbours is added to periods, nothing more"
    worst = int(np.nanargmin(profile.tolerated_skew_ps))
    tolerated_ps = float(profile.tolerated_skew_ps[worst])
    kept = "kept" if points.skew_ps <= tolerated_ps else "VIOLATED: insert delay, or lower the skew"
    return f"hold at a skew of {points.skew_ps:g} ps: {kept}; {profile.corners[worst]} tolerates {tolerated_ps:.1f} ps"


def check_plan(plan: DvfsPlan, profile: MacProfile) -> None:
    """Derive every period again from the profile's delays, and refuse a plan that contradicts them.

    Raises:
        PlanError: a class or segment is clocked faster than its slowest value allows, a value lies outside its
            class, or the plan was made from another profile; all violations in one message.
    """
    by_name = {item.name: item for item in plan.classes}
    faults = []
    for item in plan.classes:
        together = values_within(plan, item.period_ps, item.codes, profile)
        need = operating_point(profile, together, plan.points, item.name)
        if item.period_ps < need.period_ps - 1e-6 or item.voltage_v != need.voltage_v:
            faults.append(f"class {item.name} is clocked at {item.period_ps:.2f} ps and {item.voltage_v:g} V, its "
                          f"values need {need.period_ps:.2f} ps at {need.voltage_v:g} V")
    for segment in plan.segments:
        used = ALL_CODES[np.array(segment.code_counts) > 0]
        allowed = {code for item in plan.classes for code in item.codes if item.period_ps <= segment.period_ps}
        outside = sorted(set(used.tolist()) - allowed)
        if outside:
            faults.append(f"{segment.layer}: value {outside[0]} is in no class as fast as {segment.codebook}")
        together = values_within(plan, segment.period_ps, used.tolist(), profile)
        need = operating_point(profile, together, plan.points, segment.codebook)
        if segment.period_ps < need.period_ps - 1e-6 or segment.period_ps != by_name[segment.codebook].period_ps:
            faults.append(f"{segment.layer}: segment {segment.codebook} is clocked at {segment.period_ps:.2f} ps, its "
                          f"values need {need.period_ps:.2f} ps")
    if plan.provenance.inputs["profile"] != profile.digest:
        faults.append("it was made from another profile")
    if faults:
        raise PlanError(f"plan of {plan.method}: {'; '.join(faults)}. Make it again with `halo plan`.")


def values_within(plan: DvfsPlan, period_ps: float, codes: Sequence[int], profile: MacProfile) -> tuple[int, ...]:
    """Return the values whose delay a period must cover: `codes`, or where weights stream all values that fast."""
    if profile.head.weight_mode != "streaming":
        return tuple(codes)
    together = {code for item in plan.classes for code in item.codes if item.period_ps <= period_ps}
    return tuple(sorted(together | set(codes)))
