import json

import pytest
from jsonschema import Draft202012Validator

from halo.dvfs import plan_dvfs
from halo.loads import LayerPlan, LoadGroup, Panels
from halo.operating_point import PointConfig
from halo.plan import ClockClass, DvfsConfig, DvfsPlan, PhaseResult, Segment, Switch, Transition
from halo.plan_file import SCHEMA, load_plan, plan_schema, plan_to_json, save_plan
from halo.workload import shape_workload
from tests.halo.synthetic import LLAMA, codebooks_of, llama_shapes, synthetic_model, synthetic_profile

CHECK = Draft202012Validator(json.loads(plan_schema()))


@pytest.fixture(scope="module")
def plan():
    profile = synthetic_profile()
    model = synthetic_model(llama_shapes(), codebooks_of(profile, "w4-shifted", "w3-shifted"))
    works = tuple(shape_workload(LLAMA, 64, 1, 64, phase) for phase in ("prefill", "decode"))
    return plan_dvfs(model, profile, PointConfig(), DvfsConfig(), workloads=works)


def test_the_schema_is_one_and_every_plan_satisfies_it(plan, tmp_path):
    Draft202012Validator.check_schema(CHECK.schema)
    assert CHECK.schema["properties"]["schema"]["const"] == SCHEMA
    content = json.loads(plan_to_json(plan))
    assert {item["scope"] for item in content["switches"]} == {"linear", "all"}
    assert list(CHECK.iter_errors(content)) == []
    save_plan(plan, tmp_path / "plan.json")
    assert plan_to_json(load_plan(tmp_path / "plan.json")) == plan_to_json(plan)


def test_the_schema_names_the_fields_that_plans_have():
    defs = CHECK.schema["$defs"]

    def fields(*kinds):
        return {name for kind in kinds for name in kind.__dataclass_fields__}

    assert set(CHECK.schema["properties"]) == fields(DvfsPlan) | {"schema", "kind", "summary"}
    assert set(defs["segment"]["properties"]) == fields(Segment, LoadGroup) - {"loads"}
    assert set(CHECK.schema["properties"]["points"]["properties"]) == fields(PointConfig)
    assert set(CHECK.schema["properties"]["config"]["properties"]) == fields(DvfsConfig)
    for name, kind in {"clockClass": ClockClass, "layer": LayerPlan, "switch": Switch, "result": PhaseResult}.items():
        assert set(defs[name]["properties"]) == fields(kind)
    assert set(defs["switch"]["properties"]["cost"]["properties"]) == fields(Transition)
    assert set(defs["layer"]["properties"]["panels"]["items"]["properties"]) == fields(Panels)


@pytest.mark.parametrize(("change", "where"), [
    (lambda content: content["segments"][0].update(energy_fj=-1.0), "segments/0/energy_fj"),
    (lambda content: content["segments"][0].pop("voltage_v"), "segments/0"),
    (lambda content: content["classes"][0]["codes"].append(128), "classes/0/codes/16"),
    (lambda content: content["segments"][0]["code_counts"].update({"-0": 1}), "segments/0/code_counts"),
    (lambda content: content.update(schema=2), "schema"),
    (lambda content: content.update(more=1), ""),
])
def test_what_is_no_plan_is_refused_where_it_is_wrong(plan, change, where):
    content = json.loads(plan_to_json(plan))
    change(content)
    (error,) = CHECK.iter_errors(content)
    assert "/".join(map(str, error.absolute_path)) == where
