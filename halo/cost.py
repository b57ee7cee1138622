"""CostReport: cycles, time and energy of one pass, row by row, and the assumptions they rest on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from characterization.artifact import write_text
from halo.errors import PlanError
from halo.workload import Phase

SCHEMA = 2
Scope = Literal["linear", "all"]
RowKind = Literal["linear", "attention", "head", "switch", "switch-fixed"]
# The linear layers' own account, and what comes on top when attention and head are included.
LINEAR_KINDS = ("linear", "switch")


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy in femtojoules, by part.

    Attributes:
        mac_fj: multiplier and adder cells and nets, at the weights' real values.
        registers_fj: registers and clock pins of the processing elements, while they compute.
        idle_fj: elements that hold padding, and all of them while the array fills, drains or waits for weights.
        loading_fj: shifting weights through the array.
        scaling_fj: the multiply-add per output and fold outside the array; an integer add where one scale serves all.
        sparse_fj: the sparse engine: products, gathered activations, its results added.
        sram_fj: activations, weights and accumulators.
        leakage_fj: leakage while computing.
        grouping_fj: partial sums put aside where the loads of one column run in several blocks, or do not fit.
        shifting_fj: level shifters between the array and memories at another voltage.
        switching_fj: clock and supply changes.
        fixed_fj: what a chip spends whatever it computes: idle units, constant power (GPUs).
        dram_fj: weights, cached keys and values, and activations that do not fit the chip, to and from off-chip memory.
        waiting_fj: leakage while waiting for that memory.
    """

    mac_fj: float = 0.0
    registers_fj: float = 0.0
    idle_fj: float = 0.0
    loading_fj: float = 0.0
    scaling_fj: float = 0.0
    sparse_fj: float = 0.0
    sram_fj: float = 0.0
    leakage_fj: float = 0.0
    grouping_fj: float = 0.0
    shifting_fj: float = 0.0
    switching_fj: float = 0.0
    fixed_fj: float = 0.0
    dram_fj: float = 0.0
    waiting_fj: float = 0.0

    @property
    def on_chip_fj(self) -> float:
        """Energy without off-chip memory and the wait for it."""
        return self.total_fj - self.dram_fj - self.waiting_fj

    @property
    def total_fj(self) -> float:
        """The sum of all parts."""
        return float(sum(getattr(self, part.name) for part in fields(self)))

    def parts(self) -> dict[str, float]:
        """Return the parts by name, without the unit suffix."""
        return {part.name.removesuffix("_fj"): getattr(self, part.name) for part in fields(self)}


def sum_prices(prices: Iterable[Price]) -> Price:
    """Return the sum of prices, time with memory apart, which does not add up like that."""
    rows = list(prices)
    return Price(sum(row.cycles for row in rows), sum(row.compute_s for row in rows), sum(row.sparse_s for row in rows),
                 sum(row.memory_s for row in rows), sum_energy(row.energy for row in rows))


def sum_energy(parts: Iterable[Energy]) -> Energy:
    """Return the sum, part by part."""
    rows = list(parts)
    return Energy(**{part.name: sum(getattr(row, part.name) for row in rows) for part in fields(Energy)})


@dataclass(frozen=True, slots=True)
class Price:
    """Time and energy of the loads of one product in one clock class, at one point.

    Attributes:
        compute_s: time of array and sparse engine side by side; the slower one counts.
        sparse_s: time of the sparse engine.
        memory_s: time in which off-chip memory moves what these loads need.
    """

    cycles: int
    compute_s: float
    sparse_s: float
    memory_s: float
    energy: Energy

    @property
    def total_s(self) -> float:
        """Time with memory: operands stream in while the loads run, so the longer one counts."""
        return max(self.compute_s, self.memory_s)


