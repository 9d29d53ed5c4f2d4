"""Evaluation from end to end, on a toy data set with encoders of random weights."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hr_retrieval.data.keys import keys_of
from hr_retrieval.data.tables import SCHEMAS
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.tiny import write_tiny
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate import __main__ as verb
from hr_retrieval.evaluate import second_stage
from hr_retrieval.evaluate.evaluation import evaluate
from hr_retrieval.evaluate.summary import BEFORE, BEGINNINGS, ENCODER, RERANKED
from hr_retrieval.evaluate.trec import write_trec
from hr_retrieval.retrieval.metrics import per_query
from hr_retrieval.retrieval.mixing import Composition, DocumentMixing
from hr_retrieval.retrieval.ranking import exact_ranking
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.retrieval.significance import bootstrap_interval
from hr_retrieval.store.reranker import Reranker
from hr_retrieval.train import __main__ as train
from tests.conftest import Command, chance, write_toy_dataset

INSERTED = ("insertion", "male to female")
TOY = ("model=tiny", "data.folder=toy", "trainer.precision=32-true", "trainer.enable_progress_bar=false")


def rewrite(folder: Path, table: str, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMAS[table]), folder / f"{table}.parquet")


def rows_of(folder: Path, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return rows


def naive_figures(folder: Path, texts: dict[str, torch.Tensor], corpus: str = "split") -> tuple[float, float, int]:
    """MRR and pass@1 of the toy's test split by plain loops; relevance is the group, as the toy states it."""
    queries = [row for row in rows_of(folder, "queries") if row["split"] == "test"]
    groups = {row["group_id"] for row in queries}
    documents = [row for row in rows_of(folder, "corpus") if corpus == "all" or row["group_id"] in groups]
    documents.sort(key=lambda row: int(keys_of([row["text"]])[0, 0]))
    reciprocal, first = [], []
    for query in queries:
        scores = [float(texts[query["text"]] @ texts[document["text"]]) for document in documents]
        order = sorted(range(len(documents)), key=lambda row: (-scores[row], row))
        rank = 1 + min(place for place, row in enumerate(order) if documents[row]["group_id"] == query["group_id"])
        reciprocal.append(1 / rank)
        first.append(rank == 1)
    return sum(reciprocal) / len(queries), sum(first) / len(queries), len(documents)


def embedded(folder: Path, encoder: Encoder) -> dict[str, torch.Tensor]:
    texts = [row["text"] for row in rows_of(folder, "queries") + rows_of(folder, "corpus")]
    return dict(zip(texts, encoder.encode(texts, "query"), strict=True))


@pytest.mark.parametrize("corpus", ["split", "all"])
def test_the_figures_are_those_of_a_plain_loop(toy_dataset: Path, tmp_path: Path, corpus: str) -> None:
    summary = evaluate("tiny", toy_dataset, tmp_path / "out", corpus=corpus)
    metrics = summary["systems"][ENCODER]["metrics"]
    mrr, pass_at_1, documents = naive_figures(toy_dataset, embedded(toy_dataset, Encoder("tiny")), corpus)
    assert (metrics["mrr"], metrics["pass@1"]) == (pytest.approx(mrr), pytest.approx(pass_at_1))
    assert (summary["documents"], summary["corpus"]) == (documents, corpus)
    assert (summary["queries"], summary["measured_queries"], summary["excluded_queries"]) == (12, 12, 0)
    assert list(summary["systems"]) == [ENCODER, "BM25", "character TF-IDF"]


def constant_encoder(folder: Path) -> Path:
    """An encoder to which all texts are one; the bias is of ones, so that sums over tokens are exact."""
    encoder = Encoder("tiny")
    last = [child for name, child in encoder.named_modules() if name.endswith("LayerNorm")][-1]
    last.weight.data.zero_()
    last.bias.data.fill_(1.0)
    encoder.save(folder)
    return folder


def measured_constant(folder: Path, encoder: Path, relevant_first: bool) -> dict[str, Any]:
    """Two relevant documents a query of 200 test queries; 600 documents that nobody asks for."""
    folder.mkdir()
    relevant = [(f"d{number}-{part}", f"{part} of {number}") for number in range(200) for part in ("task", "skill")]
    others = [(f"x{number}", f"unasked {number}") for number in range(600)]
    order = [*relevant, *others] if relevant_first else [*others, *reversed(relevant)]
    rewrite(folder, "corpus", [{"document_id": name, "text": text} for name, text in order])
    queries = [{"query_id": f"q{number}", "text": f"asked {number}", "split": "test"} for number in range(200)]
    rewrite(folder, "queries", queries if relevant_first else queries[::-1])
    judged = [{"query_id": f"q{name[1:].split('-')[0]}", "document_id": name, "relevance": 1} for name, _ in relevant]
    rewrite(folder, "qrels", judged)
    return evaluate(str(encoder), folder, folder / "out", corpus="all", base=None, counterfactuals=None)


