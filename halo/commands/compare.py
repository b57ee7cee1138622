"""`halo compare`: the methods of a run at one voltage, one throughput and one power, and where each gain comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halo.commands.terminal import console, progress_bars, rich_table


def compare(
    config: Annotated[Path, typer.Argument(help="TOML file of a finished run")],
    profiles: Annotated[list[Path] | None, typer.Option("--profile", help="MAC(s); default: the run's")] = None,
    methods: Annotated[str, typer.Option("--methods", help="labels of the run, separated by commas")] = "",
    varied: Annotated[bool, typer.Option("--ranges", help="vary margins, corners and switches too")] = False,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="table.key=value")] = None,
) -> None:
    """Compare a run's methods at one voltage, one throughput and one power; say where each gain comes from.

    Every method may use every voltage of the profile, the baseline (the run's first method) too.

    Example: `halo compare examples/demo/demo.toml --profile build/all.nc --set workload.prompt_tokens=2048`
    """
    from halo.config import read_config
    from halo.pipeline import compare_run

    wanted = read_config(config, overrides or ())
    labels = methods.replace(",", " ").split()
    with progress_bars() as progress:
        made = compare_run(wanted, profiles or [wanted.profile], labels, progress, varied=varied)
    for grids in made:
        for grid in grids:
            console().print(rich_table(grid))
    print(f"written: {wanted.out / 'compare'}")
