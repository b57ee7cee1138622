import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from characterization.artifact import Provenance
from characterization.benches.operands import StimulusConfig, activation_chain
from characterization.commands.energy_show import energy_show
from characterization.energy import simulate_weights
from characterization.energy_design import TableConfig, certified_bound_ps, measure_table, read_recorded
from characterization.energy_moves import energy_table
from characterization.energy_table import EnergyTable, load_table, save_table
from characterization.errors import ArtifactError, SimulationError
from characterization.pdk import read_pdk
from tests.characterization.made_cores import toy_core, toy_design

PE = Path(__file__).parents[2] / "rtl" / "systolic_pe_int4"
MADE = Provenance("energy table", {"netlist": "ab"})


@pytest.fixture(scope="module")
def stationary(tmp_path_factory):
    """A toy design, its activity at two weights over all pairs of activations, and the table of it."""
    folder = tmp_path_factory.mktemp("toy")
    design, config = toy_design(folder, "stationary"), StimulusConfig(0, 1, (-3, 17), "exhaustive")
    activity = simulate_weights(toy_core("stationary"), design, config, folder)
    return design, config, activity, energy_table(activity, design, config, "typical", MADE)


def made_table(**changes) -> EnergyTable:
    energy = np.arange(2 * 4 * 4, dtype=np.float32).reshape(2, 4, 4)
    weights, operands = np.array([0, 5]), np.arange(-2, 2)
    return replace(EnergyTable("toy", "typical", "ab", "all", weights, operands, energy, np.ones(2), MADE), **changes)


def test_the_mean_under_even_counts_is_the_mean_of_the_transitions(stationary):
    _, _, activity, table = stationary
    assert table.energy_fj.shape == (2, 256, 256)
    assert table.energy_fj.dtype == np.float32
    np.testing.assert_allclose(table.mean_fj(np.ones((256, 256))), activity.mean_fj, rtol=1e-6)


def test_an_entry_is_the_energy_of_the_transition_between_its_activations(stationary):
    design, config, activity, table = stationary
    chain = activation_chain(design, config, np.random.default_rng(config.seed))[:, 0]
    for step in (0, 17, 65_535):
        np.testing.assert_allclose(table.energy_fj[:, chain[step] + 128, chain[step + 1] + 128],
                                   activity.energy_fj[:, step], rtol=1e-6)


def test_moves_of_a_recorded_chain_weigh_the_table():
    table, chain = made_table(), np.array([-2, -2, 1, 1, -2, 1])
    counts = table.moves(chain)
    assert counts.sum() == 5
    assert (counts[0, 0], counts[0, 3], counts[3, 3], counts[3, 0]) == (1, 2, 1, 1)
    np.testing.assert_allclose(table.mean_fj(counts)[0], (0 + 2 * 3 + 15 + 12) / 5)


def test_a_streaming_design_has_the_mean_at_every_previous_weight(tmp_path):
    design, config = toy_design(tmp_path, "streaming"), StimulusConfig(1024, 1, (-3, 0))
    activity = simulate_weights(toy_core("streaming"), design, config, tmp_path)
    table = energy_table(activity, design, config, "typical", MADE)
    assert table.energy_fj.shape == (2, 256)
    np.testing.assert_allclose(table.mean_fj(np.ones(256)), activity.mean_fj, rtol=1e-6)
    # A weight whose bits all flip on the way costs more than one that stays.
    assert table.energy_fj[0, (~-3) + 128] > table.energy_fj[0, -3 + 128]


def test_moves_that_were_not_simulated_are_counted_in_the_refusal(stationary, tmp_path):
    design, _, activity, _ = stationary
    config = StimulusConfig(65_536, 1, (-3, 17))
    with pytest.raises(SimulationError, match=r"toy: \d+ of 65536 moves were not simulated in 65536 transitions of 1 "):
        energy_table(activity, design, config, "typical", MADE)


def test_saving_and_loading_gives_the_same_table_and_the_same_bytes(tmp_path):
    for table in (made_table(), made_table(energy_fj=np.ones((2, 4), np.float32))):
        save_table(table, tmp_path / "a.nc")
        save_table(table, tmp_path / "b.nc")
        assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()
        again = load_table(tmp_path / "a.nc")
        for name in ("weights", "operands", "energy_fj", "register_fj"):
            np.testing.assert_array_equal(getattr(again, name), getattr(table, name))
        assert (again.design, again.corner, again.stimulus) == ("toy", "typical", "all")
        assert again.provenance == table.provenance


def test_what_is_no_table_is_refused_with_the_command_that_makes_one(tmp_path):
    path = tmp_path / "table.nc"
    with pytest.raises(ArtifactError, match="no such energy table; make one with `characterize energy DESIGN --out"):
        load_table(path)
    path.write_text("nothing")
    with pytest.raises(ArtifactError, match="not a readable energy table"):
        load_table(path)
    xr.Dataset(attrs={"schema": 9}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ArtifactError, match="energy table schema 9, not 3; make it again"):
        load_table(path)
    with pytest.raises(ArtifactError, match=re.escape("energy table has shape [2, 3], not 2 weights by one or two")):
        made_table(energy_fj=np.ones((2, 3)))


