import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.aig import FALSE, TRUE, Aig
from characterization.cut import cut_netlist
from characterization.design import read_design
from characterization.equivalence import first_difference, prove_equivalent
from characterization.errors import DesignError, EquivalenceError
from characterization.liberty import read_liberty
from characterization.netlist import Cell
from characterization.operation import simulate_result
from characterization.reference import load_reference
from characterization.synthesis import synthesize
from characterization.word import Word, as_word, select_word, wrap_word
from tests.needs import needs_osu018

RTL = Path(__file__).parents[2] / "rtl"
OSU018 = (Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib"),)
pytestmark = [
    pytest.mark.tool,
    needs_osu018,
]


@lru_cache
def library():
    return read_liberty(OSU018)


@lru_cache
def mapped(name):
    with TemporaryDirectory() as folder:
        return synthesize(read_design(RTL / name), OSU018, Path(folder))


def with_cell(netlist, name, kind=None, pins=None):
    """The same netlist with one cell of another kind, or other nets at its pins."""
    cells = [
        Cell(c.name, kind or c.kind, {**c.pins, **(pins or {})}) if c.name == name else c for c in netlist.cells
    ]
    outputs = {c.kind: library().cells[c.kind].outputs for c in cells}
    return replace(netlist, cells=tuple(cells), output_pins=outputs)


def driver_of(netlist, net):
    return netlist.driver[net][0]


def d_gate(netlist, register):
    """The gate before a register bit's D pin."""
    return driver_of(netlist, driver_of(netlist, register).pins["D"])


def reference_folder(tmp_path, name, old, new):
    """A design of the house with another reference."""
    design = read_design(RTL / name)
    text = design.reference.read_text()
    assert old in text
    path = tmp_path / "reference.py"
    path.write_text(text.replace(old, new))
    return replace(design, reference=path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "registers", "weights"), [
    ("systolic_pe", 50, 256), ("systolic_pe_booth", 50, 256), ("systolic_pe_csa", 74, 2 * 256),
    ("systolic_pe_baugh_wooley", 74, 2 * 256), ("systolic_pe_bypass", 74, 2 * 256), ("systolic_pe_int4", 66, 2 * 16),
    ("systolic_pe_pot", 66, 2 * 16), ("systolic_pe_lean", 50, 256),
])
def test_a_pe_is_proved_for_every_weight_with_all_else_free(name, registers, weights):
    seen = []
    proof = prove_equivalent(mapped(name), read_design(RTL / name), library(), lambda *step: seen.append(step))
    assert (proof.n_weights, proof.n_registers) == (weights, registers)
    assert proof.n_solver_calls > 256
    assert proof.n_random >= 100_000
    assert seen == [(i + 1, len(seen)) for i in range(len(seen))]


def test_a_first_stage_is_proved_for_all_weights_and_activations_and_the_second_for_all_rows():
    proof = prove_equivalent(mapped("systolic_pe_pipelined"), read_design(RTL / "systolic_pe_pipelined"), library())
    assert (proof.n_weights, proof.n_registers) == (0, 114)
    assert proof.n_patterns >= 3 * 2**11
    assert proof.n_random >= 2**16 + 100_000


@pytest.mark.parametrize(("old", "new"), [
    (".z(carry_in[ACC_WIDTH-1:6])", ".z(carry_in[ACC_WIDTH-1:6] ^ 18'd64)"),
    (".carry_in(negative[1])", ".carry_in(negative[2])"),
])
def test_a_wrong_word_of_a_redundant_sum_is_found(old, new, tmp_path):
    design = read_design(RTL / "systolic_pe_csa")
    text = design.sources[0].read_text()
    wrong = tmp_path / "systolic_pe_csa.v"
    assert old in text
    wrong.write_text(text.replace(old, new))
    netlist = synthesize(replace(design, sources=(wrong, *design.sources[1:])), OSU018, tmp_path)
    with pytest.raises(EquivalenceError, match=r"the next (sum|carry)_out must be -?\d+, the gates give -?\d+"):
        prove_equivalent(netlist, design, library())


