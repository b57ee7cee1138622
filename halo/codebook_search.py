"""The codebook search: which values a clock class may use, from measured delays and energies and what the loss asks.

Every period is a question: among the values that meet it, which at most K represent the model's weights best, the
energy of each value being priced in loss? The answers form a front of that cost against period; a stated rule takes
one point of it per class. No value is named anywhere: tables and weights decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from torch import nn

from characterization.profile import WEIGHTS, MacProfile
from halo.codebook import Codebook, layered_codebook, make_codebook
from halo.errors import ConfigError
from halo.operating_point import PointConfig, footing, planned_bounds, proposed_period_ps
from halo.prices import PriceConfig, relative_energy
from halo.sensitivity import Sensitivity
from halo.subset import Histogram, Subset, best_subset, describe
from halo.weight_histogram import BINS, REACH, merged, weight_histograms

# How often codes of a streaming MAC are priced anew among those chosen before; a few times settle it.
MIXTURES = 6


@dataclass(frozen=True, slots=True)
class CodebookConfig:
    """How many values each clock class may have, and which point of its front is taken.

    Attributes:
        fast_values, slow_values: the most values of the fast and of the slow class.
        rule: "knee" takes the point of the front farthest below the line between its ends, in period and log cost;
            "slack" takes the least cost within `slack` above the period of the literally fastest values; "price" the
            least cost with the period priced too: the rule to take where energy or time has a price.
        slack: share of the period; 0 allows only what is as fast as the `values` fastest.
        useful: points that cost more than this many times the front's least are no candidates: the fastest values may
            be too few or lie too close together to hold weights at all.
        per_layer: each layer takes the best as many values for itself of all that are as fast as the class.
        fold: rows of the reduction axis that share a scale.
        periods: how many periods of the front are tried.
        scales: how many common scales are tried for each.
    """

    fast_values: int = 9
    slow_values: int = 16
    rule: Literal["knee", "slack", "price"] = "knee"
    slack: float = 0.0
    useful: float = 3.0
    per_layer: bool = False
    fold: int = 128
    periods: int = 40
    scales: int = 12

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ConfigError: a class has fewer than two values, or the fast class more than the slow one; a number is out of
                range.
        """
        if not 2 <= self.fast_values <= self.slow_values <= 256:
            raise ConfigError(f"codebook: need 2 <= fast_values <= slow_values <= 256, not {self.fast_values} and "
                              f"{self.slow_values}.")
        if self.fold < 1 or self.periods < 1 or self.scales < 1:
            raise ConfigError(f"codebook: fold = {self.fold}, periods = {self.periods} and scales = {self.scales} must "
                              "be positive.")
        if self.rule not in ("knee", "slack", "price") or self.slack < 0 or self.useful < 1:
            raise ConfigError(f"codebook: rule {self.rule!r} with slack {self.slack}, useful {self.useful}; use knee "
                              "with useful >= 1, slack >= 0, or price.")


@dataclass(frozen=True, eq=False)
class Question:
    """What every class is searched for in: the weights, the MAC's tables, and what time and energy are worth.

    Attributes:
        layers: layer -> where its weights lie.
    """

    layers: Mapping[str, Histogram]
    profile: MacProfile
    points: PointConfig
    config: CodebookConfig
    prices: PriceConfig

    @cached_property
    def histogram(self) -> Histogram:
        """Where all weights lie."""
        return merged(self.layers.values())

    @cached_property
    def reaches(self) -> np.ndarray:
        """Where the code of largest magnitude may lie, in units of spread."""
        return np.linspace(1.2, 4.4, self.config.scales)

    def of_layer(self, name: str) -> Question:
        """Return the question of one layer alone, energy at the price per weight that it has here."""
        own = self.layers[name]
        share = float(own.count.sum() / self.histogram.count.sum())
        return replace(self, layers={name: own}, prices=replace(self.prices, energy=share * self.prices.energy))


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """The best codes within one period: a point that no other beats in both period and cost.

    Attributes:
        loss: sensitivity-weighted squared error as a share of the weights' sensitivity-weighted energy.
        cost: predicted nats per token by rounding to nearest, and the price of energy.
        energy: mean energy of the weights' codes over that of all values.
        codes: sorted.
        shares: of the weights that each code stands for.
    """

    period_ps: float
    loss: float
    cost: float
    energy: float
    codes: tuple[int, ...]
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassSearch:
    """One clock class: its codebook, the front it was taken from, and why that point.

    Attributes:
        shares: of the weights that each value stands for, float64 `[weight]`.
    """

    codebook: Codebook
    front: tuple[FrontPoint, ...]
    chosen: int
    reason: str
    shares: np.ndarray


