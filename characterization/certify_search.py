"""search(): the exact floating-mode delay of one case: a SAT solver proves bounds, the vector engine attains them.

From the longest path downwards in growing steps, "can any sink be later than T?" is asked. No: T is a bound. Yes: the
vector that shows it, improved by flipping single bits, settles at some later time; that time is asked next, and when
nothing can be later it is the exact delay. The same vector attains it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Literal

import numpy as np
from pysat.solvers import Solver

from characterization.certify_encoding import Question, encode
from characterization.errors import CertifyError
from characterization.floating_case import UNKNOWN, FloatingCase
from characterization.floating_mode import N_CONSTANTS, FloatingCore
from characterization.floating_settle import settle_as, settle_flips_as

SolverName = Literal["glucose4", "minisat22"]
# The first step below the longest path, as a share of it, and how the step grows with each bound proved.
FIRST_STEP, GROWTH = 0.004, 1.7
# After so many bounds without a vector the questions grow: a better vector is sought, from so many other starts.
DEEP, STARTS = 3, 3
# Once so many vectors in a row were beaten by another, the next time asked lies in the middle of what is left.
PATIENCE = 4
# So many of the witnesses of like cases are climbed from.
BEST = 2
# The clock is looked at after so many conflicts.
CONFLICTS, PATIENT = 2000, 20_000


@dataclass(frozen=True, slots=True)
class CertifyConfig:
    """How to search.

    Attributes:
        solvers: of python-sat. Each gets PATIENT conflicts, then the next one is asked, the last until it answers:
            minisat22 is fastest on most questions, but lost for minutes on some that glucose4 answers in seconds.
        time_limit_s: processor seconds after which one certificate stays a bracket; None for no limit.
    """


    solvers: tuple[SolverName, ...] = ("minisat22", "glucose4")
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        """Check the limit.

        Raises:
            CertifyError: it is not positive.
        """
        if self.time_limit_s is not None and not self.time_limit_s > 0:
            raise CertifyError(f"time limit {self.time_limit_s} s must be positive; leave it out for no limit.")


@dataclass(frozen=True, slots=True)
class Members:
    """Which final values some sources may take together: each lane one of the codes, independently.

    Attributes:
        lanes: for each lane, (source, value at which the bit is 1) of every bit, lowest first.
        codes: allowed values, as unsigned patterns.
    """

    lanes: tuple[tuple[tuple[int, int], ...], ...]
    codes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """What a search ended with.

    Attributes:
        lower_as: `witness` settles then.
        upper_as: no vector settles later.
        witness: final values of all sources, uint8 `[source]`.
        n_questions: how often the solver was asked.
    """

    lower_as: int
    upper_as: int
    witness: np.ndarray
    n_questions: int

    @property
    def exact(self) -> bool:
        """Whether the bound is attained."""
        return self.lower_as == self.upper_as


def search(
    case: FloatingCase, members: Members | None, config: CertifyConfig, known: Sequence[np.ndarray] = ()
) -> Found:
    """Return the latest requirement over all vectors that the case and `members` allow.

    Args:
        case: what is fixed.
        members: values that some sources take together.
        config: solvers and time limit.
        known: witnesses of like cases without members `[source]`. They change what is asked, not what is found: vectors
            that are late there are late here too, so the first question is whether anything is later still. With a time
            limit it is not: the bounds proved on the way down are what is left when it strikes.
    """
    assert not (members and known)
    deadline = time.process_time() + config.time_limit_s if config.time_limit_s else None
    still = (case.fixed != UNKNOWN) | ~matters(case.core)
    for lane in members.lanes if members else ():
        still[[source for source, _ in lane]] = True
    lower, vector = climb(case, any_vector(case, members), still)
    for start in latest_of(case, known):
        lower, vector = max((lower, vector), climb(case, start, still), key=itemgetter(0))
    upper, step, beaten, asked = max(case.topological_as, lower), FIRST_STEP, int(bool(known) and not deadline), 0
    while lower < upper:
        if (asked, beaten) == (DEEP, 0):
            lower, vector = climb_again(case, vector, lower, still)
        target = lower if beaten else max(lower, int(upper * (1 - step)))
        if beaten > PATIENCE:
            target = (lower + upper) // 2
        later = late_vector(case, target, members, config, deadline)
        asked += 1
        if later is None:
            break
        if later.size == 0:
            upper, step = target, step * GROWTH
            beaten = min(beaten, 1)
        else:
            reached, vector = climb(case, later, still)
            assert reached > target
            lower, beaten = reached, beaten + 1
    return Found(lower, upper, vector, asked)


def matters(core: FloatingCore) -> np.ndarray:
    """Return which sources are worth flipping: a sink depends on them or their complement; no complement itself."""
    live = core.live.copy()
    live[core.twin[(core.twin >= 0) & core.live]] = True
    return live & (core.twin < 0)


def any_vector(case: FloatingCase, members: Members | None) -> np.ndarray:
    """Return one vector that the case and `members` allow: zeros and the first code."""
    vector = np.where(case.fixed == UNKNOWN, 0, case.fixed).astype(np.uint8)
    for lane in members.lanes if members else ():
        assert members is not None
        for bit, (source, one) in enumerate(lane):
            vector[source] = one if members.codes[0] >> bit & 1 else 1 - one
    return with_twins(case, vector)


def with_twins(case: FloatingCase, vectors: np.ndarray) -> np.ndarray:
    """Return `vectors` `[..., source]` with every complement source the opposite of its twin; changed in place."""
    twin = case.core.twin
    vectors[..., twin >= 0] = 1 - vectors[..., twin[twin >= 0]]
    return vectors


def climb(case: FloatingCase, vector: np.ndarray, still: np.ndarray) -> tuple[int, np.ndarray]:
    """Return the requirement of a vector improved by single flips until none helps, and the vector."""
    flips = np.flatnonzero(~still)
    best = int(settle_as(case, vector[None])[0])
    while flips.size:
        found = settle_flips_as(case, vector, flips)
        if found.max() <= best:
            break
        best, vector = int(found.max()), vector.copy()
        vector[flips[found.argmax()]] ^= 1
        vector = with_twins(case, vector)
    return best, vector


def latest_of(case: FloatingCase, known: Sequence[np.ndarray]) -> np.ndarray:
    """Return the BEST latest vectors among the witnesses of other cases, once they have this one's fixed values."""
    if not known:
        return np.empty((0, case.fixed.size), dtype=np.uint8)
    vectors = with_twins(case, np.where(case.fixed == UNKNOWN, np.stack(known), case.fixed).astype(np.uint8))
    return vectors[np.argsort(-settle_as(case, vectors), kind="stable")[:BEST]]


