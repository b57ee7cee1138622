from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from characterization.pair_energy import PairEnergy
from halo.accelerators.tensor_core import Config, machine
from halo.codebook import GRIDS
from halo.codebook_search import (
    CodebookConfig,
    likely_shares,
    make_question,
    search_codebooks,
    search_one,
    spread_shares,
)
from halo.dvfs import plan_dvfs
from halo.layers import QuantizedModel
from halo.loads import LoadGroup
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig, all_zero
from halo.plan_file import load_plan, save_plan
from halo.prices import PriceConfig, relative_energy
from halo.rail import moving_words, rail_at
from halo.weight_stream import (
    count_followers,
    independent,
    mean_pair_fj,
    pack_followers,
    unpack_followers,
    value_energy,
)
from tests.halo.synthetic import CODES, codebooks_of, llama_shapes, synthetic_model, synthetic_profile

FREE = PointConfig(cap_ghz=0)
# What an operation costs by the bits that change, as switching does, and a little by those that are set.
CHANGED = np.array([[bin((a ^ b) & 255).count("1") for b in CODES] for a in CODES], np.float32)
SET = np.array([bin(int(b) & 255).count("1") for b in CODES], np.float32)
TABLE = (1000 + 200 * CHANGED + 20 * SET[None, :]).astype(np.float32)


def streaming_profile(lanes=1, **changes):
    plain = synthetic_profile(weight_mode="streaming", **changes)
    pairs = PairEnergy(8, lanes, TABLE[None], TABLE[None] / 100)
    return replace(plain, head=replace(plain.head, lanes=lanes), pairs=pairs)


def test_a_lane_takes_every_so_many_weights_of_an_output_one_after_the_other():
    codes = np.array([[1, 2, 3, 4, 5, 6], [-1, -1, -1, -1, -1, -1]], np.int8)
    counts = count_followers(codes, 2)
    assert counts.sum() == 2 * 4
    assert [counts[128 + a, 128 + b] for a, b in ((1, 3), (3, 5), (2, 4), (4, 6), (1, 2))] == [1, 1, 1, 1, 0]
    assert counts[127, 127] == 4
    down = count_followers(codes, 2, along_inputs=False)
    assert [down[128 + a, 127] for a in range(1, 7)] == [1] * 6
    np.testing.assert_array_equal(unpack_followers(pack_followers(counts)), counts)
    assert pack_followers(count_followers(codes, 6)) == ""


@settings(max_examples=20, deadline=None)
@given(arrays(np.float64, 256, elements=st.floats(0, 1)), st.integers(0, 99))
def test_the_price_of_one_more_weight_is_right_in_the_mean_and_at_the_margin(counts, seed):
    shares = (counts + 1e-3) / (counts + 1e-3).sum()
    table = np.random.default_rng(seed).uniform(1, 5, (256, 256))
    mean = shares @ table @ shares
    energy = value_energy(table, shares)
    assert energy @ shares == pytest.approx(mean)
    some = np.eye(256)[seed]
    moved = (1 - 1e-6) * shares + 1e-6 * some
    assert (moved @ table @ moved - mean) / 1e-6 == pytest.approx((energy - mean)[seed], abs=1e-3)


def test_where_the_order_is_not_known_weights_are_independent_draws_and_without_counts_all_alike():
    counts = [0] * 256
    counts[128], counts[127] = 3, 1
    expected = (9 * TABLE[128, 128] + 3 * TABLE[128, 127] + 3 * TABLE[127, 128] + TABLE[127, 127]) / 16
    assert mean_pair_fj(TABLE, "", counts) == pytest.approx(expected)
    assert mean_pair_fj(TABLE, "", ()) == pytest.approx(TABLE.mean())
    assert independent(()).sum() == pytest.approx(1)


def test_a_streaming_mac_is_priced_among_the_weights_that_are_there():
    profile = streaming_profile()
    alike = relative_energy(profile, FREE)
    assert alike.mean() == pytest.approx(1)
    positive = spread_shares(profile, range(1, 9), [1 / 8] * 8)
    among = relative_energy(profile, FREE, positive)
    # Among small positive weights a negative one, with all its upper bits set, is dear; among all values it is not.
    assert among[127] > 1.3 * among[129]
    assert alike[127] < 1.1 * alike[129]
    assert among @ positive == pytest.approx(TABLE[129:137, 129:137].mean() / TABLE.mean())
    assert np.ptp(relative_energy(replace(profile, pairs=None), FREE)) > 0


