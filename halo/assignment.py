"""Which tile gets which codebook: loss against time or energy over the loads of the array; a front, or a budget.

A load is what is in the array at once, R x C weights of one matrix, and has one clock: that of its slowest tile. So
loads are assigned, and inside a load each tile takes the codebook of least cost among those that its load allows.
Every load takes the same number of cycles; its time is the delay of its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from halo.codebook import Codebook
from halo.errors import ConfigError
from halo.knapsack import Choices, solve
from halo.tiles import TileConfig, TileMap, Variant


@dataclass(frozen=True, eq=False)
class TileLosses:
    """What each tile adds to loss and energy under each codebook.

    Attributes:
        layers: name -> loss, float64 `[codebooks, out tiles, in tiles]`; nats per token, but by the score absgrad.
        codebooks: the choices.
        config: tile and array sizes, and the score that weighs errors.
        energy: name -> energy of the tile's operations as a share of W8A8's over the whole model; None: not known.
        price: what all of that energy is worth in loss.
        whole: W8A8's, in the unit of the energies given.
        times: of each codebook's clock over that of all values; (): delays over the slowest codebook's.
    """

    layers: Mapping[str, np.ndarray]
    codebooks: tuple[Codebook, ...]
    config: TileConfig
    energy: Mapping[str, np.ndarray] | None = None
    price: float = 0.0
    times: tuple[float, ...] = ()
    whole: float = float("nan")

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
