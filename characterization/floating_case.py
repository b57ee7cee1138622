"""FloatingCase: a floating core under some fixed values, with the window of time in which each net can settle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from characterization.floating_mode import EVER, N_CONSTANTS, NO_ARC, FloatingCore, Gates, borrowing, compiled

UNKNOWN = 2
# Times at which a net may become stable are listed up to so many; there may be millions.
LISTED, MANY = 128, -1


class State(NamedTuple):
    """What fixed sources make of a core, as compiled functions take it.

    Attributes:
        value: final value of each net, 0, 1 or UNKNOWN `[net]`.
        early_as, late_as: the window in which a net becomes stable at a value `[2 * net + value]`: not before `early`,
            whatever the vector, and by `late` at the last. EVER for a net that stands still.
        cube_start: where the cubes of a gate's value begin `[2 * gate + value]`: the primes that last of the function
            which constant inputs leave, without those that final values contradict.
        cube_mask, cube_value: pins a cube names, and their bits.
        moments_as: every time at which a net may become stable at a value, in order `[2 * net + value, moment]`.
        n_moments: how many there are, MANY if there are more than the row holds `[2 * net + value]`.
        root, since_as: a net that only follows one other, as behind an inverter, has a value exactly when that has some
            value, and is stable so much later `[2 * net + value]`; others are their own root.
    """

    value: np.ndarray
    early_as: np.ndarray
    late_as: np.ndarray
    cube_start: np.ndarray
    cube_mask: np.ndarray
    cube_value: np.ndarray
    moments_as: np.ndarray
    n_moments: np.ndarray
    root: np.ndarray
    since_as: np.ndarray


@dataclass(frozen=True, eq=False)
class FloatingCase:
    """A core with some sources fixed.

    Attributes:
        core: the core.
        fixed: final value of each source, 0, 1 or UNKNOWN `[source]`.
        launch_as: when each source settles, EVER for one that stands still `[source, value]`.
        state: what follows for nets and gates.
    """

    core: FloatingCore
    fixed: np.ndarray
    launch_as: np.ndarray
    state: State

    @property
    def topological_as(self) -> int:
        """The longest path into a sink, setup included; 0 where nothing moves."""
        latest = 0
        for net, setups in zip(self.core.sink_net, self.core.setup_as, strict=True):
            for value, setup in enumerate(setups):
                late = self.state.late_as[2 * net + value]
                if self.state.value[net] in (value, UNKNOWN) and EVER not in (late, setup):
                    latest = max(latest, int(late + setup))
        return latest


def floating_case(core: FloatingCore, fixed: np.ndarray, still: np.ndarray) -> FloatingCase:
    """Return `core` with some sources fixed.

    Args:
        core: the core.
        fixed: final value of each source, 0, 1 or UNKNOWN, int8 `[source]`.
        still: whether a source never moves, whatever its value, bool `[source]`.
    """
    launch_as = np.where(still[:, None], EVER, core.launch_as)
    n_gates, n_nets = core.gates.function.size, len(core.names)
    rows = core.gates.cube_start[2 * core.gates.function + 2] - core.gates.cube_start[2 * core.gates.function]
    state = State(
        np.full(n_nets, UNKNOWN, dtype=np.int8), np.full(2 * n_nets, EVER), np.full(2 * n_nets, EVER),
        np.zeros(2 * n_gates + 1, dtype=np.int64), np.empty(rows.sum(), dtype=np.int64),
        np.empty(rows.sum(), dtype=np.int64), np.empty((2 * n_nets, LISTED), dtype=np.int64),
        np.zeros(2 * n_nets, dtype=np.int64), np.arange(2 * n_nets), np.zeros(2 * n_nets, dtype=np.int64),
    )
    sources = slice(N_CONSTANTS, N_CONSTANTS + core.n_sources)
    state.value[: N_CONSTANTS] = 0, 1
    state.value[sources] = fixed
    for window in (state.early_as, state.late_as):
        window.reshape(-1, 2)[sources] = launch_as
    state.moments_as.reshape(-1, 2, LISTED)[sources, :, 0] = launch_as
    state.n_moments.reshape(-1, 2)[sources] = launch_as != EVER
    propagate(core.gates, state)
    return FloatingCase(core, fixed, launch_as, state)


@compiled
def propagate(gates: Gates, state: State) -> None:
    """Fill in values, windows and cubes of all gates."""
    for gate in range(gates.function.size):
        net = state.value.size - gates.function.size + gate
        begin, width = gates.pin_start[gate], gates.pin_start[gate + 1] - gates.pin_start[gate]
        # Pins of known value, their bits, and those of them that stand still.
        known, bits, quiet = 0, 0, 0
        for pin in range(width):
            into = gates.pin_net[begin + pin]
            if state.value[into] != UNKNOWN:
                known |= 1 << pin
                bits |= int(state.value[into]) << pin
                quiet |= int(state.late_as[2 * into + state.value[into]] == EVER) << pin
        for out in range(2):
            remaining_cubes(gates, state, gate, out, bits, quiet)
            drop_contradicted(state, gate, out, known, bits)
        for out in range(2):
            # Cubes cover all patterns of a value; where none is left, the value is the other one.
            if state.cube_start[2 * gate + 1 - out] == state.cube_start[2 * gate + 2 - out]:
                state.value[net] = out
            settle_window(gates, state, gate, net, out, known)
        for out in range(2):
            list_moments(gates, state, gate, net, out)
            find_root(gates, state, gate, net, out)


@borrowing
def remaining_cubes(gates: Gates, state: State, gate: int, out: int, bits: int, quiet: int) -> None:
    """List the primes that last of a gate's value, its quiet pins constant: the gate is what those leave of it."""
    first = count = state.cube_start[2 * gate + out]
    row = 2 * gates.function[gate] + out
    for cube in range(gates.cube_start[row], gates.cube_start[row + 1]):
        if (gates.cube_value[cube] ^ bits) & gates.cube_mask[cube] & quiet == 0:
            state.cube_mask[count] = gates.cube_mask[cube] & ~quiet
            state.cube_value[count] = gates.cube_value[cube] & ~quiet
            count += 1
    if quiet:
        count = drop_contained(state.cube_mask, state.cube_value, first, count)
    if not gates.all_last[gates.function[gate]]:
        width = gates.pin_start[gate + 1] - gates.pin_start[gate]
        count = drop_passing(state.cube_mask, state.cube_value, first, count, width)
    state.cube_start[2 * gate + out + 1] = count


