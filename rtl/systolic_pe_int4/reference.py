"""Bit-exact model of the four-bit systolic processing element.

Values are signed integers, numpy int64 arrays or symbolic words; only operators that mean the same on all of them and
the functions given are used, so one text serves simulation and proof.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

ACC_BITS = 24


def result(weights: Sequence[Any], activations: Sequence[Any], accumulator: Any, wrap: Callable[..., Any]) -> Any:
    """Return what one operation yields, both words together: weight (int4), activation (int8), partial sum."""
    return wrap(accumulator + activations[0] * weights[0], ACC_BITS)


def carry_save(one: Any, other: Any, third: Any, lowest: int, carry_in: Any) -> tuple[Any, Any]:
    """Return sum and carry of a row of full adders from column `lowest` upwards; lower bits are dropped."""
    x, y, z = one & (-1 << lowest), other & (-1 << lowest), third & (-1 << lowest)
    return x ^ y ^ z, (((x & y) | (z & (x ^ y))) << 1) | (carry_in << lowest)


def booth_row(now: Mapping[str, Any], digit: int, select: Callable[..., Any]) -> tuple[Any, Any]:
    """Return a digit's multiple of the activation, less one if it is negated, and whether it is."""
    low = now[f"weight_q[{2 * digit - 1}]"] if digit else 0
    middle, high = now[f"weight_q[{2 * digit}]"], now[f"weight_q[{2 * digit + 1}]"]
    one, two = middle ^ low, (high & ~middle & ~low) | (~high & middle & low)
    size = select(one, now["act_in"], select(two, now["act_in"] << 1, 0))
    return select(high, ~size, size), high


def next_state(now: Mapping[str, Any], wrap: Callable[..., Any], select: Callable[..., Any]) -> dict[str, Any]:
    """Return every register after a clock edge, from the ports and registers before it, by name."""
    (row0, negative0), (row1, negative1) = (booth_row(now, digit, select) for digit in range(2))
    t0, t1, sum_in = row0 + (1 << 10), (row1 - (1 << 8)) << 2, now["sum_in"]
    sum_a, carry_a = carry_save(t0, t1, sum_in, 2, negative1)
    total, carry = carry_save(sum_a | (t0 & 3), carry_a | (sum_in & 3), now["carry_in"], 0, negative0)
    return {
        "act_out": now["act_in"],
        "weight_out": select(now["weight_shift"], now["weight_in"], now["weight_out"]),
        "weight_q": select(now["swap_in"], now["weight_out"], now["weight_q"]),
        "swap_out": select(now["rst"], 0, now["swap_in"]),
        "valid_out": select(now["rst"], 0, select(now["swap_out"], 0, now["valid_in"])),
        "sum_out": wrap(total, ACC_BITS),
        "carry_out": wrap(carry, ACC_BITS),
    }
