"""An encoder measured on one split of a prepared data set, beside baselines and what it was before training."""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hr_retrieval.baselines.systems import BASELINES
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import check_corpus, evaluation_set
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.tables import SPLITS, Split
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.base import before_training
from hr_retrieval.evaluate.compression import compression
from hr_retrieval.evaluate.fairness import counterfactuals as pairs
from hr_retrieval.evaluate.fairness.cases import MEASURED, SCANNED, Kind, Ranked
from hr_retrieval.evaluate.fairness.report import model_card_section
from hr_retrieval.evaluate.fairness.wordlists import WordList, builtin_lists, read_lists
from hr_retrieval.evaluate.page import page
from hr_retrieval.evaluate.passages import by_passages, check_passages
from hr_retrieval.evaluate.per_query import write_per_query
from hr_retrieval.evaluate.second_stage import open_second_stage, reranked, told
from hr_retrieval.evaluate.summary import (
    BEFORE,
    BEGINNINGS,
    CONFIDENCE,
    ENCODER,
    PLAIN,
    RERANKED,
    Texts,
    Values,
    means,
    summary_of,
)
from hr_retrieval.evaluate.trec import write_trec
from hr_retrieval.files import check_vacant, whole_folder, write_json
from hr_retrieval.ranking.bank import training_bank
from hr_retrieval.ranking.sides import Sides
from hr_retrieval.retrieval.compression import sizes
from hr_retrieval.retrieval.extremes import TIED, extremes, what_ties
from hr_retrieval.retrieval.metrics import Embedded, per_query
from hr_retrieval.retrieval.mixing import Bank, Composition
from hr_retrieval.retrieval.overlap import PERSISTENCE
from hr_retrieval.retrieval.ranking import Ranking, exact_ranking, exact_ranks, ranking_by_scores
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.runs.directory import open_encoder
from hr_retrieval.runs.ranking import chosen_mixing

log = logging.getLogger(__name__)

# Documents of each query in `run.trec`.
_RUN_DEPTH = 100
# Queries, the first by lot, in which ties are looked for.
_TIES_SOUGHT = 1000


