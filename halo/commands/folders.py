"""`halo inspect` and `halo export`: what is in a quantized folder, and the same for other stacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from halo.inspection import FolderView

Folder = Annotated[Path, typer.Argument(help="quantized folder")]


def export(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="new folder")],
    format_name: Annotated[str, typer.Option("--format", help="compressed-tensors")] = "compressed-tensors",
) -> None:
    """Convert a quantized folder to what transformers and vLLM load, bit for bit, or say why that cannot be.

    Example: `halo export build/friendly --out build/exported --format compressed-tensors`
    """
    from halo.export import export as convert

    made = convert(folder, out, format_name)
    kinds = ", ".join(f"{count} layers with a scale per {kind}" for kind, count in made.strategies.items())
    print(f"written: {out}: int{made.bits}, {kinds}; exact when loaded in float32, which its config.json asks for.")
    if "group" in made.strategies and made.bits == 8:
        print("vLLM's int8 kernels take one scale per channel: quantize with --export-friendly channel for those.")


def inspect(
    folder: Folder,
    json_path: Annotated[Path | None, typer.Option("--json", help="write everything as JSON")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="draw it (PNG)")] = None,
) -> None:
    """Show what is in a quantized folder: bits, classes, sparsity, error and values used, per layer.

    Example: `halo inspect build/bal --json build/bal.json --picture build/bal.png`
    """
    from characterization.artifact import write_text
    from halo.inspection import inspect_folder

    view = inspect_folder(folder)
    show(view)
    if json_path is not None:
        write_text(json_path, json.dumps(view.to_json(), indent=1) + "\n")
        print(f"written: {json_path}")
    if picture is not None:
        from halo.inspection_figure import draw_folder

        draw_folder(view, picture)
        print(f"written: {picture}")


def show(view: FolderView) -> None:
    """Print what is in a folder: every module with its bits, error and fallback, and what is not quantized and why."""
    console = Console(width=None if Console().is_terminal else 180)
    for table in tables(view):
        console.print(table)
    share = view.quantized_weights / (view.quantized_weights + view.other_weights)
    parts = " + ".join(f"{name} {view.bits[name]:.4f}" for name in ("index", "scales", "tables", "sparse"))
    console.print(f"{view.quantized_weights:,} weights are quantized, {share:.1%} of all, at "
                  f"{view.bits['total']:.4f} bits each: {parts}."
                  f"{f' Calibrated {view.calibration}.' if view.calibration else ''}", highlight=False)


def tables(view: FolderView) -> list[Table]:
    """Return the tables of a folder: layers, what is not quantized, codebooks."""
    title = f"{view.method}: {len(view.layers)} layers" + (f", after {view.transform}" if view.transform else "")
    title += ", static activation scales" if any(layer.activation_scale for layer in view.layers) else ""
    layers = Table("module", "out x in", "bits", "tiles' codebooks", "sparse", "values", "zeros", "error", "fallback",
                   title=title)
    for layer in view.layers:
        classes = ", ".join(f"{name} {share:.0%}" for name, share in layer.class_shares.items())
        layers.add_row(layer.name, f"{layer.n_out} x {layer.n_in}", f"{layer.bits:.3f}", classes,
                       f"{layer.sparse_share:.3%}", str(layer.n_values), f"{layer.zero_share:.1%}",
                       f"{layer.loss:.3%}", layer.fallback)
    skipped = Table("module", "why", title="not quantized")
    for name, reason in view.skipped.items():
        skipped.add_row(name, reason)
    books = Table("codebook", "values", title="codebooks")
    for book in view.codebooks:
        books.add_row(book.name, value_words(book.codes))
        for layer in view.layers:
            if layer.name in book.layers and book.name in layer.class_shares:
                books.add_row(f"  {layer.name}", value_words(book.layers[layer.name]))
    return [layers, skipped, books]


def value_words(codes: Sequence[int]) -> str:
    """Return the values of a codebook, or of many values the first and the last."""
    return " ".join(map(str, codes)) if len(codes) <= 32 else f"{codes[0]} .. {codes[-1]} ({len(codes)} values)"
