"""Pages: whatever stands in a text stays text, and nothing is fetched."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.pages.chart import curve
from hr_retrieval.pages.page import charts, document, paragraphs, table, verdict

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title>", "&lt;b&gt;", "повар & cook")


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_stands_in_a_text_stays_text(text: str) -> None:
    rows = [("name", text), (text, text)]
    html = document(text, [verdict(text), paragraphs([text]), table(rows, text=("name",), links=True)])
    page = Parsed(html)
    assert page.text.count(text) == 7
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "p", "div", "table", "tr", "th", "td", "a")
    }
    assert [attributes["href"] for tag, attributes in page.tags if tag == "a"] == [text]


def test_the_only_scripts_are_the_two_that_carry_the_word_of_the_policy() -> None:
    figures = [curve("</script><script>alert(1)</script>", "step", [(1.0, 0.5), (2.0, 0.6)])]
    html = document("two", [charts(figures)], figures)
    page = Parsed(html)
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    word = re.search(r"script-src 'nonce-([\w-]+)'$", policy or "")
    assert word is not None
    assert (policy or "").startswith("default-src 'none';")
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert scripts == [{"nonce": word[1]}] * 2
    assert not [a for _, a in page.tags if "src" in a]
    assert ("div", {"id": "chart-0"}) in page.tags
    assert document("two", []) != document("three", [])
    assert "<script" not in document("without charts", [])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.text(max_size=5), min_size=2, max_size=2), min_size=1, max_size=4))
def test_a_table_has_its_cells_in_their_order(rows: list[list[str]]) -> None:
    page = Parsed(table([tuple(row) for row in rows]))
    assert sum(tag in ("td", "th") for tag, _ in page.tags) == 2 * len(rows)
    cells = "".join(cell for row in rows for cell in row)
    assert page.text == cells.replace(" ± ", "\xa0±\xa0")


def test_the_best_row_is_in_bold_and_a_figure_keeps_its_spread() -> None:
    html = table([("group", "mrr"), ("none", ".5 ± .1"), ("anchor", ".6 ± .1")], best="anchor")
    assert re.findall(r'<tr class="best"><td>(\w+)</td>', html) == ["anchor"]
    assert html.count("&nbsp;±&nbsp;") == 2
