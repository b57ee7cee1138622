"""Bit-exact model of the Baugh-Wooley systolic processing element.

Values are signed integers, numpy int64 arrays or symbolic words; only operators that mean the same on all of them and
the functions given are used, so one text serves simulation and proof.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

ACC_BITS = 24


def result(weights: Sequence[Any], activations: Sequence[Any], accumulator: Any, wrap: Callable[..., Any]) -> Any:
    """Return what one operation yields, both words together: one weight and one activation (int8), a partial sum."""
    return wrap(accumulator + activations[0] * weights[0], ACC_BITS)


def carry_save(one: Any, other: Any, third: Any) -> tuple[Any, Any]:
    """Return sum and carry of a row of full adders."""
    return one ^ other ^ third, ((one & other) | (third & (one ^ other))) << 1


def row_of(now: Mapping[str, Any], bit: int, select: Callable[..., Any]) -> Any:
    """Return one bit of the weight times the activation, in its place, products with one sign bit inverted."""
    row = select(now[f"weight_q[{bit}]"], now["act_in"], 0) & 0xFF
    return (row ^ (0x7F if bit == 7 else 0x80)) << bit


def next_state(now: Mapping[str, Any], wrap: Callable[..., Any], select: Callable[..., Any]) -> dict[str, Any]:
    """Return every register after a clock edge, from the ports and registers before it, by name."""
    total, carry = row_of(now, 0, select) + (1 << 8) - (1 << 15), row_of(now, 1, select)
    for bit in range(2, 8):
        total, carry = carry_save(total, carry, row_of(now, bit, select))
    total, carry = carry_save(total, carry, now["sum_in"])
    # The two lowest carries of the partial sum pass by.
    total, carry = carry_save(total, carry, now["carry_in"] & ~3)
    carry = carry | (now["carry_in"] & 3)
    return {
        "act_out": now["act_in"],
        "weight_out": select(now["weight_shift"], now["weight_in"], now["weight_out"]),
        "weight_q": select(now["swap_in"], now["weight_out"], now["weight_q"]),
        "swap_out": select(now["rst"], 0, now["swap_in"]),
        "valid_out": select(now["rst"], 0, select(now["swap_out"], 0, now["valid_in"])),
        "sum_out": wrap(total, ACC_BITS),
        "carry_out": wrap(carry, ACC_BITS),
    }
