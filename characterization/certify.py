"""certify_weights(), certify_set(): the exact delay of weight values and of codebooks, over all other inputs.

*Certified* is the floating-mode (XBD0) delay: the latest time, setup included, at which any register that the weight
reaches can still change, whatever the other sources hold or held before, with every gate delay anywhere in [0, d].
In `stationary` mode the weight has been constant since at least one cycle; in `swap` mode it launches at clk->q with
all other sources and only its final value is known, which covers any value before. Controls under `hold` stand still.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np

from characterization.artifact import digest_bytes, digest_of, write_text
from characterization.certify_search import CertifyConfig, Found, Members, search
from characterization.design import MacDesign
from characterization.errors import CertifyError
from characterization.floating_case import UNKNOWN, FloatingCase, floating_case
from characterization.floating_mode import FloatingCore, floating_core
from characterization.timed import TimedNetlist
from characterization.timing_cases import fix, fixed_nets, held_nets, weight_sinks
from characterization.units import AS_PER_PS

__all__ = ["Certificate", "CertifiedDelays", "CertifyConfig", "certify_set", "certify_weights"]

Mode = Literal["stationary", "swap"]
Progress = Callable[[int, int], None]
# Of the semantics: results of another one are not taken up.
VERSION = 2
# Values next to each other have like witnesses: so many are searched one after the other, each from those before it.
FAMILY = 16


@dataclass(frozen=True, eq=False)
class Job:
    """One search: what is fixed, what stands still, and which values some sources may have together."""

    fixed: np.ndarray
    still: np.ndarray
    members: Members | None = None


@dataclass(frozen=True, eq=False)
class CertifiedDelays:
    """What is proved of each weight value.

    Attributes:
        weights: values of all lanes.
        mode: stationary or swap.
        lower_ps: the requirement that the witness has `[weight]`.
        upper_ps: what no vector exceeds: the certified delay `[weight]`.
        exact: whether both are equal; if not, the time limit struck `[weight]`.
        topological_ps: the longest path, on the same delays `[weight]`.
        sources: nets of the witnesses' columns.
        witnesses: final values of the sources that attain `lower_ps`, uint8 `[weight, source]`.
    """

    weights: tuple[int, ...]
    mode: Mode
    lower_ps: np.ndarray
    upper_ps: np.ndarray
    exact: np.ndarray
    topological_ps: np.ndarray
    sources: tuple[str, ...]
    witnesses: np.ndarray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.lower_ps, self.upper_ps, self.exact, self.topological_ps, self.witnesses):
            array.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is proved of a set of values, any of which each lane may hold.

    Attributes:
        codes: the values, sorted; None for all.
        mode: stationary or swap.
        lower_ps, upper_ps, exact, topological_ps: as in `CertifiedDelays`.
        witness: final value of each source that attains `lower_ps`.
    """

    codes: tuple[int, ...] | None
    mode: Mode
    lower_ps: float
    upper_ps: float
    exact: bool
    topological_ps: float
    witness: dict[str, int]


def certify_weights(
    timed: TimedNetlist, design: MacDesign, weights: Sequence[int] | np.ndarray, mode: Mode,
    config: CertifyConfig | None = None, workers: int = 1, progress: Progress | None = None, folder: Path | None = None,
) -> CertifiedDelays:
    """Return the certified delay of every weight value, all lanes alike.

    Args:
        timed: one cycle, abutted where the design pairs inputs with outputs.
        design: names the weight registers and what is held.
        weights: values to certify.
        mode: whether the weight is constant or launched with the rest.
        config: solver and time limit of each value.
        workers: processes; the result does not depend on it.
        progress: called with (values done, values), for every family of values.
        folder: where finished values are kept; a killed run takes up what is there.

    Raises:
        CertifyError: a value does not fit the design, no register depends on the weight, or a gate lacks a delay.
        NetlistError: a held or weight register is not in the netlist.
    """
    config = config or CertifyConfig()
    values = checked(weights, design)
    core = core_of(timed, design)
    jobs = weight_jobs(core, timed, design, values, mode)
    found = run_jobs(core, [f"weight {value}" for value in values], jobs, config, workers, progress, folder)
    return CertifiedDelays(
        tuple(values), mode,
        lower_ps=np.array([one.lower_as for one in found]) / AS_PER_PS,
        upper_ps=np.array([one.upper_as for one in found]) / AS_PER_PS,
        exact=np.array([one.exact for one in found]),
        topological_ps=np.array([case_of(core, job).topological_as for job in jobs]) / AS_PER_PS,
        sources=core.sources, witnesses=np.stack([one.witness for one in found]),
    )


