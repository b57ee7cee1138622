"""Which cells of a library add: found by what they compute, not by their names, and told to Yosys as Verilog."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from characterization.errors import LibertyError
from characterization.liberty import CellLibrary, LibraryCell

# Truth tables of sum and carry, by number of inputs; both are symmetric, so the order of pins does not matter.
SUM = {2: 0b0110, 3: 0b1001_0110}
CARRY = {2: 0b1000, 3: 0b1110_1000}


@dataclass(frozen=True, slots=True)
class AdderCell:
    """A full or half adder: its input pins, and (pin, inverted) of its sum and its carry."""

    kind: str
    inputs: tuple[str, ...]
    total: tuple[str, bool]
    carry: tuple[str, bool]


def adder_of(cell: LibraryCell) -> AdderCell | None:
    """Return what a cell adds; None if it is no adder."""
    if cell.flop or cell.unusable or len(cell.inputs) not in SUM or len(cell.outputs) != 2:
        return None
    functions = {pin: cell.pins[pin].function for pin in cell.outputs}
    size = 1 << len(cell.inputs)
    found: dict[str, tuple[str, bool]] = {}
    for pin, function in functions.items():
        for name, tables in (("total", SUM), ("carry", CARRY)):
            table = tables[len(cell.inputs)]
            if function and len(function.pins) == len(cell.inputs) and function.truth in (table, ~table % (1 << size)):
                found[name] = (pin, function.truth != table)
    return AdderCell(cell.name, cell.inputs, found["total"], found["carry"]) if len(found) == 2 else None


def find_adders(library: CellLibrary, dont_use: Iterable[str] = ()) -> tuple[AdderCell | None, AdderCell | None]:
    """Return the smallest full adder and the smallest half adder of a library; None for what it lacks."""
    patterns = tuple(dont_use)
    found: dict[int, tuple[float, str, AdderCell]] = {}
    for cell in library.cells.values():
        adder = None if any(fnmatchcase(cell.name, pattern) for pattern in patterns) else adder_of(cell)
        if adder:
            size = len(adder.inputs)
            found[size] = min(found.get(size, (float("inf"), "", adder)), (cell.area_um2, cell.name, adder),
                              key=lambda entry: entry[:2])  # fmt: skip
    return (found[3][2] if 3 in found else None, found[2][2] if 2 in found else None)


def adder_verilog(library: CellLibrary, dont_use: Iterable[str] = ()) -> str:
    """Return the module that turns Yosys' `$fa` into cells of a library; half adders are those whose C is 0.

    Raises:
        LibertyError: the library has neither adder.
    """
    full, half = find_adders(library, dont_use)
    if full is None and half is None:
        raise LibertyError("the library has no full or half adder that timing can use; leave `+adders` away.")
    constant = "_TECHMAP_CONSTMSK_C_[i] && !_TECHMAP_CONSTVAL_C_[i]"
    logic = "assign Y[i] = A[i] ^ B[i] ^ C[i]; assign X[i] = A[i] & B[i] | C[i] & (A[i] ^ B[i]);"
    return "\n".join([
        "module \\$fa (A, B, C, X, Y);", "  parameter WIDTH = 1;",
        "  parameter [WIDTH-1:0] _TECHMAP_CONSTMSK_C_ = 0;", "  parameter [WIDTH-1:0] _TECHMAP_CONSTVAL_C_ = 0;",
        "  input [WIDTH-1:0] A, B, C; output [WIDTH-1:0] X, Y;",
        "  genvar i; generate for (i = 0; i < WIDTH; i = i + 1) begin : bits",
        f"    if ({constant}) begin : half", f"      {instance(half) if half else logic}", "    end else begin : full",
        f"      {instance(full) if full else logic}", "    end", "  end endgenerate", "endmodule", "",
    ])


def instance(adder: AdderCell) -> str:
    """Return the text that instantiates an adder cell between A, B, C (in), Y (sum) and X (carry)."""
    inputs = ", ".join(f".{pin}({port}[i])" for pin, port in zip(adder.inputs, "ABC", strict=False))
    (total, total_inverted), (carry, carry_inverted) = adder.total, adder.carry
    signs = "~" * total_inverted, "~" * carry_inverted
    return (f"wire s, c; {adder.kind} adder ({inputs}, .{total}(s), .{carry}(c)); "
            f"assign Y[i] = {signs[0]}s; assign X[i] = {signs[1]}c;")
