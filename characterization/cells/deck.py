"""Deck: what one ngspice process is to simulate of a cell at one condition, as text.

All stimuli of a cell share one circuit; between them only sources and loads are altered, which costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from characterization.cells.extraction import Extracted
from characterization.cells.models import model_text
from characterization.cells.tables import Condition
from characterization.cells.wheel import Wheel

# Without `hsa` (as HSPICE reads netlists) the same transient takes 4 to 10 times as long.
SPICEINIT = "set ngbehavior=hsa\nset ng_nomodcheck\n"
SUPPLY = "vdd"
RAILS = {"VGND": "0", "VNB": "0", "VPB": "VPWR", "VPWR": "VPWR"}
# The default chgtol (10 fC) is more than a cell holds, so it would leave all step control to the longest step allowed.
TRANSIENT_OPTIONS = "reltol=1e-3 trtol=1 chgtol=1e-16 noinit"
# Off-currents are below the default tolerances; but with ten times tighter ones than these the rounding of 1.8 V across
# the models' resistors of 50 ohm keeps searches from ending. Points agree within a per cent; each finds what another
# misses.
LEAKAGE_OPTIONS = tuple(f"reltol={reltol} vntol=1e-10 abstol={abstol} gmin=1e-16 itl1=1000"
                        for reltol, abstol in (("1e-4", "1e-17"), ("1e-5", "3e-17"), ("1e-6", "1e-16")))
RESULT = "result.raw"
# Node -> voltage in V, named as in the deck.
Guess = Mapping[str, float]
NO_GUESS: Guess = MappingProxyType({})
Knots = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One transient.

    Attributes:
        drives: input pin -> knots (time in ps, voltage in V) of its waveform, straight in between; the last one holds.
        loads_ff: output pin -> capacitor at it.
        stop_ps, step_ps: end of the transient, longest time step.
    """

    drives: Mapping[str, Knots]
    loads_ff: Mapping[str, float]
    stop_ps: float
    step_ps: float


@dataclass(frozen=True, slots=True)
class Bench:
    """A cell on the bench: its netlist after layout, what drives and loads it, and where models come from."""

    cell: Extracted
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    condition: Condition
    wheel: Wheel


def level(value_v: float) -> Knots:
    """Return a waveform that holds a voltage."""
    return ((0.0, value_v),)


def ramp(start_ps: float, slew_ps: float, before_v: float, after_v: float) -> Knots:
    """Return a linear ramp that takes `slew_ps` from 20 to 80 % (the foundry's driver)."""
    return ((start_ps, before_v), (start_ps + slew_ps / 0.6, after_v))


def transient_deck(
    bench: Bench, stimuli: Sequence[Stimulus], watched: Sequence[str] = (), guess: Guess = NO_GUESS,
) -> str:
    """Return a deck whose run leaves one plot for each stimulus in RESULT.

    A plot holds `index`, the voltages of pins and of `watched` nodes (of the subcircuit), and the sources' currents.
    Each transient starts from the operating point next to `guess`: of a latch's two, the one that is wanted.
    """
    voltages = [f"v({pin.lower()})" for pin in (*bench.inputs, *bench.outputs)]
    voltages += [f"v(xcell.{node.lower()})" for node in watched]
    vectors = [*voltages, f"i({SUPPLY})", *(f"i(v{pin.lower()})" for pin in bench.inputs)]
    lines = circuit_lines(bench, TRANSIENT_OPTIONS, leakage=False) + guess_lines(guess)
    lines += [".control", "set num_threads=1", "set filetype=binary", "set appendwrite", f"save {' '.join(vectors)}"]
    before: Stimulus | None = None
    for index, stimulus in enumerate(stimuli):
        lines += alterations(stimulus, before)
        lines += [f"tran {stimulus.step_ps:.9g}p {stimulus.stop_ps:.9g}p 0 {stimulus.step_ps:.9g}p",
                  f"let index = {index} + 0 * time", f"write {RESULT} index {' '.join(vectors)}", "destroy all"]
        before = stimulus
    return "\n".join([*lines, "quit", ".endc", ".end", ""])


