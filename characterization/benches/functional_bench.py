"""The cocotb bench of a whole MAC: driver, monitor, checker. Runs inside the simulator, started by `functional.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cocotb
from cocotb.handle import Immediate
from cocotb.triggers import Timer

from characterization.benches.unknown import unknown_nets

# How many clocks lie between two reports of progress.
CLOCKS_TOLD = 256


class Mismatch(Exception):
    """The MAC does something else than its reference."""


class Driver:
    """Drives ports a femtosecond after each rising clock edge, as registers in front of the MAC would at best."""

    def __init__(self, dut: Any, plan: dict[str, Any]) -> None:
        """Drive the registers of the bench."""
        self.ports = [getattr(dut, name) for name in plan["inputs"]]
        self.clock, self.half_period_fs = getattr(dut, plan["clock"]), plan["half_period_fs"]

    def apply(self, values: Sequence[int]) -> None:
        """Put `values` on the ports."""
        for port, value in zip(self.ports, values, strict=True):
            port.value = Immediate(value)

    async def fall(self) -> None:
        """Return at the falling edge, half a period after the rising one."""
        await Timer(self.half_period_fs - 1, "fs")
        self.clock.value = Immediate(0)

    async def rise(self) -> None:
        """Return a femtosecond after the rising edge."""
        await Timer(self.half_period_fs, "fs")
        self.clock.value = Immediate(1)
        await Timer(1, "fs")


class Monitor:
    """Samples ports and registers."""

    def __init__(self, dut: Any, plan: dict[str, Any]) -> None:
        """Watch the plan's scope: the MAC with its registers, or the bench with the MAC's ports."""
        scope = getattr(dut, plan["scope"]) if plan["scope"] else dut
        self.places = [getattr(scope, name) for name in plan["observed"]]

    def sample(self) -> list[str]:
        """Return the bits of every observed place."""
        return [str(place.value) for place in self.places]


def bit_names(name: str, width: int) -> list[str]:
    """Return the nets of a port or register, lowest first."""
    return [f"{name}[{bit}]" for bit in range(width)] if width > 1 else [name]


class Checker:
    """Compares samples with the reference."""

    def __init__(self, plan: dict[str, Any]) -> None:
        """Check against `plan`."""
        self.names, self.expected = plan["observed"], plan["expected"]

    def check(self, clock: int, found: Sequence[str]) -> None:
        """Check what stands after a clock edge, once the reference knows it.

        Raises:
            Mismatch: naming the clock, the place, and both values.
        """
        for name, bits, wanted in zip(self.names, found, self.expected[clock] or [], strict=False):
            if unknown := unknown_nets(bits, bit_names(name, len(bits))):
                raise Mismatch(f"clock {clock}: {unknown}; {name} is {bits}, its reference says "
                               f"{wanted:0{len(bits)}b}. Is it driven, and set by reset or loading?")
            if bits != format(wanted, f"0{len(bits)}b"):
                raise Mismatch(f"clock {clock}: {name} is {bits}, its reference says {wanted:0{len(bits)}b}.")


@cocotb.test()  # type: ignore[untyped-decorator]
async def every_clock_follows_the_reference(dut: Any) -> None:
    """Drive every clock of the plan."""
    plan = json.loads(Path(os.environ["HALO_BENCH_PLAN"]).read_text(encoding="utf-8"))
    told = os.environ.get("HALO_BENCH_PROGRESS")  # cocotb's own makefiles have none
    try:
        driver, monitor, checker = Driver(dut, plan), Monitor(dut, plan), Checker(plan)
        # Leave the instant in which the bench's registers get their first values.
        await Timer(1, "step")
        for clock, values in enumerate(plan["driven"]):
            if told and clock % CLOCKS_TOLD == 0:
                Path(told).write_text(str(clock), encoding="ascii")
            driver.apply(values)
            await driver.fall()
            if clock:
                checker.check(clock - 1, monitor.sample())
            await driver.rise()
        await driver.fall()
        checker.check(len(plan["driven"]) - 1, monitor.sample())
    except Exception as error:
        Path(os.environ["HALO_BENCH_FAILURE"]).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise
