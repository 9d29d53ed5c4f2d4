"""Preparation as a whole, against a plain-Python twin, and what it promises of splits, rejects and counts."""

import json
import logging
import os
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr_retrieval.config.build import build
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.guard import Guard
from hr_retrieval.errors import UserError
from hr_retrieval.files import sha256_of
from hr_retrieval.prepare.clean import clean
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from hr_retrieval.program import called
from hr_retrieval.text import normalise

Row = dict[str, Any]
PAIRS = Columns(anchor="a", positive="p", negative="n")
GROUPED = replace(PAIRS, group="g")


def preparation(folder: Path, rows: list[Row], columns: Columns = PAIRS, **options: Any) -> Preparation:
    folder.mkdir(exist_ok=True)
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps({"a": None, "p": None, "n": None, "g": None} | row) + "\n" for row in rows)
    )
    shares = {"validation_share": 0.0, "test_share": 0.0} | options
    return Preparation(
        JsonLinesReader(str(folder / "rows.jsonl")), str(folder / "prepared"), "made", columns=columns, **shares
    )


def prepare(folder: Path, rows: list[Row], columns: Columns = PAIRS, **options: Any) -> PreparedDataset:
    return preparation(folder, rows, columns, **options).run()


def table(data: PreparedDataset, name: str) -> list[Row]:
    rows: list[Row] = pq.read_table(data.folder / f"{name}.parquet").to_pylist()
    return rows


def many(count: int = 60) -> list[Row]:
    return [{"a": f"title {number}", "p": f"text {number}"} for number in range(count)]


def judged(data: PreparedDataset) -> dict[int, set[tuple[str, str]]]:
    """Pairs of texts by relevance."""
    queries = {row["query_id"]: row["text"] for row in table(data, "queries")}
    documents = {row["document_id"]: row["text"] for row in table(data, "corpus")}
    pairs: dict[int, set[tuple[str, str]]] = {0: set(), 1: set()}
    for row in table(data, "qrels"):
        pairs[row["relevance"]].add((queries[row["query_id"]], documents[row["document_id"]]))
    return pairs


def naive(rows: list[Row], grouped: bool) -> tuple[Any, ...]:
    """Queries, documents, positives, negatives and the number of negatives left out, by loops over dictionaries."""
    query_group: dict[Any, str | None] = {}
    document_groups: dict[str, set[str]] = defaultdict(set)
    positives: dict[Any, set[str]] = defaultdict(set)
    stated: list[tuple[Any, str]] = []
    for row in rows:
        anchors = [clean(text) for text in row["a"]]
        group = row["g"] if grouped else None
        for text in anchors:
            query = (text, group) if grouped else text
            query_group.setdefault(query, group)
            positives[query] |= set(row["p"])
            stated += [(query, text) for text in dict.fromkeys(row["n"])]
        for text in row["p"]:
            document_groups[text] |= {group} - {None}
        for text in row["n"]:
            document_groups[text] |= set()
    used = {query: group for query, group in query_group.items() if positives[query]}
    negatives, left_out = set(), 0
    for query, text in stated:
        same = normalise(text) in {normalise(positive) for positive in positives[query]}
        if query in used and not same:
            negatives.add((query, text))
        else:
            left_out += 1
    pairs = {(query, text) for query in used for text in positives[query]}
    # What is stated for several groups has none of its own: its positives say it.
    own = {text: next(iter(groups)) if len(groups) == 1 else None for text, groups in document_groups.items()}
    return used, own, pairs, negatives, left_out


WORDS = st.lists(st.sampled_from(["x", "X", "x!", "y", "y z", "Y Z", "w"]), max_size=3, unique=True)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "a": st.lists(st.sampled_from(["a", "A", "b", "c"]), min_size=1, max_size=2, unique=True),
            "p": WORDS,
            "n": WORDS,
            "g": st.sampled_from("gh"),
        }
    ).filter(lambda row: row["p"] or row["n"]),
    min_size=2,
    max_size=6,
)


