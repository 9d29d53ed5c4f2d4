"""Pages: what is text stays text, and nothing is fetched."""

import re

from hr_retrieval.chart import Svg
from hr_retrieval.page import html_table, markdown_table, page, side_by_side

ROWS = [["group", "mrr"], ["a<b>|c", "0.5 ± 0.1 (0.3)"]]


def test_a_table_is_escaped_and_scrolls_by_itself() -> None:
    table = html_table(ROWS)
    assert '<td class="text">a&lt;b&gt;|c</td><td>0.5&nbsp;±&nbsp;0.1 (0.3)</td>' in table
    assert re.fullmatch(r'<div class="wide"><table>.*</table></div>', table)
    assert markdown_table(ROWS) == "| group | mrr |\n| --- | ---: |\n| a<b>\\|c | 0.5 ± 0.1 (0.3) |"


def test_a_page_is_whole_fits_a_telephone_and_has_two_colour_schemes() -> None:
    text = page("a & b", [side_by_side([Svg("<svg/>"), Svg("<svg/>")])])
    assert text.startswith("<!doctype html>")
    assert "<title>a &amp; b</title>" in text
    assert text.count("<div><svg/></div>") == 2
    assert '<meta name="viewport" content="width=device-width,initial-scale=1">' in text
    assert "color-scheme:light dark" in text
    assert not re.search(r"<script|<link|src=|href=|@import|url\(", text)
