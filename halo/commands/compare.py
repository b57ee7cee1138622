"""`halo compare`: the methods of a run at one voltage, one throughput and one power, and where each gain comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halo.commands.terminal import console, progress_bars, rich_table


def compare(
    config: Annotated[Path, typer.Argument(help="TOML file of a finished run")],
    profiles: Annotated[list[Path] | None, typer.Option("--profile", help="MAC(s); default: the run's")] = None,
    dedicated: Annotated[
        list[Path] | None, typer.Option("--dedicated", help="PE(s) for int4, powers of two: the designer's alternative")
    ] = None,
    shape: Annotated[str, typer.Option("--shape", help="of another model, such as llama-2-7b")] = "",
    methods: Annotated[str, typer.Option("--methods", help="labels, those of --beside too, with commas between")] = "",
    varied: Annotated[bool, typer.Option("--ranges", help="vary margins, corners and switches too")] = False,
    tables: Annotated[
        list[Path] | None, typer.Option("--energy-table", help="of a MAC: --ranges varies activations too")
    ] = None,
    beside: Annotated[
        list[Path] | None, typer.Option("--beside", help="folder(s) of other finished runs of the model: contend too")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="table.key=value")] = None,
) -> None:
    """Compare a run's methods at one voltage, one throughput and one power; say where each gain comes from.

    Every method may use every voltage of the profile, the baseline (the run's first method) too. The last tables are
    the accounting of HALO's paper, run again beside what it published.

    Example: `halo compare examples/demo/demo.toml --profile build/all.nc --set workload.prompt_tokens=2048`
    """
    from halo.account import CompareConfig, compare_run
    from halo.config import read_config

    chosen = read_config(config, overrides or ())
    wanted = CompareConfig(tuple(profiles or [chosen.profile]), labels_in(methods),
                           tuple(dedicated or ()), shape, varied, tuple(tables or ()), tuple(beside or ()))
    with progress_bars() as progress:
        made = compare_run(chosen, wanted, progress)
    for grids in made:
        for grid in grids:
            console().print(rich_table(grid))
    print(f"written: {chosen.out / 'compare'}")


def labels_in(text: str) -> tuple[str, ...]:
    """Return the labels that commas separate; those of `--beside` have spaces in them.

    >>> labels_in("gptq-w4a8, halo-acc-opt (dear)"), labels_in("")
    (('gptq-w4a8', 'halo-acc-opt (dear)'), ())
    """
    return tuple(label for part in text.split(",") if (label := part.strip()))