def test_values_of_weight_codes_that_the_gates_do_not_multiply_by_are_refused():
    design = read_design(RTL / "systolic_pe_pot")
    swapped = replace(design, weight_values=(1, 0, *design.weight_values[2:]))
    with pytest.raises(EquivalenceError, match="1 steps of next_state do not yield"):
        prove_equivalent(mapped(design.name), swapped, library())


def test_the_dot_product_is_proved_lane_by_lane_for_all_weights_and_activations():
    design = read_design(RTL / "tensor_core_dp4")
    proof = prove_equivalent(mapped(design.name), design, library())
    assert proof.n_patterns >= 4 * 2**16
    assert proof.n_registers == 290
    assert proof.n_random >= 100_000
    assert "SAT" in proof.method


INVERSE = {"XOR2X1": "XNOR2X1", "XNOR2X1": "XOR2X1", "NAND2X1": "NOR2X1", "NOR2X1": "NAND2X1", "OAI21X1": "AOI21X1",
           "AOI21X1": "OAI21X1", "AND2X2": "OR2X2", "OR2X2": "AND2X2", "INVX1": "BUFX2"}


def evaluated(netlist, register, values):
    """The next value of one register bit for given nets, by walking the gates: independent of the proof."""
    known = dict(values)

    def value(net):
        if net not in known:
            cell, pin = netlist.driver[net]
            function = library().cells[cell.kind].pins[pin].function
            pattern = sum(value(cell.pins[p]) << i for i, p in enumerate(function.pins))
            known[net] = function.value(pattern)
        return known[net]

    return value(driver_of(netlist, register).pins["D"])


@pytest.mark.parametrize("bit", [0, 7, 15, 23])
def test_a_replaced_cell_is_found_and_its_vector_really_fails(bit):
    design = read_design(RTL / "systolic_pe")
    netlist = mapped(design.name)
    gate = d_gate(netlist, f"acc_out[{bit}]")
    broken = with_cell(netlist, gate.name, kind=INVERSE[gate.kind])
    with pytest.raises(EquivalenceError, match=r"systolic_pe: netlist disagrees with reference.py: with ") as error:
        prove_equivalent(broken, design, library())
    message = str(error.value)
    weight, act, acc, expected, got = (
        int(re.search(pattern, message)[1])
        for pattern in (r"weight_q = (-?\d+)", r"act_in = (-?\d+)", r"acc_in = (-?\d+)", r"must be (-?\d+)",
                        r"the gates give (-?\d+)")
    )
    assert expected == (acc + act * weight + 2**23) % 2**24 - 2**23
    assert got != expected
    values = {f"{bus}[{i}]": value >> i & 1 for bus, value, bits in
              (("weight_q", weight, 8), ("act_in", act, 8), ("acc_in", acc, 24)) for i in range(bits)}
    found = [evaluated(broken, f"acc_out[{i}]", values) for i in range(24)]
    assert sum(b << i for i, b in enumerate(found)) % 2**24 == got % 2**24
    whole = [evaluated(netlist, f"acc_out[{i}]", values) for i in range(24)]
    assert sum(b << i for i, b in enumerate(whole)) % 2**24 == expected % 2**24


def test_swapped_pins_are_found():
    design = read_design(RTL / "systolic_pe")
    netlist = mapped(design.name)
    cell = driver_of(netlist, "act_out[3]")
    crossed = with_cell(netlist, cell.name, pins={"D": "act_in[4]"})
    with pytest.raises(EquivalenceError, match=r"act_in = -?\d+, the next act_out must be -?\d+, the gates give"):
        prove_equivalent(crossed, design, library())


def test_a_wrong_product_of_one_lane_is_found():
    design = read_design(RTL / "tensor_core_dp4")
    netlist = mapped(design.name)
    gate = d_gate(netlist, "sum_q[40]")
    broken = with_cell(netlist, gate.name, kind=INVERSE[gate.kind])
    with pytest.raises(EquivalenceError, match=r"act_q\[23:16\] = .*weight_q\[16\] = .*next sum_q\[44:30\]"):
        prove_equivalent(broken, design, library())


def test_a_lost_carry_of_one_weight_is_found_by_proof():
    # One gate deep in the multiplier: few vectors see it, the proof must.
    design = read_design(RTL / "systolic_pe")
    netlist = mapped(design.name)
    candidates = [c for c in netlist.cells if c.kind == "NAND3X1"]
    broken = with_cell(netlist, candidates[0].name, pins={"A": "CONST1"})
    with pytest.raises(EquivalenceError, match="netlist disagrees with"):
        prove_equivalent(broken, design, library())


