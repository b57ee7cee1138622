from hypothesis import given
from hypothesis import strategies as st

from characterization.primes import covered, is_binate, lasting_cubes, prime_cubes


def holds(cube, pattern):
    return pattern & cube[0] == cube[1]


@given(st.integers(0, 4).flatmap(lambda n: st.tuples(st.integers(0, 2 ** (2**n) - 1), st.just(n))))
def test_primes_are_all_the_cubes_that_force_a_value_and_cannot_do_without_any_input(function):
    truth, n = function
    for value, found in enumerate(prime_cubes(truth, n)):
        forcing = {
            (mask, bits) for mask in range(1 << n) for bits in range(1 << n) if bits & ~mask == 0
            and all(truth >> p & 1 == value for p in range(1 << n) if holds((mask, bits), p))
        }
        shorter = {cube: {(cube[0] & ~(1 << i), cube[1] & ~(1 << i)) for i in range(n) if cube[0] >> i & 1}
                   for cube in forcing}
        assert len(found) == len(set(found))
        assert set(found) == {cube for cube in forcing if not shorter[cube] & forcing}


FUNCTIONS = st.integers(0, 4).flatmap(lambda n: st.tuples(st.integers(0, 2 ** (2**n) - 1), st.just(n)))


@given(FUNCTIONS)
def test_lasting_primes_are_primes_that_still_describe_the_function(function):
    for lasting, primes in zip(lasting_cubes(*function), prime_cubes(*function), strict=True):
        assert set(lasting) <= set(primes)
        assert covered(lasting, function[1]) == covered(primes, function[1])


@given(FUNCTIONS)
def test_only_primes_without_an_input_that_acts_in_both_senses_are_not_lasting(function):
    truth, n = function
    both = sum(1 << pin for pin in range(n) if is_binate(truth, n, pin))
    for lasting, primes in zip(lasting_cubes(truth, n), prime_cubes(truth, n), strict=True):
        assert all(cube[0] & both != both for cube in set(primes) - set(lasting))
        assert both or lasting == primes
