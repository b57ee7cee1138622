"""`characterize show`: a profile as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from characterization.commands.options import CornerName, ProfilePath


def show(
    profile: ProfilePath,
    out: Annotated[Path | None, typer.Option("--out", help="picture (PNG or SVG); default: beside the profile")] = None,
    corner: CornerName = None,
    ranks: Annotated[
        str, typer.Option(help="in place of one corner: delays and ranks of the weights at up to three corners, by "
                               "name, separated by commas; `all`: lowest, middle and highest typical voltage")
    ] = "",
) -> None:
    """Draw delay and energy over the weight values; or how the order of the weights changes with the voltage.

    Examples: `characterize show build/systolic_pe.nc --out systolic_pe.svg`, and
    `characterize show build/systolic_pe.nc --ranks tt_025C_1v80,ss_n40C_1v70`
    """
    from characterization.commands.run import words_of
    from characterization.commands.table import pair_words
    from characterization.figures import draw_profile, draw_ranks, spread_corners
    from characterization.profile_file import load_profile

    loaded = load_profile(profile)
    for words in pair_words(loaded):
        print(words)
    path = out or profile.with_suffix(".png")
    if ranks:
        draw_ranks(loaded, path, spread_corners(loaded) if ranks == "all" else words_of(ranks))
    else:
        draw_profile(loaded, path, corner or loaded.corners[0])
    print(f"written: {path}")
