"""What one source would show of another's measured queries: found as a naive search finds it, left out or refused."""

import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.text import normalise
from tests.conftest import write_toy_dataset
from tests.data.test_joined import drawn, write


def naive(module: RetrievalDataModule, shared_groups: bool = True) -> dict[str, set[tuple[int, int]]]:
    """Training pairs of each source that share a text or a group with a measured query of another one."""
    found: dict[str, set[tuple[int, int]]] = {}
    tables = {}
    for source in module.sources:
        data = source.dataset
        queries = [normalise(text) for block in data.texts("queries") for text in block]
        documents = [normalise(text) for block in data.texts("corpus") for text in block]

        groups = pq.read_table(data.folder / "queries.parquet")["group_id"].to_pylist()
        tables[source.name] = queries, documents, groups
    for source in module.sources:
        data, (queries, documents, groups) = source.dataset, tables[source.name]
        for other in module.sources:
            if other is source:
                continue
            measured = np.flatnonzero(other.dataset.query_split != SPLITS["train"]).tolist()
            texts = {tables[other.name][0][row] for row in measured}
            taken = {tables[other.name][2][row] for row in measured} - {None}
            for query in np.flatnonzero(data.query_split == SPLITS["train"]).tolist():
                for document in data.positive_documents[
                    data.positive_offsets[query] : data.positive_offsets[query + 1]
                ]:
                    shown = queries[query] in texts or documents[document] in texts
                    if queries[query] != documents[document] and (shown or (shared_groups and groups[query] in taken)):
                        found.setdefault(source.name, set()).add((query, int(document)))
    return found


def trained(module: RetrievalDataModule) -> dict[str, set[tuple[int, int]]]:
    module.prepare_data()
    module.setup("fit")
    pairs = {}
    for source, own in zip(module.sources, module.pairs, strict=True):
        queries, documents = own._pair(np.arange(len(own)))
        pairs[source.name] = set(zip(queries.tolist(), documents.tolist(), strict=True))
    return pairs


@pytest.mark.parametrize("seed", [4, 5, 7, 8])
@pytest.mark.parametrize("shared_groups", [True, False])
def test_what_is_left_out_is_what_a_naive_search_finds(
    tmp_path: Path, tiny_encoder: Encoder, seed: int, shared_groups: bool
) -> None:
    random = np.random.default_rng(seed)
    folders = [write(tmp_path / mark, drawn(random, mark)).folder for mark in "ab"]
    module = RetrievalDataModule(folders, tiny_encoder, batch_size=1, shared_groups=shared_groups)
    expected = naive(module, shared_groups)
    for leak in module.leaks:
        assert len(leak.places) == leak.by_text + leak.by_group
    left = trained(module)
    for source in module.sources:
        everything = trained(RetrievalDataModule(source.dataset.folder, tiny_encoder, batch_size=1))[source.name]
        assert everything - left[source.name] == expected.get(source.name, set())


def test_a_leak_is_said_and_kept_or_refused(
    tmp_path: Path, tiny_encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    # The same texts and groups in both; of the second, the splits are turned round.
    folders = [write_toy_dataset(tmp_path / "a"), write_toy_dataset(tmp_path / "b", 50)]

    path = folders[1] / "queries.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("split")
    turned = ["test" if number < 20 else split for number, split in enumerate(table["split"].to_pylist())]
    pq.write_table(table.set_column(at, table.schema.field(at), [turned]), path)
    with caplog.at_level(logging.WARNING):
        module = RetrievalDataModule(folders, tiny_encoder, batch_size=8)
    (leak,) = module.leaks
    assert (leak.source, leak.other) == ("a", "b")
    said = str(leak)
    assert "training pairs of a show a validation or test query of b" in said
    assert any(said in record.message for record in caplog.records)
    assert len(leak.places) == 16
    with pytest.raises(UserError, match="of which none shows in training") as raised:
        RetrievalDataModule(folders, tiny_encoder, batch_size=8, overlap="refuse")
    assert said in str(raised.value)
    with pytest.raises(UserError, match="overlap to be drop or refuse"):
        RetrievalDataModule(folders, tiny_encoder, batch_size=8, overlap="keep")


def test_sources_that_share_nothing_leave_nothing_out(tmp_path: Path, tiny_encoder: Encoder) -> None:
    folders = [write_toy_dataset(tmp_path / "a"), write_toy_dataset(tmp_path / "b", mark="x")]
    assert RetrievalDataModule(folders, tiny_encoder, batch_size=8, overlap="refuse").leaks == []
