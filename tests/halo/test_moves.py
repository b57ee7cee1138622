import numpy as np
import pytest

from characterization.artifact import Provenance
from characterization.energy_table import EnergyTable
from characterization.proof_vectors import ProofClass, ProofTile, ProofVectors
from halo.accelerators.systolic import Config, machine
from halo.contenders import on_one_mac
from halo.errors import ConfigError
from halo.moves import distributions, profiles_under, recorded_moves, under_moves
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig
from halo.ranges import range_grid
from halo.workload import linear_only, shape_workload
from tests.halo.synthetic import LLAMA, codebooks_of, llama_shapes, synthetic_model, synthetic_profile

PROFILE = synthetic_profile(corners=[("tt", 25.0, 1.8), ("tt", 25.0, 1.5)])
OPERANDS = np.arange(-128, 128)


def table(digest="0" * 64):
    """Energies that grow with the distance of a move, more so for large weights; 1 fJ where nothing moves."""
    distance = np.abs(OPERANDS[:, None] - OPERANDS[None, :])
    energy = 1 + distance[None] * np.abs(OPERANDS)[:, None, None] / 64
    return EnergyTable("systolic_pe", "tt_025C_1v80", digest, "made up", OPERANDS.copy(), OPERANDS.copy(),
                       energy.astype(np.float32), np.ones(256), Provenance("energy table", {}))


def test_moves_are_counted_down_each_row_of_the_array():
    clock = ProofClass("all", tuple(range(-128, 128)), 1.8, 1000.0, 900.0, "tt", "tt")
    tile = ProofTile("all", "a", running=False, weights=np.zeros((2, 2), np.int8),
                     activations=np.array([[0, 5], [3, 5], [-128, 127]], np.int8))
    vectors = ProofVectors("systolic_pe", "", "", "w8a8", (clock,), (tile,), Provenance("proof vectors", {}))
    counts = recorded_moves([vectors, vectors])
    assert counts.sum() == 8
    for before, after in ((0, 3), (3, -128), (5, 5), (5, 127)):
        assert counts[before + 128, after + 128] == 2


def test_energies_change_as_the_table_says_and_delays_do_not():
    still = np.zeros((256, 256))
    still[128, 128] = 1.0
    found = under_moves(PROFILE, table(), still)
    factor = 1 / table().mean_fj(np.ones((256, 256)))
    assert found.energy_fj == pytest.approx(PROFILE.energy_fj * factor)
    assert (found.topological_ps == PROFILE.topological_ps).all()
    same = under_moves(PROFILE, table(), np.ones((256, 256)))
    assert same.energy_fj == pytest.approx(PROFILE.energy_fj)


def test_zero_rich_activations_are_half_zeros_and_cost_less_than_recorded_ones():
    recorded = np.zeros((256, 256))
    recorded[::16, ::16] = 1
    made = distributions(recorded)
    zeros = made["half of the activations 0"]
    assert zeros[128].sum() / zeros.sum() == pytest.approx(0.5)
    dense, sparse = (under_moves(PROFILE, table(), counts).energy_fj[0].mean() for counts in made.values())
    assert sparse < dense


def test_a_table_of_another_netlist_is_refused_and_not_used():
    with pytest.raises(ConfigError, match="energy table of systolic_pe at tt_025C_1v80 is not of the netlist of"):
        under_moves(PROFILE, table("1" * 64), np.ones((256, 256)))
    assert profiles_under(PROFILE, [table("1" * 64)], np.ones((256, 256))) == {}


def test_ranges_have_a_row_for_each_distribution():
    models = {name: synthetic_model(llama_shapes(), codebooks_of(synthetic_profile(), grid), method=name)
              for name, grid in (("w8a8", "all"), ("w4", "w4-shifted"))}
    all_of = on_one_mac(models, PROFILE, lambda mac, setup: machine(mac, setup, Config()))
    work = linear_only(shape_workload(LLAMA, 256, 1, 1, "prefill"))
    others = profiles_under(PROFILE, [table()], np.ones((256, 256)))
    grid = range_grid(all_of, PointConfig(voltage_v=1.8), DvfsConfig(), work, profiles=others)
    assert [row[0] for row in grid.rows[-3:-1]] == list(others)
    assert grid.rows[-2][2] != grid.rows[0][2]
    # Moves that are as likely as the profile's own change nothing.
    assert grid.rows[-3][1:] == grid.rows[0][1:]
