"""Bit-exact model of the four-lane dot product.

Values are signed integers, numpy int64 arrays or symbolic words; only operators that mean the same on all of them and
the functions given are used, so one text serves simulation and proof.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

N_LANES = 4
OFFSET = -4 * 0x5800


def result(weights: Sequence[Any], activations: Sequence[Any], accumulator: Any, wrap: Callable[..., Any]) -> Any:
    """Return what one operation yields, both words together: four weights and activations (int8), an int32 sum."""
    for weight, activation in zip(weights, activations, strict=True):
        accumulator = accumulator + activation * weight
    return wrap(accumulator, 32)


def carry_save(one: Any, other: Any, third: Any, lowest: int = 0, carry_in: Any = 0) -> tuple[Any, Any]:
    """Return sum and carry of a row of full adders from column `lowest` upwards; lower bits are dropped."""
    x, y, z = one & (-1 << lowest), other & (-1 << lowest), third & (-1 << lowest)
    return x ^ y ^ z, (((x & y) | (z & (x ^ y))) << 1) | (carry_in << lowest)


def booth_row(now: Mapping[str, Any], lane: int, digit: int, select: Callable[..., Any]) -> tuple[Any, Any]:
    """Return a digit's multiple of a lane's activation, less one if it is negated, and whether it is."""
    act, place = now[f"act_q[{8 * lane + 7}:{8 * lane}]"], 8 * lane + 2 * digit
    low = now[f"weight_q[{place - 1}]"] if digit else 0
    middle, high = now[f"weight_q[{place}]"], now[f"weight_q[{place + 1}]"]
    one, two = middle ^ low, (high & ~middle & ~low) | (~high & middle & low)
    size = select(one, act, select(two, act << 1, 0))
    return select(high, ~size, size), high


def product(now: Mapping[str, Any], lane: int, select: Callable[..., Any]) -> tuple[Any, Any]:
    """Return the two words of a lane's product, by columns."""
    rows, negative = zip(*(booth_row(now, lane, digit, select) for digit in range(4)), strict=True)
    t0, t1, t2, t3 = (row + (1 << (8 if i else 10)) << 2 * i for i, row in enumerate(rows))
    sum_a, carry_a = carry_save(t0, t1, t2, 2, negative[1])
    sum_b, carry_b = carry_save(sum_a, carry_a, t3 | (negative[2] << 4), 2)
    sum_c, carry_c = carry_save(sum_b, carry_b, 0, 6, negative[3])
    return sum_c | (sum_b & 0x3C) | (t0 & 3), carry_c | (carry_b & 0x38) | negative[0]


def eight_words(now: Mapping[str, Any]) -> list[Any]:
    """Return the sum and the carry of each lane, by columns."""
    words = []
    for lane in range(N_LANES):
        carry = now[f"carry_q[{13 * lane + 12}:{13 * lane + 1}]"] & 0xFFF
        words += [now[f"sum_q[{15 * lane + 14}:{15 * lane}]"] & 0x7FFF, (carry << 3) | now[f"carry_q[{13 * lane}]"]]
    return words


def three_words(words: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Return three words that add up to eight."""
    waiting = words[7] & 1
    s1a, c1a = carry_save(words[0], words[1], words[2])
    s1b, c1b = carry_save(words[3], words[4], words[5])
    s2a, c2a = carry_save(s1a, c1a, s1b)
    s2b, second = carry_save(c1b, words[6], words[7] ^ waiting, 0, waiting)
    return *carry_save(s2a, c2a, s2b), second


def accumulated(now: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the two words of the accumulator with the total added."""
    acc, acc_carry, total = now["acc_in"], now["acc_carry_in"], now["total_q"] & 0xFFFF
    first, second = (now["first_q"] & 0xFFFF) << 1, (now["second_q[13:2]"] & 0xFFF) << 4
    sum_a, carry_a = carry_save(acc, acc_carry, OFFSET, 13)
    sum_b, carry_b = carry_save(total, first, second | (now["second_q[1]"] << 2), 2)
    x, y, z = sum_a | (acc & 0x1FFF), carry_a | (acc_carry & 0x1FFF), sum_b | (total & 3)
    sum_c, carry_c = carry_save(x, y, z, 1)
    rest = carry_b | (first & 2) | (total & 1)
    return carry_save(sum_c | (acc & 1), carry_c | (acc_carry & 1), rest, 0, now["second_q[0]"])


def next_state(now: Mapping[str, Any], wrap: Callable[..., Any], select: Callable[..., Any]) -> dict[str, Any]:
    """Return every register after a clock edge, from the ports and registers before it, by name."""
    after = {
        "act_q": now["act_in"],
        "weight_q": now["weight_in"],
        "valid_q[0]": select(now["rst"], 0, now["valid_in"]),
        "valid_q[1]": select(now["rst"], 0, now["valid_q[0]"]),
        "valid_q[2]": select(now["rst"], 0, now["valid_q[1]"]),
        "valid_out": select(now["rst"], 0, now["valid_q[2]"]),
    }
    for lane in range(N_LANES):
        total, carry = product(now, lane, select)
        after[f"sum_q[{15 * lane + 14}:{15 * lane}]"] = wrap(total, 15)
        after[f"carry_q[{13 * lane + 12}:{13 * lane}]"] = wrap((carry & 1) | ((carry >> 3) << 1), 13)
    total, first, second = three_words(eight_words(now))
    acc, acc_carry = accumulated(now)
    return after | {
        "total_q": wrap(total, 16), "first_q": wrap(first >> 1, 16),
        "second_q": wrap((second & 1) | ((second >> 1) & 2) | ((second >> 4) << 2), 14),
        "acc_out": wrap(acc, 32), "acc_carry_out": wrap(acc_carry, 32),
    }
