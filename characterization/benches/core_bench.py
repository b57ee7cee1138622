"""The cocotb bench of a timed core: driver, monitor, checker. Runs inside the simulator, started by `activity.py`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.handle import Immediate
from cocotb.triggers import Timer, ValueChange

from characterization.artifact import atomic_path
from characterization.benches.core import COUNT_BITS, ENERGY_BITS, TIME_BITS
from characterization.benches.unknown import unknown_nets


class Mismatch(Exception):
    """The simulated core does not settle to what its truth tables say."""


@dataclass(frozen=True)
class Plan:
    """The blocks this process simulates; arrays as `activity.write_plan` saves them."""

    weights: np.ndarray
    states: np.ndarray
    expected: np.ndarray
    sinks: list[str]
    settle_steps: np.ndarray
    cost_steps: np.ndarray
    gated: bool
    blocks: list[int]
    out: Path


@dataclass(frozen=True, slots=True)
class Report:
    """What the core said at the end of one step; of the sinks their bits, the last one first."""

    sinks: str
    settle_fs: int
    energy: int


class Driver:
    """Writes states to the core."""

    def __init__(self, dut: Any, plan: Plan) -> None:
        """Drive `dut`."""
        self.state, self.counting, self.collect, self.gated = dut.state, dut.counting, dut.collect, plan.gated

    def apply(self, state: bytes, counted: bool, collect: bool) -> None:
        """Begin the next step; at its end the edge counters are copied if `collect`."""
        if self.gated:
            self.counting.value = Immediate(int(counted))
        self.collect.value = Immediate(int(collect))
        self.state.value = Immediate(int.from_bytes(state, "little"))


class Monitor:
    """Reads what the core reports."""

    def __init__(self, dut: Any) -> None:
        """Watch `dut`."""
        self.report, self.counts, self.strobed = dut.report, dut.counts, ValueChange(dut.strobe)

    async def step(self) -> Report:
        """Return the report of the step that is under way, when it ends."""
        await self.strobed
        bits = str(self.report.value)
        energy = int(bits[-ENERGY_BITS:], 2)
        settle_fs = int(bits[-ENERGY_BITS - TIME_BITS : -ENERGY_BITS], 2)
        return Report(bits[: -ENERGY_BITS - TIME_BITS], settle_fs, energy)

    def edges(self) -> np.ndarray:
        """Return the falls and rises of every net when last collected, modulo 2 ** 32, uint32 [net, edge]."""
        value = int(str(self.counts.value), 2)
        data = value.to_bytes(len(self.counts) // 8, "little")
        return np.frombuffer(data, dtype=f"<u{COUNT_BITS // 8}").reshape(-1, 2)


class Checker:
    """Compares settled sinks with what the truth tables, and so the reference, say."""

    def __init__(self, plan: Plan) -> None:
        """Check the sinks of `plan`."""
        self.sinks = plan.sinks

    def check(self, weight: int, step: int, found: str, expected: bytes) -> None:
        """Check one step.

        Raises:
            Mismatch: naming weight, transition and the first wrong or unknown sink.
        """
        wanted, where = int.from_bytes(expected, "little"), f"weight {weight}, transition {step}"
        if unknown := unknown_nets(found, self.sinks):
            raise Mismatch(f"{where}: {unknown}.")
        if wrong := [name for bit, name in enumerate(self.sinks) if (int(found, 2) ^ wanted) >> bit & 1]:
            more = f" (one of {len(wrong)})" if len(wrong) > 1 else ""
            raise Mismatch(f"{where}: net {wrong[0]}{more} settles to the wrong value.")


def load_plan(environment: Any) -> Plan:
    """Return the plan named in the environment."""
    with np.load(environment["HALO_BENCH_PLAN"]) as arrays:
        blocks = [int(block) for block in environment["HALO_BENCH_BLOCKS"].split(",")]
        return Plan(
            arrays["weights"], arrays["states"], arrays["expected"], arrays["sinks"].tolist(),
            arrays["settle_steps"], arrays["cost_steps"], bool(arrays["gated"]), blocks,
            Path(environment["HALO_BENCH_OUT"]),
        )


async def run_block(plan: Plan, block: int, driver: Driver, monitor: Monitor, checker: Checker) -> None:
    """Step through one weight's states and save what was seen, in one step."""
    weight = int(plan.weights[block])
    settle_fs, cost = [], []
    before, last = 0, len(plan.cost_steps) - 1
    edges_before = np.zeros(2, dtype=np.uint32)
    for step in range(last + 1):
        driver.apply(plan.states[block, step].tobytes(), plan.cost_steps[step], collect=step in (0, last))
        report = await monitor.step()
        checker.check(weight, step, report.sinks, plan.expected[block, step].tobytes())
        if plan.settle_steps[step]:
            settle_fs.append(report.settle_fs)
        if plan.cost_steps[step]:
            cost.append((report.energy - before) & 2**ENERGY_BITS - 1)
        before = report.energy
        if step == 0:
            edges_before = monitor.edges()
    with atomic_path(plan.out / f"block{weight}.npz") as partial, partial.open("wb") as stream:
        np.savez(
            stream, settle_fs=np.array(settle_fs, dtype=np.uint64),
            cost=np.array(cost, dtype=np.uint64).view(np.int64), edges=monitor.edges() - edges_before,
        )


@cocotb.test()  # type: ignore[untyped-decorator]
async def every_weight_settles_to_its_function(dut: Any) -> None:
    """Step through every block of the plan."""
    plan = load_plan(os.environ)
    driver, monitor, checker = Driver(dut, plan), Monitor(dut), Checker(plan)
    try:
        # The strobe's first value is no strobe: leave the instant in which registers get their first values.
        await Timer(1, "step")
        await monitor.step()
        for block in plan.blocks:
            await run_block(plan, block, driver, monitor, checker)
    except Exception as error:
        Path(os.environ["HALO_BENCH_FAILURE"]).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise
