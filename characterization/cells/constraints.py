"""Setup and hold of a flip-flop, by bisection inside one ngspice process for each value that it holds at first.

**Setup** of a data edge: the least time from the edge's 50 % to the clock's 50 % at which the flop still takes the
new value, data having been at the old one for ever. **Hold**: the least time from the clock's 50 % to the edge's 50 %
at which the flop still takes the old value. To *take* a value, the output, which held the other one, must have
crossed 50 % no later than 1.1 times its clock-to-output delay with data long stable (same clock slew, the least load,
at which 10 % are the fewest ps), and must be within a tenth of the supply of its rail when both ramps are over and
0.6 of that delay has passed. Late, missing, metastable and reverted captures thus all fail. The time reported is the
passing end of a bracket of RESOLUTION_PS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from characterization.cells.capture import Captured
from characterization.cells.deck import circuit_lines, guess_lines
from characterization.cells.ngspice import complaint, run_deck
from characterization.cells.stored_state import CLOCK, DATA, START_PS, Flop, shown
from characterization.cells.tables import Constraint
from characterization.errors import CellsError

Kind = Literal["setup", "hold"]
DEGRADATION = 1.1
RESOLUTION_PS = 1.0
# After the output's deadline and both ramps, this share of the clock-to-output delay shows whether it stays.
AFTERWARDS = 0.6
MOST_TRIALS = 40
# With these a constraint is within 2 ps of what ten times as many points give, at half the time of TRANSIENT_OPTIONS.
SEARCH_OPTIONS = "reltol=1e-3 trtol=4 chgtol=1e-16 noinit"
# Longest time step, and first stride of a search (without, with a good guess), as shares of clock to output.
STEP_SHARE = 1 / 10
STRIDE_SHARE = 1 / 8
NEAR_STRIDE_SHARE = 1 / 100
FOUND = re.compile(r"(?m)^@ (\w+) (\d+) (\d+) (\S+) (\S+) (\S+)\s*$")


@dataclass(frozen=True, slots=True)
class Search:
    """One constraint to find.

    Attributes:
        kind: setup or hold.
        edge: of data.
        data, clock: indices of the slews.
        delay_ps: clock to output with data long stable.
    """

    kind: Kind
    edge: int
    data: int
    clock: int
    delay_ps: float

    def result(self, data: int, clock: int) -> str:
        """Return the name of the deck's variable that holds the constraint at a pair of slews."""
        return f"{self.kind}_{data}_{clock}"


def measure_constraints(
    flop: Flop, slews_ps: Sequence[float], stable: Mapping[int, Sequence[Captured]], work: Path,
) -> tuple[Constraint, ...]:
    """Return setup and hold of both data edges `[data slew, clock slew]`.

    Args:
        flop: the flop and what it holds.
        slews_ps: 20-80 % slews of data and of clock.
        stable: value -> captures of it with data long stable, by clock slew, at the least load.
        work: folder for the simulator's files.

    Raises:
        CellsError: at some slews no time is long enough.
        ToolMissingError: ngspice is not installed.
    """
    found: dict[tuple[str, int], np.ndarray] = {}
    for value, captures in stable.items():
        searches = [Search(kind, value if kind == "setup" else 1 - value, data, clock, captures[clock].delay_ps)
                    for kind in ("setup", "hold") for data in range(len(slews_ps)) for clock in range(len(slews_ps))]
        _, said = run_deck(search_deck(flop, value, searches, slews_ps), work)
        for search, time_ps in zip(searches, read_times(flop, searches, said), strict=True):
            table = found.setdefault((search.kind, search.edge), np.zeros((len(slews_ps), len(slews_ps))))
            table[search.data, search.clock] = time_ps
    return tuple(Constraint(kind, DATA, edge, table) for (kind, edge), table in sorted(found.items()))


def search_deck(flop: Flop, value: int, searches: Sequence[Search], slews_ps: Sequence[float]) -> str:
    """Return a deck that finds constraints of capturing `value`, and says each in a line."""
    lines = circuit_lines(flop.bench, SEARCH_OPTIONS, leakage=False) + guess_lines(flop.stored[1 - value, 0])
    lines += [".control", "set num_threads=1", "set numdgt=9", f"save v({flop.output.lower()})",
              f"alter c{flop.output.lower()} = {flop.loads_ff[0]:.6g}f"]
    for search in searches:
        lines += search_lines(flop, value, search, slews_ps)
    return "\n".join([*lines, "quit", ".endc", ".end", ""])


