"""What an array must do for a workload: groups of loads of one product that share a clock class, and what they hold.

A load is what is in the array at once and has one clock, that of its slowest tile. On a weight-stationary array it is
one fold of rows by one panel of columns; the rows of a fold stay together, because they share a scale. On an
output-stationary array a panel's weights of all folds pass through, on an input-stationary one a fold's of all panels;
on a GPU a whole matrix runs at one clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from characterization.artifact import digest_bytes
from halo.errors import PlanError
from halo.layers import QuantizedLinear, QuantizedModel
from halo.weight_stream import count_followers, pack_followers
from halo.workload import shared_input_stage

# What shares a clock: a fold of a panel, a panel, a fold, or a matrix.
LoadUnit = Literal["fold-panel", "panel", "fold", "matrix"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class LoadGroup:
    """The loads of one product in one clock class.

    Attributes:
        layer: the product.
        codebook: name of the clock class: the slowest among the tiles of each of these loads.
        n_values: weights in these loads, without padding; of one copy, where a product runs several times.
        code_counts: how often each value of -128..127 occurs among them; () where all are equally likely.
        n_sparse: weights of the sparse part that lie among them.
        leads: whether fill and drain of the product are booked here: the slowest class does.
        followers: how often each value follows another where weights move every cycle, packed by `weight_stream.py`; ''
            where that is not known or does not matter.
    """

    layer: str
    codebook: str
    n_loads: int
    n_tiles: int
    n_values: int
    code_counts: tuple[int, ...]
    n_sparse: int
    leads: bool
    followers: str = ""


@dataclass(frozen=True, slots=True)
class Panels:
    """Outputs whose columns hold loads of exactly these classes.

    Attributes:
        visits: how often the columns are entered at least, whatever the order: 1, or once per fold where other columns
            share the loads of each fold.
    """

    codebooks: tuple[str, ...]
    n_outputs: int
    visits: int


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A quantized layer as an accelerator sees it, its loads apart.

    Attributes:
        stage: the dependent stage: matrices that share an input.
        n, k: outputs and inputs.
        n_scalings: scales per output channel: one per fold, or one in all.
        n_sparse_rows: outputs that have a sparse part.
        sparse_counts: how often each value of -128..127 occurs in the sparse part.
        panels: which classes meet in the same columns.
    """

    layer: str
    stage: str
    n: int
    k: int
    n_scalings: int
    n_sparse_rows: int
    sparse_counts: tuple[int, ...]
    panels: tuple[Panels, ...] = ()

    @property
    def n_sparse(self) -> int:
        """Weights kept in the sparse part."""
        return sum(self.sparse_counts)


@dataclass(frozen=True, slots=True)
class LayerLoads:
    """A layer with its loads by clock class, slowest first, and the digest of its codes and scales."""

    plan: LayerPlan
    groups: tuple[LoadGroup, ...]
    digest: str


@dataclass(frozen=True, eq=False)
class ModelLoads:
    """A quantized model as a planner sees it: no weights, only what its loads hold.

    Attributes:
        codebooks: values of each clock class, in the model's order.
        bits: all bits stored per quantized weight.
    """

    method: str
    rows: int
    cols: int
    unit: LoadUnit
    codebooks: Mapping[str, tuple[int, ...]]
    layers: tuple[LayerLoads, ...]
    bits: float
    skipped: Mapping[str, str]


def model_loads(
    quantized: QuantizedModel, rank: Mapping[str, float], rows: int, cols: int, unit: LoadUnit = "fold-panel",
    progress: Progress | None = None, lanes: int = 0,
) -> ModelLoads:
    """Return the loads of a quantized model on an array of `rows` x `cols`.

    Args:
        quantized: the model.
        rank: slowness of each codebook by name; a load takes the slowest of its tiles.
        rows: of the array, and the fold of scales.
        cols: of the array.
        unit: what shares a clock.
        progress: told layers done and in all.
        lanes: of a MAC whose weights move every cycle: what follows what in them is counted; 0 counts nothing.

    Raises:
        PlanError: tiles that do not divide the array, or scales of another fold.
    """
    layers = []
    for done, layer in enumerate(quantized.layers):
        check_geometry(layer, rows, cols)
        layers.append(layer_loads(layer, [book.name for book in quantized.codebooks], rank, rows, cols, unit,
                                  lanes))
        if progress:
            progress(done + 1, len(quantized.layers))
    return ModelLoads(quantized.method, rows, cols, unit, {book.name: book.codes for book in quantized.codebooks},
                      tuple(layers), quantized.effective_bits().total, dict(quantized.skipped))


