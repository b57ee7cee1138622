"""The cocotb bench of a gate-level array: drives it clock by clock and notes every flop. Runs inside the simulator."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.handle import Immediate
from cocotb.triggers import Timer

from characterization.artifact import atomic_path
from characterization.benches.unknown import unknown_nets


class UnknownValueError(Exception):
    """A flop holds neither 0 nor 1."""


def flop_values(bits: str, cycle: int, names: Sequence[str]) -> list[int]:
    """Return the flops' values, lowest first, as are their names.

    Raises:
        UnknownValueError: one is unknown.
    """
    if unknown := unknown_nets(bits, names):
        raise UnknownValueError(f"array cycle {cycle}: {unknown}.")
    return [int(bit) for bit in reversed(bits)]


async def play(dut: Any, driven: np.ndarray, period_fs: int, names: Sequence[str]) -> np.ndarray:
    """Return what every flop took at the end of each cycle, uint8 [cycle, flop]."""
    high_fs = period_fs // 2
    seen = []
    for cycle in range(len(driven) + 1):
        if cycle < len(driven):
            dut.next.value = Immediate(int.from_bytes(driven[cycle].tobytes(), "little"))
        await Timer(period_fs - high_fs, "fs")
        dut.clk.value = Immediate(1)
        await Timer(high_fs, "fs")
        if cycle:
            seen.append(flop_values(str(dut.flops.value), cycle - 1, names))
        dut.clk.value = Immediate(0)
    return np.array(seen, np.uint8)


@cocotb.test()  # type: ignore[untyped-decorator]
async def every_flop_is_noted(dut: Any) -> None:
    """Drive every cycle of the plan."""
    try:
        with np.load(os.environ["HALO_BENCH_PLAN"]) as plan:
            driven, period_fs, names = plan["driven"], int(plan["period_fs"]), plan["names"].tolist()
        # Leave the instant in which registers get their first values.
        await Timer(1, "step")
        flops = await play(dut, driven, period_fs, names)
        with atomic_path(Path(os.environ["HALO_BENCH_OUT"])) as partial, partial.open("wb") as stream:
            np.savez(stream, flops=flops)
    except Exception as error:
        Path(os.environ["HALO_BENCH_FAILURE"]).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise
