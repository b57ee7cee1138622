"""comparison_sections(), paper_section(): what `halo compare` wrote, and HALO's own figures beside ours."""

from __future__ import annotations

from halo.cost import compare
from halo.page import Grid, Section, load_sections
from halo.report.run import Run

PAPER_ROWS = (("all 256 values", "1.0 V, 1.9 GHz", "-", "-"), ("16 values", "1.1 V, 2.4 GHz", "-", "-"),
              ("9 values", "1.2 V, 3.7 GHz", "-", "-"), ("acc-opt", "-", "1.29x", "+0.47 (3.88 bits)"),
              ("bal", "-", "1.51x", "+0.54 (3.75 bits)"), ("perf-opt", "-", "1.87x", "+0.90 (3.03 bits)"))
PAPER_NOTE = ("HALO's own figures (arXiv 2502.19662): 22 nm systolic points, speed over W8A8, perplexity of "
              "LLaMA-2-7B over FP16, tiles of 128. Part of that speed is a raised voltage, at about 2 % more energy "
              "than W8A8; its headlines, 270 % and 51 %, are against FP16.")


def comparison_sections(run: Run) -> tuple[Section, ...]:
    """Return the tables that `halo compare` left in the run's folder, one section per MAC."""
    found = []
    for name, source in run.files.items():
        if name.endswith("compare.json"):
            title, lead, sections = load_sections(run.out / name)
            grids = tuple(grid for section in sections for grid in section.grids)
            found.append(Section(f"{title}, as compared", (lead,), grids=grids, sources=(source,)))
    return tuple(found)


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
    return Section("HALO's own figures", (PAPER_NOTE,), grids=(Grid(columns, tuple(rows)),),
                   sources=run.sources("cost-prefill.json", "accuracy.json"))
