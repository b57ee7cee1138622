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

from characterization.annotation import annotate
from characterization.constants import Constants
from characterization.design import MacDesign
from characterization.liberty import CellLibrary, LibraryCell
from characterization.netlist import Netlist, abut
from characterization.nldm import curve_at
from characterization.pdk import Corner
from characterization.timed import TimedNetlist
from characterization.timing_arrivals import NEVER, Arrivals, arrivals, worst_ps
from characterization.timing_cases import weight_sources

# Cells whose slack is below this share of the period may change.
NEAR = 0.04
# Estimates below this are noise.
LEAST_GAIN_PS = 0.5
ROUNDS = 16
# Sinks that count beside the very slowest.
SLOWEST = 16
Progress = Callable[[int, int], None]
Kinds = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class View:
    """A netlist, timed at its own period.

    Attributes:
        netlist, joined, timed: as mapped, abutted, and annotated.
        period_ps: the longest register-to-register time.
        worst_ps: the mean over the slowest sinks: of two netlists with one period the lesser is nearer to a better one.
        arrival_ps, required_ps: by net, the latest arrival and when it must be there `[edge]`.
    """

    netlist: Netlist
    joined: Netlist
    timed: TimedNetlist
    period_ps: float
    worst_ps: float
    arrival_ps: Arrivals
    required_ps: Mapping[str, np.ndarray]

    def slack_ps(self, net: str) -> float:
        """Return the slack of a net; infinite where it does not move or leads nowhere."""
        if net not in self.required_ps or net not in self.arrival_ps:
            return float("inf")
        return float((self.required_ps[net] - self.arrival_ps[net][:, 0]).min())


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
        trial = view_of(exchanged(best.netlist, chosen, library), library, corner, design)
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


def view_of(netlist: Netlist, library: CellLibrary, corner: Corner, design: MacDesign) -> View:
    """Return a netlist with its arrivals and required times at its own period."""
    joined = abut(netlist, design.neighbours)
    timed = annotate(joined, library, corner, design.clock)
    quiet = weight_sources(timed, design) if design.weight_mode == "stationary" else set()
    still = tuple(replace(source, launch_ps=np.full(2, NEVER)) if source.net in quiet else source
                  for source in timed.sources)  # fmt: skip
    found = arrivals(replace(timed, sources=still), Constants(timed.gates, {}, 1))
    needs = sorted((float(worst_ps(found, [sink], 1)[0]) for sink in timed.sinks), reverse=True)
    return View(netlist, joined, timed, needs[0], float(np.mean(needs[:SLOWEST])), found, required(timed, needs[0]))


def required(timed: TimedNetlist, period_ps: float) -> dict[str, np.ndarray]:
    """Return the latest time at which each net may still change, `[edge]`."""
    found: dict[str, np.ndarray] = {}
    for sink in timed.sinks:
        found[sink.net] = np.minimum(found.get(sink.net, np.inf), period_ps - sink.setup_ps)
    for gate in reversed(timed.gates):
        after = found.get(gate.net)
        if after is not None:
            before = np.nanmin(np.where(np.isnan(gate.delay_ps), np.inf, after - gate.delay_ps), axis=2)
            for pin, net in enumerate(gate.nets):
                found[net] = np.minimum(found.get(net, np.inf), before[pin])
    return found


def proposals(view: View, library: CellLibrary, kinds: Kinds) -> list[Change]:
    """Return what may be gained at the cells near the critical paths, the most first."""
    limit = NEAR * view.period_ps
    found = []
    for step in steps_of(view, library, limit):
        options = [Change(step.cell, kind, step.gain_ps(view, library, kind)) for kind in kinds.get(step.kind, ())]
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

    def gain_ps(self, view: View, library: CellLibrary, kind: str) -> float:
        """Return by how much a path should become shorter with another kind of cell, its driver's new load included."""
        load_ff = view.timed.load_ff[self.net]
        gain = self.delay_ps(library, self.kind, load_ff) - self.delay_ps(library, kind, load_ff)
        more_ff = np.mean(library.cells[kind].pins[self.from_pin].capacitance_ff) - np.mean(
            library.cells[self.kind].pins[self.from_pin].capacitance_ff)  # fmt: skip
        driver = view.joined.driver.get(self.from_net)
        if driver and self.from_net in view.timed.load_ff:
            before_ff = view.timed.load_ff[self.from_net]
            gain += slowest_ps(library.cells[driver[0].kind], driver[1], before_ff)
            gain -= slowest_ps(library.cells[driver[0].kind], driver[1], before_ff + float(more_ff))
        return float(gain)

    def delay_ps(self, library: CellLibrary, kind: str, load_ff: float) -> float:
        """Return the cell's delay along this step at some load, were it of some kind."""
        tables = [arc.delay[self.edge] for arc in library.cells[kind].pins[self.pin].arcs
                  if arc.related_pin == self.from_pin]  # fmt: skip
        slew = np.array(self.slew_ps)
        return max((float(curve_at(table, load_ff).at(slew)) for table in tables if table is not None), default=0.0)


def slowest_ps(cell: LibraryCell, pin: str, load_ff: float) -> float:
    """Return the greatest delay to an output pin at some load and a steep input."""
    tables = [table for arc in cell.pins[pin].arcs for table in arc.delay if table is not None]
    return max((float(curve_at(table, load_ff).at(table.slew_ps[0])) for table in tables), default=0.0)


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
    before = np.stack([view.arrival_ps[net][:, 0] if net in view.arrival_ps else np.full(2, NEVER) for net in nets])
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
