from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo.accelerators import Accelerator
from halo.accelerators.systolic import PRESETS, Config, estimate, machine
from halo.config import build_config
from halo.cost import compare, load_cost, save_cost
from halo.dataflow import Array, product_cycles
from halo.dvfs import plan_dvfs
from halo.errors import ConfigError, PlanError
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig, all_zero
from halo.plugins import plugin_names, resolve
from halo.workload import Product, Workload, shape_workload
from tests.halo.synthetic import LLAMA, codebooks_of, llama_shapes, synthetic_model, synthetic_profile

PROFILE = synthetic_profile()
PREFILL = shape_workload(LLAMA, 512, 1, 512, "prefill")
DECODE = shape_workload(LLAMA, 512, 1, 512, "decode")


def plan_of(*grids, profile=PROFILE, points=None, shapes=None, config=None, works=(), **layer):
    model = synthetic_model(shapes or llama_shapes(), codebooks_of(profile, *grids), method="+".join(grids), **layer)
    return plan_dvfs(model, profile, points or PointConfig(), config or DvfsConfig(), workloads=works)


def cost_of(*grids, work=PREFILL, config=None, profile=PROFILE, **layer):
    return estimate(work, plan_of(*grids, profile=profile, **layer), profile, config or Config())


def product(m, n, k, rows, cols, mode="overlapped", **layer):
    """The row of one layer on an array of its own."""
    plan = plan_of("all", shapes={"a": (n, k)}, config=DvfsConfig(array_rows=rows, array_cols=cols), fold=rows,
                   tile_in=rows, tile_out=cols, **layer)
    work = Workload("one", "prefill", (Product("a", m, n, k, "linear"),), m)
    return estimate(work, plan, PROFILE, Config(rows=rows, cols=cols, mode=mode)).rows[0]