@settings(max_examples=15, deadline=None)
@given(ROWS, st.booleans())
def test_the_tables_match_the_loop(tmp_path_factory: pytest.TempPathFactory, rows: list[Row], grouped: bool) -> None:
    used, documents, positives, negatives, left_out = naive(rows, grouped)
    folder = tmp_path_factory.mktemp("made")
    if len(documents) < 2 or not positives:
        with pytest.raises(UserError):
            prepare(folder, rows, GROUPED if grouped else PAIRS)
        return
    data = prepare(folder, rows, GROUPED if grouped else PAIRS)
    corpus, queries = table(data, "corpus"), table(data, "queries")
    assert sorted(row["text"] for row in corpus) == sorted(documents)
    name = {row["query_id"]: (row["text"], row["group_id"]) if grouped else row["text"] for row in queries}
    assert sorted(map(str, name.values())) == sorted(map(str, used))
    text = {row["document_id"]: row["text"] for row in corpus}
    for relevance, expected in ((1, positives), (0, negatives)):
        pairs = [
            (name[row["query_id"]], text[row["document_id"]])
            for row in table(data, "qrels")
            if row["relevance"] == relevance
        ]
        assert len(pairs) == len(set(pairs))
        assert set(pairs) == expected
    assert sum(data.info["counts"]["rejected"].values()) == len(table(data, "rejected")) == left_out
    # Groups agree as far as they can be compared: which texts share one.
    groups = {
        **{("q", name[row["query_id"]]): row["group_id"] for row in queries},
        **{("d", row["text"]): row["group_id"] for row in corpus},
    }
    wanted = {
        **{("q", query): group for query, group in used.items()},
        **{("d", key): group for key, group in documents.items()},
    }
    for one in groups:
        assert (groups[one] is None) == (wanted[one] is None)
        for other in groups:
            assert (groups[one] == groups[other]) == (wanted[one] == wanted[other])
    reversed_data = prepare(tmp_path_factory.mktemp("reversed"), rows[::-1], GROUPED if grouped else PAIRS)
    assert judged(reversed_data) == judged(data)
    assert sorted(str(row["group_id"]) for row in table(reversed_data, "corpus")) == sorted(
        str(row["group_id"]) for row in corpus
    )
    marks = {row["text"]: row["duplicate_id"] for row in corpus}
    for one in marks:
        twins = [other for other in marks if normalise(other) == normalise(one)]
        assert {marks[other] for other in twins} == ({None} if len(twins) == 1 else {marks[one]})
        assert (marks[one] is None) == (len(twins) == 1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_that_belongs_together_is_split(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    rows = []
    for family in range(50):
        for _ in range(draw.randint(1, 6)):
            title, text = draw.randint(0, 5), draw.randint(0, 5)
            # Even numbers are the odd ones with another punctuation.
            rows.append(
                {
                    "a": f"Title {family} {title // 2}{'!' * (title % 2)}",
                    "p": f"text {family} {text // 2}{'.' * (text % 2)}",
                }
            )
    data = preparation(tmp_path, rows, validation_share=0.1, test_share=0.1).run(seed)
    queries = {row["query_id"]: row for row in table(data, "queries")}
    documents = {row["document_id"]: row for row in table(data, "corpus")}
    splits: dict[str, set[str]] = defaultdict(set)
    for row in table(data, "qrels"):
        query, document = queries[row["query_id"]], documents[row["document_id"]]
        for mark in (normalise(query["text"]), normalise(document["text"])):
            splits[mark].add(query["split"])
    assert all(len(stood) == 1 for stood in splits.values())
    counts = data.info["counts"]
    assert counts["leaks"] == 0
    assert 0 < counts["splits"]["validation"]["queries"] <= round(0.1 * len(queries))
    assert 0 < counts["splits"]["test"]["queries"] <= round(0.1 * len(queries))


def test_one_query_text_in_two_stated_groups_is_in_one_split(tmp_path: Path) -> None:
    rows = [
        {
            "a": [f"title {number}{mark}", f"other {number} {mark or '+'}"],
            "p": f"{number} {name}",
            "g": f"{number}{mark}",
        }
        for number in range(40)
        for mark, name in (("", "one"), ("#!", "two"), ("!", "three"))
    ]
    data = preparation(tmp_path, rows, GROUPED, validation_share=0.2, test_share=0.2).run()
    splits: dict[str, set[str]] = defaultdict(set)
    for row in table(data, "queries"):
        splits[normalise(row["text"])].add(row["split"])
    assert all(len(stood) == 1 for stood in splits.values())


def test_pairs_triplets_and_lists_are_the_same(tmp_path: Path) -> None:
    rows_of_pairs = [{"a": "x", "p": "1", "n": "2"}, {"a": "x", "p": "3"}, {"a": "y", "p": "4"}]
    rows_of_lists = [{"a": "x", "p": ["1", "3"], "n": ["2"]}, {"a": ["y"], "p": "4"}]
    one, other = prepare(tmp_path / "one", rows_of_pairs), prepare(tmp_path / "other", rows_of_lists)
    assert judged(one) == judged(other) == {1: {("x", "1"), ("x", "3"), ("y", "4")}, 0: {("x", "2")}}


def test_an_anchor_may_equal_its_positive(tmp_path: Path) -> None:
    assert judged(prepare(tmp_path, [{"a": "x", "p": "x"}, {"a": "y", "p": "z"}]))[1] == {("x", "x"), ("y", "z")}


def test_rejected_rows_say_where_and_why(tmp_path: Path) -> None:
    rows = [{"a": "x", "p": "1"}, {"a": None, "p": "2"}, {"a": "y", "p": "3", "n": ["3!", "1"]}, {"a": "z", "n": "1"}]
    rejected = table(prepare(tmp_path, rows), "rejected")
    assert [(row["row"], row["reason"]) for row in rejected] == [
        (1, "a: missing"),
        (3, "negative: its anchor has no positive in any row"),
        (2, "negative: the same text as a positive of its anchor"),
    ]
    assert {row["source"] for row in rejected} == {str(tmp_path / "rows.jsonl")}
    assert json.loads(rejected[0]["content"]) == {"a": None, "p": "2", "n": None}
    assert json.loads(rejected[2]["content"]) == {"anchor": "y", "negative": "3!"}


def test_stated_ids_are_kept_and_made_ones_are_stable(tmp_path: Path) -> None:
    columns = Columns("a", "p", group="g", anchor_id="i", positive_id="j")
    rows = [{"a": ["x", "y"], "p": "1", "g": "g1", "i": 7, "j": "d"}, {"a": "z", "p": "2", "g": "g2", "i": 8, "j": "e"}]
    data = prepare(tmp_path / "stated", rows, columns)
    assert [row["query_id"] for row in table(data, "queries")] == ["7-1", "7-2", "8"]
    assert [(row["document_id"], row["group_id"]) for row in table(data, "corpus")] == [("d", "g1"), ("e", "g2")]
    first, more = prepare(tmp_path / "first", many(9)), prepare(tmp_path / "more", [{"a": "new", "p": "new"}, *many(9)])
    for name, key in (("queries", "query_id"), ("corpus", "document_id")):
        assert {row[key] for row in table(first, name)} < {row[key] for row in table(more, name)}
    with pytest.raises(UserError, match="'d' again"):
        prepare(tmp_path / "twice", [row | {"j": "d"} for row in rows], columns)


STATED = Columns("a", "p", split="s")
TORN = [
    {"a": "x", "p": "1", "s": "train"},
    {"a": "X!", "p": "2", "s": "test"},
    {"a": "y", "p": "3", "s": "dev"},
    {"a": "k", "p": "5", "s": "train"},
    {"a": "z", "p": "4", "s": "other"},
]


def test_a_stated_split_that_leaks_is_refused_kept_or_repaired(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UserError, match=r"1 share a query text \(such as 'X!' and 'x'\)"):
        prepare(tmp_path / "refused", TORN, STATED)
    assert not (tmp_path / "refused" / "prepared").exists()
    with caplog.at_level(logging.WARNING):
        data = prepare(tmp_path / "kept", TORN, STATED, leaks="keep")
    assert data.query_split.tolist() == [0, 2, 1, 0]
    assert data.info["counts"]["leaks"] == 1
    assert "1 share a query text" in caplog.text
    assert data.info["counts"]["rejected"] == {"s: not train, validation or test": 1}
    data = prepare(tmp_path / "repaired", TORN, STATED, leaks="repair")
    # The test stays; what would show it goes.
    assert [(row["text"], row["split"]) for row in table(data, "queries")] == [
        ("X!", "test"),
        ("y", "validation"),
        ("k", "train"),
    ]
    assert judged(data)[1] == {("X!", "2"), ("y", "3"), ("k", "5")}
    assert (data.info["counts"]["repaired"], data.info["counts"]["leaks"]) == (1, 0)
    with pytest.raises(UserError, match=r"data\.leaks to be refuse, keep, repair"):
        preparation(tmp_path, TORN, STATED, leaks="some")


def test_minhash_finds_more_than_normalising_does(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(60))
    rows = [{"a": "x", "p": text}, {"a": "y", "p": f"{text} more"}, {"a": "z", "p": "another text"}]
    for option, threshold, count in (("normalised", 0.8, 0), ("minhash", 0.8, 2), ("minhash", 1.0, 0)):
        data = prepare(
            tmp_path / f"{option}{threshold}", rows, near_duplicates=option, near_duplicate_threshold=threshold
        )
        assert data.info["counts"]["near_duplicate_documents"] == count
        assert len({row["duplicate_id"] for row in table(data, "corpus")} - {None}) == count // 2


def test_max_rows(tmp_path: Path) -> None:
    made = preparation(tmp_path, many(60), max_rows=7)
    rows = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join(["not json", *rows[:30], "not json", *rows[30:]]))
    data = made.run()
    assert data.query_count == 7
    assert [row["row"] for row in table(data, "rejected")] == [0]


def skills(occupations: int = 30) -> list[Row]:
    """Occupations that share all their skills, two titles each."""
    return [
        {
            "a": [f"title {number}", f"other {number}"],
            "p": [f"skill {number % 5}", f"skill {(number + 1) % 5}"],
            "g": number,
        }
        for number in range(occupations)
    ]


def test_documents_that_are_shared_by_design_leave_the_queries_to_be_split(tmp_path: Path) -> None:
    shares = {"validation_share": 0.2, "test_share": 0.2}
    with pytest.raises(UserError, match="shared_documents=true"):
        prepare(tmp_path / "apart", skills(), GROUPED, **shares)
    data = prepare(tmp_path / "shared", skills(), GROUPED, shared_documents=True, **shares)
    assert judged(data)[1] == {(title, skill) for row in skills() for title in row["a"] for skill in row["p"]}
    splits = {row["text"]: row["split"] for row in table(data, "queries")}
    assert set(splits.values()) == {"train", "validation", "test"}
    assert all(splits[first] == splits[second] for first, second in (row["a"] for row in skills()))
    assert "documents shared" in data.info["split_rule"]


def test_of_titles_of_one_occupation_all_but_the_query_s_own_text_are_right(tmp_path: Path) -> None:
    titles = [["cook", "chef", "head of kitchen"], ["welder", "chef"], ["nurse", "sister", "matron"]]
    rows = [{"a": texts, "p": texts, "g": number} for number, texts in enumerate(titles)]
    data = prepare(tmp_path, rows, GROUPED)
    queries, documents = (table(data, name) for name in ("queries", "corpus"))
    relevance, negative = Guard(data).judge(np.arange(data.query_count), np.arange(data.document_count))
    for query, relevant, negatives in zip(queries, relevance, negative, strict=True):
        own = query["text"]
        # A title of two occupations asks for both.
        same = {text for texts in titles if own in texts for text in texts} - {own}
        assert {document["text"] for document, right in zip(documents, relevant, strict=True) if right} == same
        assert own not in {document["text"] for document, wrong in zip(documents, negatives, strict=True) if wrong}


def test_the_seed_changes_the_split_only(tmp_path: Path) -> None:
    one = preparation(tmp_path / "1", many(), validation_share=0.2, test_share=0.2)
    first, second = one.run(1), replace(one, folder=str(tmp_path / "2")).run(2)
    assert judged(first) == judged(second)
    assert first.query_split.tolist() != second.query_split.tolist()
    assert [(first.query_split == number).sum() for number in range(3)] == [36, 12, 12]
    assert [(second.query_split == number).sum() for number in range(3)] == [36, 12, 12]


def test_what_dataset_json_says(tmp_path: Path) -> None:
    rows = [*many(8), {"a": "title 1", "p": "text 1"}, {"a": "TITLE 1", "p": "text 1"}, {"a": "", "p": "text"}]
    data = preparation(tmp_path, rows, validation_share=0.3, licence="CC0", source="made up").run(5)
    info = json.loads((tmp_path / "prepared" / "dataset.json").read_text())
    assert info == data.info
    assert (info["schema_version"], info["name"], info["licence"], info["source"], info["seed"]) == (
        2,
        "made",
        "CC0",
        "made up",
        5,
    )
    assert info["inputs"] == {str(tmp_path / "rows.jsonl"): sha256_of(tmp_path / "rows.jsonl")}
    assert info["options"]["columns"]["anchor"] == "a"
    assert info["options"]["reader"]["class"] == "JsonLinesReader"
    assert info["fingerprint"] == data.fingerprint
    counts = info["counts"]
    assert (counts["queries"], counts["documents"], counts["positives"]) == (9, 8, 9)
    assert counts["merged"] == {"documents": 2, "queries": 1, "pairs": 1}
    assert counts["rejected"] == {"a: empty": 1}
    for key in ("queries", "positives", "negatives"):
        assert sum(split[key] for split in counts["splits"].values()) == counts[key]
    assert sorted(path.name for path in data.folder.iterdir()) == [
        "corpus.parquet",
        "dataset.json",
        "qrels.parquet",
        "queries.parquet",
        "rejected.parquet",
        "rows",
    ]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"a": None, "p": "1"}], {}, r"none; 1 rows were rejected: a: missing \(1\)"),
        ([{"a": "x", "p": "1"}, {"a": "y", "p": " 1"}], {}, "one text only"),
        ([{"a": "x", "p": str(number)} for number in range(9)], {"test_share": 0.1}, "separate groups"),
    ],
)
def test_what_cannot_be_prepared_leaves_no_folder(tmp_path: Path, rows: list[Row], options: Row, message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, rows, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize(
    "options",
    [
        {"validation_share": 1.0},
        {"near_duplicates": "exact"},
        {"near_duplicate_threshold": 0.0},
        {"max_rows": 0},
    ],
)
def test_options_are_checked_before_reading(tmp_path: Path, options: Row) -> None:
    with pytest.raises(UserError):
        preparation(tmp_path, [], **options)


def test_a_taken_folder_is_kept_unless_replaced(tmp_path: Path) -> None:
    made = preparation(tmp_path, many(9))
    made.run()
    with pytest.raises(UserError, match=r"'made'.*data\.reader\.path=\S+rows\.jsonl .* replace=true"):
        made.run()
    assert replace(made, max_rows=5).run(replace=True).query_count == 5


def test_open_or_run_prepares_once_and_notices_other_settings(tmp_path: Path) -> None:
    made = preparation(tmp_path, many(9))
    first = made.open_or_run()
    (tmp_path / "rows.jsonl").unlink()
    assert made.open_or_run().fingerprint == first.fingerprint
    with pytest.raises(UserError, match="seed = 2"):
        made.open_or_run(seed=2)
    with pytest.raises(UserError, match="max_rows = 5"):
        replace(made, max_rows=5).open_or_run()
    # As a version wrote it that had no such option.
    info = json.loads((tmp_path / "prepared" / "dataset.json").read_text())
    del info["options"]["shared_documents"]
    (tmp_path / "prepared" / "dataset.json").write_text(json.dumps(info))
    assert made.open_or_run().fingerprint == first.fingerprint
    with pytest.raises(UserError, match="shared_documents = True"):
        replace(made, shared_documents=True).open_or_run()


def test_a_config_builds_it(tmp_path: Path) -> None:
    made = preparation(tmp_path, many(9))
    config = {
        "_target_": "hr_retrieval.prepare.preparation.Preparation",
        "folder": str(tmp_path / "prepared"),
        "name": "made",
        "validation_share": 0.0,
        "test_share": 0.0,
        "reader": {"_target_": "hr_retrieval.prepare.readers.json_lines.JsonLinesReader", "path": made.reader.path},
        "columns": {
            "_target_": "hr_retrieval.prepare.columns.Columns",
            "anchor": "a",
            "positive": ["p"],
            "negative": "n",
        },
    }
    assert build(config, _convert_="all").open_or_run(1).query_count == 9
    assert build(config, _convert_="all").open_or_run(1).query_count == 9
    with pytest.raises(UserError, match="together below 1"):
        build(config | {"test_share": 2.0}, _convert_="all")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_of_another_source_is_replaced_by_name_only(tmp_path: Path) -> None:
    made = preparation(tmp_path, many(9))
    made.run()
    kept = files_of(tmp_path / "prepared")
    (tmp_path / "other.jsonl").write_text(
        "".join(json.dumps({"a": f"x{n}", "p": f"y{n}", "n": None}) + "\n" for n in range(4))
    )
    other = replace(made, reader=JsonLinesReader(str(tmp_path / "other.jsonl")), name="other")
    for said in (False, True, "other", "true"):
        with pytest.raises(UserError, match=r"'made' from .*may be lost: .*data\.name=other .*replace=made$"):
            other.run(replace=said)
        assert files_of(tmp_path / "prepared") == kept
    # What fails on its way leaves the old one.
    with pytest.raises(UserError, match="the column 'b'"):
        replace(other, columns=Columns("b", "p")).run(replace="made")
    assert files_of(tmp_path / "prepared") == kept
    assert other.run(replace="made").query_count == 4


def test_only_a_prepared_data_set_is_ever_replaced(tmp_path: Path) -> None:
    made = preparation(tmp_path, many(9))
    made.run()
    (tmp_path / "prepared" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"which holds notes\.txt"):
        made.run(replace=True)
    for said in (True, str(tmp_path.name)):
        with pytest.raises(UserError, match="nothing but a prepared data set is replaced"):
            replace(made, folder=str(tmp_path)).run(replace=said)
    with pytest.raises(UserError, match=r"rows\.jsonl"):
        replace(made, folder=str(tmp_path / "rows.jsonl")).run(replace=True)
    assert (tmp_path / "prepared" / "notes.txt").read_text() == "mine"


def test_a_set_made_by_hand_is_replaced_by_the_name_of_its_folder(tmp_path: Path) -> None:
    made = preparation(tmp_path, many(9))
    made.run()
    (tmp_path / "prepared" / "dataset.json").unlink()
    with pytest.raises(UserError, match="replace=prepared"):
        made.run(replace=True)
    assert made.run(replace="prepared").query_count == 9


def test_changed_files_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = preparation(tmp_path, many(9))
    made = replace(made, reader=JsonLinesReader(str(tmp_path / "*.jsonl")))
    fingerprint = made.open_or_run().fingerprint
    rows = tmp_path / "rows.jsonl"
    # Touched, and the same.
    os.utime(rows, (1, 1))
    assert made.open_or_run().fingerprint == fingerprint
    # Elsewhere, as on another machine, and the same.
    elsewhere = rows.rename(tmp_path / "moved.jsonl")
    assert made.open_or_run().fingerprint == fingerprint
    rows = elsewhere.rename(rows)
    content = rows.read_bytes()
    rows.write_bytes(content.replace(b"text 1", b"text 7"))
    with pytest.raises(UserError, match=r"rows\.jsonl has changed since\. Prepare it again: .*replace=true"):
        made.open_or_run()
    rows.write_bytes(content)
    (tmp_path / "second.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"second\.jsonl is new"):
        made.open_or_run()
    made.run(replace=True)
    rows.unlink()
    with pytest.raises(UserError, match=r"rows\.jsonl is gone"):
        made.open_or_run()
    (tmp_path / "second.jsonl").unlink()
    assert made.open_or_run().query_count == 9
    # As long as size and time stay, nothing is read.
    made = preparation(tmp_path, many(9))
    made.run(replace="made")
    monkeypatch.setattr("hr_retrieval.prepare.origin.sha256_of", lambda path: pytest.fail(f"{path} is read"))
    made.open_or_run()


def test_the_text_that_ties_all_together_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"a": [f"title {number}", "see above"], "p": f"text {number}", "g": number} for number in range(30)]
    shares = {"validation_share": 0.1, "test_share": 0.1}
    with pytest.raises(
        UserError, match=r"query 'see above' alone goes with 30 of 30 documents.*data\.columns\.missing"
    ):
        prepare(tmp_path / "query", rows, GROUPED, **shares)
    columns = replace(GROUPED, missing=["see above"])
    data = prepare(tmp_path / "missing", rows, columns, **shares)
    assert data.query_count == 30
    assert data.info["counts"]["skipped_values"] == {"a: the placeholder see above": 30}
    rows = [{"a": f"title {number}", "p": [f"text {number}", "a text"]} for number in range(30)]
    with pytest.raises(UserError, match=r"document 'a text' alone goes with 30 of 30 queries"):
        prepare(tmp_path / "document", rows, **shares)
    rows = [{"a": f"title {number}", "p": f"text {number}", "g": "all"} for number in range(30)]
    with pytest.raises(UserError, match=r"group 'all' alone goes with 30 of 30 queries"):
        prepare(tmp_path / "group", rows, GROUPED, **shares)
    # Where nothing is split, it is said all the same.
    prepare(tmp_path / "whole", [{"a": f"title {number}", "p": [f"text {number}", "a text"]} for number in range(30)])
    assert "the document 'a text' alone goes with 30 of 30 queries" in caplog.text


