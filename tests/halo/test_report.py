import json
import re
import shutil
import subprocess
import tomllib
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from characterization.artifact import digest_file
from characterization.errors import ArtifactError
from characterization.profile_file import load_profile, save_profile
from characterization.proof_file import (
    ClassRecord,
    EnergyRecord,
    OutsideRecord,
    ProofRecord,
    ReplayRecord,
    RunRecord,
    save_proof,
)
from halo.config import build_config
from halo.errors import OutputError
from halo.page import Grid, Section, load_sections, save_sections
from halo.report import render
from halo.results import load_results
from tests.halo.synthetic import SIGN_OFF, synthetic_profile

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CHROMIUM = shutil.which("chromium")


class Tables(HTMLParser):
    """The cells of all tables of a page, what it would fetch, and its charts, all without its scripts."""

    def __init__(self):
        super().__init__()
        self.tables, self.fetched, self.charts, self.svgs, self.inside = [], [], [], 0, None

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.fetched += [found[name] for name in ("src", "href", "xlink:href", "data", "poster") if found.get(name)]
        self.svgs += tag == "svg"
        if "data-chart" in found:
            self.charts.append(found["data-chart"])
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"th", "td"}:
            self.tables[-1][-1].append("")
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside in {"th", "td"}:
            self.tables[-1][-1][-1] += data


def read_page(text):
    found = Tables()
    found.feed(re.sub(r"<script.*?</script>", "", text, flags=re.S))
    return found


def read_markdown(text):
    """The cells of all tables of a Markdown text."""
    tables, last = [], False
    for line in text.splitlines():
        now = line.startswith("| ")
        if now and not last:
            tables.append([])
        if now and not line.startswith("| --- "):
            tables[-1].append([cell.strip().removeprefix("**").removesuffix("**") for cell in line[2:-2].split(" | ")])
        last = now
    return tables


def outcome(period_ps, mismatches):
    return RunRecord(period_ps, 20_000, 80_000, mismatches, mismatches, 5000.25)


def proof_of(folder, profile, *, holds=True):
    """A made-up proof of the plan in `folder`."""
    one = ClassRecord("fast9", "ss_n40C_1v70", 1.8, 5100.0, ("q in 0 out 0",), ((8, 5100.0, 5000.25),),
                      outcome(5400.0, 0), outcome(4999.25, 7), 5000.25, OutsideRecord(-1, 5300.0, outcome(5100.0, 3)),
                      EnergyRecord(1000.0, 1010.0, 1200.0, 300.0, 400.0, 50.0, 60.0), ReplayRecord(241, 9000, 0), holds)
    config = {"rows": 4, "columns": 4, "tiles": 1, "cycles": 20_000, "seed": 1}
    return ProofRecord("halo-bal", "systolic_pe", profile.digest, "0" * 64, digest_file(folder / "vectors.nc"), config,
                       (one,))


@pytest.fixture(scope="module")
def reported(finished, tmp_path_factory):
    """The small run's folder with two proofs and a comparison, and its report."""
    root, config, _, _ = finished
    out = tmp_path_factory.mktemp("report") / "out"
    shutil.copytree(config.out, out, ignore=shutil.ignore_patterns("work", "compare"))
    profile = load_profile(root / "mac.nc")
    save_proof(proof_of(out / "results" / "halo-bal", profile), out / "results" / "halo-bal" / "proof.json")
    other = synthetic_profile(corners=SIGN_OFF, certified=0.8)
    save_proof(proof_of(out / "results" / "rtn-w8a8", other), out / "results" / "rtn-w8a8" / "proof.json")
    steps = Grid(("step", "halo-bal"), (("baseline", "+1.0000"), ("result", "+0.7310")), "adds up")
    save_sections("Methods on a MAC", "at 1.8 V", [Section("Where", grids=(steps,))], out / "compare/mac/compare.json")
    render(out)
    return out


def test_html_and_markdown_hold_the_same_tables_and_no_script_is_needed_for_them(reported):
    page, text = (reported / "report.html").read_text(), (reported / "report.md").read_text()
    shown, written = read_page(page), read_markdown(text)
    assert [table for table in shown.tables if table] == written
    assert len(written) > 20
    assert shown.svgs == len(shown.charts) == len(set(shown.charts)) > 10
    for chart in shown.charts:
        assert f"](figures/{chart}.svg)" in text
        assert (reported / "figures" / f"{chart}.svg").read_text().startswith("<svg")


def test_the_page_names_nothing_outside_itself(reported):
    page = (reported / "report.html").read_text()
    assert all(link.startswith(("#", "data:")) for link in read_page(page).fetched)
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", re.sub(r"<script.*?</script>", "", page, flags=re.S))


