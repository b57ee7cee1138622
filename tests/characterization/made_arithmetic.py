"""Multipliers, MACs and adders wired gate by gate, with random delays: small enough to try every input."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from characterization.design import Lane, MacDesign
from characterization.timed import TimedNetlist
from tests.characterization.made_cores import AND2, NAND2, XOR2, core, gate, sensitized, sink, source

XOR3, MAJORITY, MUX = 0b10010110, 0b11101000, 0b11001010  # the multiplexer's select is its third input


class Wiring:
    """Gates as they are added, each with random arc delays of 20 to 90 ps in whole femtoseconds."""

    def __init__(self, seed: int):
        self.rng, self.gates = np.random.default_rng(seed), []

    def add(self, truth, nets, name=None):
        arcs = {place: int(self.rng.integers(20_000, 90_000)) / 1000 for place in sensitized(truth, len(nets))}
        self.gates.append(gate(name or f"n{len(self.gates)}", truth, nets, arcs))
        return self.gates[-1].net

    def launch(self, net):
        return source(net, self.rng.integers(100_000, 150_000, 2) / 1000)

    def need(self, net):
        return sink(net, self.rng.integers(-10_000, 60_000, 2) / 1000)

    def add_rows(self, columns):
        """Reduce each column of bits to one, carrying to the next; return a net per column."""
        sums = []
        for index, column in enumerate(columns):
            while len(column) > 1:
                picked = [column.pop(0) for _ in range(min(3, len(column)))]
                column.append(self.add(XOR3 if len(picked) == 3 else XOR2, picked))
                carry = self.add(MAJORITY if len(picked) == 3 else AND2, picked)
                if index + 1 < len(columns):
                    columns[index + 1].append(carry)
            sums += column[:1]
        return sums


def multiply_add(seed: int, bits: int, accumulator_bits: int = 0) -> TimedNetlist:
    """Return weight_q * act_q (two's complement, Baugh-Wooley) + acc_q; no accumulator with 0 bits."""
    wiring, width = Wiring(seed), accumulator_bits or 2 * bits
    columns = [[f"acc_q[{k}]"] if k < accumulator_bits else [] for k in range(width)]
    for i in range(bits):
        for j in range(bits):
            truth = NAND2 if (i == bits - 1) != (j == bits - 1) else AND2
            if i + j < width:
                columns[i + j].append(wiring.add(truth, [f"weight_q[{i}]", f"act_q[{j}]"]))
    for k in (bits, 2 * bits - 1):
        columns[k].append("CONST1")
    sums = wiring.add_rows(columns)
    sources = [f"{bus}[{i}]" for bus in ("weight_q", "act_q") for i in range(bits)]
    sources += [f"acc_q[{k}]" for k in range(accumulator_bits)]
    return core([wiring.launch(net) for net in sources], wiring.gates, [wiring.need(net) for net in sums])


def carry_skip(seed: int, blocks: int, size: int) -> TimedNetlist:
    """Return an adder whose carries may skip each block when all its bits propagate; sources a, b and cin."""
    wiring, carry = Wiring(seed), "cin"
    for block in range(blocks):
        entered, propagates = carry, []
        for k in range(block * size, block * size + size):
            propagates.append(wiring.add(XOR2, [f"a[{k}]", f"b[{k}]"]))
            wiring.add(XOR2, [propagates[-1], carry], f"sum[{k}]")
            carry = wiring.add(MAJORITY, [f"a[{k}]", f"b[{k}]", carry])
        skip = propagates[0]
        for net in propagates[1:]:
            skip = wiring.add(AND2, [skip, net])
        carry = wiring.add(MUX, [carry, entered, skip])
    names = [f"{bus}[{k}]" for k in range(blocks * size) for bus in "ab"]
    sinks = [wiring.need(net) for net in [*(f"sum[{k}]" for k in range(blocks * size)), carry]]
    return core([wiring.launch(net) for net in [*names, "cin"]], wiring.gates, sinks)


def made_design(bits: int, accumulator_bits: int = 0, weight: str = "weight_q", **changes) -> MacDesign:
    """Return what a design.toml would say of `multiply_add`."""
    widths = {"weight_q": bits, "act_q": bits} | ({"acc_q": accumulator_bits} if accumulator_bits else {})
    fields = dict(
        name="made", top="core", folder=Path(), sources=(), parameters={}, weight_mode="stationary", latency=1,
        clock="clk", reset="", roles={}, hold={}, lanes=(Lane(weight, "act_q"),), neighbours={}, reference=Path(),
        weight_bits=bits, activation_bits=bits, accumulator_bits=accumulator_bits, widths=widths,
    )
    return MacDesign(**(fields | changes))