def test_later_errors_say_what_was_rejected_before(tmp_path: Path) -> None:
    made = preparation(tmp_path, [{"a": "title", "p": "text"}], test_share=0.1)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write("{...\n" * 49)
    with pytest.raises(UserError, match=r"49 rows were rejected: not a JSON object \(49\)\. Write one object a line"):
        made.run()


def test_many_rejected_rows_are_said_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = preparation(tmp_path, many(9))
    made.run()
    assert caplog.text == ""
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write("{...\n" * 2)
    made.run(replace=True)
    assert "2 rows were rejected: not a JSON object (2). Write one object a line" in caplog.text


def test_lists_within_cells_are_proposed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"a": f"cook {number}\nbaker {number}", "p": f"Cooks, bakes, and sells {number}."} for number in range(9)]
    made = preparation(tmp_path, rows)
    assert made.run().query_count == 9
    assert "the column 'a' look like lists (one text a line)" in caplog.text
    assert "data.columns.lists=[a] data.columns.separator=lines" in caplog.text.replace("'", "")
    assert "column 'p'" not in caplog.text
    caplog.clear()
    assert replace(made, columns=replace(PAIRS, lists=["a"])).run(replace=True).query_count == 18
    assert caplog.text == ""
    rows = [{"a": "Java; SQL; C++", "p": [f"text {number}"], "n": "a|b"} for number in range(9)]
    preparation(tmp_path / "two", rows, replace(PAIRS, lists=["n"], separator="|")).run()
    assert "data.columns.lists=[n,a]" in caplog.text
    assert 'data.columns.separator=["|",";"]' in caplog.text


