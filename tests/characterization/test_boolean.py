import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.boolean import Function, column, parse_function
from characterization.errors import LibertyError

PINS = ("A", "B", "C", "D")


def spelled(tree):
    """Liberty text of a nested tuple."""
    if isinstance(tree, str):
        return tree
    operator, *parts = tree
    if operator == "!":
        return f"!({spelled(parts[0])})"
    if operator == "'":
        return f"({spelled(parts[0])})'"
    return f"({spelled(parts[0])}){operator}({spelled(parts[1])})"


def value(tree, inputs):
    """What the tree means, without tables."""
    if isinstance(tree, str):
        return inputs[tree]
    operator, *parts = tree
    values = [value(part, inputs) for part in parts]
    if operator in "!'":
        return 1 - values[0]
    return {"+": max, "|": max, "^": lambda a, b: a ^ b}.get(operator, min)(*values)


TREES = st.recursive(
    st.sampled_from(PINS),
    lambda children: st.one_of(
        st.tuples(st.sampled_from("!'"), children), st.tuples(st.sampled_from("&*+|^ "), children, children)
    ),
    max_leaves=12,
)


@given(TREES)
def test_a_truth_table_says_what_its_expression_says(tree):
    function = parse_function(spelled(tree), PINS)
    for bits in itertools.product((0, 1), repeat=len(PINS)):
        inputs = dict(zip(PINS, bits, strict=True))
        pattern = sum(inputs[pin] << i for i, pin in enumerate(function.pins))
        assert function.value(pattern) == value(tree, inputs)


@pytest.mark.parametrize(("text", "same"), [
    ("A B + C", "(A*B)|C"), ("A^B C", "(A^B)&C"), ("!A' B", "(!(A'))&B"), ("!(!(!A))", "A'"), ("A & 1 + 0", "A"),
])
def test_precedence_is_that_of_liberty(text, same):
    assert parse_function(text, PINS) == parse_function(same, PINS)


def test_only_named_pins_count_in_the_order_of_the_cell():
    assert parse_function("D & A", PINS).pins == ("A", "D")
    assert parse_function("B", PINS) == Function(("B",), 0b10)


def test_share_is_the_part_of_patterns_that_give_one():
    assert parse_function("A B", PINS).share == 0.25
    assert column(2, 3) == 0b11110000


@pytest.mark.parametrize(("text", "message"), [
    ("A & X", "names X, which is none of A, B, C, D"),
    ("A ? B", "unknown character '\\?'"),
    ("(A B", "lacks a closing bracket"),
    ("A &", "has 'its end' where an operand should be"),
    ("A + )", r"has '\)' where an operand should be"),
    ("A) B", r"cannot be read beyond its token 2, '\)'"),
])
def test_a_malformed_expression_is_refused(text, message):
    with pytest.raises(LibertyError, match=message):
        parse_function(text, PINS)


def test_a_function_of_too_many_inputs_is_refused():
    pins = tuple(f"A{i}" for i in range(13))
    with pytest.raises(LibertyError, match="has 13 inputs; at most 12"):
        parse_function("&".join(pins), pins)
