from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.corner_library import read_corner
from characterization.errors import LibertyError
from characterization.multi_input import multi_input_path, multi_input_text, read_multi_input
from characterization.pdk import pdk_from_liberty
from tests.characterization.small_library import library_text


@pytest.fixture(scope="module")
def corner(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.lib"
    path.write_text(library_text())
    return pdk_from_liberty(path).corner()


PAIRS = st.tuples(st.floats(1, 3).map(lambda x: float(f"{x:.4g}")), st.floats(0.1, 1).map(lambda x: float(f"{x:.4g}")))


@given(factors=st.dictionaries(st.tuples(st.just("Y"), st.integers(0, 1)), PAIRS, min_size=1))
def test_written_factors_are_read_back(corner, tmp_path_factory, factors):
    path = tmp_path_factory.mktemp("factors") / "x.multi_input.json"
    cells = {"NAND2": factors, "AOI21": factors}
    path.write_text(multi_input_text(cells))
    assert read_multi_input(path, read_corner(corner)) == cells


def test_factors_beside_a_liberty_file_belong_to_its_corner(corner):
    path = multi_input_path(corner.liberty[0])
    path.write_text(multi_input_text({"NAND2": {("Y", 0): (1.14, 0.6)}}))
    try:
        library = read_corner(replace(corner, multi_input=(2.0, 0.5)))
    finally:
        path.unlink()
    assert library.multi_input == {"NAND2": {("Y", 0): (1.14, 0.6)}}
    assert library.multi_input_source == "measured"


def test_a_stated_derate_applies_to_every_cell_of_several_inputs_but_flops(corner):
    library = read_corner(replace(corner, multi_input=(1.14, 0.6)))
    assert set(library.multi_input) == {"NAND2", "XOR2", "HA", "AOI21"}
    assert library.multi_input["HA"][library.cells["HA"].outputs[0], 1] == (1.14, 0.6)
    assert library.multi_input_source == "stated derate: late 1.14, early 0.6"


def test_a_library_without_factors_says_so(corner):
    library = read_corner(corner)
    assert library.multi_input == {}
    assert library.multi_input_source == "none: one input switches at a time"


@pytest.mark.parametrize(("text", "message"), [
    ("{", "no JSON"),
    ("[]", "not a file of multi-input factors with schema 1"),
    ('{"schema": 2, "cells": {}}', "not a file of multi-input factors with schema 1"),
    ('{"schema": 1, "cells": {"NAND9": {}}}', "names cell NAND9, which small lacks"),
    ('{"schema": 1, "cells": {"NAND2": {"Q": {}}}}', "cell NAND2 has no output 'Q'"),
    ('{"schema": 1, "cells": {"NAND2": []}}', "cell NAND2 has no output ''"),
    ('{"schema": 1, "cells": {"NAND2": {"Y": {"up": [1, 1]}}}}', r"pin Y, up = \[1, 1\]; expected fall or rise"),
    ('{"schema": 1, "cells": {"NAND2": {"Y": {"fall": [0.9, 0.5]}}}}', r"fall = \[0.9, 0.5\]; expected"),
])
def test_a_malformed_file_of_factors_is_refused(corner, tmp_path, text, message):
    (tmp_path / "bad.multi_input.json").write_text(text)
    with pytest.raises(LibertyError, match=message):
        read_multi_input(tmp_path / "bad.multi_input.json", read_corner(corner))
