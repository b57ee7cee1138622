from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from characterization.design import bus_nets, check_ports, read_design
from characterization.errors import DesignError
from characterization.reference import load_reference, wrap

RTL = Path(__file__).parents[2] / "rtl"
PE = (RTL / "systolic_pe/design.toml").read_text()
PORTS = {
    "clk": ("input", 1), "rst": ("input", 1), "act_in": ("input", 8), "act_out": ("output", 8),
    "weight_in": ("input", 8), "weight_out": ("output", 8), "weight_shift": ("input", 1), "swap_in": ("input", 1),
    "swap_out": ("output", 1), "valid_in": ("input", 1), "valid_out": ("output", 1), "acc_in": ("input", 24),
    "acc_out": ("output", 24),
}
REGISTERS = {"weight_q": 8, "weight_out": 8, "act_out": 8, "acc_out": 24, "swap_out": 1, "valid_out": 1}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "systolic_pe.v").write_text("module systolic_pe(); endmodule")
    (tmp_path / "reference.py").write_text("def result(): ...\ndef next_state(): ...\n")
    return tmp_path


def write(folder, text):
    (folder / "design.toml").write_text(text)
    return folder


def changed(old, new):
    assert PE.count(old) == 1, old
    return PE.replace(old, new)


@pytest.mark.parametrize("path", sorted(RTL.glob("*/design.toml")), ids=lambda path: path.parent.name)
def test_every_design_of_the_house_can_be_read(path):
    design = read_design(path)
    assert design == read_design(path.parent)
    assert design.name == path.parent.name
    assert all(len(design.nets_of(lane.weight)) == design.weight_bits for lane in design.lanes)
    assert all(design.result_registers)


