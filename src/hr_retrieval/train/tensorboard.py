"""What TensorBoard shows of a validation beside its figures: scores, queries, and the embeddings themselves.

Nothing is encoded for this: the callbacks look at the embeddings that the validation has ranked.
Each does nothing on further processes and without TensorBoard's logger.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import EvaluationSet
from hr_retrieval.errors import UserError
from hr_retrieval.markdown import markdown_table
from hr_retrieval.retrieval.extremes import extremes
from hr_retrieval.retrieval.metrics import Embedded
from hr_retrieval.train.projector import write_points
from hr_retrieval.train.ranker import Ranker

Rows = npt.NDArray[np.int64]

_BINS = 40
# Characters of a text that a table or a label shows.
_SHOWN = 140


class ScoreHistograms(Callback):
    """Histograms of what the ranks come from, at each validation, over the same queries each time.

    `scores/best_positive` is the cosine of a query with its relevant document that scores highest,
    `scores/hardest_negative` with the other document that does, and `scores/margin` the difference:
    where it is above 0, the query's rank is 1.

    Args:
        queries: at most so many, drawn among those that have a relevant document.
    """

    def __init__(self, queries: int = 1000) -> None:
        _check_positive("callbacks.score_histograms.queries", queries)
        self.queries = queries

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loggers = _loggers(trainer)
        if not loggers:
            return
        for shown in _validations(trainer, pl_module):
            found = extremes(shown.embedded, torch.from_numpy(_subset(shown.measured, self.queries)))
            comparable = found.negative_scores.isfinite()
            histograms = {
                "best_positive": found.positive_scores,
                "hardest_negative": found.negative_scores[comparable],
                "margin": (found.positive_scores - found.negative_scores)[comparable],
            }
            for logger in loggers:
                for name, values in histograms.items():
                    if len(values):
                        tag = f"scores/{shown.within}{name}"
                        logger.experiment.add_histogram(tag, values, trainer.global_step, bins=_BINS)


class _QueryTable(Callback):
    """A table of some queries, each with its best relevant document and the best other one, at each validation."""

    tag = ""
    empty = ""

    def __init__(self, count: int = 20) -> None:
        _check_positive(f"callbacks.{self.tag}.count", count)
        self.count = count

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loggers = _loggers(trainer)
        if not loggers:
            return
        for shown in _validations(trainer, pl_module):
            table = self._table(shown)
            for logger in loggers:
                logger.experiment.add_text(f"{self.tag}/{shown.within}".rstrip("/"), table, trainer.global_step)

    def chosen(self, shown: "_Validation") -> Rows:
        """Places of the shown queries among those that were measured, in the order of the table."""
        raise NotImplementedError

    def _table(self, shown: "_Validation") -> str:
        measured, ranks, chosen = shown.measured, shown.ranks, self.chosen(shown)
        if not len(chosen):
            return self.empty.format(len(measured))
        found = extremes(shown.embedded, torch.from_numpy(measured[chosen]))
        dataset, evaluation = shown.dataset, shown.evaluation
        queries = dataset.texts_at("queries", evaluation.query_rows[measured[chosen]])
        positives = dataset.texts_at("corpus", evaluation.document_rows[found.positives.numpy()])
        negatives = dataset.texts_at("corpus", evaluation.document_rows[found.negatives.numpy()])
        # Of a query whose relevant document is first, the other one is next.
        other = np.where(ranks[chosen] > 1, 1, 2).tolist()
        # Words and numbers in columns of their own would be broken into letters: TensorBoard gives
        # width by length.
        rows = zip(
            queries,
            map(_placed, ranks[chosen].tolist(), found.positive_scores.tolist(), positives),
            map(_placed, other, found.negative_scores.tolist(), negatives),
            strict=True,
        )
        header = (f"query{'&emsp;' * 12}", "its best relevant document", "the best other document")
        return markdown_table([header, *([_escaped(_one_line(cell)) for cell in row] for row in rows)], text=range(3))


class WorstQueries(_QueryTable):
    """The queries whose best relevant document stands lowest, and what stood first instead.

    Args:
        count: rows of the table at most; queries of rank 1 are not among them.
    """

    tag = "worst_queries"
    empty = "Each of the {} queries has a relevant document at rank 1."

    def chosen(self, shown: "_Validation") -> Rows:
        worst = np.argsort(-shown.ranks, kind="stable")[: self.count]
        below: Rows = worst[shown.ranks[worst] > 1]
        return below


class BestQueries(_QueryTable):
    """The queries whose relevant document stands first by the widest margin, and what came next.

    Args:
        count: rows of the table at most; queries of another rank are not among them.
    """

    tag = "best_queries"
    empty = "None of the {} queries has a relevant document at rank 1."

    def chosen(self, shown: "_Validation") -> Rows:
        first = np.flatnonzero(shown.ranks == 1)
        if not len(first):
            return first
        found = extremes(shown.embedded, torch.from_numpy(shown.measured[first]))
        margins = (found.positive_scores - found.negative_scores).numpy()
        # Where every document is relevant there is no other one to show.
        first, margins = first[np.isfinite(margins)], margins[np.isfinite(margins)]
        widest: Rows = first[np.argsort(-margins, kind="stable")[: self.count]]
        return widest


class Projector(Callback):
    """Embeddings of validation queries and of a relevant document of each, for TensorBoard's projector.

    `before training` is the measurement of the encoder as it came (`zero_shot=true`), `best
    validation` the best so far; the projector shows their text, kind, rank and group (a query has
    the group of its document). The files are written here and not by `SummaryWriter.add_embedding`,
    which in a resumed run forgets what was written before, and writes texts with tabs or line
    breaks as they are, which shifts all labels behind them. Each point is a small image in its
    colour, since the projector would begin in one colour for all: a query is green at rank 1,
    orange up to rank 10 and red beyond, a document blue.

    Args:
        points: at most so many queries, and so many documents, of each source.
        monitor: the metric, higher is better, by which a validation is the best.
    """

    def __init__(self, points: int = 500, monitor: str = "validation/mrr") -> None:
        _check_positive("callbacks.projector.points", points)
        self.points, self.monitor = points, monitor
        self.best = -np.inf

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loggers = _loggers(trainer)
        if not loggers or not self._wanted(trainer):
            return
        name = "best validation" if trainer.state.fn == "fit" else "before training"
        found = [self._points_of(shown) for shown in _validations(trainer, pl_module)]
        if not found:
            return
        parts, labels = zip(*found, strict=True)
        for logger in loggers:
            write_points(Path(logger.log_dir), name, np.concatenate(parts), [label for own in labels for label in own])

    def state_dict(self) -> dict[str, Any]:
        return {"best": float(self.best)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = float(state_dict["best"])

    def _wanted(self, trainer: pl.Trainer) -> bool:
        if trainer.state.fn != "fit":
            return True
        if self.monitor not in trainer.callback_metrics:
            raise UserError(
                f"a logged metric as callbacks.projector.monitor, such as {', '.join(sorted(trainer.callback_metrics)[:3])}",
                self.monitor,
                "Set callbacks.best.monitor, which it follows, to one of these.",
            )
        value = float(trainer.callback_metrics[self.monitor])
        better = value > self.best
        self.best = max(self.best, value)
        return better

    def _points_of(self, shown: "_Validation") -> tuple[npt.NDArray[np.float32], list[tuple[str, ...]]]:
        embedded, dataset, evaluation = shown.embedded, shown.dataset, shown.evaluation
        queries = _subset(shown.measured, self.points)
        own = evaluation.relevance.documents[evaluation.relevance.offsets[queries]].numpy()
        documents = np.unique(own)
        groups = [dataset.document_duplicate[evaluation.document_rows[rows]] for rows in (own, documents)]
        numbers = np.unique(np.concatenate(groups), return_inverse=True)[1]
        rank_of = dict(zip(shown.measured.tolist(), shown.ranks.tolist(), strict=True))
        texts = [
            *dataset.texts_at("queries", evaluation.query_rows[queries]),
            *dataset.texts_at("corpus", evaluation.document_rows[documents]),
        ]
        kinds = [f"{shown.within}query"] * len(queries) + [f"{shown.within}document"] * len(documents)
        shown_ranks = [*(str(rank_of[query]) for query in queries.tolist()), *("" for _ in documents)]
        names = (f"{shown.within}{number}" for number in numbers.tolist())
        metadata = zip(map(_one_line, texts), kinds, shown_ranks, names, strict=True)
        parts = [embedded.queries[torch.from_numpy(queries)], embedded.documents[torch.from_numpy(documents)]]
        return torch.cat(parts).cpu().numpy(), list(metadata)


def _loggers(trainer: pl.Trainer) -> list[TensorBoardLogger]:
    """The loggers to write to: none on further processes and in Lightning's own trial validation."""
    if not trainer.is_global_zero or trainer.sanity_checking:
        return []
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


