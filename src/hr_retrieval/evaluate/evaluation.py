"""An encoder measured on one split of a prepared data set, beside baselines and what it was before training."""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from hr_retrieval.baselines.lexical import BASELINES
from hr_retrieval.config.build import build
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import EvaluationSet, check_corpus, evaluation_set
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.tables import SPLITS, Split
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.fairness import counterfactuals as pairs
from hr_retrieval.evaluate.fairness.counterfactuals import Ranked
from hr_retrieval.evaluate.fairness.wordlists import WordList, builtin_lists, read_lists
from hr_retrieval.evaluate.slices import Mask, query_slices
from hr_retrieval.files import check_vacant, whole_folder, write_json
from hr_retrieval.retrieval import HEADLINE
from hr_retrieval.retrieval.extremes import TIED, extremes, what_ties
from hr_retrieval.retrieval.metrics import Embedded, per_query
from hr_retrieval.retrieval.overlap import PERSISTENCE
from hr_retrieval.retrieval.ranking import Ranking, exact_ranking, exact_ranks, ranking_by_scores
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.retrieval.significance import bootstrap_interval, randomisation_test
from hr_retrieval.runs.directory import Run, open_encoder
from hr_retrieval.text import normalise

log = logging.getLogger(__name__)

ENCODER, BEFORE = "encoder", "before training"
RELEVANCE_RULE = (
    "A document is right for a query if it is a stated positive, a duplicate of one, or of the query's own stated group, "
    "and no stated negative; queries of one text share their judgements. A query without such a document is excluded."
)
RANK_RULE = (
    "1 + the number of ranked documents that score higher, or as high with a smaller hash of the text (exact ranks)."
)

# Metrics with an interval, and the chance that it holds the mean.
_INTERVALS = (*HEADLINE, "ndcg@10", "map")
_CONFIDENCE = 0.95
_SLICED = ("mrr", "pass@1")
# Documents of each query in `run.trec` and in `per_query.parquet`.
_RUN_DEPTH, _SHOWN = 100, 10
_SIGNIFICANT = 0.05
# Queries, the first by lot, in which ties are looked for.
_TIES_SOUGHT = 1000

Values = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class _Texts:
    """What is ranked: the texts of `Q` queries and `N` documents, and the relevance between them."""

    queries: list[str]
    documents: list[str]
    relevance: Relevance


def evaluate(
    encoder: str,
    data: Path,
    output: Path,
    split: str = "test",
    corpus: str = "all",
    identical_text: str = "ignore",
    base: str | None = "auto",
    counterfactuals: str | None = "auto",
) -> dict[str, Any]:
    """Measure an encoder; write `metrics.json`, `run.trec` and `per_query.parquet`; return what `metrics.json` holds.

    Where counterfactual pairs are measured, `counterfactuals.md` is a section for the model card.

    The texts that are ranked and their embeddings are held in memory.

    Args:
        encoder: a run directory, whose best checkpoint is taken, or whatever `Encoder` loads.
        data: a prepared data set.
        output: a new or empty folder; it is written whole or not at all.
        split: the queries that are measured.
        corpus: `all` ranks every document, `split` leaves out those that answer queries of other splits only.
        identical_text: `ignore` or `count` a document with the query's own text (see `Guard`).
        base: the encoder before training; `auto` takes what the run or the folder's model card names, `None` none.
        counterfactuals: a folder of word lists; `auto` takes the built-in ones of the languages that occur, `None`
            measures no counterfactual pairs.

    Raises:
        UserError: `output` holds something, the data set is incomplete, the split is empty or nothing in it is
            relevant, an encoder is none, or the word lists are not as they should be.
    """
    check_vacant(output)
    lists = _word_lists(counterfactuals)
    check_corpus(corpus, "corpus")
    dataset = PreparedDataset.open(data)
    measured = evaluation_set(dataset, Guard(dataset, identical_text=identical_text), _split(split), corpus)
    relevance = measured.relevance
    encoders = _encoders(encoder, base)
    texts = _Texts(
        dataset.texts_at("queries", measured.query_rows), dataset.texts_at("corpus", measured.document_rows), relevance
    )
    rankings, other_direction, embedded = _rank_all(encoders, texts)
    values = {name: _values(ranking.ranks, relevance) for name, ranking in rankings.items()}
    summary = _summary(dataset, measured, texts, values)
    summary |= {
        "corpus": corpus,
        "identical_text": identical_text,
        "document_to_query": {ENCODER: _means(_values(other_direction, relevance.transpose(len(texts.documents))))},
        "encoder": _described(encoder, encoders[ENCODER], texts),
    }
    summary["remarks"] += _ties(embedded)
    if lists:
        summary["counterfactuals"] = _counterfactuals(lists, embedded, encoders[ENCODER])
    query_ids = dataset.ids_at("queries", measured.query_rows)
    document_ids = dataset.ids_at("corpus", measured.document_rows)
    with whole_folder(output) as partial:
        write_json(partial / "metrics.json", summary)
        write_trec(partial / "run.trec", query_ids, document_ids, rankings[ENCODER])
        _write_per_query(
            partial / "per_query.parquet", query_ids, document_ids, relevance, rankings[ENCODER], values[ENCODER]
        )
        if lists:
            section = pairs.model_card_section(summary["counterfactuals"]["results"])
            (partial / "counterfactuals.md").write_text(section, encoding="utf-8")
    return summary


