"""The picture of a quantized folder: per layer its bits, classes and error, and how often each value occurs."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from halo.figures import CLASS_COLORS, GRAY, INK, STYLE, canvas
from halo.inspection import LOWEST, FolderView

ROW_INCHES, EDGE_INCHES, WIDTH_INCHES, MOST_NAMES = 0.2, 1.5, 11.5, 90


def draw_folder(view: FolderView, path: Path) -> None:
    """Draw `view` to `path` (.svg or .png)."""
    names = [short_name(layer.name) for layer in view.layers]
    rows = min(len(names), MOST_NAMES)
    with mpl.rc_context(STYLE), canvas(path, WIDTH_INCHES, EDGE_INCHES + ROW_INCHES * max(rows, 8)) as figure:
        grid = figure.add_gridspec(1, 3, width_ratios=[1.3, 1.3, 4])
        left = figure.add_subplot(grid[0])
        draw_bits(left, view)
        left.set_yticks(range(len(names)), names if len(names) <= MOST_NAMES else [""] * len(names), fontsize=7)
        draw_loss(figure.add_subplot(grid[1], sharey=left), view)
        right = figure.add_subplot(grid[2], sharey=left)
        draw_values(right, view)
        for axes in figure.axes[:3]:
            axes.tick_params(axis="y", length=0, labelleft=axes is left)
            axes.tick_params(axis="x", labelsize=7)
            axes.title.set_fontsize(8)
        left.set_ylim(len(names) - 0.5, -0.5)


def short_name(name: str) -> str:
    """Return a module's name without what all decoder layers share.

    >>> short_name("model.layers.3.self_attn.q_proj")
    '3.self_attn.q_proj'
    """
    parts = name.split(".")
    first = next((at for at, part in enumerate(parts) if part.isdigit()), 0)
    return ".".join(parts[first:])


def draw_bits(axes: Axes, view: FolderView) -> None:
    """Draw each layer's bits per weight, the bar divided by its classes' shares of the weights."""
    start = np.zeros(len(view.layers))
    for at, book in enumerate(view.codebooks):
        width = np.array([layer.bits * layer.class_shares.get(book.name, 0.0) for layer in view.layers])
        if width.any():
            axes.barh(range(len(width)), width, left=start, height=0.8, color=CLASS_COLORS[at % len(CLASS_COLORS)],
                      label=f"{book.name} ({book.n_values} values{' of each layer' if book.layers else ''})")
            start += width
    axes.set_title(f"bits per weight ({view.bits['total']:.2f})")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.04, -0.07), fontsize=7, borderpad=0, handlelength=1.2,
                title="shares of tiles' codebooks", title_fontsize=7, alignment="left")


def draw_loss(axes: Axes, view: FolderView) -> None:
    """Draw each layer's error and sparse share, in per cent."""
    rows = np.arange(len(view.layers))
    axes.barh(rows, [100 * layer.loss for layer in view.layers], height=0.8, color=GRAY)
    sparse = np.array([100 * layer.sparse_share for layer in view.layers])
    if sparse.any():
        axes.plot(sparse, rows, ".", color=CLASS_COLORS[0], markersize=5)
        axes.set_xlabel("dots: weights kept apart, %", color=CLASS_COLORS[0], fontsize=7, loc="left")
    axes.set_title("output error, %")
    axes.grid(axis="y", visible=False)


def draw_values(axes: Axes, view: FolderView) -> None:
    """Draw how often each value occurs in each layer, as a picture of shares on a logarithmic scale."""
    counts = np.stack([layer.histogram for layer in view.layers]).astype(float)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    used = np.flatnonzero(counts.any(0))
    few = len(used) <= 64
    shown = shares[:, used] if few else shares
    picture = axes.imshow(np.where(shown > 0, shown, np.nan), aspect="auto", cmap="viridis_r", interpolation="nearest",
                          norm=LogNorm(max(float(shares[shares > 0].min()), 1e-3), 100.0))
    if few:
        axes.set_xticks(range(len(used)), [str(code + LOWEST) for code in used], rotation=90, fontsize=7)
    else:
        axes.set_xticks(np.arange(0, 257, 32), [str(code) for code in range(LOWEST, 129, 32)])
    axes.set_title(f"weights of each value, % ({len(used)} values used; white: none)")
    axes.grid(visible=False)
    bar = axes.figure.colorbar(picture, ax=axes, fraction=0.03, pad=0.02)
    bar.outline.set_edgecolor(INK)
    bar.ax.tick_params(labelsize=7)
    bar.ax.yaxis.set_major_formatter("{x:g}")