@dataclass(frozen=True, slots=True)
class CostRow:
    """One product, or all clock changes.

    Attributes:
        cycles: of the array, at whichever clock each load has.
        compute_s: time of array and sparse engine side by side; the slower one counts.
        sparse_s: time of the sparse engine.
        memory_s: time in which off-chip memory moves operands.
        total_s: time with memory; the loads of each clock class wait for their own operands.
        n_macs: useful multiply-accumulates.
    """

    layer: str
    kind: RowKind
    cycles: int
    compute_s: float
    sparse_s: float
    memory_s: float
    total_s: float
    n_macs: int
    energy: Energy


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of a report's rows."""

    cycles: int
    compute_s: float
    memory_s: float
    total_s: float
    n_macs: int
    energy: Energy

    @property
    def binds(self) -> Literal["compute", "memory"]:
        """Which of both the pass waits for."""
        return "memory" if self.memory_s > self.compute_s else "compute"


@dataclass(frozen=True, slots=True)
class CostReport:
    """Time and energy of one pass of one method on one accelerator."""

    method: str
    workload: str
    phase: Phase
    accelerator: str
    rows: tuple[CostRow, ...]
    assumptions: tuple[str, ...]

    def total(self, scope: Scope = "linear") -> Total:
        """Return the sum over the linear layers and their clock changes, or over everything."""
        rows = [row for row in self.rows if scope == "all" or row.kind in LINEAR_KINDS]
        return Total(
            sum(row.cycles for row in rows), sum(row.compute_s for row in rows), sum(row.memory_s for row in rows),
            sum(row.total_s for row in rows), sum(row.n_macs for row in rows), sum_energy(row.energy for row in rows))


@dataclass(frozen=True, slots=True)
class Ratio:
    """A report beside a baseline: how many times faster, and its share of the baseline's energy."""

    speedup: float
    speedup_with_memory: float
    energy: float
    energy_with_memory: float


def compare(report: CostReport, baseline: CostReport, scope: Scope = "linear") -> Ratio:
    """Return `report` beside `baseline`.

    Raises:
        PlanError: they are of different workloads or accelerators.
    """
    if (report.workload, report.accelerator) != (baseline.workload, baseline.accelerator):
        raise PlanError(f"{report.method} ran {report.workload} on {report.accelerator}, {baseline.method} ran "
                        f"{baseline.workload} on {baseline.accelerator}; compare like with like.")
    own, other = report.total(scope), baseline.total(scope)
    return Ratio(other.compute_s / own.compute_s, other.total_s / own.total_s,
                 own.energy.on_chip_fj / other.energy.on_chip_fj, own.energy.total_fj / other.energy.total_fj)


def save_cost(report: CostReport, path: Path) -> None:
    """Write the report as JSON, with its totals, in one step."""
    totals = {scope: asdict(report.total(scope)) for scope in ("linear", "all")}
    content = {"schema": SCHEMA, "kind": "halo.CostReport", "totals": totals, **asdict(report)}
    write_text(path, json.dumps(content, indent=1) + "\n")


def load_cost(path: Path) -> CostReport:
    """Return the report saved at `path`.

    Raises:
        PlanError: the file is missing, damaged, or of another schema.
    """
    if not path.is_file():
        raise PlanError(f"{path}: no such cost report; make one with `halo estimate`.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] == SCHEMA:
            return report_from_fields(content)
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path}: not a readable cost report ({error!r}); run `halo estimate` again.") from error
    raise PlanError(f"{path}: cost report schema {content['schema']}, this program reads {SCHEMA}; run `halo estimate` "
                    "again.")


def report_from_fields(content: Mapping[str, object]) -> CostReport:
    """Return the report whose JSON fields these are."""
    names = {field.name for field in fields(CostReport)} - {"rows", "assumptions"}
    rows = tuple(CostRow(**{**row, "energy": Energy(**row["energy"])}) for row in content["rows"])  # type: ignore[attr-defined]
    plain = {name: content[name] for name in names}
    return CostReport(rows=rows, assumptions=tuple(content["assumptions"]), **plain)  # type: ignore[arg-type]
