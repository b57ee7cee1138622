"""Decks as text, raw files as waveforms, and what is said when ngspice is missing or gives up."""

import numpy as np
import pytest

from characterization.cells import ngspice as module
from characterization.cells.deck import LEAKAGE_OPTIONS, Bench, Stimulus, leakage_deck, level, ramp, transient_deck
from characterization.cells.extraction import Extracted
from characterization.cells.ngspice import leakage_nw, ngspice_version, read_plots, read_waves, simulate
from characterization.cells.spice_netlist import Circuit, Device
from characterization.cells.tables import Condition
from characterization.cells.wheel import Wheel
from characterization.errors import CellsError, ToolMissingError

TEXT = """.subckt inv A VGND VNB VPB VPWR Y
X0 VGND A_1 Y VNB nfet w=0.65 l=0.15
R0 A_1 A 60
C0 A Y 0.1f
.ends
"""


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr("characterization.cells.deck.model_text", lambda path, devices: f"* {path.name}")
    for device in ("nfet_01v8", "pfet_01v8_hvt"):
        folder = tmp_path / "cells" / device
        folder.mkdir(parents=True)
        (folder / f"sky130_fd_pr__{device}__tt.pm3.spice").touch()
    ports = ("A", "VGND", "VNB", "VPB", "VPWR", "Y")
    cell = Extracted(Circuit("inv", ports, (Device("nfet", "n", "A", ("VGND", "Y"), 1, 1),)), 1.0, TEXT)
    return Bench(cell, ("A",), ("Y",), Condition("tt", 25.0, 1.8), Wheel("0", tmp_path, tmp_path))


def pulse(load_ff):
    return Stimulus({"A": ramp(10.0, 6.0, 0.0, 1.8)}, {"Y": load_ff}, 500.0, 5.0)


def test_only_what_changes_is_altered_between_stimuli(bench):
    deck = transient_deck(bench, [pulse(1.0), pulse(2.0)])
    assert deck.count("alter @va[pwl]") == 1
    assert deck.count("alter cy =") == 2
    assert deck.count("tran ") == 2
    assert "xcell A 0 0 VPWR VPWR Y inv" in deck
    assert "vdd VPWR 0 1.8" in deck


def test_a_level_is_a_waveform_of_two_points(bench):
    deck = transient_deck(bench, [Stimulus({"A": level(1.8)}, {"Y": 1.0}, 500.0, 5.0)])
    assert "alter @va[pwl] = [ 0 1.8 1e-06 1.8 ]" in deck


def test_operating_points_are_taken_without_wires(bench):
    deck = leakage_deck(bench, [{"A": 0}, {"A": 1}])
    assert "X0 VGND A Y VNB nfet w=0.65 l=0.15" in deck
    assert "R0" not in deck
    assert "alter va dc = 1.8" in deck


def raw(columns):
    names = list(columns)
    rows = "".join(f"\t{i}\t{name}\tx\n" for i, name in enumerate(names))
    data = np.array([columns[name] for name in names]).T
    head = f"Title: t\nNo. Variables: {len(names)}\nNo. Points: {len(data)}\nVariables:\n{rows}Binary:\n"
    return head.encode() + data.astype("<f8").tobytes()


def test_plots_are_read_back_whatever_bytes_their_numbers_have():
    one = {"time": [0.0, 1e-12], "v(y)": [1.0, float(np.frombuffer(b"Binary:\n", "<f8")[0])]}
    plots = read_plots(raw(one) + raw({"time": [0.0], "v(y)": [2.0]}))
    assert [plot["v(y)"].tolist() for plot in plots] == [one["v(y)"], [2.0]]


def test_a_truncated_raw_file_is_reported():
    with pytest.raises(CellsError, match="a raw file of ngspice ends within a plot; is the disk full"):
        read_plots(raw({"time": [0.0, 1.0]})[:-3])
    with pytest.raises(CellsError, match="has a plot without sizes"):
        read_plots(b"Title: t\nBinary:\n")


def test_a_transient_that_ends_early_is_none():
    plot = {"time": np.array([0.0, 400e-12]), "v(a)": np.zeros(2), "i(vdd)": np.array([0.0, -1e-6])}
    assert read_waves(plot, pulse(1.0)) is None
    assert read_waves(None, pulse(1.0)) is None
    waves = read_waves(plot | {"time": np.array([0.0, 500e-12])}, pulse(1.0))
    assert waves is not None
    # What a source delivers counts as positive.
    assert waves.current_ua["VPWR"].tolist() == [0.0, 1.0]
    assert set(waves.voltage_v) == {"A"}


def test_a_missing_ngspice_is_one_line_and_leaves_nothing(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    with pytest.raises(ToolMissingError, match="ngspice is not installed; install the Debian package ngspice"):
        simulate(bench, [pulse(1.0)], tmp_path / "work")
    assert not (tmp_path / "work").exists()
    ngspice_version.cache_clear()
    with pytest.raises(ToolMissingError):
        ngspice_version()


def test_a_refused_deck_is_reported_with_what_ngspice_said(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "run_deck", lambda deck, work: (b"", "ok\nError: unknown subckt: x\n"))
    with pytest.raises(CellsError, match="inv: ngspice refused the deck: Error: unknown subckt: x"):
        simulate(bench, [pulse(1.0)], tmp_path)


def operating_point(supply_a, input_a=0.0, index=0):
    return raw({"index": [float(index)], "i(vdd)": [-supply_a], "i(va)": [-input_a], "v(y)": [1.8]})


def test_a_point_that_one_search_misses_is_found_by_the_next(bench, tmp_path, monkeypatch):
    asked = []

    def run(deck, work):
        asked.append(deck)
        return (b"" if len(asked) == 1 else operating_point(1e-12)), ""

    monkeypatch.setattr(module, "run_deck", run)
    assert leakage_nw(bench, [{"A": 0}], tmp_path) == [pytest.approx(1.8e-3)]
    assert [options in deck for options, deck in zip(LEAKAGE_OPTIONS, asked, strict=False)] == [True, True]


@pytest.mark.parametrize(("supply_a", "input_a"), [(-1e-9, 0.0), (1e-12, 1e-9)])
def test_a_false_operating_point_is_refused(bench, tmp_path, monkeypatch, supply_a, input_a):
    monkeypatch.setattr(module, "run_deck", lambda deck, work: (operating_point(supply_a, input_a), "gave up"))
    with pytest.raises(CellsError, match=r"inv: no operating point in state A=0 at 1.8 V: gave up"):
        leakage_nw(bench, [{"A": 0}], tmp_path)


def test_a_leakage_below_what_the_models_know_counts_as_none(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "run_deck", lambda deck, work: (operating_point(-1e-16), ""))
    assert leakage_nw(bench, [{"A": 0}], tmp_path) == [0.0]
