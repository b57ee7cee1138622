"""`characterize`: the door for MAC designers and verification engineers. Parses, calls one function, prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from characterization.commands.bench import bench
from characterization.commands.cells import cells
from characterization.commands.cells_show import cells_show
from characterization.commands.certify import certify
from characterization.commands.energy import energy
from characterization.commands.energy_show import energy_show
from characterization.commands.pdks import pdks
from characterization.commands.prove import prove
from characterization.commands.run import run
from characterization.commands.show import show
from characterization.commands.table import table
from characterization.commands.timing import timing
from characterization.errors import CharacterizationError

# As shells count a program that Ctrl-C ends.
INTERRUPTED = 130
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    help="Hardware to tables: delay and energy of every weight value of a Verilog MAC.",
)  # fmt: skip
app.command()(run)
app.command()(table)
app.command()(show)
app.command()(pdks)
app.command()(cells)
app.command()(cells_show)
app.command()(timing)
app.command()(certify)
app.command()(energy)
app.command()(energy_show)
app.command()(bench)
app.command()(prove)


@app.command()
def new(
    source: Annotated[Path, typer.Argument(help="a Verilog file")],
    out: Annotated[Path | None, typer.Option("--out", help="where to write the design.toml; default: print it")] = None,
) -> None:
    """Read a Verilog file and write a `design.toml` to fill in; what was guessed is marked so.

    Example: `characterize new my_mac.v --out my_mac/design.toml`
    """
    from characterization.artifact import write_text
    from characterization.scaffold import new_design_toml

    text = new_design_toml(source)
    if out is None:
        print(text)
        return
    if out.exists():
        raise CharacterizationError(f"{out} exists already; choose another name or remove it first.")
    write_text(out, text)
    print(f"written: {out}; fill in every line marked `guess`, then: characterize run {out} --out profile.nc")


def main() -> None:
    """Run the command line; our own errors become one line and exit code 2, anything else is a bug."""
    try:
        app()
    except CharacterizationError as error:
        print(f"characterize: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as end:
        # typer makes Ctrl-C an exit with this code, without a word.
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print("characterize: stopped; run the same command again to go on where it was.", file=sys.stderr)
        sys.exit(INTERRUPTED)
