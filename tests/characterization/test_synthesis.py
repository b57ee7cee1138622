import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from characterization.design import read_design
from characterization.errors import DesignError, LibertyError, SynthesisError
from characterization.liberty import read_liberty
from characterization.netlist import Netlist
from characterization.pdk import read_pdk
from characterization.synthesis import check_driven, list_module, synthesize
from tests.needs import needs_osu018

ROOT = Path(__file__).parents[2]
RTL = ROOT / "rtl"
PDK = ROOT.parent / "shared/pdk"
OSU018 = (Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib"),)
SKY130 = (PDK / "sky130hd/sky130_fd_sc_hd__tt_025C_1v80.lib.gz",)
SKY130_DONT_USE = ("*lpflow*", "*probe*", "*clk*", "*dly*", "*sdf*", "*edf*", "*_macro_*")
ASAP7 = tuple(sorted((PDK / "asap7").glob("*.lib.gz")))
pytestmark = pytest.mark.tool
LIBRARIES = [
    pytest.param(OSU018, (), marks=needs_osu018, id="osu018"),
    pytest.param(SKY130, SKY130_DONT_USE, marks=pytest.mark.skipif(not SKY130[0].is_file(), reason="no sky130"),
                 id="sky130"),
    pytest.param(ASAP7, (), marks=[pytest.mark.slow, pytest.mark.skipif(not ASAP7, reason="no ASAP7")], id="asap7"),
]


PRODUCT = "wire signed [15:0] product = act_in * weight_q"
BOX = "\n(* blackbox *) module box(input [7:0] a, input [7:0] b, output [15:0] y); endmodule\n"


def copied(design, folder):
    """The same design in another folder."""
    shutil.copytree(design.folder, folder)
    return read_design(folder)


def with_verilog(folder, text, **changes):
    """The systolic PE's description over other Verilog."""
    (folder / "pe.v").write_text(text)
    return replace(read_design(RTL / "systolic_pe"), sources=(folder / "pe.v",), folder=folder, **changes)


def pe_text():
    return (RTL / "systolic_pe/systolic_pe.v").read_text()


@pytest.mark.parametrize(("liberty", "dont_use"), LIBRARIES)
def test_a_pe_maps_onto_cells_that_the_library_has_and_registers_keep_their_names(liberty, dont_use, tmp_path):
    design = read_design(RTL / "systolic_pe")
    netlist = synthesize(design, liberty, tmp_path, dont_use)
    library = read_liberty(liberty)
    flops = {net for cell in netlist.cells if library.cell(cell.kind, cell.name).flop for net in cell.pins.values()}
    for lane in design.lanes:
        assert flops.issuperset(design.nets_of(lane.weight))
        assert flops.issuperset(design.nets_of(lane.activation))
    for port in netlist.ports:
        expected = (port.name,) if port.width == 1 else tuple(f"{port.name}[{bit}]" for bit in range(port.width))
        assert port.nets == expected
    banned = [pattern.strip("*_") for pattern in dont_use]
    assert not [cell.kind for cell in netlist.cells if any(word in cell.kind for word in banned)]
    assert {kind: sorted(pins) for kind, pins in netlist.output_pins.items()} == {
        kind: sorted(library.cells[kind].outputs) for kind in {cell.kind for cell in netlist.cells}
    }


@needs_osu018
@pytest.mark.parametrize("name", ["systolic_pe", "systolic_pe_booth", "tensor_core_dp4"])
def test_the_same_design_in_another_folder_gives_the_same_bytes(name, tmp_path):
    design = read_design(RTL / name)
    first = synthesize(design, OSU018, tmp_path / "one").to_text()
    elsewhere = copied(design, tmp_path / "a folder" / name)
    assert synthesize(elsewhere, OSU018, tmp_path / "two words").to_text() == first
    assert str(ROOT) not in first
    assert Netlist.from_text(first).to_text() == first


@needs_osu018
def test_a_compressed_library_gives_the_same_netlist(tmp_path):
    design = read_design(RTL / "systolic_pe_booth")
    packed = tmp_path / "library.lib.gz"
    packed.write_bytes(gzip.compress(OSU018[0].read_bytes()))
    assert synthesize(design, (packed,), tmp_path / "a") == synthesize(design, OSU018, tmp_path / "b")


@needs_osu018
def test_parameters_reach_the_verilog(tmp_path):
    design = read_design(RTL / "systolic_pe")
    widths = dict(design.widths) | {"acc_in": 32, "acc_out": 32}
    wide = replace(design, parameters={"ACC_WIDTH": 32}, widths=widths)
    assert synthesize(wide, OSU018, tmp_path).port("acc_out").width == 32


@needs_osu018
def test_part_of_a_signed_bus_may_enter_a_module_with_parameters(tmp_path):
    # Yosys derives the top once more then, and calls it by its parameters.
    part = "module half #(parameter W = 16) (input [W-1:0] a, output [W-1:0] y); assign y = ~a; endmodule\n"
    use = f"{PRODUCT} + turned; wire [7:0] turned; half #(.W(8)) part (.a(act_in[7:0]), .y(turned))"
    split = with_verilog(tmp_path, pe_text().replace(PRODUCT, use) + part)
    assert synthesize(split, OSU018, tmp_path).top == "systolic_pe"


@needs_osu018
def test_a_width_that_the_parameters_do_not_give_is_refused(tmp_path):
    design = replace(read_design(RTL / "systolic_pe"), parameters={"ACC_WIDTH": 32})
    with pytest.raises(DesignError, match=r"widths\.acc_in = 24, the elaborated module has 32 bits; widths.acc_out"):
        synthesize(design, OSU018, tmp_path)


@needs_osu018
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("endmodule", "", "ERROR: .*syntax error"),
        ("act_in * weight_q", "nothing * weight_q", "net nothing is used but has no driver, drive it or tie it to a"),
        (PRODUCT, "wire signed [15:0] product", r"net product\[\d+\] is used but has no driver.*and \d+ more"),
        (PRODUCT, f"{PRODUCT}; assign product[3] = act_in[0]", r"net act_in\[0\] has several drivers \(.*mul"),
        (PRODUCT, f"wire two; assign two = act_in[0]; assign two = act_in[1] & act_in[2]; {PRODUCT} + two",
         r"net of `and` at pe.v:\d+ has several drivers \(.*, give it one"),
        (PRODUCT, f"{PRODUCT} + (product[3] & act_in[0])", r"combinational loop through pe.v:\d+, cut"),
        (PRODUCT, "wire signed [15:0] product; box p(act_in, weight_q, product)", "cell of the library implements box"),
        (PRODUCT, "wire signed [15:0] product; part p(act_in, product)", "part"),
        ("module systolic_pe", "module another_pe", "ERROR: .*systolic_pe"),
    ],
)
def test_verilog_that_yosys_rejects_is_reported_with_its_error_line_and_log(old, new, message, tmp_path):
    design = with_verilog(tmp_path, pe_text().replace(old, new) + BOX)
    with pytest.raises(SynthesisError, match=f"systolic_pe: .*{message}") as error:
        synthesize(design, OSU018, tmp_path / "work")
    assert f"(log: {tmp_path / 'work' / 'yosys.log'})" in str(error.value)
    assert (tmp_path / "work/yosys.log").is_file()
    assert "\n" not in str(error.value)


