"""ngspice as a program: one batch process runs a deck, and its plots come back as waveforms."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from characterization.cells.deck import (
    LEAKAGE_OPTIONS,
    NO_GUESS,
    RESULT,
    SPICEINIT,
    SUPPLY,
    Bench,
    Guess,
    Stimulus,
    leakage_deck,
    transient_deck,
)
from characterization.errors import CellsError, ToolMissingError

# Currents of inputs, as a share of the supply's, that an operating point may have.
GATE_SHARE = 0.1
# Some model bins have a drain leakage of the wrong sign, seen where nothing else leaks (below 0 C): counted as none.
MODEL_FLOOR_A = 2e-15
PS_PER_S = 1e12
UA_PER_A = 1e6
NW_PER_W = 1e9
COMPLAINT = re.compile(r"(?im)^.*(?:error|fatal|timestep too small|no such|can't find|unable to).*$")


@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """One transient: `time_ps` `[point]`; voltages in V by node, currents in uA by source (out of its positive end)."""

    time_ps: np.ndarray
    voltage_v: Mapping[str, np.ndarray]
    current_ua: Mapping[str, np.ndarray]


@lru_cache(maxsize=1)
def ngspice_version() -> str:
    """Return what ngspice calls itself.

    Raises:
        ToolMissingError: it is not installed.
    """
    program = find_ngspice()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"ngspice-([\w.+]+)", said)
    return found[1] if found else "unknown"


def find_ngspice() -> str:
    """Return the path of the program.

    Raises:
        ToolMissingError: it is not installed.
    """
    program = shutil.which("ngspice")
    if program is None:
        raise ToolMissingError("ngspice is not installed; install the Debian package ngspice (39 or later).")
    return program


def simulate(
    bench: Bench, stimuli: Sequence[Stimulus], work: Path, watched: Sequence[str] = (), guess: Guess = NO_GUESS,
) -> list[Waves | None]:
    """Return the waveforms of each stimulus; None where the simulator gave up before its end.

    Args:
        bench: the cell and its condition.
        stimuli: what to simulate, in one process.
        work: folder in which a folder for the run is made, and removed.
        watched: nodes inside the cell whose voltages are wanted too.
        guess: voltages near which the operating points lie, for cells that have several.

    Raises:
        CellsError: ngspice refused the deck.
        ToolMissingError: ngspice is not installed.
    """
    data, said = run_deck(transient_deck(bench, stimuli, watched, guess), work)
    plots = {round(float(plot["index"][0])): plot for plot in read_plots(data)}
    if not plots and stimuli:
        raise CellsError(f"{bench.cell.circuit.name}: ngspice refused the deck: {complaint(said)}")
    return [read_waves(plots.get(index), stimulus) for index, stimulus in enumerate(stimuli)]


def read_waves(plot: Mapping[str, np.ndarray] | None, stimulus: Stimulus) -> Waves | None:
    """Return a plot's waveforms, or None if it ends early."""
    if plot is None or plot["time"][-1] * PS_PER_S < stimulus.stop_ps * (1 - 1e-6):
        return None
    voltages = {name[2:-1].removeprefix("xcell."): column for name, column in plot.items() if name.startswith("v(")}
    currents = {name[2:-1]: -column * UA_PER_A for name, column in plot.items() if name.startswith("i(")}
    pins = {pin.lower(): pin for pin in (*stimulus.drives, *stimulus.loads_ff)}
    sources = {f"v{low}": pin for low, pin in pins.items()} | {SUPPLY: "VPWR"}
    return Waves(plot["time"] * PS_PER_S, {pins.get(name, name): column for name, column in voltages.items()},
                 {sources.get(name, name): column for name, column in currents.items()})


