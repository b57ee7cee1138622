"""render(): the report of a run, from its saved artifacts alone: what was gained, what was not, on what it rests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from characterization.artifact import write_text
from characterization.profile import MacProfile
from halo.cost import Scope, compare
from halo.figures import Mark, draw_energy, draw_front, draw_weights
from halo.mac import load_mac
from halo.operating_point import footing
from halo.page import Grid, Picture, Section, to_html, to_markdown
from halo.plan import ALL_VALUES, ClockClass
from halo.results import PHASES, MethodResult, load_results, load_run, quality_from
from halo.tables import bases_of, cost_grid, labels_of_ours, reference_of, summary_grid
from halo.verdict import verdicts

TITLE = "HALO on a measured MAC"
PAPER_ROWS = (("all 256 values", "1.0 V, 1.9 GHz", "-", "-"), ("16 values", "1.1 V, 2.4 GHz", "-", "-"),
              ("9 values", "1.2 V, 3.7 GHz", "-", "-"), ("acc-opt", "-", "1.29x", "+0.47 (3.88 bits)"),
              ("bal", "-", "1.51x", "+0.54 (3.75 bits)"), ("perf-opt", "-", "1.87x", "+0.90 (3.03 bits)"))
PAPER_NOTE = ("HALO's own figures (arXiv 2502.19662): 22 nm systolic points, speed over W8A8, perplexity of "
              "LLaMA-2-7B over FP16, tiles of 128. Part of that speed is a raised voltage, at about 2 % more energy "
              "than W8A8; its headlines, 270 % and 51 %, are against FP16.")


@dataclass(frozen=True, eq=False)
class Run:
    """All that a report is made from."""

    facts: dict[str, Any]
    profile: MacProfile
    results: tuple[MethodResult, ...]

    @property
    def w8a8(self) -> MethodResult:
        """The method that ratios are against."""
        return reference_of(self.results)


def render(out: Path) -> Path:
    """Write report.html, report.md and their pictures into `out`, and return the page's path.

    Raises:
        OutputError: a result is missing or damaged.
        ArtifactError: the profile cannot be read.
    """
    facts = load_run(out)
    run = Run(facts, load_mac(Path(facts["profile"])), load_results(out, facts["labels"]))
    sections = (
        Section("Summary", grids=(summary_grid(run.results),)), gained(run), mac_section(run, out),
        accuracy_section(run, out), cost_section(run, out), switch_section(run), paper_section(run),
        provenance_section(run),
    )
    lead = lead_line(run)
    write_text(out / "report.md", to_markdown(TITLE, lead, sections, out))
    write_text(out / "report.html", to_html(TITLE, lead, sections))
    return out / "report.html"


def lead_line(run: Run) -> str:
    """Return one line that says what was run on what."""
    head, plan = run.profile.head, run.results[0].plan
    work = run.facts["config"]["workload"]
    return (f"{run.facts['n_parameters'] / 1e6:.1f} M parameters on a {plan.rows} x {plan.cols} array of {head.design} "
            f"({head.library}, {plan.all_values.voltage_v:g} V); prompt of {work['prompt_tokens']} tokens, batch "
            f"{work['batch']}, context {work['context']}. Periods rest on {plan.all_values.basis}.")


def gained(run: Run) -> Section:
    """Return what was gained over the strongest honest baseline, and what was not."""
    return Section("What was gained, and what was not", points=verdicts(run.results, run.w8a8))


def mac_section(run: Run, out: Path) -> Section:
    """Return the MAC's delay and energy, and the clock classes taken from them."""
    classes = {item.name: item for result in run.results for item in result.plan.classes}
    ours = next((r.plan.classes for r in run.results if r.ours), run.results[0].plan.classes)
    place = footing(run.profile, run.results[0].plan.points)
    path = out / "figures" / "weights.png"
    draw_weights(run.profile, place, ours, path)
    rows = tuple(class_row(item, classes[ALL_VALUES], run.profile, place.typical)
                 for item in sorted(classes.values(), key=lambda item: -item.period_ps))
    columns = ("class", "values", "delay ps", "of corner", "period ps", "MHz", "over all values", "fJ per operation",
               "capped")
    points = run.results[0].plan.points
    caption = (f"period = delay x {1 + points.margin:g} + {points.jitter_ps:g} ps jitter + {points.skew_ps:g} ps skew, "
               f"not faster than {points.cap_ghz:g} GHz (what is not the MAC); {place.says}; energy: plain mean over "
               f"the values, at {place.typical}")
    head = run.profile.head
    text = (f"{head.design}, {head.n_cells} cells, {head.area_um2:.0f} µm² in {head.library}; {head.stimulus}.",
            *head.notes)
    reasons = tuple(f"{c['name']}: {c['reason']}" for c in run.facts["codebooks"])
    return Section("The MAC and its clock classes", text, reasons, (Grid(columns, rows, caption, names_of(ours)),),
                   (Picture(path, "Delay and energy over the 256 weight values; codebooks in colour."),))


