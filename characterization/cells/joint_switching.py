"""Several inputs at once, in logic: which transitions there are, and what factor on single-input delays each one needs.

Timing, simulation and certificates know delays of single inputs: `delay[pin, input edge, output edge]`, the greatest
(for hold the least) over the states of the others. From them they conclude

- late: the output is stable at a value once some prime implicant of it has had all its literals stable for `late`
  times their delays. So a crossing of the output needs, for each prime that holds in the end state, one literal that
  moved and whose delay times `late` reaches the crossing. Primes are the lasting ones (`primes.lasting_cubes`).
- early: the output does not begin to move before `early` times the least delay of some input that moved has passed.

A factor is right if no transition, whatever its start state, end state and skews, needs a later or an earlier one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from characterization.primes import Cube, is_binate, lasting_cubes

# (input, its edge, the output's edge) -> delay in ps.
Delays = Mapping[tuple[int, int, int], float]


EARLY_SHARES = (0.0, 0.35, 0.7)


@dataclass(frozen=True, slots=True)
class Joint:
    """Inputs that move from one pattern to another, each `offsets[input]` later than the first (in any unit)."""

    start: int
    end: int
    offsets: tuple[float, ...]

    @property
    def back(self) -> Joint:
        """The same inputs moving back, with the same offsets."""
        return Joint(self.end, self.start, self.offsets)

    @property
    def either(self) -> Joint:
        """The same transition in the direction that starts at the lower pattern: simulated there and back, both are."""
        return min(self, self.back, key=lambda joint: joint.start)

    @property
    def moving(self) -> tuple[int, ...]:
        """The inputs that move."""
        return tuple(i for i in range(len(self.offsets)) if (self.start ^ self.end) >> i & 1)


def value(truth: int, pattern: int) -> int:
    """Return a function's value."""
    return truth >> pattern & 1


def pairs(truths: Sequence[int], n_inputs: int) -> list[tuple[int, int]]:
    """Return the unordered pairs of input patterns to simulate: two or more inputs differ, and some output too.

    A pulse between equal values is no transition of a function that each input moves in one sense only: there the
    output is held throughout, or a single input ends it. Where an input acts in both senses (an exclusive or), pairs
    with equal outputs count too.

    >>> pairs([0b1000], 2)
    [(0, 3)]
    >>> pairs([0b0110], 2)
    [(0, 3), (1, 2)]
    """
    both_senses = any(is_binate(truth, n_inputs, pin) for truth in truths for pin in range(n_inputs))
    return [(a, b) for a in range(1 << n_inputs) for b in range(a + 1, 1 << n_inputs) if (a ^ b).bit_count() > 1
            and (both_senses or any(value(truth, a) != value(truth, b) for truth in truths))]


def steps(n_inputs: int) -> list[tuple[int, int]]:
    """Return the pairs of patterns in which one input differs, low first."""
    return [(a, a | 1 << pin) for pin in range(n_inputs) for a in range(1 << n_inputs) if not a >> pin & 1]


def at_once(pair: tuple[int, int], n_inputs: int) -> Joint:
    """Return a pair without skew."""
    return Joint(*pair, (0.0,) * n_inputs)


def balanced(joint: Joint, edge: int, pins: Sequence[int], delays: Delays, share: float = 1.0) -> Joint:
    """Return a transition skewed so that `share` of some inputs' delays to an output edge end together.

    There a chain of transistors is slowest beside its single inputs, and parallel ones fastest: earlier inputs would
    have been forgotten, later ones would count alone. The rest, and inputs without such a delay, are not skewed.
    """
    own = {pin: delays[key] for pin in pins if (key := (pin, joint.end >> pin & 1, edge)) in delays}
    longest = max(own.values(), default=0.0)
    offsets = tuple(share * (longest - own.get(pin, longest)) for pin in range(len(joint.offsets)))
    return Joint(joint.start, joint.end, offsets)


def holding(truth: int, n_inputs: int, end: int) -> list[Cube]:
    """Return the lasting primes that hold in a pattern, of the value that the function has there."""
    return [(mask, bits) for mask, bits in lasting_cubes(truth, n_inputs)[value(truth, end)] if end & mask == bits]


def late_skews(truth: int, joint: Joint, delays: Delays, far: float) -> list[tuple[Joint, Joint]]:
    """Return the skews at which a transition may be slowest, each with the transition without skew that it resembles.

    For each prime that brings the output's value: its inputs balanced, which resembles the transition itself; and the
    inputs outside it `far` later, so that they hold the output back: that resembles what the inputs inside do alone.
    """
    n_inputs, edge = len(joint.offsets), value(truth, joint.end)
    found = []
    for pins in dict.fromkeys(tuple(pin for pin in joint.moving if mask >> pin & 1)
                              for mask, _ in holding(truth, n_inputs, joint.end)):
        inside = balanced(joint, edge, pins, delays)
        if len(pins) > 1:
            found.append((inside, joint))
        if pins and len(pins) < len(joint.moving):
            offsets = tuple(far if pin in joint.moving and pin not in pins else inside.offsets[pin]
                            for pin in range(n_inputs))
            alone = at_once((joint.start, joint.start ^ sum(1 << pin for pin in pins)), n_inputs)
            found.append((Joint(joint.start, joint.end, offsets), alone))
    return found


def early_skews(joint: Joint, edge: int, delays: Delays, near: float) -> list[Joint]:
    """Return the skews at which a transition may be fastest to an output edge.

    The inputs that drive the edge balanced, by EARLY_SHARES of their delays since together they need less than those;
    and those that oppose it, if any move, `near` later.
    """
    found = [balanced(joint, edge, joint.moving, delays, share) for share in EARLY_SHARES]
    against = [pin for pin in joint.moving if (pin, joint.end >> pin & 1, edge) not in delays]
    if against:
        found.append(Joint(joint.start, joint.end, tuple(near * (pin in against) for pin in range(len(joint.offsets)))))
    return found


def late_factor(truth: int, joint: Joint, crossing_ps: float, delays: Delays) -> float:
    """Return the factor that a transition needs; `crossing_ps` is when the output last crosses, offsets are in ps.

    >>> falls = {(0, 1, 0): 40.0, (1, 1, 0): 50.0}
    >>> late_factor(0b0111, Joint(0, 3, (0.0, 0.0)), 55.0, falls)  # nand2, both rise
    1.1
    >>> late_factor(0b0111, Joint(0, 3, (10.0, 0.0)), 55.0, falls)
    1.1
    """
    n_inputs, edge = len(joint.offsets), value(truth, joint.end)
    needs = []
    for mask, _ in holding(truth, n_inputs, joint.end):
        moved = [pin for pin in joint.moving if mask >> pin & 1]
        needs.append(min(((crossing_ps - joint.offsets[pin]) / delays[pin, joint.end >> pin & 1, edge]
                          for pin in moved), default=0.0))
    return max(needs)


def early_factor(joint: Joint, edge: int, crossing_ps: float, delays: Delays) -> float:
    """Return the factor that a transition allows; `crossing_ps` is when the output first crosses, with `edge`.

    >>> early_factor(Joint(3, 0, (0.0, 0.0)), 1, 30.0, {(0, 0, 1): 40.0, (1, 0, 1): 50.0})
    0.75
    """
    keys = [(pin, joint.end >> pin & 1, edge) for pin in joint.moving]
    return max(((crossing_ps - joint.offsets[key[0]]) / delays[key] for key in keys if key in delays), default=1.0)
