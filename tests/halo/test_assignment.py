from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from halo.assignment import (
    LoadOptions,
    TileLosses,
    choose_classes,
    choose_within,
    convex_front,
)
from halo.codebook import Codebook
from halo.errors import ConfigError, ModelError
from halo.tile_losses import check_fit, measure_tile_losses
from halo.tiles import TileConfig, uniform_map

FAST = Codebook("fast", (-64, -32, 0, 32, 64), 1000.0)
SLOW = Codebook("slow", tuple(range(-96, 97, 16)), 1500.0)
CONFIG = TileConfig(tile_in=16, tile_out=16, array_rows=32, array_cols=32)
VARIANTS = ("perf-opt", "bal", "acc-opt")


@pytest.fixture
def losses(case):
    return measure_tile_losses(case.loaded.model, case.sensitivity, (FAST, SLOW), CONFIG)


def made_up(seed=0, shape=(6, 5), books=(FAST, SLOW), config=CONFIG):
    rng = np.random.default_rng(seed)
    values = np.sort(rng.random((len(books), *shape)), axis=0)[::-1]
    return TileLosses({"a": values, "b": 3 * values[:, :2]}, books, config)


def test_variants_lie_on_one_front_from_fast_to_accurate(losses):
    points = [choose_classes(losses, variant) for variant in VARIANTS]
    assert all(a.point.time <= b.point.time and a.point.loss >= b.point.loss for a, b in pairwise(points))
    assert all(point.point in point.front for point in points)
    assert all(a.time < b.time and a.loss > b.loss for a, b in pairwise(points[0].front))


