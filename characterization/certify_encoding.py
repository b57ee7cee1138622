"""encode(): the question "can any sink still be late at time T?" as clauses for a SAT solver.

`chi(net, v, t)` says that a net is stable at v by time t. It is v itself once the net's window has passed, false
before it, and a variable in between only, so the clauses cover the near-critical cone alone. It needs one direction,
literals of a prime stable => output stable, since the question asks for a chi that is false. Redundant clauses that
help: chi => the net has the value, and chi(t1) => chi(t2) for t1 < t2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Compiled functions call none of another file: numba keeps what it compiled until the file itself changes.
from characterization.floating_case import UNKNOWN, FloatingCase, State
from characterization.floating_mode import EVER, N_CONSTANTS, Gates, borrowing, inlined

# Room for all clauses of one chi or one net; a buffer with less left is too small.
RESERVE = 1 << 12
FIRST_SIZE = 1 << 15
# A literal's number and a time in one word, mixed by an odd constant (the golden ratio).
TIME_BITS, MIXER = 44, 0x1E3779B97F4A7C15
VARIABLES, CHIS, LITERALS, CLAUSES, CHOICES = range(5)


@dataclass(frozen=True, eq=False)
class Question:
    """Clauses that some vector satisfies exactly if it makes a sink late.

    Attributes:
        clauses: literals, `+variable` or `-variable`, each; to be gone through once.
        n_variables: variables are 1..n_variables.
        variable: of each net's final value, negative for the complement of one, 0 where it does not matter `[net]`.
        n_chi: variables that stand for a time.
    """

    clauses: Iterator[list[int]]
    n_variables: int
    variable: np.ndarray
    n_chi: int


class Logic(NamedTuple):
    """What of a case the clauses are written from; see `FloatingCore`, `Gates` and `State`."""

    gates: Gates
    state: State
    sink_net: np.ndarray
    setup_as: np.ndarray
    twin: np.ndarray


class Page(NamedTuple):
    """Clauses being written. A chi is known by its row in the arrays that begin with `chi`.

    Attributes:
        literals, ends: of all clauses one after the other, and where each ends.
        variable: of each net.
        counts: by VARIABLES, CHIS, LITERALS, CLAUSES, CHOICES.
        head, chi_next: the chis of each (net, value) as a linked list, -1 at its end.
        chi_time, chi_of, chi_variable: time, `2 * net + value`, and variable.
        table: hash table of rows by (net, value, time), -1 where free.
        choices: variables of sinks that may be late.
        rows: the chis of one gate's value, while they are written.
    """

    literals: np.ndarray
    ends: np.ndarray
    variable: np.ndarray
    counts: np.ndarray
    head: np.ndarray
    chi_next: np.ndarray
    chi_time: np.ndarray
    chi_of: np.ndarray
    chi_variable: np.ndarray
    table: np.ndarray
    choices: np.ndarray
    rows: np.ndarray


def encode(case: FloatingCase, required_as: int, asked: np.ndarray) -> Question:
    """Return whether some vector makes a sink's requirement exceed `required_as`, as clauses.

    Args:
        case: the core and what is fixed.
        required_as: a time after the clock edge.
        asked: numbers of nets that get a variable in any case.
    """
    core, size = case.core, FIRST_SIZE
    logic = Logic(core.gates, case.state, core.sink_net, core.setup_as, core.twin)
    page = empty_page(len(core.names), core.sink_net.size, size)
    while not write(logic, page, required_as, asked.astype(np.int64)):
        size *= 2
        page = empty_page(len(core.names), core.sink_net.size, size)
    flat = page.literals[: page.counts[LITERALS]].tolist()
    ends = page.ends[: page.counts[CLAUSES]].tolist()
    # One list at a time: many that live together would keep Python's garbage collector busy.
    clauses = (flat[start:end] for start, end in zip([0, *ends], ends, strict=False))
    return Question(clauses, int(page.counts[VARIABLES]), page.variable, int(page.counts[CHIS]))


def empty_page(n_nets: int, n_sinks: int, size: int) -> Page:
    """Return room for `size` chis and what they need."""
    def room(length: int) -> np.ndarray:
        return np.empty(length, dtype=np.int64)

    return Page(
        literals=np.empty(16 * size + 2 * n_sinks, dtype=np.int32), ends=room(4 * size),
        variable=np.zeros(n_nets, dtype=np.int64),
        counts=np.zeros(5, dtype=np.int64), head=np.full(2 * n_nets, -1, dtype=np.int64), chi_next=room(size),
        chi_time=room(size), chi_of=room(size), chi_variable=room(size),
        table=np.full(2 * size, -1, dtype=np.int64), choices=room(2 * n_sinks), rows=room(size),
    )


@borrowing
def write(logic: Logic, page: Page, required_as: int, asked: np.ndarray) -> bool:
    """Write all clauses; return whether the page had room for them."""
    for net in asked:
        value_literal(logic, page, net, 1)
    for sink in range(logic.sink_net.size):
        for out in range(2):
            write_sink(logic, page, sink, out, required_as)
            if full(page):
                return False
    for place in range(page.counts[CHOICES]):
        put(page, page.choices[place])
    end_clause(page)
    # The last gates first: what was asked of an output is asked of its inputs.
    n_gates = logic.gates.function.size
    for gate in range(n_gates - 1, -1, -1):
        for out in range(2):
            write_chis(logic, page, gate, out)
            if full(page):
                return False
    for gate in range(n_gates - 1, -1, -1):
        write_value(logic, page, gate)
        if full(page):
            return False
    return True


@inlined
def full(page: Page) -> bool:
    """Return whether a page may lack room for one more chi or net."""
    return bool(page.counts[LITERALS] + RESERVE > page.literals.size or page.counts[CLAUSES] + RESERVE > page.ends.size
                or page.counts[CHIS] + RESERVE > page.chi_time.size)


@inlined
def put(page: Page, literal: int) -> None:
    """Add a literal to the clause being written."""
    page.literals[page.counts[LITERALS]] = literal
    page.counts[LITERALS] += 1


@inlined
def end_clause(page: Page) -> None:
    """End the clause being written."""
    page.ends[page.counts[CLAUSES]] = page.counts[LITERALS]
    page.counts[CLAUSES] += 1


@inlined
def implies(page: Page, one: int, other: int) -> None:
    """Write one => other."""
    put(page, -one)
    put(page, other)
    end_clause(page)


@inlined
def new_variable(page: Page) -> int:
    """Return a new variable."""
    page.counts[VARIABLES] += 1
    return int(page.counts[VARIABLES])


@inlined
def value_literal(logic: Logic, page: Page, net: int, out: int) -> int:
    """Return the literal "net has value out"; a net shares the variable of what it follows, or of its twin."""
    root = logic.state.root[2 * net + out]
    net, out = root >> 1, root & 1
    if page.variable[net] == 0:
        source = net - N_CONSTANTS
        twin = logic.twin[source] if 0 <= source < logic.twin.size else -1
        if twin < 0:
            page.variable[net] = new_variable(page)
        else:
            if page.variable[N_CONSTANTS + twin] == 0:
                page.variable[N_CONSTANTS + twin] = new_variable(page)
            page.variable[net] = -page.variable[N_CONSTANTS + twin]
    return int(page.variable[net] if out else -page.variable[net])


@inlined
def last_moment(state: State, literal: int, time: int) -> int:
    """Return the earliest time that is as good as `time` to ask whether a net is stable at a value."""
    count = state.n_moments[literal]
    if count <= 0:
        return time
    place = np.searchsorted(state.moments_as[literal, :count], time, side="right")
    return int(state.moments_as[literal, place - 1] if place else state.moments_as[literal, 0] - 1)


@inlined
def chi_literal(logic: Logic, page: Page, literal: int, time: int) -> int:
    """Return the variable of chi(literal, time); it is listed for its gate if it was not asked for before.

    What a net follows is asked in its place, at the last time that something can change.
    """
    root = logic.state.root[literal]
    time = last_moment(logic.state, root, time - logic.state.since_as[literal])
    literal = root
    key = (literal << TIME_BITS) + time
    last = page.table.size - 1
    slot = (key * MIXER ^ key >> 21) & last
    while page.table[slot] >= 0:
        row = page.table[slot]
        if page.chi_time[row] == time and page.chi_of[row] == literal:
            return int(page.chi_variable[row])
        slot = slot + 1 & last
    row = page.counts[CHIS]
    page.counts[CHIS] += 1
    page.table[slot], page.chi_time[row], page.chi_of[row] = row, time, literal
    page.chi_variable[row] = new_variable(page)
    page.chi_next[row], page.head[literal] = page.head[literal], row
    return int(page.chi_variable[row])


@inlined
def output_net(logic: Logic, gate: int) -> int:
    """Return the number of the net that a gate drives."""
    return int(logic.state.value.size - logic.gates.function.size + gate)


@borrowing
def write_sink(logic: Logic, page: Page, sink: int, out: int, required_as: int) -> None:
    """Write what it takes that a sink is late at one value."""
    net, setup = logic.sink_net[sink], logic.setup_as[sink, out]
    literal, time = 2 * net + out, required_as - setup
    impossible = logic.state.value[net] == 1 - out or setup == EVER or logic.state.late_as[literal] == EVER
    if impossible or time >= logic.state.late_as[literal]:
        return
    choice = new_variable(page)
    page.choices[page.counts[CHOICES]] = choice
    page.counts[CHOICES] += 1
    if logic.state.value[net] == UNKNOWN:
        implies(page, choice, value_literal(logic, page, net, out))
    if time >= logic.state.early_as[literal]:
        implies(page, choice, -chi_literal(logic, page, literal, time))


@borrowing
def write_chis(logic: Logic, page: Page, gate: int, out: int) -> None:
    """Write every chi that was asked of one value of a gate's output."""
    net = output_net(logic, gate)
    for place in range(list_rows(page, 2 * net + out)):
        if full(page):
            return
        stable, time = page.chi_variable[page.rows[place]], page.chi_time[page.rows[place]]
        if place > 0:
            implies(page, page.chi_variable[page.rows[place - 1]], stable)
        if logic.state.value[net] == UNKNOWN:
            implies(page, stable, value_literal(logic, page, net, out))
        for cube in range(logic.state.cube_start[2 * gate + out], logic.state.cube_start[2 * gate + out + 1]):
            if alive(logic, gate, out, cube, time):
                write_cube(logic, page, gate, out, cube, time)
                put(page, stable)
                end_clause(page)


