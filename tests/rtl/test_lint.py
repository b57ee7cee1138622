"""Verilator reads every design without a warning."""

import shutil
import subprocess
from pathlib import Path

import pytest

RTL = Path(__file__).parent.parent.parent / "rtl"
pytestmark = [
    pytest.mark.tool,
    pytest.mark.skipif(shutil.which("verilator") is None, reason="Verilator is not installed"),
]


def lint(top: str, sources: list[Path], *options: str) -> str:
    command = ["verilator", "--lint-only", "-Wall", *options, "--top-module", top, *map(str, sorted(sources))]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in RTL.glob("*/design.toml")))
def test_a_mac_is_read_without_a_warning(folder: str):
    assert lint(folder, list((RTL / folder).glob("*.v"))) == ""


@pytest.mark.parametrize("pe", ["systolic_pe", "systolic_pe_booth"])
def test_the_array_is_read_without_a_warning_around_either_pe(pe: str):
    sources = [*(RTL / "systolic_array").glob("*.v"), *(RTL / pe).glob("*.v")]
    # What leaves the last column and the last row goes nowhere, and a delay line of no cycles needs no clock.
    assert lint("systolic_array", sources, f"-DSYSTOLIC_PE={pe}", "-Wno-UNUSEDSIGNAL") == ""


def test_a_warning_would_be_seen(tmp_path: Path):
    (tmp_path / "bad.v").write_text("module bad(input wire a, output wire [1:0] b); assign b = a; endmodule\n")
    assert "WIDTH" in lint("bad", [tmp_path / "bad.v"])
