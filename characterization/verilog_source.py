"""What pyverilog sees in a Verilog file: `python -m characterization.verilog_source FILE FOLDER` prints it as JSON.

A program of its own because pyverilog starts iverilog, leaves files open and writes parser tables into FOLDER. Unlike
Yosys it keeps the expressions behind widths and defaults; unlike Yosys it reads Verilog-2005 only.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pyverilog.ast_code_generator.codegen import ASTCodeGenerator
from pyverilog.vparser import ast
from pyverilog.vparser.parser import VerilogCodeParser


def expression(node: Any) -> str:
    """Return the Verilog text of an expression."""
    return str(ASTCodeGenerator().visit(node)).strip()


def width_of(node: Any) -> str:
    """Return a range as text, '' for a single bit."""
    return f"[{expression(node.msb)}:{expression(node.lsb)}]" if node is not None else ""


def declarations(node: Any) -> list[Any]:
    """Return every declaration in a module, whatever list it stands in."""
    found: list[Any] = []
    for item in node.children():
        found += [item] if isinstance(item, ast.Value | ast.Parameter) else declarations(item)
    return found


def list_modules(path: str, folder: str) -> dict[str, Any]:
    """Return, by module, `parameters` (name -> default) and `ports` (name -> range), as the source writes them."""
    parser = VerilogCodeParser([path], preprocess_output=f"{folder}/preprocessed.v", outputdir=folder, debug=False)
    modules = {}
    for module in parser.parse().description.definitions:
        if isinstance(module, ast.ModuleDef):
            parameters, ports = {}, {}
            for node in declarations(module):
                if isinstance(node, ast.Parameter) and not isinstance(node, ast.Localparam):
                    parameters[node.name] = expression(node.value)
                elif isinstance(node, ast.Input | ast.Output | ast.Inout):
                    ports[node.name] = width_of(node.width)
            modules[module.name] = {"parameters": parameters, "ports": ports}
    return modules


def main() -> None:
    """Print the listing, or why there is none."""
    try:
        listing: dict[str, Any] = {"modules": list_modules(sys.argv[1], sys.argv[2])}
    except Exception as error:
        # Its parser raises bare exceptions; which kind is no help to the reader of the message.
        listing = {"error": " ".join(str(error).split()) or type(error).__name__}
    sys.stdout.write(json.dumps(listing))


if __name__ == "__main__":
    main()
