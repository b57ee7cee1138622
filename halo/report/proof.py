"""proof_section(): what `characterize prove` saw of each plan, where it was run and is of this very plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from characterization.proof_file import PROOF_FILE, ClassRecord, ProofRecord, load_proof
from halo.page import Chart, Grid, Section
from halo.page.vega import INK
from halo.report.run import COOL, WARM, Run, short
from halo.results import RESULTS

HOW = "`characterize prove {folder}` runs its tiles on an array of gates at the planned clock."


@dataclass(frozen=True, slots=True)
class Proofs:
    """What is known of the plans' proofs.

    Attributes:
        found: by method, those that are of this run's plans.
        stale: by method, why one is not.
    """

    found: Mapping[str, ProofRecord]
    stale: Mapping[str, str]

    @property
    def mismatches(self) -> int:
        """Results that differed at planned periods."""
        return sum(item.planned.mismatches for record in self.found.values() for item in record.classes)

    @property
    def cycles(self) -> int:
        """Array cycles run at planned periods."""
        return sum(item.planned.cycles for record in self.found.values() for item in record.classes)

    @property
    def failed(self) -> list[str]:
        """Classes whose planned period is not proved."""
        return [f"{label}: {item.name}" for label, record in self.found.items() for item in record.classes
                if not item.holds]


def load_proofs(run: Run) -> Proofs:
    """Return the proofs that lie beside the plans, each held against the plan's own digests.

    Raises:
        ArtifactError: one cannot be read.
    """
    found: dict[str, ProofRecord] = {}
    stale: dict[str, str] = {}
    for result in run.results:
        folder = run.out / RESULTS / result.label
        if (folder / PROOF_FILE).is_file():
            record = load_proof(folder / PROOF_FILE)
            if why := record.why_stale(folder, run.profile.digest):
                stale[result.label] = why
            else:
                found[result.label] = record
    return Proofs(found, stale)


def proof_section(run: Run, proofs: Proofs) -> Section:
    """Return what was seen of every plan that was proved, what had to fail, and the books of energy."""
    points = [f"{label}: {PROOF_FILE} is no proof of this plan and is left out: {why}. Run `characterize prove` again."
              for label, why in proofs.stale.items()]
    if not proofs.found:
        folder = run.out / RESULTS / (run.ours or run.results)[0].label
        return Section("Proof at speed", ("No plan of this run was proved on gates. " + HOW.format(folder=folder),),
                       tuple(points), sources=run.sources())
    rows = [(f"{label}, {item.name}", item) for label, record in proofs.found.items() for item in record.classes]
    config = next(iter(proofs.found.values())).config
    text = (f"Tiles of the quantized models on {config['rows']} x {config['columns']} elements of gates, every edge of "
            "every net simulated, at the planned voltage and period; every result compared with the integers, and some "
            "cycles with Icarus, flop by flop. A proof that cannot fail proves nothing: with nothing added to delays, "
            "the same tiles run 1 ps too short, and a slow value outside the codebook at the class's own delay.",)
    points += [f"NOT PROVED: {name}" for name in proofs.failed]
    points += [f"{label}, {item.name}: tiles {'; '.join(item.tiles)}" for label, record in proofs.found.items()
               for item in record.classes]
    return Section("Proof at speed", text, tuple(points), (timing_grid(rows), failing_grid(rows), energy_grid(rows)),
                   charts=(slack_chart(rows),), sources=run.sources(PROOF_FILE))


def timing_grid(rows: list[tuple[str, ClassRecord]]) -> Grid:
    """Return what was seen at the planned periods."""
    cells = tuple((name, item.corner, f"{item.voltage_v:g}", f"{item.planned.period_ps:.1f}", str(item.planned.cycles),
                   str(item.planned.results), str(item.planned.mismatches), f"{item.planned.latest_ps:.2f}",
                   f"{item.delay_ps:.2f}", f"{item.shortest_ps:.2f}",
                   "-" if item.replay is None else f"{item.replay.differ} of {item.replay.captures}",
                   "yes" if item.holds else "NO") for name, item in rows)
    return Grid(("plan, class", "corner", "V", "period ps", "cycles", "results", "mismatches", "latest ps",
                 "certified ps", "shortest working ps", "differ in Icarus", "proved"), cells, "At the planned periods.")


def failing_grid(rows: list[tuple[str, ClassRecord]]) -> Grid:
    """Return what had to fail."""
    cells = []
    for name, item in rows:
        early = f"after {item.early.cycles} cycles" if item.early.mismatches else "never"
        outside = ("-", "-", "-", "has all values") if item.outside is None else (
            str(item.outside.weight), f"{item.outside.certified_ps:.2f}", str(item.outside.run.mismatches),
            "fails, as it must" if item.outside.run.mismatches else "hidden by margin: no gain")
        cells.append((name, f"{item.early.period_ps:.2f}", early, f"{item.delay_ps:.2f}", *outside))
    return Grid(("plan, class", "1 ps too short: period ps", "wrong", "class's own delay ps", "value outside",
                 "its certificate ps", "wrong results", "verdict"), tuple(cells),
                "What must fail, nothing added to delays.")


def energy_grid(rows: list[tuple[str, ClassRecord]]) -> Grid:
    """Return the energies of the array and of the tables."""
    cells = tuple((name, f"{e.array_fj:.1f}", f"{e.table_fj:.1f}", f"{e.table_fj / e.array_fj - 1:+.1%}",
                   f"{e.profile_fj:.1f}", f"{e.register_fj / e.array_fj:.1%}", f"{e.zero_fj / e.array_fj:.2f}x",
                   f"{e.loading_fj:.1f}", f"{e.charged_loading_fj:.1f}") for name, item in rows for e in (item.energy,))
    return Grid(("plan, class", "array fJ", "tables fJ", "off", "profile's stimulus fJ", "registers and clock",
                 "all-zero matrix", "loading fJ", "charged fJ"), cells,
                "Energy per operation, leakage apart; loading per element and load. Tables: under the activations and "
                "sums that the array met; profile's stimulus: what a plan is charged.")


def slack_chart(rows: list[tuple[str, ClassRecord]]) -> Chart:
    """Return period, certificate and what was seen, on one line per class."""
    marks = {"planned period": INK, "certified": WARM[0], "latest seen": COOL[1], "shortest working": COOL[0]}
    values = [{"class": name, "what": what, "ps": short(ps)} for name, item in rows
              for what, ps in zip(marks, (item.planned.period_ps, item.delay_ps, item.planned.latest_ps,
                                          item.shortest_ps), strict=True)]
    return Chart("proof", {
        "height": {"step": 44, "for": "position"}, "title": "Planned period, certificate, and what the gates did",
        "data": {"values": values}, "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
        "encoding": {"y": {"field": "class", "type": "nominal", "sort": None, "title": None},
                     "yOffset": {"field": "what", "type": "nominal", "sort": list(marks)},
                     "x": {"field": "ps", "type": "quantitative", "title": "ps", "scale": {"zero": False},
                           "axis": {"tickCount": 10}},
                     "color": {"field": "what", "type": "nominal", "title": None,
                               "scale": {"domain": list(marks), "range": list(marks.values())}},
                     "shape": {"field": "what", "type": "nominal", "title": None, "scale": {
                         "domain": list(marks), "range": ["square", "diamond", "circle", "triangle-left"]}},
                     "tooltip": [{"field": "class"}, {"field": "what"}, {"field": "ps", "format": ".2f"}]}},
        "Always latest seen <= certified <= planned period.")
