"""A cross-encoder in training: it learns to put the right document of a list first."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.checkpoint import checkpoint

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.parts import TextTable, text_table
from hr_retrieval.data.source import Source
from hr_retrieval.data.tables import Table
from hr_retrieval.encoder.cross_encoder import CrossEncoder
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.ragged import on_device
from hr_retrieval.errors import UserError
from hr_retrieval.objective.lists import ListLoss
from hr_retrieval.ranking.options import offered_mixing
from hr_retrieval.ranking.second_stage import ordered_anew
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.retrieval.metrics import RankingMetrics, per_query
from hr_retrieval.retrieval.ranking import Ranking, exact_ranking
from hr_retrieval.train.mining import MineNegatives
from hr_retrieval.train.ranker import Ranker

Pair = tuple[str, str]


class CrossEncoderModule(Ranker):
    """Lists of an anchor's own document and the negatives that were drawn for it are scored and compared.

    An encoder is the first stage and stays as it is: by it negatives are mined, and what is measured
    are its best documents in the order of the cross-encoder. Over several processes each trains on
    its own lists and measures all.

    Args:
        encoder: of the first stage.
        cross_encoder: what is trained.
        loss: over the scores of lists.
        depth: documents of each query that are ordered anew in validation and test.
        optimizer: as of `Ranker`.
        scheduler: as of `Ranker`.
        mini_batch: pairs read at a time, their activations recomputed in the backward pass; `None`
            reads all at once.

    Raises:
        UserError: `depth` is below 2.
    """

    learner = "cross_encoder"

    def __init__(
        self,
        encoder: Encoder,
        cross_encoder: CrossEncoder,
        loss: ListLoss,
        depth: int = 20,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        mini_batch: int | None = None,
    ) -> None:
        super().__init__(encoder.requires_grad_(False), optimizer, scheduler, mini_batch)
        if depth < 2:
            raise UserError("model.depth of at least 2", str(depth), "So many documents are ordered anew; 20 is usual.")
        self.cross_encoder, self.loss, self.depth = cross_encoder, loss, depth

    def on_fit_start(self) -> None:
        self._open_texts()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of the lists of one batch."""
        columns = lists(batch)
        there = columns >= 0
        source: Source = self._data.sources[batch.source]
        anchors, places = there.nonzero(as_tuple=True)
        queries = batch.query_rows[anchors] - source.first_query
        documents = batch.document_rows[columns[anchors, places]] - source.first_document
        asked, found = (
            table.take(rows.numpy())
            for table, rows in zip(self._texts[batch.source], (queries, documents), strict=True)
        )
        logits = self._logits(list(zip(asked, found, strict=True)))
        there = on_device(there, self.device)
        scores = logits.new_zeros(there.shape).masked_scatter(there, logits)
        weights = None if batch.weights is None else on_device(batch.weights.diagonal(), self.device)
        return self._told(self.loss(scores, there, weights), batch)

    def _logits(self, pairs: list[Pair]) -> Float[Tensor, " P"]:
        size = self.mini_batch or len(pairs)
        if size >= len(pairs):
            whole: Tensor = self.cross_encoder(pairs)
            return whole
        parts = [pairs[begin : begin + size] for begin in range(0, len(pairs), size)]
        return torch.cat([checkpoint(self.cross_encoder, part, use_reentrant=False) for part in parts])

    def _measured(
        self, split: Literal["validation", "test"], number: int, ranking: RankingMetrics
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        first = {name: float(value) for name, value in ranking.compute().items()}
        assert ranking.embedded is not None, "it was computed"
        queries, documents, relevance = ranking.embedded.queries, ranking.embedded.documents, ranking.embedded.relevance
        best = exact_ranking(queries, documents, relevance, self.depth)
        best, relevance = Ranking(best.ranks.cpu(), best.scores.cpu(), best.rows.cpu()), relevance.to("cpu")
        dataset, measured = self._data.sources[number].dataset, self._data.evaluation_sets(split)[number]
        rows = np.unique(best.rows.numpy())
        rows = rows[rows >= 0]
        texts = dict(zip(rows.tolist(), dataset.texts_at("corpus", measured.document_rows[rows]), strict=True))
        asked = dataset.texts_at("queries", measured.query_rows)
        ranks, _ = ordered_anew(self._score, best, relevance, asked, texts, self.depth)
        values = per_query(ranks, relevance)
        figures = {name: float(value.mean()) for name, value in values.items()}
        plain = {f"first_stage/{name}": first[name] for name in HEADLINE}
        return {**figures, "excluded": first["excluded"], **plain}, values

    def _score(self, query: str, passages: Sequence[str]) -> list[float]:
        return self.cross_encoder.logits([(query, passage) for passage in passages])

    def _new_rankings(self, split: Literal["validation", "test"]) -> list[RankingMetrics]:
        rankings = super()._new_rankings(split)
        for one in rankings:
            one.both_directions = False
        return rankings

    def _open_texts(self) -> None:
        """The texts of each source, in files beside its tokens: a step asks for a few of them."""
        self._texts: list[list[TextTable]] = []
        for source in self._data.sources:
            place = source.cache / source.dataset.fingerprint[:16]
            tables: tuple[tuple[str, Table], ...] = (("query_texts", "queries"), ("texts", "corpus"))
            self._texts.append([text_table(place / name, source.dataset.texts(table)) for name, table in tables])


def lists(batch: Batch) -> Int[Tensor, "B C"]:
    """The columns of each anchor's list among the batch's documents: its own, then the negatives that
    were drawn for it; -1 where it has no more.
    """
    negatives = (batch.drawn & batch.negative).numpy()
    size = 1 + int(negatives.sum(1).max(initial=0))
    found = np.full((len(negatives), size), -1)
    found[:, 0] = np.arange(len(found))
    for row, own in enumerate(negatives):
        columns = np.flatnonzero(own)
        found[row, 1 : 1 + len(columns)] = columns
    return torch.from_numpy(found)


def check_lists(config: DictConfig, callbacks: Sequence[pl.Callback], data: RetrievalDataModule) -> None:
    """Raise `UserError` unless anchors have negatives of their own, and nothing is asked for that
    takes part in the training of an encoder only.
    """
    stated = data.negatives_per_anchor > 0 and any(len(source.dataset.negative_documents) for source in data.sources)
    if not (stated or data.mined_per_anchor):
        raise UserError(
            "negatives of each anchor, for the lists that a cross-encoder is trained on",
            "neither stated ones in the data nor mined ones",
            "Take experiment=cross_encoder, or set callbacks=mining datamodule.mined_per_anchor=7.",
        )
    mining = [one for one in callbacks if isinstance(one, MineNegatives)]
    if data.teacher or any(one.teacher for one in mining):
        raise UserError(
            "a cross-encoder that learns from the data alone",
            "datamodule.teacher or callbacks.mine_negatives.teacher",
            "Leave it out: teachers teach encoders.",
        )
    if offered_mixing(OmegaConf.select(config, "ranking.mixing")).parts:
        raise UserError(
            "ranking/mixing=none with a cross-encoder, which orders what a plain ranking found",
            "a mixing at ranking time",
            "Take experiment=cross_encoder, or set ranking/mixing=none.",
        )
