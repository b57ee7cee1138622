from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from characterization.benches.functional import BenchConfig
from characterization.design import read_design
from characterization.errors import ArtifactError, LibertyError
from characterization.pdk import Pdk, read_pdk
from characterization.pipeline import (
    CharacterizeConfig,
    map_design,
    profile_mac,
    reopen,
    run_benches,
    select_pdk,
    slowest,
)
from characterization.profile_file import save_profile
from tests.characterization.synthetic import synthetic_profile
from tests.characterization.two_corners import INT4, Stages, two_corners

ROOT = Path(__file__).parent.parent.parent
PE = ROOT / "rtl" / "systolic_pe"


@pytest.mark.tool
@pytest.mark.slow
def test_a_profile_is_equal_to_the_byte_whatever_the_workers_and_the_cache(made, tmp_path: Path):
    work, first, _ = made
    pdk, config, stages = two_corners(), CharacterizeConfig(transitions=20, workers=1), Stages()
    other = profile_mac(INT4, pdk, pdk.corners, config, tmp_path / "two", Stages())
    cached = profile_mac(INT4, pdk, pdk.corners, config, work, stages)
    for name, profile in (("a", first), ("b", other), ("c", cached)):
        save_profile(profile, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()
    assert all(done == total for done, total in stages.seen.values())


@pytest.mark.tool
@pytest.mark.slow
def test_every_stage_of_every_corner_is_told_to_its_end(made):
    _, _, seen = made
    assert all(done == total for done, total in seen.values())
    assert set(seen) == {"synthesis", "equivalence proof", "cell libraries"} | {
        f"{stage} {corner}" for stage in ("delays", "certificates", "simulation") for corner in ("typical", "slow")}


@pytest.mark.tool
@pytest.mark.slow
def test_delays_of_every_weight_and_corner_lie_in_order(made):
    _, profile, _ = made
    assert profile.weights.tolist() == list(range(-8, 8))
    assert (profile.observed_ps <= profile.certified_ps).all()
    assert (profile.certified_ps <= profile.topological_ps + 1e-3).all()
    assert (profile.certified_ps <= profile.swap_ps + 1e-3).all()
    assert (profile.swap_ps <= profile.free_ps[:, None] + 1e-3).all()
    assert profile.certified_exact.all()
    assert profile.swap_exact.all()
    assert np.ptp(profile.certified_ps[0]) > 0


@pytest.mark.tool
@pytest.mark.slow
def test_corners_share_a_netlist_and_differ_in_what_their_cells_say(made):
    _, profile, _ = made
    # The slow corner's cells are the typical one's with several inputs at once taken to be 20 % slower.
    assert (profile.certified_ps[1] > profile.certified_ps[0]).all()
    assert profile.hold_slack_ps[1] <= profile.hold_slack_ps[0]
    assert profile.energy_fj[1].mean() < profile.energy_fj[0].mean()
    assert any("late 1.2, early 0.8" in note for note in profile.head.notes)
    assert any(note.startswith("Hold: tightest at ") for note in profile.head.notes)


@pytest.mark.tool
@pytest.mark.slow
def test_all_values_together_are_certified_at_every_corner(made):
    _, profile, _ = made
    assert [(item.corner, item.mode, len(item.codes)) for item in profile.certificates] == [
        ("slow", "swap", 16), ("typical", "swap", 16)]
    for corner in profile.corners:
        together = profile.bound_of(profile.weights, corner, "swap")
        assert together.delay_ps == pytest.approx(profile.swap_ps[profile.corner_index(corner)].max(), abs=0.01)


@pytest.mark.tool
@pytest.mark.slow
def test_energy_is_least_at_weight_zero_and_registers_are_a_part_of_it(made):
    _, profile, _ = made
    assert (profile.register_energy_fj < profile.energy_fj).all()
    assert profile.energy_fj[0].argmin() == profile.positions([0])[0]


@pytest.mark.tool
@pytest.mark.slow
def test_without_certificates_the_profile_says_that_bounds_are_topological(made):
    work, proved, _ = made
    pdk = two_corners()
    config = CharacterizeConfig(transitions=20, workers=1, certify=False)
    profile = profile_mac(INT4, pdk, pdk.corners[:1], config, work, Stages())
    assert "No certified delays: the bounds are topological." in profile.head.notes
    assert (profile.bound_ps() == profile.topological_ps[0]).all()
    assert (profile.topological_ps == proved.topological_ps[:1]).all()


@pytest.mark.tool
def test_a_profile_is_reopened_only_where_its_netlist_is_mapped_again(tmp_path: Path):
    pdk = read_pdk("osu018")
    netlist = map_design(read_design(PE), pdk, tmp_path / f"systolic_pe-{pdk.name}", Stages())
    head = replace(synthetic_profile().head, netlist_digest=netlist.digest)
    profile = synthetic_profile((("typical", "tt", 25.0, 1.8),), head=head)
    design, _, cores = reopen(profile, PE, pdk, tmp_path, Stages())
    assert (design.name, [core.corner.name for core in cores]) == ("systolic_pe", ["typical"])
    with pytest.raises(ArtifactError, match=r"systolic_pe on osu018 maps to netlist \w{12}, the profile is of abab"):
        reopen(synthetic_profile(), PE, pdk, tmp_path, Stages())


@pytest.mark.tool
def test_a_cell_that_one_corner_lacks_is_found_before_anything_is_simulated(tmp_path: Path):
    pdk = read_pdk("osu018")
    text = pdk.corners[0].liberty[0].read_text()
    start = text.index("cell (NAND2X1)")
    (tmp_path / "lack.lib").write_text(text[:start] + text[text.index("\ncell (", start) + 1 :])
    slow = replace(pdk.corners[0], name="slow", process="ss")
    fast = replace(pdk.corners[0], name="fast", liberty=(tmp_path / "lack.lib",))
    stages = Stages()
    with pytest.raises(LibertyError, match=r"lack\.lib.*NAND2X1"):
        profile_mac(PE, Pdk("two", (slow, fast), pdk.dont_use), (slow, fast), CharacterizeConfig(), tmp_path / "work",
                    stages)
    assert not [stage for stage in stages.seen if stage.startswith("simulation")]


@pytest.mark.tool
def test_the_benches_check_rtl_and_netlist_against_one_reference(tmp_path: Path):
    stages, levels = Stages(), ("rtl", "netlist")
    rtl, netlist = run_benches(PE, read_pdk("osu018"), levels, None, BenchConfig(50, 3), tmp_path, stages)
    assert stages.seen["bench, RTL"] == stages.seen["reference, gates"] == (rtl.n_clocks, rtl.n_clocks)
    assert (rtl.level, netlist.level) == ("rtl", "netlist")
    assert rtl.n_checked > 50
    assert "acc_out" in netlist.observed


def test_synthesis_sees_the_slow_process_at_the_lowest_voltage():
    corner = read_pdk("osu018").corners[0]
    named = [("tt", 1.0), ("ss", 1.6), ("ss", 1.4), ("ff", 0.9)]
    corners = tuple(replace(corner, name=f"{p}{v}", process=p, voltage_v=v) for p, v in named)
    assert slowest(Pdk("many", corners)).name == "ss1.4"


def test_liberty_files_win_over_a_pdk_name():
    path = read_pdk("osu018").corners[0].liberty[0]
    pdk = select_pdk("nothing", [path])
    assert pdk.corners[0].liberty == (path.resolve(),)
