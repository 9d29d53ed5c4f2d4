"""The split by dates: against a loop, and as a preparation draws it."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.data.crossings import crossings
from hr_retrieval.errors import UserError
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from hr_retrieval.prepare.split import TooFewGroupsError
from hr_retrieval.prepare.time_split import split_by_time

DATED = Columns("a", "p", date="d")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.floats(0, 0.4), st.floats(0, 0.4))
def test_the_latest_test_and_the_past_trains(dates: list[int], validation: float, test: float) -> None:
    splits, borders = split_by_time(np.array(dates), validation, test)
    for day, split in zip(dates, splits.tolist(), strict=True):
        expected = 0
        for number, name in ((1, "validation"), (2, "test")):
            if name in borders and day >= borders[name]:
                expected = number
        assert split == expected
    count = len(dates)
    for name, share in (("test", test), ("validation", validation + test)):
        later = sum(day >= borders[name] for day in dates) if name in borders else 0
        beyond = sum(day > borders[name] for day in dates) if name in borders else 0
        assert not later or beyond < max(round(share * count), 1) <= later


def preparation(folder: Path, rows: list[dict[str, Any]], columns: Columns = DATED, **options: Any) -> Preparation:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = JsonLinesReader(str(folder / "rows.jsonl"))
    shares = {"validation_share": 0.2, "test_share": 0.2, "split": "time"} | options
    return Preparation(reader, str(folder / "made"), "made", columns=columns, **shares)


def test_no_query_of_the_past_shows_a_later_one(tmp_path: Path) -> None:
    rows = [{"a": f"title {n}", "p": f"text {n}", "d": f"2026-01-{n + 1:02}"} for n in range(20)]
    # The document of the latest stands under an early title too; one title is early and late; two dates are none.
    rows += [
        {"a": "title 2", "p": "text 19", "d": "2026-01-03"},
        {"a": "title 5", "p": "text 55", "d": "2026-01-19"},
        {"a": "title 6", "p": "text 6", "d": "soon"},
        {"a": "title 7", "p": "text 7", "d": None},
    ]
    random.Random(1).shuffle(rows)
    own = preparation(tmp_path, rows)
    data = own.run()
    splits = {row["text"]: row["split"] for row in pq.read_table(data.folder / "queries.parquet").to_pylist()}
    # Title 5 is as late as its latest row; title 2 goes, for its document answers a query of the test.
    assert {title for title, split in splits.items() if split == "test"} == {f"title {n}" for n in (5, 17, 18, 19)}
    assert {title for title, split in splits.items() if split == "validation"} == {
        f"title {n}" for n in (13, 14, 15, 16)
    }
    assert "title 2" not in splits
    counts = data.info["counts"]
    assert (counts["repaired"], counts["leaks"]) == (1, 0)
    assert counts["rejected"] == {"d: no date as 2026-01-31 or 31.01.2026": 1, "d: missing": 1}
    assert data.info["split_rule"].endswith("validation from 2026-01-14, test from 2026-01-18 on")
    assert crossings(data) == []
    assert own.open_or_run().info == data.info


def test_dates_that_cannot_split(tmp_path: Path) -> None:
    alike = [{"a": f"title {n}", "p": f"text {n}", "d": "2026-01-01"} for n in range(20)]
    with pytest.raises(TooFewGroupsError, match="queries for train"):
        preparation(tmp_path, alike).run()
    tied = [{"a": f"title {n}", "p": "text" if n in (1, 19) else f"{n}", "d": f"2026-01-{n + 1:02}"} for n in range(20)]
    data = preparation(tmp_path, tied).run()
    assert data.info["counts"]["repaired"] == 1


@pytest.mark.parametrize(
    ("columns", "split"),
    [(Columns("a", "p"), "time"), (DATED, None), (Columns("a", "p", date="d", split="s"), "time"), (DATED, "random")],
)
def test_what_does_not_go_together(tmp_path: Path, columns: Columns, split: str | None) -> None:
    with pytest.raises(UserError, match=r"data\.split"):
        preparation(tmp_path, [], columns, split=split)
