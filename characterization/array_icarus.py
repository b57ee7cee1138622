"""hold_array_against_icarus(): every flop of a gate-level rtl/systolic_array, clock by clock, in Icarus and in ours.

The array's Verilog is that of `rtl/systolic_array`; each element is a module of exact cells between flops that take the
opposite of what moves within their setup window. What a flop launches is seen after clk->q by whoever reads it, so that
the array's own delay lines launch as an element does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from characterization.array_element import SHIFT, TOKENS, ArrayElement
from characterization.array_program import Edge, array_program, delayed
from characterization.array_run import run_array
from characterization.artifact import atomic_path, write_text
from characterization.benches.cells import cell_modules, whole_fs
from characterization.benches.core import cell_instance, settled_at_zero, verilog_nets
from characterization.benches.icarus import compile_bench, run_bench
from characterization.clocked import ElementCore
from characterization.errors import SimulationError
from characterization.timed import FALL, RISE

ELEMENT = "gate_element"
ARRAY_BITS = 8  # of activations and weights on the ports of rtl/systolic_array
LAUNCH_MODULE = """module launch #(parameter [63:0] RISE_FS = 0, FALL_FS = 0) (input d, output reg q);
  initial q = 0;
  always @(d) q <= #(d ? RISE_FS : FALL_FS) d;
endmodule
"""
# The first clock only launches what the bench starts with.
CAPTURE_MODULE = """module capture #(parameter [63:0] RISE_FS = 0, FALL_FS = 0) (input clk, d, output reg q);
  time since;
  reg armed;
  initial begin q = 0; since = 0; armed = 0; end
  always @(d) since = $time;
  always @(posedge clk) begin
    if (armed) q <= ($time - since < (d ? RISE_FS : FALL_FS)) ? ~d : d;
    armed <= 1;
  end
