"""Proof at speed: an array of gates at its planned clock, and that it can fail."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from characterization.annotation import annotate
from characterization.array_element import array_element, element_core
from characterization.array_energy import EnergyCase, close_books
from characterization.array_icarus import hold_array_against_icarus
from characterization.array_program import Load, array_edge, array_program, plain_load
from characterization.array_run import run_array
from characterization.artifact import Provenance
from characterization.corner_library import read_corner
from characterization.design import read_design
from characterization.errors import ArtifactError, NetlistError, SimulationError
from characterization.netlist import abut
from characterization.pipeline import map_design
from characterization.profile_file import save_profile
from characterization.proof_loads import tile_loads
from characterization.proof_vectors import ProofClass, ProofTile, ProofVectors, save_vectors
from characterization.prove import ProveConfig, Silicon, prove_class
from characterization.prove_plan import PlanProofConfig, prove_plan
from tests.characterization.two_corners import INT4, Stages, two_corners
from tests.needs import needs_icarus

RTL = Path(__file__).parents[2] / "rtl"
pytestmark = [pytest.mark.tool, pytest.mark.slow]
ROWS, COLUMNS, SMALL = 3, 2, ProveConfig(3, 2, cycles=600)


@pytest.fixture(scope="module")
def silicon(made):
    """The int4 element at its slow corner."""
    work = made[0]
    design, pdk = read_design(INT4), two_corners()
    netlist = map_design(design, pdk, work / f"{design.name}-{pdk.name}", Stages())
    corner = pdk.corner("slow")
    timed = annotate(abut(netlist, design.neighbours), read_corner(corner), corner, design.clock)
    element = array_element(netlist, timed, design)
    return Silicon(element, timed, element_core(element))


@pytest.fixture(scope="module")
def delays_ps(made):
    profile = made[1]
    return dict(zip(profile.weights.tolist(), profile.bound_ps("slow").tolist(), strict=True))


def clock_of(profile, codes, name="fast"):
    delay_ps = profile.worst_ps(codes, "slow")
    return ProofClass(name, tuple(codes), 1.8, 1.05 * delay_ps + 40, delay_ps, "slow", "typical")


def tile_of(codes, name="fast", running=False, steps=40, seed=1, size=(9, 6)):
    rng = np.random.default_rng(seed)
    weights = rng.choice(np.array(codes), size).astype(np.int8)
    activations = np.clip(np.round(rng.normal(0, 40, (steps, size[0]))), -128, 127).astype(np.int8)
    return ProofTile(name, "made up", running, weights, activations)


def fast_codes(profile):
    return sorted({0, *profile.fastest(5, "slow").tolist()})


def random_loads(design, count=3, steps=12, seed=1):
    rng, bits = np.random.default_rng(seed), design.accumulator_bits
    words = [rng.integers(-(1 << bits - 1), 1 << bits - 1, (count, steps, COLUMNS)) for _ in range(2)]
    return [Load(rng.choice(np.array(design.weights), (ROWS, COLUMNS)), rng.integers(-128, 128, (steps, ROWS)),
                 words[0][k], words[1][k]) for k in range(count)]


def test_results_equal_the_integers_and_fail_a_picosecond_below_the_latest_requirement(silicon, made, delays_ps):
    profile = made[1]
    clock = clock_of(profile, fast_codes(profile))
    found = prove_class(silicon, clock, [tile_of(clock.codes)], delays_ps, SMALL)
    assert found.planned.mismatches == found.planned.corrupted == 0
    assert found.planned.cycles >= 600
    assert found.planned.results > 600
    assert 0 < found.planned.latest_ps <= clock.delay_ps
    assert found.early.period_ps == found.planned.latest_ps - 1
    assert found.early.mismatches > 0
    assert found.early.corrupted > 0
    assert found.shortest_ps == found.planned.latest_ps
    # Witnesses come close to what is certified, and no one passes it.
    for weight, certified_ps, reached_ps in found.witnesses:
        assert 0.9 * certified_ps < reached_ps <= certified_ps == pytest.approx(delays_ps[weight], abs=0.01)


def test_a_slow_value_outside_the_codebook_fails_at_the_class_delay(silicon, made, delays_ps):
    profile = made[1]
    clock = clock_of(profile, fast_codes(profile))
    outsider = prove_class(silicon, clock, [tile_of(clock.codes)], delays_ps, SMALL).outsider
    assert delays_ps[outsider.weight] == max(delays_ps.values()) > clock.delay_ps
    assert outsider.outcome.period_ps == clock.delay_ps
    assert outsider.outcome.mismatches > 0
    assert not outsider.hidden


def test_a_class_as_slow_as_all_values_is_said_to_hide_them(silicon, made, delays_ps):
    slowest = max(delays_ps, key=lambda code: (delays_ps[code], code))
    codes = sorted({0, slowest})
    proof = prove_class(silicon, clock_of(made[1], codes), [tile_of(codes)], delays_ps, SMALL)
    assert proof.outsider.hidden
    everything = clock_of(made[1], sorted(delays_ps), "all")
    assert prove_class(silicon, everything, [tile_of(everything.codes, "all")], delays_ps, SMALL).outsider is None


def test_sums_that_run_on_enter_from_the_rows_above_and_others_start_at_zero():
    for running in (False, True):
        tile = tile_of(range(-8, 8), running=running)
        loads = tile_loads([tile], ROWS, COLUMNS, 9 * 41)
        above = tile.activations[:, :6].astype(int) @ tile.weights[:6, 4:].astype(int)
        assert len(loads) == 9
        assert (loads[-1].sums == above * running).all()
        whole = tile.activations.astype(int) @ tile.weights.astype(int)
        assert (loads[-1].results == (whole[:, 4:] if running else whole[:, 4:] - above)).all()


def test_blocks_beyond_a_tiles_edge_are_zero():
    tile = tile_of(range(-8, 8), size=(4, 3))
    last = tile_loads([tile], ROWS, COLUMNS, 4 * 41)[-1]
    assert last.weights[0, 0] == tile.weights[3, 2]
    assert not last.weights[1:].any()
    assert not last.weights[:, 1].any()
    assert not last.activations[:, 1:].any()


@needs_icarus
@pytest.mark.parametrize("share", [1.05, 0.8])
def test_every_flop_of_the_array_equals_icarus_also_where_values_are_corrupted(share, silicon, delays_ps, tmp_path):
    edge = array_edge(silicon.element, random_loads(silicon.element.design))
    period_ps = share * max(delays_ps.values())
    found = hold_array_against_icarus(silicon.element, silicon.core, edge, ROWS, period_ps, RTL / "systolic_array",
                                      tmp_path)
    assert found.differ == 0
    assert found.captures == found.cycles * ROWS * COLUMNS * len(silicon.element.flops)
    assert (found.corrupted > 0) == (share < 1)


def test_the_bubble_may_come_late_but_a_result_marked_valid_may_not(silicon, delays_ps):
    # Of a load whose weights all change the first cycle is the bubble: at a period that its late captures break, no
    # result that counts is touched.
    design = silicon.element.design
    slowest = max(delays_ps, key=delays_ps.get)
    still = [plain_load(np.full((ROWS, COLUMNS), weight), np.zeros((8, ROWS))) for weight in (0, slowest, 0, slowest)]
    program = array_program(silicon.element, array_edge(silicon.element, still), ROWS)
    trace = run_array(silicon.element, silicon.core, program, max(delays_ps.values()))
    assert trace.mismatches == 0
    everywhere = program._replace(excused=np.zeros_like(program.excused))
    assert run_array(silicon.element, silicon.core, everywhere, 2 * max(delays_ps.values())).latest_ps > trace.latest_ps
    assert design.latency == 1


def test_the_tables_predict_the_arrays_energy(silicon, made, tmp_path):
    profile = made[1]
    index = profile.corner_index("slow")
    tables = [dict(zip(profile.weights.tolist(), row[index].tolist(), strict=True))
              for row in (profile.energy_fj, profile.register_energy_fj)]
    case = EnergyCase(silicon.element, silicon.core, silicon.timed, 1.2 * profile.free_ps[index], *tables)
    loads = tile_loads([tile_of(range(-8, 8), steps=80)], ROWS, COLUMNS, 9 * 81)
    books = close_books(case, loads, tmp_path)
    assert abs(books.error) < 0.1
    assert 0 < books.register_fj < books.zero_fj < books.array_fj
    assert 0 < books.loading_fj < ROWS * books.array_fj
    assert 0.5 < books.charged_loading_fj / books.loading_fj < 2


def test_an_array_takes_elements_with_its_ports_and_registered_outputs_only(made):
    design = read_design(RTL / "tensor_core_dp4")
    with pytest.raises(NetlistError, match=r"tensor_core_dp4 is no element of a weight-stationary systolic array"):
        array_element(None, None, design)


@pytest.fixture(scope="module")
def plan(made, tmp_path_factory):
    """A plan's folder: vectors of two classes, with the profile two folders above."""
    profile = made[1]
    classes = (clock_of(profile, fast_codes(profile)), clock_of(profile, profile.weights.tolist(), "all"))
    tiles = tuple(tile_of(item.codes, item.name, seed=place) for place, item in enumerate(classes))
    vectors = ProofVectors(profile.head.design, profile.digest, profile.head.netlist_digest, "halo-bal", classes, tiles,
                           Provenance("proof vectors"))
    folder = tmp_path_factory.mktemp("run")
    save_profile(profile, folder / "systolic_pe_int4.nc")
    save_vectors(vectors, folder / "results" / "halo-bal" / "vectors.nc")
    return vectors, folder / "results" / "halo-bal"


