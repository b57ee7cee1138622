import gzip
from pathlib import Path

import numpy as np
import pytest

from characterization.errors import LibertyError
from characterization.liberty import read_liberty
from tests.characterization.small_library import (
    CELLS,
    HEADER,
    INV,
    cell,
    constraint,
    library_text,
    output,
    pin,
    power,
    timing,
)
from tests.needs import OSU018, needs_osu018

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared/pdk"


def read(folder, text, name="small.lib"):
    (folder / name).write_text(text)
    return read_liberty((folder / name,))


def failure(folder, text):
    with pytest.raises(LibertyError) as caught:
        read(folder, text)
    return str(caught.value)


@pytest.fixture
def library(tmp_path):
    return read(tmp_path, library_text())


def look_up(table, slew_ps, other):
    """The value at a grid point."""
    return table.values[list(np.round(table.slew_ps, 9)).index(slew_ps), list(np.round(table.other, 9)).index(other)]


@pytest.mark.parametrize("kind", ["INV", "XOR2"])
def test_axes_are_slew_then_load_whatever_the_template_says(library, kind):
    table = library.cells[kind].pins["Y"].arcs[0].delay[1]
    base_ps = {"INV": 20, "XOR2": 40}[kind]
    assert look_up(table, 10.0, 10.0) == pytest.approx(base_ps + 2 * 10 + 0.1 * 10)
    assert look_up(table, 100.0, 1.0) == pytest.approx(base_ps + 2 * 1 + 0.1 * 100)


def test_a_check_has_data_slew_first(library):
    table = library.cells["DFF"].pins["D"].arcs[0].delay[0]
    assert table.slew_ps.size == 3
    assert table.other.size == 2
    assert table.values[0, 0] == pytest.approx(60)


def test_rise_and_fall_capacitance_are_kept_apart_in_ff(library):
    assert library.cells["INV"].pins["A"].capacitance_ff == pytest.approx((1.0, 3.0))
    assert library.cells["INV"].pins["Y"].max_capacitance_ff == pytest.approx(50.0)


def test_redundant_negations_collapse_in_the_truth_table(library):
    assert library.cells["INV"].pins["Y"].function.truth == 0b01


def test_conditions_become_truth_tables_over_the_pins_they_name(library):
    arcs = library.cells["XOR2"].pins["Y"].arcs
    assert [(arc.related_pin, arc.sense, arc.when.pins, arc.when.truth) for arc in arcs] == [
        ("A", "positive_unate", ("B",), 0b01), ("A", "negative_unate", ("B",), 0b10),
        ("B", "positive_unate", ("A",), 0b01), ("B", "negative_unate", ("A",), 0b10),
    ]


def test_several_related_pins_in_one_string_give_an_arc_each(library):
    assert [arc.related_pin for arc in library.cells["NAND2"].pins["Y"].arcs] == ["A", "B"]


def test_every_output_of_a_cell_has_its_own_function(library):
    adder = library.cells["HA"]
    assert adder.outputs == ("S", "C")
    assert [adder.pins[name].function.truth for name in adder.outputs] == [0b0110, 0b1000]


def test_a_flop_shows_its_state_names_clock_and_checks(library):
    cell_ = library.cells["DFF"]
    assert (cell_.flop.state, cell_.flop.inverted, cell_.clock_pin) == ("IQ", "IQN", "CLK")
    assert cell_.flop.clocked_on.truth == 0b10
    assert cell_.pins["QN"].function.pins == ("IQN",)
    assert cell_.pins["CLK"].clock
    assert [arc.kind for arc in cell_.pins["D"].arcs] == ["setup_rising"]


def test_energy_is_in_fj_and_may_be_negative(library):
    assert library.cells["INV"].pins["Y"].powers[0].energy[1].values == pytest.approx(np.full((2, 1), 5.0))
    assert library.cells["INV"].pins["Y"].powers[0].energy[0].values == pytest.approx(np.full((2, 1), -2.0))
    assert library.cells["DFF"].pins["CLK"].powers[0].related_pin == ""


def test_leakage_is_stated_or_the_mean_over_states_in_nw(library):
    assert library.cells["INV"].leakage_nw == pytest.approx(2.0)
    assert library.cells["DFF"].leakage_nw == pytest.approx(2.0)


def test_ground_rails_add_no_energy(tmp_path):
    rails = "pg_pin (VDD) { pg_type : primary_power; } pg_pin (VSS) { pg_type : primary_ground; }"
    both = "".join(power(4, 4, "A").replace("{", f"{{ related_pg_pin : {rail};", 1) for rail in ("VDD", "VSS"))
    text = cell("INV", rails, pin("A"), output("Y", "!A", timing("A", 1, 1) + both))
    assert len(read(tmp_path, library_text(text)).cells["INV"].pins["Y"].powers) == 1


