"""Command lines that are shown to users are read back as what they say."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.config.overrides import quoted, spoken
from hr_retrieval.config.overrides import word as written
from hr_retrieval.data.command import recorded, recorded_only, unrecorded
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.onet_work import OnetWorkReader
from hr_retrieval.program import called

WORDS = st.text(st.sampled_from("ab1 \\\"'$,;:[]{}=().\tя"), max_size=6)
# An option of the reader, one of another reader, none.
NAMES = ("activity_tasks", "hh", "../data/esco")
VALUES = st.one_of(WORDS, st.sampled_from(["null", "true", "1", ".1", "1e3", "inf", "NaN"]), st.none(), st.booleans())


@settings(max_examples=200, deadline=None)
@given(st.one_of(VALUES, st.integers(), st.lists(VALUES, max_size=3)))
def test_hydra_reads_a_value_back(value: Any) -> None:
    override = OverridesParser.create().parse_override(f"key={spoken(value)}")
    assert plain(override.value()) == value


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_a_word_is_read_back_by_the_command_line_that_quotes_it(value: Any) -> None:
    override = OverridesParser.create().parse_override(quoted(written("key", value)))
    assert not override.is_sweep_override()
    assert plain(override.value()) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Название вакансии", "key=Название вакансии"),
        ("Опыт, лет", 'key="Опыт, лет"'),
        (";", "key=;"),
        ("1", 'key="1"'),
    ],
)
def test_a_word_has_quotes_of_its_own_only_where_they_are_needed(value: str, expected: str) -> None:
    assert written("key", value) == expected


def test_a_prepared_folder_knows_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("вакансии.csv").write_text("Должность;text\n" + "".join(f"cook {n};cook at place {n}\n" for n in range(40)))
    made = Preparation(
        CsvReader("вакансии.csv", delimiter=";"), "data/prepared/мои", "мои", columns=Columns("Должность", "text")
    )
    made.run(seed=3)
    assert recorded(["seed=2", "data.folder=data/prepared/мои", "model=tiny"]) == [
        *("data=csv", "data.name=мои", "data.reader.path=вакансии.csv", "data.reader.delimiter=;"),
        *("data.columns.anchor=Должность", "data.columns.positive=text", "split_seed=3"),
        *("seed=2", "data.folder=data/prepared/мои", "model=tiny"),
    ]
    assert recorded(["-m", "data.folder=data/prepared/мои"])[:2] == ["-m", "data=csv"]
    for typed in (["seed=2", "data.folder=data/prepared/мои", "model=tiny"], ["data=csv", "data.name=a"], []):
        assert unrecorded(recorded(typed)) == typed
    for more in ("data=esco", "resume=run"):
        assert recorded([more, "data.folder=data/prepared/мои"]) == [more, "data.folder=data/prepared/мои"]
    assert recorded(["data.folder=nowhere"]) == ["data.folder=nowhere"]


def test_a_mistyped_folder_is_no_place_for_the_default_source(toy_dataset: Path) -> None:
    with pytest.raises(
        UserError, match=r"nowhere, which is none.*Check the path; or prepare it: .* data.folder=nowhere"
    ):
        recorded_only(["-m", "data.folder=nowhere", "seed=1,2"])
    for said in (["data=esco"], ["experiment=quickstart"], ["data.max_rows=9"], ["resume=run"]):
        assert recorded_only([*said, "data.folder=nowhere"]) == [*said, "data.folder=nowhere"]
    for rest in ([], [f"data.folder={toy_dataset}"]):
        assert recorded_only(rest) == recorded(rest)


def test_a_folder_made_by_hand_is_named_by_itself(toy_dataset: Path) -> None:
    assert recorded([f"data.folder={toy_dataset}"]) == [
        *("data.name=toy", "data.licence=unknown", "data.source=null", f"data.folder={toy_dataset}")
    ]


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
        *(*called("prepare").split(), "data=csv", "data.name=mine"),
        'data.reader.path=["my file.csv",b.csv]',
        "data.reader.delimiter=;",
        "data.reader.escape=\\",
        "data.columns.anchor=Должность",
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
    assert plain(OverridesParser.create().parse_override(quoted(word)).value()) == value


def test_a_data_set_named_as_an_option_of_its_reader_is_that_option() -> None:
    columns = Columns("activity", "task")
    made = [Preparation(OnetWorkReader("tasks"), f"data/prepared/{name}", name, columns=columns) for name in NAMES]
    said = [next(word for word in shlex.split(one.command("train")) if word.startswith("data=")) for one in made]
    assert said == ["data=activity_tasks", "data=onet_work", "data=onet_work"]
