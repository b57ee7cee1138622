"""What the delays of all weight values cost: our sweep beside OpenSTA's own loop over the same cases, on this machine.

    python benchmarks/timing_sweep.py
    python benchmarks/timing_sweep.py --designs tensor_core_dp4 --pdks sky130hd --repeat 5

OpenSTA runs as one process that reads the library once and asks for the worst path of each weight, in two ways: by
setting and unsetting the case (which leaves stale slews in 2.0), and by linking the design anew for each weight (which
is right). Times are its own clock's, the reading of the library left out; ours are `sta_ps`, whole: loads, order,
constants, tables, arrivals at all endpoints. `more corners` is what each further corner of the same netlist costs.
The least of several runs counts.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from characterization.annotation import annotate
from characterization.artifact import write_text
from characterization.corner_library import read_corner
from characterization.design import MacDesign, read_design
from characterization.netlist import Netlist, abut
from characterization.opensta import PERIOD_NS, objects, plain, port_bits, run
from characterization.pdk import Corner, read_pdk
from characterization.pipeline import map_design
from characterization.timing import fixed_nets, sta_ps, sta_sweep_ps, topological_ps, weight_sinks

RTL = Path(__file__).parents[1] / "rtl"


def opensta_s(netlist: Netlist, corner: Corner, design: MacDesign, weights: np.ndarray, work: Path) -> dict[str, float]:
    """Return the seconds of OpenSTA's loop, cases undone (`unset`) and design linked anew (`link`)."""
    timed = annotate(netlist, read_corner(corner), corner, design.clock)
    fixed = {timed.source_of[net].origin: values for net, values in fixed_nets(timed, design, weights).items()}
    ends = objects([sink.origin for sink in weight_sinks(timed, design)])
    write_text(work / "netlist.v", netlist.to_verilog())
    link = [f"read_verilog {{{work / 'netlist.v'}}}", f"link_design {netlist.top}",
            f"create_clock -name clock -period {PERIOD_NS} [get_ports {design.clock}]"]
    link += [f"set_{way}_delay 0 -clock clock [list {objects(bits)}]" for way in ("input", "output")
             if (bits := port_bits(netlist, way, design.clock))]
    seconds = {}
    for way in ("unset", "link"):
        script = [f"read_liberty {{{plain(path, work)}}}" for path in corner.liberty]
        script += ["set started [clock milliseconds]", *(link if way == "unset" else [])]
        for i in range(weights.size):
            script += link if way == "link" else []
            script += [f"set_case_analysis {values[i]} {objects([origin])}" for origin, values in fixed.items()]
            script += [f"set paths [find_timing_paths -path_delay max -to [list {ends}]]",
                       'if {[llength $paths]} { puts "SLACK [get_property [lindex $paths 0] slack]" }']
            if way == "unset":
                script += [f"unset_case_analysis {objects([origin])}" for origin in fixed]
        script.append('puts "MILLISECONDS [expr [clock milliseconds] - $started]"')
        found = re.search(r"MILLISECONDS (\d+)", run(script, work))
        assert found
        seconds[way] = float(found[1]) / 1000
    return seconds


def least_s(verb: Callable[[], object], repeat: int) -> float:
    """Return the seconds of the quickest of several runs."""
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        verb()
        times.append(time.perf_counter() - started)
    return min(times)


def row(netlist: Netlist, corners: Sequence[Corner], design: MacDesign, repeat: int, work: Path) -> str:
    """Return one line of the table."""
    weights = np.array(design.weights)
    libraries = [read_corner(corner) for corner in corners]
    theirs = [opensta_s(netlist, corners[0], design, weights, work) for _ in range(max(1, repeat // 2))]
    unset, link = (min(one[way] for one in theirs) for way in ("unset", "link"))
    ours = least_s(lambda: sta_ps(netlist, libraries[0], design, weights), repeat)
    every = least_s(lambda: sta_sweep_ps(netlist, libraries, design, weights), repeat)
    more = (every - ours) / (len(corners) - 1) if len(corners) > 1 else float("nan")
    timed = annotate(netlist, libraries[0], corners[0], design.clock)
    annotation = least_s(lambda: annotate(netlist, libraries[0], corners[0], design.clock), repeat)
    bound = least_s(lambda: topological_ps(timed, design, weights), repeat)
    return (f"{len(netlist.cells):>6}{weights.size:>8}{unset:>9.2f}{link:>9.2f}{ours:>9.3f}{unset / ours:>8.0f}x"
            f"{link / ours:>7.0f}x{more:>9.3f}{annotation:>10.3f}{bound:>9.3f}")


def main() -> None:
    """Print one row for each design and library."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", default="systolic_pe,systolic_pe_booth,tensor_core_dp4")
    parser.add_argument("--pdks", default="osu018,sky130hd,asap7")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("build/bench-opensta"))
    options = parser.parse_args()
    print("seconds for all weights: OpenSTA (unset, link anew), ours, ratios, each further corner; annotate, bound")
    print(f"{'design':<20}{'library':<10}{'cells':>6}{'weights':>8}{'unset':>9}{'link':>9}{'ours':>9}{'ratio':>9}{'':>8}"
          f"{'corner':>9}{'annotate':>10}{'bound':>9}")
    for pdk in map(read_pdk, options.pdks.split(",")):
        for name in options.designs.split(","):
            design = read_design(RTL / name)
            netlist = map_design(design, pdk, options.work / f"{name}-{pdk.name}", lambda *_: None)
            joined = abut(netlist, design.neighbours)
            print(f"{name:<20}{pdk.name:<10}" + row(joined, pdk.corners, design, options.repeat, options.work / "sta"),
                  flush=True)


if __name__ == "__main__":
    main()
