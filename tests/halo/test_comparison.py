from dataclasses import replace

import numpy as np
import pytest
from matplotlib import image

from characterization.errors import ArtifactError
from halo.accelerators.systolic import Config, machine
from halo.accelerators.tensor_core import Config as TensorCoreConfig
from halo.accelerators.tensor_core import machine as tensor_core
from halo.comparison import MODES, compare_models, find, waterfall
from halo.comparison_figures import write_comparison
from halo.comparison_grids import dedicated_grid, front_grid, grids_of, mode_grid, verdict_grid, waterfall_grid
from halo.contenders import Contender, Merit, beside_int8, is_baseline_itself, on_dedicated, on_one_mac
from halo.errors import ConfigError
from halo.estimate import setup_from
from halo.fronts import COSTS, hypervolume_grid, matched_grid
from halo.half_precision import find_half, half_grid
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig
from halo.rail import rail_beside, voltage_beside
from halo.ranges import range_grid, variants
from halo.workload import linear_only, shape_workload
from tests.halo.synthetic import LLAMA, codebooks_of, llama_shapes, synthetic_model, synthetic_profile

PROFILE = synthetic_profile(corners=[("tt", 25.0, volt) for volt in (1.8, 1.65, 1.5)])
POINTS = PointConfig(voltage_v=1.8)
WORK = linear_only(shape_workload(LLAMA, 1024, 1, 512, "prefill"))


def model(name, *grids, **layer):
    return synthetic_model(llama_shapes(), codebooks_of(synthetic_profile(), *grids), method=name, **layer)


MODELS = {"w8a8": model("w8a8", "all", per_channel=True), "w4": model("w4", "w4-shifted"),
          "mixed": model("mixed", "w3-shifted", "w4-shifted", n_sparse=30)}


def build(mac, setup):
    return machine(mac, setup, Config())


ALL = on_one_mac(MODELS, PROFILE, build)
FOUND = compare_models(ALL, POINTS, DvfsConfig(), WORK)
MERITS = {"w8a8": Merit(0.0002, 8.4, 8.05, ours=False), "w4": Merit(0.02, 8.5, 4.05, ours=False),
          "mixed": Merit(0.05, 8.6, 3.7, ours=True)}


def test_steps_of_a_waterfall_add_up_and_name_what_is_lost_too():
    for method in MODELS:
        steps = waterfall(FOUND, method)
        assert sum(step for _, step in steps[:-1]) == pytest.approx(steps[-1][1])
        assert steps[-1][1] == pytest.approx(find(FOUND, "one throughput", method).report.total("all").energy.total_fj)
    named = dict(waterfall(FOUND, "mixed"))
    assert named["fold scaling"] > 0
    assert named["sparse engine"] > 0
    assert named["values: MAC cells"] < 0
    assert named["voltage that the slack buys"] < 0


def test_at_one_throughput_nobody_is_slower_than_the_baseline_and_slack_never_costs():
    base_s = FOUND.base.report.total("all").total_s
    for method in MODELS:
        plain, bought = (find(FOUND, mode, method).report.total("all") for mode in ("one voltage", "one throughput"))
        assert bought.total_s <= base_s * (1 + 1e-8)
        assert bought.energy.total_fj <= plain.energy.total_fj * (1 + 1e-6)


def test_a_method_that_does_not_reach_the_throughput_stands_at_its_fastest_and_is_marked():
    slow = pe(floor_ps=9000.0, delay_ps=np.full(16, 9000.0))
    late = Contender(MODELS["w4"], slow, build)
    found = compare_models({"w8a8": ALL["w8a8"], "late": late}, POINTS, DvfsConfig(), WORK, with_front=False)
    own, base = find(found, "one throughput", "late"), found.base
    assert own.time_s > base.time_s
    assert own.time_s == pytest.approx(find(found, "one voltage", "late").time_s)
    rows = mode_grid(found, "one throughput", {}).rows
    assert [row[-1].endswith("(late)") for row in rows] == [False, True]


