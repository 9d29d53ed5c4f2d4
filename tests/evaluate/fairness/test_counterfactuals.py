"""How far rankings move, against plain loops over a small corpus of words."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.evaluate.fairness import cases, counterfactuals, report
from hr_retrieval.evaluate.fairness.cases import Ranked
from hr_retrieval.evaluate.fairness.counterfactuals import measure, occurring
from hr_retrieval.evaluate.fairness.report import model_card_section, remark, table_rows
from hr_retrieval.evaluate.fairness.wordlists import WordList
from hr_retrieval.retrieval.overlap import rank_biased_overlap
from hr_retrieval.retrieval.relevance import Relevance

GENDER = WordList(
    "en",
    "gender",
    ("male", "female"),
    (("waiter", "waitress"), ("he", "she")),
    (("John, {text}", "Mary, {text}"), ("Paul, {text}", "Anna, {text}")),
)
QUERIES = ["a waiter", "the waitress", "waiter or waitress", "cook", "he cooks", "unjudged waiter"]
DOCUMENTS = ["he serves food", "she serves drinks", "cooks meals", "he and she sing", "she cleans", "paints"]
RELEVANT = [[0], [1, 4], [3], [2], [0, 2], []]
IGNORED = {"waiter", "waitress", "he", "she", "john,", "mary,", "paul,", "anna,"}

Encode = Callable[[list[str], str], Tensor]


def bag(text: str, ignored: set[str]) -> Tensor:
    """A random direction for each word, the same each time."""
    total = torch.full((16,), 0.01)
    for word in text.lower().split():
        if word not in ignored:
            generator = torch.Generator().manual_seed(sum(ord(letter) * 31**i for i, letter in enumerate(word)))
            total = total + torch.randn(16, generator=generator)
    return total


def encoder(ignored: set[str]) -> Encode:
    return lambda texts, kind: F.normalize(torch.stack([bag(text, ignored) for text in texts]), dim=1)


def ranked(encode: Encode, relevant: list[list[int]] = RELEVANT) -> Ranked:
    embeddings = (encode(QUERIES, "query"), encode(DOCUMENTS, "document"))
    return Ranked(QUERIES, DOCUMENTS, *embeddings, Relevance.from_lists(relevant))


def order(query: Tensor, documents: Tensor) -> list[int]:
    scores = (documents @ query).tolist()
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))


def test_an_encoder_that_ignores_the_words_is_not_moved() -> None:
    encode = encoder(IGNORED)
    results = measure([GENDER], ranked(encode), encode)
    assert any(result["measured"] for result in results)
    for result in results:
        for name in ("rank_shift", "absolute_rank_shift", "reciprocal_rank_shift"):
            if result["measured"]:
                assert result[name] == {"mean": 0.0, "interval": [0.0, 0.0]}
        if "rbo" in result:
            assert [result["rbo"]["mean"], *result["rbo"]["interval"]] == pytest.approx([1.0] * 3)


def test_each_direction_counts_its_queries() -> None:
    encode = encoder(set())
    found = {
        (result["changed"], result["form"], result["direction"]): result["affected"]
        for result in measure([GENDER], ranked(encode), encode)
    }
    assert found == {
        ("query", "substitution", "male to female"): 2,
        ("query", "substitution", "female to male"): 1,
        ("query", "substitution", "male and female exchanged"): 1,
        ("query", "insertion", "male to female"): 5,
        ("query", "insertion", "male to male"): 5,
        # By the queries whose relevant documents are changed.
        ("document", "substitution", "male to female"): 2,
        ("document", "substitution", "female to male"): 1,
        ("document", "substitution", "male and female exchanged"): 1,
    }


def test_query_figures_are_those_of_plain_loops() -> None:
    encode = encoder(set())
    own = ranked(encode)
    (result,) = [
        result
        for result in measure([GENDER], own, encode)
        if (result["changed"], result["form"], result["direction"]) == ("query", "insertion", "male to female")
    ]
    overlaps, shifts, reciprocal = [], [], []
    for turn, row in enumerate([0, 1, 2, 3, 4]):
        texts = [template.replace("{text}", QUERIES[row]) for template in GENDER.templates[turn % 2]]
        before, after = (order(query, own.document_embeddings) for query in encode(texts, "query"))
        ranks = [1 + min(ranking.index(document) for document in RELEVANT[row]) for ranking in (before, after)]
        overlaps.append(float(rank_biased_overlap(torch.tensor([before]), torch.tensor([after]))))
        shifts.append(ranks[1] - ranks[0])
        reciprocal.append(1 / ranks[1] - 1 / ranks[0])
    assert any(shifts)
    assert result["rbo"]["mean"] == pytest.approx(sum(overlaps) / 5)
    assert result["rank_shift"]["mean"] == pytest.approx(sum(shifts) / 5)
    assert result["absolute_rank_shift"]["mean"] == pytest.approx(sum(map(abs, shifts)) / 5)
    assert result["reciprocal_rank_shift"]["mean"] == pytest.approx(sum(reciprocal) / 5)
    low, high = result["rank_shift"]["interval"]
    assert low <= result["rank_shift"]["mean"] <= high


@pytest.mark.parametrize("scores_at_a_time", [1, 1 << 25])
def test_a_changed_document_is_ranked_among_the_others_as_they_are(
    monkeypatch: pytest.MonkeyPatch, scores_at_a_time: int
) -> None:
    monkeypatch.setattr(counterfactuals, "_SCORES", scores_at_a_time)
    encode = encoder(set())
    own = ranked(encode)
    found = {
        result["direction"]: result for result in measure([GENDER], own, encode) if result["changed"] == "document"
    }
    expected = {
        "male to female": {0: [0], 4: [0]},
        "female to male": {1: [1, 4]},
        "male and female exchanged": {2: [3]},
    }
    moved = False
    for direction, changed in expected.items():
        means = []
        for query, documents in changed.items():
            shifts = []
            for row in documents:
                swap = GENDER.swap(DOCUMENTS[row])
                assert swap is not None
                embeddings = own.document_embeddings.clone()
                before = order(own.query_embeddings[query], embeddings).index(row)
                embeddings[row] = encode([swap.text], "document")[0]
                shifts.append(order(own.query_embeddings[query], embeddings).index(row) - before)
            means.append(sum(shifts) / len(shifts))
            moved |= any(shifts)
        assert found[direction]["rank_shift"]["mean"] == pytest.approx(sum(means) / len(means))
        assert "rbo" not in found[direction]
    assert moved


def test_equal_documents_keep_their_order_when_one_is_changed_to_itself() -> None:
    query, documents = torch.randn(1, 8), torch.randn(1, 8).repeat(70, 1)
    ranks = counterfactuals._ranks_alone(
        query.repeat(70, 1), documents, torch.arange(70), documents.clone(), documents.clone()
    )
    assert ranks.tolist() == [list(range(1, 71))] * 2


def test_every_text_is_encoded_once_and_known_ones_not_at_all() -> None:
    encode, asked = encoder(set()), []

    def counted(texts: list[str], kind: str) -> Tensor:
        asked.extend((kind, text) for text in texts)
        return encode(texts, kind)

    twice = WordList("en", "again", ("m", "f"), GENDER.pairs, GENDER.templates)
    measure([GENDER, twice], ranked(encode), counted)
    assert len(asked) == len(set(asked))
    assert not {text for kind, text in asked if kind == "query"} & set(QUERIES)
    assert ("document", "she serves food") in asked


def test_draws_bound_what_is_measured_and_follow_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = encoder(set())
    monkeypatch.setattr(cases, "MEASURED", 2)
    results = [measure([GENDER], ranked(encode), encode, seed=seed) for seed in (0, 0, 1)]
    assert results[0] == results[1] != results[2]
    assert {result["measured"] for result in results[0] if result["form"] == "insertion"} == {2}
    for module in (cases, counterfactuals):
        monkeypatch.setattr(module, "SCANNED", 1)
    few = measure([GENDER], ranked(encode), encode)
    assert {result["affected"] for result in few if result["form"] == "insertion"} == {1}


def test_only_lists_whose_script_occurs_are_taken() -> None:
    russian = WordList("ru", "gender", ("м", "ж"), (("он", "она"),), ())
    assert occurring([GENDER, russian], QUERIES) == [GENDER]
    assert occurring([GENDER, russian], ["повар"]) == [russian]
    assert occurring([GENDER, russian], ["7"]) == []


def test_one_template_has_no_control_and_pairs_alone_no_insertion() -> None:
    encode = encoder(set())
    single = WordList("en", "x", ("male", "female"), (), GENDER.templates[:1])
    assert [row["direction"] for row in measure([single], ranked(encode), encode)] == ["male to female"]
    pairs = WordList("en", "x", ("male", "female"), GENDER.pairs, ())
    assert {row["form"] for row in measure([pairs], ranked(encode), encode)} == {"substitution"}


def test_the_control_exchanges_templates_of_one_kind() -> None:
    encode, asked = encoder(set()), []

    def counted(texts: list[str], kind: str) -> Tensor:
        asked.extend(texts)
        return encode(texts, kind)

    templates = tuple((f"{name} {{text}}", f"other {name} {{text}}") for name in ("he", "she", "him", "her"))
    own = WordList("en", "x", ("one", "other"), (), templates, ("m", "f", "m", "f"))
    controls = [row for row in measure([own], ranked(encode), counted) if row["direction"] == "one to one"]
    assert len(controls) == 1
    places = [QUERIES.index(text.removeprefix("she ")) for text in asked if text.startswith("she ")]
    # The second query stands within "she" and, for the control, "her"; the fourth the other way
    # round.
    assert {1, 3} <= set(places)
    assert not {0, 2, 4} & set(places)
    alone = WordList("en", "x", ("one", "other"), (), templates[:3], ("m", "f", "m"))
    assert [row["direction"] for row in measure([alone], ranked(encode), encode)] == ["one to other"]


def test_the_tables_leave_out_few_queries_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = encoder(set())
    results = measure([GENDER], ranked(encode), encode)
    assert table_rows(results) == []
    assert remark(results) == "Left out: 8 of 8 counterfactual results, of fewer than 10 queries each."
    monkeypatch.setattr(report, "SHOWN", 2)
    rows = table_rows(results)
    assert [row[1:4] for row in rows] == [
        ["query, substitution", "male to female", "2"],
        ["query, insertion", "male to female", "5"],
        ["query, insertion", "male to male", "5"],
        ["document, substitution", "male to female", "2"],
    ]
    section = model_card_section(results)
    assert all(f"| {' | '.join(row)} |" in section for row in rows)
    assert section.splitlines()[0] == "## Counterfactual pairs"
