from dataclasses import replace

import numpy as np
import pytest

from characterization.benches.operands import StimulusConfig, previous_weights
from characterization.commands.table import pair_words
from characterization.corner_stages import CharacterizeConfig
from characterization.energy import simulate_weights
from characterization.errors import ArtifactError, SimulationError
from characterization.pair_energy import PairEnergy, pair_statistics
from characterization.profile_file import load_profile, save_profile
from characterization.stream_energy import measure_stream
from tests.characterization.made_cores import toy_core, toy_design
from tests.characterization.synthetic import synthetic_profile

TRANSITIONS = 2


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A toy MAC of two lanes that stream, its core, and the energies of its pairs."""
    folder = tmp_path_factory.mktemp("toy")
    design, timed = toy_design(folder, "streaming"), toy_core("streaming")
    config = StimulusConfig(TRANSITIONS * 256, 1, design.weights)
    activity = simulate_weights(timed, design, config, folder)
    previous = previous_weights(design, config, TRANSITIONS * 256)
    mean, sem = pair_statistics(previous, activity.energy_fj, np.array(design.weights))
    return design, timed, activity, previous, PairEnergy(TRANSITIONS, 2, mean[None], sem[None])


def test_a_pair_is_the_mean_of_the_transitions_that_move_so(toy):
    _, _, activity, previous, pairs = toy
    for before, weight in ((-128, 5), (0, 0), (17, -1)):
        seen = activity.energy_fj[weight + 128, previous == before]
        assert seen.size == TRANSITIONS
        assert pairs.energy_fj[0, before + 128, weight + 128] == pytest.approx(seen.mean(), rel=1e-6)
        assert pairs.sem_fj[0, before + 128, weight + 128] == pytest.approx(seen.std(ddof=1) / 2**0.5, rel=1e-5)
    assert pairs.energy_fj.mean() == pytest.approx(activity.mean_fj.mean(), rel=1e-6)


def shares_of(chain: np.ndarray) -> np.ndarray:
    places = (chain[:-1] + 128) * 256 + chain[1:] + 128
    return np.bincount(places.ravel(), minlength=1 << 16).reshape(256, 256)


@pytest.mark.parametrize("codes", [range(-128, 128), (-64, -16, 0, 16, 64), (0, -1)])
def test_pairs_tell_what_a_stream_of_weights_spends_with_all_lanes_moving(toy, codes):
    design, timed, *_, pairs = toy
    chain = np.random.default_rng(7).choice(np.array(codes), (4000, 2))
    found, shares = measure_stream(timed, design, chain), shares_of(chain)
    error = np.hypot(found.std() / len(found) ** 0.5, pairs.mean_sem_fj(0, shares))
    assert pairs.mean_fj(0, shares) == pytest.approx(found.mean(), abs=4 * error, rel=0.01)


def test_the_order_of_a_stream_counts_not_its_values_alone(toy):
    design, timed, *_, pairs = toy
    values = np.repeat(np.array([-1, 0]), 1000)
    calm, wild = (np.stack([chain, chain], axis=1) for chain in (values, np.arange(2000) % 2 - 1))
    spent = [measure_stream(timed, design, chain).mean() for chain in (calm, wild)]
    assert spent[1] > 1.5 * spent[0]
    for chain, found in zip((calm, wild), spent, strict=True):
        # Two pairs make up the whole stream, and each was seen in two transitions.
        error = pairs.mean_sem_fj(0, shares_of(chain))
        assert pairs.mean_fj(0, shares_of(chain)) == pytest.approx(found, abs=3 * error)


def test_a_stream_of_other_values_or_lanes_is_refused(toy):
    design, timed, *_ = toy
    with pytest.raises(SimulationError, match="holds 200, which is none of its values"):
        measure_stream(timed, design, np.full((4, 2), 200))
    with pytest.raises(SimulationError, match=r"shape \[4, 3\]; needed is \[steps, 2\]"):
        measure_stream(timed, design, np.zeros((4, 3), int))


def test_pairs_cross_over_in_the_profile_and_are_told_with_their_errors(toy, tmp_path):
    pairs = toy[-1]
    plain = synthetic_profile(weight_mode="streaming")
    profile = replace(plain, head=replace(plain.head, lanes=2), pairs=pairs)
    save_profile(profile, tmp_path / "a.nc")
    loaded = load_profile(tmp_path / "a.nc")
    assert loaded.digest == profile.digest != plain.digest
    np.testing.assert_array_equal(loaded.pair_fj(), pairs.operation_fj(0))
    assert loaded.pairs.transitions == TRANSITIONS
    (words,) = pair_words(loaded)
    assert f"65536 pairs of previous weight and weight, {TRANSITIONS} transitions of each, standard error" in words
    assert plain.pair_fj() is None
    assert "characterize run --pairs" in pair_words(plain)[0]
    assert pair_words(synthetic_profile()) == ()


def test_pairs_that_cannot_be_are_refused():
    table = np.ones((1, 4, 4), np.float32)
    for wrong, match in (((2, 1, table[:, :3], table), r"must be \[corner"), ((2, 1, -table, table), "none negative"),
                         ((1, 1, table, table), "an error needs two")):  # fmt: skip
        with pytest.raises(ArtifactError, match=match):
            PairEnergy(*wrong)
    with pytest.raises(ArtifactError, match=r"pair energies of \[1, 4, 4\] for \[1, 256\]"):
        synthetic_profile(weight_mode="streaming", pairs=PairEnergy(2, 1, table, table))
    wide = np.ones((1, 256, 256), np.float32)
    with pytest.raises(ArtifactError, match="of 3 lanes for a MAC of 1"):
        synthetic_profile(weight_mode="streaming", pairs=PairEnergy(2, 3, wide, wide))
    with pytest.raises(SimulationError, match="1 transitions of each pair of weights; give 2 or more"):
        CharacterizeConfig(pair_transitions=1)