def report(summary: Mapping[str, Any], folder: Path) -> None:
    """Print what `evaluate` found, and where the files are."""
    console = Console(width=120)
    console.print(
        f"{summary['measured_queries']:,} {summary['split']} queries, each ranked over {summary['ranked']}, "
        f"exact ranks; {summary['excluded_queries']} queries without a relevant document are excluded."
    )
    if summary["own_text_queries"]:
        console.print(
            f"{summary['own_text_queries']:,} queries are the text of a document, which counts for nothing "
            "(identical_text=count includes it)."
        )
    table = Table("", *(f"{name} (95 % interval)" if name == "mrr" else name for name in HEADLINE))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, system in summary["systems"].items():
        means = system["metrics"]
        low, high = system["intervals"]["mrr"]
        cells = [f"{means['mrr']:.4f} ({low:.4f} to {high:.4f})", *(f"{means[metric]:.4f}" for metric in HEADLINE[1:])]
        table.add_row(name, *cells)
    console.print(table)
    lines = list(summary["remarks"])
    if "counterfactuals" in summary:
        results = summary["counterfactuals"]["results"]
        console.print(_counterfactual_table(results))
        lines += [pairs.remark(results), f"Section for a model card    {folder / 'counterfactuals.md'}"]
    lines += [
        f"Metrics, intervals, slices  {folder / 'metrics.json'}",
        f"TREC run of the encoder     {folder / 'run.trec'}",
        f"Ranks of each query         {folder / 'per_query.parquet'}",
    ]
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


def write_trec(path: Path, query_ids: Sequence[str], document_ids: Sequence[str], ranking: Ranking) -> None:
    """Write the best documents of each ranked query as a TREC run: `query_id Q0 document_id rank score tag`.

    trec_eval reads scores alone, in float32, and orders equal ones by descending id: scores that tie are therefore
    written as the next smaller numbers, so that it finds our order. White space and `%` in ids are percent-encoded.
    """
    scores, rows = _strictly_descending(ranking.scores.numpy()), ranking.rows.tolist()
    queries, documents = [_token(name) for name in query_ids], [_token(name) for name in document_ids]
    with path.open("w", encoding="utf-8") as file:
        for query, own_rows, own_scores in zip(queries, rows, scores, strict=True):
            for rank, (row, score) in enumerate(zip(own_rows, own_scores, strict=True), 1):
                if row >= 0:
                    file.write(f"{query} Q0 {documents[row]} {rank} {score!s} hr_retrieval\n")


def seen_in_training(dataset: PreparedDataset, queries: Sequence[str]) -> list[bool]:
    """Whether each normalised text is that of a training query; the training queries are read block by block."""
    keys = [normalise(text) for text in queries]
    wanted, found, begin = set(keys), set[str](), 0
    for block in dataset.texts("queries"):
        in_training = dataset.query_split[begin : begin + len(block)] == SPLITS["train"]
        found |= wanted.intersection(
            normalise(text) for text, chosen in zip(block, in_training.tolist(), strict=True) if chosen
        )
        begin += len(block)
    return [key in found for key in keys]


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
    before = _before_training(run, Path(name), encoder, base)
    return found if before is None else {**found, BEFORE: before.to(device).eval()}


