"""Which tile gets which codebook: loss against time or energy over the loads of the array; a front, or a budget.

A load is what is in the array at once, R x C weights of one matrix, and has one clock: that of its slowest tile. So
loads are assigned, and inside a load each tile takes the codebook of least cost among those that its load allows.
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
from halo.knapsack import Choices, solve
from halo.model import list_linears
from halo.rounding import nearest, search_scales
from halo.sensitivity import LayerSensitivity, Sensitivity
from halo.tiles import TileConfig, TileMap, Variant


@dataclass(frozen=True, eq=False)
class TileLosses:
    """What each tile adds to loss and energy under each codebook.

    Attributes:
        layers: name -> loss, float64 `[codebooks, out tiles, in tiles]`; by the Hessian or Fisher nats per token.
        codebooks: the choices.
        config: tile and array sizes, and the score that weighs errors.
        energy: name -> energy of the tile's operations as a share of W8A8's over the whole model; None: not known.
        price: what all of that energy is worth in loss.
        times: of each codebook's clock over that of all values; (): delays over the slowest codebook's.
    """

    layers: Mapping[str, np.ndarray]
    codebooks: tuple[Codebook, ...]
    config: TileConfig
    energy: Mapping[str, np.ndarray] | None = None
    price: float = 0.0
    times: tuple[float, ...] = ()

    def costs(self, name: str) -> np.ndarray:
        """Return loss and priced energy of one layer's tiles, float64 `[codebooks, out tiles, in tiles]`."""
        return self.layers[name] if self.energy is None else self.layers[name] + self.price * self.energy[name]

    def usage(self, name: str) -> Mapping[str, np.ndarray]:
        """Return what one layer's tiles take of each resource that tiles share, as `layers`."""
        shape = self.layers[name].shape
        bits = np.array([book.index_bits for book in self.codebooks])[:, None, None]
        energy = {} if self.energy is None else {"energy": self.energy[name]}
        return {"bits": np.broadcast_to(bits, shape) / self.n_tiles, **energy}

    @property
    def n_tiles(self) -> int:
        """Tiles of all layers."""
        return sum(int(np.prod(losses.shape[1:])) for losses in self.layers.values())

    @property
    def order(self) -> np.ndarray:
        """Positions of the codebooks by delay: what a load allows is a codebook and all that stand before it."""
        return np.argsort([book.max_delay_ps for book in self.codebooks], kind="stable")


@dataclass(frozen=True, slots=True)
class TilePoint:
    """One point of the front: `slow_share` of the loads are not of the fastest class.

    Attributes:
        time: mean time of a load over that at the clock of all values (see `TileLosses.times`).
        energy: of all operations over W8A8's; NaN where it is not known.
        bits: of an index, mean over tiles.
        loss: summed cost over that of the least possible.
    """

    time: float
    energy: float
    bits: float
    loss: float
    slow_share: float


@dataclass(frozen=True, eq=False)
class TileAssignment:
    """The tile maps of every layer, and the front they were taken from.

    Attributes:
        maps: layer -> its map.
        front: by increasing time (or energy) and falling loss; every vertex of the convex front.
        point: what was taken; of the front for a variant, inside it for a budget.
        gap: at most this share above the least possible loss under the budget; 0 on the front.
    """

    maps: Mapping[str, TileMap]
    front: tuple[TilePoint, ...]
    point: TilePoint
    gap: float = 0.0


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
    model: nn.Module, sensitivity: Sensitivity, codebooks: Sequence[Codebook], config: TileConfig,
    energy: np.ndarray | None = None, price: float = 0.0, times: tuple[float, ...] = (),
) -> TileLosses:
    """Return the loss increase of every tile under every codebook, rounded to nearest with searched scales.

    Args:
        model: what is quantized.
        sensitivity: what its loss says.
        codebooks: the choices.
        config: tile and array sizes.
        energy: of an operation with each value of -128..127, in any unit `[256]`; None where it does not count.
        price: what W8A8's whole energy is worth in loss.
        times: of each codebook's clock over that of all values; (): delays over the slowest codebook's.

    Raises:
        ConfigError: no codebook is given, or the score is unknown.
        ModelError: the model has no layer that tiles fit.
    """
    if not codebooks:
        raise ConfigError("tiles: no codebooks to choose from; give at least one.")
    if config.score not in ("hessian", "fisher", "absgrad"):
        raise ConfigError(f"tiles.score = {config.score!r}; use hessian, fisher or absgrad.")
    layers, spent, whole = {}, {}, 0.0
    for name, linear in list_linears(model).linears.items():
        weight = linear.weight.detach().float().cpu()
        check_fit(name, weight, config)
        statistic = score_statistic(sensitivity.layers[name], config)
        parts = [layer_losses(name, weight, statistic, codebook, config, energy) for codebook in codebooks]
        layers[name], spent[name] = np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])
        if energy is not None:
            whole += float(energy[plain_int8(weight) + 128].sum())
    if energy is None:
        return TileLosses(layers, tuple(codebooks), config, None, 0.0, times)
    shares = {name: value / whole for name, value in spent.items()}
    return TileLosses(layers, tuple(codebooks), config, shares, price, times)