@borrowing
def drop_contradicted(state: State, gate: int, out: int, known: int, bits: int) -> None:
    """Remove the cubes of a gate's value that the final values of its pins contradict."""
    kept = state.cube_start[2 * gate + out]
    for cube in range(kept, state.cube_start[2 * gate + out + 1]):
        if (state.cube_value[cube] ^ bits) & state.cube_mask[cube] & known == 0:
            state.cube_mask[kept], state.cube_value[kept] = state.cube_mask[cube], state.cube_value[cube]
            kept += 1
    state.cube_start[2 * gate + out + 1] = kept


@borrowing
def settle_window(gates: Gates, state: State, gate: int, net: int, out: int, known: int) -> None:
    """Note when a gate's output settles to one value at the earliest and at the latest, and whether it must.

    A cube of known pins holds whatever the rest do, so the output waits for it at most.
    """
    begin = gates.pin_start[gate]
    soonest, latest, certain = NO_ARC, EVER, NO_ARC
    for cube in range(state.cube_start[2 * gate + out], state.cube_start[2 * gate + out + 1]):
        last, least = EVER, EVER
        for pin in range(gates.pin_start[gate + 1] - begin):
            if state.cube_mask[cube] >> pin & 1:
                bit = state.cube_value[cube] >> pin & 1
                literal, delay = 2 * gates.pin_net[begin + pin] + bit, gates.delay_as[begin + pin, bit, out]
                if state.late_as[literal] != EVER:
                    last = max(last, state.late_as[literal] + delay)
                if state.early_as[literal] != EVER:
                    least = max(least, state.early_as[literal] + delay)
        soonest, latest = min(soonest, least), max(latest, last)
        if state.cube_mask[cube] & ~known == 0:
            certain = min(certain, last)
    state.early_as[2 * net + out], state.late_as[2 * net + out] = soonest, min(latest, certain)


