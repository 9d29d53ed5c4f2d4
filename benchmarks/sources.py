"""Whether two sources train at the same pairs a second as one.

    python -m benchmarks.sources

The same made pairs as one prepared data set, and as two halves that take turns: a step is the
batch from the loader, both sides encoded by the built-in MiniLM, the smooth triplet loss, its
gradient and Adam. `ours` is two sources, `peer` one.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.interleave import comparison, interleave, table
from hr_retrieval.data.batch import Batch
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.tables import SCHEMAS
from hr_retrieval.encoder.builtin import BUILTIN
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.objective.similarity import cosine
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.train.memory import keep_freed_memory

_PAIRS, _BATCH, _STEPS = 8192, 64, 10


def main() -> None:
    """Print the table."""
    keep_freed_memory()
    encoder = Encoder(BUILTIN)
    with TemporaryDirectory() as folder:
        rows = np.arange(_PAIRS)
        one = [_written(Path(folder) / "whole", rows)]
        two = [_written(Path(folder) / name, half) for name, half in zip("ab", np.split(rows, 2), strict=True)]
        times = interleave({"two": _Steps(encoder, two), "one": _Steps(encoder, one)}, rounds=5)
    what = f"{_STEPS} steps of {_BATCH} pairs: two sources of {_PAIRS // 2:,} pairs against one of {_PAIRS:,}"
    print(table([comparison("train_sources", what, times["two"], times["one"])]))


class _Steps:
    """Some steps of a training, one behind the other."""

    def __init__(self, encoder: Encoder, folders: list[Path]) -> None:
        self.encoder, self.loss = encoder, TripletLoss()
        self.data = RetrievalDataModule(folders, encoder, batch_size=_BATCH)
        self.data.prepare_data()
        self.data.setup("fit")
        self.optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-6)
        self.batches = self._batches()

    def __call__(self) -> None:
        for _ in range(_STEPS):
            batch = next(self.batches)
            embeddings = self.encoder(batch.anchors.concatenate(batch.documents))
            scores = cosine(embeddings[: len(batch.anchors)], embeddings[len(batch.anchors) :])
            self.loss(scores, batch.relevance).loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def _batches(self) -> Iterator[Batch]:
        while True:
            yield from self.data.train_dataloader()


def _written(folder: Path, rows: np.ndarray) -> Path:
    """A prepared data set of these pairs of made words: titles of 4 words, descriptions of 24."""
    folder.mkdir()
    texts = {}
    for side, (seed, count) in {"queries": (1, 4), "corpus": (2, 24)}.items():
        words = np.random.default_rng(seed).integers(0, 5000, (_PAIRS, count))
        texts[side] = [" ".join(f"word{word}" for word in words[row]) for row in rows]
    ids, split = [str(row) for row in rows], np.where(rows % 10 < 8, "train", "validation").tolist()
    none = [None] * len(rows)
    tables = {
        "corpus": [ids, texts["corpus"], none, none, none],
        "queries": [ids, texts["queries"], none, split, none],
        "qrels": [ids, ids, [1] * len(rows), none],
    }
    for name, columns in tables.items():
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMAS[name], strict=True)]
        pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMAS[name]), folder / f"{name}.parquet")
    return folder


if __name__ == "__main__":
    main()
