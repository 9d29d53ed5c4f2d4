"""Training pairs made wrong on purpose: how many, whose, what they weigh, and what stays as it was."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.corrupt import corrupt
from hr_retrieval.data.dataset import PreparedDataset
from tests.data.test_dataset import write

COUNT, TRAINING = 60, 50


@pytest.fixture
def data(tmp_path: Path) -> Path:
    numbers = range(COUNT)
    corpus = pd.DataFrame({"document_id": [f"d{n}" for n in numbers], "text": [f"job {n}" for n in numbers]})
    queries = pd.DataFrame({"query_id": [f"q{n}" for n in numbers], "text": [f"title {n}" for n in numbers]})
    queries["group_id"] = [f"g{n}" for n in numbers]
    queries["split"] = ["train" if n < TRAINING else ("validation", "test")[n % 2] for n in numbers]
    qrels = pd.DataFrame({"query_id": queries["query_id"], "document_id": corpus["document_id"], "relevance": 1})
    return write(tmp_path / "data", corpus, queries, qrels)


def _pairs(folder: Path) -> pd.DataFrame:
    PreparedDataset.open(folder)
    queries, qrels = (pd.read_parquet(folder / f"{table}.parquet") for table in ("queries", "qrels"))
    found = qrels.merge(queries, on="query_id").set_index("query_id")
    found["right"] = found.index.str[1:] == found["document_id"].str[1:]
    return found


def test_a_share_of_the_training_queries_gets_the_documents_and_group_of_another(data: Path, tmp_path: Path) -> None:
    corrupt(data, tmp_path / "noise", noise=0.3, weight=0.1, share=1.0, seed=1)
    found = _pairs(tmp_path / "noise")
    wrong = found[~found["right"]]
    assert len(found) == COUNT
    assert len(wrong) == 15
    assert set(wrong["split"]) == {"train"}
    assert found["document_id"].is_unique
    assert (found["group_id"].str[1:] == found["document_id"].str[1:]).all()
    assert wrong["weight"].to_list() == pytest.approx([0.1] * 15)
    assert found.loc[found["right"], "weight"].isna().all()
    assert (tmp_path / "noise" / "corpus.parquet").read_bytes() == (data / "corpus.parquet").read_bytes()


def test_a_share_is_kept(data: Path, tmp_path: Path) -> None:
    corrupt(data, tmp_path / "tenth", noise=0.0, weight=None, share=0.1, seed=1)
    found = _pairs(tmp_path / "tenth")
    assert (found["split"] == "train").sum() == 5
    assert (found["split"] != "train").sum() == COUNT - TRAINING
    assert found["right"].all()
    assert found["weight"].isna().all()
