"""Transistors of a layout: width, length, junctions and distances to the edge of their diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from characterization.cells.grid import Grid, Nets
from characterization.errors import CellsError

Kind = Literal["n", "p"]


@dataclass(frozen=True, slots=True)
class Junction:
    """One side of a gate.

    Attributes:
        strip: index of the piece of diffusion (one for all gates beside it).
        net: its net.
        area_um2, perimeter_um: this gate's share; the perimeter holds the gate's own edge, as BSIM4's permod 1 wants.
        edge_um: distance from the gate to where the diffusion ends on this side, other gates passed over (SA or SB).
    """

    strip: int
    net: int
    area_um2: float
    perimeter_um: float
    edge_um: float


@dataclass(frozen=True, slots=True)
class Transistor:
    """A transistor: `gate` is its net, `junctions` are left and right (below and above if it lies sideways)."""

    kind: Kind
    width_um: float
    length_um: float
    gate: int
    junctions: tuple[Junction, Junction]


def find_transistors(cell: str, grid: Grid, nets: Nets) -> tuple[Transistor, ...]:
    """Return the transistors of a cell, from left to right and from below.

    Raises:
        CellsError: a gate is no rectangle with diffusion on two opposite sides only.
    """
    gates, count = ndimage.label(grid.masks["gate"])
    found = []
    for index in range(1, count + 1):
        columns, rows = np.nonzero(gates == index)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        sideways = not (grid.masks["active"][max(box[0] - 1, 0), box[1]:box[3]]).all()
        view = turned(grid, nets) if sideways else (grid, nets)
        if sideways:
            box = (box[1], box[0], box[3], box[2])
        found.append(read_gate(cell, box, *view))
    return tuple(found)


def turned(grid: Grid, nets: Nets) -> tuple[Grid, Nets]:
    """Return the layout with its axes exchanged."""
    return (Grid(grid.y_nm, grid.x_nm, {name: mask.T for name, mask in grid.masks.items()}),
            Nets(nets.names, {name: net.T for name, net in nets.of.items()},
                 {name: part.T for name, part in nets.parts.items()}))


def read_gate(cell: str, box: tuple[int, int, int, int], grid: Grid, nets: Nets) -> Transistor:
    """Return the transistor whose gate covers the grid cells of `box`, current flowing along the columns."""
    left, bottom, right, top = box
    rows = slice(bottom, top)
    active = np.pad(grid.masks["active"], 1)[1:, 1:]  # index -1 is outside, too
    beside = [active[column, rows].all() for column in (left - 1, right)]
    crossed = not any(active[left:right, row].any() for row in (bottom - 1, top))
    if not (grid.masks["gate"][left:right, rows].all() and all(beside) and crossed):
        raise CellsError(f"{cell}: the gate at ({grid.x_nm[left]}, {grid.y_nm[bottom]}) nm is no rectangle with "
                         "diffusion on two sides only; such transistors are not extracted.")
    kind: Kind = "p" if grid.masks["nwell"][left, bottom] else "n"
    width_um = float(grid.height_um[rows].sum())
    length_um = float(grid.width_um[left:right].sum())
    junctions = (read_junction(box, -1, grid, nets, width_um, length_um),
                 read_junction(box, 1, grid, nets, width_um, length_um))
    return Transistor(kind, width_um, length_um, int(nets.of["poly"][left, bottom]), junctions)


def read_junction(
    box: tuple[int, int, int, int], direction: int, grid: Grid, nets: Nets, width_um: float, length_um: float,
) -> Junction:
    """Return the junction on one side: `direction` -1 towards lower columns, 1 towards higher."""
    left, bottom, right, top = box
    start = left - 1 if direction < 0 else right
    strip = int(nets.parts["active"][start, bottom])
    inside = nets.parts["active"] == strip
    outer_um, gates_um = strip_edges(inside, grid)
    share = width_um / gates_um
    # Rows of other widths end elsewhere; BSIM4 averages 1 / (SA + L/2) over the width.
    inverse = sum(grid.height_um[row] / (distance(start, direction, row, grid) + length_um / 2)
                  for row in range(bottom, top)) / width_um
    return Junction(strip, int(nets.of["active"][start, bottom]), float(grid.area_um2[inside].sum()) * share,
                    outer_um * share + width_um, float(1 / inverse - length_um / 2))


def distance(start: int, direction: int, row: int, grid: Grid) -> float:
    """Return how far the drawn diffusion reaches in um from column `start` on."""
    column, total_um = start, 0.0
    while 0 <= column < len(grid.width_um) and grid.masks["diff"][column, row]:
        total_um += grid.width_um[column]
        column += direction
    return total_um


def strip_edges(inside: np.ndarray, grid: Grid) -> tuple[float, float]:
    """Return the length in um of a strip's border against field, and against gates."""
    gate = grid.masks["gate"]
    outer_um = gates_um = 0.0
    for axis, length_um in ((0, grid.height_um[None, :]), (1, grid.width_um[:, None])):
        for shift in (-1, 1):
            beyond = shifted(inside, axis, shift)
            border = inside & ~beyond
            against = border & shifted(gate, axis, shift)
            lengths = np.broadcast_to(length_um, inside.shape)
            gates_um += float(lengths[against].sum())
            outer_um += float(lengths[border & ~against].sum())
    return outer_um, gates_um


def shifted(mask: np.ndarray, axis: int, shift: int) -> np.ndarray:
    """Return for each grid cell the mask of its neighbour along an axis; False beyond the grid."""
    padded = np.pad(mask, 1)
    moved = np.roll(padded, shift, axis)
    return np.asarray(moved[1:-1, 1:-1])
