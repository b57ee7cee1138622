from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from halo.codebook_search import (
    CodebookConfig,
    FrontPoint,
    best_codes,
    make_question,
    pick_knee,
    search_codebooks,
    search_one,
    undominated,
)
from halo.errors import ConfigError
from halo.operating_point import PointConfig
from halo.prices import PriceConfig
from tests.halo.synthetic import CODES, synthetic_profile

CONFIG = CodebookConfig(fold=32, periods=12, scales=5)
FREE = PointConfig(cap_ghz=0)


def booth_delays(seed=0):
    rng = np.random.default_rng(seed)
    digits = np.array([bin((3 * int(w) ^ int(w)) & 511).count("1") for w in CODES])
    return 2000 + 300 * digits + rng.normal(0, 60, 256)


def asked(case, profile, config=CONFIG, prices=None):
    return make_question(case.loaded.model, profile, case.sensitivity, config, FREE, prices)


@pytest.fixture(scope="module")
def searched(cases):
    case = cases["llama"]
    profile = synthetic_profile(delay_ps=booth_delays())
    return profile, search_codebooks(asked(case, profile))


def test_classes_hold_at_most_their_number_of_values_and_zero(searched):
    fast, slow = searched[1].codebooks
    assert len(fast.codes) <= 9
    assert len(slow.codes) <= 16
    assert 0 in fast.codes
    assert 0 in slow.codes


def test_the_fast_class_is_never_slower_than_the_slow_one(searched):
    fast, slow = searched[1].codebooks
    assert fast.max_delay_ps <= slow.max_delay_ps


def test_on_a_front_more_time_means_less_loss(searched):
    for search in searched[1].classes:
        assert all(a.period_ps < b.period_ps and a.cost > b.cost for a, b in pairwise(search.front))
        assert search.codebook.codes == search.front[search.chosen].codes


def test_the_reason_says_rule_period_and_gain(searched):
    reason = searched[1].classes[1].reason
    assert reason.startswith("knee of log cost against period over")
    assert "of the energy of all values, loss" in reason


def test_without_slack_no_code_is_slower_than_the_fastest_values(cases):
    case, profile = cases["llama"], synthetic_profile(delay_ps=booth_delays())
    config = CodebookConfig(rule="slack", slack=0.0, fold=32, periods=12, scales=5)
    for codebook, values in zip(search_codebooks(asked(case, profile, config)).codebooks,
                                (9, 16), strict=True):
        assert codebook.max_delay_ps <= profile.worst_ps(profile.fastest(values))


def test_fastest_values_that_lie_in_a_cluster_are_not_taken_literally(cases):
    delay = np.full(256, 3000.0)
    delay[[100 + 128 + i for i in range(16)]] = 2000.0
    delay[[128 - 96, 128 - 48, 128 - 24, 128, 128 + 24, 128 + 48, 128 + 96]] = 2100.0
    delay[128] = 1900.0
    case, profile = cases["llama"], synthetic_profile(delay_ps=delay)
    fast, _ = search_codebooks(asked(case, profile)).classes
    literal = fast.front[0]
    assert min(fast.codebook.codes) < 0 < max(fast.codebook.codes)
    assert fast.front[fast.chosen].loss < 0.2 * literal.loss


def test_nothing_assumes_a_symmetric_or_shifted_grid(cases):
    """With the roles of w and a scrambled 7 w + 3 exchanged in the delays, codes follow the delays."""
    rng = np.random.default_rng(1)
    delay = np.full(256, 3000.0)
    quick = np.sort(np.concatenate([rng.choice(np.setdiff1d(np.arange(256), [128]), 40, replace=False), [128]]))
    delay[quick] = 1800.0
    case, profile = cases["llama"], synthetic_profile(delay_ps=delay)
    for codebook in search_codebooks(asked(case, profile)).codebooks:
        assert set(codebook.codes) <= {int(CODES[i]) for i in quick}


def test_where_all_values_are_equally_fast_only_the_loss_decides(cases):
    case, profile = cases["llama"], synthetic_profile(delay_ps=np.full(256, 2500.0))
    result = search_codebooks(asked(case, profile))
    assert [len(search.front) for search in result.classes] == [1, 1]
    assert [len(codebook.codes) for codebook in result.codebooks] == [9, 16]


