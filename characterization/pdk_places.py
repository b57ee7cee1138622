"""find_root(): the folder in which a PDK's Liberty files lie, among the places that its TOML file names.

A place may begin with `~` or name a variable of the environment, `${PDK_ROOT}/sky130A/...`. A place whose variable is
not set is left out; for `PDK_ROOT` the folders are tried in which open_pdks, ciel and volare install by default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

PDK_ROOTS = ("~/.ciel", "~/.volare", "/usr/local/share/pdk", "/usr/share/pdk")
VARIABLE = re.compile(r"\$\{(\w+)\}")


def places(roots: Sequence[str], beside: Path, environment: Mapping[str, str]) -> list[Path]:
    """Return the folders that `roots` mean, in their order; relative ones lie `beside` the TOML file.

    >>> [str(place) for place in places(["lib", "${PDK_ROOT}/x", "${FLOW}/y"], Path("/a"), {"PDK_ROOT": "/p"})]
    ['/a/lib', '/p/x']
    """
    found = []
    for root in roots:
        variable = VARIABLE.search(root)
        if variable is None:
            meant: Sequence[str] = (root,)
        elif environment.get(variable[1]):
            meant = (root.replace(variable[0], environment[variable[1]]),)
        else:
            meant = tuple(root.replace(variable[0], place) for place in PDK_ROOTS) if variable[1] == "PDK_ROOT" else ()
        found += [beside / Path(place).expanduser() for place in meant]
    return found


def find_root(roots: Sequence[str], beside: Path, environment: Mapping[str, str], files: Sequence[str]) -> Path | None:
    """Return the first place that has all `files`, else the first that exists, else the first; None without any."""
    folders = places(roots, beside, environment)
    complete = [folder for folder in folders if all(liberty_file(folder, name).is_file() for name in files)]
    existing = [folder for folder in folders if folder.is_dir()]
    return next(iter([*complete, *existing, *folders]), None)


def liberty_file(folder: Path, name: str) -> Path:
    """Return the path of a Liberty file, packed or not, whichever is there; as named if neither is."""
    path = folder / name
    other = path.with_name(name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz")
    return other if not path.is_file() and other.is_file() else path
