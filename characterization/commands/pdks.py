"""`characterize pdks`: which cell libraries are known, which are present, and how to get the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def pdks(
    own: Annotated[list[Path] | None, typer.Argument(help="TOML files of PDKs of your own")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for machines")] = False,
) -> None:
    """List the cell libraries that are known, which are present, and how to get the others.

    `PDK_ROOT` is looked up as open_pdks and ciel install it.

    Example: `PDK_ROOT=~/.ciel characterize pdks`
    """
    from characterization.pdk_listing import list_pdks

    listings = list_pdks(own or [])
    if as_json:
        rows = [{"name": row.name, "present": row.present, "folder": str(row.folder), "missing": row.n_missing,
                 "corners": [corner.name for corner in row.corners], "description": row.description,
                 "licence": row.licence, "source": row.source} for row in listings]  # fmt: skip
        print(json.dumps(rows, indent=1))
        return
    for row in listings:
        count = f"{len(row.corners)} corner{'s' * (len(row.corners) > 1)}"
        print(f"{row.name:<12} {'present' if row.present else 'missing'}   {count}: {row.range}")
        print(f"    {row.description} ({row.licence or 'licence not stated'})")
        if row.folder:
            print(f"    {row.folder}" + ("" if row.present else f": {row.n_missing} files are missing"))
        if not row.present:
            print(f"    to get it: {row.source or 'its file does not say'}")
    print("A voltage between two corners of a process and temperature is interpolated: --corner ss_n40C_1v70.")
    print("A library of your own: write such a TOML file and give its path as --pdk.")
