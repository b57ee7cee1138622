"""The bit-exact model that stands beside a design: `reference.py`, loaded by path.

It defines two functions, on signed integers, numpy int64 arrays or symbolic words alike:

- `result(weights, activations, accumulator, wrap)`: what one operation yields; one weight and activation per lane.
- `next_state(now, wrap, select)`: every register after a clock edge, from the ports and registers before it. `now`
  is read by bus expression (`now["act_q[15:8]"]`); words of several bits are signed, single bits are 0 or 1.

`wrap(value, bits)` reduces to a two's complement word; `select(condition, one, other)` chooses by a single bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from characterization.design import MacDesign
from characterization.errors import DesignError


@dataclass(frozen=True, slots=True)
class Reference:
    """The two functions of a `reference.py`."""

    result: Callable[..., Any]
    next_state: Callable[..., Mapping[str, Any]]


def load_reference(design: MacDesign) -> Reference:
    """Return the functions of the design's `reference.py`.

    Raises:
        DesignError: the file does not run, or lacks one of them.
    """
    path = design.reference
    module = ModuleType(f"reference_{design.name}")
    module.__file__ = str(path)
    try:
        # Run from its text: importing would leave a __pycache__ in the designer's folder.
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except Exception as error:
        raise DesignError(f"{path}: does not run: {type(error).__name__}: {error}.") from error
    missing = [name for name in ("result", "next_state") if not callable(getattr(module, name, None))]
    if missing:
        raise DesignError(f"{path}: defines no function {' and no function '.join(missing)}; see rtl/systolic_pe.")
    return Reference(module.result, module.next_state)


def wrap(value: Any, bits: int) -> Any:
    """Return `value` reduced to a two's complement word of `bits` bits, for integers and integer arrays.

    >>> wrap(200, 8)
    -56
    """
    return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


def select(condition: Any, one: Any, other: Any) -> Any:
    """Return `one` where `condition` holds, else `other`, for integers and integer arrays.

    >>> select(1, 5, 7)
    5
    """
    if isinstance(condition, np.ndarray):
        return np.where(condition != 0, one, other)
    return one if condition else other
