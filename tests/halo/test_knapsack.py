import ctypes
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from halo.errors import ConfigError
from halo.knapsack import Choices, solve, total
from halo.mixed_integer import silent_stdout


def made(seed, items, options):
    rng = np.random.default_rng(seed)
    loss = np.sort(rng.lognormal(0, 1, (items, options)), 1)[:, ::-1].copy()
    usage = {"time": np.sort(rng.random((items, options)), 1), "energy": rng.random((items, options))}
    return Choices(loss, usage)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.3, 0.9), st.floats(0.3, 0.9))
def test_no_choice_within_the_budgets_loses_less(seed, time, energy):
    choices, budgets = made(seed, 6, 3), {"time": 6 * time, "energy": 6 * energy}
    every = [np.array(pick) for pick in product(range(3), repeat=6)]
    kept = [total(choices.loss, pick) for pick in every
            if all(total(choices.usage[name], pick) <= limit for name, limit in budgets.items())]
    if not kept:
        with pytest.raises(ConfigError, match="cannot be kept"):
            solve(choices, budgets)
        return
    found = solve(choices, budgets)
    assert found.loss == pytest.approx(min(kept))
    assert found.gap == 0
    assert all(total(choices.usage[name], found.picks) <= limit * (1 + 1e-9) for name, limit in budgets.items())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
@example(165)
@example(2622)  # what mends one budget may overrun the other
def test_above_the_exact_size_the_gap_tells_how_far_off_the_choice_may_be(seed):
    choices, budgets = made(seed, 300, 3), {"time": 140.0, "energy": 150.0}
    exact, quick = solve(choices, budgets), solve(choices, budgets, exact_items=0)
    assert quick.loss >= exact.loss * (1 - 1e-9)
    assert quick.loss <= exact.loss * (1 + quick.gap + 1e-9)
    assert quick.gap < 0.05
    assert all(total(choices.usage[name], quick.picks) <= limit * (1 + 1e-9) for name, limit in budgets.items())


def test_twenty_thousand_items_are_solved_exactly():
    choices = made(1, 20_000, 2)
    found = solve(choices, {"time": 9_000.0})
    assert found.gap <= 1e-6
    assert total(choices.usage["time"], found.picks) <= 9_000.0


def test_the_solver_prints_nothing_and_what_was_printed_before_still_arrives(capfd):
    libc = ctypes.CDLL(None)
    libc.puts(b"before")
    solve(made(6, 300, 3), {"time": 140.0, "energy": 150.0})  # HiGHS prints a line here, past its options
    with silent_stdout():
        libc.puts(b"unseen")
    libc.puts(b"after")
    libc.fflush(None)
    assert capfd.readouterr().out == "before\nafter\n"


def test_without_budgets_the_least_loss_is_taken():
    choices = made(2, 5, 3)
    assert solve(choices, {"time": np.inf}).picks.tolist() == choices.loss.argmin(1).tolist()


def test_budgets_that_only_together_cannot_be_kept_are_named():
    choices = Choices(np.zeros((1, 2)), {"time": np.array([[1.0, 3.0]]), "energy": np.array([[3.0, 1.0]])})
    with pytest.raises(ConfigError, match="budgets time = 2, energy = 2 cannot be kept together; loosen one"):
        solve(choices, {"time": 2.0, "energy": 2.0})