@needs_osu018
@pytest.mark.parametrize(("old", "new", "message"), [
    ("timing()", "timing_taken_out()", "cell NAND2X1 has a function at Y and no timing, which synthesis cannot use"),
    ("function", "function_taken_out", r"no flip-flop of osu018_stdcells can be used; of DFF\w*, its output Q has no "),
])  # fmt: skip
def test_a_library_whose_cells_cannot_be_mapped_is_reported_with_the_cell(old, new, message, tmp_path):
    text = OSU018[0].read_text(encoding="utf-8")
    cell = text.index("cell (NAND2X1)")
    end = text.index("\ncell (", cell)
    broken = text[:cell] + text[cell:end].replace(old, new) + text[end:] if "timing" in old else text.replace(old, new)
    (tmp_path / "broken.lib").write_text(broken, encoding="utf-8")
    with pytest.raises(LibertyError, match=message):
        synthesize(read_design(RTL / "systolic_pe_int4"), (tmp_path / "broken.lib",), tmp_path)


@needs_osu018
def test_a_latch_is_named_with_its_signal(tmp_path):
    text = pe_text().replace(PRODUCT, "reg signed [15:0] product; always @* if (valid_in) product = act_in * weight_q")
    with pytest.raises(SynthesisError, match="latch inferred for product, assign it on every path or use a register"):
        synthesize(with_verilog(tmp_path, text), OSU018, tmp_path / "work", read_pdk("osu018").dont_use)