def test_numbers_are_those_of_the_artifacts(reported, finished):
    tables = {tuple(table[0]): table[1:] for table in read_markdown((reported / "report.md").read_text())}
    results = load_results(reported, ["rtn-w8a8", "halo-w4-shifted", "halo-bal"])

    def column(first, name):
        (head, rows), = [(head, rows) for head, rows in tables.items() if first <= set(head)]
        return [row[head.index(name)] for row in rows]

    for result, kl in zip(results, column({"method", "prefill µs"}, "KL net"), strict=True):
        saved = json.loads((reported / "results" / result.label / "accuracy.json").read_text())
        assert kl == f"{saved['quality']['net_kl']['mean']:.5f}"
    profile = load_profile(finished[0] / "mac.nc")
    slow = [profile.corner_index(name) for name in ("ss_n40C_1v70", "ss_100C_1v70")]
    assert column({"weight", "in codebooks"}, "topological ps") == [
        f"{value:.2f}" for value in profile.topological_ps[slow].max(0)]
    assert column({"weight", "in codebooks"}, "energy fJ") == [f"{value:.1f}" for value in profile.energy_fj[
        profile.corner_index("tt_025C_1v80")]]
    head = next(head for head in tables if head[0] == "step" and "halo-w4-shifted" in head)
    for at in range(1, len(head)):
        *steps, last = [float(row[at]) for row in tables[head]]
        assert sum(steps) == pytest.approx(last, abs=1e-4 * len(steps))
        saved = [json.loads((reported / "results" / name / "cost-prefill.json").read_text())["totals"]["linear"]
                 for name in (head[at], "rtn-w8a8")]
        own, base = (sum(total["energy"].values()) for total in saved)
        assert last == pytest.approx(own / base, abs=1e-4)
    listed = dict(tables["file", "SHA-256"])
    assert listed["results/halo-bal/plan.json"] == digest_file(reported / "results/halo-bal/plan.json")
    assert len(listed) == 2 + 3 * 5 + 2 + 1


def test_every_section_with_numbers_names_its_files_and_their_digests(reported):
    text = (reported / "report.md").read_text()
    sections = re.split(r"^## ", text, flags=re.M)[1:]
    for section in sections:
        title = section.splitlines()[0]
        if title != "Provenance, and how to get the same":
            assert re.search(r"^Source: \S+.* \([0-9a-f]{12}\)", section, flags=re.M), title


def test_the_commands_make_the_run_of_the_same_configuration(reported, finished):
    text = (reported / "report.md").read_text()
    written = re.search(r"^cat > run.toml <<'END'\n(.*?)^END$", text, re.S | re.M)[1]
    assert build_config(tomllib.loads(written), "run.toml") == finished[1]


def test_a_proof_is_shown_where_it_is_of_this_plan_and_named_as_stale_where_not(reported):
    text = (reported / "report.md").read_text()
    assert "halo-bal, fast9 | ss_n40C_1v70 | 1.8 | 5400.0 | 20000 | 80000 | 0 | 5000.25" in text
    assert "- **0 wrong** results in 20000 cycles" in text
    assert "rtn-w8a8: proof.json is no proof of this plan and is left out: it was made on profile" in text


def test_the_timeline_and_the_tile_map_show_what_the_plan_and_the_model_hold(reported):
    page = (reported / "report.html").read_text()
    charts = json.loads(re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.S)[1])
    (plan,) = load_results(reported, ["halo-bal"])
    blocks = next(d["values"] for d in charts["timeline-clock"]["data"] if "values" in d)
    mine = [block for block in blocks if block["plan"] == "halo-bal, prefill"]
    segments = plan.plan.segments_of("prefill")
    changes = sum(switch.cost.time_s for switch in plan.plan.switches_of("all", "prefill"))
    assert {block["class"] for block in mine} == {segment.codebook for segment in segments}
    assert mine[-1]["end"] <= 1.0001e6 * (sum(segment.time_s for segment in segments) + changes)
    assert all(before["end"] <= after["start"] for before, after in pairwise(mine))
    tiles = next(d["values"] for d in charts["tiles"]["data"] if "values" in d)
    assert [len(item["tiles"]) % item["cols"] for item in tiles] == [0] * 14


def test_a_report_on_another_profile_or_a_damaged_proof_is_refused(reported, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(reported, out)
    facts = json.loads((out / "run.json").read_text())
    save_profile(synthetic_profile(corners=SIGN_OFF, certified=0.7), tmp_path / "other.nc")
    (out / "run.json").write_text(json.dumps(facts | {"profile": str(tmp_path / "other.nc")}))
    with pytest.raises(OutputError, match=r"other.nc is not the profile that rtn-w8a8, .* was planned on"):
        render(out)
    (out / "run.json").write_text(json.dumps(facts))
    (out / "results" / "halo-bal" / "proof.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"proof.json: not a readable proof"):
        render(out)


def test_saved_pages_come_back_the_same_and_damaged_ones_are_named(tmp_path):
    sections = (Section("s", ("text",), ("point",), (Grid(("a", "b"), (("x", "1"),), "c", frozenset({"x"}), "more"),)),)
    save_sections("title", "lead", sections, tmp_path / "page.json")
    assert load_sections(tmp_path / "page.json") == ("title", "lead", sections)
    for content, said in (("{}", "not a readable page"), ('{"schema": 9}', "schema 9, this program reads 1")):
        (tmp_path / "page.json").write_text(content)
        with pytest.raises(OutputError, match=said):
            load_sections(tmp_path / "page.json")


@pytest.mark.tool
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_browser_without_network_draws_every_chart_and_complains_of_nothing(reported, tmp_path):
    page = reported / "report.html"
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path}", "--enable-logging=stderr",
         "--virtual-time-budget=60000", "--dump-dom", page.resolve().as_uri()],
        capture_output=True, text=True, timeout=300, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    drawn, still = done.stdout, read_page(page.read_text())
    assert f'data-charts="{len(still.charts)}"' in drawn
    shown = read_page(drawn)
    assert shown.tables == still.tables
    assert drawn.count("<select") == 6
    assert shown.charts == still.charts
