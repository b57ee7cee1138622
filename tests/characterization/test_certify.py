"""Certified delays of MACs against every input, and what is said of designs and values that have none."""

import numpy as np
import pytest

from characterization import certify
from characterization.certify import certify_set, certify_weights
from characterization.errors import CertifyError
from characterization.timing import topological_ps, weight_sinks
from characterization.units import AS_PER_PS
from tests.characterization.floating_reference import all_vectors, requirement_as
from tests.characterization.made_arithmetic import carry_skip, made_design, multiply_add
from tests.characterization.made_cores import core, sink, source

SMALL = multiply_add(3, 3, 6)
SMALL_DESIGN = made_design(3, 6)
WEIGHT_NETS = ("weight_q[0]", "weight_q[1]", "weight_q[2]")


def vectors_with(timed, weights, bits):
    """Return every vector of the other sources under each weight `[weight, vector, source]`."""
    others = all_vectors(len(timed.sources) - bits)
    patterns = np.array([[weight >> bit & 1 for bit in range(bits)] for weight in weights], dtype=np.uint8)
    return np.stack([np.hstack([np.tile(row, (len(others), 1)), others]) for row in patterns])


def latest_ps(timed, design, weights, mode, bits):
    """Return the latest requirement of each weight over every other input."""
    still = [f"weight_q[{bit}]" for bit in range(bits)] if mode == "stationary" else []
    sinks = weight_sinks(timed, design)
    return np.array([requirement_as(timed, sinks, block, still).max() for block in vectors_with(timed, weights, bits)]
                    ) / AS_PER_PS


def replayed_ps(timed, design, delays, mode):
    """Return when each witness settles, by the second engine."""
    assert delays.sources == tuple(s.net for s in timed.sources)
    still = [net for net in delays.sources if net.startswith("weight_q")] if mode == "stationary" else []
    sinks = weight_sinks(timed, design)
    return np.array([requirement_as(timed, sinks, row[None], still)[0] for row in delays.witnesses]) / AS_PER_PS


@pytest.mark.parametrize("mode", ["stationary", "swap"])
@pytest.mark.parametrize(("bits", "accumulator"), [(3, 6), pytest.param(4, 8, marks=pytest.mark.slow)])
def test_a_mac_has_the_delay_that_trying_every_input_finds(bits, accumulator, mode):
    timed, design = multiply_add(bits, bits, accumulator), made_design(bits, accumulator)
    weights = range(-(2 ** (bits - 1)), 2 ** (bits - 1))
    found = certify_weights(timed, design, weights, mode)
    assert found.exact.all()
    assert (found.upper_ps == latest_ps(timed, design, weights, mode, bits)).all()
    assert (found.lower_ps == replayed_ps(timed, design, found, mode)).all()
    assert (found.upper_ps <= found.topological_ps).all()


def test_a_weight_that_stands_still_is_never_slower_than_one_that_is_launched():
    weights = range(-4, 4)
    still, swapped = (certify_weights(SMALL, SMALL_DESIGN, weights, mode) for mode in ("stationary", "swap"))
    assert (still.upper_ps <= swapped.upper_ps).all()
    assert (still.upper_ps < swapped.upper_ps).any()


def test_the_topological_delay_is_the_one_of_static_timing():
    found = certify_weights(SMALL, SMALL_DESIGN, range(-4, 4), "stationary")
    assert found.topological_ps == pytest.approx(topological_ps(SMALL, SMALL_DESIGN, np.arange(-4, 4)))


@pytest.mark.parametrize("mode", ["stationary", "swap"])
@pytest.mark.parametrize("codes", [(1,), (-4, 0, 2), (-4, -2, 0, 2), None])
def test_a_codebook_is_as_slow_as_its_slowest_member(mode, codes):
    members = range(-4, 4) if codes is None else codes
    each = certify_weights(SMALL, SMALL_DESIGN, members, mode)
    whole = certify_set(SMALL, SMALL_DESIGN, codes, mode=mode)
    assert whole.exact
    assert whole.upper_ps == each.upper_ps.max()
    weight = sum(whole.witness[net] << bit for bit, net in enumerate(WEIGHT_NETS))
    assert weight - 8 * (weight >> 2) in members