def test_at_one_power_no_segment_draws_more_than_the_baseline_does():
    most = max(s.energy_fj * 1e-15 / s.time_s for s in FOUND.base.plan.segments_of())
    for item in FOUND.standings["one power"]:
        assert all(s.energy_fj * 1e-15 / s.time_s <= most * (1 + 1e-8) for s in item.plan.segments_of())


def test_the_baseline_is_its_own_measure_and_stands_in_every_table():
    for mode in MODES:
        grid = mode_grid(FOUND, mode, {"w4": MERITS["w4"]})
        assert [row[0] for row in grid.rows] == list(MODELS)
        assert grid.rows[1][1:4] == ("0.02000", "8.5000", "4.05")
        assert grid.rows[2][1:4] == ("-",) * 3
    assert mode_grid(FOUND, "one voltage", {}).rows[0][6:12] == ("1.000",) * 6


def test_nobody_on_the_joint_front_is_beaten_in_both():
    grid = front_grid(FOUND)
    assert len(grid.rows) == 3 * len(MODELS)
    energies = [energy for _, _, energy in sorted((t, v, e) for found in FOUND.front.values() for v, t, e in found)]
    least = np.minimum.accumulate(energies)
    on = [row[-1] == "yes" for row in grid.rows]
    assert on[0] or energies[0] > min(energies)
    assert all(energy == low for energy, low, kept in zip(energies, least, on, strict=True) if kept)


def test_a_comparison_is_written_as_page_text_and_pictures(tmp_path):
    page = write_comparison(FOUND, {}, tmp_path)
    assert "data:image/png" in page.read_text()
    text = (tmp_path / "compare.md").read_text()
    for row in waterfall_grid(FOUND, ["w4", "mixed"]).rows:
        assert row[0] in text
    assert image.imread(tmp_path / "waterfall.png").shape[1] == image.imread(tmp_path / "front.png").shape[1] == 1500


def test_every_table_says_on_which_delays_its_clocks_rest():
    # Made-up profiles have no certificates, and this one no slow corners.
    chosen = {name: ALL[name] for name in ("w8a8", "w4")}
    grids = (*grids_of(FOUND, MERITS), hypervolume_grid(FOUND, MERITS), matched_grid(FOUND, MERITS),
             range_grid(chosen, POINTS, DvfsConfig(), WORK))
    for grid in grids:
        assert "Clocks rest on: topological delay at tt_025C_1v80; typical, not signed off" in grid.caption


def half_rows(found, merits, build):
    """The rows of FP16 over every method, and what they rest on."""
    base = found.base
    half = find_half(found, WORK, build(base.profile, setup_from(base.plan, base.profile)))
    return {row[0]: row for row in half_grid(found, merits, half).rows}, half


def test_fp16_on_an_array_is_the_published_ratio_chained_to_ours_and_says_so():
    rows, half = half_rows(FOUND, MERITS | {"w8a8": replace(MERITS["w8a8"], original_perplexity=8.3)}, build)
    assert rows["fp16"][1:3] == ("0 by definition", "8.3000")
    assert list(rows) == ["fp16", "w8a8", "w4", "mixed"]
    assert [float(rows["w8a8"][at]) for at in (3, 4)] == pytest.approx([3.63 / 1.51, 2.06 / 0.98], abs=1e-3)
    mixed = find(FOUND, "one voltage", "mixed")
    assert float(rows["mixed"][3]) == pytest.approx(3.63 / 1.51 * FOUND.base.time_s / mixed.time_s, abs=1e-3)
    assert float(rows["mixed"][5]) == pytest.approx(float(rows["mixed"][3]) * float(rows["mixed"][4]), rel=1e-3)
    assert "arXiv 2502.19662" in half.source
    assert "NOT OUR ACCOUNT" in half.source


