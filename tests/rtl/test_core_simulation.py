"""Real MACs at the corners we ship: what is observed, certified and topological, and what their energy is."""

from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from benchmarks.bounds import order_of
from characterization.annotation import annotate
from characterization.benches.activity import check_observed
from characterization.benches.operands import StimulusConfig
from characterization.certify import certify_set, certify_weights
from characterization.corner_library import read_corner
from characterization.design import read_design
from characterization.energy import simulate_weights
from characterization.netlist import abut
from characterization.pdk import read_pdk
from characterization.profile_checks import AGREE_PS
from characterization.synthesis import synthesize
from characterization.timing import free_ps, topological_ps
from tests.needs import needs_osu018

RTL = Path(__file__).parents[2] / "rtl"
DESIGNS = sorted(path.parent.name for path in RTL.glob("*/design.toml"))
SKY130 = read_pdk("sky130")
# Each design has its share of the corners; all together have them all.
SHARES = [(name, corner) for place, name in enumerate(DESIGNS) for corner in SKY130.corners[place :: len(DESIGNS)]]
# How many corners the libraries of the set-up have.
LIBRARIES = {"sky130": 22, "osu018": 1}
INSTALLED = ["sky130", pytest.param("osu018", marks=needs_osu018)]
WEIGHTS = (-33, 0, 64)
NARROW_WEIGHTS = (1, 0, 4)


@cache
def joined(name, pdk=SKY130):
    design = read_design(RTL / name)
    with TemporaryDirectory() as folder:
        netlist = synthesize(design, pdk.corners[0].liberty, Path(folder), pdk.dont_use)
    return design, abut(netlist, design.neighbours)


def test_every_corner_that_we_ship_is_some_designs():
    assert {corner.name for _, corner in SHARES} == {corner.name for corner in SKY130.corners}
    assert {name for name, _ in SHARES} == set(DESIGNS)


@pytest.mark.tool
@pytest.mark.slow
@pytest.mark.parametrize("library", INSTALLED)
@pytest.mark.parametrize("name", DESIGNS)
def test_observed_certified_and_topological_delays_of_every_weight_are_in_order_at_every_corner(name, library):
    pdk = read_pdk(library)
    design, netlist = joined(name, pdk)
    with ProcessPoolExecutor(min(2, len(pdk.corners)), get_context("spawn")) as pool:
        found = list(pool.map(partial(order_of, netlist, design, 25, None), pdk.corners))
    assert len(found) == LIBRARIES[library]
    for corner, row in zip(pdk.corners, found, strict=True):
        assert (row.weights, row.exact) == (len(design.weights), len(design.weights)), corner.name
        assert row.holds, corner.name
        # The bounds are of this netlist, not of one much slower: random transitions come near to the certificate.
        assert row.most_seen > 0.5, corner.name


@pytest.mark.tool
@pytest.mark.slow
@pytest.mark.parametrize(("name", "corner"), SHARES, ids=[f"{name}-{corner.name}" for name, corner in SHARES])
def test_observed_delays_of_a_real_mac_stay_below_certified_and_those_below_topological_ones(name, corner, tmp_path):
    design, netlist = joined(name)
    timed = annotate(netlist, read_corner(corner), corner, design.clock)
    weights = WEIGHTS if set(WEIGHTS) <= set(design.weights) else NARROW_WEIGHTS
    activity = simulate_weights(timed, design, StimulusConfig(25, 1, weights), tmp_path, workers=1)
    bound_ps = topological_ps(timed, design, np.array(weights))
    constant, launched = (certify_weights(timed, design, weights, mode) for mode in ("stationary", "swap"))
    together = certify_set(timed, design, weights)
    check_observed(weights, activity.settle_ps, constant.upper_ps, "certified")
    assert constant.exact.all()
    assert (constant.upper_ps <= bound_ps + AGREE_PS).all()
    assert (constant.upper_ps <= launched.upper_ps + AGREE_PS).all()
    assert launched.upper_ps.max() <= together.upper_ps + AGREE_PS
    assert together.upper_ps <= free_ps(timed, design) + AGREE_PS
    # The bound is of this netlist, not of one twice as slow: random transitions come within half of it.
    assert activity.observed_ps[0] > 0.5 * bound_ps[0]
    if design.weight_mode == "stationary":
        assert activity.mean_fj[1] < activity.mean_fj[2]
        assert activity.mean_fj[2] < activity.mean_fj[0] or weights == NARROW_WEIGHTS
    assert (activity.mean_fj > activity.register_fj).all()
