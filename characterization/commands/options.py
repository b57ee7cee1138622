"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from characterization.errors import SimulationError

if TYPE_CHECKING:
    from characterization.simulation import Device

# The library where none is named.
DEFAULT_PDK = "sky130"

DesignPath = Annotated[Path, typer.Argument(help="a design.toml, or the folder that has one")]
PdkName = Annotated[str, typer.Option("--pdk", help="a library of characterization/pdks, or a PDK TOML file")]
LibertyPath = Annotated[list[Path] | None, typer.Option("--liberty", help="Liberty file(s) to use in place of a PDK")]
CornerName = Annotated[str | None, typer.Option("--corner", help="one corner by name; default: the first")]
ProfilePath = Annotated[Path, typer.Argument(help="a profile made by `characterize run`")]
PdkRoot = Annotated[Path | None, typer.Option("--pdk-root", help="folder of the PDK's Liberty files")]
DeviceName = Annotated[str, typer.Option("--device", help="what simulates: `cpu`, or `cuda` with the same numbers")]
WorkPath = Annotated[Path, typer.Option("--work", help="cache and logs; may be deleted at any time")]


def device_named(name: str) -> Device:
    """Return the device of an option, once it is known to be there.

    Raises:
        SimulationError: no such name.
        ToolMissingError: numba finds no CUDA device.
    """
    if name == "cuda":
        from characterization.inertial_cuda import require_cuda

        require_cuda()
        return "cuda"
    if name != "cpu":
        raise SimulationError(f"--device {name!r}: no such device; it is cpu or cuda.")
    return "cpu"
