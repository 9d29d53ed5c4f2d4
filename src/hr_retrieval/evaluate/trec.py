"""The ranking of an encoder as a run of TREC."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jaxtyping import Float

from hr_retrieval.retrieval.ranking import Ranking


def write_trec(path: Path, query_ids: Sequence[str], document_ids: Sequence[str], ranking: Ranking) -> None:
    """Write the best documents of each ranked query as a TREC run: `query_id Q0 document_id rank score tag`.

    trec_eval reads scores alone, in float32, and orders equal ones by descending id: scores that
    tie are therefore written as the next smaller numbers, so that it finds our order. White space
    and `%` in ids are percent-encoded.
    """
    scores, rows = _strictly_descending(ranking.scores.numpy()), ranking.rows.tolist()
    queries, documents = [_token(name) for name in query_ids], [_token(name) for name in document_ids]
    with path.open("w", encoding="utf-8") as file:
        for query, own_rows, own_scores in zip(queries, rows, scores, strict=True):
            for rank, (row, score) in enumerate(zip(own_rows, own_scores, strict=True), 1):
                if row >= 0:
                    file.write(f"{query} Q0 {documents[row]} {rank} {score!s} hr_retrieval\n")


def _strictly_descending(scores: Float[np.ndarray, "Q k"]) -> Float[np.ndarray, "Q k"]:
    result = scores.copy()
    for place in range(1, result.shape[1]):
        below = np.nextafter(result[:, place - 1], np.float32(-np.inf))
        result[:, place] = np.minimum(result[:, place], below)
    return result


def _token(name: str) -> str:
    return "".join(quote(letter) if letter.isspace() or letter == "%" else letter for letter in name)