def class_row(item: ClockClass, whole: ClockClass, profile: MacProfile, corner: str) -> tuple[str, ...]:
    """Return one row of the table of clock classes."""
    energy_fj = profile.operation_energy_fj(item.period_ps, corner)[[code + 128 for code in item.codes]].mean()
    return (item.name, str(len(item.codes)), f"{item.delay_ps:.0f}", item.corner, f"{item.period_ps:.0f}",
            f"{1000 * item.freq_ghz:.0f}", f"{whole.period_ps / item.period_ps:.3f}x", f"{energy_fj:.0f}",
            "yes" if item.capped else "no")


def names_of(classes: Sequence[Any]) -> frozenset[str]:
    """Return the names of searched clock classes."""
    return frozenset(item.name for item in classes if item.name != ALL_VALUES)


def accuracy_section(run: Run, out: Path) -> Section:
    """Return accuracy and bits of every method, and the front."""
    rows = [quality_row("original (float32)", run.facts["original"], "32", "32"),
            quality_row("int8 activations only", run.facts["int8_activations"], "-", "-")]
    rows += [quality_row(r.label, None, f"{r.bits.total:.3f}", f"{r.file_bits:.2f}", r) for r in run.results]
    columns = ("method", "KL net (nats/token)", "95 % interval", "perplexity", "change", "sigmas", "bits/byte",
               "effective bits", "file bits")
    protocol = run.facts["original"]["protocol"]
    caption = (f"KL to the original, net of int8 activations, paired over {protocol['windows']} windows of "
               f"{protocol['window']} tokens ({protocol['scored_tokens']} scored, text {protocol['text_digest'][:8]}). "
               "Effective bits: per quantized weight, all parts. File bits: of the whole folder per weight of the "
               "model; codes are stored a byte each.")
    marks = [mark_of(r, run.w8a8) for r in run.results]
    path = out / "figures" / "front.png"
    draw_front(marks, path)
    picture = Picture(path, "Accuracy against time and on-chip energy (prefill). Round: searched codebooks. Square: "
                            "fixed grids. Lower left is better.")
    notes = tuple(f"{r.label}: {r.says}; worst layer {r.worst_layer}, output error {r.worst_loss:.2e} of its energy"
                  + (f"; {len(r.fallbacks)} fallbacks: {next(iter(r.fallbacks.values()))}" if r.fallbacks else "")
                  for r in run.results)
    grid = Grid(columns, tuple(rows), caption, labels_of_ours(run.results))
    return Section("Accuracy and bits", points=notes, grids=(grid,), pictures=(picture,))


def quality_row(
    label: str, fields: dict[str, Any] | None, bits: str, file_bits: str, result: MethodResult | None = None
) -> tuple[str, ...]:
    """Return one row of the accuracy table."""
    found = result.accuracy.quality if result else quality_from(fields or {})
    net = found.net_kl
    is_net = result is not None
    return (label, f"{net.mean:.5f}" if is_net else "-", f"{net.low:.5f} .. {net.high:.5f}" if is_net else "-",
            f"{found.perplexity:.4f}", f"{100 * found.perplexity_change:+.2f} %", f"{found.change_sigmas:+.1f}",
            f"{found.bits_per_byte:.4f}", bits, file_bits)


def mark_of(result: MethodResult, baseline: MethodResult) -> Mark:
    """Return where a method stands in the accuracy pictures."""
    ratio = compare(result.costs["prefill"], baseline.costs["prefill"])
    net = result.accuracy.quality.net_kl
    return Mark(result.label, 1 / ratio.speedup, ratio.energy, net.mean, net.low, net.high, result.ours)


