"""prime_cubes(): the prime implicants of a truth table and of its complement."""

from __future__ import annotations

from functools import lru_cache

from characterization.boolean import column

Cube = tuple[int, int]


@lru_cache(maxsize=4096)
def prime_cubes(truth: int, n_inputs: int) -> tuple[tuple[Cube, ...], tuple[Cube, ...]]:
    """Return the primes of a function's complement and of the function.

    A cube is (mask, values): the inputs it names, and their bits. Whenever they have these bits the output is 0 (first
    tuple) or 1 (second), and none of them can be left out.

    >>> prime_cubes(0b1000, 2)  # A and B
    (((1, 0), (2, 0)), ((3, 3),))
    """
    everything = (1 << (1 << n_inputs)) - 1
    return primes_of(everything & ~truth, n_inputs), primes_of(everything & truth, n_inputs)


@lru_cache(maxsize=4096)
def lasting_cubes(truth: int, n_inputs: int) -> tuple[tuple[Cube, ...], tuple[Cube, ...]]:
    """Return the primes on which an output may be relied while the other inputs move; as `prime_cubes`.

    A multiplexer whose two data agree does not depend on its select in logic, but while the select moves it is driven
    by neither: in SPICE its output is up to 1.7 times as late as that prime promises. So where the primes that name
    every input which acts in both senses suffice to describe the function, the others are left out.

    >>> lasting_cubes(0b11001010, 3)[1]  # inputs 0 and 1, selected by input 2: their agreement is no prime here
    ((5, 1), (6, 6))
    """
    both = sum(1 << pin for pin in range(n_inputs) if is_binate(truth, n_inputs, pin))
    sides = []
    for side in prime_cubes(truth, n_inputs):
        named = tuple(cube for cube in side if cube[0] & both == both)
        sides.append(named if covered(named, n_inputs) == covered(side, n_inputs) else side)
    return sides[0], sides[1]


def is_binate(truth: int, n_inputs: int, pin: int) -> bool:
    """Return whether an input raises the output in some state of the others, and lowers it in another.

    >>> is_binate(0b0110, 2, 0), is_binate(0b1000, 2, 0)
    (True, False)
    """
    high = column(pin, n_inputs)
    with_it, without = truth >> (1 << pin) & ~high, truth & ~high & (1 << (1 << n_inputs)) - 1
    return bool(with_it & ~without) and bool(without & ~with_it)


def covered(cubes: tuple[Cube, ...], n_inputs: int) -> int:
    """Return the truth table of the union of cubes."""
    table = 0
    for mask, values in cubes:
        table |= patterns_of(mask, values, n_inputs)
    return table


def primes_of(truth: int, n_inputs: int) -> tuple[Cube, ...]:
    """Return the primes of one function, those with few inputs first."""
    found: list[Cube] = []
    for mask in sorted(range(1 << n_inputs), key=lambda m: (m.bit_count(), m)):
        for values in subsets(mask):
            covered = any(values & m == v and mask & m == m for m, v in found)
            if not covered and patterns_of(mask, values, n_inputs) & ~truth == 0:
                found.append((mask, values))
    return tuple(found)


def subsets(mask: int) -> list[int]:
    """Return every subset of the bits of `mask`, in order.

    >>> subsets(0b101)
    [0, 1, 4, 5]
    """
    found = [0]
    while (following := (found[-1] - mask) & mask) != 0:
        found.append(following)
    return found


def patterns_of(mask: int, values: int, n_inputs: int) -> int:
    """Return the input patterns in which a cube holds, as a truth table."""
    table = (1 << (1 << n_inputs)) - 1
    for pin in range(n_inputs):
        if mask >> pin & 1:
            table &= column(pin, n_inputs) if values >> pin & 1 else ~column(pin, n_inputs)
    return table