def _before_training(run: Run | None, folder: Path, encoder: Encoder, base: str | None) -> Encoder | None:
    stated = _stated_base(folder) if base == "auto" and run is None else base
    if stated is None:
        return None
    try:
        if run is not None and stated == "auto":
            before: Encoder = build(run.config.model.encoder)
            return before
        return Encoder(
            stated,
            pooling=encoder.pooling,
            max_length=encoder.max_length,
            query_prefix=encoder.prefixes["query"],
            document_prefix=encoder.prefixes["document"],
            dimensions=encoder.dimensions,
        )
    except UserError as error:
        remedy = f"{error.remedy} Or compare with no encoder before training: base=null."
        raise UserError(error.expected, error.got, remedy) from None


def _stated_base(folder: Path) -> str | None:
    """What the front matter of a folder's model card says that it was trained from: in our words, or in the hub's."""
    card = folder / "README.md"
    parts = card.read_text(encoding="utf-8").split("---\n", 2) if card.is_file() else []
    if len(parts) < 3 or parts[0]:
        return None
    try:
        stated = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        # Somebody's card that is no YAML says nothing; the encoder is none the worse.
        return None
    base = stated.get("trained_from", stated.get("base_model")) if isinstance(stated, dict) else None
    return base if isinstance(base, str) else None


def _rank_all(encoders: Mapping[str, Encoder], texts: _Texts) -> tuple[dict[str, Ranking], Tensor, Ranked]:
    """The ranking of each system by name, the ranks of the queries for each document by the encoder, and its embeddings."""
    rankings: dict[str, Ranking] = {}
    for name, encoder in encoders.items():
        log.info("%s: encoding %d queries and %d documents", name, len(texts.queries), len(texts.documents))
        shown = sys.stdout.isatty()
        queries = encoder.encode(texts.queries, "query", show_progress=shown)
        documents = encoder.encode(texts.documents, "document", show_progress=shown)
        relevance = texts.relevance.to(queries.device)
        found = exact_ranking(queries, documents, relevance, _RUN_DEPTH if name == ENCODER else 1)
        rankings[name] = Ranking(found.ranks.cpu(), found.scores.cpu(), found.rows.cpu())
        if name == ENCODER:
            other_direction = exact_ranks(documents, queries, relevance.transpose(len(documents))).cpu()
            embedded = Ranked(texts.queries, texts.documents, queries, documents, relevance)
    for name, system in BASELINES.items():
        log.info("%s: ranking", name)
        scores = system(texts.queries, texts.documents).scores
        rankings[name] = ranking_by_scores(scores, texts.relevance, len(texts.documents), 1)
    return rankings, other_direction, embedded


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
        "at_most": {"queries_scanned": pairs.SCANNED, "measured": pairs.MEASURED},
        "confidence": _CONFIDENCE,
        "lists": {own.name: {"sides": list(own.sides), "sha256": own.fingerprint} for own in occurring},
        "results": pairs.measure(occurring, ranked, encoder.encode, _CONFIDENCE),
    }


