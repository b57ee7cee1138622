"""`characterize run`: RTL to MacProfile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from characterization.commands.options import (
    DEFAULT_PDK,
    DesignPath,
    DeviceName,
    LibertyPath,
    PdkName,
    PdkRoot,
    WorkPath,
    device_named,
)
from characterization.commands.progress import progress_bars
from characterization.commands.table import summary_table
from characterization.corner_grid import SUPPLY_TOLERANCE
from characterization.errors import PdkError


def run(
    design: DesignPath,
    out: Annotated[Path, typer.Option("--out", help="the profile to write (NetCDF)")],
    pdk: PdkName = DEFAULT_PDK,
    pdk_root: PdkRoot = None,
    liberty: LibertyPath = None,
    corners: Annotated[
        str, typer.Option(help="corners by name, separated by commas, or `all`; default: what signs the library's "
                               "nominal voltage off, or all corners where it states none")
    ] = "",
    voltages: Annotated[str, typer.Option(help="the typical corner at these voltages, such as 1.80,1.50")] = "",
    signoff: Annotated[
        bool, typer.Option("--signoff", help="with the slow corners that sign the voltages off, and the fast one")
    ] = False,
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="share by which the supply may fall below nominal")
    ] = SUPPLY_TOLERANCE,
    transitions: Annotated[int, typer.Option(min=300, help="simulated transitions for each weight value")] = 300,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="simulate every pair of activations for each weight value (minutes)")
    ] = False,
    certify: Annotated[bool, typer.Option(help="certify delays by SAT; without, bounds are topological")] = True,
    time_limit: Annotated[
        float, typer.Option(min=0.0, help="seconds after which one certificate stays a bracket; 0 for no limit")
    ] = 0.0,
    pairs: Annotated[
        int, typer.Option("--pairs", help="of a streaming design: transitions of each pair of previous weight and "
                                          "weight, at typical corners; 0 for no table of pairs")
    ] = 4,
    seed: Annotated[int, typer.Option(help="seed of the stimulus")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="worker processes")] = 2,
    device: DeviceName = "cpu",
    work: WorkPath = Path("build/characterize"),
) -> None:
    """Measure delay and energy of every weight value of a MAC design: RTL to MacProfile.

    Examples: `characterize run rtl/systolic_pe --out build/systolic_pe.nc`, and at two voltages that can be signed off
    `characterize run rtl/systolic_pe --voltages 1.80,1.50 --signoff --out build/systolic_pe.nc`
    """
    from characterization.corner_choice import CornerConfig, choose_corners
    from characterization.pipeline import CharacterizeConfig, profile_mac, select_pdk
    from characterization.profile_file import save_profile

    library = select_pdk(pdk, liberty, pdk_root)
    chosen = choose_corners(library, CornerConfig(words_of(corners), volts_of(voltages), signoff, tolerance))
    config = CharacterizeConfig(transitions, seed, workers, "exhaustive" if exhaustive else "random", certify,
                                time_limit or None, pairs, device_named(device))
    with progress_bars() as progress:
        profile = profile_mac(design, library, chosen, config, work, progress)
    save_profile(profile, out)
    Console().print(summary_table(profile))
    print(f"written: {out}")


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a list separated by commas.

    >>> words_of("tt_025C_1v80, ss_n40C_1v70")
    ('tt_025C_1v80', 'ss_n40C_1v70')
    """
    return tuple(word.strip() for word in text.split(",") if word.strip())


def volts_of(text: str) -> tuple[float, ...]:
    """Return the voltages of a list separated by commas.

    >>> volts_of("1.80,1.5")
    (1.8, 1.5)

    Raises:
        PdkError: one of them is no positive number.
    """
    found = []
    for word in words_of(text):
        try:
            found.append(float(word))
        except ValueError:
            found.append(0.0)
        if not 0 < found[-1] < float("inf"):
            raise PdkError(f"--voltages {text!r}: {word!r} is no voltage; write volts separated by commas: 1.80,1.50.")
    return tuple(found)
