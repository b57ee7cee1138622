"""Verilog of a timed core under test: launching sources, exact cells, sinks that note when they are required."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from characterization.benches.cells import Count, arcs_of, cell_modules, cell_name, count_edge, delay_fs, whole_fs
from characterization.netlist import CONST0, CONST1, CONSTANTS
from characterization.timed import FALL, RISE, Gate, Sink, TimedNetlist

# Between the static bound and the next step, so that a step never begins before the last one has settled.
REST_FS = 1_000_000
TIME_BITS = ENERGY_BITS = 64
COUNT_BITS = 32


def net_order(timed: TimedNetlist) -> tuple[str, ...]:
    """Return the nets of a core in the order of its counters: sources, then gates."""
    return (*(source.net for source in timed.sources), *(gate.net for gate in timed.gates))


def latest_fs(timed: TimedNetlist) -> int:
    """Return a time by which every sink is settled and set up, whatever the functions: the longest path, any edge."""
    arrival = {source.net: max(0, *(whole_fs(time) for time in source.launch_ps)) for source in timed.sources}
    arrival |= dict.fromkeys(CONSTANTS, 0)
    for gate in timed.gates:
        slowest = [delay_fs(float(np.nanmax(arcs))) if not np.isnan(arcs).all() else 0 for arcs in gate.delay_ps]
        arrival[gate.net] = max(arrival[net] + delay for net, delay in zip(gate.nets, slowest, strict=True))
    return max(arrival[sink.net] + max(0, *(whole_fs(time) for time in sink.setup_ps)) for sink in timed.sinks)


def verilog_nets(timed: TimedNetlist) -> dict[str, str]:
    """Return the Verilog expression of every net."""
    return {CONST0: "1'b0", CONST1: "1'b1"} | {net: f"n{index}" for index, net in enumerate(net_order(timed))}


def settled_at_zero(timed: TimedNetlist) -> dict[str, int]:
    """Return the value of every net when all sources are 0: where cells start, so that nothing ever is unknown."""
    values = {**CONSTANTS, **{source.net: 0 for source in timed.sources}}
    for gate in timed.gates:
        values[gate.net] = gate.truth >> pattern_of(gate, values) & 1
    return values


def pattern_of(gate: Gate, values: dict[str, int]) -> int:
    """Return the input pattern of a gate."""
    return sum(values[net] << bit for bit, net in enumerate(gate.nets))


def cell_instance(
    gate: Gate, index: int, start: dict[str, int], parameters: Sequence[str], nets: dict[str, str]
) -> str:
    """Return the instance of one gate, `u<index>`."""
    values = [f".START({start[gate.net]})", f".SEEN({pattern_of(gate, start)})", *parameters]
    values += [f".D{i}{e}{o}(64'd{delay_fs(float(gate.delay_ps[i, e, o]))})" for i, e, o in arcs_of(gate)]
    pins = ", ".join(nets[net] for net in (*gate.nets, gate.net))
    return f"  {cell_name(gate)} #({', '.join(values)}) u{index} ({pins});"


def launch_module(count: Count) -> str:
    """Return the module of a source: it follows its bit of the state after the launch time of the edge."""
    return f"""module launch #(
  parameter [63:0] RISE_FS = 0, FALL_FS = 0, parameter signed [63:0] RISE = 0, FALL = 0
) (input d, output reg q);
  reg launched;
  reg [31:0] rises, falls;
  initial begin q = 0; launched = 0; rises = 0; falls = 0; end
  always @(d) if (d != q) launched <= #(d ? RISE_FS : FALL_FS) ~launched;
  always @(launched) begin
    q = ~q;
    {count_edge('q', count)}
  end
endmodule
"""


# Nets get their first values at time 0, which is no change; with a negative setup it would be required before it.
WATCH_MODULE = """module watch #(parameter signed [63:0] RISE_FS = 0, FALL_FS = 0) (input d);
  time required;
  initial required = 0;
  always @(d) if ($time > 0) required = $time + (d ? RISE_FS : FALL_FS);
