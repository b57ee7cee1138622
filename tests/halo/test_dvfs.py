from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from characterization.errors import ArtifactError
from characterization.profile import add_certificates
from characterization.set_certificate import SetCertificate
from halo.codebook import GRIDS
from halo.dvfs import plan_dvfs
from halo.errors import PlanError
from halo.loads import fold_classes, pack_loads
from halo.operating_point import PointConfig, operating_point
from halo.plan import DvfsConfig, all_zero
from halo.plan_check import check_plan
from halo.plan_file import load_plan, plan_to_json, save_plan
from halo.workload import linear_only, shape_workload
from tests.halo.synthetic import (
    LLAMA,
    SIGN_OFF,
    TT,
    codebooks_of,
    llama_shapes,
    synthetic_layer,
    synthetic_model,
    synthetic_profile,
)

POINTS = PointConfig()
PROFILE = synthetic_profile()
BOOKS = codebooks_of(PROFILE, "w4-shifted", "w3-shifted")


WORKS = tuple(shape_workload(LLAMA, 2048, 1, 512, phase) for phase in ("prefill", "decode"))


def make_plan(profile=PROFILE, config=None, points=POINTS, books=None, works=(), build=None, **layer):
    model = synthetic_model(llama_shapes(), books or BOOKS, **layer)
    return plan_dvfs(model, profile, points, config or DvfsConfig(), workloads=works, build=build), model


def test_every_weight_is_in_exactly_one_segment_of_its_layer():
    plan, model = make_plan(tile_in=32, tile_out=64)
    for layer in model.layers:
        own = [s for s in plan.segments if s.layer == layer.name]
        counts = np.bincount(layer.codes.reshape(-1).astype(int) + 128, minlength=256)
        assert np.array_equal(np.sum([s.code_counts for s in own], axis=0), counts)
        assert sum(s.n_values for s in own) == layer.codes.size
        assert sum(s.n_tiles for s in own) == layer.tiles.classes.size


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([16, 32, 64]), st.sampled_from([16, 32, 64]),
       st.integers(0, 99))
