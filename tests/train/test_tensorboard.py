"""What a run writes for TensorBoard: score histograms, the worst queries and the projector's points."""

import functools
import html
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch
from google.protobuf import text_format
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.keys import keys_of
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.objective.mixing import NoMixing
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.train.module import RetrievalModule
from hr_retrieval.train.tensorboard import Projector, ScoreHistograms, WorstQueries

SIZES = {"tensors": 0, "histograms": 0, "scalars": 0}


class Scores(Callback):
    """Keeps all scores of a validation and what is relevant, worked out apart."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, RetrievalModule)
        (embedded,) = pl_module.embedded
        self.queries, self.documents = embedded.queries, embedded.documents
        self.scores = (self.queries @ self.documents.T).tolist()
        relevance = embedded.relevance
        bounds = relevance.offsets.tolist()
        rows = relevance.documents.tolist()
        self.relevant = [set(rows[begin:end]) for begin, end in itertools.pairwise(bounds)]

    def naive(self, query: int) -> tuple[float, float]:
        """Scores of the best positive and of the hardest negative."""
        scores, relevant = self.scores[query], self.relevant[query]
        positive = max(score for document, score in enumerate(scores) if document in relevant)
        return positive, max(score for document, score in enumerate(scores) if document not in relevant)


def module() -> RetrievalModule:
    optimizer = functools.partial(torch.optim.AdamW, lr=1e-3)
    torch.manual_seed(0)
    return RetrievalModule(Encoder("tiny", max_length=24), NoMixing(), TripletLoss("hinge"), optimizer)


def trainer(logger: Logger | bool, *callbacks: Callback, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", logger=logger, callbacks=list(callbacks), enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False, **options,
    )  # fmt: skip


def board(folder: Path) -> TensorBoardLogger:
    return TensorBoardLogger(folder, name="", version="", default_hp_metric=False)


def validate(folder: Path, logger: Logger, *callbacks: Callback) -> tuple[Scores, RetrievalModule]:
    """Measure an untrained encoder on the 12 validation queries of the toy data set."""
    scores, measured = Scores(), module()
    data = RetrievalDataModule(folder, measured.encoder, batch_size=8)
    trainer(logger, scores, *callbacks).validate(measured, data, verbose=False)
    logger.finalize("success")
    return scores, measured


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance=SIZES).Reload()


def written_text(folder: Path) -> list[str]:
    found = events(folder).Tensors("worst_queries/text_summary")
    return [event.tensor_proto.string_val[0].decode() for event in found]


def cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table below its header."""
    rows = [re.findall(r"[^|]+(?=\|)", line) for line in table.splitlines()[2:]]
    return [[html.unescape(cell.strip()) for cell in row] for row in rows]


def placed(cell: str) -> tuple[int, float, str]:
    """Rank, score and text of a document in the table."""
    found = re.fullmatch(r"rank (\d+), cosine (-?\d\.\d{3}): (.+)", cell)
    assert found is not None
    return int(found[1]), float(found[2]), found[3]


def test_the_histograms_hold_each_query_s_two_scores_and_their_difference(toy_dataset: Path, tmp_path: Path) -> None:
    scores, _ = validate(toy_dataset, board(tmp_path / "b"), ScoreHistograms())
    pairs = [scores.naive(query) for query in range(12)]
    expected = {
        "best_positive": [positive for positive, _ in pairs],
        "hardest_negative": [negative for _, negative in pairs],
        "margin": [positive - negative for positive, negative in pairs],
    }
    written = events(tmp_path / "b")
    for name, values in expected.items():
        (event,) = written.Histograms(f"scores/{name}")
        histogram = event.histogram_value
        assert (event.step, histogram.num) == (0, 12)
        assert histogram.min == pytest.approx(min(values), abs=1e-5)
        assert histogram.max == pytest.approx(max(values), abs=1e-5)
        assert histogram.sum == pytest.approx(sum(values), abs=1e-4)