endmodule
"""


def core_verilog(timed: TimedNetlist, edge_cost: np.ndarray, watched: Iterable[int], count: Count = "always") -> str:
    """Return the Verilog of a core: module `core`, which cocotb steps from state to state.

    At each change of `strobe` the register `report` holds {sinks, latest requirement since the last strobe in
    femtoseconds, energy so far}, and the next `state` may be written. If `collect` is set by then, `counts` holds
    every edge counter: falls, then rises of each net, 32 bits each, lowest first.

    Args:
        timed: the core.
        edge_cost: int64 [net, edge], in the order of `net_order`, added to `energy` at each edge.
        watched: positions of the sinks whose requirement is reported.
        count: as `cell_module` has it.
    """
    nets, start = verilog_nets(timed), settled_at_zero(timed)
    sources, order = len(timed.sources), net_order(timed)
    cost = [f".RISE({signed(rise)}), .FALL({signed(fall)})" for fall, rise in edge_cost.tolist()]
    launches = [
        f"  launch #(.RISE_FS({max(0, whole_fs(source.launch_ps[RISE]))}), "
        f".FALL_FS({max(0, whole_fs(source.launch_ps[FALL]))}), {cost[i]}) u{i} (state[{i}], n{i});"
        for i, source in enumerate(timed.sources)
    ]
    cells = [
        cell_instance(gate, sources + i, start, [cost[sources + i]], nets) for i, gate in enumerate(timed.gates)
    ]
    watches = watch_instances([timed.sinks[index] for index in watched], nets)
    parts = [
        "`timescale 1fs/1fs\n", *cell_modules(timed.gates, count), launch_module(count), WATCH_MODULE,
        "\n".join(["module core;", *registers_of(timed, len(order)), *[f"  wire n{i};" for i in range(len(order))],
                   *launches, *cells, *watches]),
        report_process(timed, len(watches), nets), "endmodule\n",
    ]
    return "\n".join(parts)


def signed(value: int) -> str:
    """Return a signed 64-bit Verilog literal."""
    return f"{'-' if value < 0 else ''}64'sd{abs(value)}"


def registers_of(timed: TimedNetlist, nets: int) -> list[str]:
    """Return the declarations of what cocotb and the cells read and write."""
    return [
        f"  reg [{len(timed.sources) - 1}:0] state;",
        f"  reg [{len(timed.sinks) + TIME_BITS + ENERGY_BITS - 1}:0] report;",
        f"  reg [{2 * COUNT_BITS * nets - 1}:0] counts;",
        "  reg signed [63:0] energy;",
        "  reg counting, strobe, collect;",
        "  time since, latest;",
        "  initial begin state = 0; energy = 0; counting = 1; strobe = 0; collect = 0; since = 0; end",
    ]


def watch_instances(sinks: list[Sink], nets: dict[str, str]) -> list[str]:
    """Return one watch for each net with a sink, at the worst setup among its sinks."""
    setup: dict[str, np.ndarray] = {}
    for sink in sinks:
        if sink.net not in CONSTANTS:
            setup[sink.net] = np.maximum(setup.get(sink.net, sink.setup_ps), sink.setup_ps)
    return [
        f"  watch #(.RISE_FS({signed(whole_fs(times[RISE]))}), .FALL_FS({signed(whole_fs(times[FALL]))})) "
        f"w{index} ({nets[net]});"
        for index, (net, times) in enumerate(setup.items())
    ]


def report_process(timed: TimedNetlist, watches: int, nets: dict[str, str]) -> str:
    """Return the process that reports every step and begins the next."""
    values = ", ".join(nets[sink.net] for sink in reversed(timed.sinks))
    bits, counters = 2 * COUNT_BITS, range(len(net_order(timed)))
    lines = [
        "  always begin", f"    #{latest_fs(timed) + REST_FS} latest = 0;",
        *[f"    if (w{i}.required > since + latest) latest = w{i}.required - since;" for i in range(watches)],
        f"    report = {{{values}, latest, energy}};",
        "    if (collect) begin",
        *[f"      counts[{bits * i} +: {bits}] = {{u{i}.rises, u{i}.falls}};" for i in counters],
        "    end", "    since = $time;", "    strobe = ~strobe;", "  end",
    ]
    return "\n".join(lines)