@borrowing
def list_rows(page: Page, literal: int) -> int:
    """Put the rows of the chis of one (net, value) into `page.rows`, by time; return how many (Shell's sort)."""
    count, row = 0, page.head[literal]
    while row >= 0:
        page.rows[count] = row
        count, row = count + 1, page.chi_next[row]
    gap = count // 2
    while gap > 0:
        for end in range(gap, count):
            row, place = page.rows[end], end
            while place >= gap and page.chi_time[page.rows[place - gap]] > page.chi_time[row]:
                page.rows[place] = page.rows[place - gap]
                place -= gap
            page.rows[place] = row
        gap //= 2
    return count


@inlined
def alive(logic: Logic, gate: int, out: int, cube: int, time: int) -> bool:
    """Return whether every literal of a cube can be stable in time."""
    begin = logic.gates.pin_start[gate]
    for pin in range(logic.gates.pin_start[gate + 1] - begin):
        if logic.state.cube_mask[cube] >> pin & 1:
            bit, net = logic.state.cube_value[cube] >> pin & 1, logic.gates.pin_net[begin + pin]
            if time - logic.gates.delay_as[begin + pin, bit, out] < logic.state.early_as[2 * net + bit]:
                return False
    return True


@inlined
def write_cube(logic: Logic, page: Page, gate: int, out: int, cube: int, time: int) -> None:
    """Add "not all literals of the cube are stable in time" to the clause being written."""
    begin = logic.gates.pin_start[gate]
    for pin in range(logic.gates.pin_start[gate + 1] - begin):
        if logic.state.cube_mask[cube] >> pin & 1:
            bit, net = logic.state.cube_value[cube] >> pin & 1, logic.gates.pin_net[begin + pin]
            before = time - logic.gates.delay_as[begin + pin, bit, out]
            if before < logic.state.late_as[2 * net + bit]:
                put(page, -chi_literal(logic, page, 2 * net + bit, before))
            elif logic.state.value[net] == UNKNOWN:
                put(page, -value_literal(logic, page, net, bit))


@borrowing
def write_value(logic: Logic, page: Page, gate: int) -> None:
    """Write how a net's value follows from the gate's inputs, if the net has a variable."""
    begin = logic.gates.pin_start[gate]
    variable = page.variable[output_net(logic, gate)]
    if variable == 0:
        return
    for out in range(2):
        for cube in range(logic.state.cube_start[2 * gate + out], logic.state.cube_start[2 * gate + out + 1]):
            for pin in range(logic.gates.pin_start[gate + 1] - begin):
                net = logic.gates.pin_net[begin + pin]
                if logic.state.cube_mask[cube] >> pin & 1 and logic.state.value[net] == UNKNOWN:
                    put(page, -value_literal(logic, page, net, logic.state.cube_value[cube] >> pin & 1))
            put(page, variable if out else -variable)
            end_clause(page)
