"""The rules of the house, checked by the tools that check them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [["ruff", "check", "."], ["lint-imports"]])
def test_style_and_import_directions_hold(command):
    done = run(str(BIN / command[0]), *command[1:])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_types_are_strict():
    done = run(str(BIN / "mypy"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", ["halo", "characterization", "halo.cli", "characterization.cli"])
def test_importing_a_package_starts_neither_torch_nor_yosys(package):
    code = f"import sys, {package}; sys.exit(bool({{'torch', 'pyosys', 'transformers'}} & set(sys.modules)))"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_top_level_is_what_the_readme_says():
    listed = run("git", "ls-files").stdout.split()
    top = {path.split("/")[0] for path in listed} - {".gitignore"}
    assert top <= {
        "pyproject.toml",
        "rtl",
        "halo",
        "characterization",
        "tests",
        "Makefile",
        "README.md",
        "LICENSE",
        ".ci",
        "examples",
        "docs",
        "benchmarks",
    }


def test_no_module_is_named_for_what_it_is_not():
    banned = {"utils", "helpers", "common", "base", "misc"}
    modules = [p for package in ("halo", "characterization") for p in (ROOT / package).rglob("*.py")]
    assert modules
    assert not [p for p in modules if p.stem in banned]
    assert not [str(p) for p in modules if len(p.read_text().splitlines()) > 400]


def test_the_constraints_pin_every_direct_dependency():
    pinned = {line.split("==")[0].lower() for line in (ROOT / ".ci/constraints.txt").read_text().split()}
    needed = re.findall(r'"([A-Za-z0-9-]+)>=', (ROOT / "pyproject.toml").read_text().split("[project.scripts]")[0])
    assert needed
    assert {name.lower() for name in needed} - {"setuptools"} <= pinned
