"""Tables in Markdown: what is in a cell stays in it."""

from hypothesis import given
from hypothesis import strategies as st

from hr_retrieval.markdown import markdown_table


def test_texts_stand_to_the_left_and_figures_to_the_right() -> None:
    rows = [["group", "mrr"], ["a<b>|c", "0.5 ± 0.1"]]
    assert markdown_table(rows) == "| group | mrr |\n| --- | ---: |\n| a<b>\\|c | 0.5 ± 0.1 |"
    assert markdown_table(rows, text=()).splitlines()[1] == "| ---: | ---: |"
    assert markdown_table(rows, text=range(2)).splitlines()[1] == "| --- | --- |"


@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(st.text(), min_size=width, max_size=width), min_size=1))
)
def test_no_cell_breaks_its_line_or_its_column(rows: list[list[str]]) -> None:
    lines = markdown_table(rows).split("\n")
    assert len(lines) == len(rows) + 1
    for line in lines:
        assert line.replace("\\|", "").count("|") == len(rows[0]) + 1
