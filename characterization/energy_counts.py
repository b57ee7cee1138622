"""read_activations(), read_histogram(): how often operands move, from files of NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from characterization.errors import SimulationError


def read_activations(path: Path, name: str, bits: int) -> np.ndarray:
    """Return recorded activations of one MAC, cycle after cycle, int64 [step], from a `.npy` file of integers.

    Args:
        path: the file.
        name: the design's.
        bits: of its activations.

    Raises:
        SimulationError: no such file, not integers in one row, or values beyond the design's activations.
    """
    values = read_array(path, "activations")
    if values.ndim != 1 or values.size < 2 or not np.issubdtype(values.dtype, np.integer):
        raise SimulationError(f"{path}: activations of shape {list(values.shape)} and type {values.dtype}; needed are "
                              "integers in one row, as one MAC sees them, at least two.")
    half = 1 << bits - 1
    if values.min() < -half or values.max() >= half:
        raise SimulationError(f"{path}: activations reach from {values.min()} to {values.max()}, beyond the "
                              f"{bits} bits of {name}.")
    return values.astype(np.int64)


def read_histogram(path: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return how often each move of an operand occurs, float64 in the shape of a table without its weights.

    Raises:
        SimulationError: no such file, another shape, or numbers that are no counts.
    """
    counts = read_array(path, "counts")
    if counts.shape != shape or not np.issubdtype(counts.dtype, np.number) or np.iscomplexobj(counts):
        raise SimulationError(f"{path}: counts of shape {list(counts.shape)} and type {counts.dtype}; {name} needs "
                              f"numbers of shape {list(shape)}, [previous, next] from the lowest operand up.")
    if not np.isfinite(counts).all() or (counts < 0).any() or not counts.any():
        raise SimulationError(f"{path}: counts must be finite, none negative, and not all zero.")
    return counts.astype(np.float64)


def read_array(path: Path, what: str) -> np.ndarray:
    """Return the array of a `.npy` file.

    Raises:
        SimulationError: it cannot be read as one.
    """
    try:
        values: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SimulationError(f"{path}: not a NumPy file of {what} ({error}).") from None
    if not isinstance(values, np.ndarray):
        raise SimulationError(f"{path}: holds several arrays; a `.npy` file of {what} holds one.")
    return values
