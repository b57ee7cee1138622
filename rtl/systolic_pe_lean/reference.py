"""Bit-exact model of the lean systolic processing element: that of the plain one.

Values are signed integers, numpy int64 arrays or symbolic words; only `+`, `*` and the functions given are used, so
one text serves simulation and proof.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

ACC_BITS = 24


def result(weights: Sequence[Any], activations: Sequence[Any], accumulator: Any, wrap: Callable[..., Any]) -> Any:
    """Return what one operation yields: one weight and one activation (int8), a partial sum of `ACC_BITS`."""
    return wrap(accumulator + activations[0] * weights[0], ACC_BITS)


def next_state(now: Mapping[str, Any], wrap: Callable[..., Any], select: Callable[..., Any]) -> dict[str, Any]:
    """Return every register after a clock edge, from the ports and registers before it, by name."""
    return {
        "act_out": now["act_in"],
        "weight_out": select(now["weight_shift"], now["weight_in"], now["weight_out"]),
        "weight_q": select(now["swap_in"], now["weight_out"], now["weight_q"]),
        "swap_out": select(now["rst"], 0, now["swap_in"]),
        "valid_out": select(now["rst"], 0, select(now["swap_out"], 0, now["valid_in"])),
        "acc_out": result([now["weight_q"]], [now["act_in"]], now["acc_in"], wrap),
    }
