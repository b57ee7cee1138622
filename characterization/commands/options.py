"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# The library where none is named.
DEFAULT_PDK = "sky130"

DesignPath = Annotated[Path, typer.Argument(help="a design.toml, or the folder that has one")]
PdkName = Annotated[str, typer.Option("--pdk", help="a library of characterization/pdks, or a PDK TOML file")]
LibertyPath = Annotated[list[Path] | None, typer.Option("--liberty", help="Liberty file(s) to use in place of a PDK")]
CornerName = Annotated[str | None, typer.Option("--corner", help="one corner by name; default: the first")]
ProfilePath = Annotated[Path, typer.Argument(help="a profile made by `characterize run`")]
PdkRoot = Annotated[Path | None, typer.Option("--pdk-root", help="folder of the PDK's Liberty files")]
WorkPath = Annotated[Path, typer.Option("--work", help="cache and logs; may be deleted at any time")]
