"""sdf_text(): an annotated netlist's delays as SDF 3.0, in the subset that Icarus and OpenSTA both read.

One unconditional IOPATH for each pair of pins, its rise and fall the output's, each `min:typ:max` in full: Icarus
takes an empty place for zero without a word, ignores or trips over conditions, and reads numbers in the unit of the
cell models' `timescale`, which therefore must be 1 ps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from characterization.netlist import Netlist
from characterization.timed import FALL, RISE, Gate, Sink, Source, TimedNetlist

Triple = tuple[float, float, float]
HEADER = """(DELAYFILE
  (SDFVERSION "3.0")
  (DESIGN "{top}")
  (VERSION "{version}")
  (DIVIDER /)
  (VOLTAGE {voltage:g}:{voltage:g}:{voltage:g})
  (TEMPERATURE {temp:g}:{temp:g}:{temp:g})
  (TIMESCALE 1ps)
"""


def sdf_text(timed: TimedNetlist, netlist: Netlist, clock_pins: Mapping[str, str]) -> str:
    """Return the delays of an annotated netlist as SDF.

    min is the least delay (steepest slews, fastest condition, several inputs at once), typ the greatest with one input
    switching, max the one delay set that certification and simulation use. A path that depends on the input's edge
    gets the greater (min: the lesser) of both. Negative delays become zero.

    Args:
        timed: annotated from `netlist`.
        netlist: mapped and abutted.
        clock_pins: the clock pin of each kind of flop.
    """
    paths: dict[str, list[str]] = {cell.name: [] for cell in netlist.cells}
    checks: dict[str, list[str]] = {cell.name: [] for cell in netlist.cells}
    kinds = {cell.name: cell.kind for cell in netlist.cells}
    for source in timed.sources:
        cell, slash, pin = source.origin.partition("/")
        if slash:
            paths[cell].append(iopath(clock_pins[kinds[cell]], pin, launch_triples(source)))
    for gate in timed.gates:
        paths[gate.cell] += [iopath(name, gate.pin, gate_triples(gate, i)) for i, name in enumerate(gate.pins)
                             if not np.isnan(gate.delay_ps[i]).all()]
    for sink in timed.sinks:
        cell, slash, pin = sink.origin.partition("/")
        if slash:
            checks[cell] += check_lines(sink, pin, clock_pins[kinds[cell]])
    head = HEADER.format(top=timed.top, version="characterization", voltage=timed.voltage_v, temp=timed.temp_c)
    return head + "".join(cell_text(name, kinds[name], paths[name], checks[name]) for name in paths) + ")\n"


def cell_text(name: str, kind: str, paths: Iterable[str], checks: Iterable[str]) -> str:
    """Return one CELL."""
    lines = "".join(f"        {path}\n" for path in paths)
    text = f'  (CELL (CELLTYPE "{kind}") (INSTANCE {name})\n'
    text += f"    (DELAY (ABSOLUTE\n{lines}    ))\n" if lines else ""
    times = "".join(f"      {check}\n" for check in checks)
    return text + (f"    (TIMINGCHECK\n{times}    )\n" if times else "") + "  )\n"


def iopath(start: str, end: str, triples: tuple[Triple, Triple]) -> str:
    """Return a path; `triples` are for the output's fall and rise."""
    return f"(IOPATH {start} {end} ({number(triples[RISE])}) ({number(triples[FALL])}))"


def number(triple: Triple) -> str:
    """Return `min:typ:max` in ps, to the femtosecond."""
    return ":".join(f"{max(value, 0.0):.3f}" for value in triple)


def launch_triples(source: Source) -> tuple[Triple, Triple]:
    """Return clk->q by output edge."""
    early, late = source.early_ps, source.launch_ps
    fall, rise = ((float(early[edge]), float(late[edge]), float(late[edge])) for edge in (FALL, RISE))
    return fall, rise


def gate_triples(gate: Gate, pin: int) -> tuple[Triple, Triple]:
    """Return the delays from one input by output edge."""
    found = []
    for edge in (FALL, RISE):
        least, greatest = float(np.nanmin(gate.early_ps[pin, :, edge])), float(np.nanmax(gate.delay_ps[pin, :, edge]))
        found.append((least, greatest / float(gate.late[edge]), greatest))
    return found[FALL], found[RISE]


def check_lines(sink: Sink, pin: str, clock_pin: str) -> list[str]:
    """Return setup and hold of a flop's data pin by data edge."""
    lines = []
    for edge, word in ((RISE, "posedge"), (FALL, "negedge")):
        for name, value in (("SETUP", sink.setup_ps[edge]), ("HOLD", sink.hold_ps[edge])):
            if np.isfinite(value):
                ports = f"({word} {pin}) (posedge {clock_pin})"
                lines.append(f"({name} {ports} ({':'.join([f'{value:.3f}'] * 3)}))")
    return lines
