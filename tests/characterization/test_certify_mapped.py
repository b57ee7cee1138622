"""Certified delays of mapped netlists small enough to try every input: real cells, real arcs."""


import numpy as np
import pytest

from characterization.annotation import annotate
from characterization.certify import certify_set, certify_weights
from characterization.corner_library import read_corner
from characterization.design import Lane, MacDesign
from characterization.netlist import abut
from characterization.pdk import read_pdk
from characterization.synthesis import synthesize
from characterization.timing import topological_ps, weight_sinks
from characterization.units import AS_PER_PS
from tests.characterization.floating_reference import all_vectors, requirement_as
from tests.characterization.test_certify import replayed_ps
from tests.needs import needs_osu018

pytestmark = [pytest.mark.tool, needs_osu018]

MULTIPLIER = """
module made (input clk, input signed [7:0] weight, act, output reg signed [15:0] out);
  reg signed [7:0] weight_q, act_q;
  always @(posedge clk) begin weight_q <= weight; act_q <= act; out <= weight_q * act_q; end
endmodule
"""
MAC = """
module made (input clk, input signed [3:0] weight, act, input signed [9:0] acc, output reg signed [9:0] out);
  reg signed [3:0] weight_q, act_q;
  always @(posedge clk) begin weight_q <= weight; act_q <= act; out <= acc + weight_q * act_q; end
endmodule
"""


def mapped(text, folder, bits, accumulator, neighbours):
    """Return a mapped, timed netlist on osu018 and its description."""
    (folder / "made.v").write_text(text)
    widths = {"clk": 1, "weight": bits, "act": bits, "weight_q": bits, "act_q": bits, "out": accumulator}
    widths |= {"acc": accumulator} if neighbours else {}
    design = MacDesign(
        name="made", top="made", folder=folder, sources=(folder / "made.v",), parameters={}, weight_mode="stationary",
        latency=2, clock="clk", reset="", roles={"weight": "weight"}, hold={},
        lanes=(Lane("weight_q", "act_q"),), reference=folder,
        neighbours=neighbours, weight_bits=bits, activation_bits=bits, accumulator_bits=accumulator, widths=widths,
    )
    pdk = read_pdk("osu018")
    netlist = synthesize(design, pdk.corners[0].liberty, folder, pdk.dont_use)
    joined = abut(netlist, neighbours)
    return annotate(joined, read_corner(pdk.corners[0]), pdk.corners[0], "clk"), design


def every_vector(timed, weight, bits):
    """Return all vectors with a weight, the inputs of the first registers at 0 `[vector, source]`."""
    names = [s.net for s in timed.sources]
    read = {net for gate in timed.gates for net in gate.nets}
    free = [column for column, name in enumerate(names) if name.startswith(("act_q[", "out[")) and name in read]
    vectors = np.zeros((2 ** len(free), len(names)), dtype=np.uint8)
    vectors[:, free] = all_vectors(len(free))
    for bit in range(bits):
        vectors[:, names.index(f"weight_q[{bit}]")] = weight >> bit & 1
    return vectors


def latest_ps(timed, design, weight, mode, bits):
    """Return the latest requirement over every other input."""
    still = [f"weight_q[{bit}]" for bit in range(bits)] if mode == "stationary" else []
    vectors = every_vector(timed, weight, bits)
    return requirement_as(timed, weight_sinks(timed, design), vectors, still).max() / AS_PER_PS


def check_against_every_input(timed, design, bits, modes):
    """Check every weight's certificate against every vector of the sources that matter."""
    weights = range(-(2 ** (bits - 1)), 2 ** (bits - 1))
    for mode in modes:
        found = certify_weights(timed, design, weights, mode)
        assert found.exact.all()
        tried = [latest_ps(timed, design, weight, mode, bits) for weight in weights]
        # The second engine rounds to femtoseconds.
        assert found.upper_ps == pytest.approx(tried, abs=0.02)
        assert found.lower_ps == pytest.approx(replayed_ps(timed, design, found, mode), abs=0.02)
        below = topological_ps(timed, design, np.array(weights))
        if mode == "stationary":
            assert (found.upper_ps <= below + 0.001).all()
            assert (found.upper_ps < below - 1).any()


def test_a_mapped_mac_of_4_bits_has_the_delay_that_trying_every_input_finds(tmp_path):
    timed, design = mapped(MAC, tmp_path, 4, 10, {"acc": "out"})
    check_against_every_input(timed, design, 4, ("stationary", "swap"))


@pytest.mark.slow
def test_a_mapped_multiplier_of_8_bits_has_the_delay_of_all_its_pairs(tmp_path):
    timed, design = mapped(MULTIPLIER, tmp_path, 8, 16, {})
    check_against_every_input(timed, design, 8, ("stationary",))
    each = certify_weights(timed, design, (-33, 64, 7), "swap")
    assert certify_set(timed, design, (-33, 64, 7)).upper_ps == each.upper_ps.max()