endmodule
"""


@dataclass(frozen=True, slots=True)
class ArrayAgreement:
    """How far two simulators agree on an array.

    Attributes:
        cycles: compared.
        captures: flops compared in them.
        differ: captures that differ.
        corrupted: captures, of those that count, that moved within their setup window.
    """

    cycles: int
    captures: int
    differ: int
    corrupted: int


def hold_array_against_icarus(
    element: ArrayElement, core: ElementCore, edge: Edge, rows: int, period_ps: float, rtl: Path, work: Path
) -> ArrayAgreement:
    """Return how far every flop of the array agrees, from reset on.

    Args:
        element: of the array.
        core: the same as flat arrays.
        edge: what enters the array.
        rows: of the array.
        period_ps: of the clock.
        rtl: folder with the array's Verilog.
        work: folder for the bench.

    Raises:
        SimulationError: the Verilog is not there, or Icarus failed.
        ToolMissingError: Icarus is not installed.
    """
    sources = sorted(rtl.glob("*.v"))
    if not sources:
        raise SimulationError(f"{rtl}: no Verilog of the systolic array; name its folder with --array-rtl.")
    ours = run_array(element, core, array_program(element, edge, rows), period_ps, record=True)
    columns = edge.weights.shape[1]
    write_text(work / "element.v", element_verilog(element, core))
    write_text(work / "bench.v", bench_verilog(element, rows, columns))
    compile_bench([work / "element.v", *sources, work / "bench.v"], "bench", work / "build")
    period_fs = whole_fs(period_ps)
    with atomic_path(work / "plan.npz") as partial, partial.open("wb") as stream:
        np.savez(stream, driven=bench_words(element, edge), period_fs=np.array(period_fs),
                 names=np.array(flop_names(element, rows, columns)))
    environment = {"HALO_BENCH_PLAN": str((work / "plan.npz").resolve()),
                   "HALO_BENCH_OUT": str((work / "flops.npz").resolve())}
    run_bench("bench", "characterization.benches.array_bench", work / "build", work, environment)
    with np.load(work / "flops.npz") as found:
        theirs = found["flops"].reshape(ours.states.shape)
    return ArrayAgreement(ours.cycles, ours.states.size, int((theirs != ours.states).sum()), int(ours.corrupted.sum()))


def flop_names(element: ArrayElement, rows: int, columns: int) -> list[str]:
    """Return the flops of an array as the bench reads them, row after row of elements."""
    return [f"row[{r}].column[{c}].pe/{flop.cell}" for r in range(rows) for c in range(columns)
            for flop in element.flops]


def element_verilog(element: ArrayElement, core: ElementCore) -> str:
    """Return an element as module `gate_element` with the ports of rtl/systolic_pe, both words of a sum in `acc`."""
    timed, n_sources = element.timed, len(element.timed.sources)
    nets, start = verilog_nets(timed), settled_at_zero(timed)
    raw = {net: text for place, flop in enumerate(element.flops)
           for net, text in ((flop.q, f"q[{place}]"), (flop.complement, f"~q[{place}]")) if net is not None}
    entering = {port.net: port_text(element, port.port, port.bit) for port in element.ports}
    drives = {**raw, **entering}
    launches = [f"  launch #(.RISE_FS({core.launch[i, RISE]}), .FALL_FS({core.launch[i, FALL]})) "
                f"l{i} ({drives.get(source.net, '1' + chr(39) + 'b0')}, {nets[source.net]});"
                for i, source in enumerate(timed.sources)]
    captures = [f"  capture #(.RISE_FS({core.setup[i, RISE]}), .FALL_FS({core.setup[i, FALL]})) "
                f"f{i} (clk, {nets[flop.data]}, q[{i}]);" for i, flop in enumerate(element.flops)]
    cells = [cell_instance(gate, n_sources + i, start, [], nets) for i, gate in enumerate(timed.gates)]
    wires = [f"  wire {nets[net]};" for net in (*(s.net for s in timed.sources), *(g.net for g in timed.gates))]
    body = [*element_head(element), *wires, *launches, *captures, *cells, *output_texts(element, raw), "endmodule\n"]
    return "\n".join([f"`define SYSTOLIC_PE {ELEMENT}", "`timescale 1fs/1fs", *cell_modules(timed.gates, "never"),
                      LAUNCH_MODULE, CAPTURE_MODULE, *body])


def sum_bits(element: ArrayElement) -> int:
    """Return the bits of a partial sum on the array's ports: of both words."""
    return element.design.accumulator_bits * len(element.outputs)


def element_head(element: ArrayElement) -> list[str]:
    """Return the module's head, with the flops as `q`."""
    word, last = f"[{ARRAY_BITS - 1}:0]", len(element.flops) - 1
    return [
        f"module {ELEMENT} #(parameter ACC_WIDTH = {sum_bits(element)}) (",
        f"  input clk, rst, input {word} act_in, output {word} act_out, input {word} weight_in,",
        f"  output {word} weight_out, input weight_shift, swap_in, output swap_out, input valid_in, output valid_out,",
        "  input [ACC_WIDTH-1:0] acc_in, output [ACC_WIDTH-1:0] acc_out", ");", f"  wire [{last}:0] q;",
    ]


def array_port(element: ArrayElement, port: str) -> tuple[str, int]:
    """Return what rtl/systolic_array calls an element's input port, and where its bits begin in it."""
    roles = element.design.roles
    known = {roles["activation"]: "act_in", roles["weight"]: "weight_in", roles["accumulator_in"]: "acc_in",
             SHIFT: SHIFT, **dict.fromkeys(TOKENS), element.design.reset: "rst"}
    known |= {token: token for token in TOKENS}
    if port == roles.get("accumulator_carry"):
        return "acc_in", element.design.accumulator_bits
    return str(known[port]), 0


def port_text(element: ArrayElement, port: str, bit: int) -> str:
    """Return the Verilog of one bit of an input port."""
    name, low = array_port(element, port)
    return f"{name}[{low + bit}]" if name in {"act_in", "weight_in", "acc_in"} else name


