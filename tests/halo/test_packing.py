import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo.errors import ModelError
from halo.packing import pack, pack_rows, pack_tiles, packed_bytes, row_tables, unpack, unpack_rows, unpack_tiles
from halo.tiles import TileMap

TABLES = ((-64, -32, 0, 32, 64), tuple(range(-36, 37, 9)), tuple(range(-128, 128)), (-8, 0, 8, 16))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 256), st.integers(0, 70), st.integers(0, 2**32 - 1))
def test_any_number_of_indices_of_any_width_comes_back(n_values, count, seed):
    indices = np.random.default_rng(seed).integers(0, n_values, count).astype(np.uint8)
    packed = pack(indices, n_values)
    assert len(packed) == packed_bytes(count, n_values)
    assert np.array_equal(unpack(packed, count, n_values), indices)


def test_the_layout_is_what_the_docstring_says():
    assert pack(np.array([1, 2, 3, 4, 5, 6, 7, 0], np.uint8), 8).tolist() == [0b11_010_001, 0b0_101_100_0, 0b000_111_11]
    assert pack(np.array([1, 2, 0, 0, 8], np.uint8), 9).view("<u2").tolist() == [1 + 2 * 9 + 8 * 9**4]


@pytest.fixture(params=[(1, 1), (16, 32), (40, 50), (33, 7)])
def layer(request):
    """Codes of a 40 x 50 layer, its tiles each with one of four codebooks, edges and all."""
    tile_out, tile_in = request.param
    rng = np.random.default_rng(tile_in)
    classes = rng.integers(0, len(TABLES), (-(-40 // tile_out), -(-50 // tile_in))).astype(np.int8)
    tiles = TileMap("a", classes, tile_in, tile_out)
    of_weights = tiles.of_weights(40, 50)
    codes = np.zeros((40, 50), np.int8)
    for position, table in enumerate(TABLES):
        codes = np.where(of_weights == position, rng.choice(np.array(table), codes.shape), codes).astype(np.int8)
    return codes, tiles


def test_tiles_of_several_codebooks_come_back(layer):
    codes, tiles = layer
    packed = pack_tiles(codes, tiles, TABLES)
    assert np.array_equal(unpack_tiles(packed, tiles, TABLES, codes.shape), codes)
    widths = np.array([3, 3.2, 8, 2])[tiles.of_weights(40, 50)]
    assert widths.sum() / 8 <= len(packed) < widths.sum() / 8 + 2 * len(TABLES)


def test_damaged_streams_and_foreign_codes_are_named(layer):
    codes, tiles = layer
    packed = pack_tiles(codes, tiles, TABLES)
    with pytest.raises(ModelError, match=r"a: its packed weights end early"):
        unpack_tiles(packed[:-1], tiles, TABLES, codes.shape, "a")
    with pytest.raises(ModelError, match=r"a: 1 bytes of packed weights too many"):
        unpack_tiles(np.append(packed, np.uint8(0)), tiles, TABLES, codes.shape, "a")
    with pytest.raises(ModelError, match=r"a: \d+ of its values are not in their tiles' codebooks"):
        pack_tiles(np.full_like(codes, 3), TileMap("a", np.zeros_like(tiles.classes), tiles.tile_in, tiles.tile_out),
                   TABLES, "a")
    five = TileMap("a", np.zeros((1, 1), np.int8), 8, 1)
    with pytest.raises(ModelError, match=r"an index leaves its codebook of 5 values"):
        unpack_tiles(np.full(3, 255, np.uint8), five, TABLES, (1, 8), "a")


def test_rows_with_tables_of_their_own_come_back_where_they_count():
    rng = np.random.default_rng(1)
    own = np.sort(rng.choice(np.arange(-127, 128), (30, 6)), axis=1)
    codes = np.take_along_axis(own, rng.integers(0, 6, (30, 41)), 1).astype(np.int8)
    counted = rng.random(codes.shape) > 0.1
    counted[3] = False
    tables = row_tables(codes, counted, 6)
    again = unpack_rows(pack_rows(codes, counted, tables), tables, codes.shape)
    assert np.array_equal(again[counted], codes[counted])
    with pytest.raises(ModelError, match=r"b: a row has [3-6] values, its table 2"):
        row_tables(codes, counted, 2, "b")