def certify_set(
    timed: TimedNetlist, design: MacDesign, codes: Sequence[int] | None, config: CertifyConfig | None = None,
    mode: Mode = "swap", folder: Path | None = None,
) -> Certificate:
    """Return the certified delay of a set of values: each lane holds any of them, independently.

    Args:
        timed: one cycle.
        design: names the weight registers and what is held.
        codes: the values; None for all, which proves the clock of a baseline.
        config: solver and time limit.
        mode: `swap` for weights that launch with the rest, as in streaming designs; `stationary` for constant ones,
            where a multiplexer between two of the weight's bits counts as one whose data may differ.
        folder: where finished certificates are kept.

    Raises:
        CertifyError: no or wrong values, no register depends on the weight, or a gate lacks a delay.
        NetlistError: a held or weight register is not in the netlist.
    """
    core = core_of(timed, design)
    fixed, still = held(core, timed, design)
    lanes = lane_bits(core, timed, design)
    members = None
    if codes is not None:
        members = Members(lanes, tuple(design.encode(sorted(set(checked(codes, design)))).tolist()))
        fix_common(core, members, fixed)
    if mode == "stationary":
        still |= np.isin(main_source(core), [source for lane in lanes for source, _ in lane])
    job = Job(fixed, still, members)
    name = "all values" if codes is None else f"{len(codes)} values"
    [found] = run_jobs(core, [name], [job], config or CertifyConfig(), 1, None, folder)
    return Certificate(
        None if codes is None else tuple(sorted(set(map(int, codes)))), mode, found.lower_as / AS_PER_PS,
        found.upper_as / AS_PER_PS, found.exact, case_of(core, job).topological_as / AS_PER_PS,
        dict(zip(core.sources, found.witness.tolist(), strict=True)),
    )


def checked(weights: Sequence[int] | np.ndarray, design: MacDesign) -> list[int]:
    """Return weight values as integers.

    Raises:
        CertifyError: there are none, or the design has no weight of some value.
    """
    values, known = [int(weight) for weight in weights], design.weights
    if not values:
        raise CertifyError(f"{design.name}: an empty set of weight values; name some of {known[0]}..{known[-1]}.")
    if unknown := sorted(set(values) - set(known)):
        raise CertifyError(f"{design.name}: no weight has the value {unknown[0]}; they lie in {known[0]}..{known[-1]}.")
    return values


def core_of(timed: TimedNetlist, design: MacDesign) -> FloatingCore:
    """Return the core with the sinks that the weight reaches.

    Raises:
        CertifyError: it reaches none.
    """
    sinks = weight_sinks(timed, design)
    if not sinks:
        names = ", ".join(lane.weight for lane in design.lanes)
        raise CertifyError(f"{design.name}: no register of {timed.top} depends on the weight ({names}); check "
                           "[[lanes]] in design.toml, or whether synthesis has removed the multiplier.")
    return floating_core(timed, sinks)


def main_source(core: FloatingCore) -> np.ndarray:
    """Return the source of which each one is the complement, itself if it is none `[source]`."""
    return np.where(core.twin >= 0, core.twin, np.arange(core.n_sources))


def weight_jobs(
    core: FloatingCore, timed: TimedNetlist, design: MacDesign, weights: list[int], mode: Mode
) -> list[Job]:
    """Return what is fixed for each weight value."""
    hold, still = held(core, timed, design)
    number = {net: index for index, net in enumerate(core.sources)}
    fixed = np.tile(hold, (len(weights), 1))
    for net, values in fixed_nets(timed, design, np.array(weights)).items():
        fixed[:, number[net]] = values
    quiet = fixed[0] != UNKNOWN if mode == "stationary" else still
    return [Job(row, quiet) for row in fixed]


def held(core: FloatingCore, timed: TimedNetlist, design: MacDesign) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of sources, UNKNOWN unless compute mode holds them, and whether it does `[source]`."""
    fixed = np.full(core.n_sources, UNKNOWN, dtype=np.int8)
    number = {net: index for index, net in enumerate(core.sources)}
    for net, values in held_nets(timed, design, 1).items():
        fixed[number[net]] = values[0]
    return fixed, fixed != UNKNOWN


def lane_bits(
    core: FloatingCore, timed: TimedNetlist, design: MacDesign
) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return (source, value at which the bit is 1) of every weight bit of every lane."""
    number = {net: index for index, net in enumerate(core.sources)}

    def bit(net: str) -> tuple[int, int]:
        ones = fix(timed, net, np.ones(1, dtype=np.int64))
        return next((number[name], int(value[0])) for name, value in ones.items() if core.twin[number[name]] < 0)

    return tuple(tuple(bit(net) for net in design.nets_of(lane.weight)) for lane in design.lanes)


