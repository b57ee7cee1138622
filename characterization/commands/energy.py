"""`characterize energy`: what every weight value costs at every move of its operand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from characterization.commands.energy_show import WIDTH, energy_summary
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


def energy(
    design: DesignPath,
    out: Annotated[Path, typer.Option("--out", help="the energy table to write (compressed NetCDF)")],
    pdk: PdkName = DEFAULT_PDK,
    pdk_root: PdkRoot = None,
    liberty: LibertyPath = None,
    corner: Annotated[str | None, typer.Option("--corner", help="a corner by name; default: the slowest")] = None,
    recorded: Annotated[
        Path | None, typer.Option(help="activations of a model, integers in a .npy file: print the means under them")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="a profile with certificates: none of its delays may be exceeded")
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="of a streaming design: how often each previous weight comes before each")
    ] = 16,
    partial_sum: Annotated[int | None, typer.Option(help="a partial sum that stands still; default: random")] = None,
    seed: Annotated[int, typer.Option(help="seed of what is drawn")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="threads")] = 2,
    device: DeviceName = "cpu",
    work: WorkPath = Path("build/characterize"),
) -> None:
    """Measure the energy of every weight at every pair of activations, glitches included; minutes.

    Of a design whose weights stream: at every pair of previous weight and weight.

    Example: `characterize energy rtl/systolic_pe --out build/systolic_pe_energy.nc --recorded activations.npy`
    """
    import numpy as np

    from characterization.design import read_design
    from characterization.energy_design import TableConfig, measure_table, read_recorded
    from characterization.energy_table import save_table
    from characterization.pipeline import select_pdk
    from characterization.profile_file import load_profile

    chain = None if recorded is None else read_recorded(recorded, read_design(design))
    known = None if profile is None else load_profile(profile)
    config = TableConfig(rounds, seed, partial_sum, workers, device_named(device))
    with progress_bars() as progress:
        table = measure_table(design, select_pdk(pdk, liberty, pdk_root), corner, config, work, progress, known)
    save_table(table, out)
    counts = {"uniform": np.ones(table.energy_fj.shape[1:])}
    if chain is not None:
        counts["recorded"] = table.moves(chain)
    Console(width=max(WIDTH, Console().width)).print(energy_summary(
        [(f"{table.design} at {table.corner}, {name}", table, some) for name, some in counts.items()]
    ))
    print(f"written: {out}")
