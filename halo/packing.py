"""Packed indices: the int8 codes of a layer as positions in small tables, in the bits that these positions need.

The stream of a class holds the indices of all its tiles, tile by tile in row-major order, each tile row by row; the
streams of the classes follow each other by rising class. `b` bits per index lie little-endian without gaps; nine
values go five to a 16-bit word, the first the least significant digit. A stream ends on a whole byte or word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from halo.errors import ModelError
from halo.tiles import TileMap

NINE, DIGITS = 9, 5
GROUP = 8  # b bytes hold 8 indices of b bits


def index_width(n_values: int) -> int:
    """Return the bits of one index into a table of `n_values`, nine values (3.2 bits) apart."""
    return max(1, math.ceil(math.log2(n_values)))


def packed_bytes(count: int, n_values: int) -> int:
    """Return the bytes of a stream of `count` indices into a table of `n_values`.

    >>> packed_bytes(10, 9), packed_bytes(10, 16), packed_bytes(3, 8)
    (4, 5, 2)
    """
    if n_values == NINE:
        return 2 * math.ceil(count / DIGITS)
    return math.ceil(count * index_width(n_values) / 8)


def pack(indices: np.ndarray, n_values: int) -> np.ndarray:
    """Return the stream of `indices`, uint8 `[n]`, each below `n_values`: uint8 `[packed_bytes]`."""
    if n_values == NINE:
        digits = padded(indices, DIGITS).astype(np.uint16)
        words = np.zeros(len(digits), np.uint16)
        for at in reversed(range(DIGITS)):
            words = words * np.uint16(NINE) + digits[:, at]
        return words.astype("<u2").view(np.uint8)
    width = index_width(n_values)
    groups = padded(indices, GROUP)
    words = np.zeros(len(groups), np.uint64)
    for at in range(GROUP):
        words |= groups[:, at].astype(np.uint64) << np.uint64(at * width)
    packed = words.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
    return packed.reshape(-1)[: packed_bytes(len(indices), n_values)].copy()


def unpack(packed: np.ndarray, count: int, n_values: int) -> np.ndarray:
    """Return the `count` indices that `pack` packed, uint8 `[count]`."""
    if n_values == NINE:
        words = packed.view("<u2").copy()
        digits = np.empty((len(words), DIGITS), np.uint8)
        for at in range(DIGITS):
            words, digits[:, at] = np.divmod(words, np.uint16(NINE))
        return digits.reshape(-1)[:count]
    width = index_width(n_values)
    whole = np.zeros((math.ceil(count / GROUP), 8), np.uint8)
    flat = np.zeros(len(whole) * width, np.uint8)
    flat[: len(packed)] = packed
    whole[:, :width] = flat.reshape(-1, width)
    words, mask = whole.reshape(-1).view("<u8"), np.uint64(2**width - 1)
    indices = np.empty((len(words), GROUP), np.uint8)
    for at in range(GROUP):
        indices[:, at] = (words >> np.uint64(at * width)) & mask
    return indices.reshape(-1)[:count]


def padded(indices: np.ndarray, group: int) -> np.ndarray:
    """Return `indices` in rows of `group`, zeros at the end."""
    rows = np.zeros((math.ceil(len(indices) / group), group), np.uint8)
    rows.reshape(-1)[: len(indices)] = indices
    return rows


def tile_order(values: np.ndarray, tiles: TileMap) -> np.ndarray:
    """Return the `[tiles, tile_out, tile_in]` blocks of `values` `[out, in]`, zeros outside the matrix."""
    n_out, n_in = tiles.classes.shape
    whole = np.zeros((n_out * tiles.tile_out, n_in * tiles.tile_in), values.dtype)
    whole[: values.shape[0], : values.shape[1]] = values
    blocks = whole.reshape(n_out, tiles.tile_out, n_in, tiles.tile_in).transpose(0, 2, 1, 3)
    return blocks.reshape(-1, tiles.tile_out, tiles.tile_in)


def matrix_order(blocks: np.ndarray, tiles: TileMap, shape: tuple[int, int]) -> np.ndarray:
    """Return the matrix `[out, in]` whose `tile_order` is `blocks`."""
    n_out, n_in = tiles.classes.shape
    whole = blocks.reshape(n_out, n_in, tiles.tile_out, tiles.tile_in).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(whole.reshape(n_out * tiles.tile_out, -1)[: shape[0], : shape[1]])


def pack_tiles(codes: np.ndarray, tiles: TileMap, tables: Sequence[Sequence[int]], name: str = "") -> np.ndarray:
    """Return the streams of all classes of `codes`, int8 `[out, in]`; `tables` are the sorted values of each class.

    Raises:
        ModelError: a code is not in its tile's table; the message names the layer.
    """
    blocks, classes = tile_order(codes, tiles), tiles.classes.reshape(-1)
    inside = tile_order(np.ones(codes.shape, bool), tiles)
    streams = []
    for position in np.unique(classes):
        table = np.asarray(tables[position], np.int16)
        chosen = classes == position
        values = blocks[chosen][inside[chosen]]
        lookup = np.full(256, -1, np.int16)
        lookup[table + 128] = np.arange(len(table))
        indices = lookup[values.astype(np.int16) + 128]
        if (indices < 0).any():
            raise ModelError(f"{name}: {int((indices < 0).sum())} of its values are not in their tiles' codebooks; "
                             "quantize it again.")
        streams.append(pack(indices.astype(np.uint8), len(table)))
    return np.concatenate(streams)


def unpack_tiles(
    packed: np.ndarray, tiles: TileMap, tables: Sequence[Sequence[int]], shape: tuple[int, int], name: str = ""
) -> np.ndarray:
    """Return the codes that `pack_tiles` packed, int8 `[out, in]`.

    Raises:
        ModelError: the streams are not as long as the tiles need, or an index leaves its table.
    """
    classes = tiles.classes.reshape(-1)
    inside = tile_order(np.ones(shape, bool), tiles)
    blocks = np.zeros(inside.shape, np.int8)
    start = 0
    for position in np.unique(classes):
        table = np.asarray(tables[position], np.int8)
        chosen = np.flatnonzero(classes == position)
        within = inside[chosen]
        count = int(within.sum())
        stop = start + packed_bytes(count, len(table))
        if stop > len(packed):
            raise ModelError(f"{name}: its packed weights end early; was the file copied in part?")
        indices = unpack(packed[start:stop], count, len(table))
        if count and int(indices.max()) >= len(table):
            raise ModelError(f"{name}: an index leaves its codebook of {len(table)} values; the file is damaged.")
        part = np.zeros(within.shape, np.int8)
        part[within] = table[indices]
        blocks[chosen] = part
        start = stop
    if start != len(packed):
        raise ModelError(f"{name}: {len(packed) - start} bytes of packed weights too many; the file is damaged.")
    return matrix_order(blocks, tiles, shape)


def tiles_bytes(shape: tuple[int, int], tiles: TileMap, table_sizes: Sequence[int]) -> int:
    """Return the bytes of `pack_tiles` for a layer of `shape` `[out, in]`."""
    sizes = tiles.sizes(*shape)
    return sum(packed_bytes(int(sizes[tiles.classes == k].sum()), table_sizes[k]) for k in np.unique(tiles.classes))


def row_tables(codes: np.ndarray, counted: np.ndarray, n_values: int, name: str = "") -> np.ndarray:
    """Return the values of each row where `counted`, sorted, int8 `[out, n_values]`, the last one repeated.

    Raises:
        ModelError: a row has more than `n_values`.
    """
    present = np.zeros((len(codes), 256), bool)
    rows, cols = np.nonzero(counted)
    present[rows, codes[rows, cols].astype(np.int16) + 128] = True
    counts = present.sum(1)
    if counts.max(initial=0) > n_values:
        raise ModelError(f"{name}: a row has {int(counts.max())} values, its table {n_values}; quantize it again.")
    first = np.argsort(~present, axis=1, kind="stable")[:, :n_values]
    last = np.minimum(np.arange(n_values), np.maximum(counts - 1, 0)[:, None])
    values = np.take_along_axis(first, last, 1) - 128
    return np.where(counts[:, None] > 0, values, 0).astype(np.int8)


def pack_rows(codes: np.ndarray, counted: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Return the stream of `codes` `[out, in]` under a table per row; 0 where not `counted`."""
    lookup = np.zeros((len(codes), 256), np.uint8)
    for at in reversed(range(tables.shape[1])):
        lookup[np.arange(len(codes)), tables[:, at].astype(np.int16) + 128] = at
    indices = np.take_along_axis(lookup, codes.astype(np.int16) + 128, 1)
    return pack(np.where(counted, indices, 0).reshape(-1), tables.shape[1])


def unpack_rows(packed: np.ndarray, tables: np.ndarray, shape: tuple[int, int], name: str = "") -> np.ndarray:
    """Return the codes that `pack_rows` packed, those not counted at the row's first value; int8 `[out, in]`.

    Raises:
        ModelError: the stream is not as long as the shape needs.
    """
    if len(packed) != packed_bytes(shape[0] * shape[1], tables.shape[1]):
        raise ModelError(f"{name}: its packed weights are not of its shape; was the file copied in part?")
    indices = unpack(packed, shape[0] * shape[1], tables.shape[1]).reshape(shape)
    return np.take_along_axis(tables, indices.astype(np.int64), 1)
