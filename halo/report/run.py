"""Run: all that a report is made from, each artifact with its digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from characterization.artifact import digest_file
from characterization.profile import MacProfile
from characterization.proof_file import PROOF_FILE
from halo.errors import OutputError
from halo.mac import load_mac
from halo.page import Source
from halo.results import PHASES, RESULTS, RUN_FILE, MethodResult, load_results, load_run
from halo.tables import reference_of
from halo.verdict import strongest_baseline

# Hues that hold on white and on black: searched codebooks warm, fixed grids cool.
WARM = ("#e4572e", "#8e44ad", "#c98a00", "#c2185b")
COOL = ("#4c7fd0", "#2a9d8f", "#7f8c9b", "#6a5acd", "#5aa9d6", "#6b9e2f", "#a0785a", "#9aa5b1")


@dataclass(frozen=True, eq=False)
class Run:
    """All that a report is made from.

    Attributes:
        out: folder of the run.
        facts: what its methods share.
    """

    out: Path
    facts: Mapping[str, Any]
    profile_path: Path
    profile: MacProfile
    results: tuple[MethodResult, ...]

    @property
    def w8a8(self) -> MethodResult:
        """The method that ratios are against."""
        return reference_of(self.results)

    @property
    def strongest(self) -> MethodResult | None:
        """The strongest shifted grid of the run."""
        return strongest_baseline(self.results)

    @property
    def ours(self) -> tuple[MethodResult, ...]:
        """Methods with searched codebooks."""
        return tuple(result for result in self.results if result.ours)

    @cached_property
    def files(self) -> dict[str, Source]:
        """Every artifact that the report reads, by its path in the run's folder, with the SHA-256 of its content."""
        paths = {RUN_FILE: self.out / RUN_FILE, self.profile_path.name: self.profile_path}
        for result in self.results:
            names = ("plan.json", "method.json", "accuracy.json", *(f"cost-{phase}.json" for phase in PHASES))
            paths |= {f"{RESULTS}/{result.label}/{name}": self.out / RESULTS / result.label / name
                      for name in (*names, PROOF_FILE)}
        compared = sorted(self.out.glob("compare/*/compare.json"))
        paths |= {path.relative_to(self.out).as_posix(): path for path in compared}
        return {name: Source(name, digest_file(path)) for name, path in paths.items() if path.is_file()}

    @property
    def profile_source(self) -> Source:
        """The profile's file."""
        return self.files[self.profile_path.name]

    def sources(self, *names: str) -> tuple[Source, ...]:
        """Return the artifacts of these names: files of the run, and of every method's folder."""
        wanted = {*names, *(f"{RESULTS}/{result.label}/{name}" for result in self.results for name in names)}
        return tuple(source for name, source in self.files.items() if name in wanted)

    def colors(self) -> dict[str, str]:
        """Return a colour for each method."""
        warm, cool = iter(WARM * len(self.results)), iter(COOL * len(self.results))
        return {result.label: next(warm if result.ours else cool) for result in self.results}


def load_whole(out: Path) -> Run:
    """Return the finished run in `out`.

    Raises:
        OutputError: a result is missing or damaged, or the profile is not the one that the plans were made from.
        ArtifactError: the profile cannot be read.
    """
    facts = load_run(out)
    path = Path(facts["profile"])
    beside = out / path.name
    path = path if path.is_file() or not beside.is_file() else beside
    profile, results = load_mac(path), load_results(out, facts["labels"])
    if not results:
        raise OutputError(f"{out}: a run without methods; name some as variants or baselines and run `halo run` again.")
    if other := [r.label for r in results if r.plan.provenance.inputs.get("profile") != profile.digest]:
        raise OutputError(f"{path} is not the profile that {', '.join(other)} was planned on; run `halo run` again, or "
                          "put the old profile back.")
    return Run(out, facts, path, profile, results)


def short(value: float) -> float:
    """Return a number for a chart, to six figures.

    >>> short(1234.56789)
    1234.57
    """
    return float(f"{value:.6g}")


def scale(colors: Mapping[str, str], wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return a chart's scale of colours for these names, in this order."""
    return {"domain": list(wanted), "range": [colors[name] for name in wanted]}
