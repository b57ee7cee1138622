"""Verilog of the exact inertial cell: one module per distinct function, its delays and edge energies as parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import floor
from typing import Literal

import numpy as np

from characterization.timed import Gate
from characterization.units import FS_PER_PS

# An arc of zero or negative delay (extrapolated tables have them) would commit within the instant of its cause, where
# the order of evaluation is the simulator's; the shortest delay simulated is therefore one femtosecond.
SHORTEST_FS = 1
Count = Literal["always", "gated", "never"]


def whole_fs(time_ps: float) -> int:
    """Return a time in whole femtoseconds, so that events that meet at a gate compare equal whatever the sums' order.

    Rounded down: a sum over a path must not exceed the static bound on the same path.

    >>> whole_fs(1.2349), whole_fs(-0.5)
    (1234, -500)
    """
    # A thousandth of a femtosecond absorbs the error of numbers like 0.003 ps in binary.
    return floor(time_ps * FS_PER_PS + 1e-3)


def delay_fs(delay_ps: float) -> int:
    """Return the delay of an arc as simulated: whole femtoseconds, at least one.

    >>> delay_fs(1.2349), delay_fs(-3.0)
    (1234, 1)
    """
    return max(SHORTEST_FS, whole_fs(delay_ps))


def cell_name(gate: Gate) -> str:
    """Return the module that models `gate`: kind, output pin, arcs and truth table, all of what its text depends on."""
    plain = re.sub(r"\W", "_", f"{gate.kind}_{gate.pin}")
    present = "".join("01"[int(arc)] for arc in ~np.isnan(gate.delay_ps).ravel())
    return f"cell_{plain}_{gate.truth:x}_{int(present, 2):x}"


def arcs_of(gate: Gate) -> list[tuple[int, int, int]]:
    """Return every (input, input edge, output edge) that has a delay."""
    return [(int(i), int(e), int(o)) for i, e, o in np.argwhere(~np.isnan(gate.delay_ps))]


def cell_modules(gates: Iterable[Gate], count: Count) -> list[str]:
    """Return the module text of every distinct cell among `gates`, by name."""
    found = {cell_name(gate): gate for gate in gates}
    return [cell_module(found[name], count) for name in sorted(found)]


def cell_module(gate: Gate, count: Count) -> str:
    """Return the Verilog of one cell.

    Pins that move in one instant are collected by `#0`, which runs after every commit of that instant. While the
    function differs from the output an *episode* is open: each cause schedules the episode's number after its own
    delay, and the first to arrive commits. Returning to the output's value closes the episode, and so does a commit;
    numbers of closed episodes arrive to no effect. An arc that is missing schedules nothing.

    Args:
        gate: any gate of this kind.
        count: whether the cell counts its edges and adds their energies to `core.energy`: `always`, `never`, or
            `gated`, only while `core.counting` is set.
    """
    inputs = len(gate.pins)
    pins = [f"i{k}" for k in range(inputs)]
    delays = "".join(f", parameter [63:0] D{i}{e}{o} = 0" for i, e, o in arcs_of(gate))
    lines = [
        f"module {cell_name(gate)} #(",
        f"  parameter START = 0, parameter SEEN = 0, parameter signed [63:0] RISE = 0, FALL = 0{delays}",
        f") ({', '.join('input ' + pin for pin in pins)}, output reg o);",
        f"  localparam [{2**inputs - 1}:0] TRUTH = {2**inputs}'h{gate.truth:x};",
        f"  reg [{inputs - 1}:0] seen, now, moved;",
        "  reg [31:0] episode, arrived, rises, falls;",
        "  initial begin o = START; seen = SEEN; episode = 1; arrived = 0; rises = 0; falls = 0; end",
        f"  always @({' or '.join(pins)}) begin",
        f"    #0 now = {{{', '.join(reversed(pins))}}};",
        "    if (TRUTH[now] == o) episode = episode + 1;",
        "    else begin",
        "      moved = now ^ seen;",
        *[f"      {cause(gate, k)}" for k in range(inputs)],
        "    end",
        "    seen = now;",
        "  end",
        "  always @(arrived)",
        "    if (arrived == episode) begin",
        "      episode = episode + 1;",
        "      o = ~o;",
        f"      {count_edge('o', count)}",
        "    end",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def cause(gate: Gate, pin: int) -> str:
    """Return the statement that schedules what an edge of input `pin` causes; the output is about to invert."""
    present = set(arcs_of(gate))

    def arrive(edge: int) -> str:
        rise, fall = ((pin, edge, out) in present for out in (1, 0))
        to = [f"arrived <= #(D{pin}{edge}{out}) episode;" for out in (1, 0)]
        if rise and fall:
            return f"if (o) {to[1]} else {to[0]}"
        if rise or fall:
            return f"if ({'!o' if rise else 'o'}) {to[0] if rise else to[1]}"
        return ";"

    return f"if (moved[{pin}]) begin if (now[{pin}]) begin {arrive(1)} end else begin {arrive(0)} end end"


def count_edge(net: str, count: Count) -> str:
    """Return the statement that counts an edge of `net`, which has just moved."""
    if count == "never":
        return ""
    rise = "begin rises = rises + 1; core.energy = core.energy + RISE; end"
    fall = "begin falls = falls + 1; core.energy = core.energy + FALL; end"
    return f"{'if (core.counting) ' if count == 'gated' else ''}if ({net}) {rise} else {fall}"
