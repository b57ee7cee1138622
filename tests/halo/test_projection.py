import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo.accelerators.systolic import Config, machine
from halo.dvfs import loads_of, plan_loads
from halo.errors import PlanError
from halo.estimate import estimate_on, setup_from
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig
from halo.plan_check import check_plan
from halo.projection import dealt, project, type_of
from halo.workload import find_shape, linear_only, shape_workload
from tests.halo.synthetic import codebooks_of, llama_shapes, synthetic_model, synthetic_profile

PROFILE = synthetic_profile()
SEVEN = linear_only(shape_workload(find_shape("llama-2-7b"), 2048, 1, 1, "prefill"))


def build(mac, setup):
    return machine(mac, setup, Config())


def loads(*grids, **layer):
    model = synthetic_model(llama_shapes(), codebooks_of(PROFILE, *grids), **layer)
    return loads_of(model, PROFILE, PointConfig(), DvfsConfig(), build)


def test_a_larger_model_takes_classes_values_and_sparse_part_from_layers_of_the_same_type():
    small = loads("w3-shifted", "w4-shifted", n_sparse=30)
    large = project(small, SEVEN)
    assert [layer.plan.layer for layer in large.layers] == [product.layer for product in SEVEN.products]
    for layer in (large.layers[0], large.layers[-1]):
        like = [one for one in small.layers if type_of(one.plan.layer) == type_of(layer.plan.layer)]
        weights = sum(one.plan.n * one.plan.k for one in like)
        counts = {name: np.sum([g.code_counts for one in like for g in one.groups if g.codebook == name], axis=0)
                  for name in ("w3-shifted", "w4-shifted")}
        assert sum(group.n_values for group in layer.groups) == layer.plan.n * layer.plan.k
        assert sum(group.n_loads for group in layer.groups) == layer.plan.n * layer.plan.k // 128**2
        for group in layer.groups:
            assert sum(group.code_counts) == group.n_values <= group.n_loads * 128**2
            assert np.allclose(np.array(group.code_counts) / group.n_values,
                               counts[group.codebook] / counts[group.codebook].sum(), atol=1e-6)
        share = layer.plan.n_sparse / (layer.plan.n * layer.plan.k)
        assert share == pytest.approx(sum(one.plan.n_sparse for one in like) / weights, rel=1e-3)
        assert layer.plan.n_scalings == layer.plan.k // 128


def test_a_projected_model_is_planned_checked_and_estimated():
    plan = plan_loads(project(loads("w3-shifted", "w4-shifted"), SEVEN), PROFILE, PointConfig(), DvfsConfig(), (SEVEN,),
                      build)
    check_plan(plan, PROFILE)
    total = estimate_on(SEVEN, plan, build(PROFILE, setup_from(plan, PROFILE))).total("all")
    assert total.n_macs == SEVEN.n_macs == 2048 * 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    assert total.total_s == pytest.approx(plan.results[0].time_s)


def test_a_scale_per_channel_stays_one():
    assert {layer.plan.n_scalings for layer in project(loads("all", per_channel=True), SEVEN).layers} == {1}


def test_shapes_of_another_architecture_are_refused_by_their_layers():
    opt = shape_workload(find_shape("opt-1.3b"), 64, 1, 1, "prefill")
    with pytest.raises(PlanError, match=r"layers of type fc1, fc2, out_proj, .* take shapes of the same architecture"):
        project(loads("w4-shifted"), opt)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=9).filter(any), st.integers(0, 10**6))
def test_what_is_dealt_adds_up_and_lies_within_one_of_its_share(shares, total):
    found = dealt(shares, total)
    assert found.sum() == total
    assert (np.abs(found - np.array(shares) / sum(shares) * total) < 1 + 1e-6).all()