def plain_int8(weight: torch.Tensor) -> np.ndarray:
    """Return W8A8's codes of a weight matrix: a scale per row, nearest, int64 `[out, in]`."""
    scale = (weight.abs().amax(1, keepdim=True) / 127.5).clamp(min=1e-30)
    return torch.round(weight / scale).clamp(-128, 127).long().numpy()


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
    config: TileConfig, energy: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and energy of every tile of one layer under one codebook, float64 `[out tiles, in tiles]`."""
    importance, guided = torch.from_numpy(statistic[0]).float(), statistic[1]
    codes = torch.tensor(codebook.codes, dtype=torch.float32)
    columns, spent = [], []
    for start in range(0, weight.shape[1], config.tile_in):
        part = slice(start, start + config.tile_in)
        scale = search_scales(weight[:, part], importance[:, part], codes, name)[:, None]
        rounded = nearest(weight[:, part] / scale, codes)
        error = (weight[:, part] - rounded * scale).double().numpy()
        spent.append(np.zeros(len(error)) if energy is None else energy[rounded.long().numpy() + 128].sum(1))
        columns.append(row_losses(error, statistic[0][:, part], None if guided is None else guided[part, part]))
    starts = np.arange(0, len(weight), config.tile_out)
    losses, energies = (np.add.reduceat(np.stack(each, axis=1), starts, axis=0) for each in (columns, spent))
    return losses / 2, energies


def row_losses(error: np.ndarray, importance: np.ndarray, guided: np.ndarray | None) -> np.ndarray:
    """Return what each row's error in one tile costs, `[out]`: the quadratic form where there is one."""
    if guided is None:
        return np.asarray((error**2 * importance).sum(1))
    diagonal = np.maximum(np.diagonal(guided), 1e-300)
    row_share = (importance / diagonal[None, :]).max(1)
    return np.asarray(row_share * np.einsum("oi,ij,oj->o", error, guided, error, optimize=True))


@dataclass(frozen=True, eq=False)
class LoadOptions:
    """What each load may be: option j allows its tiles the j + 1 fastest codebooks.

    Attributes:
        cost: loss and priced energy, float64 `[loads, options]`.
        usage: "time", "bits" and, where known, "energy" -> its share of the whole, float64 `[loads, options]`.
    """

    cost: np.ndarray
    usage: Mapping[str, np.ndarray]

    def point(self, picks: np.ndarray) -> TilePoint:
        """Return the sums of one option per load."""
        index = np.arange(len(picks))
        time, bits, energy = (float(self.usage[name][index, picks].sum()) if name in self.usage else float("nan")
                              for name in ("time", "bits", "energy"))
        least = max(float(self.cost.min(1).sum()), 1e-300)
        return TilePoint(time, energy, bits, float(self.cost[index, picks].sum()) / least, float((picks > 0).mean()))


def load_options(losses: TileLosses) -> LoadOptions:
    """Return what each load of all layers may be, layer by layer."""
    order, config = losses.order, losses.config
    max_delay_ps = max(book.max_delay_ps for book in losses.codebooks)
    costs, usages = [], []
    for name in losses.layers:
        cost, usage = losses.costs(name)[order], losses.usage(name)
        best = [cost[: j + 1].argmin(0) for j in range(len(order))]
        costs.append(of_loads(cost, best, config))
        usages.append({what: of_loads(value[order], best, config) for what, value in usage.items()})
    cost = np.concatenate(costs)
    time = np.array(losses.times or [book.max_delay_ps / max_delay_ps for book in losses.codebooks])[order] / len(cost)
    usage = {what: np.concatenate([each[what] for each in usages]) for what in usages[0]}
    return LoadOptions(cost, {"time": np.broadcast_to(time, cost.shape), **usage})


def of_loads(values: np.ndarray, best: list[np.ndarray], config: TileConfig) -> np.ndarray:
    """Return sums over the tiles of every load, `[loads, options]`, from `[codebooks, out tiles, in tiles]`."""
    per_out, per_in = config.array_cols // config.tile_out, config.array_rows // config.tile_in
    taken = np.stack([np.take_along_axis(values, each[None], 0)[0] for each in best])
    summed = np.add.reduceat(taken, np.arange(0, taken.shape[1], per_out), axis=1)
    summed = np.add.reduceat(summed, np.arange(0, taken.shape[2], per_in), axis=2)
    return np.asarray(summed.reshape(len(best), -1).T)


