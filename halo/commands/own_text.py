"""`halo own-text`: a calibration text that the model writes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def own_text(
    model: Annotated[Path, typer.Argument(help="Hugging Face model folder with safetensors")],
    out: Annotated[Path, typer.Option("--out", help="the text to write")],
    windows: Annotated[int, typer.Option("--windows", help="passages")] = 128,
    window: Annotated[int, typer.Option("--window", help="tokens of each")] = 256,
    batch: Annotated[int, typer.Option("--batch", help="passages written together")] = 64,
    seed: Annotated[int, typer.Option("--seed", help="of first tokens and samples")] = 20261121,
) -> None:
    """Let a model write the text to calibrate it on, sampled from its own predictions.

    Example: `halo own-text examples/reference_lm/model --out build/own.txt`, then `halo quantize ... --calibration
    build/own.txt`
    """
    from characterization.artifact import write_text
    from halo.commands.terminal import progress_bars
    from halo.errors import OutputError
    from halo.model import load_model
    from halo.own_text import OwnTextConfig, write_own_text

    if out.exists():
        raise OutputError(f"{out} exists already; choose another name or remove it first.")
    config = OwnTextConfig(window, windows, batch, seed)
    loaded = load_model(model)
    with progress_bars() as progress:
        text = write_own_text(loaded, config, lambda done, total: progress("write a text", done, total))
    write_text(out, text)
    print(f"written: {out}; next: halo quantize {model} --calibration {out} ...")
