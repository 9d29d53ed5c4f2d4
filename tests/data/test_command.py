"""Command lines that are shown to users are read back as what they say."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.command import spoken
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.onet_work import OnetWorkReader

WORDS = st.text(st.sampled_from("ab1 \\\"'$,;:[]{}=().\tя"), max_size=6)
# An option of the reader, one of another reader, none.
NAMES = ("activity_tasks", "hh", "../data/esco")
VALUES = st.one_of(WORDS, st.sampled_from(["null", "true", "1", "1e3", "inf", "NaN"]), st.none(), st.booleans())


@settings(max_examples=200, deadline=None)
@given(st.one_of(VALUES, st.integers(), st.lists(VALUES, max_size=3)))
def test_hydra_reads_a_value_back(value: Any) -> None:
    override = OverridesParser.create().parse_override(f"key={spoken(value)}")
    assert plain(override.value()) == value


def plain(value: Any) -> Any:
    """A parsed value without the marks of quotes."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return getattr(value, "text", value)


def test_every_option_that_is_not_the_default_is_said() -> None:
    reader = CsvReader(["my file.csv", "b.csv"], delimiter=";", escape="\\")
    made = Preparation(reader, "data/prepared/mine", "mine", columns=Columns("Должность", lists=["Должность"]))
    words = shlex.split(made.command("prepare", 3, "replace=true"))
    assert words == [
        *("python", "-m", "hr_retrieval.prepare", "data=csv", "data.name=mine"),
        'data.reader.path=["my file.csv",b.csv]',
        'data.reader.delimiter=";"',
        'data.reader.escape="\\\\"',
        'data.columns.anchor="Должность"',
        'data.columns.lists=["Должность"]',
        "split_seed=3",
        "replace=true",
    ]
    there = Preparation(reader, str(Path("elsewhere") / "mine"), "mine", licence="CC0")
    assert {"data.folder=elsewhere/mine", "data.licence=CC0"} < set(shlex.split(there.command("train")))


@pytest.mark.parametrize("value", ["a b", "'", "$HOME", "a\\"])
def test_the_shell_passes_it_on(value: str) -> None:
    made = Preparation(CsvReader("a.csv"), "data/prepared/mine", "mine", columns=Columns(value))
    word = next(word for word in shlex.split(made.command("prepare")) if word.startswith("data.columns.anchor="))
    assert plain(OverridesParser.create().parse_override(word).value()) == value


def test_a_data_set_named_as_an_option_of_its_reader_is_that_option() -> None:
    columns = Columns("activity", "task")
    made = [Preparation(OnetWorkReader("tasks"), f"data/prepared/{name}", name, columns=columns) for name in NAMES]
    said = [next(word for word in shlex.split(one.command("train")) if word.startswith("data=")) for one in made]
    assert said == ["data=activity_tasks", "data=onet_work", "data=onet_work"]
