"""Which tile gets which codebook: loss against time over the loads of the array, and points on one front.

A load is what is in the array at once, R x C weights of one matrix, and has one clock: that of its slowest tile. So
loads are assigned, and inside a load each tile takes the codebook of least loss among those the load's clock allows.
Every load takes the same number of cycles; its time is the delay of its class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from halo.codebook import Codebook
from halo.errors import ConfigError, ModelError
from halo.model import list_linears
from halo.rounding import nearest, search_scales
from halo.sensitivity import LayerSensitivity, Sensitivity
from halo.tiles import TileConfig, TileMap, Variant


@dataclass(frozen=True, eq=False)
class TileLosses:
    """What each tile adds to the loss under each codebook.

    Attributes:
        layers: name -> float64 `[codebooks, out tiles, in tiles]`.
        codebooks: the choices.
        config: tile and array sizes, and the score that weighs errors.
    """

    layers: Mapping[str, np.ndarray]
    codebooks: tuple[Codebook, ...]
    config: TileConfig


@dataclass(frozen=True, slots=True)
class TilePoint:
    """One point of the front: `slow_share` of the loads are not of the fastest class.

    Attributes:
        time: mean delay of a load over that of the slowest codebook.
        loss: summed loss increase over that of the least possible.
    """

    time: float
    loss: float
    slow_share: float


@dataclass(frozen=True, eq=False)
class TileAssignment:
    """The tile maps of every layer, and the front they were taken from.

    Attributes:
        maps: layer -> its map.
        front: by increasing time and falling loss; every vertex of the convex front.
        chosen: the position taken.
    """

    maps: Mapping[str, TileMap]
    front: tuple[TilePoint, ...]
    chosen: int
    variant: Variant


def assign_tiles(
    model: nn.Module, sensitivity: Sensitivity, codebooks: Sequence[Codebook], config: TileConfig
) -> TileAssignment:
    """Return which of `codebooks` each tile of `model` uses, for the variant of `config`.

    Raises:
        ConfigError: no codebook is given, or the score is unknown.
        ModelError: the model has no layer that tiles fit.
    """
    return choose_classes(measure_tile_losses(model, sensitivity, codebooks, config), config.variant)


def measure_tile_losses(
    model: nn.Module, sensitivity: Sensitivity, codebooks: Sequence[Codebook], config: TileConfig
) -> TileLosses:
    """Return the loss increase of every tile under every codebook, rounded to nearest with searched scales.

    Raises:
        ConfigError: no codebook is given, or the score is unknown.
        ModelError: the model has no layer that tiles fit.
    """
    if not codebooks:
        raise ConfigError("tiles: no codebooks to choose from; give at least one.")
    if config.score not in ("hessian", "fisher", "absgrad"):
        raise ConfigError(f"tiles.score = {config.score!r}; use hessian, fisher or absgrad.")
    layers = {}
    for name, linear in list_linears(model).linears.items():
        weight = linear.weight.detach().float().cpu()
        check_fit(name, weight, config)
        statistic = score_statistic(sensitivity.layers[name], config)
        parts = [layer_losses(name, weight, statistic, codebook, config) for codebook in codebooks]
        layers[name] = np.stack(parts)
    return TileLosses(layers, tuple(codebooks), config)


def check_fit(name: str, weight: torch.Tensor, config: TileConfig) -> None:
    """Check that a layer is not so small that its tiles would be mostly empty.

    Raises:
        ModelError: not even its fullest tile is a quarter full.
    """
    out_features, in_features = weight.shape
    fullest = min(out_features, config.tile_out) * min(in_features, config.tile_in)
    if 4 * fullest < config.tile_out * config.tile_in:
        raise ModelError(f"{name}: shape {out_features} x {in_features} fills less than a quarter of a tile of "
                         f"{config.tile_out} x {config.tile_in}; set tiles.tile_out and tiles.tile_in smaller.")


def score_statistic(layer: LayerSensitivity, config: TileConfig) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what weighs a squared error `[out, in]`, and for "hessian" also the full `[in, in]` form.

    The Hessian score is the curvature that the loss has if outputs err independently: a row's error e costs
    mean(g_i^2) e H e^T / tokens, with the token weights of the guided Hessian.
    """
    if config.score == "fisher":
        return layer.read("fisher"), None
    if config.score == "absgrad":
        gradients = layer.read("absgrad")
        return gradients / max(float(gradients.sum()), 1e-300), None
    guided, output = layer.read("guided"), layer.read("output")
    share = output / max(float(output.mean()), 1e-300)
    return share[:, None] * np.diagonal(guided)[None, :], guided


def layer_losses(
    name: str, weight: torch.Tensor, statistic: tuple[np.ndarray, np.ndarray | None], codebook: Codebook,
    config: TileConfig,
) -> np.ndarray:
    """Return the loss of every tile of one layer under one codebook, float64 `[out tiles, in tiles]`."""
    importance, guided = torch.from_numpy(statistic[0]).float(), statistic[1]
    codes = torch.tensor(codebook.codes, dtype=torch.float32)
    columns = []
    for start in range(0, weight.shape[1], config.tile_in):
        part = slice(start, start + config.tile_in)
        scale = search_scales(weight[:, part], importance[:, part], codes, name)[:, None]
        error = (weight[:, part] - nearest(weight[:, part] / scale, codes) * scale).double().numpy()
        columns.append(row_losses(error, statistic[0][:, part], None if guided is None else guided[part, part]))
    rows = np.stack(columns, axis=1)
    return np.asarray(np.add.reduceat(rows, np.arange(0, len(rows), config.tile_out), axis=0))


