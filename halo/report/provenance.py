"""assumption_section(), provenance_section(): what every number rests on, every file's digest, how to get the same."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from halo.page import Grid, Section
from halo.report.run import Run
from halo.results import RESULTS


def assumption_section(run: Run) -> Section:
    """Return what the costs assume, and what is not quantized."""
    lines = list(dict.fromkeys(line for result in run.results for phase in result.costs.values()
                               for line in phase.assumptions))
    lines += [f"not quantized: {name} ({reason})" for name, reason in run.facts["skipped"].items()]
    return Section("What this rests on", points=tuple(lines),
                   sources=run.sources("run.json", "cost-prefill.json", "cost-decode.json"))


def provenance_section(run: Run) -> Section:
    """Return the digests of what went in, the versions of tools, every file that the report read, and the commands."""
    facts = run.facts
    inputs = tuple((name, digest) for name, digest in facts["inputs"].items())
    made = run.profile.provenance
    tools = tuple({**{f"characterize: {name}": version for name, version in made.tools.items()},
                   **{f"halo: {name}": version for name, version in facts["tools"].items()}}.items())
    digests = (("netlist", run.profile.head.netlist_digest),
               *((f"characterize: {name}", digest) for name, digest in made.inputs.items()))
    files = tuple((source.name, source.digest) for source in run.files.values())
    grids = (Grid(("input", "SHA-256 or key"), (*inputs, *digests), "What went in, by content."),
             Grid(("tool", "version"), tools, "What it was made with."),
             Grid(("file", "SHA-256"), files, f"In {run.out}, and the profile. Every number above is in one of them.",
                  folded=f"All {len(files)} files that this report was made from"))
    return Section("Provenance, and how to get the same", commands=commands(run), grids=grids)


def commands(run: Run) -> tuple[str, ...]:
    """Return what makes this run again from its inputs, and what checks it."""
    facts, head = run.facts, run.profile.head
    first = (run.ours or run.results)[0].label
    profile, out = shlex.quote(str(facts["profile"])), shlex.quote(str(facts["config"]["out"]))
    voltages = [f"{run.profile.voltage_v[at]:.2f}" for at in run.profile.grid.of_speed("typical")]
    wanted = f" --voltages {','.join(voltages)} --signoff" if len(voltages) > 1 else ""
    return (
        f"characterize run rtl/{head.design} --pdk {shlex.quote(head.library)}{wanted} --out {profile}",
        *toml_lines(facts["config"]),
        "halo run run.toml",
        f"halo plan {out}/{RESULTS}/{first}/plan.json --profile {profile} --check",
        f"characterize prove {out}/{RESULTS}/{first}",
        "halo compare run.toml", f"halo report {out}",
    )


def toml_lines(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the shell lines that write a run's configuration, as it was used, to run.toml."""
    return ("cat > run.toml <<'END'", *toml_table(config, ""), "END")


def toml_table(table: Mapping[str, Any], name: str) -> list[str]:
    """Return one table as TOML: plain values first, then the tables inside it.

    >>> toml_table({"a": 1, "b": {"c": [True, "x"]}}, "")
    ['a = 1', '[b]', 'c = [true, "x"]']
    """
    plain = [f"{key} = {toml_value(value)}" for key, value in table.items()
             if not isinstance(value, Mapping) and value is not None]
    head = [f"[{name}]"] if name and (plain or not table) else []
    inner = [line for key, value in table.items() if isinstance(value, Mapping)
             for line in toml_table(value, f"{name}.{key_of(key)}" if name else key_of(key))]
    return [*head, *plain, *inner]


def key_of(key: str) -> str:
    """Return a key of TOML, in quotes where it needs them."""
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def toml_value(value: Any) -> str:
    """Return a plain value as TOML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
