"""Verilog of a whole mapped MAC with delays: exact cells between flops that launch after their clk->q."""

from __future__ import annotations

from collections.abc import Sequence

from characterization.benches.cells import cell_modules, whole_fs
from characterization.benches.core import (
    REST_FS,
    cell_instance,
    latest_fs,
    net_order,
    settled_at_zero,
    signed,
    verilog_nets,
)
from characterization.benches.registers import Registers, cell_of
from characterization.design import MacDesign
from characterization.errors import SimulationError
from characterization.timed import FALL, RISE, Source, TimedNetlist

FLOP_MODULE = """module flop #(parameter INVERTED = 0, parameter [63:0] RISE_FS = 0, FALL_FS = 0) (
  input clk, d, output reg q
);
  wire next = INVERTED ? ~d : d;
  initial q = 0;
  always @(posedge clk) q <= #(next ? RISE_FS : FALL_FS) next;
endmodule
"""


def half_period_fs(timed: TimedNetlist) -> int:
    """Return half a clock period in which everything settles: flops launch just before it begins, ports just after."""
    return latest_fs(timed) + REST_FS


def output_ports(timed: TimedNetlist, design: MacDesign) -> tuple[str, ...]:
    """Return the names of the output ports."""
    bits = {sink.origin for sink in timed.sinks if "/" not in sink.origin}
    return tuple(name for name in sorted(design.widths) if set(design.nets_of(name)) <= bits)


def sequential_verilog(timed: TimedNetlist, design: MacDesign, inputs: Sequence[str]) -> str:
    """Return the netlist as module `design.top` with the design's clock, `inputs`, and output ports.

    Raises:
        SimulationError: a flop has not exactly one data pin.
    """
    nets, start, sources = verilog_nets(timed), settled_at_zero(timed), len(timed.sources)
    outputs = output_ports(timed, design)
    ports = [f"input {design.clock}"]
    ports += [f"{way} {span(design, name)}{name}" for way, names in (("input", inputs), ("output", outputs))
              for name in names]
    at_port = {sink.origin: sink.net for sink in timed.sinks if "/" not in sink.origin}
    wires = [f"  wire n{index};" for index in range(len(net_order(timed)))]
    into = [f"  assign {nets[source.net]} = {source.origin};" for source in timed.sources if "/" not in source.origin]
    # Assigned whole: the simulator's interface misreads a port that is assigned bit by bit.
    out = [f"  assign {name} = {{{', '.join(nets[at_port[bit]] for bit in reversed(design.nets_of(name)))}}};"
           for name in outputs]
    flops = [flop_instance(timed, design, source, nets) for source in timed.sources if "/" in source.origin]
    cells = [cell_instance(gate, sources + index, start, [], nets) for index, gate in enumerate(timed.gates)]
    head = [f"module {design.top} (", "  " + ",\n  ".join(ports), ");"]
    body = "\n".join([*head, *wires, *into, *flops, *cells, *out, "endmodule\n"])
    return "\n".join(["`timescale 1fs/1fs\n", *cell_modules(timed.gates, "never"), FLOP_MODULE, body])


def span(design: MacDesign, name: str) -> str:
    """Return the range of a port, '' for a single bit."""
    return f"[{design.widths[name] - 1}:0] " if design.widths[name] > 1 else ""


def flop_instance(timed: TimedNetlist, design: MacDesign, source: Source, nets: dict[str, str]) -> str:
    """Return the instance that drives a flop output.

    Raises:
        SimulationError: its cell has not exactly one data pin.
    """
    sink = Registers(timed, design).sink_of_cell.get(cell_of(source))
    if sink is None:
        raise SimulationError(
            f"{design.name}: flop {cell_of(source)} has not exactly one data pin; map without enable and set/reset "
            "flops (dont_use) to simulate the netlist."
        )
    inverted = int(timed.sinks[sink].captures != source.net)
    return (
        f"  flop #(.INVERTED({inverted}), .RISE_FS({signed(whole_fs(source.launch_ps[RISE]))}), "
        f".FALL_FS({signed(whole_fs(source.launch_ps[FALL]))})) f{nets[source.net]} "
        f"({design.clock}, {nets[timed.sinks[sink].net]}, {nets[source.net]});"
    )


def bench_verilog(design: MacDesign, inputs: Sequence[str], outputs: Sequence[str], wave: bool = False) -> str:
    """Return module `bench`: registers that drive the clock and inputs of a `design.top` called `mac`, and its outputs.

    With `wave` it writes `waves.fst` into the folder it runs in. A deposit on the port of a top module does not reach
    the bits that are selected from it; a register's does.
    """
    names = (design.clock, *inputs)
    values = ", ".join(f".{name}({value})" for name, value in sorted(design.parameters.items()))
    registers = [f"  reg {span(design, name)}{name};" for name in names]
    registers += [f"  wire {span(design, name)}{name};" for name in outputs]
    pins = ", ".join(f".{name}({name})" for name in (*names, *outputs))
    start = [f"  initial begin {' '.join(f'{name} = 0;' for name in names)} end"]
    start += ['  initial begin $dumpfile("waves.fst"); $dumpvars(0, bench); end'] if wave else []
    return "\n".join([
        "`timescale 1fs/1fs", "module bench;", *registers, *start,
        f"  {design.top} {f'#({values}) ' if values else ''}mac ({pins});", "endmodule\n",
    ])