def check_geometry(layer: QuantizedLinear, rows: int, cols: int) -> None:
    """Refuse a layer whose tiles or scales do not fit the array.

    Raises:
        PlanError: with the layer, its figures and the array's.
    """
    tiles, (n_out, n_in) = layer.tiles, layer.codes.shape
    if rows % tiles.tile_in or cols % tiles.tile_out:
        raise PlanError(f"{layer.name}: tiles of {tiles.tile_in} x {tiles.tile_out} (in x out) do not divide an array "
                        f"of {rows} x {cols}; set divisors as tiles.tile_in, tiles.tile_out.")
    blocks = (-(-n_out // tiles.tile_out), -(-n_in // tiles.tile_in))
    if tiles.classes.shape != blocks:
        raise PlanError(f"{layer.name}: its tile map is {list(tiles.classes.shape)}, its {n_out} x {n_in} codes need "
                        f"{list(blocks)}; quantize it again.")
    n_folds = -(-n_in // rows)
    if layer.scales.shape[1] not in {1, n_folds}:
        raise PlanError(f"{layer.name}: {layer.scales.shape[1]} scales per output, but an array of {rows} rows cuts "
                        f"{n_in} inputs into {n_folds} folds; quantize with tiles.array_rows = {rows}.")


def layer_loads(
    layer: QuantizedLinear, names: Sequence[str], rank: Mapping[str, float], rows: int, cols: int, unit: LoadUnit,
    lanes: int = 0,
) -> LayerLoads:
    """Return the loads of one layer."""
    slowness = np.array([rank[name] for name in names])
    tiles = layer.tiles
    classes = fold_classes(tiles.classes, slowness, rows // tiles.tile_in)
    per_load = cols // tiles.tile_out
    packed = pack_loads(classes, slowness, per_load, unit)
    counts = count_values(layer, packed, rows)
    sparse = count_sparse(layer, packed, rows, len(names))
    n_out, n_in = layer.codes.shape
    groups = list(load_groups(layer.name, names, packed, counts, sparse, per_load, unit,
                              -(-min(rows, n_in) // tiles.tile_in), -(-n_in // tiles.tile_in)))
    groups.sort(key=lambda group: -rank[group.codebook])
    if lanes and unit != "fold-panel":
        per_weight = packed_weights(layer, packed, rows)
        groups = [replace(group, followers=followers_of(layer.codes, per_weight == names.index(group.codebook), unit,
                                                        lanes)) for group in groups]
    plan = LayerPlan(
        layer.name, shared_input_stage(layer.name), n_out, n_in, layer.scales.shape[1],
        int(np.unique(layer.sparse_rows).size), count_codes(layer.sparse_values),
        tuple(panels_of(packed, names, tiles.tile_out, n_out, per_load, unit)))
    return LayerLoads(plan, tuple(replace(group, leads=i == 0) for i, group in enumerate(groups)),
                      digest_bytes(layer.codes.tobytes() + layer.scales.tobytes()))


def fold_classes(classes: np.ndarray, slowness: np.ndarray, per_fold: int) -> np.ndarray:
    """Return the slowest class among the tiles of each fold, `[out blocks, folds]`."""
    starts = np.arange(0, classes.shape[1], per_fold)
    order = np.argsort(slowness, kind="stable")
    ranks = np.empty(len(slowness), dtype=np.int64)
    ranks[order] = np.arange(len(slowness))
    return np.asarray(order[np.maximum.reduceat(ranks[classes.astype(np.int64)], starts, axis=1)])


def pack_loads(classes: np.ndarray, slowness: np.ndarray, per_load: int, unit: LoadUnit) -> np.ndarray:
    """Return the class of the load that each column block goes into, `[out blocks, folds]`.

    The column blocks of a fold are packed slowest first, so that slow tiles share loads; elsewhere than in a
    weight-stationary array all that shares a clock takes the slowest.
    """
    if unit == "matrix":
        return np.full_like(classes, classes.flat[slowness[classes].argmax()])
    if unit == "fold":
        return np.broadcast_to(classes[slowness[classes].argmax(axis=0), np.arange(classes.shape[1])], classes.shape)
    if unit == "panel":
        slowest = classes[np.arange(len(classes)), slowness[classes].argmax(axis=1)]
        return np.broadcast_to(pack_fold(slowest, slowness, per_load)[:, None], classes.shape)
    if per_load == 1:
        return classes
    return np.stack([pack_fold(column, slowness, per_load) for column in classes.T], axis=1)


def pack_fold(classes: np.ndarray, slowness: np.ndarray, per_load: int) -> np.ndarray:
    """Return the class of the load of each column block, where `per_load` of them share one, slowest first."""
    order = np.argsort(-slowness[classes], kind="stable")
    result = np.empty_like(classes)
    result[order] = classes[order][(np.arange(len(classes)) // per_load) * per_load]
    return result


def count_values(layer: QuantizedLinear, packed: np.ndarray, rows: int) -> np.ndarray:
    """Return how often each value occurs in the loads of each class, `[class, 256]`."""
    n_out, n_in = layer.codes.shape
    counts = np.zeros((int(packed.max()) + 1, 256), dtype=np.int64)
    for fold in range(packed.shape[1]):
        columns = layer.codes[:, fold * rows:min((fold + 1) * rows, n_in)]
        per_row = np.repeat(packed[:, fold], layer.tiles.tile_out)[:n_out]
        for index in np.unique(per_row):
            counts[index] += np.bincount(columns[per_row == index].reshape(-1).astype(np.int64) + 128, minlength=256)
    return counts


def packed_weights(layer: QuantizedLinear, packed: np.ndarray, rows: int) -> np.ndarray:
    """Return the class of the load of each weight, `[out, in]`."""
    n_out, n_in = layer.codes.shape
    return np.repeat(np.repeat(packed, layer.tiles.tile_out, axis=0)[:n_out], rows, axis=1)[:, :n_in]


def followers_of(codes: np.ndarray, mine: np.ndarray, unit: LoadUnit, lanes: int) -> str:
    """Return, packed, how often values of a class's weights `mine` `[out, in]` follow each other in a lane."""
    along_inputs = unit != "fold"
    whole = mine.all(axis=1) if along_inputs else mine.all(axis=0)
    own = codes[whole] if along_inputs else codes[:, whole]
    return pack_followers(count_followers(own, lanes, along_inputs=along_inputs)) if own.size else ""


def count_sparse(layer: QuantizedLinear, packed: np.ndarray, rows: int, n_classes: int) -> np.ndarray:
    """Return how many sparse weights lie among the loads of each class, `[class]`."""
    classes = packed[layer.sparse_rows // layer.tiles.tile_out, layer.sparse_cols // rows]
    return np.bincount(classes.astype(np.int64), minlength=n_classes)


def count_codes(codes: np.ndarray) -> tuple[int, ...]:
    """Return how often each value of -128..127 occurs, 256 counts."""
    return tuple(np.bincount(codes.reshape(-1).astype(np.int64) + 128, minlength=256).tolist())


def load_groups(
    name: str, names: Sequence[str], packed: np.ndarray, counts: np.ndarray, sparse: np.ndarray, per_load: int,
    unit: LoadUnit, tiles_per_fold: int, n_in_blocks: int,
) -> Iterator[LoadGroup]:
    """Yield one group per clock class of a layer; `n_loads` counts what the unit counts, a matrix being one."""
    n_folds = packed.shape[1]
    tiles_in = np.full(n_folds, tiles_per_fold)
    tiles_in[-1] = n_in_blocks - tiles_per_fold * (n_folds - 1)
    for index in np.unique(packed):
        mine = packed == index
        # Blocks of a fold are packed slowest first, so that those of one class fill loads of their own.
        n_loads = {"fold-panel": int((-(-mine.sum(axis=0) // per_load)).sum()),
                   "panel": -(-int(mine[:, 0].sum()) // per_load), "fold": int(mine[0].sum()), "matrix": 1}[unit]
        yield LoadGroup(name, names[index], n_loads, int((mine.sum(axis=0) * tiles_in).sum()),
                        int(counts[index].sum()), tuple(counts[index].tolist()), int(sparse[index]), leads=False)


def panels_of(
    packed: np.ndarray, names: Sequence[str], tile_out: int, n_out: int, per_load: int, unit: LoadUnit
) -> Iterator[Panels]:
    """Yield which classes the loads of each column block have, blocks with the same ones together."""
    if unit != "fold-panel":
        return
    # Where several blocks share a load, each fold packs them anew, and no panel's folds follow each other.
    visits = packed.shape[1] if per_load > 1 else 1
    width = np.diff(np.minimum(np.arange(len(packed) + 1) * tile_out, n_out))
    present = np.stack([(packed == index).any(axis=1) for index in range(len(names))], axis=1)
    kinds, which = np.unique(present, axis=0, return_inverse=True)
    for at, kind in enumerate(kinds):
        yield Panels(tuple(name for name, has in zip(names, kind, strict=True) if has),
                     int(width[which.reshape(-1) == at].sum()), visits)
