"""`characterize cells-show`: delay and energy of a few cells over voltage, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from characterization.commands.options import PdkRoot

FEW = "inv_1,nand2_1,nor2_1,xor2_1,maj3_1,fa_1"


def cells_show(
    out: Annotated[Path, typer.Option(help="picture to write (PNG or SVG)")],
    pdk: Annotated[str, typer.Option("--pdk", help="a library with several voltages")] = "sky130",
    pdk_root: PdkRoot = None,
    process: Annotated[str, typer.Option(help="tt, ss or ff")] = "tt",
    temp: Annotated[float, typer.Option(help="degrees Celsius")] = 25.0,
    cells: Annotated[str, typer.Option(help="cells, in full or by their ends")] = FEW,
) -> None:
    """Draw delay and energy of a few cells over the voltages of a library.

    Example: `characterize cells-show --process ss --temp -40 --out build/cells.png`
    """
    from characterization.cells.figures import draw_cells, voltage_curves
    from characterization.pdk import read_pdk

    found = read_pdk(pdk, pdk_root)
    curves = voltage_curves(found, cells.replace(",", " ").split(), process, temp)
    draw_cells(curves, out, f"{found.name}, process {process}, {temp:g} °C")
    print(f"written: {out}")
