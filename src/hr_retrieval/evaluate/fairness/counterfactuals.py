"""How far a ranking moves when a text says the counterpart of what it said of a person.

Three things are measured, for each word list and each direction:

* a query whose words are swapped (`substitution`) against the query itself;
* a query within a template of the one side against the same within that of the other (`insertion`): both have a name
  or phrase, so that only which one differs. For comparison, the same within two templates of one side and kind: what any other
  name or phrase moves;
* a relevant document whose words are swapped, all others as they were, against itself, for the same query.

`rank` is that of the best relevant document, or of the changed one; a shift is after minus before: a positive
`rank_shift` and a negative `reciprocal_rank_shift` are for the worse. Each query counts once. The idea is that of
counterfactual token fairness (Garg et al., Counterfactual fairness in text classification through robustness, AIES
2019); the figures measure what these words move and nothing else.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.evaluate.fairness.wordlists import PLACE, Swap, WordList
from hr_retrieval.markdown import markdown_table
from hr_retrieval.retrieval.grid import TILE, whole_tiles
from hr_retrieval.retrieval.overlap import rank_biased_overlap
from hr_retrieval.retrieval.ranking import exact_ranking
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.retrieval.significance import bootstrap_interval

Kind = Literal["query", "document"]
Encode = Callable[[list[str], Kind], Tensor]
Rows = npt.NDArray[np.int64]

# Documents of each ranking that are compared.
DEPTH = 100
# Queries, and documents relevant to them, that are looked through, and cases that are measured of each kind.
SCANNED, MEASURED = 10_000, 1_000
# Queries below which a mean is left out of tables.
SHOWN = 10
# A quarter of the resamples of other intervals: there are many of these, and two digits are enough.
_RESAMPLES = 2_500
# Scores held at a time: 128 MiB in float32.
_SCORES = 1 << 25


@dataclass(frozen=True)
class Ranked:
    """What is ranked: texts, their embeddings on one device, and the relevance between them on the same.

    Attributes:
        queries: texts of `Q` queries.
        documents: texts of `N` documents.
        query_embeddings: `[Q, d]`.
        document_embeddings: `[N, d]`.
        relevance: queries without a relevant document are left out.
    """

    queries: list[str]
    documents: list[str]
    query_embeddings: Float[Tensor, "Q d"]
    document_embeddings: Float[Tensor, "N d"]
    relevance: Relevance


@dataclass(frozen=True)
class _Case:
    """Texts that are changed in one way.

    Attributes:
        list_name: of the word list.
        changed: the side of the search that is changed.
        form: substitution or insertion.
        direction: from which side of the list to which.
        affected: queries that were found for it; `rows` are those measured.
        rows: of the queries.
        documents: rows of the documents that are changed; empty where the queries are.
        before: the changed query or document as it is compared.
        after: with its counterpart.
    """

    list_name: str
    changed: Kind
    form: str
    direction: str
    affected: int
    rows: list[int]
    documents: list[int]
    before: list[str]
    after: list[str]


def occurring(lists: Sequence[WordList], texts: Sequence[str]) -> list[WordList]:
    """The lists in whose script at least one of the texts is written."""
    return [own for own in lists if any(own.applies_to(text) for text in texts)]


def measure(
    lists: Sequence[WordList], ranked: Ranked, encode: Encode, confidence: float = 0.95, seed: int = 0
) -> list[dict[str, Any]]:
    """A result for each list, form and direction, of which `affected` may be 0; then it has no figures.

    At most `SCANNED` queries and `MEASURED` of each result are drawn by the seed, so that cost and memory are bounded.

    Args:
        encode: embeddings of texts, like those in `ranked`; called once for each kind with distinct texts.
        confidence: chance that an interval, by resampling queries, holds the mean.
    """
    generator = np.random.default_rng(seed)
    measured = torch.nonzero(ranked.relevance.counts).squeeze(1).cpu().numpy()
    rows = _drawn(measured, SCANNED, generator)
    cases = [case for own in lists for case in _cases(own, ranked, rows, generator)]
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


_COLUMNS = ("list", "changed", "direction", "queries", "RBO", "rank shift, absolute", "shift of 1/rank")


def model_card_section(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as a section of a model card, in Markdown."""
    lines = [
        "## Counterfactual pairs",
        "",
        "How far rankings move when words for one side stand in the place of those for the other (mean, and 95 % interval "
        "over queries). This measures the listed words on these texts; it does not show that people are treated alike.",
        "",
        markdown_table([_COLUMNS, *table_rows(results)], text=range(3)),
        "",
        remark(results),
    ]
    return "\n".join(lines) + "\n"


