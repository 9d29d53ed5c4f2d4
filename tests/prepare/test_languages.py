"""Languages of texts: stated by a column, found among some, and what is no language."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.languages import LanguageFinder
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader

TITLES = {
    "ru": ["повар горячего цеха", "ВОДИТЕЛЬ ПОГРУЗЧИКА", "бухгалтер", "медицинская сестра"],
    "en": ["head chef of a hotel", "FORKLIFT DRIVER", "accountant for payroll", "registered nurse"],
    "de": ["Leiter der Küche", "Fahrer für Gabelstapler", "Buchhalter für Löhne", "Pflegefachkraft im Krankenhaus"],
}


def prepare(folder: Path, rows: list[dict[str, Any]], columns: Columns, **options: Any) -> PreparedDataset:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shares = {"validation_share": 0.0, "test_share": 0.0}
    reader = JsonLinesReader(str(folder / "rows.jsonl"))
    return Preparation(reader, str(folder / "made"), "made", columns=columns, **shares, **options).run()


def languages(data: PreparedDataset, table: str) -> dict[str, str | None]:
    rows = pq.read_table(data.folder / f"{table}.parquet").to_pylist()
    return {row["text"]: row["language"] for row in rows}


def test_languages_are_told_apart_among_those_that_are_named() -> None:
    find = LanguageFinder(["ru", "en", "de"])
    assert {code: find(titles) for code, titles in TITLES.items()} == {code: [code] * 4 for code in TITLES}


def test_a_column_states_them_and_the_rest_is_found(tmp_path: Path) -> None:
    rows = [
        {"a": "повар", "p": "готовит обед", "l": None},
        {"a": "nurse", "p": "cares for patients", "l": None},
        {"a": "cook", "p": "cooks in a kitchen", "l": "EN-gb"},
        {"a": "judge", "p": "court", "l": "what language is this"},
    ]
    data = prepare(tmp_path, rows, Columns("a", "p", language="l"), languages=["ru", "en"])
    assert languages(data, "queries") == {"повар": "ru", "nurse": "en", "cook": "en-gb"}
    assert languages(data, "corpus") == {
        "готовит обед": "ru",
        "cares for patients": "en",
        "cooks in a kitchen": "en-gb",
    }
    assert data.info["counts"]["rejected"] == {"l: no tag of a language": 1}
    assert data.languages_at("queries", np.array([2, 0])) == ["en-gb", "ru"]


def test_without_either_the_script_is_all_that_is_known(tmp_path: Path) -> None:
    data = prepare(tmp_path, [{"a": "повар", "p": "x"}, {"a": "cook", "p": "y"}], Columns("a", "p"))
    assert set(languages(data, "queries").values()) == {None}
    assert data.languages_at("queries", np.array([0, 1])) == ["Cyrillic", "Latin"]
    # By hand the column may be left out.
    table = pq.read_table(data.folder / "queries.parquet").drop_columns(["language"])
    pq.write_table(table, data.folder / "queries.parquet")
    assert PreparedDataset.open(data.folder).languages_at("queries", np.array([0, 1])) == ["Cyrillic", "Latin"]


@pytest.mark.parametrize(
    ("codes", "message"), [(["ru"], "at least two codes"), ("ru", "at least two"), (["ru", "xx"], "'xx'")]
)
def test_other_codes_are_errors(codes: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        LanguageFinder(codes)