def _counterfactual_table(results: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("pairs", "changed", "direction")
    for name in ("queries", "RBO", "|rank shift|", "shift of 1/rank"):
        table.add_column(name, justify="right")
    for row in pairs.table_rows(results):
        table.add_row(*row)
    return table


def _values(ranks: Tensor, relevance: Relevance) -> Values:
    return {name: value.numpy() for name, value in per_query(ranks, relevance).items()}


def _means(values: Values) -> dict[str, float]:
    return {name: float(value.mean()) for name, value in values.items()}


def _summary(
    dataset: PreparedDataset, measured: EvaluationSet, texts: _Texts, values: Mapping[str, Values]
) -> dict[str, Any]:
    has_relevant = (texts.relevance.counts > 0).numpy()
    return {
        "split": measured.split,
        "queries": len(texts.queries),
        "measured_queries": int(has_relevant.sum()),
        "excluded_queries": int((~has_relevant).sum()),
        "documents": len(texts.documents),
        "ranked": measured.corpus,
        "own_text_queries": int((texts.relevance.left_out.counts > 0).sum()) if texts.relevance.left_out else 0,
        "relevance_rule": RELEVANCE_RULE,
        "rank_rule": RANK_RULE,
        "data": {"folder": str(dataset.folder), "fingerprint": dataset.fingerprint},
        "confidence": _CONFIDENCE,
        "systems": {name: {"metrics": _means(own), "intervals": _intervals(own)} for name, own in values.items()},
        "remarks": _remarks(values),
        "slices": _slices(dataset, texts, np.flatnonzero(has_relevant), values),
    }


def _intervals(values: Values) -> dict[str, list[float]]:
    return {name: list(bootstrap_interval(values[name], _CONFIDENCE)) for name in _INTERVALS}


def _remarks(values: Mapping[str, Values]) -> list[str]:
    """One plain sentence for each system that the encoder loses to."""
    remarks, own = [], values[ENCODER]["mrr"]
    for name, other in values.items():
        if other["mrr"].mean() <= own.mean():
            continue
        p_value = randomisation_test(own, other["mrr"])
        verdict = "no more than chance may explain" if p_value >= _SIGNIFICANT else "a significant difference"
        remarks.append(
            f"The encoder loses to {name}: MRR {own.mean():.4f} against {other['mrr'].mean():.4f}, {verdict} "
            f"(p = {p_value:.4f}, randomisation test)."
        )
    return remarks


def _ties(ranked: Ranked) -> list[str]:
    """A sentence where the encoder's scores tie so often that lots decide its figures in good part."""
    rows = ranked.relevance.counts.nonzero().squeeze(1)[:_TIES_SOUGHT]
    whole = Embedded(ranked.query_embeddings, ranked.document_embeddings, ranked.relevance)
    share = extremes(whole, rows).tied
    return [f"Scores of the encoder tie: {what_ties(share)}"] if share > TIED else []


def _slices(
    dataset: PreparedDataset, texts: _Texts, rows: npt.NDArray[np.int64], values: Mapping[str, Values]
) -> dict[str, dict[str, dict[str, Any]]]:
    queries = [texts.queries[row] for row in rows]
    kinds = query_slices(queries, seen_in_training(dataset, queries), texts.relevance.counts.numpy()[rows].tolist())
    return {kind: {name: _slice(mask, values) for name, mask in masks.items()} for kind, masks in kinds.items()}


def _slice(mask: Mask, values: Mapping[str, Values]) -> dict[str, Any]:
    systems = {name: {metric: float(own[metric][mask].mean()) for metric in _SLICED} for name, own in values.items()}
    return {"queries": int(mask.sum()), **systems}


def _described(name: str, encoder: Encoder, texts: _Texts) -> dict[str, Any]:
    return {
        **encoder.describe(),
        "name_or_path": name,
        "fingerprint": encoder.embedding_fingerprint(),
        "queries_cut": encoder.tokenise(texts.queries, "query")[1],
        "documents_cut": encoder.tokenise(texts.documents, "document")[1],
    }


def _strictly_descending(scores: Float[np.ndarray, "Q k"]) -> Float[np.ndarray, "Q k"]:
    result = scores.copy()
    for place in range(1, result.shape[1]):
        below = np.nextafter(result[:, place - 1], np.float32(-np.inf))
        result[:, place] = np.minimum(result[:, place], below)
    return result


def _token(name: str) -> str:
    return "".join(quote(letter) if letter.isspace() or letter == "%" else letter for letter in name)


def _write_per_query(
    path: Path,
    query_ids: Sequence[str],
    document_ids: Sequence[str],
    relevance: Relevance,
    ranking: Ranking,
    values: Values,
) -> None:
    """A row for each measured query: its relevant documents with their ranks, the best documents, the metrics."""
    rows = (relevance.counts > 0).nonzero().squeeze(1).numpy()
    ids = pa.array(document_ids, pa.string())
    counts = relevance.counts.numpy()[rows]
    offsets = pa.array(np.concatenate([[0], counts.cumsum()]).astype(np.int32))
    best, best_scores = ranking.rows[rows, :_SHOWN].numpy(), ranking.scores[rows, :_SHOWN].numpy()
    there = best >= 0
    best_offsets = pa.array(np.concatenate([[0], there.sum(axis=1).cumsum()]).astype(np.int32))
    columns = {
        "query_id": pa.array(query_ids, pa.string()).take(pa.array(rows)),
        "relevant_ids": pa.ListArray.from_arrays(offsets, ids.take(pa.array(relevance.documents.numpy()))),
        "ranks": pa.ListArray.from_arrays(offsets, pa.array(ranking.ranks.numpy())),
        "best_ids": pa.ListArray.from_arrays(best_offsets, ids.take(pa.array(best[there]))),
        "best_scores": pa.ListArray.from_arrays(best_offsets, pa.array(best_scores[there])),
    }
    pq.write_table(pa.table({**columns, **{name: pa.array(value) for name, value in values.items()}}), path)
