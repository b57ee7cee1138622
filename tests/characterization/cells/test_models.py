"""Model files cut down to the bins in use: the same bin for each transistor, and none missing silently."""

import pytest

from characterization.cells.models import model_text
from characterization.cells.spice_netlist import Device
from characterization.errors import CellsError

BINS = {0: ("1.5e-07", "1.8e-07", "3.6e-07", "4.2e-7"), 1: ("1.5e-07", "1.8e-07", "4.2e-07", "6.5e-7"),
        2: ("1.5e-07", "1.8e-07", "6.5e-07", "1.0e-6"), 3: ("1.8e-07", "2.5e-07", "6.5e-07", "1.0e-6")}


@pytest.fixture
def file(tmp_path):
    bins = [f".model n.{i} nmos\n+ lmin = {a} lmax = {b} wmin = {c} wmax = {d}\n+ level = 54\n"
            for i, (a, b, c, d) in BINS.items()]
    path = tmp_path / "tt.pm3.spice"
    path.write_text(".param a = 0\n.subckt n d g s b\nmn d g s b n\n" + "".join(bins) + ".ends n\n", encoding="utf-8")
    return path


def transistor(width_um, length_um=0.15):
    return Device("n", "n", "g", ("d", "s"), width_um, length_um)


@pytest.mark.parametrize(("width_um", "kept"), [(0.36, {0}), (0.5, {1}), (0.42, {0, 1}), (0.65, {1, 2}), (1.0, {2})])
def test_each_bin_that_may_hold_a_transistor_is_kept_and_no_other(file, width_um, kept):
    text = model_text(file, [transistor(width_um)])
    assert {i for i in BINS if f".model n.{i} " in text} == kept
    assert text.startswith(".param a = 0\n.subckt n")
    assert text.endswith("level = 54\n.ends n\n")


def test_all_transistors_of_a_cell_keep_theirs(file):
    text = model_text(file, [transistor(0.36), transistor(0.9), transistor(0.9)])
    assert [i for i in BINS if f".model n.{i} " in text] == [0, 2]


def test_a_size_without_a_model_is_refused_by_file_and_size(file):
    with pytest.raises(CellsError, match=r"tt\.pm3\.spice: has no model of n 1\.2 x 0\.15 um"):
        model_text(file, [transistor(1.2)])


def test_a_file_without_bins_is_kept_whole(tmp_path):
    path = tmp_path / "mismatch.spice"
    path.write_text(".param slope=0\n", encoding="utf-8")
    assert model_text(path, [transistor(1.2)]) == ".param slope=0\n"