def test_operating_conditions_come_before_nominal_values(library, tmp_path):
    assert (library.nominal_voltage_v, library.nominal_temp_c) == (1.6, 100.0)
    text = library_text().replace('default_operating_conditions : "slow";', "")
    assert read(tmp_path, text).nominal_voltage_v == 1.8


def test_edges_take_as_long_as_the_thresholds_of_slews_tell(library, tmp_path):
    assert library.rail_per_slew == pytest.approx(1 / 0.6)
    text = library_text().replace("slew_lower_threshold_pct_rise : 20", "slew_lower_threshold_pct_rise : 40")
    text = text.replace("nom_voltage", "slew_derate_from_library : 0.5; nom_voltage", 1)
    assert read(tmp_path, text).rail_per_slew == pytest.approx(0.5 / 0.5)
    assert "slews are taken from 80 to 80 per cent" in failure(
        tmp_path, text.replace("pct_rise : 40", "pct_rise : 80").replace("pct_fall : 20", "pct_fall : 80"))


def test_a_scalar_table_has_one_value(tmp_path):
    scalar = 'timing () { related_pin : "A"; ' + "".join(
        f'{name} (scalar) {{ values ("0.5"); }} ' for name in
        ("cell_rise", "cell_fall", "rise_transition", "fall_transition")) + "}"
    library = read(tmp_path, library_text(cell("INV", pin("A"), output("Y", "!A", scalar))))
    assert library.cells["INV"].pins["Y"].arcs[0].delay[0].values == pytest.approx(np.array([[500.0]]))


def test_other_units_give_the_same_library(library, tmp_path):
    text = library_text().replace('"1ns"', '"100ps"').replace("(1, pf)", "(10,ff)").replace('"1pW"', '"1000fW"')
    other = read(tmp_path, text)
    arc, same = (lib.cells["INV"].pins["Y"].arcs[0].delay[1] for lib in (other, library))
    assert arc.values == pytest.approx(same.values / 10)
    assert arc.other == pytest.approx(same.other / 100)
    assert other.cells["INV"].leakage_nw == pytest.approx(2.0)


def test_several_gzipped_files_make_one_library(tmp_path):
    paths = []
    for i, part in enumerate(CELLS):
        paths.append(tmp_path / f"{i}.lib.gz")
        paths[-1].write_bytes(gzip.compress(library_text(part).encode()))
    assert set(read_liberty(tuple(paths)).cells) == {"INV", "NAND2", "XOR2", "HA", "AOI21", "DFF"}


@pytest.mark.parametrize(("body", "reason"), [
    ('latch (IQ, IQN) { enable : "A"; }', "it has a latch group"),
    ('statetable ("A", "IQ") { table : "x"; }', "it has a statetable group"),
    ('ff (P, Q1) { clocked_on : "A"; next_state : "A"; } ff (R, S1) { clocked_on : "A"; next_state : "A"; }',
     "it has several flip-flops"),
    ("pin (Z) { direction : inout; }", "an inout pin"),
    ('pin (Z) { direction : output; function : "A"; three_state : "A"; }', "it has a three-state output"),
    ("pin (Z) { direction : output; }", "its output Z has no function"),
])
def test_cells_of_other_sorts_are_kept_and_refused_by_name(tmp_path, body, reason):
    library = read(tmp_path, library_text(INV, cell("ODD", body, pin("A"), output("Y", "A", timing("A", 1, 1)))))
    assert reason in library.cells["ODD"].unusable
    with pytest.raises(LibertyError, match=rf"small.lib:\d+: cell ODD, which pe needs, is not supported: .*{reason}"):
        library.cell("ODD", "pe")


def test_a_missing_cell_is_reported_with_its_library_and_who_needs_it(library):
    with pytest.raises(LibertyError, match=r"small.lib: no cell NANDX, which pe needs; it has NAND2 \(6 cells\)"):
        library.cell("NANDX", "pe")


def test_a_missing_pin_is_reported_with_the_line_of_the_cell(library):
    with pytest.raises(LibertyError, match=r"small.lib:\d+: cell INV has no pin B; it has A, Y"):
        library.cells["INV"].pin("B")