def climb_again(
    case: FloatingCase, vector: np.ndarray, lower_as: int, still: np.ndarray
) -> tuple[int, np.ndarray]:
    """Return the latest of `vector`, which is required at `lower_as`, and of climbs from other starts."""
    rng = np.random.default_rng(1)
    for _ in range(STARTS):
        drawn = rng.integers(0, 2, vector.size, dtype=np.uint8)
        reached, found = climb(case, with_twins(case, np.where(still, vector, drawn)), still)
        if reached > lower_as:
            lower_as, vector = reached, found
    return lower_as, vector


def late_vector(
    case: FloatingCase, required_as: int, members: Members | None, config: CertifyConfig, deadline: float | None
) -> np.ndarray | None:
    """Return a vector that is later than `required_as`, an empty one if none is, None if time ran out."""
    lanes = members.lanes if members else ()
    asked = np.array([N_CONSTANTS + source for lane in lanes for source, _ in lane], dtype=np.int32)
    for name in config.solvers:
        question = encode(case, required_as, asked)
        clauses = chain(question.clauses, membership(question, members) if members else ())
        with Solver(name, bootstrap_with=clauses) as solver:
            answer = solve(solver, deadline, None if name == config.solvers[-1] else PATIENT)
            if answer is not None:
                return vector_of(case, question, solver.get_model()) if answer else np.zeros(0, dtype=np.uint8)
    return None


def solve(solver: Solver, deadline: float | None, conflicts: int | None) -> bool | None:
    """Return the solver's answer, None if the deadline passed first or it met so many conflicts."""
    if deadline is None and conflicts is None:
        return bool(solver.solve())
    met = 0
    while (deadline is None or time.process_time() < deadline) and (conflicts is None or met < conflicts):
        solver.conf_budget(CONFLICTS)
        answer = solver.solve_limited()
        if answer is not None:
            return bool(answer)
        met += CONFLICTS
    return None


def membership(question: Question, members: Members) -> list[list[int]]:
    """Return the clauses that make each lane one of the codes: one new variable for each lane and code."""
    clauses: list[list[int]] = []
    fresh = question.n_variables
    for lane in members.lanes:
        chosen = [fresh + 1 + index for index in range(len(members.codes))]
        fresh += len(members.codes)
        clauses.append(chosen)
        for code, choice in zip(members.codes, chosen, strict=True):
            for bit, (source, one) in enumerate(lane):
                variable = int(question.variable[N_CONSTANTS + source])
                clauses.append([-choice, variable if (code >> bit & 1) == one else -variable])
    return clauses


def vector_of(case: FloatingCase, question: Question, model: list[int]) -> np.ndarray:
    """Return the sources' values in a model; what the question left open is 0."""
    vector = np.where(case.fixed == UNKNOWN, 0, case.fixed).astype(np.uint8)
    for source in range(vector.size):
        variable = int(question.variable[N_CONSTANTS + source])
        if variable and case.fixed[source] == UNKNOWN:
            vector[source] = (model[abs(variable) - 1] > 0) == (variable > 0)
    return with_twins(case, vector)
