"""resize(): the same gates in other sizes, flops included, where that shortens the clock period.

ABC sizes gates between flops as if every input arrived at once from a strong driver. Here the whole cycle counts, from
clk->q into the real load to setup, on the delays that everything else is timed with. Cells near the critical paths are
exchanged for others of their family, many at a time; what does not shorten the period is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from characterization.design import MacDesign
from characterization.liberty import CellLibrary, LibraryCell
from characterization.netlist import Netlist
from characterization.nldm import value_at
from characterization.pdk import Corner
from characterization.sizing_view import NOTHING, View, view_of

# Cells whose slack is below this share of the period may change.
NEAR = 0.04
# Estimates below this are noise.
LEAST_GAIN_PS = 0.5
ROUNDS = 16
Progress = Callable[[int, int], None]
Kinds = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """A cell to be exchanged, and by how much a path through it should become shorter."""

    cell: str
    kind: str
    gain_ps: float


def resize(
    netlist: Netlist, library: CellLibrary, corner: Corner, design: MacDesign, dont_use: tuple[str, ...] = (),
    rounds: int = ROUNDS, progress: Progress | None = None,
) -> Netlist:
    """Return the netlist with cells exchanged for others of their family, its period at most as long as before.

    Args:
        netlist: mapped, not abutted.
        library: the corner's cells.
        corner: where it is timed.
        design: what it is; stationary weights do not count as launched.
        dont_use: patterns of cell names to leave alone.
        rounds: trials, each of which times the netlist once.
        progress: called with (rounds done, rounds).
    """
    kinds = families(library, dont_use)
    best, refused, limit = view_of(netlist, library, corner, design), set[tuple[str, str]](), len(netlist.cells)
    for done in range(rounds):
        if progress:
            progress(done, rounds)
        changes = [change for change in proposals(best, library, kinds) if (change.cell, change.kind) not in refused]
        chosen = apart(best.joined, changes, limit)
        if not chosen:
            break
        trial = view_of(exchanged(best.netlist, chosen, library), library, corner, design, best)
        if (trial.period_ps, trial.worst_ps) < (best.period_ps, best.worst_ps):
            best, limit = trial, 2 * len(chosen)
        else:
            limit = max(1, len(chosen) // 3)
            refused |= {(change.cell, change.kind) for change in chosen} if len(chosen) <= 1 else set()
    if progress:
        progress(rounds, rounds)
    return best.netlist


def families(library: CellLibrary, dont_use: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return, for each kind of cell, the kinds that may take its place: same pins, same functions, other size."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, cell in sorted(library.cells.items()):
        if not cell.unusable and not any(fnmatchcase(name, pattern) for pattern in dont_use):
            groups.setdefault(signature(cell), []).append(name)
    return {name: tuple(other for other in group if other != name) for group in groups.values() for name in group}


def signature(cell: LibraryCell) -> tuple[object, ...]:
    """Return what a cell is, apart from its size."""
    pins = tuple((name, pin.direction, pin.function) for name, pin in sorted(cell.pins.items()))
    return pins, cell.flop


def proposals(view: View, library: CellLibrary, kinds: Kinds) -> list[Change]:
    """Return what may be gained at the cells near the critical paths, the most first."""
    limit = NEAR * view.period_ps
    found = []
    for step in steps_of(view, library, limit):
        gains = step.gains_ps(view, library, kinds.get(step.kind, ()))
        options = [Change(step.cell, kind, gain_ps) for kind, gain_ps in gains.items()]
        found += [max(options, key=lambda change: (change.gain_ps, change.kind))] if options else []
    useful = [change for change in found if change.gain_ps > LEAST_GAIN_PS]
    return sorted(useful, key=lambda change: (-change.gain_ps, change.cell))


@dataclass(frozen=True, slots=True)
class Step:
    """The most critical way through a cell: from which input edge (of a flop: its clock) to which output edge."""

    cell: str
    kind: str
    pin: str
    net: str
    edge: int
    from_pin: str
    from_net: str
    slew_ps: float

    def gains_ps(self, view: View, library: CellLibrary, kinds: tuple[str, ...]) -> dict[str, float]:
        """Return by how much a path should become shorter with other kinds, their driver's new load included."""
        load_ff = view.timed.load_ff[self.net]
        now_ps, now_ff = self.delay_ps(library, self.kind, load_ff), self.input_ff(library, self.kind)
        driver = view.joined.driver.get(self.from_net)
        gains = {kind: now_ps - self.delay_ps(library, kind, load_ff) for kind in kinds}
        if driver and self.from_net in view.timed.load_ff:
            cell, before_ff = library.cells[driver[0].kind], view.timed.load_ff[self.from_net]
            before_ps = slowest_ps(cell, driver[1], before_ff)
            for kind in kinds:
                after_ff = before_ff + (self.input_ff(library, kind) - now_ff)
                gains[kind] = gains[kind] + before_ps - slowest_ps(cell, driver[1], after_ff)
        return gains

    def input_ff(self, library: CellLibrary, kind: str) -> float:
        """Return what the step's input weighs in some kind of cell."""
        return float(np.mean(library.cells[kind].pins[self.from_pin].capacitance_ff))

    def delay_ps(self, library: CellLibrary, kind: str, load_ff: float) -> float:
        """Return the cell's delay along this step at some load, were it of some kind."""
        tables = [arc.delay[self.edge] for arc in library.cells[kind].pins[self.pin].arcs
                  if arc.related_pin == self.from_pin]  # fmt: skip
        return max((value_at(table, load_ff, self.slew_ps) for table in tables if table is not None), default=0.0)


