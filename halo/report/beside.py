"""comparison_sections(), paper_section(): what `halo compare` wrote, and HALO's own figures beside ours."""

from __future__ import annotations

from halo.cost import compare
from halo.page import Chart, Grid, Section, load_sections
from halo.page.sections import anchor
from halo.report.cost import waterfall_chart
from halo.report.run import Run

PAPER_ROWS = (("all 256 values", "1.0 V, 1.9 GHz", "-", "-"), ("16 values", "1.1 V, 2.4 GHz", "-", "-"),
              ("9 values", "1.2 V, 3.7 GHz", "-", "-"), ("acc-opt", "-", "1.29x", "+0.47 (3.88 bits)"),
              ("bal", "-", "1.51x", "+0.54 (3.75 bits)"), ("perf-opt", "-", "1.87x", "+0.90 (3.03 bits)"))
PAPER_NOTE = ("HALO's own figures (arXiv 2502.19662): 22 nm systolic points, speed over W8A8, perplexity of "
              "LLaMA-2-7B over FP16, tiles of 128. Part of that speed is a raised voltage, at about 2 % more energy "
              "than W8A8; its headlines, 270 % and 51 %, are against FP16.")


def comparison_sections(run: Run) -> tuple[Section, ...]:
    """Return the tables that `halo compare` left in the run's folder, one section per MAC, its waterfalls drawn."""
    found = []
    for name, source in run.files.items():
        if name.endswith("compare.json"):
            title, lead, sections = load_sections(run.out / name)
            grids = tuple(grid for section in sections for grid in section.grids)
            charts = [steps_chart(f"compared-{anchor(name)}-{at}", grid) for at, grid in enumerate(grids)
                      if grid.columns[0] == "step" and len(grid.columns) > 1]
            text = tuple(line for section in sections for line in section.text)
            found.append(Section(f"{title}, as compared", (lead, *text), grids=grids, charts=tuple(charts),
                                 sources=(source,)))
    return tuple(found)


def steps_chart(name: str, grid: Grid) -> Chart:
    """Return the waterfalls of a table: a step a row, a method a column, shares as they are printed."""
    ends = (grid.rows[0], grid.rows[-1])
    made = {method: {row[0]: float(row[at]) for row in grid.rows if float(row[at]) or row in ends}
            for at, method in enumerate(grid.columns) if at}
    first = next((method for method in made if method.startswith("halo-")), grid.columns[1])
    return waterfall_chart(name, "the baseline", made, first)


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
