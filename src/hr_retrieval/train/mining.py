"""Hard negatives mined while training: what the encoder of the moment ranks high although it is not relevant."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.negatives import MinedNegatives, MiningOptions, Rows
from hr_retrieval.data.source import Source
from hr_retrieval.data.tables import SPLITS
from hr_retrieval.data.tokens import TokenTable, progress
from hr_retrieval.encoder.mode import evaluating
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.store.reranker import Reranker
from hr_retrieval.train.hardest import Hardest, hardest_allowed
from hr_retrieval.train.refreshed import Refreshed
from hr_retrieval.train.teaching import mined_scores, score_mined

log = logging.getLogger(__name__)

# Tokens of some texts to their embeddings.
Embed = Callable[[Ragged], Tensor]

# Queries searched at a time, and entries of the mask of these queries by all the documents that
# were found for them.
_QUERIES = 512
_MASK = 1 << 25
# Texts sorted by length at a time: enough to fill batches of like length.
_RUN = 1 << 14


class MineNegatives(Refreshed):
    """Mines hard negatives with the encoder as it is at the beginning of an epoch, for `datamodule.mined_per_anchor`.

    Approximate nearest neighbour negatives (ANCE, Xiong et al. 2021, arXiv 2007.00808) with exact
    search in place of the approximate one. The file in force is part of a checkpoint: a run resumed
    within an epoch reads it again.

    Args:
        folder: where `epoch-0001.parquet` and so on are written. Kept are the one in force and
            those that the last two checkpoints name.
        every_n_epochs: epochs from one mining to the next.
        start_epoch: the first epoch, counted from 0, that has mined negatives.
        depth: see `MiningOptions`, as for the rest.
        teacher: the folder of a cross-encoder, whose scores of the mined negatives and of the
            positives of their queries are distilled; `None` for none.

    Raises:
        UserError: a value is out of range, or the teacher is no cross-encoder.
    """

    suffix = "parquet"

    def __init__(
        self,
        folder: str | Path,
        every_n_epochs: int = 1,
        start_epoch: int = 0,
        depth: int = 100,
        per_query: int = 8,
        positive_share: float | None = 0.95,
        skip: int = 0,
        queries: int | None = None,
        seed: int = 1,
        teacher: str | None = None,
    ) -> None:
        super().__init__("callbacks.mine_negatives", folder, every_n_epochs, start_epoch)
        self.options = MiningOptions(depth, per_query, positive_share, skip, queries, seed)
        self.teacher = None if teacher is None else Reranker(teacher, "callbacks.mine_negatives.teacher")
        self._diagnostics: dict[str, float] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        pl_module.log_dict({f"mining/{name}": value for name, value in self._diagnostics.items()}, batch_size=1)

    def make(self, trainer: pl.Trainer, module: pl.LightningModule, data: RetrievalDataModule, path: Path) -> None:
        with embedding(trainer, module) as embed:
            mined = mine(data, embed, self.options, trainer.current_epoch, trainer.global_step)
        kept = mined.diagnostics["kept_per_query"]
        log.info("epoch %d: %.1f hard negatives a query mined", trainer.current_epoch + 1, kept)
        if self.teacher is not None:
            score_mined(data, mined, self.teacher, self.folder)
        mined.write(path, [source.dataset for source in data.sources])

    def use(self, trainer: pl.Trainer, module: pl.LightningModule, data: RetrievalDataModule, path: Path) -> None:
        negatives = MinedNegatives.open(path, data.fingerprint)
        data.use_negatives(path.name, negatives)
        if self.teacher is not None:
            data.use_teacher(mined_scores(data, negatives, self.teacher, self.folder))
        self._diagnostics = negatives.diagnostics


def check_mining(callbacks: Sequence[Callback], mined_per_anchor: int, taught: bool = False) -> None:
    """Raise `UserError` unless negatives are mined if and only if batches have some, and enough of
    them; or where both data module (`taught`) and mining have a teacher.
    """
    if taught and any(isinstance(callback, MineNegatives) and callback.teacher for callback in callbacks):
        raise UserError(
            "one teacher",
            "datamodule.teacher and callbacks.mine_negatives.teacher",
            "Leave out one of them.",
        )
    kept = max((callback.options.per_query for callback in callbacks if isinstance(callback, MineNegatives)), default=0)
    if mined_per_anchor > kept or (kept > 0 and mined_per_anchor == 0):
        raise UserError(
            "datamodule.mined_per_anchor from 1 up to callbacks.mine_negatives.per_query with callbacks=mining, and 0 "
            "without",
            f"mined_per_anchor {mined_per_anchor} with " + (f"per_query {kept}" if kept else "no mining"),
            "Set both, for example callbacks=mining datamodule.mined_per_anchor=1, or neither.",
        )


def mine(data: RetrievalDataModule, embed: Embed, options: MiningOptions, epoch: int, step: int) -> MinedNegatives:
    """The hardest allowed negatives of the training queries, by exact search over the
    `candidate_documents` of each source.

    The embeddings of these documents are held, and beside them what a block of queries needs.

    Args:
        data: its guard takes what is relevant, and what its guide finds as close as a positive.
        embed: `b` texts to embeddings `[b, d]`, without gradient.
    """
    found: list[Hardest] = []
    mined = 0
    for number, source in enumerate(data.sources):
        if not source.share:
            continue
        queries = mined_queries(source, options, epoch)
        mined += len(queries)
        found += _mined(data, number, queries, embed, options)
    looked_at = sum(part.looked_at for part in found)
    return MinedNegatives(
        np.concatenate([part.query_rows for part in found]),
        np.concatenate([part.document_rows for part in found]),
        np.concatenate([part.ranks for part in found]),
        np.concatenate([part.scores for part in found]),
        np.concatenate([part.positive_scores for part in found]),
        step,
        options,
        data.fingerprint,
        {
            "kept_per_query": sum(len(part.query_rows) for part in found) / mined,
            "relevant_dropped": sum(part.relevant for part in found) / looked_at,
            "too_close_dropped": sum(part.close for part in found) / looked_at,
        },
    )


def _mined(
    data: RetrievalDataModule, number: int, queries: Rows, embed: Embed, options: MiningOptions
) -> Iterator[Hardest]:
    """The negatives of one source, block by block, by rows among those of all sources."""
    source, (query_tokens, document_tokens) = data.sources[number], data.tokens[number]
    candidates = candidate_documents(data, number)
    index = ExactIndex(embedded("mining: documents", document_tokens, candidates, embed, data.evaluation_tokens))
    size = max(1, min(_QUERIES, math.isqrt(_MASK // options.depth)))
    candidates = candidates + source.first_document
    for rows, embeddings in _query_blocks(query_tokens, queries, embed, data.evaluation_tokens, size):
        yield hardest_allowed(index, candidates, embeddings, rows + source.first_query, data.guard, options)


def mined_queries(source: Source, options: MiningOptions | None, epoch: int) -> Rows:
    """Rows of a source's training queries with a positive, ascending; of these the drawn ones where
    `options` say so.
    """
    dataset = source.dataset
    trained = (np.asarray(dataset.query_split) == SPLITS["train"]) & (np.diff(dataset.positive_offsets) > 0)
    rows = np.flatnonzero(trained)
    if options is not None and options.queries is not None and options.queries < len(rows):
        rows = np.random.default_rng((options.seed, epoch)).choice(rows, options.queries, replace=False)
    return np.sort(rows)


def candidate_documents(data: RetrievalDataModule, number: int) -> Rows:
    """Rows, ascending, of all documents of a source but those relevant to a query of another split
    of any source, so that no answer of a measured query is pushed away in training; positives of
    its training queries are in.
    """
    source = data.sources[number]
    dataset = source.dataset
    allowed = np.ones(dataset.document_count, dtype=bool)
    for other in data.sources:
        measured = np.flatnonzero(np.asarray(other.dataset.query_split) != SPLITS["train"]) + other.first_query
        if len(measured):
            rows = np.arange(dataset.document_count) + source.first_document
            allowed[data.guard.relevant(measured, rows)[1]] = False
    in_train = np.repeat(np.asarray(dataset.query_split) == SPLITS["train"], np.diff(dataset.positive_offsets))
    allowed[np.asarray(dataset.positive_documents)[in_train]] = True
    return np.flatnonzero(allowed)


@contextmanager
def embedding(trainer: pl.Trainer, module: pl.LightningModule) -> Iterator[Embed]:
    """The module's encoder as validation uses it: evaluation mode, no gradient, the trainer's precision."""
    encoder: Any = module.encoder
    with evaluating(encoder), torch.no_grad(), trainer.precision_plugin.val_step_context():
        yield lambda tokens: encoder(tokens.to(module.device))


def _query_blocks(
    tokens: TokenTable, rows: Rows, embed: Embed, batch_tokens: int, size: int
) -> Iterator[tuple[Rows, Float[Tensor, "b d"]]]:
    with progress("mining: queries", len(rows)) as advance:
        for begin in range(0, len(rows), size):
            block = rows[begin : begin + size]
            yield block, torch.cat(list(_embeddings(tokens, block, embed, batch_tokens)))
            advance(len(block))


def embedded(label: str, tokens: TokenTable, rows: Rows, embed: Embed, batch_tokens: int) -> Float[Tensor, "N d"]:
    """Embeddings of the given texts in their order, held once."""
    whole: Tensor | None = None
    begin = 0
    with progress(label, len(rows)) as advance:
        for part in _embeddings(tokens, rows, embed, batch_tokens):
            if whole is None:
                whole = part.new_empty((len(rows), part.shape[1]))
            whole[begin : begin + len(part)] = part
            begin += len(part)
            advance(len(part))
    assert whole is not None, "the training split has documents"
    return whole


def _embeddings(tokens: TokenTable, rows: Rows, embed: Embed, batch_tokens: int) -> Iterator[Float[Tensor, "r d"]]:
    """Embeddings of the given texts in their order, run by run, each embedded in batches of texts of similar length."""
    for begin in range(0, len(rows), _RUN):
        run = rows[begin : begin + _RUN]
        lengths = tokens.offsets[run + 1] - tokens.offsets[run]
        order = np.argsort(lengths, kind="stable")
        cuts = np.flatnonzero(np.diff(np.cumsum(lengths[order]) // batch_tokens)) + 1
        parts = [embed(tokens.take(run[part])) for part in np.split(order, cuts)]
        yield torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(parts[0].device)]