def slowest_ps(cell: LibraryCell, pin: str, load_ff: float) -> float:
    """Return the greatest delay to an output pin at some load and a steep input."""
    tables = [table for arc in cell.pins[pin].arcs for table in arc.delay if table is not None]
    return max((value_at(table, load_ff, float(table.slew_ps[0])) for table in tables), default=0.0)


def steps_of(view: View, library: CellLibrary, limit_ps: float) -> Iterator[Step]:
    """Yield the critical step of every cell of one output whose slack is below a limit."""
    single = {cell.name: cell for cell in view.joined.cells if len(view.joined.outputs_of(cell)) == 1}
    for gate in view.timed.gates:
        if gate.cell in single and view.slack_ps(gate.net) < limit_ps:
            pin, edge_in, edge_out = most_critical(view, gate.nets, gate.delay_ps, view.required_ps[gate.net])
            slew = view.timed.slew_ps.get(gate.nets[pin], np.zeros(2))
            yield Step(gate.cell, gate.kind, gate.pin, gate.net, edge_out, gate.pins[pin], gate.nets[pin],
                       float(slew[edge_in]))  # fmt: skip
    for source in view.timed.sources:
        name, _, output = source.origin.rpartition("/")
        if name in single and view.slack_ps(source.net) < limit_ps:
            edge = int((view.required_ps[source.net] - source.launch_ps).argmin())
            kind = single[name].kind
            yield Step(name, kind, output, source.net, edge, library.cells[kind].clock_pin, "", 0.0)


def most_critical(
    view: View, nets: tuple[str, ...], delay_ps: np.ndarray, required_ps: np.ndarray
) -> tuple[int, int, int]:
    """Return (input, its edge, output edge) of the arc with the least slack."""
    before = np.stack([view.arrival_ps.get(net, NOTHING) for net in nets])
    slack = required_ps - (before[:, :, None] + delay_ps)
    pin, edge_in, edge_out = np.unravel_index(int(np.nanargmin(slack)), slack.shape)
    return int(pin), int(edge_in), int(edge_out)


def apart(joined: Netlist, changes: list[Change], limit: int) -> list[Change]:
    """Return the first changes, at most `limit`, no two of them at neighbouring cells."""
    found: list[Change] = []
    taken: set[str] = set()
    for change in changes:
        if len(found) == limit:
            break
        if change.cell not in taken:
            found.append(change)
            taken |= {change.cell, *neighbours_of(joined, change.cell)}
    return found


def neighbours_of(joined: Netlist, name: str) -> Iterator[str]:
    """Yield the cells that drive a cell or are driven by it."""
    cell = joined.cell_named[name]
    for net in cell.pins.values():
        if net in joined.driver:
            yield joined.driver[net][0].name
    for pin in joined.outputs_of(cell):
        for load, _ in joined.loads.get(cell.pins[pin], ()):
            yield load.name


def exchanged(netlist: Netlist, changes: list[Change], library: CellLibrary) -> Netlist:
    """Return the netlist with some cells of other kinds."""
    kinds = {change.cell: change.kind for change in changes}
    cells = tuple(replace(cell, kind=kinds.get(cell.name, cell.kind)) for cell in netlist.cells)
    outputs = {cell.kind: tuple(sorted(library.cells[cell.kind].outputs)) for cell in cells}
    return Netlist(netlist.top, netlist.ports, cells, outputs)
