"""Grid: a cell's layers on the coarsest grid that draws them exactly, and the nets that its shapes form.

Columns and rows lie at the edges of all rectangles, so that each grid cell is wholly inside or outside every layer.
Arrays are `[column, row]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from characterization.cells.layout import Layout
from characterization.errors import CellsError

# Layers that conduct, and the cuts that join them. `active` is diffusion outside gates.
CONDUCTORS = ("active", "poly", "li1", "met1")
JOINTS = (("licon", "active", "li1"), ("licon", "poly", "li1"), ("mcon", "li1", "met1"))
# No step is wider, so that resistance is resolved along long wires too.
MAX_STEP_NM = 170
NO_NET = -1


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Edges in nm, and which grid cells each layer covers."""

    x_nm: np.ndarray
    y_nm: np.ndarray
    masks: Mapping[str, np.ndarray]

    @property
    def width_um(self) -> np.ndarray:
        """Widths of the columns `[column]`."""
        return np.asarray(np.diff(self.x_nm) / 1000.0)

    @property
    def height_um(self) -> np.ndarray:
        """Heights of the rows `[row]`."""
        return np.asarray(np.diff(self.y_nm) / 1000.0)

    @property
    def area_um2(self) -> np.ndarray:
        """Areas `[column, row]`."""
        return np.asarray(np.outer(self.width_um, self.height_um))

    def at(self, x_nm: int, y_nm: int) -> tuple[int, int]:
        """Return the grid cell that holds a point."""
        return (int(np.searchsorted(self.x_nm, x_nm, side="right")) - 1,
                int(np.searchsorted(self.y_nm, y_nm, side="right")) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Nets:
    """Which net each conductor's grid cells belong to.

    Attributes:
        names: net index -> name; a label where there is one, else `n<index>`.
        of: conductor -> `[column, row]` net index, NO_NET outside.
        parts: conductor -> `[column, row]` index of the connected piece of that layer alone, NO_NET outside.
    """

    names: tuple[str, ...]
    of: Mapping[str, np.ndarray]
    parts: Mapping[str, np.ndarray]


def draw(layout: Layout) -> Grid:
    """Return the layout on its grid, with `gate` and `active` beside the drawn layers."""
    boxes = [box for shapes in layout.boxes.values() for box in shapes]
    x_nm = steps({edge for box in boxes for edge in (box[0], box[2])})
    y_nm = steps({edge for box in boxes for edge in (box[1], box[3])})
    masks = {}
    for name, shapes in layout.boxes.items():
        mask = np.zeros((len(x_nm) - 1, len(y_nm) - 1), bool)
        for left, bottom, right, top in shapes:
            columns, rows = np.searchsorted(x_nm, (left, right)), np.searchsorted(y_nm, (bottom, top))
            mask[columns[0]:columns[1], rows[0]:rows[1]] = True
        masks[name] = mask
    masks["gate"] = masks["diff"] & masks["poly"]
    masks["active"] = masks["diff"] & ~masks["poly"]
    return Grid(x_nm, y_nm, masks)


def steps(edges: set[int]) -> np.ndarray:
    """Return the sorted edges, with more of them between those that lie further apart than MAX_STEP_NM.

    >>> steps({0, 100, 440}).tolist()
    [0, 100, 270, 440]
    """
    known = sorted(edges)
    fine = known[:1]
    for low, high in pairwise(known):
        pieces = -((low - high) // MAX_STEP_NM)
        fine += [low + (high - low) * (i + 1) // pieces for i in range(pieces)]
    return np.array(fine, dtype=np.int64)


def connect(layout: Layout, grid: Grid) -> Nets:
    """Return the nets of a cell.

    Raises:
        CellsError: two labels lie on one net.
    """
    parts, offset = {}, 0
    for name in CONDUCTORS:
        labelled, count = ndimage.label(grid.masks[name])
        parts[name] = np.where(labelled > 0, labelled - 1 + offset, NO_NET)
        offset += count
    parent = np.arange(offset)
    for cut, low, high in JOINTS:
        both = grid.masks[cut] & (parts[low] >= 0) & (parts[high] >= 0)
        for one, other in sorted(set(zip(parts[low][both].tolist(), parts[high][both].tolist(), strict=True))):
            parent[root(parent, one)] = root(parent, other)
    roots = np.array([root(parent, i) for i in range(offset)], dtype=np.int64)
    order = {int(found): index for index, found in enumerate(dict.fromkeys(roots.tolist()))}
    index = np.array([*(order[int(found)] for found in roots), NO_NET], dtype=np.int64)
    of = {name: index[part] for name, part in parts.items()}
    names = {i: f"n{i}" for i in range(len(order))}
    for layer, labels in layout.labels.items():
        for text, x_nm, y_nm in labels:
            net = int(of[layer][grid.at(x_nm, y_nm)])
            if net == NO_NET:
                continue
            if names[net] not in (f"n{net}", text):
                raise CellsError(f"{layout.cell}: the layout joins {names[net]} and {text} on one net; "
                                 "its GDS is damaged or of another technology.")
            names[net] = text
    return Nets(tuple(names.values()), of, parts)


def root(parent: np.ndarray, item: int) -> int:
    """Return the representative of an item's set, shortening the way to it."""
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = int(parent[item])
    return item
