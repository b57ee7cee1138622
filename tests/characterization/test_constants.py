import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from characterization.boolean import parse_function
from characterization.case_analysis import follow
from characterization.constants import FALL, RISE, UNKNOWN, Constants, evaluate, passing
from characterization.timed import Gate

TEXTS = ("!A", "A B C", "!(A+B) C", "A^B^C", "(A B)+(B C)+(A C)", "(!A*!C) + (!B*!C)", "A*!S + B*S", "!((A+B)*(C+S))")
VALUES = st.sampled_from((0, 1, UNKNOWN))


def arrays(values):
    return [np.array([value], dtype=np.int8) for value in values]


def completions(values):
    return itertools.product(*[(0, 1) if value == UNKNOWN else (value,) for value in values])


def output(truth, bits):
    return truth >> sum(bit << i for i, bit in enumerate(bits)) & 1


@given(st.sampled_from(TEXTS), st.lists(VALUES, min_size=4, max_size=4))
def test_a_value_is_known_exactly_if_all_completions_agree(text, values):
    function = parse_function(text, ("A", "B", "C", "S"))
    values = values[: len(function.pins)]
    seen = {output(function.truth, bits) for bits in completions(values)}
    assert evaluate(function.truth, arrays(values))[0] == (seen.pop() if len(seen) == 1 else UNKNOWN)


@given(st.sampled_from(TEXTS), st.lists(VALUES, min_size=4, max_size=4))
def test_an_edge_passes_exactly_if_some_completion_lets_it(text, values):
    function = parse_function(text, ("A", "B", "C", "S"))
    values = values[: len(function.pins)]
    found = passing(function.truth, arrays(values))[..., 0]
    for pin, value in enumerate(values):
        seen = set()
        for bits in completions(values) if value == UNKNOWN else ():
            low, high = (output(function.truth, (*bits[:pin], bit, *bits[pin + 1:])) for bit in (0, 1))
            if low != high:
                seen |= {(RISE, high), (FALL, low)}
        assert {(i, o) for i in (FALL, RISE) for o in (FALL, RISE) if found[pin, i, o]} == seen


@given(st.sampled_from(TEXTS), st.lists(VALUES, min_size=4, max_size=4))
def test_following_the_text_never_loses_an_edge_or_invents_a_constant(text, values):
    function = parse_function(text, ("A", "B", "C", "S"))
    inputs = arrays(values[: len(function.pins)])
    value, passes = follow(text, function.pins, inputs)
    exact = evaluate(function.truth, inputs)
    assert value[0] in (exact[0], UNKNOWN)
    assert (passes | ~passing(function.truth, inputs)).all()


def test_constants_spread_through_gates_and_stop_where_an_input_decides():
    none = np.zeros(0)
    gates = [Gate("u1", "AND2", "Y", "x", ("A", "B"), ("a", "b"), 0b1000, none, none),
             Gate("u2", "OR2", "Y", "y", ("A", "B"), ("x", "CONST1"), 0b1110, none, none)]
    constants = Constants(gates, {"a": np.array([0, 1], dtype=np.int8)}, 2)
    assert list(constants["x"]) == [0, UNKNOWN]
    assert list(constants["y"]) == [1, 1]
    assert list(constants.moves("b")) == [True, True]
