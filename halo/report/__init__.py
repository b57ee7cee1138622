"""render(): the report of a run, from its saved artifacts alone: what was gained, what was not, on what it rests."""

from __future__ import annotations

from pathlib import Path

from characterization.artifact import write_text
from halo.page import FIGURES, Section, charts_of, to_html, to_markdown
from halo.page.vega import to_svg, to_vega
from halo.report.accuracy import accuracy_section
from halo.report.beside import comparison_sections, paper_section
from halo.report.cost import cost_section, waterfall_section
from halo.report.headline import gained_section, headline
from halo.report.mac import codebook_section, mac_section
from halo.report.proof import load_proofs, proof_section
from halo.report.provenance import assumption_section, provenance_section
from halo.report.run import Run, load_whole
from halo.report.schedule import plan_section, tile_section

TITLE = "HALO on a measured MAC"


def render(out: Path) -> Path:
    """Write report.html, its Markdown twin and the pictures of that into `out`, and return the page's path.

    Raises:
        OutputError: a result is missing or damaged.
        ArtifactError: the profile or a proof cannot be read.
    """
    run = load_whole(out)
    sections, lead = sections_of(run), lead_line(run)
    for chart in charts_of(sections):
        svg = to_svg(to_vega({**chart.spec, "background": "white"}), chart.name)
        write_text(out / FIGURES / f"{chart.name}.svg", svg)
    write_text(out / "report.md", to_markdown(TITLE, lead, sections, out))
    write_text(out / "report.html", to_html(TITLE, lead, sections))
    return out / "report.html"


def sections_of(run: Run) -> tuple[Section, ...]:
    """Return the report's sections, the most wanted first."""
    proofs = load_proofs(run)
    return (headline(run, proofs), gained_section(run), mac_section(run), codebook_section(run), accuracy_section(run),
            cost_section(run), waterfall_section(run), *comparison_sections(run), tile_section(run), plan_section(run),
            proof_section(run, proofs), paper_section(run), assumption_section(run), provenance_section(run))


def lead_line(run: Run) -> str:
    """Return one line that says what was run on what."""
    head, plan = run.profile.head, run.results[0].plan
    work = run.facts["config"]["workload"]
    return (f"{run.facts['n_parameters'] / 1e6:.1f} M parameters on a {plan.rows} x {plan.cols} array of {head.design} "
            f"({head.library}, {plan.all_values.voltage_v:g} V); prompt of {work['prompt_tokens']} tokens, batch "
            f"{work['batch']}, context {work['context']}. Periods rest on {plan.all_values.basis}.")
