"""CellTables as if measured: every arc, hidden edge and state of a cell's logic, with numbers from a seed."""

from itertools import product

import numpy as np

from characterization.boolean import parse_function
from characterization.cells.tables import (
    CellTables,
    Condition,
    Constraint,
    FlopFunction,
    HiddenEnergy,
    Leakage,
    MeasuredArc,
    MeasuredPin,
    MultiInput,
)

TYPICAL = Condition("tt", 25.0, 1.8)
LOGIC = {
    "inv_1": (("A",), {"Y": "!A"}),
    "inv_4": (("A",), {"Y": "!A"}),
    "buf_2": (("A",), {"X": "A"}),
    "nand2_1": (("A", "B"), {"Y": "!(A&B)"}),
    "nor3_1": (("A", "B", "C"), {"Y": "!(A|B|C)"}),
    "xor2_1": (("A", "B"), {"X": "(A&!B)|(!A&B)"}),
    "mux2_1": (("A0", "A1", "S"), {"X": "(A0&!S)|(A1&S)"}),
    "ha_1": (("A", "B"), {"COUT": "A&B", "SUM": "(A&!B)|(!A&B)"}),
    "conb_1": ((), {"HI": "1", "LO": "0"}),
}


class Maker:
    """Numbers that look measured: positive delays that grow with slew and load, energies of either sign."""

    def __init__(self, seed, n_slews=3, n_loads=4):
        self.random = np.random.default_rng(seed)
        self.slews_ps = tuple(float(x) for x in np.geomspace(10, 1500, n_slews).round(2))
        self.loads_ff = tuple(float(x) for x in np.geomspace(0.5, 60, n_loads).round(3))

    def surface(self):
        base, per_slew, per_load = self.random.uniform((20, 0.05, 1), (60, 0.2, 4))
        return base + per_slew * np.array(self.slews_ps)[:, None] + per_load * np.array(self.loads_ff)

    def energy(self, *shape):
        return self.random.normal(3, 3, shape)

    def arcs(self, output, function, inputs):
        for related, state in ((pin, state) for pin in inputs for state in product((0, 1), repeat=len(inputs) - 1)):
            others = [pin for pin in inputs if pin != related]
            values = [self.value(function, dict(zip(others, state, strict=True)) | {related: bit}) for bit in (0, 1)]
            if values[0] != values[1]:
                for edge in (0, 1):
                    yield MeasuredArc(output, related, when(others, state), edge, values[edge], self.surface(),
                                      self.surface(), self.energy(len(self.slews_ps), len(self.loads_ff)))

    def hidden(self, pin, others):
        for state, edge in product(product((0, 1), repeat=len(others)), (0, 1)):
            yield HiddenEnergy(pin, when(others, state), edge, self.energy(len(self.slews_ps)))

    def leakage(self, inputs):
        for state in product((0, 1), repeat=len(inputs)):
            yield Leakage(when(inputs, state), float(self.random.uniform(0.01, 10)))

    @staticmethod
    def value(function, values):
        return function.value(sum(values[pin] << i for i, pin in enumerate(function.pins)))


def when(pins, state):
    return "&".join(pin if bit else f"!{pin}" for pin, bit in zip(pins, state, strict=True))


def made_cell(kind, seed=0, n_slews=3, n_loads=4, condition=TYPICAL, prefix="made_"):
    """Return the tables of a combinational cell of LOGIC."""
    make = Maker([seed, *kind.encode()], n_slews, n_loads)
    inputs, outputs = LOGIC[kind]
    pins = [MeasuredPin(pin, "input", "", tuple(make.random.uniform(1, 3, 2)), None) for pin in inputs]
    pins += [MeasuredPin(pin, "output", text, (0.0, 0.0), 60.0, make.loads_ff) for pin, text in outputs.items()]
    arcs = [arc for pin, text in outputs.items() for arc in make.arcs(pin, parse_function(text, inputs), inputs)]
    hidden = [row for pin in inputs for row in make.hidden(pin, [other for other in inputs if other != pin])]
    factors = [MultiInput(pin, edge, 1.1, 0.7) for pin in outputs for edge in (0, 1) if len(inputs) > 1]
    return CellTables(
        prefix + kind, condition, float(make.random.uniform(3, 30)), make.slews_ps, tuple(pins), tuple(arcs),
        tuple(hidden), tuple(make.leakage(inputs)), tuple(factors),
    )


def made_flop(seed=0, n_slews=3, n_loads=4, condition=TYPICAL, prefix="made_", clocked_on="CLK"):
    """Return the tables of a D flip-flop."""
    make = Maker([seed, 7], n_slews, n_loads)
    pins = (MeasuredPin("CLK", "input", "", (1.7, 1.9), None), MeasuredPin("D", "input", "", (1.6, 1.7), None),
            MeasuredPin("Q", "output", "IQ", (0.0, 0.0), 60.0, make.loads_ff))
    launching = 1 if clocked_on == "CLK" else 0
    arcs = tuple(MeasuredArc("Q", "CLK", "", launching, edge, make.surface(), make.surface(),
                             make.energy(n_slews, n_loads)) for edge in (0, 1))
    checks = tuple(Constraint(kind, "D", edge, make.random.normal(40, 60, (n_slews, n_slews)))
                   for kind in ("setup", "hold") for edge in (0, 1))
    hidden = (*make.hidden("CLK", []), *make.hidden("D", ["CLK"]))
    return CellTables(
        f"{prefix}dfxtp_1", condition, 20.02, make.slews_ps, pins, arcs, tuple(hidden),
        tuple(make.leakage(("CLK", "D", "Q"))), (), FlopFunction(clocked_on, "D"), make.slews_ps, checks,
    )


def made_library(seed=0, **how):
    """Return a flop and every cell of LOGIC."""
    return [made_flop(seed, **how), *(made_cell(kind, seed, **how) for kind in LOGIC)]
