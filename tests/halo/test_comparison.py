import numpy as np
import pytest
from matplotlib import image

from halo.accelerators.systolic import Config, machine
from halo.comparison import MODES, compare_models, find, front_grid, mode_grid, waterfall, waterfall_grid
from halo.comparison_figures import write_comparison
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig
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
FOUND = compare_models(MODELS, PROFILE, POINTS, DvfsConfig(), WORK, lambda mac, setup: machine(mac, setup, Config()))


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


def test_at_one_power_no_segment_draws_more_than_the_baseline_does():
    most = max(s.energy_fj * 1e-15 / s.time_s for s in FOUND.base.plan.segments_of())
    for item in FOUND.standings["one power"]:
        assert all(s.energy_fj * 1e-15 / s.time_s <= most * (1 + 1e-8) for s in item.plan.segments_of())


def test_the_baseline_is_its_own_measure_and_stands_in_every_table():
    for mode in MODES:
        grid = mode_grid(FOUND, mode, {"w4": ("0.02", "8.5")})
        assert [row[0] for row in grid.rows] == list(MODELS)
        assert grid.rows[1][1:3] == ("0.02", "8.5")
    assert mode_grid(FOUND, "one voltage", {}).rows[0][5:11] == ("1.000",) * 6


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


def test_ranges_hold_every_variant_and_the_case_as_given():
    build = lambda mac, setup: machine(mac, setup, Config())  # noqa: E731
    chosen = {name: MODELS[name] for name in ("w8a8", "w4")}
    grid = range_grid(chosen, PROFILE, POINTS, DvfsConfig(), WORK, build)
    assert [row[0] for row in grid.rows] == [*(name for name, _, _ in variants(POINTS, DvfsConfig())), "range"]
    for column in (1, 2):
        low, high = map(float, grid.rows[-1][column].split(" .. "))
        assert low <= float(grid.rows[0][column]) <= high
        assert {float(row[column]) for row in grid.rows[:-1]} >= {low, high}
    # A larger margin is paid by all alike; without a bubble codebooks gain nothing.
    bare = next(row for row in grid.rows if row[0] == "no bubble per load")
    assert float(bare[1]) == pytest.approx(1.0, abs=1e-3)


def test_what_a_profile_cannot_answer_is_said_in_its_row():
    low = synthetic_profile(corners=[("tt", 25.0, 1.8), ("ss", 100.0, 1.7)])
    build = lambda mac, setup: machine(mac, setup, Config())  # noqa: E731
    grid = range_grid({name: MODELS[name] for name in ("w8a8", "w4")}, low, POINTS, DvfsConfig(), WORK, build)
    assert next(row for row in grid.rows if row[0].startswith("supply"))[1:] == ("not in the profile",) * 2
