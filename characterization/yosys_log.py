"""reason_in(): why Yosys refused a design, in one line that names nets and how to mend them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# A net of the source, or one that Yosys made, which is named after an operation and its place.
NAME = r"(?:\\(?P<net>\S+)|\$(?P<made>\w+)\$(?:sources/\d+/)?(?P<place>[^$\s]+)\S*)"
BIT = rf"\S+?\.{NAME}(?: \[(?P<bit>\d+)\])?"
UNDRIVEN = re.compile(rf"Warning: Wire {BIT} is used but has no driver")
SEVERAL = re.compile(rf"Warning: multiple conflicting drivers for {BIT}:")
LATCH = re.compile(r"Warning: Latch inferred for signal `\\\S+?\.\\(?P<net>[^']+)'")
LOOP = re.compile(r"Warning: found logic loop in module ")
PLACE = re.compile(r"source: (?:sources/\d+/)?(?P<file>[^:\s|]+):(?P<line>\d+)")
MOST = 4


def reason_in(lines: Sequence[str]) -> str:
    """Return what a log says of a failure: what is wrong with the design where that is known, else the last error."""
    errors = [line.strip() for line in lines if "ERROR:" in line]
    reason = errors[-1] if errors else ""
    # A latch is only a warning, which a library without latches turns into an error at the end.
    found = list(dict.fromkeys(findings(lines, latches="DLATCH" in reason)))
    known = found and ("check -assert" in reason or "DLATCH" in reason)
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(found[:MOST]) + more if known else reason


def findings(lines: Sequence[str], latches: bool) -> Iterator[str]:
    """Yield what is wrong with the design, one clause each."""
    for i, line in enumerate(lines):
        details = list(indented(lines[i + 1 :]))
        if match := UNDRIVEN.match(line):
            yield f"net {net_of(match)} is used but has no driver, drive it or tie it to a constant"
        elif match := SEVERAL.match(line):
            drivers = " and ".join(re.sub(r"\$(\w+)\$\S+ \(\S+\)", r"\1", detail) for detail in details)
            yield f"net {net_of(match)} has several drivers ({drivers}), give it one"
        elif LOOP.match(line):
            yield f"combinational loop{places(details)}, cut it with a register"
        elif latches and (match := LATCH.match(line)):
            yield f"latch inferred for {match['net']}, assign it on every path or use a register"


def net_of(match: re.Match[str]) -> str:
    """Return the name of a net with its bit."""
    name = match["net"] or f"of `{match['made']}` at {match['place']}"
    return name + (f"[{match['bit']}]" if match["bit"] else "")


def indented(lines: Sequence[str]) -> Iterator[str]:
    """Yield the indented lines that follow a warning."""
    for line in lines:
        if not line.startswith("    "):
            return
        yield line.strip()


def places(details: Sequence[str]) -> str:
    """Return the sources that a warning's details name, ` through FILE:LINE, ...`."""
    found = dict.fromkeys(f"{match['file']}:{match['line']}" for detail in details if (match := PLACE.search(detail)))
    return f" through {', '.join(found)}" if found else ""
