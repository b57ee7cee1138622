"""The committed sky130 library: whole, of one grid, honest about itself, and equal to what is measured again."""

import gzip

import numpy as np
import pytest

from characterization.cells.library_files import pdk_toml
from characterization.cells.run import run_cells
from characterization.cells.selection import CELLS, CONDITIONS
from characterization.cells.tables import Condition
from characterization.corner_library import read_corner
from characterization.pdk import SHIPPED, read_pdk
from tests.needs import needs_cells

FOLDER = SHIPPED / "sky130"
# Measured again; the second condition is a slow corner, where windows are longest.
SMALL = ["inv_1", "nand2_1", "xor2_1"]
AGAIN = [Condition("tt", 25.0, 1.8), Condition("ss", -40.0, 1.6)]


@pytest.fixture(scope="module")
def pdk():
    return read_pdk("sky130")


@pytest.fixture(scope="module")
def libraries(pdk):
    """The first and the last voltage of each process and temperature."""
    families = {}
    for corner in pdk.corners:
        families.setdefault((corner.process, corner.temp_c), []).append(corner)
    return [tuple(read_corner(corner) for corner in (row[0], row[-1])) for row in families.values()]


def values(library, kind):
    """All tables of a library's arcs as one dictionary."""
    return {(cell.name, pin.name, index, edge): table for cell in library.cells.values() for pin in cell.pins.values()
            for index, arc in enumerate(pin.arcs) for edge, table in enumerate(getattr(arc, kind)) if table is not None}


def test_it_is_small_packed_without_dates_and_says_what_it_is(pdk):
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 6e6
    for corner in pdk.corners:
        data = corner.liberty[0].read_bytes()
        assert data[4:8] == b"\0\0\0\0"
        words = gzip.decompress(data)[:1500].decode()
        assert "Generated data, not signed off by anyone" in words
        assert "Copyright 2020 The SkyWater PDK Authors" in words
    assert "Apache License" in (FOLDER / "LICENSE").read_text()[:300]
    assert "Not signed off" in (FOLDER / "README.md").read_text()
    named = {path.name.split(".")[0] for path in files} - {"LICENSE", "README"}
    assert named == {corner.name for corner in pdk.corners}


def test_its_pdk_file_is_the_one_that_the_run_writes(pdk):
    conditions = [Condition(corner.process, corner.temp_c, corner.voltage_v) for corner in pdk.corners]
    assert set(conditions) == set(CONDITIONS)
    assert (SHIPPED / "sky130.toml").read_text() == pdk_toml("sky130", conditions)


def test_every_corner_has_the_same_cells_on_the_same_grid(libraries):
    for low, high in libraries:
        assert {name.split("__")[1] for name in low.cells} == {name.split("__")[1] for name in high.cells} == set(CELLS)
        ours, theirs = values(low, "delay"), values(high, "delay")
        assert ours.keys() == theirs.keys()
        for key, table in ours.items():
            np.testing.assert_array_equal(table.slew_ps, theirs[key].slew_ps)
            np.testing.assert_array_equal(table.other, theirs[key].other)
        assert not [cell.unusable for cell in low.cells.values() if cell.unusable]


def test_delays_fall_as_the_voltage_rises_and_loads_make_them_longer(libraries):
    for low, high in libraries:
        fast = values(high, "delay")
        for key, table in values(low, "delay").items():
            if key[1] in low.cells[key[0]].outputs:
                steep = table.slew_ps < 200
                assert (table.values[steep] >= fast[key].values[steep]).all(), key
                assert (np.diff(table.values, axis=1) > 0).all(), key
                assert (table.values[steep] > 0).all(), key


def test_voltages_in_between_are_interpolated_between_their_neighbours(pdk):
    slow = [corner for corner in pdk.corners if (corner.process, corner.temp_c) == ("ss", -40.0)]
    corner = pdk.at("ss", -40.0, round((slow[-2].voltage_v + slow[-1].voltage_v) / 2, 3))
    library = read_corner(corner)
    assert library.interpolated is not None
    inverter = library.cells["sky130_fd_sc_hd__inv_1"].pins["Y"].arcs[0].delay[1].values[0]
    ends = [read_corner(end).cells["sky130_fd_sc_hd__inv_1"].pins["Y"].arcs[0].delay[1].values[0]
            for end in corner.interpolated]
    assert (ends[0] > inverter).all()
    assert (inverter > ends[1]).all()


@pytest.mark.tool
@pytest.mark.slow
@needs_cells
def test_cells_measured_again_are_equal_to_the_committed_ones(pdk, tmp_path):
    run = run_cells(SMALL, AGAIN, tmp_path / "sky130", tmp_path / "work", 2, lambda *_: None)
    assert not run.failed
    for corner in read_pdk(tmp_path / "sky130.toml").corners:
        again, shipped = read_corner(corner), read_corner(pdk.corner(corner.name))
        assert set(again.cells) == {f"sky130_fd_sc_hd__{name}" for name in SMALL}
        for kind in ("delay", "slew"):
            expected = values(shipped, kind)
            for key, table in values(again, kind).items():
                # To five digits as written; another build of ngspice may differ in the last one.
                np.testing.assert_allclose(table.values, expected[key].values, rtol=5e-4, atol=0.05, err_msg=str(key))
        for name, cell in again.cells.items():
            there = shipped.cells[name]
            assert cell.leakage_nw == pytest.approx(there.leakage_nw, rel=1e-3)
            for pin, mine in cell.pins.items():
                assert mine.capacitance_ff == pytest.approx(there.pins[pin].capacitance_ff, rel=1e-3)
                for power, other in zip(mine.powers, there.pins[pin].powers, strict=True):
                    for table, expected in zip(power.energy, other.energy, strict=True):
                        if table is not None:
                            np.testing.assert_allclose(table.values, expected.values, rtol=1e-3, atol=0.02)