def evaluate(
    encoder: str,
    data: Path,
    output: Path,
    split: str = "test",
    corpus: str = "all",
    identical_text: str = "ignore",
    base: str | None = "auto",
    counterfactuals: str | None = "auto",
    mixing: Composition | None = None,
    passages: str | None = None,
    overlap: int = 32,
    dimensions: Sequence[int] | None = None,
    rescored: int = 100,
    rerank: str | None = None,
    depth: int = 100,
) -> dict[str, Any]:
    """Measure an encoder; write what was found; return what `metrics.json` holds.

    `metrics.json`, `summary.html`, `run.trec` and `per_query.parquet` are written; where
    counterfactual pairs are measured, `counterfactuals.md` is a section for the model card.

    The texts that are ranked and their embeddings are held in memory.

    Args:
        encoder: a run directory, whose best checkpoint is taken, or whatever `Encoder` loads.
        data: a prepared data set.
        output: a new or empty folder; it is written whole or not at all.
        split: the queries that are measured.
        corpus: `all` ranks every document, `split` leaves out those that answer queries of other
            splits only.
        identical_text: `ignore` or `count` a document with the query's own text (see `Guard`).
        base: the encoder before training; `auto` takes what the run or the folder's model card
            names, `None` none.
        counterfactuals: a folder of word lists; `auto` takes the built-in ones of the languages
            that occur, `None` measures no counterfactual pairs.
        mixing: at ranking time; `None` takes what the run or the folder has chosen. Only the
            ranking of the documents by the encoder is with it: what it was before training, the
            ranking of the queries for each document, and counterfactual pairs are without.
        passages: `max` or `mean` cuts texts that are longer than the encoder reads into passages, as
            an index does: a document scores by its best passage or by all of them, and a query is
            the unit mean of its own. `None` reads their beginnings. Again the ranking of the
            documents alone is with it, and not together with mixing.
        overlap: tokens that neighbouring passages share.
        dimensions: also measures shorter and rounded vectors: whole ones and these first numbers of
            them, each in all `FORMS`; `None` measures none.
        rescored: documents that are ordered anew behind a search by signs.
        rerank: the folder of a cross-encoder that orders the best `depth` documents of each query
            anew; `None` for none.

    Raises:
        UserError: `output` holds something, the data set is incomplete, the split is empty or
            nothing in it is relevant, an encoder is none, the word lists are not as they should be,
            or the mixing is of another version or encoder, or needs more than the data set has.
    """
    check_vacant(output)
    lists = _word_lists(counterfactuals)
    check_corpus(corpus, "corpus")
    dataset = PreparedDataset.open(data)
    guard = Guard(dataset, identical_text=identical_text)
    measured = evaluation_set(dataset, guard, _split(split), corpus)
    relevance = measured.relevance
    encoders = _encoders(encoder, base)
    mixing = chosen_mixing(Path(encoder), encoders[ENCODER]) if mixing is None else mixing
    mixing.check(len(measured.document_rows))
    check_passages(passages, overlap, mixing, encoders[ENCODER])
    reranker = open_second_stage(rerank, depth, _RUN_DEPTH)
    shorter = None if dimensions is None else list(sizes(encoders[ENCODER].embedding_dimension, dimensions, rescored))
    bank = training_bank(mixing, dataset, guard, encoders[ENCODER], measured.document_rows)
    texts = Texts(
        dataset.texts_at("queries", measured.query_rows), dataset.texts_at("corpus", measured.document_rows), relevance
    )
    rankings, other_direction, embedded = _rank_all(encoders, texts, mixing, bank, passages, overlap)
    if reranker is not None:
        rankings[RERANKED], cost = reranked(reranker, rankings[ENCODER], texts, depth)
    values = {name: _values(ranking.ranks, relevance) for name, ranking in rankings.items()}
    summary = summary_of(dataset, measured, texts, values)
    summary |= {
        "corpus": corpus,
        "identical_text": identical_text,
        "passages": None if passages is None else {"pooled": passages, "overlap": overlap},
        "mixing": {"parts": mixing.to_json(), "words": str(mixing)},
        "document_to_query": {ENCODER: means(_values(other_direction, relevance.transpose(len(texts.documents))))},
        "encoder": _described(encoder, encoders[ENCODER], texts),
    }
    summary["remarks"] += _ties(embedded)
    if reranker is not None:
        summary["rerank"] = {"folder": rerank, **cost}
        summary["remarks"].append(told(summary["rerank"]))
    if shorter is not None:
        log.info("quality by bytes a document: %d sizes", len(shorter))
        sides = embedded.query_embeddings, embedded.document_embeddings
        summary["compression"] = compression(*sides, relevance, shorter)
    if lists:
        summary["counterfactuals"] = _counterfactuals(lists, embedded, encoders[ENCODER])
    query_ids = dataset.ids_at("queries", measured.query_rows)
    document_ids = dataset.ids_at("corpus", measured.document_rows)
    with whole_folder(output) as partial:
        write_json(partial / "metrics.json", summary)
        write_trec(partial / "run.trec", query_ids, document_ids, rankings[ENCODER])
        write_per_query(
            partial / "per_query.parquet", query_ids, document_ids, relevance, rankings[ENCODER], values[ENCODER]
        )
        if lists:
            section = model_card_section(summary["counterfactuals"]["results"])
            (partial / "counterfactuals.md").write_text(section, encoding="utf-8")
        (partial / "summary.html").write_text(page(summary), encoding="utf-8")
    return summary


def _split(name: str) -> Split:
    for split in SPLITS:
        if split == name:
            return split
    raise UserError(f"split to be one of {', '.join(SPLITS)}", repr(name), "Choose one of them.")


