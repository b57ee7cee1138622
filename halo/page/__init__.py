"""Pages: sections of a report, and the same sections as Markdown and as one self-contained HTML page."""

from halo.page.html import to_html
from halo.page.markdown import FIGURES, to_markdown
from halo.page.saved import load_sections, save_sections
from halo.page.sections import Chart, Fact, Grid, Picture, Section, Source, charts_of

__all__ = ["FIGURES", "Chart", "Fact", "Grid", "Picture", "Section", "Source", "charts_of", "load_sections",
           "save_sections", "to_html", "to_markdown"]
