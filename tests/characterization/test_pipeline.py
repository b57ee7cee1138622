from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

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

ROOT = Path(__file__).parent.parent.parent
PE = ROOT / "rtl" / "systolic_pe"


class Stages:
    """Collects what a run reports about its progress."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[int, int]] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.seen[stage] = (done, total)


@pytest.mark.tool
@pytest.mark.slow
def test_a_profile_is_equal_to_the_byte_whatever_the_workers_and_the_cache(tmp_path: Path):
    pdk, stages = read_pdk("osu018"), Stages()
    first = profile_mac(PE, pdk, pdk.corners, CharacterizeConfig(transitions=3, workers=2), tmp_path / "one", stages)
    other = profile_mac(PE, pdk, pdk.corners, CharacterizeConfig(transitions=3, workers=1), tmp_path / "two", Stages())
    cached = profile_mac(PE, pdk, pdk.corners, CharacterizeConfig(transitions=3, workers=1), tmp_path / "one", Stages())
    for name, profile in (("a", first), ("b", other), ("c", cached)):
        save_profile(profile, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()
    assert all(done == total for done, total in stages.seen.values())
    assert set(stages.seen) == {
        "synthesis", "equivalence proof", "cell libraries", "delays typical", "simulation typical"}
    assert (first.observed_ps <= first.topological_ps).all()
    assert (first.register_energy_fj < first.energy_fj).all()
    assert first.energy_fj[0, 128] == first.energy_fj[0].min()
    assert np.ptp(first.topological_ps[0]) > 0


@pytest.mark.tool
def test_a_profile_is_reopened_only_where_its_netlist_is_mapped_again(tmp_path: Path):
    pdk = read_pdk("osu018")
    netlist = map_design(read_design(PE), pdk, tmp_path / f"systolic_pe-{pdk.name}", Stages())
    head = replace(synthetic_profile().head, netlist_digest=netlist.digest)
    profile = synthetic_profile((("typical", "tt", 25.0, 1.8),), head=head)
    design, cores = reopen(profile, PE, pdk, tmp_path, Stages())
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
    rtl, netlist = run_benches(PE, read_pdk("osu018"), 50, 3, tmp_path, Stages())
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