def test_the_knee_is_the_point_farthest_below_the_line():
    losses = [0.14, 0.1, 0.06, 0.055, 0.05]
    front = tuple(FrontPoint(1000.0 + 100 * i, loss, loss, 1.0, (0,)) for i, loss in enumerate(losses))
    assert pick_knee(front, 3.0) == 2


def test_points_that_can_hold_no_weights_are_no_candidates():
    front = tuple(FrontPoint(1000.0 + 100 * i, loss, loss, 1.0, (0,)) for i, loss in enumerate([0.6, 0.5, 0.05]))
    assert pick_knee(front, 3.0) == 2
    assert pick_knee(front[1:], 20.0) == 0


def test_points_that_lose_in_both_are_left_out():
    points = [FrontPoint(period, cost, cost, 1.0, (0,)) for period, cost in ((2.0, 0.5), (1.0, 0.4), (3.0, 0.1))]
    assert [point.period_ps for point in undominated(points)] == [1.0, 3.0]


def test_priced_energy_buys_cheaper_codebooks_at_more_loss(cases):
    """Energies follow no grid: one value in three, drawn at random, is cheap."""
    rng = np.random.default_rng(2)
    energy = np.where(rng.random(256) < 1 / 3, 800.0, 1600.0)
    case = cases["llama"]
    profile = synthetic_profile(delay_ps=np.full(256, 2500.0), energy_fj=energy)
    free, priced = (search_codebooks(asked(case, profile, CONFIG, PriceConfig(price)))
                    for price in (0.0, 3.0))
    for before, after in zip(free.classes, priced.classes, strict=True):
        own, other = before.front[before.chosen], after.front[after.chosen]
        assert other.energy < 0.95 * own.energy
        assert other.loss > own.loss
        assert "energy at 3 nats" in after.reason


def test_layers_that_choose_lose_less_in_values_as_fast_as_their_class(cases):
    case, profile, prices = cases["llama"], synthetic_profile(delay_ps=booth_delays()), PriceConfig(energy=0.1)
    question = asked(case, profile, replace(CONFIG, scales=33), prices)
    common = search_one(question, 9)
    own = search_one(replace(question, config=replace(question.config, per_layer=True)), 9)
    assert own.codebook.layers.keys() == question.layers.keys()
    assert len(set(own.codebook.layers.values())) > 1
    assert own.codebook.max_delay_ps <= common.codebook.max_delay_ps
    assert "each layer takes its own at most 9" in own.reason
    assert own.shares.sum() == pytest.approx(1)
    for name, codes in own.codebook.layers.items():
        alone = question.of_layer(name)
        assert len(codes) <= 9
        ours, theirs = (best_codes(alone, np.array(each), 9).cost for each in (codes, common.codebook.codes))
        assert ours <= theirs * (1 + 1e-9)


def test_the_prices_of_layers_add_up_to_the_model_s(cases):
    question = asked(cases["llama"], synthetic_profile(), CONFIG, PriceConfig(energy=0.5))
    assert sum(question.of_layer(name).prices.energy for name in question.layers) == pytest.approx(0.5)


def test_priced_time_buys_a_faster_codebook(cases):
    case, profile = cases["llama"], synthetic_profile(delay_ps=booth_delays())
    config = CodebookConfig(rule="price", fold=32, periods=12, scales=5)
    slow, fast = (search_one(asked(case, profile, config, PriceConfig(0.0, price)), 9)
                  for price in (0.0, 1e3))
    assert slow.chosen == len(slow.front) - 1
    assert fast.chosen == 0 < slow.chosen
    assert fast.codebook.max_delay_ps < slow.codebook.max_delay_ps


def test_negative_prices_are_refused():
    with pytest.raises(ConfigError, match="energy = -1 and time = 0 must be 0 or more nats"):
        PriceConfig(-1.0)


def test_class_sizes_are_checked():
    with pytest.raises(ConfigError, match="need 2 <= fast_values <= slow_values <= 256, not 20 and 16"):
        CodebookConfig(fast_values=20)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ConfigError, match=r"rule 'best' with slack 0.0, useful 3.0; use knee with"):
        CodebookConfig(rule="best")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"periods": 0}, {"scales": 0}, {"fold": -1}])
def test_a_search_of_nothing_is_refused(options):
    with pytest.raises(ConfigError, match=r"codebook: fold = .*, periods = .* and scales = .* must be positive"):
        CodebookConfig(**options)
