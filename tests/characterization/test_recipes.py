import pytest

from characterization.errors import DesignError
from characterization.recipes import DEFAULT, EXTRAS, SCRIPTS, all_recipes, recipe_named


def test_a_name_says_the_script_and_what_else_is_done():
    recipe = recipe_named("shared+booth+adders")
    assert (recipe.abc_script, recipe.booth, recipe.adders, recipe.hierarchy) == (SCRIPTS["shared"], True, True, False)
    assert recipe_named(DEFAULT).abc_script == SCRIPTS[DEFAULT]


@pytest.mark.parametrize("name", ["", "fast", "shared+fast", "shared+booth+booth", "booth"])
def test_an_unknown_recipe_is_refused_with_those_there_are(name):
    with pytest.raises(DesignError, match=r"no recipe '.*'; it is one of as-written, .*, and any of \+booth, \+adders"):
        recipe_named(name)


def test_every_script_is_tried_with_every_choice_of_extras():
    assert len({recipe.name for recipe in all_recipes()}) == len(SCRIPTS) * 2 ** len(EXTRAS)
    assert [recipe.name for recipe in all_recipes(())] == list(SCRIPTS)
