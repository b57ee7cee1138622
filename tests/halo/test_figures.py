import pytest
from matplotlib import image

from halo.accelerators.systolic import Config, estimate
from halo.dvfs import plan_dvfs
from halo.figures import Mark, canvas, draw_energy, draw_floor, draw_front, draw_weights, engineering
from halo.operating_point import PointConfig, footing
from halo.plan import DvfsConfig
from halo.workload import shape_workload
from tests.halo.synthetic import LLAMA, codebooks_of, llama_shapes, synthetic_model, synthetic_profile

PROFILE = synthetic_profile()


def plan_of(*grids):
    model = synthetic_model(llama_shapes(), codebooks_of(PROFILE, *grids))
    return plan_dvfs(model, PROFILE, PointConfig(), DvfsConfig())


def reports():
    plans = {"rtn-w8a8": plan_of("all"), "halo-bal": plan_of("w4-shifted", "w3-shifted")}
    works = {phase: shape_workload(LLAMA, 64, 1, 64, phase) for phase in ("prefill", "decode")}
    return {name: {phase: estimate(work, plan, PROFILE, Config()) for phase, work in works.items()}
            for name, plan in plans.items()}


def marks(kl):
    return [Mark("rtn-w8a8", 1.0, 1.0, kl, kl - 0.001, kl + 0.001, False),
            Mark("halo-bal", 0.8, 0.8, kl + 0.02, kl + 0.018, kl + 0.022, True)]


@pytest.mark.parametrize("kl", [0.01, 0.0, -0.0002])
def test_accuracy_is_drawn_whatever_the_sign_of_the_net_divergence(tmp_path, kl):
    draw_front(marks(kl), tmp_path / "front.png")
    assert image.imread(tmp_path / "front.png").shape[1] == 1500


def test_pictures_are_the_same_bytes_each_time(tmp_path):
    for name in ("a", "b"):
        classes = plan_of("w4-shifted", "w3-shifted").classes
        draw_weights(PROFILE, footing(PROFILE, PointConfig()), classes, tmp_path / name / "weights.png")
        draw_energy(reports(), "rtn-w8a8", tmp_path / name / "energy.png")
        draw_front(marks(0.01), tmp_path / name / "front.png")
    for picture in ("weights.png", "energy.png", "front.png"):
        assert (tmp_path / "a" / picture).read_bytes() == (tmp_path / "b" / picture).read_bytes()


def test_energies_are_printed_with_the_prefix_that_suits_them():
    assert [engineering(value) for value in (12.0, 3.4e4, 5.6e8, 7.8e10, 9e13, 2e15)] == [
        "12 fJ", "34 pJ", "560 nJ", "78 µJ", "90 mJ", "2 J"]


def test_a_weight_far_below_all_others_does_not_press_them_together(tmp_path):
    delay = PROFILE.topological_ps[0].copy()
    delay[128] = 600.0
    for name, floor_ps in (("low", 500.0), ("high", 2500.0)):
        profile = synthetic_profile(delay_ps=delay, floor_ps=floor_ps)
        with canvas(tmp_path / f"{name}.png", 6, 3) as figure:
            axes = figure.subplots()
            axes.plot(profile.weights, profile.bound_ps())
            draw_floor(axes, profile.weights, profile.bound_ps(), floor_ps)
            said = " ".join(text.get_text() for text in axes.texts)
            assert (axes.get_ylim()[0] > 1000.0) == (name == "low")
        assert said == ("below: weight 0 at 600 ps, floor, which no weight beats, at 500 ps" if name == "low"
                        else "floor: no weight beats it")