def test_a_design_whose_reference_says_something_else_is_refused(tmp_path):
    product = "activations[0] * weights[0]"
    design = reference_folder(tmp_path, "systolic_pe", product, f"{product} + 1")
    with pytest.raises(EquivalenceError, match=r"netlist disagrees with reference.py: with act_in = "):
        prove_equivalent(mapped("systolic_pe"), design, library())


def test_a_result_that_next_state_does_not_yield_is_refused(tmp_path):
    design = reference_folder(tmp_path, "tensor_core_dp4", "wrap(accumulator, 32)", "wrap(accumulator + 1, 32)")
    with pytest.raises(EquivalenceError, match=r"contradicts itself: 4 steps of next_state do not yield result"):
        prove_equivalent(mapped("tensor_core_dp4"), design, library())


def test_a_wrong_latency_is_refused():
    design = replace(read_design(RTL / "tensor_core_dp4"), latency=3)
    with pytest.raises(EquivalenceError, match="is latency 3 or accumulator_latency 1 wrong"):
        prove_equivalent(mapped("tensor_core_dp4"), design, library())


def test_a_register_that_the_reference_does_not_describe_is_named(tmp_path):
    design = reference_folder(tmp_path, "tensor_core_dp4", '"act_q": now["act_in"],', "")
    with pytest.raises(DesignError, match=r"next_state does not describe act_q\[0\], act_q\[10\]"):
        prove_equivalent(mapped("tensor_core_dp4"), design, library())


def test_a_reference_that_names_no_register_is_refused(tmp_path):
    design = reference_folder(tmp_path, "tensor_core_dp4", '"act_q": now["act_in"],', '"act_in": now["act_in"],')
    with pytest.raises(DesignError, match=r"next_state names act_in\[0\], which is no register of the netlist"):
        prove_equivalent(mapped("tensor_core_dp4"), design, library())


def test_a_reference_that_reads_what_is_not_there_is_refused(tmp_path):
    design = reference_folder(tmp_path, "systolic_pe", 'now["act_in"]', 'now["ghost"]')
    design = replace(design, widths={**design.widths, "ghost": 8})
    with pytest.raises(DesignError, match=r"reads ghost\[0\], no port or register of the netlist"):
        prove_equivalent(mapped("systolic_pe"), design, library())


def test_an_output_that_is_not_registered_is_refused():
    netlist = mapped("systolic_pe")
    ports = tuple(replace(p, nets=("weight_shift",)) if p.name == "swap_out" else p for p in netlist.ports)
    with pytest.raises(EquivalenceError, match="output swap_out does not come straight from a register; register it"):
        prove_equivalent(replace(netlist, ports=ports), read_design(RTL / "systolic_pe"), library())


def test_a_flop_with_another_clock_is_refused():
    netlist = mapped("systolic_pe")
    cell = driver_of(netlist, "act_out[0]")
    broken = with_cell(netlist, cell.name, pins={"CLK": "rst"})
    with pytest.raises(EquivalenceError, match=rf"flop {cell.name} \(DFFPOSX1\) is not clocked by the rising edge of"):
        cut_netlist(broken, library(), "clk")
    falling = with_cell(netlist, cell.name, kind="DFFNEGX1")
    with pytest.raises(EquivalenceError, match="not clocked by the rising edge of clk"):
        cut_netlist(falling, library(), "clk")


def test_an_asynchronous_reset_is_refused():
    netlist = mapped("systolic_pe")
    cell = driver_of(netlist, "act_out[0]")
    broken = with_cell(netlist, cell.name, kind="DFFSR", pins={"S": "CONST1", "R": "rst"})
    with pytest.raises(EquivalenceError, match=r"\(DFFSR\): its clear can act; use a synchronous reset"):
        cut_netlist(broken, library(), "clk")


