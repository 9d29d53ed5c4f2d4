"""How far a ranking moves when a text says the counterpart of what it said of a person.

Three things are measured, for each word list and each direction:

* a query whose words are swapped (`substitution`) against the query itself;
* a query within a template of the one side against the same within that of the other (`insertion`):
  both have a name or phrase, so that only which one differs. For comparison, the same within two
  templates of one side and kind: what any other name or phrase moves;
* a relevant document whose words are swapped, all others as they were, against itself, for the same
  query.

`rank` is that of the best relevant document, or of the changed one; a shift is after minus before:
a positive `rank_shift` and a negative `reciprocal_rank_shift` are for the worse. Each query counts
once. The idea is that of counterfactual token fairness (Garg et al., Counterfactual fairness in
text classification through robustness, AIES 2019); the figures measure what these words move and
nothing else.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.evaluate.fairness.cases import SCANNED, Case, Kind, Ranked, cases_of, drawn
from hr_retrieval.evaluate.fairness.wordlists import WordList
from hr_retrieval.retrieval.grid import TILE, whole_tiles
from hr_retrieval.retrieval.overlap import rank_biased_overlap
from hr_retrieval.retrieval.ranking import exact_ranking
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.retrieval.significance import bootstrap_interval

Encode = Callable[[list[str], Kind], Tensor]

# Documents of each ranking that are compared.
DEPTH = 100
# A quarter of the resamples of other intervals: there are many of these, and two digits are enough.
_RESAMPLES = 2_500
# Scores held at a time: 128 MiB in float32.
_SCORES = 1 << 25


def occurring(lists: Sequence[WordList], texts: Sequence[str]) -> list[WordList]:
    """The lists in whose script at least one of the texts is written."""
    return [own for own in lists if any(own.applies_to(text) for text in texts)]


def measure(
    lists: Sequence[WordList], ranked: Ranked, encode: Encode, confidence: float = 0.95, seed: int = 0
) -> list[dict[str, Any]]:
    """A result for each list, form and direction, of which `affected` may be 0; then it has no figures.

    At most `SCANNED` queries and `MEASURED` of each result are drawn by the seed, so that cost and
    memory are bounded.

    Args:
        encode: embeddings of texts, like those in `ranked`; called once for each kind with distinct
            texts.
        confidence: chance that an interval, by resampling queries, holds the mean.
    """
    generator = np.random.default_rng(seed)
    measured = torch.nonzero(ranked.relevance.counts).squeeze(1).cpu().numpy()
    rows = drawn(measured, SCANNED, generator)
    cases = [case for own in lists for case in cases_of(own, ranked, rows, generator)]
    kinds: tuple[Kind, Kind] = ("query", "document")
    embed = {kind: _embedded([case for case in cases if case.changed == kind], kind, ranked, encode) for kind in kinds}
    return [
        {
            "list": case.list_name,
            "changed": case.changed,
            "form": case.form,
            "direction": case.direction,
            "affected": case.affected,
            "measured": len(set(case.rows)),
            **_figures(case, embed[case.changed], ranked, confidence),
        }
        for case in cases
    ]


def _embedded(cases: Sequence[Case], kind: Kind, ranked: Ranked, encode: Encode) -> Callable[[list[str]], Tensor]:
    """The embeddings of the cases' texts: those known already, and each other text encoded once."""
    texts, known = (
        (ranked.queries, ranked.query_embeddings) if kind == "query" else (ranked.documents, ranked.document_embeddings)
    )
    needed = dict.fromkeys(text for case in cases for text in (*case.before, *case.after))
    at = {text: row for row, text in enumerate(texts) if text in needed}
    new = [text for text in needed if text not in at]
    matrix = (
        torch.cat([known[list(at.values())], encode(new, kind).to(known.device)]) if new else known[list(at.values())]
    )
    place = {text: row for row, text in enumerate((*at, *new))}
    return lambda asked: matrix[[place[text] for text in asked]]