def output_texts(element: ArrayElement, raw: dict[str, str]) -> list[str]:
    """Return the assignments of the output ports, as they stand right after the clock."""
    bits: dict[str, dict[int, str]] = {}
    for port in element.ports:
        if port.follows is not None:
            name, low = array_port(element, port.port)
            text = raw[port.follows]
            bits.setdefault(name.replace("_in", "_out"), {})[low + port.bit] = f"~({text})" if port.inverted else text
    widths = {"act_out": ARRAY_BITS, "weight_out": ARRAY_BITS, "acc_out": sum_bits(element)}
    zero = "1'b0"
    return [f"  assign {name} = {{{', '.join(found.get(bit, zero) for bit in reversed(range(widths.get(name, 1))))}}};"
            for name, found in bits.items()]


def bench_verilog(element: ArrayElement, rows: int, columns: int) -> str:
    """Return module `bench`: the array, registers in front of it that take `next`, and all its flops as `flops`."""
    acc = sum_bits(element)
    widths = {"rst": 1, "act_in": ARRAY_BITS * rows, "valid_in": 1, "swap_in": 1, "weight_in": ARRAY_BITS * columns,
              "weight_shift": 1, "acc_in": acc * columns}
    total, flops = sum(widths.values()), len(element.flops)
    names = list(widths)
    places = [(r, c) for r in range(rows) for c in range(columns)]
    taps = ", ".join(f"array.row[{r}].column[{c}].pe.q" for r, c in reversed(places))
    zeros = [f"array.{place} = 0;" for place in delay_registers(rows, columns)]
    return "\n".join([
        "`timescale 1fs/1fs", "module bench;", "  reg clk;", f"  reg [{total - 1}:0] next;",
        *[f"  reg [{width - 1}:0] {name};" for name, width in widths.items()],
        f"  wire [{acc * columns - 1}:0] acc_out;", "  wire valid_out;",
        f"  wire [{flops * rows * columns - 1}:0] flops = {{{taps}}};",
        f"  initial begin clk = 0; next = 0; {' '.join(f'{name} = 0;' for name in names)} {' '.join(zeros)} end",
        f"  always @(posedge clk) {{{', '.join(reversed(names))}}} <= next;",
        f"  systolic_array #(.ROWS({rows}), .COLS({columns}), .ACC_WIDTH({acc})) array (.clk(clk), "
        f"{', '.join(f'.{name}({name})' for name in names)}, .acc_out(acc_out), .valid_out(valid_out));",
        "endmodule\n",
    ])


def delay_registers(rows: int, columns: int) -> list[str]:
    """Return the registers of rtl/systolic_array itself, which start at 0 as all others do."""
    found = [f"skew_row[{r}].{line}.registered.stages" for r in range(1, rows) for line in ("act_line", "token_line")]
    found += [f"skew_column[{c}].{line}.registered.stages" for c in range(1, columns)
              for line in ("weight_line", "load_line", "acc_line")]
    found += [f"skew_column[{c}].align_line.registered.stages" for c in range(columns - 1)]
    return found + [f"row[{r}].column[{c}].later.shifted_above" for r in range(1, rows) for c in range(columns)]


def bench_words(element: ArrayElement, edge: Edge) -> np.ndarray:
    """Return `next` of every cycle as bytes, lowest first, uint8 [cycle, byte]."""
    cycles, bits = len(edge.valid), sum_bits(element) // len(element.outputs)
    reset = np.zeros((cycles, 1), np.int64)
    if element.design.reset:
        reset[:2] = 1
    sums = np.stack([delayed(edge.sums, element.late), delayed(edge.carries, element.late)], axis=2)
    sums = sums[:, :, :len(element.outputs)].reshape(cycles, -1)
    fields = [(reset, 1), (edge.activations, ARRAY_BITS), (edge.valid[:, None], 1), (edge.swap[:, None], 1),
              (edge.weights, ARRAY_BITS), (edge.shift[:, None], 1), (sums, bits)]
    columns = [values.astype(np.int64)[:, :, None] >> np.arange(width) & 1 for values, width in fields]
    packed = np.concatenate([column.reshape(cycles, -1) for column in columns], axis=1).astype(np.uint8)
    return np.packbits(packed, axis=1, bitorder="little")
