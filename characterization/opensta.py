"""OpenSTA as a referee: the worst path of a netlist under case analysis, to hold our own timing against."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from characterization.artifact import write_text
from characterization.errors import CharacterizationError, ToolMissingError
from characterization.netlist import Netlist
from characterization.units import PS_PER_NS

# OpenSTA 2.0 goes on after an error and exits with 0, so its output is searched.
COMPLAINT = re.compile(r"Error:.*|.*[Cc]reating black box.*|.*syntax error.*|Warning: .* not found.*")
# Short, since OpenSTA reckons in single precision and prints a slack with few digits.
PERIOD_NS = 10.0


def opensta_ps(
    netlist: Netlist, liberty: Sequence[Path], clock: str, cases: Sequence[Mapping[str, int]], work: Path,
    ends: Sequence[str] = (),
) -> list[float]:
    """Return the worst path for each case in ps; 0 where no path is left.

    Ports arrive at 0 and outputs must be stable at the edge. One process for each case: OpenSTA 2.0 keeps stale slews
    when a case is undone.

    Args:
        netlist: the netlist to time.
        liberty: the corner's Liberty files, plain or gzipped.
        clock: the clock port.
        cases: origin of a source (`u7/Q`, or a port bit) -> its value.
        work: folder for the files that OpenSTA reads.
        ends: flop data pins (`u7/D`) and port bits to which paths are reported; none for all.

    Raises:
        ToolMissingError: `sta` is not installed.
        CharacterizationError: OpenSTA complained about the files.
    """
    if shutil.which("sta") is None:
        raise ToolMissingError("sta (OpenSTA) is not installed; install the Debian package opensta.")
    work.mkdir(parents=True, exist_ok=True)
    write_text(work / "netlist.v", netlist.to_verilog())
    setup = [f"read_liberty {{{plain(path, work)}}}" for path in liberty]
    setup += [f"read_verilog {{{work / 'netlist.v'}}}", f"link_design {netlist.top}"]
    setup += ["set_cmd_units -time ns", f"create_clock -name clock -period {PERIOD_NS} [get_ports {clock}]"]
    # OpenSTA crashes on an empty list of ports.
    setup += [f"set_{direction}_delay 0 -clock clock [list {objects(bits)}]"
              for direction in ("input", "output") if (bits := port_bits(netlist, direction, clock))]
    return [run_case(setup, case, ends, work) for case in cases]


def plain(path: Path, work: Path) -> Path:
    """Return an unpacked copy of a gzipped file in `work`, or the file itself; OpenSTA reads no gzip."""
    if path.suffix != ".gz":
        return path
    copy = work / path.stem
    if not copy.is_file():
        copy.write_bytes(gzip.decompress(path.read_bytes()))
    return copy


def port_bits(netlist: Netlist, direction: str, clock: str) -> list[str]:
    """Return the bits of the ports of one direction, the clock left out."""
    return [f"{port.name}[{bit}]" if port.width > 1 else port.name for port in netlist.ports
            if port.direction == direction and port.name != clock for bit in range(port.width)]


def objects(origins: Sequence[str]) -> str:
    """Return Tcl that names pins (`u7/Q`) and port bits; braces keep Tcl from reading `[3]` as a command."""
    return " ".join(f"[get_pins {{{name}}}]" if "/" in name else f"[get_ports {{{name}}}]" for name in origins)


def run_case(setup: Sequence[str], case: Mapping[str, int], ends: Sequence[str], work: Path) -> float:
    """Return the worst path of one case."""
    to = f"-to [list {objects(ends)}]" if ends else ""
    script = [*setup, *(f"set_case_analysis {value} {objects([name])}" for name, value in sorted(case.items()))]
    script += [f"set paths [find_timing_paths -path_delay max {to}]",
               'if {[llength $paths]} { puts "SLACK [get_property [lindex $paths 0] slack]" }',
               'puts "DONE"', "exit"]
    write_text(work / "case.tcl", "\n".join(script) + "\n")
    command = ["sta", "-no_splash", "-exit", str(work / "case.tcl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    output = done.stdout + done.stderr
    complaint = COMPLAINT.search(output)
    if complaint or "DONE" not in output:
        said = complaint[0] if complaint else f"nothing, it ended with code {done.returncode}"
        raise CharacterizationError(f"{work / 'case.tcl'}: OpenSTA says: {said.strip()}")
    slack = re.search(r"SLACK (\S+)", output)
    return (PERIOD_NS - float(slack[1])) * PS_PER_NS if slack else 0.0