@pytest.mark.parametrize("pooled", ["max", "mean"])
def test_long_texts_are_ranked_by_their_passages_as_in_a_plain_loop(
    toy_dataset: Path, tmp_path: Path, pooled: str
) -> None:
    write_tiny(tmp_path / "tiny", max_length=24, layers=1)
    encoder = Encoder(str(tmp_path / "tiny")).eval()
    options = {"base": None, "counterfactuals": None, "passages": pooled, "overlap": 4}
    found = evaluate(str(tmp_path / "tiny"), toy_dataset, tmp_path / "out", **options)
    assert found["passages"] == {"pooled": pooled, "overlap": 4}
    rows = [row for row in rows_of(toy_dataset, "queries") if row["split"] == "test"]
    documents = rows_of(toy_dataset, "corpus")
    documents.sort(key=lambda row: int(keys_of([row["text"]])[0, 0]))
    spans = encoder.passages([row["text"] for row in documents], "document", 4)
    assert min(map(len, spans)) >= 2
    own = [
        encoder.encode([row["text"][begin:end] for begin, end in places], "document")
        for row, places in zip(documents, spans, strict=True)
    ]
    reciprocal = []
    for row in rows:
        assert len(encoder.passages([row["text"]], "query", 4)[0]) == 1
        query = encoder.encode([row["text"]], "query")[0]
        scores = [float(getattr(torch, pooled)(passages @ query)) for passages in own]
        order = sorted(range(len(documents)), key=lambda place: (-scores[place], place))
        first = min(place for place, number in enumerate(order) if documents[number]["group_id"] == row["group_id"])
        reciprocal.append(1 / (1 + first))
    systems = found["systems"]
    assert systems[ENCODER]["metrics"]["mrr"] == pytest.approx(sum(reciprocal) / len(rows))
    plain = evaluate(str(tmp_path / "tiny"), toy_dataset, tmp_path / "plain", base=None, counterfactuals=None)
    assert plain["systems"][ENCODER] == systems[BEGINNINGS]
    # A few queries may have equal ranks by both; their scores differ.
    assert (tmp_path / "plain" / "run.trec").read_text() != (tmp_path / "out" / "run.trec").read_text()


def test_a_constant_encoder_measures_what_chance_gives_whatever_the_order_of_rows(tmp_path: Path) -> None:
    encoder = constant_encoder(tmp_path / "constant")
    first, last = (measured_constant(tmp_path / str(order), encoder, order) for order in (True, False))
    for part in ("systems", "slices", "document_to_query", "verdict"):
        assert first[part] == last[part]
    metrics, other = first["systems"][ENCODER]["metrics"], first["document_to_query"][ENCODER]
    # One draw of lots: the standard deviation of its MRR is about a quarter.
    assert metrics["mrr"] == pytest.approx(chance(2, 1000), rel=0.8)
    assert metrics["recall@100"] == pytest.approx(0.1, abs=0.04)
    # As many documents ask for each query: every rank comes equally often, whatever the lots.
    assert other["mrr"] == pytest.approx(chance(1, 200))
    (remark,) = [remark for remark in first["remarks"] if "tie" in remark]
    assert remark.startswith("Scores of the encoder tie: for 100% of the queries")