def test_a_carry_skip_adder_is_certified_far_below_its_longest_path():
    timed = carry_skip(1, 8, 4)
    design = made_design(1, widths={"a": 32, "act_q": 1}, lanes=made_design(1, weight="a[0]").lanes)
    found = certify_set(timed, design, None)
    assert found.exact
    assert found.upper_ps < 0.6 * found.topological_ps


def test_a_carry_skip_adder_has_the_delay_of_all_its_vectors():
    timed = carry_skip(2, 2, 3)
    design = made_design(1, widths={"a": 6, "act_q": 1}, lanes=made_design(1, weight="a[0]").lanes)
    found = certify_set(timed, design, None)
    latest = requirement_as(timed, weight_sinks(timed, design), all_vectors(13)).max() / AS_PER_PS
    assert found.upper_ps == latest < found.topological_ps


def test_results_do_not_depend_on_the_number_of_workers_and_progress_counts_them(monkeypatch):
    monkeypatch.setattr(certify, "FAMILY", 2)
    seen = []
    one = certify_weights(SMALL, SMALL_DESIGN, range(-4, 4), "swap", workers=1)
    two = certify_weights(SMALL, SMALL_DESIGN, range(-4, 4), "swap", workers=2,
                          progress=lambda done, total: seen.append((done, total)))
    assert (one.upper_ps == two.upper_ps).all()
    assert (one.witnesses == two.witnesses).all()
    assert seen == [(done, 8) for done in (2, 4, 6, 8)]


def test_a_killed_run_takes_up_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(certify, "FAMILY", 2)
    whole = certify_weights(SMALL, SMALL_DESIGN, range(-4, 4), "swap")

    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify_weights(SMALL, SMALL_DESIGN, range(-4, 4), "swap", progress=stop, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    # Of what was found last, a part is lost: its family is searched again, from the same witnesses.
    max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns).unlink()
    searched, search = [], certify.search
    monkeypatch.setattr(certify, "search", lambda *given: searched.append(1) or search(*given))
    again = certify_weights(SMALL, SMALL_DESIGN, range(-4, 4), "swap", folder=tmp_path)
    assert len(searched) == 6
    assert (again.upper_ps == whole.upper_ps).all()
    assert (again.witnesses == whole.witnesses).all()
    certify_weights(SMALL, SMALL_DESIGN, range(-4, 4), "stationary", folder=tmp_path)
    assert len(searched) == 14


def test_the_certificate_of_a_set_is_kept_too(tmp_path, monkeypatch):
    first = certify_set(SMALL, SMALL_DESIGN, [0, 1], folder=tmp_path)
    other = certify_set(SMALL, SMALL_DESIGN, [0, 2], folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.delattr(certify, "search")
    again = [certify_set(SMALL, SMALL_DESIGN, codes, folder=tmp_path) for codes in ([1, 0], [0, 2])]
    assert [one.upper_ps for one in again] == [first.upper_ps, other.upper_ps]
    assert again[0].witness == first.witness


def test_a_value_that_does_not_fit_is_refused():
    with pytest.raises(CertifyError, match=r"made: no weight has the value 4; they lie in -4\.\.3\."):
        certify_set(SMALL, SMALL_DESIGN, [0, 4])


def test_an_empty_codebook_is_refused():
    with pytest.raises(CertifyError, match="made: an empty set of weight values"):
        certify_weights(SMALL, SMALL_DESIGN, [], "swap")


def test_a_weight_that_reaches_nothing_is_refused():
    timed = core([source("weight_q[0]"), source("weight_q[1]"), source("x")], [], [sink("x")])
    with pytest.raises(CertifyError, match=r"made: no register of core depends on the weight \(weight_q\)"):
        certify_set(timed, made_design(2), None)
