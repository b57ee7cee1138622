"""check_plan(): every period of a plan derived again from the profile; any contradiction is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from characterization.errors import ArtifactError
from characterization.profile import MacProfile
from halo.errors import PlanError
from halo.operating_point import OperatingPoint, operating_point
from halo.plan import ClockClass, DvfsPlan, Scope, Segment, point_changes

SAME_PS = 1e-6
SAME = 1e-9
SCOPES: tuple[Scope, ...] = ("linear", "all")


def check_plan(plan: DvfsPlan, profile: MacProfile) -> None:
    """Derive every period again from the profile's delays, and refuse a plan that contradicts them or itself.

    Raises:
        PlanError: a class or segment is clocked faster than its slowest value allows, a value lies outside its
            class, sums do not add up, a budget is broken, or it was made from another profile; all in one message.
    """
    other = plan.provenance.inputs["profile"] != profile.digest
    faults = [*(["it was made from another profile"] if other else []), *class_faults(plan, profile),
              *segment_faults(plan, profile), *switch_faults(plan), *sum_faults(plan), *budget_faults(plan)]
    if faults:
        shown = [*faults[:8], *([f"and {len(faults) - 8} more"] if len(faults) > 8 else [])]
        raise PlanError(f"plan of {plan.method}: {'; '.join(shown)}. Make it again with `halo plan`.")


def need(
    plan: DvfsPlan, profile: MacProfile, codes: Sequence[int], voltage_v: float, name: str
) -> OperatingPoint | None:
    """Return the point that values need at a voltage; None where the profile has no such voltage."""
    try:
        return operating_point(profile, codes, replace(plan.points, voltage_v=voltage_v), name)
    except ArtifactError:
        return None


def class_faults(plan: DvfsPlan, profile: MacProfile) -> Iterator[str]:
    """Yield what is wrong with the clock classes."""
    for item in dict.fromkeys((*plan.classes, *plan.clocks)):
        together = values_within(plan, item.period_ps, item.voltage_v, item.codes, profile)
        found = need(plan, profile, together, item.voltage_v, item.name)
        if found is None:
            yield f"class {item.name} is planned at {item.voltage_v:g} V, which the profile cannot answer for"
        elif item.period_ps < found.period_ps - SAME_PS:
            yield (f"class {item.name} is clocked at {item.period_ps:.2f} ps and {item.voltage_v:g} V, its values need "
                   f"{found.period_ps:.2f} ps")


def segment_faults(plan: DvfsPlan, profile: MacProfile) -> Iterator[str]:
    """Yield what is wrong with the segments."""
    known: dict[tuple[tuple[int, ...], float, float], float | None] = {}
    for segment in plan.segments:
        used = tuple(int(index) - 128 for index in np.flatnonzero(segment.code_counts))
        classes = classes_within(plan, segment)
        allowed = {code for item in classes for code in item.codes}
        outside = sorted(set(used) - allowed)
        if outside:
            yield (f"{segment.layer}: value {outside[0]} is in no class as fast as {segment.codebook} at "
                   f"{segment.voltage_v:g} V")
        own = used or next((item.codes for item in plan.classes if item.name == segment.codebook), ())
        key = (own, segment.voltage_v, segment.period_ps)
        if key not in known:
            together = values_within(plan, segment.period_ps, segment.voltage_v, own, profile)
            point = need(plan, profile, together, segment.voltage_v, segment.codebook)
            known[key] = point.period_ps if point else None
        period_ps = known[key]
        if period_ps is None:
            yield f"{segment.layer}: {segment.voltage_v:g} V is none that the profile can answer for"
        elif segment.period_ps < period_ps - SAME_PS:
            yield (f"{segment.layer}: segment {segment.codebook} is clocked at {segment.period_ps:.2f} ps and "
                   f"{segment.voltage_v:g} V, its values need {period_ps:.2f} ps")


def classes_within(plan: DvfsPlan, segment: Segment) -> list[ClockClass]:
    """Return the classes that are as fast as a segment at its voltage."""
    return [item for item in plan.clocks
            if item.voltage_v == segment.voltage_v and item.period_ps <= segment.period_ps + SAME_PS]


def values_within(
    plan: DvfsPlan, period_ps: float, voltage_v: float, codes: Sequence[int], profile: MacProfile
) -> tuple[int, ...]:
    """Return the values whose delay a period must cover: `codes`, or where weights stream all values that fast."""
    if profile.head.weight_mode != "streaming":
        return tuple(codes)
    together = {code for item in plan.clocks for code in item.codes
                if item.voltage_v == voltage_v and item.period_ps <= period_ps}
    return tuple(sorted(together | set(codes)))


def switch_faults(plan: DvfsPlan) -> Iterator[str]:
    """Yield where the changes that are listed are not those that the segments make."""
    for phase in plan.phases:
        for scope in SCOPES:
            made = [(at, before.voltage_v, before.period_ps, after.voltage_v, after.period_ps)
                    for at, before, after, _ in point_changes(plan.segments_of(phase), scope)]
            listed = [(s.segment, s.old_v, s.old_ps, s.new_v, s.new_ps) for s in plan.switches_of(scope, phase)]
            if odd := sorted(set(made) ^ set(listed)):
                what = "linear layers" if scope == "linear" else "whole pass"
                yield (f"{phase}, {what}: {len(listed)} changes of clock or voltage are listed, the segments make "
                       f"{len(made)}; they disagree at segment {odd[0][0]}")


def sum_faults(plan: DvfsPlan) -> Iterator[str]:
    """Yield where figures are negative or no segment's own, or a phase is not the sum of its segments and changes."""
    for segment in plan.segments:
        if min(segment.time_s, segment.energy_fj, segment.cycles, segment.memory_s) < 0:
            yield f"{segment.layer}: a figure of segment {segment.codebook} is negative"
        longer_s = max(segment.compute_s, segment.memory_s)
        if abs(segment.time_s - longer_s) > SAME * longer_s:
            yield (f"{segment.layer}: segment {segment.codebook} is stated to take {segment.time_s:.9g} s, the longer "
                   f"of its compute and memory time is {longer_s:.9g} s")
    for result in plan.results:
        segments, switches = plan.segments_of(result.phase), plan.switches_of("all", result.phase)
        time_s = sum(s.time_s for s in segments) + sum(s.cost.time_s for s in switches)
        energy_fj = sum(s.energy_fj for s in segments) + sum(s.cost.energy_fj for s in switches) + result.split_fj
        for name, found, stated in (("time", time_s, result.time_s), ("energy", energy_fj, result.energy_fj)):
            if abs(found - stated) > SAME * abs(stated):
                yield (f"{result.phase}: {name} is stated as {stated:.9g}, its segments and changes add up to "
                       f"{found:.9g}")


def budget_faults(plan: DvfsPlan) -> Iterator[str]:
    """Yield where a required throughput or the power cap is not kept."""
    for result in plan.results:
        wanted = plan.config.tokens_per_s(result.phase)
        if wanted and result.tokens / result.time_s < wanted * (1 - SAME):
            yield f"{result.phase}: {result.tokens / result.time_s:.6g} tokens per second, {wanted:g} are required"
    cap = plan.config.power_cap_w
    for segment in plan.segments if cap else ():
        if segment.energy_fj * 1e-15 / segment.time_s > cap * (1 + SAME):
            yield f"{segment.layer}: segment {segment.codebook} draws more than the cap of {cap:g} W"