def test_the_files_agree_with_each_other(toy_dataset: Path, tmp_path: Path) -> None:
    summary = evaluate("tiny", toy_dataset, tmp_path / "out", split="validation")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == summary
    files = {"metrics.json", "run.trec", "per_query.parquet", "counterfactuals.md", "summary.html"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    table = pq.read_table(tmp_path / "out" / "per_query.parquet").to_pylist()
    queries = [row["query_id"] for row in rows_of(toy_dataset, "queries") if row["split"] == "validation"]
    assert sorted(row["query_id"] for row in table) == sorted(queries)
    system = summary["systems"][ENCODER]
    for name, mean in system["metrics"].items():
        values = [row[name] for row in table]
        assert sum(values) / len(values) == pytest.approx(mean)
    low, high = bootstrap_interval(torch.tensor([row["mrr"] for row in table], dtype=torch.float64).numpy())
    assert system["intervals"]["mrr"] == [low, high]
    lines = [line.split() for line in (tmp_path / "out" / "run.trec").read_text().splitlines()]
    for row in table:
        mine = [line for line in lines if line[0] == row["query_id"]]
        assert [int(line[3]) for line in mine] == list(range(1, min(100, summary["documents"]) + 1))
        assert {line[1] for line in mine} == {"Q0"}
        assert [line[2] for line in mine[:10]] == row["best_ids"]
        assert [float(line[4]) for line in mine[:10]] == pytest.approx(row["best_scores"], abs=1e-6)
        assert row["best_scores"] == sorted(row["best_scores"], reverse=True)
        ranks = dict(zip(row["relevant_ids"], row["ranks"], strict=True))
        shown = {line[2]: int(line[3]) for line in mine}
        assert {name: rank for name, rank in ranks.items() if rank <= 100} == {
            name: shown[name] for name in ranks if name in shown
        }
        assert 1 / min(ranks.values()) == pytest.approx(row["mrr"])


def test_the_slices_add_up_and_follow_the_training_titles(toy_dataset: Path, tmp_path: Path) -> None:
    queries = rows_of(toy_dataset, "queries")
    training = next(row for row in queries if row["split"] == "train")
    measured = next(row for row in queries if row["split"] == "test")
    measured["text"] = training["text"].upper() + "!"
    rewrite(toy_dataset, "queries", queries)
    summary = evaluate("tiny", toy_dataset, tmp_path / "out")
    metrics = summary["systems"][ENCODER]["metrics"]
    for parts in summary["slices"].values():
        assert sum(part["queries"] for part in parts.values()) == 12
        for name in ("mrr", "pass@1"):
            mean = sum(part["queries"] * part[ENCODER][name] for part in parts.values()) / 12
            assert mean == pytest.approx(metrics[name])
    assert {name: part["queries"] for name, part in summary["slices"]["title"].items()} == {
        "seen in training": 1,
        "unseen": 11,
    }
    assert set(summary["slices"]["relevant documents"]) == {"several"}


def test_a_document_of_the_querys_own_text_is_not_ranked(toy_dataset: Path, tmp_path: Path) -> None:
    documents, queries = rows_of(toy_dataset, "corpus"), rows_of(toy_dataset, "queries")
    own = next(row for row in queries if row["split"] == "test")
    rewrite(toy_dataset, "corpus", [*documents, {"document_id": "own", "text": own["text"].upper()}])
    figures = {}
    for rule in ("ignore", "count"):
        summary = evaluate("tiny", toy_dataset, tmp_path / rule, identical_text=rule, counterfactuals=None)
        assert (summary["identical_text"], summary["own_text_queries"]) == (rule, 1 if rule == "ignore" else 0)
        table = pq.read_table(tmp_path / rule / "per_query.parquet").to_pylist()
        figures[rule] = {row["query_id"]: row for row in table}
    ignored, counted = (figures[rule][own["query_id"]] for rule in ("ignore", "count"))
    assert counted["best_ids"][0] == "own"
    assert ignored["best_ids"] == [*counted["best_ids"][1:], ignored["best_ids"][-1]]
    assert [rank + 1 for rank in ignored["ranks"]] == counted["ranks"]


def test_a_lost_comparison_is_said_in_one_sentence(toy_dataset: Path, tmp_path: Path) -> None:
    """Random weights lose to shared words where each document repeats its query."""
    queries = {row["query_id"][1:]: row["text"] for row in rows_of(toy_dataset, "queries")}
    documents = rows_of(toy_dataset, "corpus")
    for row in documents:
        row["text"] = f"we look for {queries[row['document_id'][1:]]} to join our friendly team in the north"
    rewrite(toy_dataset, "corpus", documents)
    summary = evaluate("tiny", toy_dataset, tmp_path / "out")
    means = {name: system["metrics"]["mrr"] for name, system in summary["systems"].items()}
    lost = [name for name, mean in means.items() if mean > means[ENCODER]]
    assert "character TF-IDF" in lost
    worse = summary["verdict"].partition("worse than ")[2]
    assert [name for name in means if f"{name} (-" in worse] == lost


def test_excluded_queries_are_counted_and_left_out(toy_dataset: Path, tmp_path: Path) -> None:
    queries, judged = rows_of(toy_dataset, "queries"), rows_of(toy_dataset, "qrels")
    lonely = next(row for row in queries if row["split"] == "test")
    lonely["group_id"] = "of its own"
    rewrite(toy_dataset, "queries", queries)
    rewrite(toy_dataset, "qrels", [row for row in judged if row["query_id"] != lonely["query_id"]])
    summary = evaluate("tiny", toy_dataset, tmp_path / "out")
    assert (summary["queries"], summary["measured_queries"], summary["excluded_queries"]) == (12, 11, 1)
    table = pq.read_table(tmp_path / "out" / "per_query.parquet").to_pylist()
    assert len(table) == 11
    assert lonely["query_id"] not in {row["query_id"] for row in table}
    lines = (tmp_path / "out" / "run.trec").read_text().splitlines()
    assert {line.split()[0] for line in lines} == {row["query_id"] for row in table}


def test_fingerprints_follow_weights_and_data(toy_dataset: Path, tmp_path: Path) -> None:
    prints = []
    for seed in (0, 1, 0):
        write_tiny(tmp_path / f"encoder{len(prints)}", seed=seed)
        summary = evaluate(str(tmp_path / f"encoder{len(prints)}"), toy_dataset, tmp_path / f"out{len(prints)}")
        prints.append((summary["encoder"]["fingerprint"], summary["data"]["fingerprint"]))
    assert prints[0] == prints[2] != prints[1]
    assert prints[0][1] == prints[1][1]
    summary = evaluate("tiny", write_toy_dataset(tmp_path / "other", groups=70), tmp_path / "out")
    assert summary["data"]["fingerprint"] != prints[0][1]


def test_the_encoder_before_training_is_what_the_model_card_names(toy_dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    write_tiny(folder, seed=5)
    # In the words of this package, which go before those of the hub.
    card = "---\nbase_model: owner/other\ntrained_from: tiny\n---\n\n# An encoder\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    before = evaluate("tiny", toy_dataset, tmp_path / "base")["systems"][ENCODER]
    systems = evaluate(str(folder), toy_dataset, tmp_path / "with")["systems"]
    assert systems[BEFORE] == before != systems[ENCODER]
    assert BEFORE not in evaluate(str(folder), toy_dataset, tmp_path / "without", base=None)["systems"]
    (folder / "README.md").write_text("---\nbase_model: /gone\n---\n", encoding="utf-8")
    with pytest.raises(UserError, match="base=null"):
        evaluate(str(folder), toy_dataset, tmp_path / "gone")
    (folder / "README.md").write_text("---\n{not yaml\n---\n", encoding="utf-8")
    assert BEFORE not in evaluate(str(folder), toy_dataset, tmp_path / "card")["systems"]
    assert evaluate(str(folder), toy_dataset, tmp_path / "stated", base="tiny")["systems"][BEFORE] == before


def test_a_run_is_measured_before_and_after_training(command: Command, toy_dataset: Path) -> None:
    command(train.main, *TOY, "datamodule.batch_size=8", "trainer.max_epochs=1", "optimizer.lr=1e-3", "output=run")
    printed = command(verb.main, "encoder=run", "data.folder=toy", "output=out")
    stated = json.loads(Path("run/summary.json").read_text())
    found = json.loads(Path("out/metrics.json").read_text())["systems"]
    assert list(found) == [ENCODER, BEFORE, "BM25", "character TF-IDF"]
    for system, name in ((ENCODER, "trained"), (BEFORE, "zero_shot")):
        for metric in ("mrr", "pass@1", "recall@10"):
            assert found[system]["metrics"][metric] == pytest.approx(stated[name][metric], abs=1e-6)
    for promised in (
        *found,
        "The encoder is ",
        "slice",
        "unseen",
        "out/summary.html",
        "12 test queries",
        "0 queries without",
        "out/metrics.json",
        "out/run.trec",
    ):
        assert promised in printed
    command(verb.main, "encoder=run/encoder", "data.folder=toy", "output=exported")
    exported = json.loads(Path("exported/metrics.json").read_text())["systems"]
    assert exported[ENCODER]["metrics"] == pytest.approx(found[ENCODER]["metrics"])
    assert exported[BEFORE]["metrics"] == pytest.approx(found[BEFORE]["metrics"])
    assert "already holds something" in command(verb.main, "encoder=run", "data.folder=toy", "output=out")


@pytest.mark.parametrize("kind", ["random", "tied", "all equal"])
def test_what_trec_eval_makes_of_the_run_is_what_we_report(tmp_path: Path, kind: str) -> None:
    trec_eval = pytest.importorskip("pytrec_eval")
    generator = torch.Generator().manual_seed(7)
    queries, documents = torch.randn(15, 4, generator=generator), torch.randn(40, 4, generator=generator)
    if kind == "tied":
        queries, documents = queries.round(), documents.round()
    if kind == "all equal":
        queries = torch.zeros_like(queries)
    relevant = [torch.randperm(40, generator=generator)[: 1 + i % 13].tolist() for i in range(15)]
    relevance = Relevance.from_lists(relevant)
    ranking = exact_ranking(queries, documents, relevance, 100)
    query_ids, document_ids = [f"q{row:02}" for row in range(15)], [f"d{row:02}" for row in range(40)]
    write_trec(tmp_path / "run.trec", query_ids, document_ids, ranking)
    with (tmp_path / "run.trec").open() as file:
        run = trec_eval.parse_run(file)
    qrels = {query: {document_ids[row]: 1 for row in rows} for query, rows in zip(query_ids, relevant, strict=True)}
    names = {"mrr": "recip_rank", "map": "map", "r_precision": "Rprec", "ndcg@10": "ndcg_cut_10"}
    names |= {f"pass@{k}": f"success_{k}" for k in (1, 5, 10)} | {f"recall@{k}": f"recall_{k}" for k in (5, 10, 100)}
    theirs = trec_eval.RelevanceEvaluator(qrels, set(trec_eval.supported_measures)).evaluate(run)
    ours = per_query(ranking.ranks, relevance)
    for name, their_name in names.items():
        expected = [theirs[query][their_name] for query in query_ids]
        assert ours[name].tolist() == pytest.approx(expected, abs=1e-9), name


def test_ids_with_space_are_one_token_and_stay_apart(tmp_path: Path) -> None:
    ranking = exact_ranking(torch.eye(2), torch.eye(2), Relevance.from_lists([[0], []]), 100)
    write_trec(tmp_path / "run.trec", ["first query", "x"], ["a b", "a%20b"], ranking)
    assert (tmp_path / "run.trec").read_text().splitlines() == [
        "first%20query Q0 a%20b 1 1.0 hr_retrieval",
        "first%20query Q0 a%2520b 2 0.0 hr_retrieval",
    ]


def test_counterfactual_pairs_are_measured_with_the_lists_asked_for(command: Command, toy_dataset: Path) -> None:
    """Of the toy's 12 test queries 10 are Latin, one Cyrillic, and one both: it fits the templates
    of both languages.
    """
    printed = command(verb.main, "encoder=tiny", "data.folder=toy", "output=auto")
    found = json.loads(Path("auto/metrics.json").read_text())["counterfactuals"]
    assert set(found["lists"]) == {
        f"{language}/{name}" for language in ("en", "ru") for name in ("age", "gender", "origin")
    }
    inserted = {row["list"]: row["measured"] for row in found["results"] if (row["form"], row["direction"]) == INSERTED}
    assert (inserted["en/gender"], inserted["ru/gender"]) == (11, 2)
    assert found["rbo"]["depth"] == 100
    assert "auto/counterfactuals.md" in printed
    assert "en/gender: " in printed
    page = Path("auto/summary.html").read_text(encoding="utf-8")
    assert "<h1>tiny on toy, test queries</h1>" in page
    assert "Fairness" in page
    assert "Left out" in printed
    assert "binary" not in printed
    assert Path("auto/counterfactuals.md").read_text(encoding="utf-8").startswith("## Counterfactual pairs")
    none = command(
        verb.main, "encoder=tiny", "data.folder=toy", "output=none", "counterfactuals=null", "dimensions=[16]"
    )
    assert "counterfactual" not in none
    summary = json.loads(Path("none/metrics.json").read_text())
    assert "counterfactuals" not in summary
    kept = summary["compression"]
    assert [(one["dimensions"], one["searched_bytes"]) for one in kept[::4]] == [(64, 256), (16, 64)]
    assert kept[0]["metrics"]["mrr"] == summary["systems"][ENCODER]["metrics"]["mrr"]
    assert kept[0]["interval"] == [0, 0]
    for place in (none, Path("none/summary.html").read_text(encoding="utf-8")):
        assert all(told in place for told in ("binary, rescored", "and on a disk"))
    assert not Path("none/counterfactuals.md").exists()
    Path("lists/en").mkdir(parents=True)
    Path("lists/en/rank.csv").write_text("kind,junior,senior\nword,junior,senior\n", encoding="utf-8")
    command(verb.main, "encoder=tiny", "data.folder=toy", "output=own", "counterfactuals=lists")
    own = json.loads(Path("own/metrics.json").read_text())["counterfactuals"]
    assert list(own["lists"]) == ["en/rank"]
    assert [(row["direction"], row["affected"]) for row in own["results"] if row["changed"] == "query"] == [
        ("junior to senior", 0),
        ("senior to junior", 6),
        ("junior and senior exchanged", 0),
    ]


class Letters(Reranker):
    """A cross-encoder that counts the letters that a query and a passage share."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        return [float(len(set(query) & set(passage))) for passage in passages]


def test_the_best_documents_in_the_order_of_a_cross_encoder(
    toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_stage, "Reranker", Letters)
    options: dict[str, Any] = {"base": None, "counterfactuals": None, "rerank": "cross", "depth": 10}
    found = evaluate("tiny", toy_dataset, tmp_path / "out", **options)
    groups = {row["document_id"]: row["group_id"] for row in rows_of(toy_dataset, "corpus")}
    texts = {row["document_id"]: row["text"] for row in rows_of(toy_dataset, "corpus")}
    asked = {row["query_id"]: row for row in rows_of(toy_dataset, "queries")}
    ranked: dict[str, list[str]] = {}
    for line in (tmp_path / "out" / "run.trec").read_text().splitlines():
        ranked.setdefault(line.split()[0], []).append(line.split()[2])
    reciprocal = []
    for query, documents in ranked.items():
        letters = [len(set(asked[query]["text"]) & set(texts[document])) for document in documents[:10]]
        order = sorted(range(10), key=lambda place, letters=letters: (-letters[place], place))
        both = [*(documents[place] for place in order), *documents[10:]]
        reciprocal.append(1 / next(i for i, one in enumerate(both, 1) if groups[one] == asked[query]["group_id"]))
    assert found["systems"][RERANKED]["metrics"]["mrr"] == pytest.approx(sum(reciprocal) / len(reciprocal))
    assert found["systems"][RERANKED]["metrics"]["recall@10"] == found["systems"][ENCODER]["metrics"]["recall@10"]
    assert (found["rerank"]["depth"], found["rerank"]["pairs"]) == (10, 10 * len(ranked))
    assert "cross" in found["remarks"][-1]
    assert RERANKED not in found["verdict"]


def test_bad_input_is_refused_and_leaves_nothing(toy_dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    write_tiny(tmp_path / "encoder")
    for file in ("tokenizer.json", "vocab.txt"):
        (tmp_path / "encoder" / file).unlink(missing_ok=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").touch()
    few = write_toy_dataset(tmp_path / "few", groups=5)
    bare = tmp_path / "bare"
    shutil.copytree(toy_dataset, bare)
    rewrite(bare, "qrels", [])
    rewrite(bare, "corpus", [{**row, "group_id": None} for row in rows_of(bare, "corpus")])
    cases: list[tuple[str, dict[str, Any]]] = [
        ("queries in the test split", {"data": few}),
        ("corpus.parquet; got no such file", {"data": tmp_path / "missing"}),
        ("a relevant document for at least one query", {"data": bare}),
        ("split to be one of", {"split": "dev"}),
        ("corpus to be 'split' or 'all'", {"corpus": "some"}),
        ("a tokenizer in", {"encoder": str(tmp_path / "encoder")}),
        ("a run directory .* or an encoder's folder", {"encoder": str(tmp_path / "empty")}),
        ("is no hub name", {"encoder": str(tmp_path / "missing")}),
        ("already holds something", {"output": tmp_path / "full"}),
        ("word lists .* in .*empty", {"counterfactuals": str(tmp_path / "empty")}),
        ("passages to be max or mean", {"passages": "sum"}),
        ("an overlap of passages from 0 to 63", {"passages": "max", "overlap": 100}),
        (r"dimensions from 1 to 64, the encoder's own; got \[65\]", {"dimensions": [65]}),
        ("the folder of a cross-encoder; got nowhere", {"rerank": "nowhere"}),
        ("depth from 2 to 100; got 1", {"rerank": "nowhere", "depth": 1}),
        ("rescored of at least 1", {"dimensions": [], "rescored": 0}),
        ("passages or mixing", {"passages": "max", "mixing": Composition.of(DocumentMixing(k=3))}),
    ]
    for message, options in cases:
        with pytest.raises(UserError, match=message):
            evaluate(**{"encoder": "tiny", "data": toy_dataset, "output": output, **options})
        assert not output.exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes"]
