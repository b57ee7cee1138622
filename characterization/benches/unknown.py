"""unknown_nets(): which nets hold neither 0 nor 1, in words. Imported inside the simulator, by every bench."""

from __future__ import annotations

from collections.abc import Sequence


def unknown_nets(bits: str, names: Sequence[str]) -> str:
    """Return the first net that is X or Z, and how many more are; '' where every bit is known.

    Args:
        bits: as the simulator prints them, the highest first.
        names: of the nets, the lowest first.

    >>> unknown_nets("0X1Z", ["sum[0]", "sum[1]", "sum[2]", "sum[3]"])
    'net sum[0] is Z (one of 2 that are neither 0 nor 1)'
    >>> unknown_nets("01", ["a", "b"])
    ''
    """
    found = [(name, bit.upper()) for name, bit in zip(names, reversed(bits), strict=True) if bit not in "01"]
    if not found:
        return ""
    count = f" (one of {len(found)} that are neither 0 nor 1)" if len(found) > 1 else ""
    return f"net {found[0][0]} is {found[0][1]}{count}"
