"""Bit-exact model of the four-lane dot product.

Values are signed integers, numpy int64 arrays or symbolic words; only `+`, `*` and the functions given are used, so
one text serves simulation and proof.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

LANES = ((7, 0), (15, 8), (23, 16), (31, 24))
PRODUCTS = ((15, 0), (31, 16), (47, 32), (63, 48))


def result(weights: Sequence[Any], activations: Sequence[Any], accumulator: Any, wrap: Callable[..., Any]) -> Any:
    """Return what one operation yields: four weights and activations (int8), an int32 sum."""
    for weight, activation in zip(weights, activations, strict=True):
        accumulator = accumulator + activation * weight
    return wrap(accumulator, 32)


def next_state(now: Mapping[str, Any], wrap: Callable[..., Any], select: Callable[..., Any]) -> dict[str, Any]:
    """Return every register after a clock edge, from the ports and registers before it, by name."""
    after = {
        "act_q": now["act_in"],
        "weight_q": now["weight_in"],
        "valid_q[0]": select(now["rst"], 0, now["valid_in"]),
        "valid_q[1]": select(now["rst"], 0, now["valid_q[0]"]),
        "valid_out": select(now["rst"], 0, now["valid_q[1]"]),
    }
    total = now["acc_in"]
    for (high, low), (top, bottom) in zip(LANES, PRODUCTS, strict=True):
        product = f"product_q[{top}:{bottom}]"
        after[product] = wrap(now[f"act_q[{high}:{low}]"] * now[f"weight_q[{high}:{low}]"], 16)
        total = total + now[product]
    return after | {"acc_out": wrap(total, 32)}
