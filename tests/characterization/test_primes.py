from hypothesis import given
from hypothesis import strategies as st

from characterization.primes import prime_cubes


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