def table_rows(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """List, changed, direction, queries and three figures of each result of at least `SHOWN` queries."""
    return [
        [
            result["list"],
            f"{result['changed']}, {result['form']}",
            result["direction"],
            str(result["measured"]),
            _with_interval(result["rbo"]) if "rbo" in result else "",
            f"{result['absolute_rank_shift']['mean']:.2f}",
            _with_interval(result["reciprocal_rank_shift"], "+"),
        ]
        for result in results
        if result["measured"] >= SHOWN
    ]


def remark(results: Sequence[Mapping[str, Any]]) -> str:
    """One sentence on what the table leaves out."""
    few = sum(result["measured"] < SHOWN for result in results)
    return f"Left out: {few} of {len(results)} counterfactual results, of fewer than {SHOWN} queries each."


def _with_interval(figure: Mapping[str, Any], sign: str = "") -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _drawn(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    """At most so many of the rows, in their order."""
    return rows if len(rows) <= count else np.sort(generator.choice(rows, count, replace=False))


def _directions(own: WordList) -> dict[str, frozenset[int]]:
    """What each direction is called, and the sides that a text of it names."""
    one, other = own.sides
    return {
        f"{one} to {other}": frozenset({0}),
        f"{other} to {one}": frozenset({1}),
        f"{one} and {other} exchanged": frozenset({0, 1}),
    }


def _cases(own: WordList, ranked: Ranked, rows: Rows, generator: np.random.Generator) -> Iterator[_Case]:
    fitting = [row for row in rows.tolist() if own.applies_to(ranked.queries[row])]
    if own.pairs:
        yield from _swapped_queries(own, ranked, fitting, generator)
    if own.templates:
        yield from _inserted(own, ranked, fitting, generator)
    if own.pairs:
        yield from _swapped_documents(own, ranked, rows, generator)


def _swapped_queries(own: WordList, ranked: Ranked, rows: list[int], generator: np.random.Generator) -> Iterator[_Case]:
    swaps = _swaps(own, ranked.queries, rows)
    for direction, sides in _directions(own).items():
        found = np.array([row for row, swap in swaps.items() if swap.sides == sides], dtype=np.int64)
        chosen = _drawn(found, MEASURED, generator).tolist()
        before, after = [ranked.queries[row] for row in chosen], [swaps[row].text for row in chosen]
        yield _Case(own.name, "query", "substitution", direction, len(found), chosen, [], before, after)


def _inserted(own: WordList, ranked: Ranked, rows: list[int], generator: np.random.Generator) -> Iterator[_Case]:
    """Each query within one of the templates, which take turns, against the other side, and against the next of its kind."""
    chosen = _drawn(np.array(rows, dtype=np.int64), MEASURED, generator).tolist()
    texts = [ranked.queries[row] for row in chosen]

    turns = [turn % len(own.templates) for turn in range(len(texts))]
    following = [own.following(place) for place in range(len(own.templates))]

    def within(side: int, places: list[int]) -> list[str]:
        return [own.templates[place][side].replace(PLACE, text) for place, text in zip(places, texts, strict=True)]

    one, other = own.sides
    compared = {f"{one} to {other}": within(1, turns)}
    if all(place != after for place, after in enumerate(following)):
        compared[f"{one} to {one}"] = within(0, [following[place] for place in turns])
    for direction, after in compared.items():
        yield _Case(own.name, "query", "insertion", direction, len(rows), chosen, [], within(0, turns), after)


def _swapped_documents(own: WordList, ranked: Ranked, rows: Rows, generator: np.random.Generator) -> Iterator[_Case]:
    pairs = _relevant_pairs(ranked.relevance, rows)
    known = _drawn(np.unique(pairs[:, 1]), SCANNED, generator).tolist()
    swaps = _swaps(own, ranked.documents, [row for row in known if own.applies_to(ranked.documents[row])])
    for direction, sides in _directions(own).items():
        changed = np.array([row for row, swap in swaps.items() if swap.sides == sides], dtype=np.int64)
        of_direction = pairs[np.isin(pairs[:, 1], changed)]
        affected = len(np.unique(of_direction[:, 0]))
        chosen = of_direction[_drawn(np.arange(len(of_direction)), MEASURED, generator)]
        queries, documents = chosen[:, 0].tolist(), chosen[:, 1].tolist()
        before, after = [ranked.documents[row] for row in documents], [swaps[row].text for row in documents]
        yield _Case(own.name, "document", "substitution", direction, affected, queries, documents, before, after)


def _swaps(own: WordList, texts: Sequence[str], rows: Sequence[int]) -> dict[int, Swap]:
    found = ((row, own.swap(texts[row])) for row in rows)
    return {row: swap for row, swap in found if swap is not None}


def _relevant_pairs(relevance: Relevance, rows: Rows) -> Rows:
    """Query and document row of each relevant document of these queries, `[P, 2]`."""
    pairs = torch.stack([relevance.owners, relevance.documents], dim=1).cpu().numpy()
    return pairs[np.isin(pairs[:, 0], rows)]


def _embedded(cases: Sequence[_Case], kind: Kind, ranked: Ranked, encode: Encode) -> Callable[[list[str]], Tensor]:
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
    case: _Case, embed: Callable[[list[str]], Tensor], ranked: Ranked, confidence: float
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
    case: _Case, before: Float[Tensor, "q d"], after: Float[Tensor, "q d"], ranked: Ranked
) -> dict[str, npt.NDArray[np.float64]]:
    relevance = ranked.relevance.take(torch.tensor(case.rows, device=ranked.relevance.offsets.device))
    rankings = [exact_ranking(queries, ranked.document_embeddings, relevance, DEPTH) for queries in (before, after)]
    first, second = (_best(ranking.ranks, relevance) for ranking in rankings)
    overlap = rank_biased_overlap(rankings[0].rows, rankings[1].rows)
    return {"rbo": overlap.cpu().numpy(), **_shifts(first, second)}


def _document_values(
    case: _Case, before: Float[Tensor, "p d"], after: Float[Tensor, "p d"], ranked: Ranked
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