def row_losses(error: np.ndarray, importance: np.ndarray, guided: np.ndarray | None) -> np.ndarray:
    """Return what each row's error in one tile costs, `[out]`: the quadratic form where there is one."""
    if guided is None:
        return np.asarray((error**2 * importance).sum(1))
    diagonal = np.maximum(np.diagonal(guided), 1e-300)
    row_share = (importance / diagonal[None, :]).max(1)
    return np.asarray(row_share * np.einsum("oi,ij,oj->o", error, guided, error, optimize=True))


def choose_classes(losses: TileLosses, variant: Variant) -> TileAssignment:
    """Return the tile maps at one point of the front of loss against time.

    Raises:
        ConfigError: the variant is unknown.
    """
    delays = np.array([codebook.max_delay_ps for codebook in losses.codebooks])
    clocks = np.unique(delays)
    load_losses = np.concatenate([of_loads(value, delays, clocks, losses.config) for value in losses.layers.values()])
    front, choices = convex_front(load_losses, clocks)
    chosen = pick_point(front, variant, losses.config)
    maps, at = {}, 0
    for name, value in losses.layers.items():
        shape = load_grid(value.shape[1:], losses.config)
        picked = choices[chosen][at : at + shape[0] * shape[1]].reshape(shape)
        maps[name] = tile_map(name, value, delays, clocks[picked], losses.config)
        at += picked.size
    return TileAssignment(maps, front, chosen, variant)


def load_grid(tiles: tuple[int, ...], config: TileConfig) -> tuple[int, int]:
    """Return how many loads a grid of tiles makes along outputs and inputs."""
    per_out, per_in = config.array_cols // config.tile_out, config.array_rows // config.tile_in
    return -(-tiles[0] // per_out), -(-tiles[1] // per_in)


def of_loads(losses: np.ndarray, delays: np.ndarray, clocks: np.ndarray, config: TileConfig) -> np.ndarray:
    """Return the loss of every load at every clock, `[loads, clocks]`; a tile takes its best allowed codebook."""
    per_out, per_in = config.array_cols // config.tile_out, config.array_rows // config.tile_in
    best = np.stack([losses[delays <= clock].min(0) for clock in clocks])
    summed = np.add.reduceat(best, np.arange(0, best.shape[1], per_out), axis=1)
    summed = np.add.reduceat(summed, np.arange(0, best.shape[2], per_in), axis=2)
    return np.asarray(summed.reshape(len(clocks), -1).T)


def tile_map(
    name: str, losses: np.ndarray, delays: np.ndarray, load_clock: np.ndarray, config: TileConfig
) -> TileMap:
    """Return the map of a layer: each tile's codebook of least loss among those its load's clock allows."""
    per_out, per_in = config.array_cols // config.tile_out, config.array_rows // config.tile_in
    clock = load_clock.repeat(per_out, 0).repeat(per_in, 1)[: losses.shape[1], : losses.shape[2]]
    allowed = delays[:, None, None] <= clock[None]
    classes = np.where(allowed, losses, np.inf).argmin(0)
    return TileMap(name, classes.astype(np.int8), config.tile_in, config.tile_out)


def convex_front(load_losses: np.ndarray, clocks: np.ndarray) -> tuple[tuple[TilePoint, ...], list[np.ndarray]]:
    """Return every point of the convex front of loss against time, and each point's clock per load.

    Starting with every load at the fastest clock, steps along each load's own convex hull are taken by the loss they
    save per time: exactly the points that some price of time makes best (Everett's Lagrangian argument).
    """
    steps = sorted(step for load in range(len(load_losses)) for step in hull_steps(load, load_losses[load], clocks))
    choice = np.zeros(len(load_losses), dtype=int)
    index = np.arange(len(load_losses))
    least = max(float(load_losses.min(1).sum()), 1e-300)
    points, choices = [], []
    for _, load, clock in [(0.0, -1, 0), *steps]:
        choice = choice.copy()
        if load >= 0:
            choice[load] = clock
        loss = float(load_losses[index, choice].sum()) / least
        points.append(TilePoint(float(clocks[choice].mean() / clocks[-1]), loss, float((choice > 0).mean())))
        choices.append(choice)
    return tuple(points), choices


def hull_steps(load: int, losses: np.ndarray, clocks: np.ndarray) -> list[tuple[float, int, int]]:
    """Return the steps of one load along its convex hull as (-saving per time, load, clock), best first."""
    steps, at = [], 0
    while at < len(clocks) - 1:
        rates = (losses[at + 1 :] - losses[at]) / (clocks[at + 1 :] - clocks[at])
        best = int(rates.argmin())
        if rates[best] >= 0:
            break
        at += 1 + best
        steps.append((float(rates[best]), load, at))
    return steps


def pick_point(front: tuple[TilePoint, ...], variant: Variant, config: TileConfig) -> int:
    """Return the position on the front that a variant stands for.

    Raises:
        ConfigError: the variant is unknown.
    """
    time, loss = (np.array([getattr(point, axis) for point in front]) for axis in ("time", "loss"))
    if variant == "perf-opt":
        return int(np.flatnonzero(time <= time[0] + config.perf_time_share * (time[-1] - time[0])).max())
    if variant == "acc-opt":
        return int(np.flatnonzero(loss <= loss[-1] * (1 + config.acc_loss_share)).min())
    if variant == "bal":
        across = (time - time[0]) / max(time[-1] - time[0], 1e-300)
        down = (loss[0] - loss) / max(loss[0] - loss[-1], 1e-300)
        return int(np.argmax(down - across))
    raise ConfigError(f"tiles.variant = {variant!r}; use perf-opt, acc-opt or bal.")
