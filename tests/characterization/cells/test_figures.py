import sys

import numpy as np
import pytest

from characterization.cells.figures import draw_cells, voltage_curves
from characterization.cells.library_files import Made, write_library
from characterization.cells.tables import Condition
from characterization.cli import main
from characterization.errors import PdkError
from characterization.pdk import read_pdk
from tests.characterization.cells.made_cells import made_library


@pytest.fixture(scope="module")
def pdk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    (folder / "licence").write_text("words")
    cells = {}
    for volt in (1.2, 1.5, 1.8):
        one = Condition("tt", 25.0, volt)
        cells[one] = made_library(0, condition=one, prefix="own__")
    write_library(cells, Made("1", {}, folder / "licence"), folder / "own")
    return folder / "own.toml"


def test_a_curve_has_a_point_for_every_voltage_of_its_process(pdk):
    short, full = voltage_curves(read_pdk(pdk), ["xor2_1", "own__xor2_1"], "tt", 25.0)
    assert short.voltages_v.tolist() == [1.2, 1.5, 1.8]
    assert (short.delay_ps > 0).all()
    np.testing.assert_array_equal(short.delay_ps, full.delay_ps)
    # The tables are equal at all voltages here, so only the load's energy grows.
    assert (np.diff(short.energy_fj) > 0).all()


def test_pictures_are_drawn_as_png_and_svg(pdk, tmp_path, monkeypatch):
    draw_cells(voltage_curves(read_pdk(pdk), ["inv_1"], "tt", 25.0), tmp_path / "one.png", "title")
    assert (tmp_path / "one.png").read_bytes()[:4] == b"\x89PNG"
    monkeypatch.setattr(sys, "argv", ["characterize", "cells-show", "--pdk", str(pdk), "--cells", "inv_1,ha_1",
                                      "--out", str(tmp_path / "two.svg")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "<svg" in (tmp_path / "two.svg").read_text()


def test_a_process_of_one_voltage_and_an_unknown_cell_are_told(pdk):
    with pytest.raises(PdkError, match=r"PDK sky130: 0 voltages of process ss at 25 C; .* It has tt_025C_1v20"):
        voltage_curves(read_pdk(pdk), ["inv_1"], "ss", 25.0)
    with pytest.raises(PdkError, match="no cell inv_99; it has own__buf_2"):
        voltage_curves(read_pdk(pdk), ["inv_99"], "tt", 25.0)
