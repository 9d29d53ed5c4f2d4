"""The embedded corpus that mixing takes neighbours from: all training documents, anew as the encoder learns."""

import zipfile
from pathlib import Path
from typing import cast

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.data.arrays import Offsets, Places, Rows
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.guard import Guard
from hr_retrieval.errors import UserError
from hr_retrieval.files import whole_file
from hr_retrieval.objective.mixing import Neighbours
from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.train.global_batch import GlobalBatch, beyond
from hr_retrieval.train.mining import candidate_documents, embedded, embedding, mined_queries
from hr_retrieval.train.module import RetrievalModule
from hr_retrieval.train.ranker import Ranker
from hr_retrieval.train.refreshed import Refreshed

# Documents near to an anchor and to a document of the batch that are looked at, and at most so many
# relevant ones an anchor.
_OF_ANCHOR, _OF_DOCUMENT, _RELEVANT = 64, 32, 64


class EmbedCorpus(Refreshed):
    """Embeds the training corpus at the beginning of an epoch, where `model.mixing.source=corpus`;
    else it does nothing.

    In it are all documents but those relevant to a query of another split, as in mining: no answer
    of a measured query is mixed with, or pushed away, in training. The file in force is part of a
    checkpoint: a run resumed within an epoch reads it again.

    Args:
        folder: where `epoch-0001.npz` and so on are written. Kept are the one in force and those
            that the last two checkpoints name.
        every_n_epochs: epochs from one embedding to the next.
    """

    suffix = "npz"

    def __init__(self, folder: str | Path, every_n_epochs: int = 1) -> None:
        super().__init__("callbacks.corpus", folder, every_n_epochs)

    def wanted(self, module: pl.LightningModule) -> bool:
        return corpus_wanted(cast(Ranker, module))

    def make(self, trainer: pl.Trainer, module: pl.LightningModule, data: RetrievalDataModule, path: Path) -> None:
        rows, parts = [], []
        with embedding(trainer, module) as embed:
            for number, source in enumerate(data.sources):
                own = candidate_documents(data, number)
                tokens = data.tokens[number][1]
                parts.append(embedded("corpus for mixing", tokens, own, embed, data.evaluation_tokens).half().cpu())
                rows.append(own + source.first_document)
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez(
                file, rows=np.concatenate(rows), embeddings=torch.cat(parts).numpy(), data=np.array(data.fingerprint)
            )

    def use(self, trainer: pl.Trainer, module: pl.LightningModule, data: RetrievalDataModule, path: Path) -> None:
        rows, embeddings = read_corpus(path, data.fingerprint)
        corpora = []
        for source in data.sources:
            ends = source.first_document + np.array([0, source.dataset.document_count])
            own = slice(*np.searchsorted(rows, ends))
            queries = mined_queries(source, None, 0) + source.first_query
            relevant = data.guard.relevant(queries, rows[own])
            corpora.append(EmbeddedCorpus(rows[own], embeddings[own].to(module.device), queries, relevant))
        cast(RetrievalModule, module).corpora = corpora


class EmbeddedCorpus:
    """What is near to the texts of a batch among the documents of its source that were embedded.

    Args:
        rows: rows in the corpora of all sources, ascending.
        embeddings: their unit vectors, constants.
        queries: rows of the training queries, ascending.
        relevant: offsets and places in `rows` of the documents that are relevant to each of these
            queries.
    """

    def __init__(
        self, rows: Rows, embeddings: Float[Tensor, "N d"], queries: Rows, relevant: tuple[Offsets, Places]
    ) -> None:
        self.rows, self.embeddings, self.queries, self.relevant = rows, embeddings, queries, relevant
        self._index = ExactIndex(embeddings)

    def around(self, whole: GlobalBatch, guard: Guard) -> Neighbours:
        """The documents nearest to the anchors and to the documents of the batch, and the relevant
        ones of the anchors.
        """
        near = [
            self._index.search(side, count)[1].flatten().cpu().numpy()
            for side, count in ((whole.anchors, _OF_ANCHOR), (whole.documents, _OF_DOCUMENT))
        ]
        places = np.unique(np.concatenate([*near, *self._relevant(whole.query_rows.cpu().numpy())]))
        rows = torch.from_numpy(self.rows[places]).to(whole.document_rows.device)
        return beyond(self.embeddings[torch.from_numpy(places).to(self.embeddings.device)], rows, whole, guard)

    def _relevant(self, query_rows: Rows) -> list[Places]:
        offsets, places = self.relevant
        at = np.searchsorted(self.queries, query_rows)
        lists = [places[offsets[place] : offsets[place + 1]] for place in at]
        # Spread out, where there are too many.
        return [found[:: -(-len(found) // _RELEVANT) or 1] for found in lists]


def corpus_wanted(module: Ranker) -> bool:
    """Whether there is a mixing that takes its neighbours from the corpus."""
    return isinstance(module, RetrievalModule) and getattr(module.mixing, "source", "batch") == "corpus"


def check_corpus(callbacks: list[pl.Callback], module: RetrievalModule) -> None:
    """Raise `UserError` where the mixing wants the embedded corpus and nobody embeds it."""
    if corpus_wanted(module) and not any(isinstance(callback, EmbedCorpus) for callback in callbacks):
        raise UserError(
            "callbacks.corpus with model.mixing.source=corpus",
            "none",
            "Leave callbacks.corpus as it is by default, or set model.mixing.source=batch.",
        )


def read_corpus(path: Path, fingerprint: str) -> tuple[Rows, Float[Tensor, "N d"]]:
    try:
        with path.open("rb") as file, np.load(file) as content:
            data, rows, embeddings = (
                str(content["data"]),
                content["rows"],
                torch.from_numpy(content["embeddings"]).float(),
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"the embedded corpus in {path}",
            f"{type(error).__name__}: {error}",
            "Restore the file that the run wrote, or start a new run; several machines need one run directory.",
        ) from None
    if data != fingerprint:
        raise UserError(
            f"a corpus embedded from the data set with fingerprint {fingerprint}",
            f"{path}, of {data}",
            "Bring back the data set of the run, or start a new run.",
        )
    return rows, embeddings