@dataclass(frozen=True)
class _Validation:
    """What was ranked of one source.

    Attributes:
        within: `<source>/` where there are several, else nothing.
        measured: the places of the queries that have a relevant document.
        ranks: of the first one of each of these.
    """

    within: str
    dataset: PreparedDataset
    evaluation: EvaluationSet
    embedded: Embedded
    measured: Rows
    ranks: Rows


def _validations(trainer: pl.Trainer, pl_module: pl.LightningModule) -> Iterator[_Validation]:
    """What was ranked of each source by embeddings alone; nothing, where it was not by them alone."""
    module, data = cast(Ranker, pl_module), cast(RetrievalDataModule, cast(Any, trainer).datamodule)
    several, sets = len(data.sources) > 1, data.evaluation_sets("validation")
    ranked = zip(data.sources, sets, module.embedded, module.query_values, strict=True) if module.embedded else ()
    for source, evaluation, embedded, values in ranked:
        measured = embedded.relevance.counts.cpu().nonzero().squeeze(1).numpy()
        within = f"{source.name}/" if several else ""
        yield _Validation(within, source.dataset, evaluation, embedded, measured, _first_ranks(values["mrr"]))


def _first_ranks(reciprocal: Tensor) -> Rows:
    return np.rint(1.0 / reciprocal.numpy()).astype(np.int64)


def _subset(rows: Rows, count: int) -> Rows:
    """At most `count` of the rows in ascending order, the same ones for the same rows."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False))


def _check_positive(key: str, value: int) -> None:
    if value < 1:
        raise UserError(f"{key} of at least 1", str(value), f"{key.rsplit('.', 1)[0]}=null leaves it out.")


def _one_line(text: str) -> str:
    """The text on one line without tabs, cut to what is shown."""
    line = " ".join(text.split())
    return (line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…") or "(empty)"


def _placed(rank: int, score: float, text: str) -> str:
    return f"rank {rank}, cosine {score:.3f}: {text}"


def _escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is: what might be a mark of either becomes an entity."""
    return re.sub(r"[^\w\s]|_", lambda mark: f"&#{ord(mark[0])};", text)
