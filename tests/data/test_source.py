"""Sources by name: what a list of folders and their options become, and each mistake as one error before any work."""

from pathlib import Path
from typing import Any

import pytest

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.source import mean_of
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from tests.conftest import write_toy_dataset


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [write_toy_dataset(tmp_path / "a"), write_toy_dataset(tmp_path / "b", 30, mark="x")]


def test_sources_are_named_by_their_folders_and_share_by_weights(two: list[Path], tiny_encoder: Encoder) -> None:
    module = RetrievalDataModule(two, tiny_encoder, batch_size=8, sources={"b": {"weight": 3}})
    assert [(source.name, source.share) for source in module.sources] == [("a", 0.25), ("b", 0.75)]
    assert [source.first_query for source in module.sources] == [0, 120]
    prints = [
        RetrievalDataModule(folders, tiny_encoder, batch_size=8).fingerprint for folders in (two, two[::-1], two[0])
    ]
    assert len(set(prints)) == 3
    assert prints[2] == module.sources[0].dataset.fingerprint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"a": {"weight": -1}}, "weights of sources of at least 0"),
        ({"a": {"weight": 0}, "b": {"weight": 0}}, "one above 0"),
        ({"a": {"weight": "much"}}, "weights of sources"),
        ({"a": {"query_prefix": 3}}, "a text as datamodule.sources.a.query_prefix"),
        ({"c": {}}, "datamodule.sources of a, b"),
        ({"a": {"wieght": 1}}, "datamodule.sources.a with weight, query_prefix"),
        ({"a": {"query_template": "a job title"}}, "in it, once"),
        ({"a": {"query_template": "{text}", "query_prefix": "q"}}, "both"),
    ],
)
def test_each_mistake_in_the_options_is_one_error(
    two: list[Path], tiny_encoder: Encoder, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        RetrievalDataModule(two, tiny_encoder, batch_size=8, sources=options)


def test_two_sources_of_one_name_a_missing_file_and_too_few_pairs_are_named(
    two: list[Path], tmp_path: Path, tiny_encoder: Encoder
) -> None:
    again = write_toy_dataset(tmp_path / "other" / "a", mark="y")
    with pytest.raises(UserError, match="different names") as raised:
        RetrievalDataModule([*two, again], tiny_encoder, batch_size=8)
    assert str(again) in str(raised.value)
    with pytest.raises(UserError, match="48 training pairs of b"):
        RetrievalDataModule(two, tiny_encoder, batch_size=49)
    (two[1] / "qrels.parquet").unlink()
    with pytest.raises(UserError, match=r"b/qrels\.parquet"):
        RetrievalDataModule(two, tiny_encoder, batch_size=8)


def test_the_mean_is_by_shares_and_counts_are_summed(two: list[Path], tiny_encoder: Encoder) -> None:
    sources = RetrievalDataModule(two, tiny_encoder, batch_size=8, sources={"b": {"weight": 3}}).sources
    figures = [{"mrr": 0.4, "excluded": 2.0}, {"mrr": 0.8, "excluded": 1.0}]
    assert mean_of(sources, figures) == {
        "mrr": pytest.approx(0.7), "excluded": 3.0, "a/mrr": 0.4, "a/excluded": 2.0, "b/mrr": 0.8, "b/excluded": 1.0,
    }  # fmt: skip
    alone = RetrievalDataModule(two[0], tiny_encoder, batch_size=8).sources
    assert mean_of(alone, figures[:1]) == figures[0]