@borrowing
def find_root(gates: Gates, state: State, gate: int, net: int, out: int) -> None:
    """Note what a gate's output follows, if one literal alone decides its value and there is no other way to it."""
    cube = state.cube_start[2 * gate + out]
    mask = state.cube_mask[cube] if state.cube_start[2 * gate + out + 1] == cube + 1 else 0
    if mask == 0 or mask & mask - 1 or state.value[net] != UNKNOWN:
        return
    pin = 0
    while mask >> pin != 1:
        pin += 1
    bit, place = state.cube_value[cube] >> pin, gates.pin_start[gate] + pin
    before = 2 * gates.pin_net[place] + bit
    state.root[2 * net + out] = state.root[before]
    state.since_as[2 * net + out] = state.since_as[before] + gates.delay_as[place, bit, out]


@compiled
def list_moments(gates: Gates, state: State, gate: int, net: int, out: int) -> None:
    """List the times at which a gate's output may become stable at a value: those of its inputs, a delay later."""
    begin, literal = gates.pin_start[gate], 2 * net + out
    window = state.early_as[literal], state.late_as[literal]
    found, spare = np.empty(LISTED + 1, dtype=np.int64), np.empty(LISTED + 1, dtype=np.int64)
    count = 0
    for pin in range(gates.pin_start[gate + 1] - begin):
        for bit in range(2):
            before = 2 * gates.pin_net[begin + pin] + bit
            if count == MANY or not named(state, gate, out, pin, bit):
                continue
            if state.n_moments[before] == MANY:
                count = MANY
            else:
                count = merge(state, before, gates.delay_as[begin + pin, bit, out], window, found, count, spare)
                found, spare = spare, found
    state.n_moments[literal] = count
    for place in range(count):
        state.moments_as[literal, place] = found[place]


@borrowing
def merge(
    state: State, more: int, delay: int, window: tuple[int, int], one: np.ndarray, n_one: int, into: np.ndarray
) -> int:
    """Write `one` and the moments of `more`, a delay later, as one ordered list; return its length, MANY if too long.

    Moments that then lie outside the window do not count, and none counts twice.
    """
    first, second, count = 0, 0, 0
    while first < n_one or second < state.n_moments[more]:
        later = state.moments_as[more, second] + delay if second < state.n_moments[more] else NO_ARC
        if later != NO_ARC and (later < window[0] or later > window[1]):
            second += 1
            continue
        if count == LISTED:
            return MANY
        time = min(one[first], later) if first < n_one else later
        into[count] = time
        count += 1
        first += int(first < n_one and one[first] == time)
        second += int(later == time)
    return count


@borrowing
def named(state: State, gate: int, out: int, pin: int, bit: int) -> bool:
    """Return whether a cube of a gate's value names a pin at a bit."""
    for cube in range(state.cube_start[2 * gate + out], state.cube_start[2 * gate + out + 1]):
        if state.cube_mask[cube] >> pin & 1 and state.cube_value[cube] >> pin & 1 == bit:
            return True
    return False


@borrowing
def drop_contained(masks: np.ndarray, values: np.ndarray, first: int, end: int) -> int:
    """Remove cubes that another one between `first` and `end` contains; return the new end."""
    kept = first
    for place in range(first, end):
        contained = False
        for other in range(first, end):
            inside = masks[other] & masks[place] == masks[other] and values[other] == values[place] & masks[other]
            same = masks[other] == masks[place]
            contained |= other != place and inside and (not same or other < place)
        if not contained:
            # The cubes before this one were judged already, but those to come must still find it.
            masks[kept], values[kept] = masks[place], values[place]
            kept += 1
    return kept


@borrowing
def drop_passing(masks: np.ndarray, values: np.ndarray, first: int, end: int, width: int) -> int:
    """Remove primes between `first` and `end` that do not last, as `primes.lasting_cubes` does; return the new end."""
    ones, zeros = 0, 0
    for place in range(first, end):
        ones |= masks[place] & values[place]
        zeros |= masks[place] & ~values[place]
    both = ones & zeros
    for pattern in range(1 << width):
        holds, lasts = False, False
        for place in range(first, end):
            inside = pattern & masks[place] == values[place]
            holds |= inside
            lasts |= inside and masks[place] & both == both
        if holds and not lasts:
            return end
    kept = first
    for place in range(first, end):
        if masks[place] & both == both:
            masks[kept], values[kept] = masks[place], values[place]
            kept += 1
    return kept
