from dataclasses import replace

import numpy as np
import pytest

from halo.layers import dequantize, spread_scales
from tests.halo.synthetic import codebooks_of, synthetic_layer, synthetic_model, synthetic_profile

BOOKS = codebooks_of(synthetic_profile(), "w4-shifted", "w3-shifted", "all")


def test_effective_bits_of_a_uniform_model_are_index_scales_and_table():
    bits = synthetic_model({"a": (256, 256)}, BOOKS[:1]).effective_bits()
    assert bits.index == 4
    assert bits.scales == 16 / 128
    assert bits.tables == 16 * 8 / 256**2
    assert bits.sparse == 0
    assert bits.total == pytest.approx(4 + 0.125 + 128 / 65536)


def test_each_tile_counts_the_bits_of_its_own_codebook_and_a_class_id():
    model = synthetic_model({"a": (256, 256)}, BOOKS[:2], classes=np.array([[0, 1], [1, 1]]))
    bits = model.effective_bits()
    assert bits.index == (4 + 3 * 3) / 4
    assert bits.tables == pytest.approx((16 * 8 + 8 * 8 + 4) / 65536)


def test_layers_that_choose_store_a_table_each_and_indices_into_it():
    own = replace(BOOKS[0], layers={"a": BOOKS[0].codes[::2], "b": BOOKS[0].codes})
    model = synthetic_model({"a": (256, 256), "b": (256, 256)}, (BOOKS[0],))
    bits = replace(model, codebooks=(own,)).effective_bits()
    assert bits.index == (3 + 4) / 2
    assert bits.tables == (8 + 16) * 8 / (2 * 65536)
    assert model.effective_bits().tables == 16 * 8 / (2 * 65536)


def test_edge_tiles_count_the_weights_they_have():
    model = synthetic_model({"a": (130, 128)}, BOOKS[:2], classes=np.array([[0], [1]]))
    assert model.effective_bits().index == pytest.approx((128 * 4 + 2 * 3) / 130)


def test_sparse_weights_cost_value_column_pointers_and_row_scales():
    model = synthetic_model({"a": (256, 256)}, BOOKS[:1], n_sparse=300)
    assert model.effective_bits().sparse == pytest.approx((300 * (8 + 8) + 257 * 16 + 256 * 16) / 65536)


def test_a_channel_scale_is_stored_once_per_row():
    model = synthetic_model({"a": (256, 512)}, BOOKS[2:], per_channel=True)
    assert model.layers[0].per_channel
    assert model.effective_bits().scales == 16 / 512


def test_dequantizing_multiplies_fold_by_fold_and_adds_the_sparse_part():
    layer = synthetic_layer("a", 4, 10, BOOKS[:1], fold=4, tile_in=4, tile_out=4, n_sparse=3)
    weight = dequantize(layer, 4)
    for row, col in np.ndindex(4, 10):
        wanted = np.float32(layer.codes[row, col]) * np.float32(layer.scales[row, col // 4])
        at = np.flatnonzero((layer.sparse_rows == row) & (layer.sparse_cols == col))
        if at.size:
            wanted = np.float32(layer.sparse_values[at[0]]) * np.float32(layer.sparse_scales[row])
        assert weight[row, col] == wanted


def test_scales_are_spread_over_edge_folds():
    spread = spread_scales(np.array([[1.0, 2.0]], np.float16), 5, 3)
    assert spread.tolist() == [[1, 1, 1, 2, 2]]


def test_arrays_of_a_layer_cannot_be_written():
    layer = synthetic_layer("a", 4, 8, BOOKS[:1])
    with pytest.raises(ValueError, match="read-only"):
        layer.codes[0, 0] = 1
