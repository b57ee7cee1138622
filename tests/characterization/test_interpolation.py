import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.corner_library import read_corner
from characterization.errors import LibertyError
from characterization.interpolation import interpolate_libraries, log_chord
from characterization.pdk import Pdk, pdk_from_liberty
from tests.characterization.small_library import library_text

NUMBER = re.compile(r'(?<=["( ])(\d+\.\d{9})')


def scaled(factor):
    """Return the small library with every delay, slew and constraint times `factor`."""
    return NUMBER.sub(lambda match: f"{float(match[1]) * factor:.9f}", library_text())


@pytest.fixture
def pdk(tmp_path):
    """Two corners, 1.6 and 1.8 V at 100 C; the lower one has all delays four times as long."""
    corners = []
    for voltage_v, factor in ((1.6, 4.0), (1.8, 1.0)):
        path = tmp_path / f"at_{voltage_v}.lib"
        text = scaled(factor).replace("voltage : 1.6", f"voltage : {voltage_v}")
        path.write_text(text.replace("library (small)", f"library (small_{voltage_v})"))
        corner = pdk_from_liberty(path).corner()
        corners.append(replace(corner, process="ss"))
    return Pdk("small", tuple(corners))


def tables(library):
    for cell in library.cells.values():
        for pin in cell.pins.values():
            for arc in pin.arcs:
                yield from (table for table in (*arc.delay, *arc.slew) if table is not None)


def test_delays_between_two_voltages_lie_on_the_log_linear_chord(pdk):
    middle, low, high = (read_corner(pdk.at("ss", 100, volt)) for volt in (1.7, 1.6, 1.8))
    assert middle.interpolated == ("small_1.6", "small_1.8")
    assert (middle.name, middle.nominal_voltage_v, middle.nominal_temp_c) == ("ss_100C_1v70", 1.7, 100.0)
    assert low.interpolated is None
    triples = list(zip(tables(middle), tables(low), tables(high), strict=True))
    assert len(triples) > 20
    for between, slow, fast in triples:
        np.testing.assert_allclose(between.values, np.sqrt(slow.values * fast.values), rtol=1e-9)


def test_energy_and_capacitance_between_two_voltages_are_linear_and_leakage_log_linear(pdk):
    low, high = (read_corner(corner) for corner in pdk.corners)
    inverter = high.cells["INV"]
    pins = {name: replace(pin, capacitance_ff=tuple(2 * c for c in pin.capacitance_ff), powers=tuple(
        replace(power, energy=tuple(replace(t, values=3 * t.values) if t else None for t in power.energy))
        for power in pin.powers)) for name, pin in inverter.pins.items()}  # fmt: skip
    cells = {**high.cells, "INV": replace(inverter, pins=pins, leakage_nw=100 * inverter.leakage_nw)}
    middle = interpolate_libraries(low, replace(high, cells=cells), 1.65, "between").cells["INV"]
    before = low.cells["INV"]
    assert middle.leakage_nw == pytest.approx(before.leakage_nw * math.sqrt(10))
    for name, pin in before.pins.items():
        assert middle.pins[name].capacitance_ff == pytest.approx(np.array(pin.capacitance_ff) * 1.25)
        for power, found in zip(pin.powers, middle.pins[name].powers, strict=True):
            for table, other in zip(power.energy, found.energy, strict=True):
                np.testing.assert_allclose(other.values, table.values * 1.5)


def test_of_two_neighbours_the_worse_limit_and_factor_count(pdk):
    low, high = (read_corner(corner) for corner in pdk.corners)
    low = replace(low, multi_input={"NAND2": {("Y", 0): (1.2, 0.9)}})
    high = replace(high, multi_input={"NAND2": {("Y", 0): (1.1, 0.8), ("Y", 1): (1.0, 0.7)}})
    middle = interpolate_libraries(low, high, 1.7, "between")
    assert middle.multi_input["NAND2"] == {("Y", 0): (1.2, 0.8), ("Y", 1): (1.0, 0.7)}
    limited = replace(high.cells["INV"].pins["Y"], max_capacitance_ff=7.0)
    other = replace(limited, max_capacitance_ff=5.0)
    both = [replace(library, cells={"INV": replace(library.cells["INV"], pins={"Y": pin})})
            for library, pin in ((low, limited), (high, other))]
    assert interpolate_libraries(*both, 1.7, "between").cells["INV"].pins["Y"].max_capacitance_ff == 5.0


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1), st.floats(0, 1))
def test_the_chord_lies_between_its_ends_and_meets_them(pairs, share):
    low, high = np.array(pairs).T
    values = log_chord(low, high, share)
    assert (values >= np.minimum(low, high) - 1e-9).all()
    assert (values <= np.maximum(low, high) + 1e-9).all()
    np.testing.assert_allclose(log_chord(low, high, 0.0), low, rtol=1e-12)
    np.testing.assert_allclose(log_chord(low, high, 1.0), high, rtol=1e-12)


@given(st.floats(0.3, 0.9), st.floats(1.2, 2.0), st.floats(1.0, 1.3), st.floats(0.05, 0.5), st.floats(0, 1))
def test_the_chord_is_an_upper_bound_of_an_alpha_power_delay(threshold_v, alpha, low_v, span_v, share):
    def delay_ps(volt):
        return volt / (volt - threshold_v) ** alpha

    chord = log_chord(np.array(delay_ps(low_v)), np.array(delay_ps(low_v + span_v)), share)
    # V/(V-Vt)^a is log-convex as long as a V^2 > (V-Vt)^2, which these values satisfy.
    assert chord >= delay_ps(low_v + share * span_v) * (1 - 1e-9)


def test_neighbours_that_do_not_match_are_refused(pdk):
    low, high = (read_corner(corner) for corner in pdk.corners)
    inverter, output = high.cells["INV"], high.cells["INV"].pins["Y"]

    def refused(cell, message):
        with pytest.raises(LibertyError, match=message):
            interpolate_libraries(low, replace(high, cells={**high.cells, "INV": cell}), 1.7, "x")

    with pytest.raises(LibertyError, match=r"x: 1.9 V cannot be interpolated between small_1.6 \(1.6 V, 100 C\)"):
        interpolate_libraries(low, high, 1.9, "x")
    with pytest.raises(LibertyError, match=r"only one of small_1.6 and small_1.8 has cell INV"):
        interpolate_libraries(low, replace(high, cells={k: v for k, v in high.cells.items() if k != "INV"}), 1.7, "x")
    refused(replace(inverter, pins={"Y": output}), "x: cell INV has other pins at")
    refused(replace(inverter, pins={**inverter.pins, "Y": replace(output, arcs=())}), "pin Y of cell INV .* has other")
    arc = output.arcs[0]
    halved = replace(arc, slew=(None, arc.slew[1]))
    refused(replace(inverter, pins={**inverter.pins, "Y": replace(output, arcs=(halved,))}),
            "a table of INV.Y is there at one of its two neighbours only")
    moved = replace(arc, slew=(replace(arc.slew[0], other=arc.slew[0].other * 2), arc.slew[1]))
    refused(replace(inverter, pins={**inverter.pins, "Y": replace(output, arcs=(moved,))}),
            "a table of INV.Y has other slews or loads at its two neighbours")