def test_spread_and_quantiles_are_those_of_the_moves_as_often_as_they_occur():
    table, rng = made_table(), np.random.default_rng(1)
    counts = rng.integers(0, 5, (4, 4))
    repeated = np.repeat(table.energy_fj.reshape(2, 16), counts.ravel(), axis=1)
    np.testing.assert_allclose(table.std_fj(counts), repeated.std(axis=1), rtol=1e-6)
    expected = np.quantile(repeated, (0.05, 0.5, 0.95), axis=1, method="inverted_cdf").T
    np.testing.assert_array_equal(table.quantiles_fj(counts), expected)


def test_tables_are_shown_under_a_histogram_as_text_csv_and_picture(tmp_path, capsys):
    save_table(made_table(), tmp_path / "toy.nc")
    counts = np.zeros((4, 4))
    counts[0, 3], counts[3, 0] = 3, 1
    np.save(tmp_path / "moves.npy", counts)
    out, listed = tmp_path / "energy.png", tmp_path / "energy.csv"
    energy_show([tmp_path / "toy.nc"], out, tmp_path / "moves.npy", listed)
    lines = listed.read_text().splitlines()
    assert lines[0] == "design,corner,weight,mean_fj,std_fj,p05_fj,p50_fj,p95_fj,register_fj"
    assert lines[1] == "toy,typical,0,5.250,3.897,3.000,3.000,12.000,1.000"
    assert lines[2].startswith("toy,typical,5,21.250,")
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "toy at typical" in capsys.readouterr().out
    for values, words in ((np.ones(4), r"counts of shape \[4\] and type float64; toy needs numbers of shape \[4, 4\]"),
                          (-np.ones((4, 4)), "counts must be finite, none negative, and not all zero")):
        np.save(tmp_path / "moves.npy", values)
        with pytest.raises(SimulationError, match=words):
            energy_show([tmp_path / "toy.nc"], None, tmp_path / "moves.npy", None)


def test_a_profile_bounds_transitions_by_its_certificates_or_is_refused(tmp_path):
    netlist, head = SimpleNamespace(top="toy", digest="ab" * 8), SimpleNamespace(netlist_digest="ab" * 8)
    profile = SimpleNamespace(head=head, certified_ps=np.array([[50.0, 90.0]]), corner_index=lambda corner: 0)
    bound_ps = certified_bound_ps(profile, netlist, "typical", np.array([60.0, 80.0]))
    np.testing.assert_allclose(bound_ps, [50.0, 80.0], atol=0.02)
    with pytest.raises(SimulationError, match="toy: the profile is of another netlist, cdcdcdcdcdcd, not abababababab"):
        certified_bound_ps(SimpleNamespace(head=SimpleNamespace(netlist_digest="cd" * 8)), netlist, "typical", bound_ps)
    profile.certified_ps[:] = np.nan
    with pytest.raises(SimulationError, match="toy: the profile has no certificates at typical; make them with"):
        certified_bound_ps(profile, netlist, "typical", bound_ps)


@pytest.mark.parametrize("counts", [np.ones(4), np.zeros((4, 4)), -np.ones((4, 4))])
def test_counts_that_do_not_fit_are_refused(counts):
    with pytest.raises(ArtifactError, match=r"counts must have shape \[4, 4\], none negative, and not all zero; these"):
        made_table().mean_fj(counts)


def test_recorded_activations_are_read_or_refused_with_what_is_wrong(tmp_path):
    design, path = toy_design(tmp_path, "stationary"), tmp_path / "activations.npy"
    np.save(path, np.array([3, -128, 127], dtype=np.int16))
    assert read_recorded(path, design).tolist() == [3, -128, 127]
    for values, words in ((np.array([3, 128]), "reach from 3 to 128, beyond the 8 bits of toy"),
                          (np.zeros((2, 2), int), r"activations of shape \[2, 2\] and type int64; needed are"),
                          (np.zeros(5), "activations of shape .* and type float64")):
        np.save(path, values)
        with pytest.raises(SimulationError, match=words):
            read_recorded(path, design)
    path.write_text("nothing")
    with pytest.raises(SimulationError, match="not a NumPy file of activations"):
        read_recorded(path, design)
    with pytest.raises(SimulationError, match="toy streams its weights; its table is over previous weights"):
        read_recorded(path, toy_design(tmp_path, "streaming"))


@pytest.mark.tool
@pytest.mark.slow
def test_a_table_from_verilog_spans_all_weights_and_all_pairs(tmp_path):
    table = measure_table(PE, read_pdk("osu018"), None, TableConfig(partial_sum=0), tmp_path, lambda *_: None)
    n = table.operands.size
    assert table.energy_fj.shape == (16, n, n)
    zero = int(np.flatnonzero(table.weights == 0)[0])
    mean = table.mean_fj(np.ones((n, n)))
    assert mean.argmin() == zero
    # An activation that stands still moves nothing but clocks: the same energy for every weight.
    still = table.energy_fj[:, np.arange(n), np.arange(n)]
    assert np.ptp(still) < 1e-3 * still.mean()
    assert (table.energy_fj >= still.min() - 1e-3).all()