@pytest.mark.parametrize(("m", "n", "k", "rows", "cols", "cycles"), [
    (4, 4, 4, 4, 4, 13), (7, 9, 11, 4, 8, 125), (32, 32, 32, 8, 8, 863), (1, 64, 64, 16, 16, 751),
    (128, 64, 96, 16, 32, 2279), (128, 512, 512, 128, 128, 8159), (1, 512, 512, 128, 128, 6127),
])
def test_cycles_of_a_product_equal_those_scale_sim_reports(m, n, k, rows, cols, cycles):
    assert product(m, n, k, rows, cols, "scalesim").cycles == cycles


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 100), st.integers(1, 100))
def test_overlapping_pays_a_bubble_per_load_and_the_skew_once(m, n, k):
    row = product(m, n, k, 16, 32)
    loads = -(-k // 16) * -(-n // 32)
    assert row.cycles == loads * (max(m, 16) + 1) + 16 + 32 - 2
    assert row.cycles >= m * loads  # no element does two operations in a cycle


def test_totals_equal_the_sums_of_the_rows():
    report = cost_of("w4-shifted", "w3-shifted", tile_out=64, n_sparse=30)
    for scope, kinds in (("linear", {"linear", "switch"}), ("all", None)):
        rows = [r for r in report.rows if kinds is None or r.kind in kinds]
        total = report.total(scope)
        assert total.cycles == sum(r.cycles for r in rows)
        assert total.compute_s == pytest.approx(sum(r.compute_s for r in rows))
        assert total.energy.total_fj == pytest.approx(sum(sum(r.energy.parts().values()) for r in rows))
        assert total.total_s >= max(total.compute_s, total.memory_s) - 1e-15
    assert all(v >= 0 for r in report.rows for v in r.energy.parts().values())


def test_array_cycles_are_spent_on_values_padding_or_waiting_and_nothing_is_counted_twice():
    # One energy for every value and all of it in registers: every element-cycle costs the same, wherever it is booked.
    flat = synthetic_profile(energy_fj=np.full(256, 350.0))
    row = estimate(PREFILL, plan_of("all", profile=flat), flat, Config()).rows[0]
    booked = row.energy.mac_fj + row.energy.registers_fj + row.energy.idle_fj
    assert booked == pytest.approx(row.cycles * 128 * 128 * 350.0)


def test_faster_codebooks_take_the_time_their_periods_say():
    slow, fast = cost_of("all"), cost_of("w3-shifted")
    ratio = plan_of("all").all_values.period_ps / plan_of("w3-shifted").classes[0].period_ps
    assert compare(fast, slow).speedup == pytest.approx(ratio)
    assert 1 < compare(fast, slow, "all").speedup < ratio


def test_attention_and_head_run_in_the_all_values_class_for_every_method():
    one, other = cost_of("all"), cost_of("w3-shifted")
    kinds = {"attention", "head"}
    fixed = [[(r.layer, r.compute_s, r.energy) for r in c.rows if r.kind in kinds] for c in (one, other)]
    assert fixed[0] == fixed[1]
    assert len(fixed[0]) == 2 * 2 + 1


def test_a_decode_step_waits_for_weights_and_a_long_prompt_for_the_array():
    assert cost_of("all", work=DECODE, config=Config(dram_gb_per_s=0.1)).total().binds == "memory"
    assert cost_of("all").total().binds == "compute"


def test_memory_time_is_effective_bits_over_bandwidth():
    plan = plan_of("w4-shifted")
    row = estimate(PREFILL, plan, PROFILE, Config(dram_gb_per_s=2.0)).rows[0]
    assert row.memory_s == pytest.approx(256 * 256 * plan.effective_bits / 8 / 2e9)
    assert row.energy.dram_fj == pytest.approx(256 * 256 * plan.effective_bits * 8.0 * 1000)


def test_zero_weights_are_the_floor_of_energy():
    plan = plan_of("all")
    floor = compare(estimate(PREFILL, all_zero(plan), PROFILE, Config()), estimate(PREFILL, plan, PROFILE, Config()))
    assert 0 < floor.energy < 1
    assert floor.speedup == 1


def test_a_scale_per_fold_costs_a_multiply_add_each_and_one_scale_an_integer_add():
    folds = product(64, 32, 256, 128, 128).energy.scaling_fj
    channel = product(64, 32, 256, 128, 128, per_channel=True).energy.scaling_fj
    mac = PROFILE.energy_fj[0].mean()
    assert folds == pytest.approx(64 * 32 * 2 * 0.08 * 128 * mac)
    assert channel == pytest.approx(64 * 32 * (0.08 * 128 + 0.1 / 0.23) * mac)
    # ... which is 8 % of the int8 operations of a full fold.
    assert folds / (64 * 32 * 256 * mac) == pytest.approx(0.08)


def test_the_sparse_engine_is_charged_and_can_bind():
    dense, sparse = cost_of("w4-shifted"), cost_of("w4-shifted", n_sparse=300)
    assert sparse.total().energy.sparse_fj > 0 == dense.total().energy.sparse_fj
    row = cost_of("w4-shifted", n_sparse=3000, config=Config(sparse_lane_share=1e-9)).rows[0]
    period = plan_of("all").all_values.period_ps
    assert row.sparse_s == pytest.approx(3000 * 512 * period * 1e-12)
    assert row.compute_s == row.sparse_s


def test_changes_of_clock_are_charged_with_a_drain_inside_a_stage():
    drain = DvfsConfig(change="drain")
    plan = plan_of("w4-shifted", "w3-shifted", tile_out=64, config=drain, works=(PREFILL,))
    report = estimate(PREFILL, plan, PROFILE, Config())
    switch = next(r for r in report.rows if r.kind == "switch")
    inside = [s for s in plan.switches_of("linear") if s.inside]
    assert switch.cycles == len(inside) * (128 + 128 - 2)
    assert switch.compute_s == pytest.approx(plan.switch_us * 1e-6)
    assert switch.energy.switching_fj == pytest.approx(plan.switch_energy_fj)
    drained_s = sum(254 * max(s.old_ps, s.new_ps) for s in inside) * 1e-12
    assert switch.compute_s > drained_s > 0


def test_the_slower_clock_until_the_old_wavefront_has_left_never_costs_more_than_a_drain():
    made = [plan_of("w4-shifted", "w3-shifted", tile_out=64, config=DvfsConfig(change=change), works=(PREFILL,))
            for change in ("wavefront", "drain")]
    wave, drain = (estimate(PREFILL, plan, PROFILE, Config()).total("all") for plan in made)
    assert wave.total_s < drain.total_s


def test_energy_uses_the_real_values_of_the_weights():
    plan = plan_of("all")
    counts = np.sum([s.code_counts for s in plan.segments], axis=0)
    energy = estimate(PREFILL, plan, PROFILE, Config()).total().energy
    assert energy.mac_fj + energy.registers_fj == pytest.approx(512 * float(counts @ PROFILE.energy_fj[0]))


def test_a_skipped_linear_layer_runs_as_int8_in_the_all_values_class():
    shapes = llama_shapes()
    name = "model.layers.0.mlp.down_proj"
    shapes.pop(name)
    plan = plan_of("w3-shifted", shapes=shapes, skipped={name: "asked for"})
    row = next(r for r in estimate(PREFILL, plan, PROFILE, Config()).rows if r.layer == name)
    assert row.compute_s == pytest.approx(row.cycles * plan.all_values.period_ps * 1e-12)
    assert row.memory_s == pytest.approx(256 * 640 * 8 / (25.6 * 8e9))


def test_a_plan_for_another_array_or_model_is_refused():
    with pytest.raises(PlanError, match=r"the plan is for an array of 128 x 128, accelerator.systolic is 64 x 128"):
        cost_of("all", config=Config(rows=64))
    other = shape_workload({**LLAMA, "intermediate_size": 512}, 1, 1, 1, "decode")
    with pytest.raises(PlanError, match=r"gate_proj is 640 x 256 in the plan, 512 x 256 here"):
        cost_of("all", work=other)
    deeper = shape_workload({**LLAMA, "num_hidden_layers": 3}, 1, 1, 1, "decode")
    with pytest.raises(PlanError, match=r"model.layers.2.self_attn.q_proj is not in the plan"):
        cost_of("all", work=deeper)


def test_products_that_overflow_the_accumulator_are_refused():
    with pytest.raises(PlanError, match="512 products of 8 x 8 bits do not fit the 24-bit accumulator"):
        plan_of("all", config=DvfsConfig(array_rows=512), fold=512)
    wide = synthetic_profile(accumulator_bits=25)
    estimate(PREFILL, replace(plan_of("all", config=DvfsConfig(array_rows=512), fold=512, profile=wide)), wide,
             Config(rows=512))


def test_unlike_reports_are_not_compared():
    with pytest.raises(PlanError, match="compare like with like"):
        compare(cost_of("all"), cost_of("all", work=DECODE))


def test_options_that_make_no_machine_are_refused():
    with pytest.raises(ConfigError, match="rows = 0"):
        Config(rows=0)
    with pytest.raises(ConfigError, match=r"accelerator.systolic.dram = 'ddr9'; known are lpddr4"):
        Config(dram="ddr9")
    with pytest.raises(ConfigError, match=r"accelerator.systolic.weight_sram = 'x'; known are 45nm-2KB"):
        Config(weight_sram="x")


def test_a_saved_report_is_read_back_equal_and_damage_is_noticed(tmp_path):
    path = tmp_path / "cost.json"
    with pytest.raises(PlanError, match="no such cost report"):
        load_cost(path)
    report = cost_of("w4-shifted", n_sparse=5)
    save_cost(report, path)
    assert load_cost(path) == report
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))
    with pytest.raises(PlanError, match="cost report schema 3, this program reads 2"):
        load_cost(path)
    path.write_text("{")
    with pytest.raises(PlanError, match="not a readable cost report"):
        load_cost(path)


