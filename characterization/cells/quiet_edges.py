"""Edges of a flip-flop's clock and data that move no output: the energy each costs in each state, and pin charges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from characterization.cells.deck import Knots, Stimulus, ramp
from characterization.cells.ngspice import Waves
from characterization.cells.points import MeasureConfig
from characterization.cells.stored_state import CLOCK, DATA, START_PS, Flop, held, shown, storing
from characterization.cells.switch_level import condition as expression
from characterization.cells.waveform import charge_fc, charge_until, crossing_ps, window
from characterization.errors import CellsError

# One transient walks through all states in which the output keeps `value`, from clock low and D = value: the pin that
# moves, and whether its new level is one of the clock (0, 1) or of data relative to the value (same, other).
SAME, OTHER = "same", "other"
WALK: tuple[tuple[str, int | str], ...] = (
    (CLOCK, 1), (CLOCK, 0), (DATA, OTHER), (DATA, SAME), (CLOCK, 1), (DATA, OTHER), (DATA, SAME), (DATA, OTHER),
    (CLOCK, 0),
)


@dataclass(frozen=True, slots=True)
class QuietEdge:
    """One edge of a pin.

    Attributes:
        pin, edge: which pin, FALL or RISE.
        when: Liberty expression of the other pins' state. A rise of the clock is quiet only if output and data agree,
            so there data alone says it; tools then find it for the rises too that do move the output.
        supply_fj: energy from the supply.
        pin_fc: charge into the pin until it is half way, counted in the edge's direction.
    """

    pin: str
    edge: int
    when: str
    supply_fj: float
    pin_fc: float


@dataclass(frozen=True, slots=True)
class Step:
    """One edge of a walk: what moves to which level, in which state of the others, starting when."""

    pin: str
    level: int
    others: dict[str, int]
    start_ps: float


def measure_quiet_edges(
    flop: Flop, value: int, slews_ps: Sequence[float], config: MeasureConfig, work: Path,
) -> list[list[QuietEdge]]:
    """Return for each slew the quiet edges while the flop holds `value`; a state passed twice counts once.

    Raises:
        CellsError: the output moves.
    """
    window_ps = flop.window_ps(flop.loads_ff[0])
    walks = [steps(flop, value, slew, window_ps) for slew in slews_ps]
    stimuli = [stimulus(flop, value, walk, slew, window_ps, config)
               for walk, slew in zip(walks, slews_ps, strict=True)]
    found = []
    for walk, done, waves in zip(walks, stimuli, storing(flop, value, stimuli, work), strict=True):
        if waves is None or not held(flop, value, waves, done.stop_ps, config):
            raise CellsError(f"{flop.bench.cell.circuit.name}: {flop.output} does not keep {value} at "
                             f"{shown(flop.bench.condition)} while {DATA} moves; ask for a higher voltage.")
        ends = [*(step.start_ps for step in walk[1:]), done.stop_ps]
        edges = [read_edge(flop, step, waves, end) for step, end in zip(walk, ends, strict=True)]
        found.append(list({(edge.pin, edge.edge, edge.when): edge for edge in edges}.values()))
    return found


def steps(flop: Flop, value: int, slew: float, window_ps: float) -> list[Step]:
    """Return the edges of a walk, a ramp and a window apart."""
    state = {CLOCK: 0, DATA: value, flop.output: value}
    found = []
    for i, (pin, target) in enumerate(WALK):
        new = target if isinstance(target, int) else value if target == SAME else 1 - value
        others = {name: bit for name, bit in state.items() if name != pin}
        found.append(Step(pin, new, others, START_PS + i * (slew / 0.6 + window_ps)))
        state[pin] = new
    return found


def stimulus(
    flop: Flop, value: int, walk: Sequence[Step], slew: float, window_ps: float, config: MeasureConfig,
) -> Stimulus:
    """Return a walk's transient."""
    supply_v = flop.bench.condition.voltage_v
    drives: dict[str, Knots] = {CLOCK: ((0.0, 0.0),), DATA: ((0.0, value * supply_v),)}
    for step in walk:
        drives[step.pin] += ramp(step.start_ps, slew, (1 - step.level) * supply_v, step.level * supply_v)
    return Stimulus(drives, {flop.output: flop.loads_ff[0]}, walk[-1].start_ps + slew / 0.6 + window_ps,
                    window_ps / config.steps)


def read_edge(flop: Flop, step: Step, waves: Waves, end_ps: float) -> QuietEdge:
    """Return what one edge of a walk cost."""
    part = window(waves.time_ps, step.start_ps, end_ps)
    time_ps, supply_v = waves.time_ps[part], flop.bench.condition.voltage_v
    half_ps = crossing_ps(time_ps, waves.voltage_v[step.pin][part], supply_v / 2, step.level == 1)
    pin_fc = charge_until(time_ps, waves.current_ua[step.pin][part], half_ps)
    others = dict(step.others)
    if (step.pin, step.level) == (CLOCK, 1):
        del others[flop.output]
    return QuietEdge(step.pin, step.level, expression(others),
                     charge_fc(time_ps, waves.current_ua["VPWR"][part]) * supply_v,
                     pin_fc if step.level else -pin_fc)
