from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from characterization.errors import ArtifactError
from halo.accelerators.systolic import Config, estimate
from halo.accelerators.systolic import machine as systolic
from halo.dvfs import plan_dvfs
from halo.errors import ConfigError, PlanError
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig
from halo.plan_check import check_plan
from halo.plan_file import load_plan, plan_to_json, save_plan, switch_points
from halo.plan_tables import class_grid, phase_grid, plan_lines
from halo.workload import shape_workload
from tests.halo.synthetic import LLAMA, codebooks_of, llama_shapes, synthetic_model, synthetic_profile

# An example is a plan or two: shrinking one would take minutes.
NO_SHRINK = (Phase.explicit, Phase.reuse, Phase.generate)
VOLTS = (1.8, 1.65, 1.5, 1.35)
SWEEP = synthetic_profile(corners=[("tt", 25.0, volt) for volt in VOLTS]
                          + [("ss", temp, round(0.95 * volt, 4)) for temp in (-40.0, 100.0) for volt in VOLTS])
BOOKS = codebooks_of(synthetic_profile(), "w4-shifted", "w3-shifted")
WORKS = tuple(shape_workload(LLAMA, 1024, 1, 512, phase) for phase in ("prefill", "decode"))
MODEL = synthetic_model(llama_shapes(), BOOKS, tile_out=64, n_sparse=20)
POINTS = PointConfig(voltage_v=1.8)


def made(config=None, works=WORKS, build=None, model=MODEL, **options):
    """A plan over all four voltages."""
    config = config or DvfsConfig(**{"every_voltage": True, **options})
    return plan_dvfs(model, SWEEP, POINTS, config, workloads=works, build=build)


FAST = made()


@pytest.mark.parametrize("objective", ["time", "energy", "edp"])
def test_a_plan_and_its_estimate_have_the_same_totals_for_each_objective(objective):
    plan = made(objective=objective)
    check_plan(plan, SWEEP)
    for work, result in zip(WORKS, plan.results, strict=True):
        total = estimate(work, plan, SWEEP, Config()).total("all")
        assert total.total_s == pytest.approx(result.time_s, rel=1e-9)
        assert total.energy.total_fj == pytest.approx(result.energy_fj, rel=1e-9)
        segments, switches = plan.segments_of(work.phase), plan.switches_of("all", work.phase)
        assert sum(s.cycles for s in segments) + sum(s.cost.cycles for s in switches) == total.cycles
        assert all(min(s.time_s, s.energy_fj, s.cycles) >= 0 for s in segments)
        assert all(min(s.cost.time_s, s.cost.energy_fj) >= 0 for s in switches)


def test_each_objective_is_best_at_what_it_asks_for():
    plans = {objective: made(objective=objective).results[0] for objective in ("time", "energy", "edp")}
    assert plans["time"].time_s == min(p.time_s for p in plans.values())
    assert plans["energy"].energy_fj == min(p.energy_fj for p in plans.values())
    assert plans["edp"].value == min(p.energy_fj * p.time_s for p in plans.values())
    assert plans["time"].time_s < plans["energy"].time_s


@settings(max_examples=6, deadline=None, phases=NO_SHRINK)
@given(st.floats(0.02, 1.0), st.floats(0.02, 1.0))
def test_the_slack_of_a_required_throughput_buys_energy_and_more_slack_never_costs(one, other):
    most = FAST.results[0].tokens / FAST.results[0].time_s
    plans = [made(objective="energy", prefill_tokens_per_s=share * most * (1 - 1e-9), works=WORKS[:1])
             for share in sorted((one, other))]
    for plan, share in zip(plans, sorted((one, other)), strict=True):
        check_plan(plan, SWEEP)
        assert plan.results[0].tokens / plan.results[0].time_s >= share * most * (1 - 1e-8)
        assert 0 <= plan.results[0].gap < 0.02  # few groups of loads: the LP mixes what a plan cannot
    loose, tight = (plan.results[0].energy_fj for plan in plans)
    assert loose <= tight * (1 + 1e-6)
    assert tight <= FAST.results[0].energy_fj * (1 + 1e-6)


@settings(max_examples=4, deadline=None, phases=NO_SHRINK)
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_power_cap_is_kept_by_every_segment_and_a_higher_one_is_never_slower(one, other):
    watts = [s.energy_fj * 1e-15 / s.time_s for s in FAST.segments_of("prefill")]
    low = 1.00001 * least_cap()
    plans = [made(power_cap_w=low + share * (max(watts) - low), works=WORKS[:1]) for share in sorted((one, other))]
    for plan in plans:
        check_plan(plan, SWEEP)
        assert max(s.energy_fj * 1e-15 / s.time_s for s in plan.segments) <= plan.config.power_cap_w * (1 + 1e-9)
    assert plans[1].results[0].time_s <= plans[0].results[0].time_s * (1 + 1e-5)


def least_cap():
    """The least power cap that can be kept, as the refusal of a lower one tells it."""
    with pytest.raises(PlanError, match="lowest point, ") as caught:
        made(power_cap_w=1e-9, works=WORKS[:1])
    return float(str(caught.value).split("lowest point, ")[1].split(" W")[0])