def test_a_design_holds_what_its_description_says():
    design = read_design(RTL / "tensor_core_dp4")
    assert (design.clock, design.reset, design.weight_mode, len(design.lanes)) == ("clk", "rst", "streaming", 4)
    assert (design.latency, design.accumulator_latency, design.accumulator_bits) == (4, 1, 32)
    assert design.nets_of(design.lanes[1].weight) == tuple(f"weight_q[{bit}]" for bit in range(8, 16))
    assert read_design(RTL / "systolic_pe").accumulator_latency == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed('name = "systolic_pe"', 'nmae = "x"'), "unknown key 'nmae'; known keys are.*'name' is missing"),
        (changed("latency = 1 ", 'latency = "1" '), "latency = '1' must be an integer"),
        (changed("latency = 1 ", "latency = true "), "latency = True must be an integer"),
        (changed("latency = 1 ", "latency = 0 "), "latency = 0 must be at least 1"),
        (changed("latency = 1 ", "latency = 1\naccumulator_latency = 2 "), r"accumulator_latency = 2 must lie in 1..1"),
        (changed('["systolic_pe.v"]', "[]"), "sources = .. must be a list of strings, not empty"),
        (changed('["systolic_pe.v"]', '["pe.v"]'), "sources: no file 'pe.v' in "),
        (changed('"reference.py"', '"model.py"'), "reference: no file 'model.py' in "),
        (changed('"stationary"', '"fixed"'), "weight_mode = 'fixed' must be one of stationary, streaming"),
        (changed("ACC_WIDTH = 24", 'ACC_WIDTH = "24"'), "parameters.ACC_WIDTH = '24' must be an integer"),
        (changed('clock = "clk"', "clock = 1"), "roles.clock = 1 must be a string"),
        (changed('clock = "clk"', 'clck = "clk"'), "unknown role 'clck'; roles are accum.*role 'clock' is missing"),
        (changed('weight = "weight_in"', 'weight = "w"'), r"roles.weight = 'w' is not under \[widths\], which has acc"),
        (changed("act_in = 8", "act_in = 0"), "widths.act_in = 0 must be at least 1"),
        (changed("acc_in = 24", "acc_in = 20"), "accumulator_in acc_in has 20 bits and result acc_out has 24; partial"),
        (changed("weight_in = 8", "weight_in = 9"), "role weight: weight_in has 9 bits, but 1 lanes of 8 bits need 8"),
        (changed("clk = 1", "clk = 2"), "role clock: clk has 2 bits, not 1"),
        (changed("swap_out = 0", "swap_out = 2"), "hold.swap_out = 2 does not fit into 1 bits"),
        (changed("swap_out = 0", "swp = 0"), r"hold: no port or register 'swp' under \[widths\]; it has acc_in"),
        (changed('"weight_q"', '"weight_q[8:1]"'), r"'weight_q\[8:1\]' reaches outside weight_q, which has 8"),
        (changed('"weight_q"', '"weight_q[6:0]"'), r"lanes.0..weight = 'weight_q\[6:0\]' has 7 bits, not 8"),
        (changed('"weight_q"', '"weight q"'), "lanes.0..weight: 'weight q' is not a bus; write NAME, NAME.BIT. or"),
        (changed('activation = "act_out"', 'act = "act_out"'), "must have exactly the keys weight and activation"),
        (changed('act_in = "act_out"', 'act_in = "acc_out"'), "neighbours.act_in = 'acc_out' joins 8 to 24 bits"),
        (changed('act_in = "act_out"', 'act_in = "axt_out"'), "neighbours.act_in = 'axt_out': no port 'axt_out' under"),
        ("lanes = []\n" + PE.split("[[lanes]]")[0], "lanes is empty; name the weight and activation registers"),
        (changed("latency = 1 ", "weight_bits = 4\nlatency = 1 "), "lanes of 4 bits need 4; is weight_bits = 4 right"),
        (changed("latency = 1 ", 'recipe = "fast"\nlatency = 1 '), "recipe: no recipe 'fast'; it is one of"),
        (changed("latency = 1 ", "weight_bits = 0\nlatency = 1 "), r"weight_bits = 0 must lie in 1..16"),
        (changed("latency = 1 ", "activation_bits = 7\nlatency = 1 "), "act_in has 8 bits, but 1 lanes of 7 bits need"),
        (changed("latency = 1 ", "weight_values = [1, 2]\nlatency = 1 "),
         "weight_values must list an integer for each of the 256 codes of 8 bits, in the order of the codes; it lists"),
        (changed('clock = "clk"', 'clock = "clk"\nresult_carry = "acc_out"'),
         "role result_carry stands alone; a redundant sum needs accumulator_carry and result_carry"),
        (changed('clock = "clk"', 'clock = "clk"\nresult_carry = "act_out"\naccumulator_carry = "acc_in"'),
         "accumulator_in acc_in has 24 bits and result_carry act_out has 8; partial sums must keep their width"),
        ("name = ", "not TOML: Invalid value"),
    ],
)
def test_a_wrong_description_is_refused_with_file_key_and_value(folder, text, message):
    with pytest.raises(DesignError, match=message) as error:
        read_design(write(folder, text))
    assert str(folder / "design.toml") in str(error.value)
    assert "\n" not in str(error.value)


def test_all_problems_of_a_description_come_together(folder):
    text = changed('"stationary"', '"fixed"').replace('["systolic_pe.v"]', '["pe.v"]')
    text = text.replace("act_in = 8", "act_in = 0")
    with pytest.raises(DesignError, match=r"no file 'pe.v'.*; weight_mode = 'fixed'.*; widths.act_in = 0"):
        read_design(write(folder, text))


def test_a_missing_description_says_how_to_make_one(tmp_path):
    with pytest.raises(DesignError, match=r"no such file; `characterize new FILE.v` writes a design.toml"):
        read_design(tmp_path / "nothing.toml")


def test_bits_of_a_bus_come_lowest_first():
    assert bus_nets("q", {"q": 1}) == ("q",)
    assert bus_nets("q", {"q": 2}) == ("q[0]", "q[1]")
    assert bus_nets("q[3]", {"q": 8}) == ("q[3]",)


