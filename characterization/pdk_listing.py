"""list_pdks(): every cell library that is known, whether it is present, and how to get it if not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from characterization.pdk import SHIPPED, Corner, build_pdk, missing_files, pdk_file, read_table, root_of


@dataclass(frozen=True, slots=True)
class PdkListing:
    """One cell library.

    Attributes:
        folder: where its Liberty files are, or are expected; None where that depends on variables that are not set.
        n_missing: how many of its Liberty files are not there.
        source: how to get it.
    """

    name: str
    description: str
    licence: str
    corners: tuple[Corner, ...]
    folder: Path | None
    n_missing: int
    source: str

    @property
    def present(self) -> bool:
        """Whether every corner can be read."""
        return self.n_missing == 0

    @property
    def range(self) -> str:
        """Processes with their voltages, in words."""
        spans: dict[str, list[float]] = {}
        for corner in self.corners:
            spans.setdefault(corner.process, []).append(corner.voltage_v)
        return ", ".join(f"{process} {min(volts):g}" + (f"-{max(volts):g}" if len(set(volts)) > 1 else "") + " V"
                         for process, volts in spans.items())


def list_pdks(own: Sequence[Path] = ()) -> tuple[PdkListing, ...]:
    """Return all shipped PDKs and those of the TOML files `own`; present ones first, each part by name.

    Raises:
        PdkError: a TOML file is missing or malformed.
    """
    files = [*sorted(SHIPPED.glob("*.toml")), *map(pdk_file, own)]
    return tuple(sorted(map(list_pdk, files), key=lambda listing: (not listing.present, listing.name)))


def list_pdk(path: Path) -> PdkListing:
    """Return the listing of one TOML file."""
    table = read_table(path)
    folder = root_of(table, path)
    pdk = build_pdk(table, folder or path.parent)
    return PdkListing(
        pdk.name, table.get("description", ""), table.get("licence", ""), pdk.corners, folder and folder.resolve(),
        len(missing_files(pdk)), table.get("source", ""),
    )  # fmt: skip