@pytest.mark.parametrize(("split", "other"), [("validation", "test"), ("test", "validation")])
def test_the_way_to_a_split_that_is_empty(tmp_path: Path, split: str, other: str) -> None:
    remedy = prepare(tmp_path, many(9)).empty_split(split).remedy
    assert remedy.startswith(f"Give {split} a share: {called('prepare')} data=jsonl data.name=made data.reader")
    # A tenth is what is usual.
    assert f"data.{split}_share" not in remedy
    assert f"data.{other}_share=0.0" in remedy
    assert remedy.endswith("replace=true")


def test_nothing_that_is_written_holds_what_is_masked(tmp_path: Path) -> None:
    secret = "Звоните: +7 912 345-67-89, anna@mail.ru"
    rows = [*many(), {"a": "cook", "p": secret}, {"a": None, "p": secret}, {"a": "nurse", "p": "text 1", "n": secret}]
    data = prepare(tmp_path, [*rows, {"a": "miner", "p": secret, "n": secret}])
    assert data.info["counts"]["masked"] == {"e-mail": 4, "phone": 4}
    assert [row["reason"] for row in table(data, "rejected")] == [
        "a: missing",
        "negative: the same text as a positive of its anchor",
    ]
    held = "".join(json.dumps(table(data, name), ensure_ascii=False) for name in ("corpus", "queries", "rejected"))
    assert held.count("Звоните: [phone], [e-mail]") == 3
    for file in data.folder.rglob("*"):
        assert not file.is_file() or b"anna@" not in file.read_bytes()
    plain = preparation(tmp_path, rows, mask="none")
    with pytest.raises(UserError, match="mask"):
        plain.open_or_run()
    assert secret in {row["text"] for row in table(plain.run(replace=True), "corpus")}


