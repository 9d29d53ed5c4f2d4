"""Quotes for values that Hydra's grammar refuses, and for no others."""

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.config.overrides import quoted

PARSER = OverridesParser.create()
# Whatever a value may hold but what begins a structure or parts it.
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=",\\[]{}()'\"$:"), min_size=1)


def read(argument: str) -> Any:
    """What Hydra makes of an argument; the values of a sweep in a tuple."""
    override = PARSER.parse_override(argument)
    if override.is_sweep_override():
        return tuple(map(plain, override.sweep_iterator()))
    return plain(override.value())


def plain(value: Any) -> Any:
    return value.text if isinstance(value, QuotedString) else [*map(plain, value)] if isinstance(value, list) else value


def accepted(argument: str) -> bool:
    try:
        PARSER.parse_override(argument)
    except HydraException:
        return False
    return True


@settings(deadline=None)
@given(st.text(st.sampled_from("ab1.,=[]{}()'\"\\ $:~+-/;жЯ№"), max_size=12))
def test_what_the_grammar_accepts_stays_and_nothing_is_made_worse(value: str) -> None:
    argument = f"key={value}"
    if accepted(argument):
        assert quoted(argument) == argument
    else:
        assert quoted(argument) == argument or accepted(quoted(argument))
    assert quoted(quoted(argument)) == quoted(argument)


@settings(deadline=None)
@given(PLAIN)
def test_a_plain_text_is_taken_as_it_is(value: str) -> None:
    argument = f"a.b={value}"
    if not accepted(argument):
        assert read(quoted(argument)) == value.strip()


@settings(deadline=None, max_examples=40)
@given(st.lists(PLAIN.map(str.strip).filter(bool), min_size=2, max_size=4))
def test_values_of_a_sweep_and_of_a_list_are_quoted_one_by_one(values: list[str]) -> None:
    listed = quoted(f"a=[{','.join(values)}]")
    # As texts: nan is not equal to itself.
    assert str(read(listed)) == str([read(quoted(f"a={one}")) for one in values])
    assert len(read(quoted(f"a={','.join(values)}"))) == len(values)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("data.columns.anchor=Должность", "Должность"),
        ("data.columns.anchor=Название вакансии", "Название вакансии"),
        ("data.reader.path=Вакансии (1, новые).csv", "Вакансии (1, новые).csv"),
        ("data.reader.path=разделы=все/x.csv", "разделы=все/x.csv"),
        ("data.reader.path=~/x.csv", "~/x.csv"),
        ("data.reader.delimiter=;", ";"),
        ("data.reader.delimiter=\\;", ";"),
        ("data.name=${data.folder} новые", "${data.folder} новые"),
        ("project=it's", "it's"),
        ('project=экран 24"', 'экран 24"'),
        ("project=Опыт\\, лет", "Опыт, лет"),
        ("+project=é", "é"),
        ("~project=é", "é"),
        ("data.columns.anchor=[Должность, title]", ["Должность", "title"]),
        ("data.columns.anchor=[[б,1],'в г']", [["б", 1], "в г"]),
        ("data.columns={anchor: Должность, positive: [текст]}", {"anchor": "Должность", "positive": ["текст"]}),
        ("project=Москва,Тверь 2", ("Москва", "Тверь 2")),
        ("project=choice(Москва,spb)", ("Москва", "spb")),
        ("project=sort(Тверь,Москва,reverse=true)", ("Тверь", "Москва")),
    ],
)
def test_what_people_write_means_what_it_says(argument: str, expected: Any) -> None:
    assert read(quoted(argument)) == expected


@pytest.mark.parametrize(
    "argument", ["a=[1,2", "a={ключ: 1}", "вакансии", "ключ=1", "--config-dir=ж", "-m", "a='ж", "a=[ж"]
)
def test_what_quotes_do_not_mend_stays(argument: str) -> None:
    assert quoted(argument) == argument or accepted(quoted(argument))


def test_a_structure_that_is_not_closed_is_left_to_the_grammar() -> None:
    assert quoted("a=[1,ж") == "a=[1,ж"