def test_the_histograms_take_so_many_queries(toy_dataset: Path, tmp_path: Path) -> None:
    validate(toy_dataset, board(tmp_path / "b"), ScoreHistograms(queries=5))
    assert events(tmp_path / "b").Histograms("scores/margin")[0].histogram_value.num == 5


def test_the_table_names_the_worst_queries_and_what_stood_first(blind_dataset: Path, tmp_path: Path) -> None:
    scores, measured = validate(blind_dataset, board(tmp_path / "b"), WorstQueries(count=4))
    (table,) = written_text(tmp_path / "b")
    rows = cells(table)
    ranks = sorted((round(1 / value) for value in measured.query_values[0]["mrr"].tolist()), reverse=True)
    assert ranks[3] > 1
    assert [placed(row[1])[0] for row in rows] == ranks[:4]
    queries = pq.read_table(blind_dataset / "queries.parquet").to_pylist()
    validation = [row for row in queries if row["split"] == "validation"]
    validation.sort(key=lambda row: int(keys_of([row["text"]])[0, 0]))
    texts = {row["text"]: row["document_id"] for row in pq.read_table(blind_dataset / "corpus.parquet").to_pylist()}
    for text, of_positive, of_first in rows:
        (_, positive_score, positive), (first_rank, first_score, first) = placed(of_positive), placed(of_first)
        assert first_rank == 1
        (query,) = [number for number, row in enumerate(validation) if row["text"] == text]
        expected = scores.naive(query)
        assert positive_score == pytest.approx(expected[0], abs=1e-3)
        assert first_score == pytest.approx(expected[1], abs=1e-3)
        group = validation[query]["group_id"].removeprefix("g")
        assert texts[positive].startswith(f"d{group}-")
        assert not texts[first].startswith(f"d{group}-")


def test_a_perfect_ranking_has_no_worst_queries(toy_dataset: Path, tmp_path: Path) -> None:
    """The words of the toy data set give every query its document."""
    validate(toy_dataset, board(tmp_path / "b"), WorstQueries())
    assert written_text(tmp_path / "b") == ["Each of the 12 queries has a relevant document at rank 1."]


def test_texts_are_shown_as_they_are(toy_dataset: Path, tmp_path: Path) -> None:
    odd = "a|b\t*c* <b>_d_</b>\n# Ёлка & `e`\u2028[f](http://g) \\ "
    for name in ("corpus", "queries"):
        table = pq.read_table(toy_dataset / f"{name}.parquet")
        at = table.column_names.index("text")
        # A document of the query's own text would not be ranked.
        texts = [f"{odd}{name[0]}{number}" for number in range(len(table))]
        pq.write_table(table.set_column(at, table.schema.field(at), [texts]), toy_dataset / f"{name}.parquet")
    validate(toy_dataset, board(tmp_path / "b"), WorstQueries(count=3), Projector())
    expected = "a|b *c* <b>_d_</b> # Ёлка & `e` [f](http://g) \\ "
    (table,) = written_text(tmp_path / "b")
    assert len(cells(table)) == 3
    assert all(row[0].startswith(expected) for row in cells(table))
    assert not re.search(r"[*<>`\[\]\\_]", "\n".join(table.splitlines()[2:]))
    _, labels = points(tmp_path / "b", "before training")
    assert all(label["text"].startswith(expected) for label in labels)