@needs_icarus
def test_every_class_of_a_plan_is_proved_at_its_corner_with_its_energy_and_in_icarus(plan, made):
    vectors, _ = plan
    work, profile, _ = made
    config = PlanProofConfig(SMALL, 30, array_rtl=RTL / "systolic_array")
    found = prove_plan(vectors, profile, INT4, two_corners(), config, work, Stages())
    assert [one.timing.clock.name for one in found] == ["fast", "all"]
    assert all(one.holds for one in found)
    assert all(one.icarus.cycles >= 30 and one.icarus.differ == 0 for one in found)
    assert all(abs(one.books.error) < 0.1 for one in found)
    short = replace(config, icarus_cycles=0, period_ps=0.9 * found[0].timing.shortest_ps)
    assert not any(one.holds for one in prove_plan(vectors, profile, INT4, two_corners(), short, work, Stages()))
    with pytest.raises(SimulationError, match=r"a period of 1 ps; registers launch up to .* ps after the clock"):
        prove_plan(vectors, profile, INT4, two_corners(), replace(short, period_ps=1.0), work, Stages())


def test_a_plan_of_another_design_or_profile_is_refused_with_both_digests(plan, made):
    vectors, _ = plan
    work, profile, _ = made
    arguments = (profile, INT4, two_corners(), PlanProofConfig(SMALL), work, Stages())
    with pytest.raises(ArtifactError, match=r"plan of halo-bal is for other_pe, the profile is of systolic_pe_int4"):
        prove_plan(replace(vectors, design="other_pe"), *arguments)
    with pytest.raises(ArtifactError, match=rf"made from profile abab, this one is {profile.digest[:12]}"):
        prove_plan(replace(vectors, profile_digest="abab"), *arguments)
