"""solve_mixed_integer(): scipy's MILP (HiGHS), with nothing on standard output.

Where HiGHS repairs a solution of its presolved model by another linear program it prints a line of its own,
"HighsMipSolverData::transformNewIntegerFeasibleSolution tmpSolver.run();", past every option (HiGHS of SciPy 1.17). A
command whose standard output others read must not carry it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

STDOUT = 1


def solve_mixed_integer(
    cost: np.ndarray, integrality: np.ndarray, bounds: Bounds, constraints: Sequence[LinearConstraint],
    options: Mapping[str, Any],
) -> OptimizeResult:
    """Return what `scipy.optimize.milp` finds, silently. For the duration, no thread's standard output is seen."""
    with silent_stdout():
        return milp(cost, integrality=integrality, bounds=bounds, constraints=constraints, options=dict(options))


@contextmanager
def silent_stdout() -> Iterator[None]:
    """Send what libraries write to standard output nowhere; what was written before still arrives."""
    libc = ctypes.CDLL(None)
    flush(libc)
    kept, nowhere = os.dup(STDOUT), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDOUT)
    os.close(nowhere)
    try:
        yield
    finally:
        flush(libc)
        os.dup2(kept, STDOUT)
        os.close(kept)


def flush(libc: Any) -> None:
    """Write out what Python and the C library still hold of standard output."""
    sys.stdout.flush()
    libc.fflush(None)
