"""Wire capacitance of a cell between its nets: facing areas, fringes, and side walls (2.5 dimensions)."""

from __future__ import annotations

import numpy as np

from characterization.cells.grid import NO_NET, Grid, Nets
from characterization.cells.parasitic_constants import FRINGE_AF, FRINGE_REACH, OVERLAP_AF, SIDEWALL_AF

# What a layer sees below it, nearest first, and above it.
BELOW = {"poly": (), "li1": ("poly", "active"), "met1": ("li1", "poly", "active")}
ABOVE = {"poly": ("li1", "met1"), "li1": ("met1",), "met1": ()}
WIRES = ("poly", "li1", "met1")
AF_PER_FF = 1000.0


def wire_capacitance_ff(grid: Grid, nets: Nets) -> np.ndarray:
    """Return the capacitance between nets `[net, net]`, symmetric; the two last indices are the p- and the n-well."""
    n_nets = len(nets.names)
    well = np.where(grid.masks["nwell"], n_nets + 1, n_nets)
    total = np.zeros((n_nets + 2, n_nets + 2))
    add_areas(total, grid, nets, well)
    for turn in range(4):
        view, seen, under = rotated(grid, nets, well, turn)
        for layer in WIRES:
            add_edges(total, layer, view, seen, under)
    total = (total + total.T) / AF_PER_FF
    np.fill_diagonal(total, 0.0)
    return total


def rotated(grid: Grid, nets: Nets, well: np.ndarray, turn: int) -> tuple[Grid, Nets, np.ndarray]:
    """Return the layout seen so that one of its four directions runs towards higher columns."""
    def move(array: np.ndarray) -> np.ndarray:
        array = array.T if turn % 2 else array
        return array[::-1] if turn >= 2 else array

    x_nm, y_nm = (grid.y_nm, grid.x_nm) if turn % 2 else (grid.x_nm, grid.y_nm)
    x_nm = -x_nm[::-1] if turn >= 2 else x_nm
    masks = {name: move(mask) for name, mask in grid.masks.items()}
    return Grid(x_nm, y_nm, masks), Nets(nets.names, {n: move(net) for n, net in nets.of.items()}, {}), move(well)


def add_areas(total: np.ndarray, grid: Grid, nets: Nets, well: np.ndarray) -> None:
    """Add what faces vertically, each layer to the nearest one under it."""
    for layer in WIRES:
        above = nets.of[layer]
        open_ = above != NO_NET
        if layer == "poly":
            open_ = open_ & ~grid.masks["gate"]  # the transistor's model holds its gate
        for lower in (*BELOW[layer], "well"):
            below = well if lower == "well" else nets.of[lower]
            hit = open_ & (below != NO_NET)
            np.add.at(total, (above[hit], below[hit]), grid.area_um2[hit] * OVERLAP_AF[layer, lower])
            open_ = open_ & ~hit


def add_edges(total: np.ndarray, layer: str, grid: Grid, nets: Nets, well: np.ndarray) -> None:
    """Add fringes and side walls of a layer's edges that look towards higher columns."""
    net = nets.of[layer]
    n_columns = net.shape[0]
    edge = net != NO_NET
    edge[:-1] &= net[1:] == NO_NET
    if layer == "poly":
        edge &= ~grid.masks["gate"]
    columns, rows = np.nonzero(edge)
    own, length_um = net[columns, rows], grid.height_um[rows]
    near_um = np.zeros(len(columns))
    reached = columns + 1
    alive = np.ones(len(columns), bool)
    while True:
        alive &= reached < n_columns
        if not alive.any():
            break
        here = (np.where(alive, reached, 0), rows)
        facing = alive & (net[here] != NO_NET)
        coefficient, offset_um = SIDEWALL_AF[layer]
        # Halved, since the other edge sees this one too.
        np.add.at(total, (own[facing], net[here][facing]),
                  length_um[facing] * coefficient / (near_um[facing] + offset_um) / 2)
        alive &= ~facing
        far_um = near_um + grid.width_um[here[0]]
        add_fringe(total, layer, (own, length_um, near_um, far_um), here, alive, nets, well)
        near_um = np.where(alive, far_um, near_um)
        reached = reached + 1
    # Beyond the drawn cell there is only the well; what is left of an edge's fringe that met no neighbour falls there.
    left = (reached >= n_columns)
    at = (np.full(left.sum(), n_columns - 1), rows[left])
    rest = 1 - share(layer, "well", near_um[left])
    np.add.at(total, (own[left], well[at]), length_um[left] * FRINGE_AF[layer, "well"] * rest)


def add_fringe(
    total: np.ndarray, layer: str, edges: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    here: tuple[np.ndarray, np.ndarray], alive: np.ndarray, nets: Nets, well: np.ndarray,
) -> None:
    """Add the fringe that falls between `near_um` and `far_um` of the edges to what is under and over it there."""
    own, length_um, near_um, far_um = edges
    for seen in ((*BELOW[layer], "well"), ABOVE[layer]):
        open_ = alive.copy()
        for other in seen:
            target = well[here] if other == "well" else nets.of[other][here]
            hit = open_ & (target != NO_NET)
            part = share(layer, other, far_um[hit]) - share(layer, other, near_um[hit])
            np.add.at(total, (own[hit], target[hit]), length_um[hit] * FRINGE_AF[layer, other] * part)
            open_ &= ~hit


def share(layer: str, other: str, distance_um: np.ndarray) -> np.ndarray:
    """Return the share of an edge's fringe to another layer that falls within a distance."""
    facing_af = OVERLAP_AF.get((layer, other)) or OVERLAP_AF[other, layer]
    return np.asarray(2 / np.pi * np.arctan(FRINGE_REACH * facing_af * distance_um))