def choose_classes(losses: TileLosses, variant: Variant) -> TileAssignment:
    """Return the tile maps at one point of the front of loss against time, or energy, as `config.spend` says.

    Raises:
        ConfigError: the variant is unknown, or energy is to be spent and is not known.
    """
    options = load_options(losses)
    if losses.config.spend not in options.usage:
        raise ConfigError(f"tiles.spend = {losses.config.spend!r}: no energies were given to weigh.")
    front, picks = convex_front(options, losses.config.spend)
    chosen = pick_point(front, variant, losses.config)
    return TileAssignment(tile_maps(losses, picks[chosen]), front, front[chosen])


def choose_within(losses: TileLosses, budgets: Mapping[str, float]) -> TileAssignment:
    """Return the tile maps of least cost that keep `budgets`: resource -> limit, as in a `TilePoint`.

    Raises:
        ConfigError: no assignment keeps them, or a resource is not known.
    """
    options = load_options(losses)
    if unknown := [name for name in budgets if name not in options.usage]:
        raise ConfigError(f"budget {', '.join(unknown)}: not known of these tiles; known are "
                          f"{', '.join(options.usage)}.")
    found = solve(Choices(options.cost, options.usage), budgets)
    front, _ = convex_front(options, losses.config.spend if losses.config.spend in options.usage else "time")
    return TileAssignment(tile_maps(losses, found.picks), front, options.point(found.picks), found.gap)


def tile_maps(losses: TileLosses, picks: np.ndarray) -> Mapping[str, TileMap]:
    """Return the map of every layer: each tile's codebook of least cost among those that its load allows."""
    order, config = losses.order, losses.config
    per_out, per_in = config.array_cols // config.tile_out, config.array_rows // config.tile_in
    maps, at = {}, 0
    for name in losses.layers:
        cost = losses.costs(name)[order]
        grid = (-(-cost.shape[1] // per_out), -(-cost.shape[2] // per_in))
        option = picks[at : at + grid[0] * grid[1]].reshape(grid).repeat(per_out, 0).repeat(per_in, 1)
        allowed = np.arange(len(order))[:, None, None] <= option[None, : cost.shape[1], : cost.shape[2]]
        classes = order[np.where(allowed, cost, np.inf).argmin(0)]
        maps[name] = TileMap(name, classes.astype(np.int8), config.tile_in, config.tile_out)
        at += grid[0] * grid[1]
    return maps


def convex_front(options: LoadOptions, spend: str) -> tuple[tuple[TilePoint, ...], list[np.ndarray]]:
    """Return every point of the convex front of cost against what is spent, and each point's option per load.

    Starting with every load at what takes least, steps along each load's own convex hull are taken by the cost they
    save per resource: exactly the points that some price of it makes best (Everett's Lagrangian argument).
    """
    used = options.usage[spend]
    first = np.array([np.lexsort((cost, use))[0] for cost, use in zip(options.cost, used, strict=True)])
    steps = sorted(step for load, start in enumerate(first)
                   for step in hull_steps(load, options.cost[load], used[load], int(start)))
    choice = first.copy()
    points, choices = [options.point(choice)], [choice]
    for _, load, option in steps:
        choice = choice.copy()
        choice[load] = option
        points.append(options.point(choice))
        choices.append(choice)
    return tuple(points), choices


def hull_steps(load: int, cost: np.ndarray, used: np.ndarray, start: int) -> list[tuple[float, int, int]]:
    """Return the steps of one load along its convex hull as (-saving per resource, load, option), best first."""
    steps: list[tuple[float, int, int]] = []
    at = start
    while True:
        more, saved = used - used[at], cost[at] - cost
        useful = (more > 0) & (saved > 0)
        if not useful.any():
            return steps
        rates = np.full(len(cost), np.inf)
        np.divide(-saved, more, out=rates, where=useful)
        at = int(rates.argmin())
        steps.append((float(rates[at]), load, at))


def pick_point(front: tuple[TilePoint, ...], variant: Variant, config: TileConfig) -> int:
    """Return the position on the front that a variant stands for.

    Raises:
        ConfigError: the variant is unknown.
    """
    spent, loss = (np.array([getattr(point, axis) for point in front]) for axis in (config.spend, "loss"))
    if variant == "perf-opt":
        return int(np.flatnonzero(spent <= spent[0] + config.perf_time_share * (spent[-1] - spent[0])).max())
    if variant == "acc-opt":
        return int(np.flatnonzero(loss <= loss[-1] * (1 + config.acc_loss_share)).min())
    if variant == "bal":
        across = (spent - spent[0]) / max(spent[-1] - spent[0], 1e-300)
        down = (loss[0] - loss) / max(loss[0] - loss[-1], 1e-300)
        return int(np.argmax(down - across))
    raise ConfigError(f"tiles.variant = {variant!r}; use perf-opt, acc-opt or bal.")
