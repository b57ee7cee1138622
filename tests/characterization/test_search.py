from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import characterization.search
from characterization.design import read_design
from characterization.equivalence import prove_equivalent
from characterization.errors import SynthesisError
from characterization.liberty import read_liberty
from characterization.pdk import read_pdk
from characterization.recipes import QUICK, Recipe, recipe_named
from characterization.search import fastest, mapped, recipes_of, search
from tests.needs import needs_osu018

RTL = Path(__file__).parents[2] / "rtl"
pytestmark = [
    pytest.mark.tool, needs_osu018,
]
BROKEN = Recipe("broken", "strash;no_such_command")


def pot():
    return read_design(RTL / "systolic_pe_pot"), read_pdk("osu018").corners[0]


def test_the_fastest_recipe_comes_first_and_its_netlist_is_the_one_that_was_timed(tmp_path):
    design, corner = pot()
    seen = []
    recipes = [recipe_named("as-written"), recipe_named("resynthesized")]
    found = search(design, corner, (), tmp_path, recipes, lambda *step: seen.append(step))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert {each.recipe for each in found} == {"as-written", "resynthesized"}
    assert found[0].period_ps < found[1].period_ps
    assert found[0].period_ps == max(found[0].worst_ps, found[0].floor_ps) > 0
    netlist = mapped(design, corner, (), tmp_path, recipe_named(found[0].recipe))
    assert len(netlist.cells) == found[0].n_cells


def test_what_was_tried_is_not_tried_again(tmp_path, monkeypatch):
    design, corner = pot()
    first = search(design, corner, (), tmp_path, [recipe_named("shared")])
    monkeypatch.setattr(characterization.search, "try_recipe", lambda *_: pytest.fail("tried again"))
    assert search(design, corner, (), tmp_path, [recipe_named("shared")]) == first


def test_a_script_that_fails_costs_only_itself(tmp_path):
    design, corner = pot()
    good, bad = search(design, corner, (), tmp_path, [BROKEN, recipe_named("shared")])
    assert (good.recipe, good.failure) == ("shared", "")
    assert "ERROR" in bad.failure
    with pytest.raises(SynthesisError, match="ERROR"):
        search(design, corner, (), tmp_path, [BROKEN])


def test_a_design_that_names_its_recipe_gets_no_other(tmp_path):
    design, corner = pot()
    assert [recipe.name for recipe in recipes_of(design)] == list(QUICK)
    named = replace(design, recipe="shared+adders")
    netlist, best = fastest(named, corner, (), tmp_path)
    assert best.recipe == "shared+adders"
    kinds = Counter(cell.kind for cell in netlist.cells)
    # One full adder for each bit but the highest, of which no carry is wanted.
    assert kinds["FAX1"] == 23
    prove_equivalent(netlist, named, read_liberty(corner.liberty))


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["booth", "adders", "hierarchy"])
def test_every_extra_yields_a_netlist_that_is_proved_equal(extra, tmp_path):
    design, corner = read_design(RTL / "systolic_pe_int4"), read_pdk("osu018").corners[0]
    netlist, _ = fastest(replace(design, recipe=f"choices+{extra}"), corner, (), tmp_path)
    assert prove_equivalent(netlist, design, read_liberty(corner.liberty)).n_registers == 66
