"""Comparing libraries: a library equals itself, and one that is slower by a tenth is off by a tenth."""

from dataclasses import replace

import numpy as np
import pytest

from characterization.cells.comparison import compare_cells, compare_flops, voltage_ratios
from characterization.cells.liberty_writer import write_liberty
from characterization.liberty import read_liberty
from tests.characterization.cells.made_cells import LOGIC, made_cell, made_flop

KINDS = ("inv_1", "nand2_1", "xor2_1", "mux2_1")


def library(folder, cells, name="made"):
    path = folder / f"{name}.lib"
    path.write_text(write_liberty(cells, name), encoding="utf-8")
    return read_liberty((path,))


def slower(cell, factor):
    arcs = tuple(replace(arc, delay_ps=arc.delay_ps * factor) for arc in cell.arcs)
    return replace(cell, arcs=arcs)


def test_a_library_with_one_state_for_each_arc_equals_itself(tmp_path):
    lib = library(tmp_path, [made_cell("inv_1"), made_cell("nand2_1")])
    for cell in compare_cells(lib, lib):
        assert len(cell.delay)
        for errors in (cell.delay, cell.slew, cell.energy, cell.capacitance):
            assert errors == pytest.approx(0, abs=1e-9)
        assert cell.leakage == 0


def test_a_library_that_is_a_tenth_slower_is_off_by_a_tenth_in_delay_alone(tmp_path):
    cells = [made_cell(kind, seed) for seed, kind in enumerate(KINDS)]
    base = library(tmp_path, cells, "base")
    slow = library(tmp_path, [slower(cell, 1.1) for cell in cells], "slow")
    for one, same in zip(compare_cells(slow, base), compare_cells(base, base), strict=True):
        assert one.delay == pytest.approx(1.1 * (1 + same.delay) - 1, abs=1e-4)
        assert one.slew == pytest.approx(same.slew)


def test_the_slowest_of_our_states_is_compared(tmp_path, monkeypatch):
    monkeypatch.setitem(LOGIC, "maj3_1", (("A", "B", "C"), {"X": "(A&B)|(A&C)|(B&C)"}))
    lib = library(tmp_path, [made_cell("maj3_1")])
    (cell,) = compare_cells(lib, lib)
    assert (cell.delay >= -1e-9).all()
    assert (cell.delay > 0.001).any()


def test_points_outside_our_range_are_not_compared(tmp_path):
    narrow = library(tmp_path, [made_cell("inv_1", n_loads=2)], "narrow")
    cell = made_cell("inv_1")
    far = tuple(replace(pin, loads_ff=tuple(10 * load for load in pin.loads_ff)) for pin in cell.pins)
    wide = library(tmp_path, [replace(cell, pins=far)], "wide")
    (compared,) = compare_cells(narrow, wide)
    assert len(compared.slew) == 2 * 3 * sum(10 * load <= 60 for load in far[0].loads_ff or cell.pins[-1].loads_ff)


def test_ratios_over_voltage_forget_a_factor_common_to_all_voltages(tmp_path):
    cells = [made_cell(kind, seed) for seed, kind in enumerate(KINDS)]
    low, high = [slower(cell, 3.0) for cell in cells], cells
    ours = {volt: library(tmp_path, [slower(cell, 1.05) for cell in found], f"ours{volt}")
            for volt, found in ((1.2, low), (1.8, high))}
    theirs = {volt: library(tmp_path, found, f"theirs{volt}") for volt, found in ((1.2, low), (1.8, high))}
    ratios = voltage_ratios({volt: compare_cells(ours[volt], theirs[volt]) for volt in ours}, 1.8)
    assert set(ratios) == {1.2, 1.8}
    assert np.abs(ratios[1.2]).max() < 1e-4


def test_setup_is_compared_as_a_difference_and_clock_to_output_as_a_ratio(tmp_path):
    flop = made_flop()
    late = tuple(replace(row, constraint_ps=row.constraint_ps + 7.0) for row in flop.constraints)
    base, more = library(tmp_path, [flop], "base"), library(tmp_path, [replace(flop, constraints=late)], "late")
    (found,) = compare_flops(more, base)
    assert found.setup_ps == pytest.approx(7.0, abs=1e-3)
    assert found.clock_to_q == pytest.approx(0.0, abs=1e-9)
