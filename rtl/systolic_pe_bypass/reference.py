"""Bit-exact model of the systolic processing element with a bypass.

Values are signed integers, numpy int64 arrays or symbolic words; only operators that mean the same on all of them and
the functions given are used, so one text serves simulation and proof.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

ACC_BITS = 24


def result(weights: Sequence[Any], activations: Sequence[Any], accumulator: Any, wrap: Callable[..., Any]) -> Any:
    """Return what one operation yields, both words together: one weight and one activation (int8), a partial sum."""
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


def compress(rows: Sequence[Any], negative: Sequence[Any], total: Any, carry: Any) -> tuple[Any, Any]:
    """Return the two words of a partial sum plus four rows, each in its place, plus what their negations lack."""
    t0, t1 = rows[0] + (1 << 10), (rows[1] + (1 << 8) + (1 << 9)) << 2
    t2, t3 = (rows[2] + (1 << 8) + (1 << 9)) << 4, (rows[3] - (1 << 8)) << 6
    sum_a, carry_a = carry_save(t0, t1, t2, 4, negative[2])
    sum_b, carry_b = carry_save(t3, total, carry, 6, negative[3])
    sum_c, carry_c = carry_save(sum_a | (t0 & 15), carry_a | (t1 & 15), sum_b | (total & 63), 2, negative[1])
    return carry_save(sum_c | (t0 & 3), carry_c | (total & 3), carry_b | (carry & 63), 0, negative[0])


def bypass(now: Mapping[str, Any], rows: Sequence[Any], select: Callable[..., Any]) -> tuple[Any, Any, Any]:
    """Return whether the weight has at most one digit, and the two words that the short way makes of it."""
    bits = [0, *(now[f"weight_q[{bit}]"] for bit in range(8))]
    used = [(bits[2 * i + 2] ^ bits[2 * i + 1]) | (bits[2 * i + 1] ^ bits[2 * i]) for i in range(4)]
    several = (used[0] & used[1]) | ((used[0] | used[1]) & (used[2] | used[3])) | (used[2] & used[3])
    row, minus = 0, 0
    for digit, use in enumerate(used):
        # A negated row is shifted in with ones: its carry enters at the very bottom.
        shifted = (rows[digit] << (2 * digit)) | select(bits[2 * digit + 2], (1 << (2 * digit)) - 1, 0)
        row, minus = row | select(use, shifted, 0), minus | (use & bits[2 * digit + 2])
    total, carry = carry_save(row, now["sum_in"], now["carry_in"], 0, minus)
    return several ^ 1, total, carry


def next_state(now: Mapping[str, Any], wrap: Callable[..., Any], select: Callable[..., Any]) -> dict[str, Any]:
    """Return every register after a clock edge, from the ports and registers before it, by name."""
    rows, negative = zip(*(booth_row(now, digit, select) for digit in range(4)), strict=True)
    total, carry = compress(rows, negative, now["sum_in"], now["carry_in"])
    single, short_total, short_carry = bypass(now, rows, select)
    total, carry = select(single, short_total, total), select(single, short_carry, carry)
    return {
        "act_out": now["act_in"],
        "weight_out": select(now["weight_shift"], now["weight_in"], now["weight_out"]),
        "weight_q": select(now["swap_in"], now["weight_out"], now["weight_q"]),
        "swap_out": select(now["rst"], 0, now["swap_in"]),
        "valid_out": select(now["rst"], 0, select(now["swap_out"], 0, now["valid_in"])),
        "sum_out": wrap(total, ACC_BITS),
        "carry_out": wrap(carry, ACC_BITS),
    }