def fix_common(core: FloatingCore, members: Members, fixed: np.ndarray) -> None:
    """Fix, in place, the weight bits that are equal in all codes."""
    for lane in members.lanes:
        for bit, (source, one) in enumerate(lane):
            if len(seen := {code >> bit & 1 for code in members.codes}) == 1:
                value = one if seen == {1} else 1 - one
                fixed[source] = value
                fixed[core.twin == source] = 1 - value


def run_jobs(
    core: FloatingCore, names: list[str], jobs: list[Job], config: CertifyConfig, workers: int,
    progress: Progress | None, folder: Path | None,
) -> list[Found]:
    """Return what was found for each job, in order."""
    paths = [result_path(folder, core, family_of(jobs, index), config) for index in range(len(jobs))]
    found = {index: read_found(path) for index, path in enumerate(paths) if path and path.is_file()}
    families = {start: jobs[start : start + FAMILY] for start in range(0, len(jobs), FAMILY)}
    pending = {start: family for start, family in families.items()
               if not found.keys() >= set(range(start, start + len(family)))}
    for start, results in solve_families(core, pending, config, workers):
        for index, result in enumerate(results, start):
            found[index] = result
            if path := paths[index]:
                write_text(path, found_text(result, names[index]))
        if progress:
            progress(len(found), len(jobs))
    return [found[index] for index in range(len(jobs))]


def family_of(jobs: list[Job], index: int) -> list[Job]:
    """Return a job after those of its family that come before it: what its result depends on."""
    return jobs[index - index % FAMILY : index + 1]


def solve_families(
    core: FloatingCore, families: dict[int, list[Job]], config: CertifyConfig, workers: int
) -> Iterator[tuple[int, list[Found]]]:
    """Yield (index of the first job, what was found for each) of every family as it ends."""
    if min(workers, len(families)) <= 1:
        yield from ((start, solve_family(core, config, jobs)) for start, jobs in families.items())
        return
    with ExitStack() as stack:
        # Processes are started afresh: a forked one would inherit whatever threads hold.
        pool = stack.enter_context(ProcessPoolExecutor(min(workers, len(families)), get_context("spawn")))
        stack.callback(pool.shutdown, cancel_futures=True)
        running = {pool.submit(partial(solve_family, core, config), jobs): start for start, jobs in families.items()}
        for future in as_completed(running):
            yield running[future], future.result()


def solve_family(core: FloatingCore, config: CertifyConfig, jobs: list[Job]) -> list[Found]:
    """Return what is found for each job of a family; the witnesses of one are where the next one starts."""
    found: list[Found] = []
    for job in jobs:
        known = [] if job.members else [one.witness for one in found]
        found.append(search(case_of(core, job), job.members, config, known))
    return found


def case_of(core: FloatingCore, job: Job) -> FloatingCase:
    """Return the core with what the job fixes."""
    return floating_case(core, job.fixed, job.still)


def result_path(folder: Path | None, core: FloatingCore, jobs: list[Job], config: CertifyConfig) -> Path | None:
    """Return where the last job's result is kept, by a digest of all that it depends on."""
    if folder is None:
        return None
    arrays = (*core.gates, core.launch_as, core.twin, core.sink_net, core.setup_as)
    cases = (array for job in jobs for array in (job.fixed, job.still))
    members = [job.members and asdict(job.members) for job in jobs]
    text = digest_of({"config": asdict(config), "version": VERSION, "sources": core.sources, "members": members})
    key = digest_bytes(text.encode() + b"".join(array.tobytes() for array in (*arrays, *cases)))
    return folder / f"certified-{key[:20]}.json"


def found_text(found: Found, name: str) -> str:
    """Return a result as JSON."""
    fields: dict[str, Any] = {"of": name, "lower_as": found.lower_as, "upper_as": found.upper_as,
                              "witness": "".join(map(str, found.witness.tolist())), "n_questions": found.n_questions}
    return json.dumps(fields) + "\n"


def read_found(path: Path) -> Found:
    """Return the result that `found_text` wrote."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    witness = np.array([int(bit) for bit in fields["witness"]], dtype=np.uint8)
    return Found(fields["lower_as"], fields["upper_as"], witness, fields["n_questions"])
