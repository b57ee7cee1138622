"""save_plan(), load_plan(): a plan as versioned JSON; switch_points(): what a controller of clock and supply does."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from characterization.artifact import Provenance, write_text
from halo.errors import PlanError
from halo.loads import LayerPlan, LoadGroup, Panels
from halo.operating_point import PointConfig
from halo.plan import ClockClass, DvfsConfig, DvfsPlan, PhaseResult, Segment, Switch, Transition

SCHEMA = 3
PS_PER_S, PS_PER_NS = 1e12, 1e3
LOAD_FIELDS = tuple(LoadGroup.__dataclass_fields__)


def pack_counts(counts: tuple[int, ...]) -> dict[str, int]:
    """Return the counts that are not zero, by value."""
    return {str(i - 128): n for i, n in enumerate(counts) if n}


def unpack_counts(packed: Mapping[str, int]) -> tuple[int, ...]:
    """Return 256 counts from those that are not zero; none from none.

    >>> unpack_counts(pack_counts((1, *[0] * 254, 2)))[255]
    2
    """
    if not packed:
        return ()
    counts = [0] * 256
    for value, n in packed.items():
        counts[int(value) + 128] = n
    return tuple(counts)


def plan_to_json(plan: DvfsPlan) -> str:
    """Return the plan as JSON with its schema; equal plans give equal text."""
    fields = asdict(plan)
    for segment in fields["segments"]:
        segment.update(segment.pop("loads"))
        segment["code_counts"] = pack_counts(segment["code_counts"])
    for layer in fields["layers"]:
        layer["sparse_counts"] = pack_counts(layer["sparse_counts"])
    summary = {"n_switches": plan.n_switches, "n_switches_with_attention": len(plan.switches_of("all")),
               "switch_us": plan.switch_us, "switch_energy_fj": plan.switch_energy_fj,
               "gap": {result.phase: result.gap for result in plan.results}}
    return json.dumps({"schema": SCHEMA, "kind": "halo.DvfsPlan", "summary": summary, **fields}, indent=1) + "\n"


def plan_schema() -> str:
    """Return the JSON Schema (draft 2020-12) that every saved plan satisfies."""
    return (files("halo") / "plan.schema.json").read_text(encoding="utf-8")


def save_plan(plan: DvfsPlan, path: Path) -> None:
    """Write the plan as JSON, in one step."""
    write_text(path, plan_to_json(plan))


def load_plan(path: Path) -> DvfsPlan:
    """Return the plan saved at `path`.

    Raises:
        PlanError: the file is missing, damaged, or of another schema.
    """
    if not path.is_file():
        raise PlanError(f"{path}: no such plan; make one with `halo plan QUANTIZED --profile P.nc --out {path}`.")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        found = fields.pop("schema")
        if found == SCHEMA:
            return plan_from(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f"{path}: not a readable plan ({error!r}); make it again with `halo plan`.") from error
    raise PlanError(f"{path}: plan schema {found}, this program reads {SCHEMA}; make it again with `halo plan`.")


def plan_from(fields: dict[str, Any]) -> DvfsPlan:
    """Return the plan whose JSON fields these are."""
    del fields["kind"], fields["summary"]
    config = fields.pop("config")
    tuples = {name: tuple(value) for name, value in config.items() if isinstance(value, list)}
    switches = (Switch(**{**f, "cost": Transition(**f["cost"])}) for f in fields.pop("switches"))
    return DvfsPlan(
        classes=tuple(map(class_from, fields.pop("classes"))), clocks=tuple(map(class_from, fields.pop("clocks"))),
        layers=tuple(map(layer_from, fields.pop("layers"))), segments=tuple(map(segment_from, fields.pop("segments"))),
        switches=tuple(switches), results=tuple(PhaseResult(**f) for f in fields.pop("results")),
        points=PointConfig(**fields.pop("points")), config=DvfsConfig(**{**config, **tuples}),
        provenance=Provenance(**fields.pop("provenance")), assumptions=tuple(fields.pop("assumptions")), **fields,
    )


def class_from(fields: Mapping[str, Any]) -> ClockClass:
    """Return the clock class of saved fields."""
    return ClockClass(**{**fields, "codes": tuple(fields["codes"])})


def layer_from(fields: Mapping[str, Any]) -> LayerPlan:
    """Return the layer of saved fields."""
    panels = tuple(Panels(**{**f, "codebooks": tuple(f["codebooks"])}) for f in fields["panels"])
    counts = unpack_counts(fields["sparse_counts"]) or (0,) * 256
    return LayerPlan(**{**fields, "panels": panels, "sparse_counts": counts})


def segment_from(fields: Mapping[str, Any]) -> Segment:
    """Return the segment of saved fields."""
    own = {name: fields[name] for name in LOAD_FIELDS if name in fields}  # older plans lack what has a default
    loads = LoadGroup(**{**own, "code_counts": unpack_counts(fields["code_counts"])})
    return Segment(loads=loads, **{name: value for name, value in fields.items() if name not in LOAD_FIELDS})


def switch_points(plan: DvfsPlan) -> str:
    """Return the schedule of a controller as CSV: every change of point of each phase, attention and head included.

    `time_us` and `cycle` count from the start of the pass, changes before it included in the time; a pass begins at the
    point that the row with segment 0, or else the last row, leads to.
    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("phase", "segment", "time_us", "cycle", "layer", "stage", "old_class", "new_class", "old_v", "new_v",
                   "old_mhz", "new_mhz", "steps", "lost_ns", "energy_pj"))
    for phase in plan.phases:
        segments, time_s, cycle = plan.segments_of(phase), 0.0, 0
        due = {switch.segment: switch for switch in plan.switches_of("all", phase)}
        for at, segment in enumerate(segments):
            if switch := due.get(at):
                rows.writerow((
                    phase, at, f"{1e6 * time_s:.6f}", cycle, segment.layer, segment.stage, switch.old, switch.new,
                    f"{switch.old_v:g}", f"{switch.new_v:g}", f"{1e6 / switch.old_ps:.4f}",
                    f"{1e6 / switch.new_ps:.4f}", switch.steps, f"{1e9 * switch.cost.time_s:.3f}",
                    f"{switch.cost.energy_fj / 1e3:.3f}"))
                time_s += switch.cost.time_s
                cycle += switch.cost.cycles
            time_s += segment.time_s
            cycle += segment.cycles
    return out.getvalue()
