"""Cycles and SRAM accesses of one matrix product on a systolic array, weight-, output- or input-stationary.

A product `[m, k] x [k, n]` (m rows of activations, n outputs, k the reduction) runs in folds: what one array of R x C
elements holds at once. Weight-stationary folds hold R x C weights, and m rows of activations pass by; output-stationary
ones hold R x C sums, while k pairs pass by; input-stationary ones hold R x C activations, and n columns of weights pass
by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dataflow = Literal["ws", "os", "is"]
Mode = Literal["overlapped", "scalesim"]


@dataclass(frozen=True, slots=True)
class Array:
    """An array and how it is driven.

    Attributes:
        rows, cols: R and C.
        mode: `scalesim` counts as SCALE-Sim 3.0.0 does, every fold by itself; `overlapped` (double-buffered) loads the
            next fold's stationary operand, or drains the last fold's sums, while a fold runs, and fills and drains the
            skewed wavefront once per product.
        bubble: whether an overlapped fold spends one cycle, so that what is stationary is visible one full cycle before
            the first result that counts.
    """

    rows: int
    cols: int
    dataflow: Dataflow = "ws"
    mode: Mode = "overlapped"
    bubble: bool = True

    @property
    def skew_cycles(self) -> int:
        """Cycles that a wavefront takes from the first element to the last one."""
        return self.rows + self.cols - 2


@dataclass(frozen=True, slots=True)
class Accesses:
    """Words read from and written to the SRAMs of activations, weights and sums."""

    activation_reads: int
    weight_reads: int
    sum_writes: int


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient, rounded up.

    >>> ceil_div(9, 4)
    3
    """
    return -(-numerator // denominator)


def grid(m: int, n: int, k: int, array: Array) -> tuple[int, int]:
    """Return how many folds lie along the array's rows and along its columns.

    >>> grid(7, 9, 11, Array(4, 8, "ws")), grid(7, 9, 11, Array(4, 8, "os")), grid(7, 9, 11, Array(4, 8, "is"))
    ((3, 2), (2, 2), (3, 1))
    """
    down = m if array.dataflow == "os" else k
    across = m if array.dataflow == "is" else n
    return ceil_div(down, array.rows), ceil_div(across, array.cols)


def n_folds(m: int, n: int, k: int, array: Array) -> int:
    """Return the folds of a product."""
    down, across = grid(m, n, k, array)
    return down * across


def streamed(m: int, n: int, k: int, dataflow: Dataflow) -> int:
    """Return how many operands pass each element in a fold."""
    return {"ws": m, "os": k, "is": n}[dataflow]


def fold_cycles(m: int, n: int, k: int, array: Array) -> int:
    """Return the cycles of one fold.

    >>> fold_cycles(128, 128, 128, Array(128, 128, "ws", "scalesim")), fold_cycles(512, 1, 1, Array(128, 128))
    (510, 513)
    """
    passing = streamed(m, n, k, array.dataflow)
    if array.mode == "overlapped":
        # Sums leave an output-stationary array on wires of their own; nothing in it is swapped.
        return max(passing, array.rows) + (array.bubble and array.dataflow != "os")
    return passing + array.skew_cycles + (0 if array.dataflow == "os" else array.rows)


def edge_cycles(array: Array) -> int:
    """Return the cycles that a product adds to those of its folds: fill and drain, once, when overlapped."""
    # SCALE-Sim names the last cycle, counted from 0.
    return array.skew_cycles if array.mode == "overlapped" else -1


def product_cycles(m: int, n: int, k: int, array: Array) -> int:
    """Return the cycles of one product.

    >>> [product_cycles(7, 9, 11, Array(4, 8, flow, "scalesim")) for flow in ("ws", "os", "is")]
    [125, 83, 68]
    """
    return n_folds(m, n, k, array) * fold_cycles(m, n, k, array) + edge_cycles(array)


def accesses(m: int, n: int, k: int, array: Array) -> Accesses:
    """Return the SRAM accesses of one product, as SCALE-Sim counts them.

    Sums that come from several folds are written once each and their reading back is not counted; SCALE-Sim's own
    count of output-stationary sums carries R + C more for each fold, which nothing writes.
    """
    down, across = grid(m, n, k, array)
    if array.dataflow == "ws":
        return Accesses(m * k * across, k * n, m * n * down)
    if array.dataflow == "os":
        return Accesses(m * k * across, k * n * down, m * n)
    return Accesses(m * k, k * n * across, m * n * down)


def utilization(m: int, n: int, k: int, array: Array) -> float:
    """Return the share of element-cycles that do a useful operation."""
    # A product that SCALE-Sim reports with c cycles takes c + 1.
    cycles = product_cycles(m, n, k, array) + (array.mode == "scalesim")
    return m * n * k / (cycles * array.rows * array.cols)