def test_a_loop_of_gates_is_refused():
    netlist = mapped("systolic_pe")
    gate = d_gate(netlist, "acc_out[5]")
    pin = next(p for p in gate.pins if p != "Y")
    broken = with_cell(netlist, gate.name, pins={pin: gate.pins["Y"]})
    with pytest.raises(EquivalenceError, match=f"systolic_pe: gates {gate.name} form a loop; break it"):
        cut_netlist(broken, library(), "clk")


integers = st.integers(-300, 300)


@given(integers, integers, st.integers(1, 20), st.booleans())
def test_constant_words_compute_as_integers_do(a, b, bits, first):
    graph = Aig()
    x, y = as_word(a, graph), as_word(b, graph)

    def value(word):
        assert word.is_constant
        return sum(bit << i for i, bit in enumerate(word.bits)) - (word.bits[-1] << len(word.bits))

    assert value(x + y) == a + b
    assert value(x + 3) == value(3 + x) == a + 3
    assert value(x - y) == a - b
    assert value(7 - x) == 7 - a
    assert value(-x) == -a
    assert value(x * y) == a * b
    assert (value(x & y), value(x | y), value(x ^ y), value(~x)) == (a & b, a | b, a ^ b, ~a)
    assert (value(3 & x), value(3 | x), value(3 ^ x)) == (3 & a, 3 | a, 3 ^ a)
    assert (value(x << bits), value(x >> bits)) == (a << bits, a >> bits)
    assert value(5 * x) == value(x * 5) == 5 * a
    assert value(wrap_word(x, bits)) == (a + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
    assert value(select_word(as_word(int(first), graph), x, y)) == (a if first else b)


@given(st.integers(0, 2**16 - 1))
def test_a_truth_table_becomes_the_same_function(truth):
    graph = Aig()
    inputs = [graph.variable() for _ in range(4)]
    root = graph.function(truth, inputs)
    pattern = np.arange(16)
    (found,) = graph.evaluate([root], {edge >> 1: -(pattern >> i & 1) for i, edge in enumerate(inputs)})
    assert sum(int(bit & 1) << i for i, bit in enumerate(found)) == truth


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1))
def test_two_functions_differ_for_the_solver_exactly_when_their_tables_do(one, other):
    graph = Aig()
    inputs = [graph.variable() for _ in range(4)]
    left, right = graph.function(one, inputs), graph.function(other, inputs)
    model, calls = first_difference(graph, [left], [right])
    assert (model is None) == (one == other)
    assert calls <= 1
    if model is not None:
        pattern = sum((edge >> 1 in model) << i for i, edge in enumerate(inputs))
        assert one >> pattern & 1 != other >> pattern & 1


def test_products_of_free_words_are_right_for_every_pattern():
    graph = Aig()
    a, b = (Word(graph, tuple(graph.variable() for _ in range(4))) for _ in range(2))
    pattern = np.arange(256)
    values = {bit >> 1: -(pattern >> i & 1) for i, bit in enumerate((*a.bits, *b.bits))}
    bits = graph.evaluate((a * b).extended(8), values)
    found = sum((bit & 1) << i for i, bit in enumerate(bits))
    left, right = ((value + 8) % 16 - 8 for value in (pattern % 16, pattern // 16))
    assert (found == (left * right) % 256).all()


def test_constants_fold_and_equal_conjunctions_are_one_node():
    graph = Aig()
    x, y = graph.variable(), graph.variable()
    assert graph.both(x, y) == graph.both(y, x)
    assert graph.both(x, FALSE) == FALSE
    assert graph.either(x, TRUE) == TRUE
    assert graph.differ(x, x) == FALSE
    assert graph.choose(TRUE, x, y) == x


def test_random_tuples_alone_find_a_wrong_result_and_show_its_operands():
    design = read_design(RTL / "tensor_core_dp4")
    reference = load_reference(design)
    cut = cut_netlist(mapped(design.name), library(), design.clock)
    assert simulate_result(cut, design, reference, mapped(design.name), 1000) == 2**16 + 1024
    wrong = replace(reference, result=lambda w, a, c, wrap: wrap(c + a[0] * w[0] + a[1] * w[1], 32))
    message = r"with weights \[.*\] and accumulator -?\d+ the gates give -?\d+ after 4 cycles, reference.py says -?\d+"
    with pytest.raises(EquivalenceError, match=message):
        simulate_result(cut, design, wrong, mapped(design.name), 1000)