def _figures(
    case: Case, embed: Callable[[list[str]], Tensor], ranked: Ranked, confidence: float
) -> dict[str, dict[str, Any]]:
    if not case.rows:
        return {}
    before, after = embed(case.before), embed(case.after)
    measured = _document_values if case.changed == "document" else _query_values
    values = measured(case, before, after, ranked)
    return {
        name: {"mean": float(own.mean()), "interval": list(bootstrap_interval(own, confidence, _RESAMPLES))}
        for name, own in values.items()
    }


def _query_values(
    case: Case, before: Float[Tensor, "q d"], after: Float[Tensor, "q d"], ranked: Ranked
) -> dict[str, npt.NDArray[np.float64]]:
    relevance = ranked.relevance.take(torch.tensor(case.rows, device=ranked.relevance.offsets.device))
    rankings = [exact_ranking(queries, ranked.document_embeddings, relevance, DEPTH) for queries in (before, after)]
    first, second = (_best(ranking.ranks, relevance) for ranking in rankings)
    overlap = rank_biased_overlap(rankings[0].rows, rankings[1].rows)
    return {"rbo": overlap.cpu().numpy(), **_shifts(first, second)}


def _document_values(
    case: Case, before: Float[Tensor, "p d"], after: Float[Tensor, "p d"], ranked: Ranked
) -> dict[str, npt.NDArray[np.float64]]:
    """Shifts of each query: the mean over its changed documents."""
    queries, documents = ranked.query_embeddings[case.rows], ranked.document_embeddings
    size = max(1, _SCORES // (len(documents) + 3 * TILE))
    parts = (torch.split(part, size) for part in (queries, torch.tensor(case.documents), before, after))
    blocks = zip(*parts, strict=True)
    ranks = torch.cat([_ranks_alone(part, documents, rows, one, other) for part, rows, one, other in blocks], dim=1)
    shifts = _shifts(ranks[0], ranks[1])
    _, owners = np.unique(case.rows, return_inverse=True)
    counts = np.bincount(owners)
    return {name: np.bincount(owners, weights=own) / counts for name, own in shifts.items()}


def _ranks_alone(
    queries: Float[Tensor, "b d"],
    documents: Float[Tensor, "N d"],
    rows: Int[Tensor, " b"],
    before: Float[Tensor, "b d"],
    after: Float[Tensor, "b d"],
) -> Int[Tensor, "2 b"]:
    """Ranks of document `rows[i]` for query `i` with either embedding, all other documents as they are."""
    count, each = len(documents), torch.arange(len(queries))
    both = torch.cat([documents, before, after])
    scores = queries @ whole_tiles(both).T
    own = torch.stack([scores[each, count + each], scores[each, count + len(each) + each]])
    others = scores[:, :count]
    others[each, rows] = -torch.inf
    earlier = torch.arange(count, device=scores.device) < rows.to(scores.device)[:, None]
    higher = [(others > mine[:, None]) | ((others == mine[:, None]) & earlier) for mine in own]
    return 1 + torch.stack([mask.sum(dim=1) for mask in higher])


def _best(ranks: Int[Tensor, " nnz"], relevance: Relevance) -> Int[Tensor, " Q"]:
    """The best rank of each query; each has one."""
    start = torch.full((len(relevance),), torch.iinfo(torch.long).max, device=ranks.device)
    return start.scatter_reduce(0, relevance.owners, ranks, "amin")


def _shifts(before: Int[Tensor, " n"], after: Int[Tensor, " n"]) -> dict[str, npt.NDArray[np.float64]]:
    one, other = before.cpu().numpy().astype(np.float64), after.cpu().numpy().astype(np.float64)
    return {
        "rank_shift": other - one,
        "absolute_rank_shift": np.abs(other - one),
        "reciprocal_rank_shift": 1 / other - 1 / one,
    }
