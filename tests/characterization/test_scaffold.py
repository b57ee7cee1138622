import shutil
import tomllib
from pathlib import Path

import pytest

from characterization.design import read_design
from characterization.errors import DesignError, SynthesisError
from characterization.scaffold import new_design_toml
from tests.needs import needs_icarus

RTL = Path(__file__).parents[2] / "rtl"
pytestmark = [
    pytest.mark.tool,
    needs_icarus,
]
BARE = """module mac(input ck, input signed [7:0] x, w, input [19:0] c, output reg [19:0] y, input en);
  always @(posedge ck) if (en) y <= c + x * w;
endmodule
"""


def test_the_guesses_for_the_house_s_pe_are_a_design_once_its_reference_is_there(tmp_path):
    source = RTL / "systolic_pe/systolic_pe.v"
    text = new_design_toml(source)
    (tmp_path / "design.toml").write_text(text)
    shutil.copy(source, tmp_path)
    shutil.copy(RTL / "systolic_pe/reference.py", tmp_path)
    guessed, written = read_design(tmp_path), read_design(RTL / "systolic_pe")
    assert dict(guessed.roles) == dict(written.roles)
    assert (guessed.clock, guessed.reset, guessed.lanes) == (written.clock, written.reset, written.lanes)
    assert dict(guessed.neighbours) == dict(written.neighbours)
    assert dict(guessed.widths) == dict(written.widths)
    assert dict(guessed.parameters) == {"ACC_WIDTH": 24}


def test_every_guess_is_marked_and_expressions_of_the_source_stand_beside_widths():
    lines = new_design_toml(RTL / "systolic_pe/systolic_pe.v").splitlines()
    assert "acc_in = 24  # input, signed, [(ACC_WIDTH - 1):0]" in lines
    for key in ('weight = "weight_in"', 'clock = "clk"', "weight_shift = 0", 'act_in = "act_out"', "latency = 1"):
        (line,) = [line for line in lines if line.startswith(key)]
        assert "# guess" in line


def test_a_port_list_that_shares_one_declaration_keeps_its_signs(tmp_path):
    (tmp_path / "mac.v").write_text(BARE)
    text = new_design_toml(tmp_path / "mac.v")
    table = tomllib.loads(text)
    assert "x = 8  # input, signed, [7:0]" in text
    assert "w = 8  # input, signed, [7:0]" in text
    roles = {"clock": "ck", "weight": "w", "activation": "x", "accumulator_in": "c", "result": "y"}
    assert table["roles"] == roles
    assert table["hold"] == {"en": 1}
    assert "# reset = " in text


@pytest.mark.parametrize("name", ["systolic_pe_csa", "systolic_pe_int4", "tensor_core_dp4"])
def test_files_narrow_operands_and_the_words_of_a_redundant_sum_are_found(name):
    table, written = tomllib.loads(new_design_toml(RTL / name / f"{name}.v")), read_design(RTL / name)
    assert {role: table["roles"][role] for role in written.roles} == dict(written.roles)
    assert sorted(table["sources"]) == sorted(path.name for path in written.sources)
    assert (table.get("weight_bits", 8), table.get("activation_bits", 8)) == (written.weight_bits, 8)


def test_lanes_are_as_many_as_operands_fit_into_the_weight_port():
    table = tomllib.loads(new_design_toml(RTL / "tensor_core_dp4/tensor_core_dp4.v"))
    assert [lane["weight"] for lane in table["lanes"]] == [
        "weight_q[7:0]", "weight_q[15:8]", "weight_q[23:16]", "weight_q[31:24]"
    ]


def test_systemverilog_that_pyverilog_cannot_read_is_still_listed_and_the_text_says_so(tmp_path):
    source = tmp_path / "mac.sv"
    source.write_text(
        "module mac #(parameter int W = 20) (input logic clk, input logic signed [7:0] a, output logic [W-1:0] y);\n"
        "  always_ff @(posedge clk) y <= a;\nendmodule\n"
    )
    text = new_design_toml(source)
    assert "pyverilog could not read the file (" in text
    table = tomllib.loads(text)
    assert table["widths"] == {"clk": 1, "a": 8, "y": 20}
    assert table["parameters"] == {"W": 20}
    assert table["roles"]["weight"] == ""


def test_what_is_left_empty_is_refused_when_read(tmp_path):
    text = "module mac(input clk, input d, output reg q); always @(posedge clk) q <= d; endmodule"
    (tmp_path / "mac.v").write_text(text)
    (tmp_path / "reference.py").write_text("")
    (tmp_path / "design.toml").write_text(new_design_toml(tmp_path / "mac.v"))
    with pytest.raises(DesignError, match=r"roles.weight = '' is not under \[widths\]"):
        read_design(tmp_path)


def test_a_missing_file_and_bad_verilog_are_reported(tmp_path):
    with pytest.raises(DesignError, match=r"nothing.v: no such Verilog file"):
        new_design_toml(tmp_path / "nothing.v")
    (tmp_path / "bad.v").write_text("module bad(; endmodule")
    with pytest.raises(SynthesisError, match=r"bad.v: .*ERROR: .*syntax error"):
        new_design_toml(tmp_path / "bad.v")


def test_nothing_is_written_beside_the_source(tmp_path):
    (tmp_path / "mac.v").write_text(BARE)
    new_design_toml(tmp_path / "mac.v")
    assert [path.name for path in tmp_path.iterdir()] == ["mac.v"]