def test_fp16_on_a_gpu_is_its_white_paper_s_rate_with_memory():
    gpu = TensorCoreConfig(preset="h100")

    def build(mac, setup):
        return tensor_core(mac, setup, gpu)

    streaming = synthetic_profile(weight_mode="streaming")
    models = {"w8a8": synthetic_model(llama_shapes(), codebooks_of(streaming, "all"), per_channel=True)}
    found = compare_models(on_one_mac(models, streaming, build), PointConfig(), DvfsConfig(switch="driver"), WORK)
    rows, half = half_rows(found, MERITS, build)
    assert "h100 on 16-bit operands" in half.source
    assert "H100 SXM white paper" in half.source
    # Small layers are part launch and part idle power, which FP16 does not double.
    assert 1 < float(rows["w8a8"][3]) < 2.01
    assert 1 < float(rows["w8a8"][4]) < 2.01


def test_ranges_hold_every_variant_and_the_case_as_given():
    chosen = {name: ALL[name] for name in ("w8a8", "w4")}
    grid = range_grid(chosen, POINTS, DvfsConfig(), WORK)
    assert [row[0] for row in grid.rows] == [*(item.name for item in variants(POINTS, DvfsConfig())), "range"]
    for column in (1, 2, 3):
        low, high = map(float, grid.rows[-1][column].split(" .. "))
        assert low <= float(grid.rows[0][column]) <= high
        assert {float(row[column]) for row in grid.rows[:-1]} >= {low, high}
    # A larger margin is paid by all alike; without a bubble codebooks gain nothing.
    bare = next(row for row in grid.rows if row[0] == "no bubble per load")
    assert float(bare[1]) == pytest.approx(1.0, abs=1e-3)


def test_what_a_profile_cannot_answer_is_said_in_its_row():
    low = synthetic_profile(corners=[("tt", 25.0, 1.8), ("ss", 100.0, 1.7)])
    chosen = on_one_mac({name: MODELS[name] for name in ("w8a8", "w4")}, low, build)
    grid = range_grid(chosen, POINTS, DvfsConfig(), WORK)
    assert next(row for row in grid.rows if row[0].startswith("supply"))[1:] == ("not in the profile",) * 3


def test_a_baseline_is_matched_by_the_cheapest_searched_method_that_loses_no_more():
    rows = {row[0]: row for row in matched_grid(FOUND, MERITS).rows}
    assert list(rows) == ["w8a8", "w4"]
    assert rows["w4"][3:] == ("none", "-", "-", "-", "-")
    better = MERITS | {"mixed": replace(MERITS["mixed"], kl=0.02)}
    row = next(row for row in matched_grid(FOUND, better).rows if row[0] == "w4")
    own, other = (find(FOUND, "one throughput", name).array_fj for name in ("mixed", "w4"))
    assert row[3] == "mixed"
    assert float(row[5]) == pytest.approx(own / other, abs=5e-4)
    assert matched_grid(FOUND, better, same=["mixed"]).rows[-1][3] == "none"


def test_hypervolumes_leave_out_what_is_a_baseline_itself():
    rows = hypervolume_grid(FOUND, MERITS).rows
    assert {row[0] for row in rows} == set(COSTS)
    assert all("mixed" in row[6] and "mixed" not in row[7] for row in rows)
    assert hypervolume_grid(FOUND, MERITS, same=["mixed"]).rows == ()


CORNERS = [("tt", 25.0, volt) for volt in (1.8, 1.65, 1.5)]
SHIFTED = np.arange(-128, 128, 16)


def pe(weights=SHIFTED, library="osu018", corners=CORNERS, **changes):
    """A made-up dedicated PE: half as slow, half the energy and area of the int8 MAC at the same codes."""
    at = np.array(weights) + 128
    whole = synthetic_profile()
    own = {"delay_ps": whole.topological_ps[0][at] / 2, "energy_fj": whole.energy_fj[0][at] / 2, "floor_ps": 800.0}
    made = synthetic_profile(weights=weights, corners=corners, **(own | changes))
    head = replace(made.head, design="systolic_pe_int4", library=library, netlist_digest="1" * 64, area_um2=4500.0,
                   weight_bits=4)
    return replace(made, head=head)