@needs_osu018
def test_a_failed_synthesis_leaves_its_own_log_and_nothing_else(tmp_path):
    synthesize(read_design(RTL / "systolic_pe"), OSU018, tmp_path / "work")
    with pytest.raises(SynthesisError):
        synthesize(with_verilog(tmp_path, "module"), OSU018, tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["yosys.log"]
    assert "ERROR" in (tmp_path / "work/yosys.log").read_text()


TINY = """library (tiny) { delay_model : table_lookup; time_unit : "1ns"; capacitive_load_unit (1, pf);
  cell (NAND2) { area : 1; pin (A) { direction : input; capacitance : 0.01; }
    pin (B) { direction : input; capacitance : 0.01; }
    pin (Y) { direction : output; function : "!(A B)"; %(arcs)s } }
  cell (INV) { area : 1; pin (A) { direction : input; capacitance : 0.01; }
    pin (Y) { direction : output; function : "!A"; %(arc)s } } }"""
ARC = """timing () { related_pin : "%s"; timing_sense : negative_unate; cell_rise (scalar) { values ("0.1"); }
  cell_fall (scalar) { values ("0.1"); } rise_transition (scalar) { values ("0.1"); }
  fall_transition (scalar) { values ("0.1"); } }"""


def test_a_library_without_flops_is_said_to_lack_them(tmp_path):
    library = tmp_path / "tiny.lib"
    library.write_text(TINY % {"arcs": ARC % "A" + ARC % "B", "arc": ARC % "A"})
    with pytest.raises(SynthesisError, match=r"ERROR: .*D flip-flops are not supported"):
        synthesize(read_design(RTL / "systolic_pe"), (library,), tmp_path / "work")


def test_a_library_that_is_missing_or_damaged_is_named(tmp_path):
    design = read_design(RTL / "systolic_pe")
    with pytest.raises(SynthesisError, match=r"nothing.lib: no such Liberty file"):
        synthesize(design, (tmp_path / "nothing.lib",), tmp_path / "work")
    cut = tmp_path / "cut.lib.gz"
    cut.write_bytes(gzip.compress(b"library (x) {}" * 100)[:-20])
    with pytest.raises(SynthesisError, match=r"cut.lib.gz: damaged gzip file .*; fetch it again"):
        synthesize(design, (cut,), tmp_path / "work")


def test_a_net_without_a_driver_is_reported():
    netlist = Netlist.from_text(
        '{"top": "m", "ports": [["y", "output", ["y"]]]}\n{"output_pins": {"INV": ["Y"]}}\n'
        '["u1", "INV", {"A": "n1", "Y": "y"}]\n'
    )
    with pytest.raises(SynthesisError, match=r"m: nothing drives n1; was a register never assigned\?"):
        check_driven(netlist)


def test_a_module_is_listed_with_signs_defaults_and_registers(tmp_path):
    listing = list_module((RTL / "systolic_pe/systolic_pe.v",), "", tmp_path)
    assert listing.top == "systolic_pe"
    assert listing.parameters == {"ACC_WIDTH": 24}
    assert ("act_in", "input", 8, True) in listing.ports
    assert ("rst", "input", 1, False) in listing.ports
    assert ("weight_q", 8, True) in listing.registers


def test_a_process_that_dies_without_a_word_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    with pytest.raises(SynthesisError, match="Yosys ended without an error line: no message"):
        list_module((RTL / "systolic_pe/systolic_pe.v",), "", tmp_path)
