from itertools import permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from halo.switching import Block, order_blocks

STAGES = st.lists(st.tuples(st.sets(st.sampled_from("abc"), min_size=1), st.booleans()), min_size=1, max_size=4)


def build(raw):
    return [[Block(str(i), name, fixed and len(names) == 1) for name in sorted(names)]
            for i, (names, fixed) in enumerate(raw)]


def circle(names):
    return sum(a != b for a, b in zip(names, names[1:] + names[:1], strict=True))


@settings(max_examples=60, deadline=None)
@given(STAGES)
def test_no_order_changes_the_clock_less_than_the_one_chosen(raw):
    stages = build(raw)
    chosen = order_blocks(stages)
    best = min(circle([b.codebook for stage in order for b in stage]) for order in product(*map(permutations, stages)))
    assert circle([b.codebook for b in chosen]) == best


@given(STAGES)
def test_every_block_runs_once_and_stages_keep_their_order(raw):
    stages = build(raw)
    chosen = order_blocks(stages)
    assert sorted(chosen, key=repr) == sorted((b for stage in stages for b in stage), key=repr)
    assert [int(b.stage) for b in chosen] == sorted(int(b.stage) for b in chosen)


def test_two_classes_cost_one_change_per_dependent_stage():
    # 32 layers of LLaMA-2-7B: q+k+v, o, gate+up, down.
    stages = [[Block(str(i), "fast", False), Block(str(i), "slow", False)] for i in range(128)]
    assert circle([b.codebook for b in order_blocks(stages)]) == 128
    assert circle([b.codebook for b in order_blocks(stages, alternating=False)]) == 256


def test_no_stages_need_no_order():
    assert order_blocks([]) == []
