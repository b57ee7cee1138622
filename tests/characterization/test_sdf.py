"""Delays as SDF: what Icarus and OpenSTA make of them is what the annotation says."""

import re
import subprocess
from dataclasses import replace

import pytest

from characterization.opensta import opensta_endpoints
from characterization.sdf import sdf_text
from characterization.timed import FALL, RISE
from characterization.timing import annotate, critical_path
from tests.characterization.small_library import CELLS, library_text
from tests.characterization.test_hold import HOLDING
from tests.characterization.test_timing import CORNER, GATED, design, netlist, read
from tests.needs import needs_icarus, needs_sta

CLOCKS = {"DFF": "CLK"}
CHAIN = netlist(
    ("u1", "INV", {"A": "a", "Y": "n1"}), ("u2", "NAND2", {"A": "n1", "B": "b", "Y": "n2"}),
    ("u10", "HA", {"A": "n2", "B": "b", "S": "s", "C": "c"}), inputs=("a", "b"), outputs=(("s", "s"), ("c", "c")),
)
MODELS = """
`timescale 1ps/1fs
module INV(input A, output Y); assign Y = ~A; specify (A => Y) = (0, 0); endspecify endmodule
module NAND2(input A, B, output Y); assign Y = ~(A & B);
  specify (A => Y) = (0, 0); (B => Y) = (0, 0); endspecify endmodule
module XOR2(input A, B, output Y); assign Y = A ^ B;
  specify (A => Y) = (0, 0); (B => Y) = (0, 0); endspecify endmodule
module HA(input A, B, output S, C); assign S = A ^ B; assign C = A & B;
  specify (A => S) = (0, 0); (B => S) = (0, 0); (A => C) = (0, 0); (B => C) = (0, 0); endspecify endmodule
module DFF(input CLK, D, output Q, QN); reg q; always @(posedge CLK) q <= D; buf (Q, q); not (QN, q);
  specify (CLK => Q) = (0, 0); (CLK => QN) = (0, 0); endspecify endmodule
"""
BENCH = """
`timescale 1ps/1fs
module bench; reg clk = 0, a = 0, b = 1; wire s, c; realtime started;
  pe dut(clk, a, b, s, c);
  initial begin
    $sdf_annotate("pe.sdf", dut);
    #5000 started = $realtime; a = 1;   // n1 falls, n2 rises, c rises, s falls
    #5000 started = $realtime; a = 0;
    #5000 $finish;
  end
  always @(c) if ($realtime > 4000) $display("C %b %.3f", c, $realtime - started);
  always @(s) if ($realtime > 4000) $display("S %b %.3f", s, $realtime - started);
endmodule
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    return read(folder, library_text(*CELLS[:-1], HOLDING))


def icarus(folder, netlist, timed, corner="typ"):
    (folder / "pe.sdf").write_text(sdf_text(timed, netlist, CLOCKS))
    (folder / "all.v").write_text(MODELS + BENCH + "`timescale 1ps/1fs\n" + netlist.to_verilog())
    options = ["-g2005-sv", "-gspecify", f"-T{corner}", "-o", "bench.vvp", "-s", "bench", "all.v"]
    subprocess.run(["iverilog", *options], check=True, cwd=folder)
    done = subprocess.run(["vvp", "bench.vvp"], check=True, cwd=folder, capture_output=True, text=True)
    assert not re.search("WARNING|ERROR|annot", done.stdout + done.stderr, re.IGNORECASE), done.stdout + done.stderr
    return {(name, int(value)): float(time) for name, value, time in re.findall(r"([CS]) (\d) (\S+)", done.stdout)}


@pytest.mark.tool
@needs_icarus
@pytest.mark.parametrize("corner", ["min", "typ", "max"])
def test_icarus_runs_a_chain_in_the_sum_of_its_delays(small, tmp_path, corner):
    factors = {"HA": {("C", RISE): (1.5, 0.5)}, "NAND2": {("Y", RISE): (1.2, 0.7)}}
    timed = annotate(CHAIN, replace(small, multi_input=factors), CORNER, "clk")
    seen = icarus(tmp_path, CHAIN, timed, corner)

    def path(*places):
        total = 0.0
        for net, pin, edge_in, edge_out in places:
            gate = timed.gate_of[net]
            delay = (gate.early_ps if corner == "min" else gate.delay_ps)[pin, edge_in, edge_out]
            total += round(delay / (gate.late[edge_out] if corner == "typ" else 1.0), 3)
        return total

    rise = path(("n1", 0, RISE, FALL), ("n2", 0, FALL, RISE), ("c", 0, RISE, RISE))
    fall = path(("n1", 0, FALL, RISE), ("n2", 0, RISE, FALL), ("c", 0, FALL, FALL))
    assert seen["C", 1] == pytest.approx(rise, abs=1e-3)
    assert seen["C", 0] == pytest.approx(fall, abs=1e-3)


@pytest.mark.tool
@needs_sta
def test_opensta_finds_the_same_longest_path_in_the_sdf(small, tmp_path):
    timed = annotate(GATED, replace(small, multi_input={"NAND2": {("Y", RISE): (1.3, 0.8)}}), CORNER, "clk")
    (tmp_path / "pe.sdf").write_text(sdf_text(timed, GATED, CLOCKS))
    ask = [f"read_sdf -type sdf_max {{{tmp_path / 'pe.sdf'}}}"]
    found = opensta_endpoints(GATED, small.paths, "clk", [{}], tmp_path / "sta", commands=ask)[0]
    # XOR2 has no delay by input edge in SDF, so the greater one counts; it lies on every path to fr/D.
    xor = timed.gate_of["sum"]
    worst = [xor.delay_ps[:, :, edge].max() for edge in (FALL, RISE)]
    flat = replace(timed, gates=tuple(
        replace(gate, delay_ps=gate.delay_ps * 0 + worst) if gate is xor else gate for gate in timed.gates))
    assert max(found.values()) == pytest.approx(critical_path(flat, design(), None)[-1].arrival_ps, abs=0.01)


def test_every_number_of_the_sdf_is_filled_in(small):
    text = sdf_text(annotate(GATED, small, CORNER, "clk"), GATED, CLOCKS)
    triples = re.findall(r"\((-?[\d.]*):(-?[\d.]*):(-?[\d.]*)\)", text)
    assert triples
    assert all(float(least) <= float(typical) <= float(most) for least, typical, most in triples)
    assert text.count("(") == text.count(")")
    assert "COND" not in text
    assert "(TIMESCALE 1ps)" in text
    assert "(SETUP (posedge D) (posedge CLK) (50.000:50.000:50.000))" in text