def search_lines(flop: Flop, value: int, search: Search, slews_ps: Sequence[float]) -> list[str]:
    """Return the commands of one search: strides that double until the bracket has both ends, then halves.

    `x` is the time tried, `lo` one that fails, `hi` one that passes; vectors die with each transient's plot, so they
    are carried over as variables.
    """
    carried = ("x", "lo", "hi", "stride", "n")
    return [
        f"let x = {first_guess(search)}", f"let stride = {first_stride_ps(search):.9g}",
        "let lo = -1e9", "let hi = 1e9", "let n = 0",
        f"while (hi - lo gt {RESOLUTION_PS}) & (n lt {MOST_TRIALS})",
        *trial_lines(flop, value, search, slews_ps, carried),
        *(f"let {name} = ${name}" for name in carried),
        "let n = n + 1",
        "if $passed gt 0.5", "let hi = x", "let x = x - stride", "else", "let lo = x", "let x = x + stride", "end",
        "let stride = 2 * stride",
        "if (lo gt -1e8) & (hi lt 1e8)", "let x = (lo + hi) / 2", "end",
        "end",
        f"set {search.result(search.data, search.clock)} = $&hi",
        f"echo @ {search.kind} {search.data} {search.clock} $&lo $&hi $&n",
    ]


def first_guess(search: Search) -> str:
    """Return where a search begins: in the plane through the neighbours that were found before."""
    data, clock = search.data, search.clock
    left, below = f"${search.result(data, clock - 1)}", f"${search.result(data - 1, clock)}"
    if data and clock:
        return f"{left} + {below} - ${search.result(data - 1, clock - 1)}"
    return left if clock else below if data else "0"


def first_stride_ps(search: Search) -> float:
    """Return how far the second trial is from the first; the plane through neighbours is rarely off by much."""
    share = NEAR_STRIDE_SHARE if search.data and search.clock else STRIDE_SHARE
    return max(share * search.delay_ps, 2 * RESOLUTION_PS)


def trial_lines(
    flop: Flop, value: int, search: Search, slews_ps: Sequence[float], carried: Sequence[str],
) -> list[str]:
    """Return the commands of one trial, which leave in `passed` whether the value was taken. Times are in ps."""
    supply_v, output = flop.bench.condition.voltage_v, flop.output.lower()
    before, after = (1 - value, value) if search.kind == "setup" else (value, 1 - value)
    data_ramp, clock_ramp = slews_ps[search.data] / 0.6, slews_ps[search.clock] / 0.6
    toward = "-x" if search.kind == "setup" else "x"
    return [
        # Data's ramp starts `lag` after the clock's; the earlier of the two at START_PS.
        f"let lag = {toward} + {(clock_ramp - data_ramp) / 2:.9g}",
        f"let clk0 = {START_PS} + (abs(lag) - lag) / 2", "let dat0 = clk0 + lag",
        f"let clk1 = clk0 + {clock_ramp:.9g}", f"let dat1 = dat0 + {data_ramp:.9g}",
        f"let due = clk0 + {clock_ramp / 2 + DEGRADATION * search.delay_ps:.9g}",
        *largest("stop", ("clk1", "dat1", "due")), f"let stop = stop + {AFTERWARDS * search.delay_ps:.9g}",
        f"alter @v{CLOCK.lower()}[pwl] = [ 0 0 {{$&clk0}}p 0 {{$&clk1}}p {supply_v:.6g} ]",
        f"alter @v{DATA.lower()}[pwl] = [ 0 {before * supply_v:.6g} {{$&dat0}}p {before * supply_v:.6g} "
        f"{{$&dat1}}p {after * supply_v:.6g} ]",
        *(f"set {name} = $&{name}" for name in (*carried, "due", "stop")),
        f"tran {search.delay_ps * STEP_SHARE:.9g}p {{$stop}}p 0 {search.delay_ps * STEP_SHARE:.9g}p",
        f"meas tran mid find v({output}) at={{$due}}p",
        "let last = length(time) - 1", f"let end = v({output})[last]",
        f"let ok = ({side(value, 'mid', 0.5 * supply_v)}) * ({side(value, 'end', (0.1 + 0.8 * value) * supply_v)})",
        "set passed = $&ok", "destroy all",
    ]


def largest(name: str, vectors: Sequence[str]) -> list[str]:
    """Return commands that set a vector to the largest of several."""
    lines = [f"let {name} = {vectors[0]}"]
    for vector in vectors[1:]:
        lines += [f"if {vector} gt {name}", f"let {name} = {vector}", "end"]
    return lines


def side(value: int, vector: str, level_v: float) -> str:
    """Return an expression that is 1 if a vector is beyond a level towards `value`'s rail."""
    return f"{vector} {'gt' if value else 'lt'} {level_v:.6g}"


def read_times(flop: Flop, searches: Sequence[Search], said: str) -> list[float]:
    """Return the time of each search in ps.

    Raises:
        CellsError: one is missing, or its bracket did not close.
    """
    found = {(m[1], int(m[2]), int(m[3])): (float(m[4]), float(m[5])) for m in FOUND.finditer(said)}
    times = []
    for search in searches:
        lo, hi = found.get((search.kind, search.data, search.clock), (-np.inf, np.inf))
        if not hi - lo <= RESOLUTION_PS:
            edge, at = "rising" if search.edge else "falling", shown(flop.bench.condition)
            reason = f"every time from {lo:.4g} to {hi:.4g} ps is undecided" if found else complaint(said)
            raise CellsError(f"{flop.bench.cell.circuit.name}: no {search.kind} time of {DATA} {edge} is found at {at}"
                             f": {reason}; ask for a higher voltage.")
        times.append(hi)
    return times