@settings(max_examples=6, deadline=None, phases=NO_SHRINK)
@given(st.sets(st.sampled_from(VOLTS[1:])), st.sets(st.sampled_from(VOLTS[1:])), st.sampled_from(["energy", "edp"]))
def test_more_voltages_never_make_a_plan_worse(some, more, objective):
    plans = [made(DvfsConfig(objective=objective, voltages=(1.8, *sorted(chosen))), works=WORKS[:1])
             for chosen in (some, some | more)]
    assert plans[1].results[0].value <= plans[0].results[0].value * (1 + 1e-6)


def test_a_phase_that_waits_for_memory_takes_the_lower_voltage_that_is_free():
    slow = Config(dram_gb_per_s=0.02)
    plan = made(works=WORKS[1:], build=lambda mac, setup: systolic(mac, setup, slow))
    assert all(s.memory_s > s.compute_s for s in plan.segments_of("decode", "linear"))
    assert {s.voltage_v for s in plan.segments_of("decode", "linear")} == {min(VOLTS)}
    assert max(s.voltage_v for s in FAST.segments_of("prefill")) == max(VOLTS)
    told, fast = plan.provenance.inputs, FAST.provenance.inputs
    assert {name for name in fast if told[name] != fast[name]} == {"accelerator"}


def test_switches_that_take_long_are_not_made():
    slow = made(switch="driver")
    assert all(not slow.switches_of("all", phase) for phase in slow.phases)
    assert all("Everything runs at one point" in line for line in plan_lines(slow) if "clock changes" in line)
    assert len(FAST.switches_of("all", "prefill")) > 0


def test_splitting_columns_between_two_clocks_is_charged_where_their_sums_do_not_fit():
    model = synthetic_model(llama_shapes(), BOOKS)
    tight, wide = (made(works=WORKS[:1], model=model, build=lambda mac, setup, size=size: systolic(
        mac, setup, Config(accumulator_sram=size))) for size in ("45nm-256KB", "45nm-16MB"))
    assert tight.results[0].split_fj > 0 == wide.results[0].split_fj
    assert len({(s.voltage_v, s.period_ps) for s in tight.segments_of("prefill", "linear")}) > 1
    row = estimate(WORKS[0], tight, SWEEP, Config()).total("all").energy
    assert row.grouping_fj == pytest.approx(tight.results[0].split_fj)


def test_columns_whose_blocks_are_packed_anew_in_each_fold_pay_for_it():
    narrow = synthetic_model(llama_shapes(), BOOKS, tile_out=32)
    plan = made(works=WORKS[:1], model=narrow)
    visits = {panel.visits for layer in plan.layers if layer.k > 128 for panel in layer.panels}
    assert visits == {2, 5}
    assert estimate(WORKS[0], plan, SWEEP, Config()).total().energy.grouping_fj > 0


def test_a_plan_with_voltages_is_read_back_equal_and_its_controller_is_told_every_change(tmp_path):
    plan = made(objective="energy", prefill_tokens_per_s=0.7 * FAST.results[0].tokens / FAST.results[0].time_s)
    save_plan(plan, tmp_path / "plan.json")
    assert plan_to_json(load_plan(tmp_path / "plan.json")) == plan_to_json(plan)
    assert plan.frequency_only == ""
    rows = [line.split(",") for line in switch_points(plan).splitlines()]
    assert len(rows) == 1 + sum(len(plan.switches_of("all", phase)) for phase in plan.phases)
    for row in rows[1:]:
        (old_v, new_v, old_mhz, new_mhz), steps = map(float, row[8:12]), ",".join(row[12:-2]).strip('"')
        first = "voltage, then clock" if new_v > old_v else "clock, then voltage"
        assert steps == ("clock" if old_v == new_v else first)
        assert (old_v, old_mhz) != (new_v, new_mhz)


def test_tables_of_a_plan_say_gap_changes_and_the_paper_s_figure():
    assert "every" not in class_grid(FAST).caption
    assert len(class_grid(FAST).rows) == 3 * len(VOLTS)
    assert [row[0] for row in phase_grid(FAST).rows] == ["prefill", "decode"]
    lines = list(plan_lines(FAST))
    assert sum("The paper's 2 to 3 per inference" in line for line in lines) == 2
    # Made-up profiles have no certificates: the plan says so.
    assert any("rest on: topological delay at ss_" in line for line in lines)


def test_impossible_budgets_name_the_nearest_that_can_be_kept():
    most = FAST.results[0].tokens / FAST.results[0].time_s
    with pytest.raises(PlanError, match=r"prefill_tokens_per_s = .* is not reached: at its fastest .* per second"):
        made(prefill_tokens_per_s=1.01 * most)
    made(prefill_tokens_per_s=0.99 * most)
    with pytest.raises(PlanError, match=r"power_cap_w = 1e-06 is below what .* draws even at its slowest and lowest"):
        made(power_cap_w=1e-6)