def test_grades_and_weights_of_rows_are_those_of_pairs(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"a": ["x", "z"], "p": "right", "r": 1, "w": 2.0, "i": "d1"},
        {"a": "x", "p": "right", "r": 3, "w": 0.5, "i": "d1"},
        {"a": "x", "p": "wrong", "r": 0, "w": 1.0, "i": "d2"},
        {"a": "x", "p": "unknown", "r": 4, "w": 1.0, "i": "d3"},
        {"a": "z", "p": "weightless", "r": 1, "w": 0, "i": "d4"},
    ]
    columns = Columns(anchor="a", positive="p", positive_id="i", relevance="r", weight="w")
    data = prepare(tmp_path, rows, columns)
    queries = {row["query_id"]: row["text"] for row in table(data, "queries")}
    found = {
        (queries[row["query_id"]], row["document_id"]): (row["relevance"], row["weight"])
        for row in table(data, "qrels")
    }
    # The highest of a pair that is stated twice.
    assert found == {("x", "d1"): (3, 2.0), ("z", "d1"): (1, 2.0), ("x", "d2"): (0, None)}
    assert [row["reason"] for row in table(data, "rejected")] == [
        "r: no whole number from 0 to 3", "w: no number above 0",
    ]  # fmt: skip
    assert sorted(data.positive_grades.tolist()) == [1, 3]
    plain = prepare(tmp_path / "plain", [{key: value for key, value in row.items() if key in "ap"} for row in rows])
    assert "weight" not in table(plain, "qrels")[0]