def points(folder: Path, name: str) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Embeddings and metadata, as TensorBoard finds them."""
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (entry,) = [part for part in config.embeddings if part.tensor_name == name]
    tensors = np.loadtxt(folder / entry.tensor_path, delimiter="\t", ndmin=2)
    lines = (folder / entry.metadata_path).read_text(encoding="utf-8").rstrip("\n").split("\n")
    header, *rows = [line.split("\t") for line in lines]
    return tensors, [dict(zip(header, row, strict=True)) for row in rows]


def test_the_projector_shows_queries_and_documents_with_text_rank_and_group(toy_dataset: Path, tmp_path: Path) -> None:
    scores, measured = validate(toy_dataset, board(tmp_path / "b"), Projector())
    embeddings, labels = points(tmp_path / "b", "before training")
    kinds = [label["kind"] for label in labels]
    queries, documents = kinds.count("query"), kinds.count("document")
    assert queries == 12
    # One relevant document of each query: the first of its group.
    assert documents == 6
    np.testing.assert_allclose(embeddings[:12], scores.queries.numpy(), atol=1e-4)
    expected = [f"{round(1 / value)}" for value in measured.query_values[0]["mrr"].tolist()]
    assert [label["rank"] for label in labels] == expected + [""] * 6
    for label in labels[:12]:
        (document,) = [other for other in labels[12:] if other["group"] == label["group"]]
        assert document["text"].startswith(label["text"].split()[0])


def test_the_projector_shows_at_most_so_many_points(toy_dataset: Path, tmp_path: Path) -> None:
    validate(toy_dataset, board(tmp_path / "b"), Projector(points=3))
    _, labels = points(tmp_path / "b", "before training")
    assert [label["kind"] for label in labels].count("query") == 3


def test_the_projector_keeps_the_best_validation_also_in_a_resumed_run(toy_dataset: Path, tmp_path: Path) -> None:
    class Given(Callback):
        """Says what the monitored metric is."""

        def __init__(self, *values: float) -> None:
            self.values = list(values)

        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if trainer.state.fn == "fit":
                trainer.callback_metrics["given"] = torch.tensor(self.values.pop(0))

    def fit(projector: Projector, *values: float) -> None:
        trained = module()
        data = RetrievalDataModule(toy_dataset, trained.encoder, batch_size=8)
        logger = board(tmp_path / "b")
        runner = trainer(logger, Given(*values), projector, max_epochs=len(values), limit_train_batches=1)
        runner.fit(trained, data)
        logger.finalize("success")

    validate(toy_dataset, board(tmp_path / "b"), Projector())
    before, _ = points(tmp_path / "b", "before training")
    projector = Projector(monitor="given")
    fit(projector, 0.5)
    best, _ = points(tmp_path / "b", "best validation")
    assert not np.allclose(best, before)
    resumed = Projector(monitor="given")
    resumed.load_state_dict(projector.state_dict())
    fit(resumed, 0.4, 0.3)
    np.testing.assert_array_equal(points(tmp_path / "b", "best validation")[0], best)
    fit(resumed, 0.4, 0.6)
    assert not np.array_equal(points(tmp_path / "b", "best validation")[0], best)
    np.testing.assert_array_equal(points(tmp_path / "b", "before training")[0], before)


def test_a_monitor_that_is_not_logged_is_named(toy_dataset: Path, tmp_path: Path) -> None:
    trained = module()
    data = RetrievalDataModule(toy_dataset, trained.encoder, batch_size=8)
    runner = trainer(board(tmp_path / "b"), Projector(monitor="validation/mmr"), max_epochs=1, limit_train_batches=1)
    with pytest.raises(UserError, match=r"callbacks\.projector\.monitor.*validation/mmr"):
        runner.fit(trained, data)


def test_without_tensorboard_nothing_is_written(toy_dataset: Path, tmp_path: Path) -> None:
    callbacks = (ScoreHistograms(), WorstQueries(), Projector())
    validate(toy_dataset, CSVLogger(tmp_path / "c", name="", version=""), *callbacks)
    assert {path.name for path in (tmp_path / "c").rglob("*")} <= {"metrics.csv", "hparams.yaml"}


def test_a_validation_s_embeddings_are_let_go(toy_dataset: Path, tmp_path: Path) -> None:
    _, measured = validate(toy_dataset, board(tmp_path / "b"))
    assert not measured.embedded


@pytest.mark.parametrize("make", [lambda: ScoreHistograms(0), lambda: WorstQueries(0), lambda: Projector(0)])
def test_counts_below_one_are_refused(make: Any) -> None:
    with pytest.raises(UserError, match=r"callbacks\.\w+=null"):
        make()