def test_voltages_that_the_profile_lacks_are_refused_and_unsigned_ones_left_out_with_the_reason():
    with pytest.raises(ArtifactError, match=r"no typical corner at 1.2 V in this profile; it has 1.8 V"):
        made(DvfsConfig(voltages=(1.8, 1.2)))
    partly = synthetic_profile(corners=[("tt", 25.0, 1.8), ("tt", 25.0, 1.2), ("ss", 100.0, 1.7)])
    plan = plan_dvfs(MODEL, partly, POINTS, DvfsConfig(every_voltage=True))
    assert {item.voltage_v for item in plan.clocks} == {1.8}
    assert any(line.startswith("1.2 V is not planned: 1.14 V is below") for line in plan.assumptions)
    low = synthetic_profile(corners=[("tt", 25.0, 1.2), ("ss", 100.0, 1.7)])
    with pytest.raises(PlanError, match=r"no voltage of the profile of systolic_pe can be planned: 1.14 V is below"):
        plan_dvfs(MODEL, low, PointConfig(), DvfsConfig(every_voltage=True))


@pytest.mark.parametrize(("options", "message"), [
    (dict(power_cap_w=-1.0), "dvfs: power_cap_w = -1 must not be negative"),
    (dict(slowdowns=(0.5,)), r"dvfs.slowdowns = \[0.5\]: each must be above 1"),
    (dict(switch="magic"), "dvfs.switch = 'magic'; known are on-die, off-chip, driver"),
    (dict(objective="edp", decode_tokens_per_s=1.0), "the energy-delay product takes no required throughput"),
])  # fmt: skip
def test_options_that_make_no_plan_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        DvfsConfig(**options)


def test_a_plan_that_contradicts_itself_is_refused():
    short = replace(FAST.results[0], time_s=FAST.results[0].time_s * 0.999)
    with pytest.raises(PlanError, match=r"prefill: time is stated as .*, its segments and changes add up to"):
        check_plan(replace(FAST, results=(short, FAST.results[1])), SWEEP)
    negative = replace(FAST.segments[0], energy_fj=-1.0)
    with pytest.raises(PlanError, match=r"a figure of segment .* is negative"):
        check_plan(replace(FAST, segments=(negative, *FAST.segments[1:])), SWEEP)
    asked = replace(FAST.config, prefill_tokens_per_s=1e12)
    with pytest.raises(PlanError, match=r"prefill: .* tokens per second, 1e\+12 are required"):
        check_plan(replace(FAST, config=asked), SWEEP)
    with pytest.raises(PlanError, match=r"draws more than the cap of 1e-09 W"):
        check_plan(replace(FAST, config=replace(FAST.config, power_cap_w=1e-9)), SWEEP)
    for gone in ("linear", "all"):
        rest = tuple(s for s in FAST.switches if s is not FAST.switches_of(gone, "prefill")[0])
        with pytest.raises(PlanError, match=r"changes of clock or voltage are listed, the segments make \d+; they"):
            check_plan(replace(FAST, switches=rest), SWEEP)
    quick = replace(FAST.segments[0], time_s=0.5 * FAST.segments[0].time_s)
    with pytest.raises(PlanError, match=r"is stated to take .* s, the longer of its compute and memory time is"):
        check_plan(replace(FAST, segments=(quick, *FAST.segments[1:])), SWEEP)
    lower = replace(FAST.segments[0], voltage_v=1.35)
    with pytest.raises(PlanError, match=r"and 1.35 V, its values need"):
        check_plan(replace(FAST, segments=(lower, *FAST.segments[1:])), SWEEP)
    nowhere = replace(FAST.segments[0], voltage_v=0.9)
    with pytest.raises(PlanError, match=r"0.9 V is none that the profile can answer for"):
        check_plan(replace(FAST, segments=(nowhere, *FAST.segments[1:])), SWEEP)


def test_loads_of_mixed_tiles_are_clocked_for_what_they_hold_at_every_voltage():
    # The second codebook is slower at 1.8 V and faster at 1.35 V: a load that holds both needs the slower of them.
    delay = np.stack([np.full(256, 3000.0), np.full(256, 5000.0)])
    delay[0, 128 + 64], delay[1, 128 + 64] = 3100.0, 4000.0
    profile = synthetic_profile(corners=[("tt", 25.0, 1.8), ("tt", 25.0, 1.35)], topological_ps=delay,
                                observed_ps=0.5 * delay, free_ps=delay.max(axis=1) + 100.0)
    books = (replace(BOOKS[0], name="a", codes=(0, 32)), replace(BOOKS[0], name="b", codes=(0, 64)))
    model = synthetic_model(llama_shapes(), books, tile_in=64)
    plan = plan_dvfs(model, profile, POINTS, DvfsConfig(every_voltage=True, objective="energy"))
    check_plan(plan, profile)
    mixed = [s for s in plan.segments if s.code_counts[128 + 32] and s.code_counts[128 + 64] and s.voltage_v == 1.35]
    assert mixed
    assert all(s.period_ps >= 5000.0 * 1.05 for s in mixed)