def test_the_elaborated_ports_of_the_house_pass_the_check():
    check_ports(read_design(RTL / "systolic_pe"), PORTS, REGISTERS)


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        (PORTS | {"acc_in": ("input", 32)}, "widths.acc_in = 24, the elaborated module has 32 bits"),
        (PORTS | {"extra": ("input", 1)}, r"port extra of the Verilog is not under \[widths\]"),
        (PORTS | {"act_in": ("output", 8)}, "roles.activation = act_in must be an input port, it is an output"),
        ({k: v for k, v in PORTS.items() if k != "acc_in"}, r"widths.acc_in: neither a port nor a register; the elab.*"
         r"roles.accumulator_in = acc_in must be an input port, it is no port"),
    ],
)
def test_a_description_that_does_not_fit_the_verilog_is_refused(ports, message):
    with pytest.raises(DesignError, match=message):
        check_ports(read_design(RTL / "systolic_pe"), ports, REGISTERS)


def test_a_register_that_was_renamed_is_missed():
    with pytest.raises(DesignError, match=r"widths.weight_q: neither a port nor a register; .*weight\[8\]"):
        check_ports(read_design(RTL / "systolic_pe"), PORTS, {"weight": 8})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def result(): ...", "defines no function next_state; see rtl/systolic_pe"),
        ("result = 3", "defines no function result and no function next_state"),
        ("import nothing_of_that_name", "does not run: ModuleNotFoundError: No module named"),
        ("def result(:", "does not run: SyntaxError"),
    ],
)
def test_a_reference_that_cannot_be_used_is_refused(folder, text, message):
    (folder / "reference.py").write_text(text)
    with pytest.raises(DesignError, match=message) as error:
        load_reference(read_design(write(folder, PE)))
    assert str(folder / "reference.py") in str(error.value)


def test_loading_a_reference_leaves_nothing_behind(folder):
    before = sorted(folder.rglob("*"))
    load_reference(read_design(write(folder, PE)))
    assert sorted(set(folder.rglob("*")) - set(before)) == [folder / "design.toml"]


def test_references_wrap_as_two_s_complement_words_do():
    result = load_reference(read_design(RTL / "systolic_pe")).result
    assert result([-128], [-128], 2**23 - 1, wrap) == -(2**23) + 16383
    dot = load_reference(read_design(RTL / "tensor_core_dp4")).result
    assert dot([1, 2, 3, 4], [5, 6, 7, -8], 100, wrap) == 100 + 5 + 12 + 21 - 32


def test_weights_are_what_their_bits_can_say():
    pe = read_design(RTL / "systolic_pe")
    assert pe.weights == tuple(range(-128, 128))
    assert pe.encode([-128, -1, 0, 127]).tolist() == [128, 255, 0, 127]
    narrow = replace(pe, weight_bits=3)
    assert narrow.weights == (-4, -3, -2, -1, 0, 1, 2, 3)
    coded = replace(pe, weight_bits=2, weight_values=(0, 4, -8, 0))
    assert coded.weights == (-8, 0, 4)
    assert coded.encode(np.array([[0], [4], [-8]])).tolist() == [[0], [1], [2]]


@pytest.mark.parametrize(("changes", "value", "known"), [
    ({"weight_bits": 4}, 8, r"-8\.\.7"), ({"weight_bits": 1, "weight_values": (3, 1)}, 2, "1, 3"),
])
def test_a_value_that_no_weight_has_is_refused_with_those_there_are(changes, value, known):
    with pytest.raises(DesignError, match=f"systolic_pe: no weight has the value {value}; they are {known}"):
        replace(read_design(RTL / "systolic_pe"), **changes).encode([value])


def test_a_partial_sum_is_redundant_where_two_words_leave():
    assert read_design(RTL / "systolic_pe_csa").is_redundant
    assert not read_design(RTL / "systolic_pe").is_redundant
