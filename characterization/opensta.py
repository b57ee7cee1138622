"""OpenSTA as a referee: every endpoint of a netlist under case analysis, to hold our own timing against."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from characterization.artifact import write_text
from characterization.errors import CharacterizationError, ToolMissingError
from characterization.netlist import Netlist
from characterization.units import PS_PER_NS

# OpenSTA 2.0 goes on after an error and exits with 0, so its output is searched.
COMPLAINT = re.compile(r"Error:.*|.*[Cc]reating black box.*|.*syntax error.*|Warning: .* not found.*")
DEFAULT_WIRES = re.compile(r"^\s*default_wire_load\s*:[^;]*;", re.MULTILINE)
# Short, since OpenSTA reckons in single precision and prints a slack with few digits.
PERIOD_NS = 10.0


def opensta_ps(
    netlist: Netlist, liberty: Sequence[Path], clock: str, cases: Sequence[Mapping[str, int]], work: Path,
    ends: Sequence[str] = (),
) -> list[float]:
    """Return the worst path for each case in ps; 0 where no path is left.

    `ends` are flop data pins (`u7/D`) and port bits that count; none for all. For the rest see `opensta_endpoints`.
    """
    found = opensta_endpoints(netlist, liberty, clock, cases, work)
    return [max((needed for end, needed in case.items() if not ends or end in ends), default=0.0) for case in found]


def opensta_endpoints(
    netlist: Netlist, liberty: Sequence[Path], clock: str, cases: Sequence[Mapping[str, int]], work: Path,
    check: Literal["setup", "hold"] = "setup", commands: Sequence[str] = (),
) -> list[dict[str, float]]:
    """Return what OpenSTA says of every endpoint (`u7/D`, or a port bit), for each case, in ps.

    Of a setup check the arrival plus setup (ports arrive at 0 and outputs must be stable at the edge), of a hold check
    the slack (between registers only). The design is linked anew for each case: OpenSTA 2.0 keeps stale slews when a
    case is undone.

    Args:
        netlist: the netlist to time.
        liberty: the corner's Liberty files, plain or gzipped.
        clock: the clock port.
        cases: origin of a source (`u7/Q`, or a port bit) -> its value.
        work: folder for the files that OpenSTA reads.
        check: setup or hold.
        commands: Tcl to run before each case's paths are asked for.

    Raises:
        ToolMissingError: `sta` is not installed.
        CharacterizationError: OpenSTA complained about the files.
    """
    if shutil.which("sta") is None:
        raise ToolMissingError("sta (OpenSTA) is not installed; install the Debian package opensta.")
    work.mkdir(parents=True, exist_ok=True)
    write_text(work / "netlist.v", netlist.to_verilog())
    setup = [f"read_verilog {{{work / 'netlist.v'}}}", f"link_design {netlist.top}", "set_cmd_units -time ns",
             f"create_clock -name clock -period {PERIOD_NS} [get_ports {clock}]"]
    # Hold at ports is not ours to check. OpenSTA crashes on an empty list of ports.
    setup += [f"set_{direction}_delay 0 -clock clock [list {objects(bits)}]" for direction in ("input", "output")
              if check == "setup" and (bits := port_bits(netlist, direction, clock))]
    script = [f"read_liberty {{{plain(path, work)}}}" for path in liberty]
    for i, case in enumerate(cases):
        script += [*setup, *(f"set_case_analysis {value} {objects([name])}" for name, value in sorted(case.items()))]
        script += [*commands, *ask(i, "max" if check == "setup" else "min")]
    found: list[dict[str, float]] = [{} for _ in cases]
    for case_text, end, slack in re.findall(r"^END (\d+) (\S+) (\S+)$", run(script, work), re.MULTILINE):
        here, slack_ps = found[int(case_text)], float(slack) * PS_PER_NS
        if check == "setup":
            here[end] = max(here.get(end, 0.0), PERIOD_NS * PS_PER_NS - slack_ps)
        else:
            here[end] = min(here.get(end, slack_ps), slack_ps)
    return found


def ask(case: int, path_delay: str) -> list[str]:
    """Return Tcl that prints the slack of every endpoint."""
    return [f"set paths [find_timing_paths -path_delay {path_delay} -group_count 1000000 -endpoint_count 1]",
            f'foreach path $paths {{ puts "END {case} [get_property [get_property $path endpoint] full_name] '
            '[get_property $path slack]" }']


def plain(path: Path, work: Path) -> Path:
    """Return a copy of a Liberty file in `work` as our timing reads it: unpacked, and no wires unless asked for.

    OpenSTA reads no gzip, and 2.0 applies the library's default wire-load model silently; 3.1 does not.
    """
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    copy = work / (path.stem if path.suffix == ".gz" else path.name)
    write_text(copy, DEFAULT_WIRES.sub("", text))
    return copy


def port_bits(netlist: Netlist, direction: str, clock: str) -> list[str]:
    """Return the bits of the ports of one direction, the clock left out."""
    return [f"{port.name}[{bit}]" if port.width > 1 else port.name for port in netlist.ports
            if port.direction == direction and port.name != clock for bit in range(port.width)]


def objects(origins: Sequence[str]) -> str:
    """Return Tcl that names pins (`u7/Q`) and port bits; braces keep Tcl from reading `[3]` as a command."""
    return " ".join(f"[get_pins {{{name}}}]" if "/" in name else f"[get_ports {{{name}}}]" for name in origins)


def run(script: Sequence[str], work: Path) -> str:
    """Return what OpenSTA prints.

    Raises:
        CharacterizationError: it complained, or ended early.
    """
    write_text(work / "cases.tcl", "\n".join([*script, 'puts "DONE"', "exit"]) + "\n")
    command = ["sta", "-no_splash", "-exit", str(work / "cases.tcl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    output = done.stdout + done.stderr
    complaint = COMPLAINT.search(output)
    if complaint or "DONE" not in output:
        said = complaint[0] if complaint else f"nothing, it ended with code {done.returncode}"
        raise CharacterizationError(f"{work / 'cases.tcl'}: OpenSTA says: {said.strip()}")
    return output