def test_loads_are_as_many_as_the_array_needs_and_none_is_clocked_too_fast(n_out, n_in, tile_in, tile_out, seed):
    config = DvfsConfig(array_rows=64, array_cols=64)
    layer = synthetic_layer("a", n_out, n_in, BOOKS, seed=seed, fold=64, tile_in=tile_in, tile_out=tile_out)
    model = synthetic_model({}, BOOKS, fold=64)
    plan = plan_dvfs(replace(model, layers=(layer,)), PROFILE, POINTS, config)
    assert plan.n_loads() == -(-n_out // 64) * -(-n_in // 64)
    for segment in plan.segments:
        used = np.flatnonzero(segment.code_counts) - 128
        assert operating_point(PROFILE, used, POINTS).period_ps <= segment.period_ps
    check_plan(plan, PROFILE)


def test_column_blocks_of_a_fold_are_packed_so_that_slow_tiles_share_loads():
    # Eight column blocks, every other one slow; four go into a load: one slow load, one fast.
    classes = np.array([[0], [1]] * 4)
    layer = synthetic_layer("a", 8 * 32, 128, BOOKS, tile_out=32, classes=classes)
    slowness = np.array([3.0, 2.0])
    packed = pack_loads(fold_classes(classes, slowness, 1), slowness, 4, "fold-panel")
    assert sorted(packed[:, 0].tolist()) == [0, 0, 0, 0, 1, 1, 1, 1]
    plan = plan_dvfs(replace(synthetic_model({}, BOOKS), layers=(layer,)), PROFILE, POINTS, DvfsConfig())
    assert {s.codebook: s.n_loads for s in plan.segments} == {"w4-shifted": 1, "w3-shifted": 1}


def test_a_load_takes_the_slowest_class_among_the_tiles_of_its_rows():
    # One slow tile of four row blocks makes its whole load slow.
    layer = synthetic_layer("a", 128, 128, BOOKS, tile_in=32, classes=np.array([[1, 0, 1, 1]]))
    plan = plan_dvfs(replace(synthetic_model({}, BOOKS), layers=(layer,)), PROFILE, POINTS, DvfsConfig())
    assert [(s.codebook, s.n_loads) for s in plan.segments] == [("w4-shifted", 1)]


def test_the_clock_changes_once_per_dependent_stage():
    plan, _ = make_plan(tile_in=128, tile_out=64, works=(linear_only(WORKS[0]), WORKS[1]))
    linear = plan.segments_of("prefill", "linear")
    stages = {s.stage for s in linear if len({t.codebook for t in linear if t.stage == s.stage}) == 2}
    assert len(stages) == 4 * LLAMA["num_hidden_layers"]
    assert plan.n_switches == len(stages)
    # A change that costs more than the faster clock gains is not made.
    slow, _ = make_plan(config=DvfsConfig(switch="driver"), tile_in=128, tile_out=64, works=(linear_only(WORKS[0]),))
    assert slow.n_switches == 0


def test_a_plan_of_one_class_never_changes_the_clock():
    plan, _ = make_plan(books=codebooks_of(PROFILE, "all"))
    assert (plan.n_switches, len(plan.switches_of("all")), plan.switch_energy_fj) == (0, 0, 0.0)


def test_segments_of_matrices_that_share_an_input_are_grouped_by_class():
    plan, _ = make_plan(tile_out=64)
    stage = [s for s in plan.segments if s.stage == "model.layers.0.self_attn.k_proj+q_proj+v_proj"]
    order = [s.codebook for s in stage]
    assert sum(a != b for a, b in pairwise(order)) == 1
    assert {s.layer.rsplit(".", 1)[1] for s in stage} == {"q_proj", "k_proj", "v_proj"}


def test_a_saved_plan_is_read_back_equal(tmp_path):
    plan, _ = make_plan(n_sparse=20)
    path = tmp_path / "plan.json"
    save_plan(plan, path)
    assert plan_to_json(load_plan(path)) == plan_to_json(plan)
    assert '"schema": 3' in path.read_text()


def test_a_layer_says_how_many_of_its_outputs_have_a_sparse_part():
    layer = synthetic_layer("a", 64, 64, BOOKS, tile_in=32, tile_out=32, n_sparse=30)
    plan = plan_dvfs(replace(synthetic_model({}, BOOKS), layers=(layer,)), PROFILE, POINTS, DvfsConfig())
    assert (plan.layers[0].n_sparse, plan.layers[0].n_sparse_rows) == (30, len(set(layer.sparse_rows.tolist())))


def test_planning_twice_gives_equal_bytes():
    assert plan_to_json(make_plan()[0]) == plan_to_json(make_plan()[0])


def test_a_plan_that_cannot_be_read_says_how_to_make_it_again(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(PlanError, match="no such plan; make one with `halo plan"):
        load_plan(path)
    path.write_text('{"schema": 3, "classes"')
    with pytest.raises(PlanError, match="not a readable plan"):
        load_plan(path)
    path.write_text('{"schema": 7}')
    with pytest.raises(PlanError, match="plan schema 7, this program reads 3"):
        load_plan(path)


def test_a_class_clocked_too_fast_is_refused():
    plan, _ = make_plan()
    hot = replace(plan.classes[0], period_ps=plan.classes[0].period_ps - 1)
    with pytest.raises(PlanError, match=r"class w4-shifted is clocked at [\d.]+ ps and 1.8 V, its values need"):
        check_plan(replace(plan, classes=(hot, *plan.classes[1:])), PROFILE)


def test_a_segment_clocked_too_fast_is_refused():
    plan, _ = make_plan()
    hot = tuple(replace(s, period_ps=s.period_ps - 1) for s in plan.segments)
    with pytest.raises(PlanError, match=r"segment w\d-shifted is clocked at"):
        check_plan(replace(plan, segments=hot), PROFILE)


def test_a_value_outside_every_class_that_fast_is_refused():
    plan, _ = make_plan()
    counts = list(plan.segments[0].code_counts)
    counts[127 + 128] = 1
    bad = replace(plan.segments[0], loads=replace(plan.segments[0].loads, code_counts=tuple(counts)))
    with pytest.raises(PlanError, match="value 127 is in no class as fast as"):
        check_plan(replace(plan, segments=(bad, *plan.segments[1:])), PROFILE)


def test_a_slower_profile_refutes_the_plan_and_another_one_is_noticed():
    plan, _ = make_plan()
    check_plan(plan, PROFILE)
    with pytest.raises(PlanError, match=r"made from another profile; .*segment .* is clocked at"):
        check_plan(plan, synthetic_profile(delay_ps=PROFILE.topological_ps[0] * 1.01))


def streaming_profile(*sets, corners=(("tt", 25.0, 1.8),), **changes):
    """A profile of a streaming MAC with a certificate for each (codes, ps at 1.8 V) at every corner."""
    profile = synthetic_profile(weight_mode="streaming", corners=corners, **changes)
    return add_certificates(profile, [
        SetCertificate(corner, "streaming", tuple(sorted(codes)), *2 * (delay_ps * float(profile.free_ps[c]) / 3300.0,))
        for c, corner in enumerate(profile.corners) for codes, delay_ps in sets])


def test_a_streaming_codebook_without_a_set_certificate_is_refused_with_the_command_that_makes_one():
    with pytest.raises(PlanError, match=r"weights stream, and codebook w4-shifted \(16 values\) has no set certificate "
                                        rf"at {TT}; run `characterize certify PROFILE --codebooks FILE`"):
        make_plan(profile=streaming_profile())
    # A certificate of all values together says nothing of a codebook either.
    with pytest.raises(PlanError, match="codebook w4-shifted"):
        make_plan(profile=streaming_profile((range(-128, 128), 3250.0)))


def test_all_values_of_a_streaming_mac_run_at_their_own_period_without_any_certificate():
    plan, _ = make_plan(profile=streaming_profile(), books=codebooks_of(PROFILE, "all"))
    assert {(c.name, c.delay_ps) for c in plan.classes} == {("all", 3300.0)}
    assert "topological delay" in plan.all_values.basis
    proved, _ = make_plan(profile=streaming_profile((range(-128, 128), 3250.0)), books=codebooks_of(PROFILE, "all"))
    assert proved.all_values.delay_ps == 3250.0
    assert proved.all_values.basis.startswith("set certificate of 256 values at")


def test_streaming_codebooks_share_a_clock_with_the_faster_ones_whose_tiles_ride_along():
    low, shifted = GRIDS["w4-low"], GRIDS["w4-shifted"]
    alone = [(low, 2500.0), (shifted, 2600.0)]
    books = codebooks_of(PROFILE, "w4-low", "w4-shifted")
    with pytest.raises(PlanError, match=r"codebook w4-shifted \(31 values\) has no set certificate"):
        make_plan(profile=streaming_profile(*alone), books=books)
    profile = streaming_profile(*alone, ({*low, *shifted}, 2700.0))
    plan, _ = make_plan(profile=profile, books=books)
    assert [c.delay_ps for c in plan.classes] == [2500.0, 2700.0, 3300.0]
    check_plan(plan, profile)
    with pytest.raises(PlanError, match="its values need"):
        hot = replace(plan.classes[1], period_ps=plan.classes[1].period_ps - 1)
        check_plan(replace(plan, classes=(plan.classes[0], hot, plan.classes[2])), profile)


def test_a_streaming_codebook_needs_a_certificate_at_every_corner_that_signs_it_off():
    books = codebooks_of(PROFILE, "w4-shifted")
    profile = streaming_profile((GRIDS["w4-shifted"], 2600.0), corners=SIGN_OFF)
    plan, _ = make_plan(profile=profile, books=books)
    assert plan.classes[0].signed_off
    partly = replace(profile, certificates=tuple(c for c in profile.certificates if c.corner != "ss_100C_1v70"))
    with pytest.raises(PlanError, match="has no set certificate at ss_100C_1v70; run"):
        make_plan(profile=partly, books=books)


def test_a_plan_with_slow_corners_is_signed_off_there_and_takes_its_energy_from_the_typical_one():
    profile = synthetic_profile(corners=SIGN_OFF)
    plan, _ = make_plan(profile)
    assert {(c.voltage_v, c.corner, c.signed_off) for c in plan.classes} == {(1.8, "ss_n40C_1v70", True)}
    assert "signed off at 1.8 V less 5%, the slower of ss_n40C_1v70 and ss_100C_1v70" in plan.all_values.basis
    typical, _ = make_plan(profile, points=PointConfig(signoff=False))
    assert typical.all_values.basis == f"topological delay at {TT}; typical, not signed off"
    assert typical.all_values.period_ps < plan.all_values.period_ps
    assert any(line.startswith("periods of w4-shifted, w3-shifted, all rest on: topological delay at ss_n40C_1v70")
               for line in plan.assumptions)


def test_a_class_rests_on_certified_delays_where_the_ruling_corner_has_them():
    profile = synthetic_profile(corners=SIGN_OFF, certified=0.95)
    plan, _ = make_plan(profile)
    assert plan.all_values.basis.startswith("certified delay at ss_n40C_1v70;")
    topological, _ = make_plan(synthetic_profile(corners=SIGN_OFF))
    assert plan.all_values.delay_ps == pytest.approx(0.95 * topological.all_values.delay_ps)


def test_several_voltages_need_one_named_and_the_plan_says_that_only_frequency_is_planned():
    assert make_plan()[0].frequency_only == "frequency only: one typical voltage in the profile"
    two = synthetic_profile(corners=(("tt", 25.0, 1.8), ("tt", 25.0, 1.5)))
    plan, _ = make_plan(two, points=PointConfig(voltage_v=1.5))
    assert plan.frequency_only == "frequency only: 1.5 V was given, one of 2"
    assert {segment.voltage_v for segment in plan.segments} == {1.5}
    with pytest.raises(PlanError, match=r"2 typical voltages, 1.8, 1.5 V, and none was named; set points.voltage_v to"):
        make_plan(two)
    with pytest.raises(ArtifactError, match=r"no typical corner at 1.6 V in this profile; it has 1.8 V"):
        make_plan(two, points=PointConfig(voltage_v=1.6))


def test_hold_is_compared_with_the_skew_that_periods_allow_for():
    def said(tolerated_ps, points=POINTS):
        hold = np.full(len(SIGN_OFF), np.nan)
        hold[3] = tolerated_ps
        plan, _ = make_plan(synthetic_profile(corners=SIGN_OFF, tolerated_skew_ps=hold), points=points)
        return next(line for line in plan.assumptions if line.startswith("hold"))

    assert said(35.0) == "hold at a skew of 20 ps: kept; ff_n40C_1v95 tolerates 35.0 ps"
    assert "VIOLATED: insert delay" in said(12.0)
    assert "hold is not checked in this profile" in said(np.nan)


def test_without_a_bubble_the_swap_delays_set_the_clock():
    swap = np.full((1, 256), 3250.0)
    profile = synthetic_profile(swap_ps=swap, swap_lower_ps=swap.copy())
    plan, _ = make_plan(profile, points=PointConfig(bubble=False))
    assert {c.delay_ps for c in plan.classes} == {3250.0}
    assert any(line.startswith("no bubble per load") for line in plan.assumptions)
    unproved, _ = make_plan(points=PointConfig(bubble=False))
    assert {c.delay_ps for c in unproved.classes} == {3300.0}


def test_the_cap_of_what_is_not_the_mac_is_stated():
    plan, _ = make_plan(points=PointConfig(cap_ghz=0.3))
    assert {c.period_ps for c in plan.classes} == {1000 / 0.3, plan.all_values.period_ps}
    assert any("clock held by the cap" in line for line in plan.assumptions)


def test_geometry_that_does_not_fit_the_array_is_refused_with_its_figures():
    with pytest.raises(PlanError, match=r"tiles of 128 x 128 \(in x out\) do not divide an array of 64 x 64"):
        make_plan(config=DvfsConfig(array_rows=64, array_cols=64))
    with pytest.raises(PlanError, match="4 scales per output, but an array of 128 rows cuts 256 inputs into 2 folds"):
        make_plan(fold=64, tile_in=64)
    bad = synthetic_layer("a", 256, 256, BOOKS, classes=np.zeros((2, 2)))
    bad = replace(bad, tiles=replace(bad.tiles, classes=np.zeros((1, 2), np.int8)))
    with pytest.raises(PlanError, match=r"its tile map is \[1, 2\], its 256 x 256 codes need \[2, 2\]"):
        plan_dvfs(replace(synthetic_model({}, BOOKS), layers=(bad,)), PROFILE, POINTS, DvfsConfig())


def test_codebook_names_must_be_unique_and_all_means_all():
    with pytest.raises(PlanError, match="two codebooks share a name"):
        make_plan(books=(BOOKS[0], replace(BOOKS[1], name=BOOKS[0].name)))
    with pytest.raises(PlanError, match="a codebook named 'all' has 16 values; rename it"):
        make_plan(books=(replace(BOOKS[0], name="all"),))


def test_an_all_zero_plan_keeps_every_clock_and_load():
    plan, _ = make_plan()
    zero = all_zero(plan)
    assert [(s.n_loads, s.period_ps, s.n_values) for s in zero.segments] == [
        (s.n_loads, s.period_ps, s.n_values) for s in plan.segments]
    assert all(s.code_counts[128] == s.n_values for s in zero.segments)


def test_planning_reports_each_layer_done():
    seen = []
    model = synthetic_model(llama_shapes(), BOOKS)
    plan_dvfs(model, PROFILE, POINTS, DvfsConfig(), lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 14) for i in range(14)]
