"""timing_report(): what an engineer asks of static timing at one corner, ready to print or to save."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from characterization.design import MacDesign
from characterization.hold import HoldReport, hold_report
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist
from characterization.timed import TimedNetlist
from characterization.timing import floor_ps, sta_ps, topological_ps
from characterization.timing_path import Endpoint, endpoints


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock that slack is reckoned against; the capturing edge may come early by jitter and skew.

    Attributes:
        period_ps: None where no slack is asked for.
    """

    period_ps: float | None = None
    skew_ps: float = 0.0
    jitter_ps: float = 0.0

    def setup_slack_ps(self, needed_ps: float) -> float | None:
        """Return the slack of an arrival plus setup; None without a period."""
        return None if self.period_ps is None else self.period_ps - self.skew_ps - self.jitter_ps - needed_ps


@dataclass(frozen=True, slots=True, eq=False)
class TimingReport:
    """Static timing of one weight value, or (weight None) of everything with nothing held.

    Attributes:
        topological_ps: the bound on the one delay set. sta_ps: as OpenSTA has it; NaN with nothing held.
        floor_ps: what no weight can beat.
        ends: the worst sinks with their paths, latest first.
        hold: the tightest hold check, nothing held. hold_corner: where it was found.
        clock: what slacks are reckoned against.
    """

    design: str
    corner: str
    weight: int | None
    topological_ps: float
    sta_ps: float
    floor_ps: float
    ends: tuple[Endpoint, ...]
    hold: HoldReport
    hold_corner: str
    clock: Clock

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON holds it: null where there is no number."""
        ends = [{"endpoint": end.sink.origin, "edge": end.edge, "needed_ps": end.needed_ps,
                 "slack_ps": self.clock.setup_slack_ps(end.needed_ps), "path": [asdict(step) for step in end.steps]}
                for end in self.ends]
        hold = {"corner": self.hold_corner, "endpoint": self.hold.endpoint,
                "slack_ps": finite(self.hold.slack_ps - self.clock.skew_ps),
                "tolerated_skew_ps": finite(self.hold.tolerated_skew_ps),
                "path": [asdict(step) for step in self.hold.steps]}
        return {"design": self.design, "corner": self.corner, "weight": self.weight,
                "topological_ps": self.topological_ps, "sta_ps": finite(self.sta_ps), "floor_ps": self.floor_ps,
                "clock": asdict(self.clock), "endpoints": ends, "hold": hold}


def finite(value: float) -> float | None:
    """Return a number, or None where it is none."""
    return value if np.isfinite(value) else None


def timing_report(
    netlist: Netlist, timed: TimedNetlist, library: CellLibrary, design: MacDesign, corner: str, weight: int | None,
    n_paths: int, clock: Clock, wire_load: str = "", fast: tuple[str, TimedNetlist] | None = None,
) -> TimingReport:
    """Return the report of an annotated netlist.

    Args:
        netlist: mapped and abutted.
        timed: `netlist` annotated with `library`.
        library: the corner's cells.
        design: names the weight registers and what is held.
        corner: its name.
        weight: the value all lanes hold; None for all sinks with nothing held.
        n_paths: how many of the worst sinks are listed with their paths.
        clock: what slacks are reckoned against.
        wire_load: the model that `timed` was annotated with.
        fast: the corner at which hold is checked, and the netlist annotated there; None for the same corner.
    """
    ends = endpoints(timed, design, weight, max(n_paths, 1))
    if weight is None:
        bound, static = ends[0].needed_ps if ends else 0.0, np.nan
    else:
        one = np.array([weight])
        bound = float(topological_ps(timed, design, one)[0])
        static = float(sta_ps(netlist, library, design, one, wire_load=wire_load)[0])
    hold_corner, early = fast or (corner, timed)
    return TimingReport(design.name, corner, weight, bound, static, floor_ps(timed, design), ends[:n_paths],
                        hold_report(early), hold_corner, clock)