def test_the_search_sees_what_its_values_spend_after_each_other(cases):
    case, prices = cases["llama"], PriceConfig(energy=3.0)
    config = CodebookConfig(rule="price", fold=32, periods=4, scales=5)
    profile = streaming_profile()
    asked = make_question(case.loaded.model, profile, case.sensitivity, config, FREE)
    free, priced = search_one(asked, 9), search_one(replace(asked, prices=prices), 9)
    taken = priced.front[priced.chosen]
    shares = spread_shares(profile, taken.codes, taken.shares)
    assert taken.energy == pytest.approx(shares @ TABLE @ shares / TABLE.mean())
    assert taken.energy < free.front[free.chosen].energy
    assert "energy by previous weight and weight, independent draws from the weights' histogram" in priced.reason
    without = search_one(replace(asked, profile=replace(profile, pairs=None)), 9)
    assert "energy by weight alone: the profile has no pairs" in without.reason


def test_a_grid_is_priced_among_its_own_values_as_normal_weights_take_them():
    profile = streaming_profile()
    shares = likely_shares(profile, GRIDS["w4-shifted"])
    assert shares.sum() == pytest.approx(1)
    assert set(np.flatnonzero(shares) - 128) <= set(GRIDS["w4-shifted"])
    assert shares[128] == shares.max()
    assert shares[128 + 16] == pytest.approx(shares[128 - 16], rel=0.02)
    assert shares[128 + 16] > 3 * shares[128 + 96]


def test_two_classes_are_priced_among_the_values_of_both(cases):
    case, profile = cases["llama"], streaming_profile()
    config = CodebookConfig(fold=32, periods=4, scales=5)
    found = search_codebooks(make_question(case.loaded.model, profile, case.sensitivity, config, FREE,
                                           PriceConfig(energy=1.0)))
    mixture, values = found.mixture(), {code for book in found.codebooks for code in book.codes}
    assert mixture.sum() == pytest.approx(1)
    assert set(np.flatnonzero(mixture) - 128) <= values
    assert "energy by previous weight and weight" in found.classes[0].reason


def gpu_plan(model, profile):
    return plan_dvfs(model, profile, PointConfig(), DvfsConfig(switch="driver"),
                     build=lambda mac, setup: machine(mac, setup, Config()))


def with_codes(model: QuantizedModel, sort: bool) -> QuantizedModel:
    """The same weights, along each output in ascending order or as they were."""
    layers = tuple(replace(layer, codes=np.sort(layer.codes, axis=1) if sort else layer.codes)
                   for layer in model.layers)
    return replace(model, layers=layers)


def test_the_books_take_a_layers_weights_in_their_own_order(tmp_path):
    profile = streaming_profile(lanes=4)
    model = synthetic_model(llama_shapes(), codebooks_of(profile, "all"))
    plans = [gpu_plan(with_codes(model, sort), profile) for sort in (False, True)]
    mixed, sorted_ = (next(s for s in plan.segments if s.kind == "linear") for plan in plans)
    assert mixed.code_counts == sorted_.code_counts
    table = profile.pair_fj()
    fj = [mean_pair_fj(table, s.loads.followers, s.code_counts) for s in (mixed, sorted_)]
    assert fj[0] == pytest.approx(mean_pair_fj(table, "", mixed.code_counts), rel=0.01)
    assert fj[1] < 0.8 * fj[0]
    assert sorted_.energy_fj < mixed.energy_fj
    assert any("8 activation transitions of each pair, 4 lanes that add up" in line for line in plans[0].assumptions)
    save_plan(plans[0], tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json").segments == plans[0].segments
    zero = all_zero(plans[0]).segments[0].loads
    assert mean_pair_fj(table, zero.followers, zero.code_counts) == pytest.approx(table[128, 128])


def test_a_plan_without_pairs_says_so_and_counts_nothing():
    plan = gpu_plan(synthetic_model(llama_shapes(), codebooks_of(synthetic_profile(), "all")),
                    synthetic_profile(weight_mode="streaming"))
    assert not any(segment.loads.followers for segment in plan.segments)
    assert any("has no energies by previous weight and weight" in line for line in plan.assumptions)


def test_an_array_of_streaming_macs_pays_by_pairs_where_weights_move_and_holds_them_where_they_do_not():
    profile = streaming_profile()
    rail, counts = rail_at(profile, 0), [0] * 256
    counts[127], counts[129] = 3, 1
    turns = np.zeros((256, 256), np.int64)
    turns[127, 129] = turns[129, 127] = 5
    group = LoadGroup("up", "all", 1, 1, 4, tuple(counts), 0, leads=True, followers=pack_followers(turns))
    assert rail.weights_fj(group, moves=True)[0] == pytest.approx(2 * (TABLE[127, 129] + TABLE[129, 127]))
    assert rail.weights_fj(group, moves=False)[0] == pytest.approx(3 * TABLE[127, 127] + TABLE[129, 129])
    assert "by [previous weight, weight], 8 activation transitions" in moving_words(profile, [rail])
    several = streaming_profile(lanes=4)
    assert rail_at(several, 0).pair_fj is None
    assert "the mean over all weights before it" in moving_words(several, [rail_at(several, 0)])
    assert "measured with weights held, is too low" in moving_words(synthetic_profile(), [])
