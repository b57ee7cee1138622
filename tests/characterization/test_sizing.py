from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from characterization.annotation import annotate
from characterization.constants import Constants
from characterization.corner_library import read_corner
from characterization.design import read_design
from characterization.equivalence import prove_equivalent
from characterization.netlist import Cell
from characterization.nldm import curve_at, value_at
from characterization.pdk import read_pdk
from characterization.recipes import recipe_named
from characterization.search import fastest, measured
from characterization.sizing import Change, apart, exchanged, families, resize
from characterization.sizing_view import view_of
from characterization.synthesis import synthesize
from characterization.timing_arrivals import arrivals, worst_ps
from characterization.timing_cases import weight_sources

ROOT = Path(__file__).parents[2]
SKY130 = ROOT.parent / "shared/pdk/sky130hd"
pytestmark = [pytest.mark.tool, pytest.mark.skipif(not SKY130.is_dir(), reason="the foundry's sky130 is not here")]


@lru_cache
def corner():
    return read_pdk("sky130hd").corners[0]


@lru_cache
def library():
    return read_corner(corner())


def dont_use():
    return read_pdk("sky130hd").dont_use


@lru_cache
def pe():
    design = read_design(ROOT / "rtl/systolic_pe_pot")
    with TemporaryDirectory() as folder:
        return design, synthesize(design, corner().liberty, Path(folder), dont_use(), recipe_named("choices"))


@lru_cache
def resized():
    design, netlist = pe()
    return resize(netlist, library(), corner(), design, dont_use(), rounds=6)


def test_the_period_becomes_shorter_and_nothing_but_kinds_of_cells_changes():
    design, netlist = pe()
    before, after = (view_of(each, library(), corner(), design) for each in (netlist, resized()))
    assert after.period_ps < 0.98 * before.period_ps
    assert [(cell.name, dict(cell.pins)) for cell in resized().cells] == [
        (cell.name, dict(cell.pins)) for cell in netlist.cells]
    prove_equivalent(resized(), design, library())


def test_the_same_netlist_is_resized_alike_every_time():
    design, netlist = pe()
    assert resize(netlist, library(), corner(), design, dont_use(), rounds=6).to_text() == resized().to_text()


def test_no_rounds_change_nothing():
    design, netlist = pe()
    seen = []
    assert resize(netlist, library(), corner(), design, rounds=0, progress=lambda *step: seen.append(step)) == netlist
    assert seen == [(0, 0)]


def test_a_path_is_required_nowhere_before_the_critical_one_arrives():
    design, netlist = pe()
    view = view_of(netlist, library(), corner(), design)
    slacks = [view.slack_ps(net) for net in view.required_ps]
    assert min(slacks) == pytest.approx(0, abs=1e-6)
    assert view.slack_ps("no such net") == float("inf")


def test_a_view_has_the_arrivals_of_static_timing_and_other_sizes_keep_its_shape():
    design, netlist = pe()
    first = view_of(netlist, library(), corner(), design)
    for view in (first, view_of(resized(), library(), corner(), design, first)):
        timed = annotate(view.joined, library(), corner(), design.clock)
        still = weight_sources(timed, design)
        sources = tuple(replace(source, launch_ps=np.full(2, -np.inf)) if source.net in still else source
                        for source in timed.sources)
        found = arrivals(replace(timed, sources=sources), Constants(timed.gates, {}, 1))
        assert view.period_ps == worst_ps(found, timed.sinks, 1)[0]
        assert all((view.arrival_ps[net] == times[:, 0]).all() for net, times in found.items())


def test_one_number_of_a_table_is_that_of_its_curve_to_the_last_bit():
    rng = np.random.default_rng(1)
    for cell in list(library().cells.values())[::40]:
        tables = [table for pin in cell.pins.values() for arc in pin.arcs for table in arc.delay if table is not None]
        for table in tables[:4]:
            for load, slew in zip(rng.uniform(-0.1, 1.2, 9), rng.uniform(-0.1, 1.2, 9), strict=True):
                at = load * table.other[-1], slew * table.slew_ps[-1]
                assert value_at(table, *at) == curve_at(table, at[0]).at(np.array(at[1]))
            for load, slew in product(table.other, table.slew_ps):
                assert value_at(table, load, slew) == curve_at(table, load).at(np.array(slew))


def test_a_family_has_one_function_and_leaves_alone_what_is_to_be_left_alone():
    kinds = families(library(), dont_use())
    assert "sky130_fd_sc_hd__nand2_4" in kinds["sky130_fd_sc_hd__nand2_1"]
    assert "sky130_fd_sc_hd__dfxtp_4" in kinds["sky130_fd_sc_hd__dfxtp_1"]
    assert not [name for name in kinds if "lpflow" in name or "clkbuf" in name]
    for name, others in kinds.items():
        for other in others:
            assert name in kinds[other]
            one, two = library().cells[name], library().cells[other]
            assert one.flop == two.flop
            assert {pin: one.pins[pin].function for pin in one.outputs} == {
                pin: two.pins[pin].function for pin in two.outputs}


def test_neighbours_never_change_together_and_no_more_than_asked():
    design, netlist = pe()
    joined = view_of(netlist, library(), corner(), design).joined
    driver = next(cell for cell in joined.cells if joined.loads.get(cell.pins.get("Y", "")))
    load = joined.loads[driver.pins["Y"]][0][0]
    other = next(cell for cell in joined.cells if not set(cell.pins.values()) & set(driver.pins.values()))
    changes = [Change(cell.name, "any", 1.0) for cell in (driver, load, driver, other)]
    assert [change.cell for change in apart(joined, changes, 9)] == [driver.name, other.name]
    assert len(apart(joined, changes, 1)) == 1


def test_exchanging_a_cell_keeps_its_pins():
    _, netlist = pe()
    cell = next(cell for cell in netlist.cells if cell.kind == "sky130_fd_sc_hd__nand2_1")
    changed = exchanged(netlist, [Change(cell.name, "sky130_fd_sc_hd__nand2_4", 1.0)], library())
    assert Cell(cell.name, "sky130_fd_sc_hd__nand2_4", cell.pins) in changed.cells
    assert len(changed.cells) == len(netlist.cells)


@pytest.mark.slow
def test_the_fastest_of_a_library_with_sizes_is_a_resized_netlist(tmp_path):
    design, _ = pe()
    netlist, best = fastest(design, corner(), dont_use(), tmp_path)
    assert best.recipe.endswith("+resized")
    assert measured(design, corner(), library(), netlist, recipe_named(best.recipe)) == best
