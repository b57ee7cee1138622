"""Bit-exact model of the power-of-two systolic processing element.

Values are signed integers, numpy int64 arrays or symbolic words; only operators that mean the same on all of them and
the functions given are used, so one text serves simulation and proof.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

ACC_BITS = 24


def result(weights: Sequence[Any], activations: Sequence[Any], accumulator: Any, wrap: Callable[..., Any]) -> Any:
    """Return what one operation yields, both words together: one weight's value, one activation (int8), a sum."""
    return wrap(accumulator + activations[0] * weights[0], ACC_BITS)


def row_of(now: Mapping[str, Any], select: Callable[..., Any]) -> tuple[Any, Any]:
    """Return the shifted activation, less one if it is negated, and whether it is, from sign and exponent."""
    act, sign = now["act_in"], now["weight_q[3]"]
    low, middle, high = (now[f"weight_q[{bit}]"] for bit in range(3))
    shifted = [select(sign, act << 7, 0), act, act << 1, act << 2, act << 3, act << 4, act << 5, act << 6]
    pairs = [select(low, odd, even) for even, odd in zip(shifted[::2], shifted[1::2], strict=True)]
    size = select(high, select(middle, pairs[3], pairs[2]), select(middle, pairs[1], pairs[0]))
    return select(sign, ~size, size), sign


def next_state(now: Mapping[str, Any], wrap: Callable[..., Any], select: Callable[..., Any]) -> dict[str, Any]:
    """Return every register after a clock edge, from the ports and registers before it, by name."""
    (row, negative), one, other = row_of(now, select), now["sum_in"], now["carry_in"]
    total = row ^ one ^ other
    carry = (((row & one) | (other & (row ^ one))) << 1) | negative
    return {
        "act_out": now["act_in"],
        "weight_out": select(now["weight_shift"], now["weight_in"], now["weight_out"]),
        "weight_q": select(now["swap_in"], now["weight_out"], now["weight_q"]),
        "swap_out": select(now["rst"], 0, now["swap_in"]),
        "valid_out": select(now["rst"], 0, select(now["swap_out"], 0, now["valid_in"])),
        "sum_out": wrap(total, ACC_BITS),
        "carry_out": wrap(carry, ACC_BITS),
    }
