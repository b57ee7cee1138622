"""canvas(): a figure in the house's style, written as PNG with the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from characterization.artifact import atomic_path

INK, GRAY = "#1f2933", "#7b8794"
CLASS_COLORS = ("#c2410c", "#0f766e", "#6d28d9", "#1d4ed8", "#a16207", "#be185d")
STYLE: Any = {  # matplotlib types its keys one by one
    "font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": GRAY, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left", "legend.frameon": False,
    "axes.grid": True, "grid.color": "#e4e7eb", "grid.linewidth": 0.6, "axes.axisbelow": True,
}


@contextmanager
def canvas(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield a figure in the house's style and write it to `path` as PNG, the same bytes each time."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with atomic_path(path) as partial:
            figure.savefig(partial, format="png", dpi=150, metadata={"Software": None})