def test_every_layer_gets_a_map_that_covers_its_edge_tiles(case, losses):
    maps = choose_classes(losses, "bal").maps
    for name, moments in case.sensitivity.layers.items():
        out_features, in_features = moments.read("fisher").shape
        assert maps[name].classes.shape == (-(-out_features // 16), -(-in_features // 16))
        assert maps[name].sizes(out_features, in_features).sum() == out_features * in_features
        assert maps[name].of_weights(out_features, in_features).shape == (out_features, in_features)


def test_perf_opt_is_nearly_all_fast_and_acc_opt_nearly_as_good_as_all_slow(losses):
    fast, accurate = choose_classes(losses, "perf-opt"), choose_classes(losses, "acc-opt")
    assert fast.point.slow_share <= 0.02
    assert accurate.point.loss <= 1.05


def test_all_tiles_of_a_load_keep_to_the_loads_clock():
    """In a fast load no tile is slow; in a slow one every tile that gains by it is."""
    losses = made_up()
    for name, tiles in choose_classes(losses, "bal").maps.items():
        gains = losses.layers[name][0] > losses.layers[name][1]
        for row, col in product(range(0, tiles.classes.shape[0], 2), range(0, tiles.classes.shape[1], 2)):
            load = tiles.classes[row : row + 2, col : col + 2]
            assert (load == 0).all() or (load == gains[row : row + 2, col : col + 2]).all()


def test_the_front_holds_what_any_price_of_time_makes_best():
    rng = np.random.default_rng(3)
    clocks = np.array([1.0, 1.4, 2.0])
    losses = np.sort(rng.random((5, 3)), axis=1)[:, ::-1]
    front, choices = convex_front(LoadOptions(losses, {"time": np.broadcast_to(clocks / 10, (5, 3))}), "time")
    every = np.array(list(product(range(3), repeat=5)))
    cost = [(clocks[pick].mean() / 2.0, losses[np.arange(5), pick].sum() / losses.min(1).sum()) for pick in every]
    for price in (0.0, 0.1, 0.5, 1.0, 3.0, 10.0, 1e6):
        best = min(loss + price * time for time, loss in cost)
        assert min(point.loss + price * point.time for point in front) == pytest.approx(best)
    assert len(front) == len(choices)


def test_a_budget_is_kept_at_the_least_loss():
    """Tiles are loads here, so that every assignment can be tried."""
    rng = np.random.default_rng(4)
    config = TileConfig(16, 16, 16, 16)
    energy = {"a": rng.random((2, 3, 3)) / 9}
    values = np.sort(rng.random((2, 3, 3)), axis=0)[::-1]
    losses = TileLosses({"a": values}, (FAST, SLOW), config, energy, 0.0, (0.5, 0.75))
    index = np.arange(9)
    flat, spent = losses.layers["a"].reshape(2, 9), energy["a"].reshape(2, 9)
    every = [np.array(pick) for pick in product(range(2), repeat=9)]
    for limit in (0.45, 0.5, 0.6):
        found = choose_within(losses, {"energy": limit, "time": 0.7})
        kept = [pick for pick in every if spent[pick, index].sum() <= limit and (0.5 + pick.mean() * 0.25) <= 0.7]
        assert flat[found.maps["a"].classes.ravel(), index].sum() == pytest.approx(
            min(flat[pick, index].sum() for pick in kept))
        assert found.gap == 0
        assert found.point.energy <= limit
        assert found.point.time <= 0.7


def test_a_front_can_be_of_energy():
    config = TileConfig(16, 16, 32, 32, spend="energy")
    made = made_up(config=config)
    energy = {name: np.stack([np.full(value.shape[1:], 0.01), np.full(value.shape[1:], 0.02)])
              for name, value in made.layers.items()}
    front = choose_classes(replace(made, energy=energy), "bal").front
    assert all(a.energy < b.energy and a.loss > b.loss for a, b in pairwise(front))
    with pytest.raises(ConfigError, match=r"tiles.spend = 'energy': no energies were given to weigh"):
        choose_classes(made, "bal")


def test_priced_energy_keeps_tiles_in_the_cheap_codebook():
    made = made_up()
    energy = {name: np.stack([np.full(value.shape[1:], 0.01), np.full(value.shape[1:], 0.02)])
              for name, value in made.layers.items()}
    free, dear = (choose_classes(replace(made, energy=energy, price=price), "acc-opt") for price in (0.0, 1e4))
    assert dear.point.slow_share == 0 < free.point.slow_share


def test_energies_are_shares_of_w8a8(cases):
    """Were the codebooks all values, the energy would be W8A8's, but for scales per fold instead of per row."""
    case = cases["llama"]
    energy = 1000.0 + 5.0 * np.abs(np.arange(-128, 128))
    books = (Codebook("fast", (-64, 0, 64), 1000.0), Codebook("all", tuple(range(-128, 128)), 2000.0))
    found = measure_tile_losses(case.loaded.model, case.sensitivity, books, CONFIG, energy)
    whole = [sum(value[k].sum() for value in found.energy.values()) for k in (0, 1)]
    assert whole[1] == pytest.approx(1.0, abs=0.1)


def test_budgets_that_cannot_be_kept_say_what_the_least_is():
    with pytest.raises(ConfigError, match=r"budget time = 0.5 cannot be kept: no choice .* takes less than 0.6667"):
        choose_within(made_up(), {"time": 0.5})
    with pytest.raises(ConfigError, match=r"budget energy: not known of these tiles; known are time, bits"):
        choose_within(made_up(), {"energy": 0.5})


def test_one_codebook_for_all_is_a_front_of_one_point(case):
    found = choose_classes(measure_tile_losses(case.loaded.model, case.sensitivity, (SLOW,), CONFIG), "bal")
    assert len(found.front) == 1
    assert all((tiles.classes == 0).all() for tiles in found.maps.values())


@pytest.mark.parametrize("score", ["hessian", "guided", "fisher", "absgrad"])
def test_under_every_score_more_values_lose_less(cases, score):
    case = cases["llama"]
    config = TileConfig(tile_in=16, tile_out=16, array_rows=32, array_cols=32, score=score)
    losses = measure_tile_losses(case.loaded.model, case.sensitivity, (FAST, SLOW), config)
    for name, (fast, slow) in losses.layers.items():
        assert slow.sum() < fast.sum(), name
        assert (slow >= 0).all()


def test_tiles_must_divide_the_array():
    with pytest.raises(ConfigError, match=r"tiles.tile_in = 48 does not divide the array's 128; use a divisor of it"):
        TileConfig(tile_in=48)
    with pytest.raises(ConfigError, match=r"tiles.tile_out = 0 does not divide"):
        TileConfig(tile_out=0)


def test_shapes_that_no_tile_fits_are_refused(cases):
    case = cases["llama"]
    with pytest.raises(ModelError, match=r"fills less than a quarter of a tile of 512 x 512; set tiles.tile_out"):
        measure_tile_losses(case.loaded.model, case.sensitivity, (FAST,), TileConfig(512, 512, 512, 512))


@pytest.mark.parametrize(("tile_in", "tile_out", "fits"), [(64, 64, True), (128, 64, True), (128, 128, True),
                                                          (256, 64, True), (256, 128, False), (512, 64, False)])
def test_a_layer_fits_when_its_fullest_tile_is_a_quarter_full(tile_in, tile_out, fits):
    config = TileConfig(tile_in, tile_out, tile_in, tile_out)
    weight = torch.zeros(64, 64)
    if fits:
        check_fit("layer", weight, config)
    else:
        with pytest.raises(ModelError, match="less than a quarter of a tile"):
            check_fit("layer", weight, config)


def test_no_codebooks_are_refused(cases):
    case = cases["llama"]
    with pytest.raises(ConfigError, match="no codebooks to choose from"):
        measure_tile_losses(case.loaded.model, case.sensitivity, (), CONFIG)


def test_an_unknown_score_is_refused(cases):
    case = cases["llama"]
    with pytest.raises(ConfigError, match=r"tiles.score = 'magic'; use hessian, guided, fisher or absgrad"):
        measure_tile_losses(case.loaded.model, case.sensitivity, (FAST,), TileConfig(score="magic"))  # type: ignore[arg-type]


def test_an_unknown_variant_is_refused():
    with pytest.raises(ConfigError, match=r"tiles.variant = 'best'; use perf-opt, acc-opt or bal"):
        choose_classes(made_up(), "best")  # type: ignore[arg-type]


def test_a_uniform_map_gives_every_tile_one_class():
    tiles = uniform_map("a", 40, 20, CONFIG, 1)
    assert tiles.classes.tolist() == [[1, 1]] * 3
    assert not tiles.classes.flags.writeable