def _encoders(name: str, base: str | None) -> dict[str, Encoder]:
    """The encoder and, where one is named, what it was before training, both on the fastest device."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder, run = open_encoder(name)
    found = {ENCODER: encoder.to(device)}
    before = before_training(run, Path(name), encoder, base)
    return found if before is None else {**found, BEFORE: before.to(device).eval()}


def _rank_all(
    encoders: Mapping[str, Encoder],
    texts: Texts,
    mixing: Composition,
    bank: Bank | None,
    passages: str | None,
    overlap: int,
) -> tuple[dict[str, Ranking], Tensor, Ranked]:
    """The ranking of each system by name, the ranks of the queries for each document by the
    encoder, and its embeddings.
    """
    rankings: dict[str, Ranking] = {}
    for name, encoder in encoders.items():
        log.info("%s: encoding %d queries and %d documents", name, len(texts.queries), len(texts.documents))
        shown = sys.stdout.isatty()
        queries = encoder.encode(texts.queries, "query", show_progress=shown)
        documents = encoder.encode(texts.documents, "document", show_progress=shown)
        relevance = texts.relevance.to(queries.device)
        found = exact_ranking(queries, documents, relevance, _RUN_DEPTH if name == ENCODER else 1)
        if name == ENCODER and mixing.parts:
            log.info("ranked with mixing: %s", mixing)
            rankings[name] = _on_processor(_mixed_ranking(mixing, encoder, texts, queries, documents, bank))
            name = PLAIN
        if name == ENCODER and passages is not None:
            rankings[name] = by_passages(encoder, texts, passages, overlap, _RUN_DEPTH)
            name = BEGINNINGS
        rankings[name] = _on_processor(found)
        if name in (ENCODER, PLAIN, BEGINNINGS):
            other_direction = exact_ranks(documents, queries, relevance.transpose(len(documents))).cpu()
            embedded = Ranked(texts.queries, texts.documents, queries, documents, relevance)
    for name, system in BASELINES.items():
        log.info("%s: ranking", name)
        scores = system(texts.queries, texts.documents).scores
        rankings[name] = ranking_by_scores(scores, texts.relevance, len(texts.documents), 1)
    return rankings, other_direction, embedded


def _mixed_ranking(
    mixing: Composition, encoder: Encoder, texts: Texts, queries: Tensor, documents: Tensor, bank: Bank | None
) -> Ranking:
    sides = Sides(mixing, encoder, lambda: texts.documents, documents, bank)
    mixed = mixing(sides.queries(lambda: texts.queries, queries), sides.corpus)
    return mixed.ranking(texts.relevance.to(queries.device), _RUN_DEPTH)


def _on_processor(ranking: Ranking) -> Ranking:
    return Ranking(ranking.ranks.cpu(), ranking.scores.cpu(), ranking.rows.cpu())


def _word_lists(counterfactuals: str | None) -> list[WordList]:
    if counterfactuals is None:
        return []
    return read_lists(builtin_lists() if counterfactuals == "auto" else Path(counterfactuals))


def _counterfactuals(lists: Sequence[WordList], ranked: Ranked, encoder: Encoder) -> dict[str, Any]:
    """What is measured on counterfactual pairs, with which lists."""
    occurring = pairs.occurring(lists, [*ranked.queries, *ranked.documents])
    log.info("counterfactual pairs: %s", ", ".join(own.name for own in occurring) or "no text in a script of the lists")
    return {
        "rbo": {"p": PERSISTENCE, "depth": min(pairs.DEPTH, len(ranked.documents))},
        "at_most": {"queries_scanned": SCANNED, "measured": MEASURED},
        "confidence": CONFIDENCE,
        "lists": {own.name: {"sides": list(own.sides), "sha256": own.fingerprint} for own in occurring},
        "results": pairs.measure(occurring, ranked, _told(encoder), CONFIDENCE),
    }


def _told(encoder: Encoder) -> pairs.Encode:
    """Encodes the texts that counterfactual pairs need anew, most of the time of an evaluation, and says how many."""

    def encode(texts: list[str], kind: Kind) -> Tensor:
        log.info("counterfactual pairs: encoding %s texts (counterfactuals=null leaves them out)", f"{len(texts):,}")
        return encoder.encode(texts, kind, show_progress=sys.stdout.isatty())

    return encode


def _values(ranks: Tensor, relevance: Relevance) -> Values:
    return {name: value.numpy() for name, value in per_query(ranks, relevance).items()}


def _ties(ranked: Ranked) -> list[str]:
    """A sentence where the encoder's scores tie so often that lots decide its figures in good part."""
    rows = ranked.relevance.counts.nonzero().squeeze(1)[:_TIES_SOUGHT]
    whole = Embedded(ranked.query_embeddings, ranked.document_embeddings, ranked.relevance)
    share = extremes(whole, rows).tied
    return [f"Scores of the encoder tie: {what_ties(share)}"] if share > TIED else []


def _described(name: str, encoder: Encoder, texts: Texts) -> dict[str, Any]:
    return {
        **encoder.describe(),
        "name_or_path": name,
        "fingerprint": encoder.embedding_fingerprint(),
        "queries_cut": encoder.tokenise(texts.queries, "query")[1],
        "documents_cut": encoder.tokenise(texts.documents, "document")[1],
    }
