"""Documents made of parts of a list: how many, of what, the same for any workers and restart, and new at each draw."""

from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.parts import Parts, text_table
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from tests.data.test_datamodule import same

SKILLS = ("cut steel", "читать чертежи", "weld", "bend", "drill", "paint", "measure", "lift", "plan", "teach")


def test_a_document_is_some_of_its_parts_once_each_in_any_order() -> None:
    texts = ["; ".join(SKILLS), "weld; bend", "weld"]
    drawn = [Parts("; ", 3, 5).drawn(texts, np.array([4, 7, 9]), number, 1) for number in range(200)]
    whole = [one[0].split("; ") for one in drawn]
    assert {len(parts) for parts in whole} == {3, 4, 5}
    assert all(len(set(parts)) == len(parts) and set(parts) <= set(SKILLS) for parts in whole)
    assert {part for parts in whole for part in parts} == set(SKILLS)
    assert {one[1] for one in drawn} == {"weld; bend", "bend; weld"}
    assert {one[2] for one in drawn} == {"weld"}
    # Each first with like frequency: no place of the list is favoured.
    first = [parts[0] for parts in whole]
    assert all(5 <= first.count(skill) <= 40 for skill in SKILLS)


def test_what_is_drawn_follows_from_seed_number_and_row_alone() -> None:
    parts, texts, rows = Parts("; ", 3, 5), ["; ".join(SKILLS)] * 3, np.array([4, 7, 9])
    together = parts.drawn(texts, rows, 8, 1)
    assert together == [*parts.drawn(texts[:1], rows[:1], 8, 1), *parts.drawn(texts[1:], rows[1:], 8, 1)]
    others = [parts.drawn(texts, rows, 9, 1), parts.drawn(texts, rows, 8, 2), parts.drawn(texts, rows + 1, 8, 1)]
    assert all(other != together for other in others)


def test_the_table_of_texts_gives_back_any_of_them(tmp_path: Path) -> None:
    blocks = [["weld", ""], ["читать чертежи", "🚀 ok"]]
    table = text_table(tmp_path / "texts", iter(blocks))
    assert table.take(np.array([2, 0, 3, 1])) == ["читать чертежи", "weld", "🚀 ok", ""]
    again = text_table(tmp_path / "texts", iter([["other"]]))
    assert again.take(np.array([0])) == ["weld"]


@pytest.fixture
def listed(toy_dataset: Path) -> Path:
    """The toy data set, each of whose documents is a list of skills."""
    table = pq.read_table(toy_dataset / "corpus.parquet")
    at = table.column_names.index("text")
    texts = ["; ".join(f"{skill} {row}" for skill in SKILLS) for row in range(len(table))]
    pq.write_table(table.set_column(at, table.schema.field(at), [texts]), toy_dataset / "corpus.parquet")
    return toy_dataset


def make(folder: Path, encoder: Encoder, workers: int = 0, **options: object) -> RetrievalDataModule:
    sources = {
        folder.name: {"parts_at": "; ", "least_parts": 2, "most_parts": 3, "document_prefix": "skills: "} | options
    }
    module = RetrievalDataModule(folder, encoder, batch_size=8, workers=workers, sources=sources)
    module.prepare_data()
    module.setup("fit")
    return module


def drawn(module: RetrievalDataModule, count: int) -> list[Batch]:
    found: list[Batch] = []
    while len(found) < count:
        found += islice(module.train_dataloader(), count - len(found))
    return found


def test_batches_read_what_is_drawn_and_any_worker_and_restart_draw_the_same(
    listed: Path, tiny_encoder: Encoder
) -> None:
    module = make(listed, tiny_encoder)
    batches = drawn(module, 24)
    dataset, parts = module.sources[0].dataset, Parts("; ", 2, 3)
    for number, batch in enumerate(batches):
        rows = batch.document_rows.numpy()
        texts = parts.drawn(dataset.texts_at("corpus", rows), rows, number, module.seed)
        expected = tiny_encoder.tokenise([f"skills: {text}" for text in texts], "document")[0]
        assert batch.documents.ids.tolist() == expected.ids.tolist()
    assert same(batches, drawn(make(listed, tiny_encoder, workers=2), 24))
    first, resumed = make(listed, tiny_encoder, workers=2), make(listed, tiny_encoder)
    taken = drawn(first, 5)
    resumed.load_state_dict(first.state_dict())
    assert same([*taken, *drawn(resumed, 19)], batches)
    # A pair that comes again has another document.
    texts_of = {}
    for batch in batches:
        for row, document in zip(batch.document_rows.tolist(), range(len(batch.documents)), strict=True):
            ids = batch.documents.ids[batch.documents.offsets[document] : batch.documents.offsets[document + 1]]
            texts_of.setdefault(row, set()).add(tuple(ids.tolist()))
    assert max(len(views) for views in texts_of.values()) > 1
    # Validation reads texts whole.
    evaluated = [batch for batch in module.val_dataloader() if batch.kind == "document"]
    whole = [len(batch.tokens.ids) for batch in evaluated]
    assert sum(whole) > 12 * 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parts_at": ""}, "a sign as"),
        ({"least_parts": 0}, "least_parts of at least 1"),
        ({"most_parts": 1}, "no fewer"),
    ],
)
def test_parts_that_cannot_be_are_one_error(
    listed: Path, tiny_encoder: Encoder, options: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        make(listed, tiny_encoder, **options)
