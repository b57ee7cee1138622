"""Wire capacitance of a cell between its nets: facing areas, fringes, and side walls (2.5 dimensions)."""

from __future__ import annotations

from dataclasses import dataclass

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
    """Add fringes and side walls of a layer's edges that look towards higher columns.

    Each edge is followed along its row until it faces a conductor of its own layer, or leaves the cell.
    """
    net = nets.of[layer]
    edge = net != NO_NET
    edge[:-1] &= net[1:] == NO_NET
    if layer == "poly":
        edge &= ~grid.masks["gate"]
    columns, rows = np.nonzero(edge)
    beam = Beam(layer, net[columns, rows], grid.height_um[rows], np.zeros(len(rows)), np.ones(len(rows)),
                np.ones(len(rows)))
    here = columns + 1
    while (inside := here < net.shape[0]).any():
        beam, rows, here = beam.only(inside), rows[inside], here[inside]
        facing = net[here, rows] != NO_NET
        add_sidewall(total, beam.only(facing), net[here[facing], rows[facing]])
        beam, rows, here = beam.only(~facing), rows[~facing], here[~facing]
        beam = add_fringe(total, beam, (here, rows), grid.width_um[here], nets, well)
        here = here + 1
        # Beyond the drawn cell there is only the well; what is left of a fringe falls there.
        out = here >= net.shape[0]
        np.add.at(total, (beam.net[out], well[-1, rows[out]]),
                  beam.length_um[out] * FRINGE_AF[layer, "well"] * beam.below[out])


@dataclass(frozen=True, slots=True, eq=False)
class Beam:
    """Edges on their way outwards `[edge]`.

    Attributes:
        layer: their layer.
        net, length_um: whose they are, and how long.
        far_um: how far they have come.
        below, above: the shares of their fringes that have not yet landed on something below or above.
    """

    layer: str
    net: np.ndarray
    length_um: np.ndarray
    far_um: np.ndarray
    below: np.ndarray
    above: np.ndarray

    def only(self, chosen: np.ndarray) -> Beam:
        """Return some of the edges."""
        return Beam(self.layer, self.net[chosen], self.length_um[chosen], self.far_um[chosen], self.below[chosen],
                    self.above[chosen])


def add_sidewall(total: np.ndarray, beam: Beam, facing: np.ndarray) -> None:
    """Add the coupling of edges to the nets of their own layer that they face.

    What has fallen to the ground on the way does not arrive: without this, far neighbours couple up to three times as
    strongly as in a solution of the field. Halved, since the other edge sees this one too.
    """
    coefficient, offset_um = SIDEWALL_AF[beam.layer]
    np.add.at(total, (beam.net, facing),
              beam.length_um * coefficient / (beam.far_um + offset_um) * beam.below / 2)


def add_fringe(
    total: np.ndarray, beam: Beam, here: tuple[np.ndarray, np.ndarray], step_um: np.ndarray, nets: Nets,
    well: np.ndarray,
) -> Beam:
    """Add the fringe that lands within the grid cells `here`, and return the edges one step further."""
    left = {}
    for name, before, seen in (("below", beam.below, (*BELOW[beam.layer], "well")),
                               ("above", beam.above, ABOVE[beam.layer])):
        open_, share_left = np.ones(len(before), bool), before.copy()
        for other in seen:
            target = well[here] if other == "well" else nets.of[other][here]
            hit = open_ & (target != NO_NET)
            near, far = (landed(beam.layer, other, far_um[hit]) for far_um in (beam.far_um, beam.far_um + step_um))
            part = share_left[hit] * (far - near) / (1 - near)
            np.add.at(total, (beam.net[hit], target[hit]), beam.length_um[hit] * FRINGE_AF[beam.layer, other] * part)
            share_left[hit] -= part
            open_ &= ~hit
        left[name] = share_left
    return Beam(beam.layer, beam.net, beam.length_um, beam.far_um + step_um, left["below"], left["above"])


def landed(layer: str, other: str, distance_um: np.ndarray) -> np.ndarray:
    """Return the share of an edge's fringe to another layer that lands within a distance, if nothing else is there."""
    facing_af = OVERLAP_AF.get((layer, other)) or OVERLAP_AF[other, layer]
    return np.asarray(2 / np.pi * np.arctan(FRINGE_REACH * facing_af * distance_um))
