from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from halo.page import Grid, Picture, Section, to_html, to_markdown

GRID = Grid(("method", "KL"), (("halo-bal", "0.1"), ("w8a8", "0.0")), "a caption", frozenset({"halo-bal"}))


class Collect(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)
        self.links += [value for key, value in attributes if key in {"src", "href"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    parser = Collect()
    parser.feed(page)
    assert parser.open == []
    return parser


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="`"), min_size=1))
def test_any_text_is_shown_as_itself_and_every_tag_is_closed(text):
    page = read(to_html("t", "lead", [Section("s", (text,), (text,), (Grid((text,), ((text,),)),))]))
    assert page.text.count(text) >= 4


def test_commands_in_a_text_are_code_and_keep_their_letters():
    page = to_html("t", "lead", [Section("s", ("run `halo report <DIR>` & look",))])
    assert "run <code>halo report &lt;DIR&gt;</code> &amp; look" in page
    assert "halo report <DIR>" in read(page).text


def test_pictures_are_inside_the_page(tmp_path):
    path = tmp_path / "figures" / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"\x89PNG picture")
    section = Section("s", pictures=(Picture(path, "what is shown"),))
    links = read(to_html("t", "l", [section])).links
    assert links
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert "![what is shown](figures/a.png)" in to_markdown("t", "l", [section], tmp_path)


def test_markdown_tables_have_one_cell_per_column_and_set_ours_off(tmp_path):
    lines = to_markdown("t", "l", [Section("s", grids=(GRID,))], tmp_path).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table} == {3}
    assert table[2].startswith("| **halo-bal** |")
    assert "*a caption*" in lines
