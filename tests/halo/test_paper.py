import pytest

from halo.paper import BITS, STATED_PS, SYSTOLIC, W8A8_OVER, class_shares, paper_time, published_grid, shares_from_bits
from tests.halo.synthetic import codebooks_of, llama_shapes, synthetic_model, synthetic_profile


def test_the_papers_clocks_are_those_of_its_stated_delays():
    assert 1000 / STATED_PS[64] == pytest.approx(SYSTOLIC[0].freq_ghz, rel=0.03)
    assert 1000 / STATED_PS[-127] == pytest.approx(SYSTOLIC[-1].freq_ghz, rel=0.03)


@pytest.mark.parametrize(("variant", "within"), [("halo-perf-opt", 0.06), ("halo-bal", 0.08), ("halo-acc-opt", 0.05)])
def test_operations_over_frequency_come_near_the_published_speed(variant, within):
    ratios = [1 / paper_time(shares_from_bits(bits)) for bits in BITS[variant]]
    assert sum(ratios) / len(ratios) == pytest.approx(W8A8_OVER[variant], rel=within)
    assert [row[0] for row in published_grid().rows] == list(W8A8_OVER)


def test_shares_of_classes_are_of_weights_and_add_up():
    model = synthetic_model(llama_shapes(), codebooks_of(synthetic_profile(), "w3-shifted", "w4-shifted"))
    shares = class_shares(model)
    assert set(shares) == {8, 16}
    assert sum(shares.values()) == pytest.approx(1)
    weights = sum(layer.codes.size for layer in model.layers)
    slow = sum(int((layer.tiles.of_weights(*layer.codes.shape) == 1).sum()) for layer in model.layers)
    assert shares[16] == pytest.approx(slow / weights)
