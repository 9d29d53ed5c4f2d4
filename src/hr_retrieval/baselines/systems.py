"""What an encoder has to beat: rankings by shared words and by shared pieces of words, without any training."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.text import normalise


class Bm25:
    """Okapi BM25 over the words of the normalised texts, as Lucene computes it, with `k1 = 1.5` and `b = 0.75`.

    Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009; the
    library `bm25s` (Lù 2024, arXiv 2407.03618). A word of the query counts as often as it stands
    there. Words are not stemmed.

    Args:
        queries: `Q` texts.
        documents: `N` texts.

    Raises:
        UserError: no document holds a word.
    """

    def __init__(self, queries: Sequence[str], documents: Sequence[str]) -> None:
        _check(documents)
        self._queries = [normalise(text).split() for text in queries]
        self._count = len(documents)
        self._index = _bm25s().BM25(k1=1.5, b=0.75, method="lucene")
        self._index.index([normalise(text).split() for text in documents], show_progress=False)

    def scores(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b N"]:
        """Scores of all documents for the given queries."""
        scores = np.zeros((len(rows), self._count), np.float32)
        for line, row in zip(scores, rows.tolist(), strict=True):
            known = self._index.get_tokens_ids(self._queries[row])
            if known:
                line[:] = self._index.get_scores_from_ids(known)
        return torch.from_numpy(scores)


class CharacterTfidf:
    """Cosine of TF-IDF vectors over the character 3-, 4- and 5-grams within words of the normalised texts.

    A frequency `f` counts as `1 + ln f`; document frequencies are those of the documents alone. It
    finds inflected and compound words, and so is hard to beat on titles.

    Args:
        queries: `Q` texts.
        documents: `N` texts.

    Raises:
        UserError: no document holds a word.
    """

    def __init__(self, queries: Sequence[str], documents: Sequence[str]) -> None:
        _check(documents)
        vectorizer = character_vectorizer()
        # Sparse products add in the order of the columns: equal documents get equal scores.
        self._documents = vectorizer.fit_transform(documents).T.tocsr()
        self._queries = vectorizer.transform(queries)

    def scores(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b N"]:
        """Scores of all documents for the given queries."""
        return torch.from_numpy((self._queries[rows.numpy()] @ self._documents).toarray())


def character_vectorizer() -> TfidfVectorizer:
    """What makes unit rows of TF-IDF over character n-grams, as `CharacterTfidf` says; still to be
    fitted to the documents.
    """
    return TfidfVectorizer(
        preprocessor=normalise, analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32
    )


# By the name that tables give them.
BASELINES: dict[str, type[Bm25] | type[CharacterTfidf]] = {"BM25": Bm25, "character TF-IDF": CharacterTfidf}


def _check(documents: Sequence[str]) -> None:
    if not any(normalise(text) for text in documents):
        raise UserError(
            "documents with words", f"{len(documents)} documents without a letter or digit", "Check the corpus."
        )


def _bm25s() -> Any:
    # Where JAX is installed, the import starts it, and JAX takes three quarters of a GPU's memory:
    # on the CPU it takes none.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import bm25s

    # The library sets its logger to DEBUG when it is imported.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    return bm25s