def leakage_nw(
    bench: Bench, states: Sequence[Mapping[str, int]], work: Path, guess: Guess = NO_GUESS,
) -> list[float]:
    """Return the power in nW that the supply and the inputs deliver in each state; a flop's outputs belong to it.

    Raises:
        CellsError: a state has no operating point, or the one found has other outputs.
        ToolMissingError: ngspice is not installed.
    """
    powers: dict[int, float] = {}
    said = ""
    for options in LEAKAGE_OPTIONS:
        missing = [index for index in range(len(states)) if index not in powers]
        if not missing:
            break
        data, said = run_deck(leakage_deck(bench, [states[index] for index in missing], guess, options), work)
        for plot in read_plots(data):
            index = missing[round(float(plot["index"][0]))]
            if is_operating_point(bench, plot, states[index]):
                powers[index] = power_nw(bench, plot, states[index])
    for index, state in enumerate(states):
        if index not in powers:
            shown = " ".join(f"{pin}={value}" for pin, value in state.items())
            raise CellsError(f"{bench.cell.circuit.name}: no operating point in state {shown} at "
                             f"{bench.condition.voltage_v:g} V: {complaint(said)}")
    return [powers[index] for index in range(len(states))]


def power_nw(bench: Bench, plot: Mapping[str, np.ndarray], state: Mapping[str, int]) -> float:
    """Return the power of an operating point, at least 0."""
    volts = {SUPPLY: 1} | {f"v{pin.lower()}": state[pin] for pin in bench.inputs}
    amperes = sum(-float(plot[f"i({source})"][0]) * high for source, high in volts.items())
    return max(amperes, 0.0) * bench.condition.voltage_v * NW_PER_W


def is_operating_point(bench: Bench, plot: Mapping[str, np.ndarray], state: Mapping[str, int]) -> bool:
    """Return whether a point is one: the outputs are where they belong, and currents flow where they can.

    The models have no gate leakage. A search that ended too early shows as currents of inputs, or into the supply.
    """
    half_v = bench.condition.voltage_v / 2
    right = all((plot[f"v({pin.lower()})"][0] > half_v) == state[pin] for pin in bench.outputs if pin in state)
    supply_a = -float(plot[f"i({SUPPLY})"][0])
    inputs_a = max((abs(float(plot[f"i(v{pin.lower()})"][0])) for pin in bench.inputs), default=0.0)
    return right and supply_a > -MODEL_FLOOR_A and inputs_a < max(GATE_SHARE * supply_a, MODEL_FLOOR_A)


def run_deck(deck: str, work: Path) -> tuple[bytes, str]:
    """Return the raw file that a deck's run leaves, and what ngspice said."""
    program = find_ngspice()
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ngspice-", dir=work) as folder:
        place = Path(folder)
        (place / ".spiceinit").write_text(SPICEINIT, encoding="utf-8")
        (place / "deck.sp").write_text(deck, encoding="utf-8")
        done = subprocess.run([program, "-b", "deck.sp"], cwd=place, capture_output=True, check=False)
        result = place / RESULT
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        return (result.read_bytes() if result.is_file() else b""), said


def complaint(said: str) -> str:
    """Return the first line of ngspice's output that complains."""
    found = COMPLAINT.search(said)
    return found[0].strip() if found else (said.strip().splitlines() or ["it said nothing"])[-1]


def read_plots(data: bytes) -> list[dict[str, np.ndarray]]:
    """Return the plots of a binary raw file: vector name -> `[point]`.

    Raises:
        CellsError: the file is truncated.
    """
    plots, start = [], 0
    while (found := data.find(b"Binary:\n", start)) >= 0:
        header = data[start:found].decode("ascii", "replace")
        sizes = [re.search(rf"No\. {what}: *(\d+)", header) for what in ("Variables", "Points")]
        if sizes[0] is None or sizes[1] is None:
            raise CellsError("a raw file of ngspice has a plot without sizes; run again with ngspice 39 or later.")
        n_vectors, n_points = int(sizes[0][1]), int(sizes[1][1])
        begin = found + len(b"Binary:\n")
        start = begin + 8 * n_vectors * n_points
        if start > len(data):
            raise CellsError("a raw file of ngspice ends within a plot; is the disk full?")
        columns = np.frombuffer(data[begin:start], dtype="<f8").reshape(n_points, n_vectors).T
        rows = header[header.index("Variables:\n") + len("Variables:\n"):].strip().splitlines()
        plots.append({row.split()[1].lower(): column for row, column in zip(rows, columns, strict=True)})
    return plots