@pytest.mark.parametrize(("old", "new", "message"), [
    ("variable_1 : total_output_net_capacitance", "variable_1 : fanout", "template load_slew has variables fanout"),
    ("cell_rise (load_slew)", "cell_rise (lost)", "cell_rise uses template lost, which the library lacks; it has c"),
    ("index_1 (\"0.001, 0.01\")", 'index_1 ("0.01, 0.001")', "index_1 of cell_rise is not ascending"),
    ("index_1 (\"0.001, 0.01\")", 'index_1 ("0.001, 0.01, 0.1")', "cell_rise has 4 values for axes of 3 x 2"),
    ("index_1 (\"0.001, 0.01\")", 'index_1 ("0.001, much")', "index_1 of cell_rise holds something that is no number"),
    ("area : 10.0", "area : large", "area of cell \\(INV\\) is 'large', not a number"),
    ("direction : input", "direction : sideways", "pin A of cell INV has direction 'sideways'"),
    ('related_pin : "A"', 'related_pin : ""', "timing group of cell INV has no related_pin"),
    ("!(!(!A))", "!(!(!Z))", "cell INV: function: expression .* names Z"),
    ('"1ns"', '"1 hour"', "time_unit is '1 hour'"),
    ("table_lookup", "polynomial", "delay_model is polynomial; only table_lookup"),
    ("capacitive_load_unit (1, pf);", "", "has no capacitive_load_unit"),
    ("area : 10.0", "area ? 10.0", "'area \\? 10.0' is no Liberty statement"),
])
def test_a_fault_is_reported_with_file_and_line(tmp_path, old, new, message):
    text = library_text()
    assert old in text
    with pytest.raises(LibertyError, match=r"small.lib:\d+: .*" + message):
        read(tmp_path, text.replace(old, new, 1))


def test_a_line_number_points_at_the_fault(tmp_path):
    text = library_text()
    line = text[: text.index("cell_rise (load_slew)")].count("\n") + 1
    assert f"small.lib:{line}:" in failure(tmp_path, text.replace("cell_rise (load_slew)", "cell_rise (lost)", 1))


def test_a_library_without_voltage_is_refused(tmp_path):
    text = library_text().replace("nom_voltage : 1.8;", "").replace("voltage : 1.6;", "")
    assert "states neither operating conditions nor nom_voltage" in failure(tmp_path, text)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused(tmp_path, part):
    text = library_text()
    said = failure(tmp_path, text[: int(len(text) * part)])
    assert "is it truncated?" in said or "is no Liberty statement" in said


def test_an_open_comment_is_refused(tmp_path):
    assert "small.lib:2: comment is never closed" in failure(tmp_path, library_text().replace("*/", "", 1))


def test_other_files_are_refused(tmp_path):
    assert "has no library group" in failure(tmp_path, "cell (INV) { }")
    assert "has no cells" in failure(tmp_path, HEADER + "}")
    with pytest.raises(LibertyError, match=r"lost.lib: cannot be read \(No such file"):
        read_liberty((tmp_path / "lost.lib",))
    (tmp_path / "cut.lib.gz").write_bytes(gzip.compress(library_text().encode())[:500])
    with pytest.raises(LibertyError, match=r"cut.lib.gz: damaged gzip file"):
        read_liberty((tmp_path / "cut.lib.gz",))
    with pytest.raises(LibertyError, match="without Liberty files"):
        read_liberty(())


def test_a_cell_defined_twice_is_refused(tmp_path):
    assert "cell INV is defined at" in failure(tmp_path, library_text(INV, INV))


def test_pulse_widths_and_other_checks_are_left_out(tmp_path):
    odd = cell("INV", pin("A", constraint("min_pulse_width", 1, 1)), output("Y", "!A", timing("A", 1, 1)))
    assert read(tmp_path, library_text(odd)).cells["INV"].pins["A"].arcs == ()


@needs_osu018
def test_osu018_reads_as_its_text_says():
    library = read_liberty((OSU018,))
    assert len(library.cells) == 32
    arc = library.cells["DFFPOSX1"].pins["Q"].arcs[0]
    assert look_up(arc.delay[1], 60.0, 5.0) == pytest.approx(93.526)
    assert library.cells["INVX1"].pins["Y"].function.truth == 0b01


@pytest.mark.skipif(not SHARED.is_dir(), reason="no example PDKs")
def test_asap7_files_make_one_library():
    paths = tuple(path for part in ("INVBUF", "SEQ") for path in (SHARED / "asap7").glob(f"*{part}*.lib.gz"))
    library = read_liberty(paths)
    assert {"INVx1_ASAP7_75t_R", "DFFHQNx1_ASAP7_75t_R"} <= set(library.cells)
    assert library.nominal_voltage_v == 0.7
    assert library.cells["INVx1_ASAP7_75t_R"].pins["A"].capacitance_ff[1] == pytest.approx(0.6, abs=0.2)
