from hypothesis import given
from hypothesis import strategies as st

from characterization.aig import FALSE, Aig
from characterization.linear import same_number
from characterization.word import Word, select_word, wrap_word

WIDTH = 12


def free_words(graph, count, width=WIDTH):
    return [Word(graph, tuple(graph.variable() for _ in range(width))) for _ in range(count)]


def carry_save(x, y, z):
    return x ^ y ^ z, ((x & y) | (z & (x ^ y))) << 1


def reduced(words, random):
    """Two words of the same sum, by full adders over words drawn in any order."""
    words = list(words)
    while len(words) > 2:
        random.shuffle(words)
        words = [*carry_save(*words[:3]), *words[3:]]
    return words


@given(st.integers(1, 8), st.randoms(use_true_random=False))
def test_a_tree_of_full_adders_adds_what_a_chain_does_in_whatever_order(count, random):
    graph = Aig()
    words = free_words(graph, count)
    chain = wrap_word(sum(words[1:], words[0]), WIDTH)
    found = [wrap_word(word, WIDTH).bits for word in reduced(words, random)]
    assert same_number(graph, found, chain.bits, WIDTH) is True
    assert same_number(graph, found, (chain + 1).bits, WIDTH) is False


def test_a_full_adder_with_one_wrong_gate_is_seen():
    graph = Aig()
    x, y, z = free_words(graph, 3)
    wrong = x ^ y ^ z, ((x & y) | (z & (x | (y & 0xFF7)))) << 1
    assert same_number(graph, [word.bits for word in wrong], (x + y + z).bits, WIDTH) is False


def test_parts_that_do_not_add_are_tried_for_every_pattern():
    graph = Aig()
    weight, act, total = free_words(graph, 2, 4) + free_words(graph, 1)
    rows = [select_word(Word(graph, (bit, FALSE)), act << i, 0) for i, bit in enumerate(weight.bits)]
    product = rows[0] + rows[1] + rows[2] - rows[3]
    assert same_number(graph, [wrap_word(product, WIDTH).bits, total.bits], (total + act * weight).bits, WIDTH) is True
    assert same_number(graph, [wrap_word(product, WIDTH).bits], (act * (weight + 1)).bits, WIDTH) is False


def test_what_depends_on_too_many_inputs_is_not_guessed_at():
    graph = Aig()
    bits = [graph.variable() for _ in range(17)]
    every = bits[0]
    for bit in bits[1:]:
        every = graph.both(every, bit)
    assert same_number(graph, [(every,)], (bits[0],), 1) is None