def cost_section(run: Run, out: Path) -> Section:
    """Return time and energy of every method: linear layers and everything, prefill and decode."""
    path, bases = out / "figures" / "energy.png", bases_of(run.results)
    draw_energy({result.label: result.costs for result in run.results}, run.w8a8.label, path)
    scopes: tuple[Scope, ...] = ("linear", "all")
    grids = [cost_grid([result.costs[phase] for result in run.results], [base.costs[phase] for base in bases], scope,
                       labels_of_ours(run.results)) for scope in scopes for phase in PHASES]
    text = ("All ratios are on the same MAC, library and voltage. With every weight zero, "
            f"{run.results[0].label} would still cost {run.facts['zero_floor']:.2f} of its on-chip energy (prefill, "
            "linear layers): no codebook goes below that.",)
    points = tuple(f"{result.label}: the sparse engine, not the array, sets the time of {count} layers"
                   for result in run.results if (count := sparse_bound(result)))
    return Section("Time and energy", text, points, grids=tuple(grids),
                   pictures=(Picture(path, "Energy of the linear layers by part, DRAM included."),))


def sparse_bound(result: MethodResult) -> int:
    """Return the linear layers whose time the sparse engine sets (prefill)."""
    return sum(0 < row.sparse_s == row.compute_s for row in result.costs["prefill"].rows)


def switch_section(run: Run) -> Section:
    """Return how often the clock changes and what that costs."""
    rows = []
    for result in run.results:
        plan, total = result.plan, result.costs["prefill"].total()
        change = next(row for row in result.costs["prefill"].rows if row.kind == "switch")
        loads = ", ".join(f"{item.name} {plan.n_loads(item.name)}" for item in plan.classes if plan.n_loads(item.name))
        rows.append((result.label, loads, str(plan.n_switches), str(len(plan.switches_of("all"))),
                     f"{1e6 * change.compute_s:.2f}", f"{100 * change.compute_s / total.compute_s:.2f} %"))
    columns = ("method", "loads per class", "changes per pass", "with attention and head", "µs per pass",
               "of prefill time")
    plan = run.results[0].plan
    text = ("Changes are made where they pay, at the least cost of the whole pass: at least K - 1 per dependent stage "
            "for K classes that are kept apart, again for each decoded token; where two wavefronts meet the slower "
            "clock runs until the old one has left, or the array drains. The paper's 2 to 3 per inference is not "
            "attainable: layers depend on each other, and loads reorder only within a matrix or among those with one "
            "input.",
            f"Voltage: {plan.frequency_only or 'chosen for each class, layer and phase'}.")
    return Section("Clock changes", text, grids=(Grid(columns, tuple(rows), "", labels_of_ours(run.results)),))


def paper_section(run: Run) -> Section:
    """Return HALO's own figures beside ours."""
    rows = [(*row, "-", "-", "-") for row in PAPER_ROWS]
    found = {result.label: result for result in run.results}
    for at, row in enumerate(rows):
        result = found.get(f"halo-{row[0]}")
        if result is not None:
            ratio = compare(result.costs["prefill"], run.w8a8.costs["prefill"])
            quality = result.accuracy.quality
            rows[at] = (*row[:4], f"{ratio.speedup:.2f}x", f"{result.bits.total:.2f}",
                        f"{100 * quality.perplexity_change:+.2f} %")
    columns = ("", "HALO: point", "HALO: speed over W8A8", "HALO: perplexity", "here: speed over W8A8", "here: bits",
               "here: perplexity")
    return Section("HALO's own figures", (PAPER_NOTE,), grids=(Grid(columns, tuple(rows)),))


def provenance_section(run: Run) -> Section:
    """Return what every number rests on."""
    lines = list(dict.fromkeys(line for result in run.results for line in result.costs["prefill"].assumptions))
    lines += [f"not quantized: {name} ({reason})" for name, reason in run.facts["skipped"].items()]
    inputs = tuple((name, digest[:16]) for name, digest in run.facts["inputs"].items())
    tools = tuple((name, version) for name, version in run.facts["tools"].items())
    return Section("What this rests on", points=tuple(lines),
                   grids=(Grid(("input or tool", "digest or version"), inputs + tools),))