@dataclass(frozen=True, slots=True)
class CodebookSearch:
    """The result of a search: fast class first, slow class last."""

    classes: tuple[ClassSearch, ...]

    def mixture(self) -> np.ndarray:
        """Return how often each value occurs where the classes take equally many weights, float64 `[weight]`."""
        return np.asarray(np.mean([search.shares for search in self.classes], axis=0))

    @property
    def codebooks(self) -> tuple[Codebook, ...]:
        """The codebooks, fast class first."""
        return tuple(search.codebook for search in self.classes)

    def named(self, suffix: str) -> CodebookSearch:
        """Return the same search with `suffix` behind the name of every codebook."""
        return CodebookSearch(tuple(
            replace(each, codebook=replace(each.codebook, name=each.codebook.name + suffix)) for each in self.classes))


def make_question(
    model: nn.Module, profile: MacProfile, sensitivity: Sensitivity, config: CodebookConfig,
    points: PointConfig | None = None, prices: PriceConfig | None = None,
) -> Question:
    """Return what classes are searched for in: the weights of `model` on the MAC of `profile`."""
    layers = weight_histograms(model, sensitivity, config.fold)
    return Question(layers, profile, points or PointConfig(), config, prices or PriceConfig())


def search_codebooks(question: Question) -> CodebookSearch:
    """Return the fast and the slow codebook."""
    slow = search_class(question, question.config.slow_values, math.inf)
    fast = search_class(question, question.config.fast_values, slow.front[slow.chosen].period_ps)
    return CodebookSearch((fast, slow))


def search_one(question: Question, values: int) -> ClassSearch:
    """Return the one codebook of at most `values` values for all tiles."""
    return search_class(question, values, math.inf)


def search_class(question: Question, values: int, limit_ps: float) -> ClassSearch:
    """Return the codebook of at most `values` codes within `limit_ps`, taken from its front by the config's rule."""
    profile, points, config = question.profile, question.points, question.config
    front = class_front(question, values, limit_ps)
    slowest = period_of_all(profile, points)
    if config.rule == "slack":
        literal = profile.fastest(values, footing(profile, points).corners, points.arrival)
        fastest = proposed_period_ps(profile, literal, points)
        chosen = pick_within(front, fastest * (1 + config.slack))
        why = f"least cost within {config.slack:.1%} of the {values} fastest values' {fastest:.0f} ps"
    elif config.rule == "price":
        whole = [point.cost + question.prices.time * point.period_ps / slowest for point in front]
        chosen = int(np.argmin(whole))
        why = f"least cost with time at {question.prices.time:g} nats over {len(front)} points"
    else:
        chosen = pick_knee(front, config.useful)
        why = f"knee of log cost against period over {len(front)} points"
    taken = front[chosen]
    gain = f"{slowest / taken.period_ps:.3f}x the clock and {taken.energy:.3f} of the energy of all values"
    reason = f"{why}: {len(taken.codes)} values, {taken.period_ps:.0f} ps, {gain}, loss {taken.loss:.4f}"
    if question.prices.energy:
        reason += f", energy at {question.prices.energy:g} nats"
    if profile.head.weight_mode == "streaming":
        reason += "; ranked with all lanes alike, a set certificate decides"
        known = profile.pair_fj(footing(profile, points).typical) is not None
        reason += ("; energy by previous weight and weight, independent draws from the weights' histogram" if known else
                   "; energy by weight alone: the profile has no pairs of previous weight and weight")
    codebook = make_codebook(f"fast{values}", taken.codes, profile, points)
    shares = spread_shares(profile, taken.codes, taken.shares)
    if config.per_layer:
        codebook, shares = chosen_by_layers(question, codebook, values)
        reason += f"; each layer takes its own at most {values}, {len(codebook.codes)} different ones in all"
    return ClassSearch(codebook, front, chosen, reason, shares)


def chosen_by_layers(question: Question, common: Codebook, values: int) -> tuple[Codebook, np.ndarray]:
    """Return the class in which each layer has the best at most `values` of all values as fast as `common`, and shares.

    The clock stays that of the class, so plans know no more classes than before.
    """
    profile, points = question.profile, question.points
    delay_ps = planned_bounds(profile, points)
    slowest = delay_ps[np.array(common.codes) + 128].max()
    allowed = np.union1d(WEIGHTS[delay_ps <= slowest], [0])
    found = {name: best_codes(question.of_layer(name), allowed, values) for name in question.layers}
    book = layered_codebook(common.name, {name: subset.codes for name, subset in found.items()}, profile, points)
    counts = [histogram.count.sum() for histogram in question.layers.values()]
    spread = [spread_shares(profile, subset.codes, subset.shares) for subset in found.values()]
    return book, np.average(spread, axis=0, weights=counts)


def period_of_all(profile: MacProfile, points: PointConfig) -> float:
    """Return the period that all 256 values need."""
    return proposed_period_ps(profile, WEIGHTS, points)


