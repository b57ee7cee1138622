"""MacDesign: one MAC's Verilog and what its ports and registers mean, read from `design.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

WeightMode = Literal["stationary", "streaming"]


@dataclass(frozen=True)
class Lane:
    """The register nets of one multiplier lane, by bus name in the mapped netlist (`weight_q`, or `weight_q[15:8]`).

    Attributes:
        weight: the bus that holds the weight while it multiplies.
        activation: the bus that holds the activation while it multiplies.
    """

    weight: str
    activation: str


@dataclass(frozen=True)
class MacDesign:
    """A MAC design as its `design.toml` describes it.

    Attributes:
        name, top, folder, sources, parameters: what to synthesize.
        weight_mode: `stationary` (constant while activations stream) or `streaming`.
        latency: clock edges from operands at the ports to the result at the output port.
        clock: clock port. reset: reset port ('' for none), active high.
        hold: control port or register bus -> the value it holds in compute mode.
        roles: role -> port, for `weight`, `activation`, `accumulator_in`, `result`.
        lanes: one for a systolic PE, four for a dp4.
        result_registers: buses whose capture ends the computation (where the weight's influence must settle).
        neighbours: input port -> the neighbour's output port that drives it.
        reference: path of `reference.py`.
    """

    name: str
    top: str
    folder: Path
    sources: tuple[Path, ...]
    parameters: Mapping[str, int]
    weight_mode: WeightMode
    latency: int
    clock: str
    reset: str
    roles: Mapping[str, str]
    hold: Mapping[str, int]
    lanes: tuple[Lane, ...]
    neighbours: Mapping[str, str]
    reference: Path
    weight_bits: int = 8
    activation_bits: int = 8
    accumulator_bits: int = 24
    widths: Mapping[str, int] = field(default_factory=dict)
