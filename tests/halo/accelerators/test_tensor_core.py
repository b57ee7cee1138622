import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from characterization.profile import add_certificates
from characterization.set_certificate import SetCertificate
from halo.accelerators.tensor_core import GPUS, PRESETS, Config, estimate, machine
from halo.dvfs import plan_dvfs, whole_group
from halo.errors import ConfigError
from halo.machine import ClockPoint
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig
from halo.workload import Product, shape_workload
from tests.halo.synthetic import LLAMA, codebooks_of, llama_shapes, synthetic_model, synthetic_profile

# A GPU of 2048-wide layers; small ones are all launch.
WIDE = {**LLAMA, "hidden_size": 2048, "intermediate_size": 4096, "num_hidden_layers": 1, "num_attention_heads": 16,
        "num_key_value_heads": 16}
PREFILL, DECODE = (shape_workload(WIDE, 2048, 1, 512, phase) for phase in ("prefill", "decode"))
BOOKS = codebooks_of(synthetic_profile(), "w3-shifted")
PROFILE = synthetic_profile(weight_mode="streaming")
PROFILE = add_certificates(PROFILE, [SetCertificate(PROFILE.corners[0], "streaming", BOOKS[0].codes, 2500.0, 2500.0)])
MODEL = synthetic_model(llama_shapes(WIDE), BOOKS)


def plan_on(config, model=MODEL, dvfs=None):
    dvfs = dvfs or DvfsConfig(switch="driver")
    return plan_dvfs(model, PROFILE, PointConfig(), dvfs, workloads=(PREFILL, DECODE),
                     build=lambda mac, setup: machine(mac, setup, config))


def set_up(config=None):
    """A machine of a plan of all values."""
    made = []
    plan_dvfs(MODEL, PROFILE, PointConfig(), DvfsConfig(),
              build=lambda mac, setup: made.append(machine(mac, setup, config or Config())) or made[-1])
    return made[-1]


GPU = set_up()


@pytest.mark.parametrize(("name", "tops"), [("rtx-2080-ti", 215.1), ("a100", 623.7), ("a100-80gb", 623.7),
                                            ("h100", 1978.9)])
def test_peaks_are_those_of_the_data_sheets(name, tops):
    assert GPUS[name].tops == pytest.approx(tops, rel=2e-3)
    assert name in PRESETS


@pytest.mark.parametrize(("name", "tflops"), [("rtx-2080-ti", 107.6), ("a100", 311.9), ("h100", 989.4)])
def test_fp16_has_the_stated_peak_and_moves_and_spends_twice_as_much(name, tflops):
    whole = set_up(Config(preset=name, launch_us=0.0))
    half, product = whole.half_precision(), Product("a", 4096, 4096, 4096, "linear")
    assert half.gpu.tops == pytest.approx(tflops, rel=2e-3)
    point = ClockPoint(whole.setup.nominal_v, whole.setup.all_values_ps[whole.setup.nominal_v])
    int8, fp16 = (each.price(product, None, whole_group(product, each), point) for each in (whole, half))
    assert fp16.compute_s == pytest.approx(2 * int8.compute_s, rel=1e-3)
    assert fp16.memory_s == pytest.approx(2 * int8.memory_s)
    assert fp16.energy.mac_fj == pytest.approx(2 * int8.energy.mac_fj)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_no_product_beats_the_peak_and_a_part_of_a_wave_takes_as_long_as_a_whole_one(m, n, k):
    one = Product("a", m, n, k, "linear")
    cycles = GPU.wave_cycles(one)
    assert cycles * 108 * 4 * 512 >= one.n_macs
    # 109 and 216 tiles of 108 SMs: two waves.
    assert len({GPU.wave_cycles(Product("a", 128 * tiles, 128, k, "linear")) for tiles in (109, 150, 216)}) == 1
    assert GPU.wave_cycles(Product("a", 128 * 108, 128, k, "linear")) * 2 == GPU.wave_cycles(
        Product("a", 128 * 109, 128, k, "linear"))


def test_decoding_waits_for_memory_and_a_long_prompt_for_the_tensor_cores():
    plan = plan_on(Config(launch_us=0.0))
    prefill, decode = (estimate(work, plan, PROFILE, Config(launch_us=0.0)).total() for work in (PREFILL, DECODE))
    assert (prefill.binds, decode.binds) == ("compute", "memory")


def test_with_the_cap_on_the_clock_stays_within_the_chip_s_and_off_it_follows_the_codebook():
    configs = [Config(launch_us=0, cap=cap, power_cap_w=4e3) for cap in (True, False)]
    # A driver would keep one clock for the pass, and attention needs that of all values.
    report, free = (estimate(PREFILL, plan_on(config, dvfs=DvfsConfig()), PROFILE, config) for config in configs)
    report, free = (next(row for row in made.rows if row.layer.endswith("up_proj")) for made in (report, free))
    ratio = plan_on(Config()).all_values.period_ps / plan_on(Config()).classes[0].period_ps
    assert report.compute_s / free.compute_s == pytest.approx(ratio)
    assert report.energy.mac_fj == pytest.approx(free.energy.mac_fj)


def test_a_lower_power_cap_is_slower_and_never_exceeded():
    times = []
    for cap_w in (400.0, 200.0, 100.0):
        config = Config(power_cap_w=cap_w)
        report = estimate(PREFILL, plan_on(config), PROFILE, config)
        times.append(report.total().total_s)
        assert all(row.energy.total_fj * 1e-15 <= cap_w * row.total_s * (1 + 1e-9) for row in report.rows)
    assert times == sorted(times)
    assert times[0] < times[-1]


def test_a_driver_changes_no_clock_within_a_pass_and_one_clock_serves_the_chip():
    free = Config(cap=False)
    plan = plan_on(free)
    assert not plan.switches
    assert len({(s.voltage_v, s.period_ps) for s in plan.segments_of("prefill")}) == 1
    fast = plan_on(free, dvfs=DvfsConfig())
    assert len(fast.switches_of("all", "prefill")) > 0
    assert any(line.startswith("NO GPU SOLD changes its clock this fast") for line in fast.assumptions)


def test_cheap_values_save_only_what_multipliers_spend():
    plan = plan_on(Config())
    cheap = sum(s.energy_fj for s in plan.segments_of("prefill", "linear"))
    whole = plan_on(Config(), model=synthetic_model(llama_shapes(WIDE), codebooks_of(synthetic_profile(), "all")))
    dear = sum(s.energy_fj for s in whole.segments_of("prefill", "linear"))
    assert 0.7 < cheap / dear < 1.0
    assert any("about +-30%" in line for line in plan.assumptions)


@pytest.mark.parametrize(("options", "message"), [
    (dict(preset="a1000"), r"tensor_core.preset = 'a1000'; known are rtx-2080-ti, a100, a100-80gb, h100"),
    (dict(power_cap_w=50.0), r"power_cap_w = 50 is not above the 52 W that a100 draws when idle"),
    (dict(efficiency=0.0), r"efficiency = 0.0, launch_us = 3.0; give positive sizes"),
])  # fmt: skip
def test_options_that_make_no_gpu_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Config(**options)
