"""read_corner(): the cells of a corner, characterized or between two characterized voltages, with their factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from characterization.interpolation import interpolate_libraries
from characterization.liberty import CellLibrary, LibraryCell, read_liberty
from characterization.multi_input import Factors, multi_input_path, read_multi_input
from characterization.pdk import Corner


def read_corner(corner: Corner) -> CellLibrary:
    """Return the cells of a corner, with the factors by which several inputs at once are slower and faster.

    Raises:
        LibertyError: a file is missing or malformed, or the neighbours of an interpolated corner do not match.
    """
    if corner.interpolated is not None:
        lower, upper = (read_corner(neighbour) for neighbour in corner.interpolated)
        return interpolate_libraries(lower, upper, corner.voltage_v, corner.name)
    library = read_liberty(corner.liberty)
    paths = [path for path in map(multi_input_path, corner.liberty) if path.is_file()]
    if not paths:
        return replace(library, multi_input=stated_factors(library, corner.multi_input),
                       multi_input_source=words(corner.multi_input))  # fmt: skip
    factors: dict[str, Factors] = {}
    for path in paths:
        factors |= read_multi_input(path, library)
    return replace(library, multi_input=MappingProxyType(factors), multi_input_source="measured")


def words(factors: tuple[float, float]) -> str:
    """Return what is said of a library without measured factors.

    >>> words((1.0, 1.0)), words((1.14, 0.6))
    ('none: one input switches at a time', 'stated derate: late 1.14, early 0.6')
    """
    if factors == (1.0, 1.0):
        return "none: one input switches at a time"
    return f"stated derate: late {factors[0]:g}, early {factors[1]:g}"


def stated_factors(library: CellLibrary, factors: tuple[float, float]) -> Mapping[str, Factors]:
    """Return the same factors for every output edge of every cell whose logic has two or more inputs."""
    if factors == (1.0, 1.0):
        return MappingProxyType({})
    return MappingProxyType({name: MappingProxyType({(pin, edge): factors for pin in cell.outputs for edge in (0, 1)})
                             for name, cell in library.cells.items() if has_several_inputs(cell)})  # fmt: skip


def has_several_inputs(cell: LibraryCell) -> bool:
    """Whether an output of the cell follows two or more inputs; a flop's follow its clock alone."""
    return cell.flop is None and len(cell.inputs) > 1