def test_a_dedicated_pe_contends_with_the_models_it_can_hold():
    others = on_dedicated(MODELS, pe(), PROFILE, beside_int8(
        lambda mac, setup: machine(mac, setup, Config(), int8=PROFILE), PROFILE, POINTS))
    assert list(others) == ["w4 on systolic_pe_int4", "mixed on systolic_pe_int4"]
    found = compare_models({**ALL, **others}, POINTS, DvfsConfig(), WORK, with_front=False)
    merits = MERITS | {f"{label} on systolic_pe_int4": MERITS[label] for label in ("w4", "mixed")}
    own, theirs = (find(found, "one voltage", label).report.total("all").energy
                   for label in ("mixed", "mixed on systolic_pe_int4"))
    # Half the energy in the array; what int8 MACs do beside it stays what it is.
    assert theirs.mac_fj < 0.5 * own.mac_fj
    assert (theirs.scaling_fj, theirs.sram_fj) == (own.scaling_fj, own.sram_fj)
    assert theirs.sparse_fj == pytest.approx(own.sparse_fj)
    grid = dedicated_grid(found, merits)
    assert [row[0] for row in grid.rows] == ["w8a8", "mixed", *others]
    area, speed, per_area = (float(grid.rows[-1][at]) for at in (5, 6, 8))
    assert area == 0.5
    assert per_area == pytest.approx(1 / speed / area, rel=2e-3)
    verdicts = verdict_grid(found, merits)
    assert [row[:3] for row in verdicts.rows] == [("w4 on systolic_pe_int4", "mixed", "beats it"),
                                                  ("mixed on systolic_pe_int4", "mixed", "beats it")]
    worse = merits | {"w4 on systolic_pe_int4": replace(merits["w4"], kl=0.1)}
    assert verdict_grid(found, worse).rows[0][2] == "a trade"
    assert {grid, verdicts} <= set(grids_of(found, merits))


def test_int8_macs_beside_an_array_take_the_next_higher_voltage_that_they_have():
    assert voltage_beside(PROFILE, 1.6) == 1.65
    low = pe(corners=[("tt", 25.0, 1.6), *CORNERS])
    make = beside_int8(lambda mac, setup: machine(mac, setup, Config(), int8=PROFILE), PROFILE, POINTS)
    others = on_dedicated({"w4": MODELS["w4"]}, low, PROFILE, make)
    (found,) = (item for item in compare_models({"w8a8": ALL["w8a8"], **others}, POINTS, DvfsConfig(), WORK)
                .standings["one throughput"] if item.method in others)
    assert found.report.total("all").energy.scaling_fj > 0
    with pytest.raises(ArtifactError, match=r"no typical corner at 1\.95 V"):
        rail_beside(PROFILE, 1.95)


def test_a_dedicated_pe_of_another_library_or_without_a_model_is_refused():
    with pytest.raises(ConfigError, match="measured on sky130, systolic_pe on osu018; compare PEs of one library"):
        on_dedicated(MODELS, pe(library="sky130"), PROFILE, build)
    with pytest.raises(ConfigError, match="has 3 values, and no method that is compared keeps to them"):
        on_dedicated(MODELS, pe(weights=np.array([-64, 0, 64])), PROFILE, build)


def test_a_searched_model_that_ended_at_one_grid_is_a_baseline_itself():
    assert is_baseline_itself(MODELS["w4"])
    assert not is_baseline_itself(MODELS["mixed"])
    odd = synthetic_model(llama_shapes(), (replace(MODELS["w4"].codebooks[0], codes=(-64, -8, 0, 8, 64)),))
    assert not is_baseline_itself(odd)
    grid, first = MODELS["w4"].codebooks[0], MODELS["w4"].layers[0].name
    chosen = replace(MODELS["w4"], codebooks=(replace(grid, layers={first: (-64, -16, 0, 16, 64)}),))
    assert not is_baseline_itself(chosen)  # all values that layers chose make an even grid, which none of them has