def test_every_accelerator_of_the_package_keeps_the_protocol():
    for name in plugin_names("halo.accelerators"):
        module = resolve("halo.accelerators", name, Accelerator)
        report = module.estimate(PREFILL, plan_of("all"), PROFILE, module.Config())
        assert report.total("all").energy.total_fj > report.total("linear").energy.total_fj > 0


def test_presets_and_the_array_they_plan_for_agree():
    for name, options in PRESETS.items():
        config = build_config({**dict.fromkeys(("model", "profile", "calibration", "text", "out"), "x"),
                               "accelerator": {"systolic": {"preset": name}}}, "test")
        size = (options["rows"], options["cols"])
        assert config.accelerator["systolic"] == Config(preset=name, **options)
        assert (config.dvfs.array_rows, config.dvfs.array_cols) == (config.tiles.array_rows, config.tiles.array_cols)
        assert (config.tiles.array_rows, config.tiles.array_cols) == size
        assert config.tiles.tile_in <= 128
    with pytest.raises(ConfigError, match=r"accelerator.systolic.preset = 'tpu-v9'; known are tpu-v1, edge-128"):
        Config(preset="tpu-v9")


@pytest.mark.parametrize("dataflow", ["os", "is"])
def test_other_dataflows_take_codebook_periods_only_with_certificates_of_moving_weights(dataflow):
    def plan_with(profile):
        model = synthetic_model(llama_shapes(), codebooks_of(PROFILE, "w3-shifted"))
        return plan_dvfs(model, profile, PointConfig(), DvfsConfig(), workloads=(PREFILL,),
                         build=lambda mac, setup: machine(mac, setup, Config(dataflow=dataflow)))

    assert {c.period_ps for c in plan_with(PROFILE).classes} == {plan_of("all", points=PointConfig(
        bubble=False)).all_values.period_ps}
    swap = PROFILE.topological_ps + 50.0
    proved = plan_with(synthetic_profile(swap_ps=swap, swap_lower_ps=swap.copy()))
    assert proved.classes[0].period_ps < proved.all_values.period_ps
    report = estimate(PREFILL, proved, PROFILE, Config(dataflow=dataflow))
    array = Array(128, 128, dataflow, bubble=False)
    for row in report.rows[:3]:
        found = next(p for p in PREFILL.products if p.layer == row.layer)
        assert row.cycles == product_cycles(found.m, found.n, found.k, array)
    assert any("weights move every cycle" in line for line in report.assumptions)


def test_a_prompt_whose_sums_do_not_fit_is_cut_and_its_weights_loaded_again():
    whole, cut = (product(2048, 128, 128, 128, 128).energy.loading_fj / cycles for cycles in (4, 1))
    assert whole == pytest.approx(product(512, 128, 128, 128, 128).energy.loading_fj)
    assert cut == 4 * whole
    assert product(2048, 128, 128, 128, 128).cycles == 4 * 513 + 254


def test_activations_that_do_not_fit_the_chip_go_to_memory_and_are_counted():
    small = cost_of("all", config=Config(global_sram=""))
    large = cost_of("all", config=Config())
    for one, other in zip(small.rows, large.rows, strict=True):
        fits = one.memory_s == other.memory_s
        assert fits or one.kind == "linear"
        assert fits or one.energy.dram_fj > other.energy.dram_fj
    assert small.total().memory_s > large.total().memory_s