def leakage_deck(
    bench: Bench, states: Sequence[Mapping[str, int]], guess: Guess = NO_GUESS, options: str = LEAKAGE_OPTIONS[0],
) -> str:
    """Return a deck whose run leaves the operating point of each input state in RESULT, with the leakage models."""
    lines = circuit_lines(bench, options, leakage=True) + guess_lines(guess)
    lines += [".control", "set num_threads=1", "set filetype=binary", "set appendwrite"]
    vectors = [f"i({SUPPLY})", *(f"i(v{pin.lower()})" for pin in bench.inputs),
               *(f"v({pin.lower()})" for pin in bench.outputs)]
    for index, state in enumerate(states):
        lines += [f"alter v{pin.lower()} dc = {state[pin] * bench.condition.voltage_v:.6g}" for pin in bench.inputs]
        lines += ["op", f"let index = {index} + 0 * i({SUPPLY})", f"write {RESULT} index {' '.join(vectors)}",
                  "destroy all"]
    return "\n".join([*lines, "quit", ".endc", ".end", ""])


def guess_lines(guess: Guess) -> list[str]:
    """Return where the search for operating points begins."""
    return [f".nodeset v({node})={volt:.6g}" for node, volt in guess.items()]


def circuit_lines(bench: Bench, options: str, leakage: bool) -> list[str]:
    """Return models, cell, sources and loads."""
    circuit = bench.cell.circuit
    files: tuple[Path, ...] = bench.wheel.models(bench.condition.process, leakage)
    # The netlists say w=0.65 and mean um.
    lines = [f"* {circuit.name}", ".option scale=1.0u", ".param mc_mm_switch=0"]
    lines += [model_text(path, [d for d in circuit.devices if path.parent.name.startswith(d.kind)]).rstrip()
              for path in files]
    text = without_wires(bench.cell.text) if leakage else bench.cell.text
    lines += [text.rstrip(), f".temp {bench.condition.temp_c:g}", f".options {options}"]
    lines += [f"{SUPPLY} VPWR 0 {bench.condition.voltage_v:.6g}"]
    # A dc value and a waveform side by side: `alter` changes the one that the analysis reads.
    lines += [f"v{pin} {pin} 0 dc 0 pwl(0 0 1n 0)" if not leakage else f"v{pin} {pin} 0 dc 0" for pin in bench.inputs]
    lines += [f"c{pin} {pin} 0 1f" for pin in bench.outputs]
    ports = " ".join(RAILS.get(port, port) for port in circuit.ports)
    return [*lines, f"xcell {ports} {circuit.name}"]


def without_wires(text: str) -> str:
    r"""Return a subcircuit whose resistors are shorts and whose capacitors are gone: the same operating point.

    With resistors of some ohms beside leakages of 1e15 ohms, ngspice now and then takes a wrong point for converged.

    >>> print(without_wires("R0 A_1 A 60\nC0 A B 1f\nX0 Y A_1 VGND VNB nfet w=1"))
    X0 Y A VGND VNB nfet w=1
    """
    joined: dict[str, str] = {}

    def root(node: str) -> str:
        while node in joined:
            node = joined[node]
        return node

    lines = text.splitlines()
    for words in (line.split() for line in lines):
        if words[0].startswith("R") and root(words[1]) != root(words[2]):
            # The shorter name is the pin's or the net's own, without a terminal's number.
            one, other = sorted((root(words[1]), root(words[2])), key=lambda name: (len(name), name))
            joined[other] = one
    return "\n".join(" ".join(root(word) for word in line.split()) if line.startswith("X") else line
                     for line in lines if line[0] not in "RC")


def alterations(stimulus: Stimulus, before: Stimulus | None) -> list[str]:
    """Return the commands that turn one stimulus into the next."""
    lines = []
    for pin, knots in stimulus.drives.items():
        if before is None or before.drives.get(pin) != knots:
            lines.append(f"alter @v{pin.lower()}[pwl] = [ {waveform(knots)} ]")
    for pin, load_ff in stimulus.loads_ff.items():
        if before is None or before.loads_ff.get(pin) != load_ff:
            lines.append(f"alter c{pin.lower()} = {load_ff:.6g}f")
    return lines


def waveform(knots: Knots) -> str:
    """Return a waveform as `alter` takes it; times must rise, so a level gets a second point.

    >>> waveform(((0.0, 1.8),))
    '0 1.8 1e-06 1.8'
    """
    times = dict(knots)
    if min(times) > 0.0:
        times = {0.0: knots[0][1], **times}
    if len(times) == 1:
        times[1e6] = knots[-1][1]
    return " ".join(f"{time_ps * 1e-12:.9g} {volt:.6g}" for time_ps, volt in sorted(times.items()))
