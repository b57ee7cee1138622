"""Wire resistance of a net: local interconnect, contacts and poly, reduced to the net's terminals.

A net's li1 and poly grid cells are the nodes of a resistor mesh; pieces of met1 and diffusion conduct without loss.
The mesh is eliminated (Kron reduction), which leaves resistors between terminals that are exact for the mesh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from characterization.cells.grid import NO_NET, Grid, Nets
from characterization.cells.parasitic_constants import (
    LI1_SHEET_OHM,
    MCON_OHM,
    NDIFF_CONTACT_OHM,
    PDIFF_CONTACT_OHM,
    POLY_CONTACT_OHM,
    POLY_SHEET_OHM,
)

# A resistor that carries less than this share of what flows at either end is left out.
NEGLIGIBLE = 0.01


@dataclass(frozen=True, slots=True)
class Terminal:
    """A place of a net: the layer, and the grid cells (column, row) that are one node there."""

    name: str
    layer: str
    cells: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Resistor:
    """A resistor between two terminals, by their names."""

    one: str
    other: str
    ohm: float


class Mesh:
    """Resistors among the grid cells of one net; each conductor's grid cell is a node, or shares one."""

    def __init__(self, grid: Grid, nets: Nets, net: int, terminals: Sequence[Terminal]) -> None:
        """Number the nodes: terminals first."""
        self.grid, self.nets, self.net = grid, nets, net
        self.node = {layer: np.full(grid.masks["diff"].shape, NO_NET) for layer in ("active", "poly", "li1", "met1")}
        self.entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.count = len(terminals)
        for index, terminal in enumerate(terminals):
            for cell in terminal.cells:
                self.node[terminal.layer][cell] = index
        for layer in ("active", "met1"):  # each piece is one node
            inside = (nets.of[layer] == net)
            for part in np.unique(nets.parts[layer][inside]):
                piece = nets.parts[layer] == part
                taken = self.node[layer][piece]
                self.node[layer][piece] = taken.max() if taken.max() >= 0 else self.new(1)[0]
        for layer in ("poly", "li1"):
            free = (nets.of[layer] == net) & (self.node[layer] == NO_NET)
            self.node[layer][free] = self.new(int(free.sum()))

    def new(self, count: int) -> np.ndarray:
        """Return the numbers of `count` new nodes."""
        first, self.count = self.count, self.count + count
        return np.arange(first, self.count)

    def add(self, one: np.ndarray, other: np.ndarray, siemens: np.ndarray) -> None:
        """Add conductances between nodes."""
        keep = one != other
        self.entries.append((one[keep], other[keep], siemens[keep]))

    def add_sheet(self, layer: str, sheet_ohm: float) -> None:
        """Add a layer's sheet resistance between neighbouring grid cells."""
        node, wide, high = self.node[layer], self.grid.width_um[:, None], self.grid.height_um[None, :]
        inside = self.nets.of[layer] == self.net
        across = inside[1:] & inside[:-1]
        ohm = np.broadcast_to(sheet_ohm * (wide[1:] + wide[:-1]) / 2 / high, across.shape)
        self.add(node[:-1][across], node[1:][across], 1 / ohm[across])
        along = inside[:, 1:] & inside[:, :-1]
        ohm = np.broadcast_to(sheet_ohm * (high[:, 1:] + high[:, :-1]) / 2 / wide, along.shape)
        self.add(node[:, :-1][along], node[:, 1:][along], 1 / ohm[along])

    def add_cuts(self, cut: str, lower: str, upper: str, cut_siemens: np.ndarray, cut_area_um2: float) -> None:
        """Add contacts, each spread over the grid cells it covers; `cut_siemens` `[column, row]` is a whole cut's."""
        hit = self.grid.masks[cut] & (self.nets.of[lower] == self.net) & (self.nets.of[upper] == self.net)
        siemens = cut_siemens * self.grid.area_um2 / cut_area_um2
        self.add(self.node[lower][hit], self.node[upper][hit], siemens[hit])

    def laplacian(self) -> sparse.csc_matrix:
        """Return the conductance matrix."""
        one, other, siemens = (np.concatenate(column) for column in zip(*self.entries, strict=True))
        shape = (self.count, self.count)
        off = sparse.coo_matrix((np.r_[siemens, siemens], (np.r_[one, other], np.r_[other, one])), shape).tocsc()
        return sparse.csc_matrix(sparse.diags(np.asarray(off.sum(axis=0)).ravel()) - off)


CUT_AREA_UM2 = 0.17**2


def net_resistors(grid: Grid, nets: Nets, net: int, terminals: Sequence[Terminal]) -> list[Resistor]:
    """Return the resistors between a net's terminals."""
    if len(terminals) < 2:
        return []
    mesh = Mesh(grid, nets, net, terminals)
    shape = grid.masks["diff"].shape
    mesh.add_sheet("li1", LI1_SHEET_OHM)
    mesh.add_sheet("poly", POLY_SHEET_OHM)
    diffusion = np.where(grid.masks["nwell"], 1 / PDIFF_CONTACT_OHM, 1 / NDIFF_CONTACT_OHM)
    mesh.add_cuts("licon", "active", "li1", diffusion, CUT_AREA_UM2)
    mesh.add_cuts("licon", "poly", "li1", np.full(shape, 1 / POLY_CONTACT_OHM), CUT_AREA_UM2)
    mesh.add_cuts("mcon", "li1", "met1", np.full(shape, 1 / MCON_OHM), CUT_AREA_UM2)
    reduced = reduce_mesh(mesh.laplacian(), len(terminals))
    return [Resistor(terminals[i].name, terminals[j].name, float(-1 / reduced[i, j]))
            for i in range(len(terminals)) for j in range(i)
            if -reduced[i, j] > NEGLIGIBLE * min(reduced[i, i], reduced[j, j])]


def reduce_mesh(laplacian: sparse.csc_matrix, keep: int) -> np.ndarray:
    """Return the conductance matrix of the first `keep` nodes, all others eliminated."""
    kept = laplacian[:keep, :keep].toarray()
    cross = laplacian[:keep, keep:]
    if cross.shape[1] == 0:
        return np.asarray(kept)
    inner = laplacian[keep:, keep:] + sparse.eye(cross.shape[1]) * 1e-15  # an island has no path to a terminal
    solved = linalg.splu(sparse.csc_matrix(inner)).solve(cross.T.toarray())
    return np.asarray(kept - cross @ solved)
