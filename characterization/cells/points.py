"""Where a cell is measured: slews, loads, and how long an edge is given to settle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from characterization.cells.spice_netlist import Circuit
from characterization.cells.switch_level import patterns, strength
from characterization.cells.tables import Condition


@dataclass(frozen=True, slots=True)
class MeasureConfig:
    """How cells are measured.

    Attributes:
        slews_ps: slews of the inputs (20-80 %), the same at all voltages, since tables are interpolated in voltage.
        constraint_slews_ps: slews of data and of clock at which setup and hold are searched.
        n_loads: loads of each output, in equal ratios.
        least_load_ff, load_per_um_ff: the smallest load, and the largest for each um of n-transistor width that drives
            the output in its weakest state.
        settled: how close to its rail, in shares of the supply, an output must be when its window ends.
        attempts: how often a window is doubled before a point is given up.
        steps: longest time step, as a share of the windows: 1 / steps.
    """

    slews_ps: tuple[float, ...] = (10.0, 23.0, 53.0, 122.0, 282.0, 650.0, 1500.0)
    constraint_slews_ps: tuple[float, ...] = (10.0, 122.0, 500.0, 1500.0)
    n_loads: int = 4
    least_load_ff: float = 0.5
    load_per_um_ff: float = 400.0
    settled: float = 0.005
    attempts: int = 5
    steps: float = 40.0


# The window's estimate at typical 1.8 V: for a cell's own stages, and for a load's charge through the transistors.
STAGE_PS = 250.0
DRIVE_PS_UM_PER_FF = 25.0
# Delay over voltage follows V / (V - VT)^1.5 (alpha power law, Sakurai and Newton 1990) with an effective VT by process
# and a share for temperature; only windows depend on it, and those that are too short are doubled.
EFFECTIVE_VT_V = {"tt": 0.86, "ss": 0.95, "ff": 0.80}
VT_PER_DEGREE_V = -0.0007
REFERENCE_V, REFERENCE_C = 1.8, 25.0
LEAST_OVERDRIVE_V = 0.1


def loads_ff(circuit: Circuit, inputs: Sequence[str], output: str, config: MeasureConfig) -> tuple[float, ...]:
    """Return the loads of an output, in equal ratios up to what its weakest state drives."""
    weakest = min(strength(circuit, pattern, output) for pattern in patterns(inputs))
    most = config.load_per_um_ff * weakest
    return tuple(float(f"{load:.4g}") for load in np.geomspace(config.least_load_ff, most, config.n_loads))


def slowdown(condition: Condition) -> float:
    """Return an estimate of how much slower than at typical 1.8 V a cell is.

    >>> round(slowdown(Condition("tt", 25.0, 1.2)), 1)
    3.1
    """
    def inverse_current(process: str, temp_c: float, voltage_v: float) -> float:
        vt_v = EFFECTIVE_VT_V.get(process, EFFECTIVE_VT_V["ss"]) + VT_PER_DEGREE_V * (temp_c - REFERENCE_C)
        return float(voltage_v / max(voltage_v - vt_v, LEAST_OVERDRIVE_V) ** 1.5)

    return (inverse_current(condition.process, condition.temp_c, condition.voltage_v)
            / inverse_current("tt", REFERENCE_C, REFERENCE_V))


def window_ps(circuit: Circuit, driven: Sequence[tuple[float, float]], condition: Condition) -> float:
    """Return an estimate of how long an edge takes to settle; `driven` are pairs of load in fF and strength in um."""
    stages = len({device.gate for device in circuit.devices})
    load_ps = max((DRIVE_PS_UM_PER_FF * load / um for load, um in driven), default=0.0)
    return slowdown(condition) * (STAGE_PS * (1 + stages) + load_ps)