def class_front(question: Question, values: int, limit_ps: float) -> tuple[FrontPoint, ...]:
    """Return the points of least cost, by increasing period; what is slower without costing less is left out."""
    profile, points, config = question.profile, question.points, question.config
    delay_ps = planned_bounds(profile, points)
    found: list[FrontPoint] = []
    for limit in candidate_delays(profile, points, values, config.periods):
        allowed = np.union1d(WEIGHTS[delay_ps <= limit], [0])
        subset = best_codes(question, allowed, values)
        period_ps = proposed_period_ps(profile, subset.codes, points)
        found.append(FrontPoint(period_ps, subset.loss, subset.cost, subset.energy, subset.codes, subset.shares))
    allowed_points = [point for point in found if point.period_ps <= limit_ps] or found[:1]
    return undominated(allowed_points)


def best_codes(question: Question, allowed: np.ndarray, values: int) -> Subset:
    """Return the best at most `values` of the `allowed` codes.

    Where weights stream, what a code costs depends on which others there are: it is priced among the weights that the
    last choice gives each code, until the choice stays, and the best by its own energy is kept.
    """
    profile, points, n_weights = question.profile, question.points, float(question.histogram.count.sum())
    at, shares = profile.positions(allowed), None
    found: Subset | None = None
    for _ in range(MIXTURES):
        energy = relative_energy(profile, points, shares)
        prices = question.prices.energy * energy / n_weights
        chosen = best_subset(question.histogram, allowed, values, question.reaches, prices[at], energy[at])
        if profile.pair_fj(footing(profile, points).typical) is None:
            return chosen
        before, shares = shares, spread_shares(profile, chosen.codes, chosen.shares)
        spent = float(relative_energy(profile, points, shares) @ shares)
        cost = chosen.loss * question.histogram.energy + question.prices.energy * spent
        if found is None or cost < found.cost:
            found = replace(chosen, energy=spent, cost=cost)
        if before is not None and np.array_equal(before, shares):
            break
    assert found is not None, "at least one mixture is tried"
    return found


def likely_shares(profile: MacProfile, codes: Sequence[int]) -> np.ndarray:
    """Return how often each value occurs where normal weights take these codes at the scale that serves them best."""
    position = np.linspace(-REACH, REACH, BINS)
    count, chosen = np.exp(-(position**2) / 2), np.array(sorted({0, *codes}))
    histogram, free = Histogram(position, count, count), np.zeros(len(chosen))
    widest, picked = max(1, int(np.abs(chosen).max())), tuple(range(len(chosen)))
    best = min((describe(histogram, chosen, picked, float(reach) / widest, free, free)
                for reach in np.linspace(1.2, 4.4, 12)), key=lambda subset: subset.loss)
    return spread_shares(profile, best.codes, best.shares)


def spread_shares(profile: MacProfile, codes: Sequence[int], shares: Sequence[float]) -> np.ndarray:
    """Return the shares of some codes among all of a profile's values, float64 `[weight]`."""
    spread = np.zeros(profile.weights.size)
    spread[profile.positions(codes)] = shares
    return spread


def candidate_delays(profile: MacProfile, points: PointConfig, values: int, count: int) -> np.ndarray:
    """Return at most `count` delays, from that of the `values` fastest values to that of all, float64 `[count]`.

    All distinct delays where they are few enough, else evenly spaced ones among them, both ends kept.
    """
    delay_ps = planned_bounds(profile, points)
    first = delay_ps[profile.fastest(values, footing(profile, points).corners, points.arrival) + 128].max()
    distinct = np.unique(delay_ps[delay_ps >= first])
    picks = np.unique(np.linspace(0, len(distinct) - 1, min(count, len(distinct))).round().astype(int))
    return np.asarray(distinct[picks])


def undominated(points: list[FrontPoint]) -> tuple[FrontPoint, ...]:
    """Return the points by increasing period and falling cost."""
    kept: list[FrontPoint] = []
    for point in sorted(points, key=lambda p: (p.period_ps, p.cost)):
        if not kept or point.cost < kept[-1].cost:
            kept.append(point)
    return tuple(kept)


def pick_knee(front: tuple[FrontPoint, ...], useful: float) -> int:
    """Return the position of the useful point farthest below the line between the ends, in period and log cost.

    Of two useful points the faster is taken.
    """
    first = next(i for i, point in enumerate(front) if point.cost <= useful * front[-1].cost)
    period = np.array([point.period_ps for point in front[first:]])
    cost = np.log(np.array([max(point.cost, 1e-12) for point in front[first:]]))
    if len(period) < 3:
        return first
    across = (period - period[0]) / (period[-1] - period[0])
    down = (cost[0] - cost) / (cost[0] - cost[-1])
    return first + int(np.argmax(down - across))


def pick_within(front: tuple[FrontPoint, ...], period_ps: float) -> int:
    """Return the position of the slowest point within `period_ps`; the first where none is."""
    return max((i for i, point in enumerate(front) if point.period_ps <= period_ps * (1 + 1e-9)), default=0)
