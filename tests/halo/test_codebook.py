import pytest

from halo.codebook import GRIDS, Codebook, grid_codebook, layered_codebook, make_codebook
from halo.errors import ConfigError
from tests.halo.synthetic import POINTS, synthetic_profile


@pytest.mark.parametrize(("count", "bits"), [(2, 1), (4, 2), (8, 3), (9, 3.2), (10, 4), (16, 4), (17, 5), (256, 8)])
def test_index_bits_follow_the_number_of_values(count, bits):
    assert Codebook("some", tuple(range(-(count // 2), count - count // 2)), 1.0).index_bits == bits


def test_shifted_grids_are_the_low_ones_times_a_power_of_two():
    assert tuple(16 * code for code in GRIDS["w4-low"]) == GRIDS["w4-shifted"]
    assert tuple(32 * code for code in GRIDS["w3-low"]) == GRIDS["w3-shifted"]


def test_a_codebook_is_as_slow_as_its_slowest_code():
    profile = synthetic_profile()
    for name, codes in GRIDS.items():
        bound = max(float(profile.topological_ps[0, code + 128]) for code in codes)
        assert grid_codebook(name, profile, POINTS).max_delay_ps == bound


def test_codes_are_sorted_and_counted_once():
    assert make_codebook("some", [3, 0, -5, 3], synthetic_profile(), POINTS).codes == (-5, 0, 3)


@pytest.mark.parametrize("codes", [(1, 2), (0, 0), (3, 0)])
def test_codes_must_be_sorted_unique_and_contain_zero(codes):
    with pytest.raises(ConfigError, match="must be sorted, unique, and contain 0"):
        Codebook("bad", codes, 1.0)


def test_codes_must_be_int8():
    with pytest.raises(ConfigError, match=r"codes 0..128 leave -128..127"):
        Codebook("bad", (0, 128), 1.0)


def test_a_class_whose_layers_choose_has_the_clock_of_all_and_the_index_of_the_widest():
    profile = synthetic_profile()
    book = layered_codebook("own", {"a": (-5, 0, 3), "b": (0, 64)}, profile, POINTS)
    assert book.codes == (-5, 0, 3, 64)
    assert book.max_delay_ps == make_codebook("all", (-5, 0, 3, 64), profile, POINTS).max_delay_ps
    assert (book.codes_in("a"), book.codes_in("b"), book.codes_in("else")) == ((-5, 0, 3), (0, 64), book.codes)
    assert (book.n_values, book.index_bits) == (3, 2)


def test_a_layer_has_no_codes_that_its_class_lacks():
    with pytest.raises(ConfigError, match="codebook own: layer a has codes that are not in it"):
        Codebook("own", (-5, 0, 3), 1.0, {"a": (0, 4)})


def test_an_unknown_grid_is_reported_with_the_known_ones():
    with pytest.raises(ConfigError, match="no grid 'w5'; there are all, w4-shifted"):
        grid_codebook("w5", synthetic_profile(), POINTS)
