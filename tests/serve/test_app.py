"""What the service answers, refuses and never does."""

import json
import os
import random
import string
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from hr_retrieval.index import indexing
from hr_retrieval.index.corpus import Columns, Corpus
from hr_retrieval.retrieval.mixing import Composition
from hr_retrieval.serve.app import application
from hr_retrieval.serve.guards import Guarded, Guards
from hr_retrieval.store.searcher import Asked, Searcher
from tests.resumes.files import LINES, docx_of, pdf_of

EVIL = '<script>document.title="owned"</script><img src=x onerror=alert(1)>'
ROWS: list[dict[str, Any]] = [
    {"id": f"d{number}", "text": f"{trade} works at place {number} with tools", "city": ("Москва", "Berlin")[number % 2], "salary": number}
    for number, trade in enumerate(["welder", "nurse", "водитель", "cook", "teacher", "pilot"] * 4)
]  # fmt: skip
ROWS.append({"id": "../../etc/passwd", "text": f"{EVIL} judge", "city": EVIL, "salary": 0})


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    folder = tmp_path_factory.mktemp("served")
    (folder / "v.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    indexing.make(folder / "index", "tiny", Corpus(str(folder / "v.jsonl"), Columns()), mixing=Composition())
    return Searcher(folder / "index")


def guarded(searcher: Searcher, **options: Any) -> Guarded:
    usual: dict[str, Any] = {"token": None, "upload": 1 << 20, "timeout": 60.0, "rate": None, "hosts": None}
    return application(searcher, Guards(**{**usual, **options}), upload_pages=3, batch=8)


@pytest.fixture
def client(searcher: Searcher) -> Iterator[TestClient]:
    with TestClient(guarded(searcher), raise_server_exceptions=False) as client:
        yield client


def test_a_search_over_http_is_the_search_itself(client: TestClient, searcher: Searcher) -> None:
    for options in (
        {},
        {"k": 3, "filters": {"city": "Москва"}},
        {"hybrid": "rank"},
        {"passages": "mean", "explain": True},
    ):
        answer = client.post("/search", json={"query": "nurse 7", **options}).json()
        hits = searcher.search(["nurse 7"], Asked(**options))[0]
        assert [hit["document"] for hit in answer["hits"]] == [hit.document for hit in hits]
        assert [hit["score"] for hit in answer["hits"]] == pytest.approx([hit.score for hit in hits])
        assert answer["exact"] is True


def test_queries_of_different_kinds_at_the_same_time_keep_their_answers(searcher: Searcher) -> None:
    asked = [
        (query, Asked(k=k, filters=own))
        for query in ("nurse", "водитель")
        for k, own in ((2, {}), (3, {"city": "Berlin"}))
    ]
    for (query, way), hits in zip(asked, searcher.search_each(asked), strict=True):
        assert [hit.document for hit in hits] == [hit.document for hit in searcher.search([query], way)[0]]


def test_a_file_is_searched_with_and_read_back(client: TestClient, searcher: Searcher) -> None:
    for content in (pdf_of(LINES), docx_of(LINES)):
        answer = client.post("/resume", content=content, headers={"X-Options": '{"k": 2}'}).json()
        assert answer["read"].split() == "\n".join(LINES).split()
        hits = searcher.search([answer["read"]], Asked(k=2))[0]
        assert [hit["document"] for hit in answer["hits"]] == [hit.document for hit in hits]
    for content, said in ((pdf_of(()), "scanner"), (b"%PDF- no", "whole PDF"), (pdf_of(LINES, 4), "at most 3 pages")):
        answer = client.post("/resume", content=content)
        assert (answer.status_code, said in answer.json()["message"]) == (422, True)


def test_the_rest_of_the_api(client: TestClient, searcher: Searcher) -> None:
    similar = client.post("/similar", json={"document": "d1", "k": 3}).json()["hits"]
    assert [hit["document"] for hit in similar] == [hit.document for hit in searcher.similar("d1", Asked(k=3))]
    assert "id of a document" in client.post("/similar", json={"document": "nobody"}).json()["message"]
    embedded = client.post("/embed", json={"texts": ["nurse", "cook"], "kind": "document"}).json()["embeddings"]
    assert embedded == pytest.approx(searcher.encoder.encode(["nurse", "cook"], "document").numpy(), abs=1e-5)
    health = client.get("/health").json()
    assert (health["status"], health["documents"]) == ("ok", len(ROWS))
    assert [column["name"] for column in health["filters"]] == ["city", "salary"]
    metrics = client.get("/metrics").text
    assert 'requests_total{path="/similar",status="200"} 1.0' in metrics
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/search", "/resume", "/similar", "/embed", "/health", "/metrics"}
    docs = client.get("/docs").text
    assert all(path in docs for path in paths)
    assert "https://" not in docs


def test_the_page_asks_nobody_else_and_runs_nothing_of_a_document(client: TestClient) -> None:
    for path in ("/", "/page.js", "/page.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "http://" not in answer.text
        assert "https://" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
    script = client.get("/page.js").text
    assert not any(
        word in script for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write")
    )
    answer = client.post("/search", json={"query": "judge script"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/page/../app.py", "/%2e%2e/%2e%2e/etc/passwd", "/page.js/..%2fapp.py"]
)
def test_no_path_leads_to_a_file(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (404, 405)


def test_a_token_is_asked_for_where_there_is_one(searcher: Searcher) -> None:
    with TestClient(guarded(searcher, token="a-very-secret-token")) as client:
        assert client.get("/").status_code == client.get("/health").status_code == 200
        for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": "Basic a-very-secret-token"}):
            for path in ("/search", "/metrics", "/openapi.json", "/nowhere"):
                assert client.post(path, json={}, headers=headers).status_code == 401
        right = {"Authorization": "Bearer a-very-secret-token"}
        assert client.post("/search", json={"query": "nurse"}, headers=right).status_code == 200


def test_limits_of_rate_size_time_and_host(searcher: Searcher) -> None:
    with TestClient(guarded(searcher, rate=2)) as client:
        assert [client.get("/health").status_code for _ in range(3)] == [200, 200, 429]
    with TestClient(guarded(searcher)) as client:
        assert client.post("/resume", content=b"x" * (2 << 20)).status_code == 413
        assert client.post("/resume", content=iter([b"x" * (1 << 19)] * 4)).status_code == 413
        assert client.post("/search", json={"query": "x" * (2 << 20)}).status_code == 413
        long = client.post("/search", json={"query": "слово " * 20_000})
        assert (long.status_code, "at most 50,000 letters" in long.json()["message"]) == (422, True)
    with TestClient(guarded(searcher, timeout=1e-4)) as client:
        assert client.post("/search", json={"query": "nurse"}).status_code == 504
    with TestClient(guarded(searcher, hosts=("127.0.0.1",))) as client:
        assert client.get("/health").status_code == 421
        assert client.get("/health", headers={"Host": "127.0.0.1:8000"}).status_code == 200


def fuzzed(client: TestClient, count: int) -> None:
    """Requests of all sorts: never an error of the service, nothing but JSON, the page or a refusal."""
    random.seed(0)
    pdf, word = pdf_of(LINES), docx_of(LINES)
    values: list[Any] = [
        None,
        True,
        -1,
        0,
        1e308,
        "",
        "nurse",
        "\0",
        "💼" * 9,
        "' OR 1=1 --",
        "`",
        [],
        {},
        [[]],
        {"from": "x"},
        EVIL,
    ]
    for number in range(count):
        body = {
            name: random.choice(values)
            for name in (
                "query",
                "k",
                "filters",
                "passages",
                "hybrid",
                "weight",
                "explain",
                "document",
                "texts",
                "kind",
                "x",
            )
            if random.random() < 0.4
        }
        if random.random() < 0.6:
            body = {
                "query": random.choice([value for value in values if isinstance(value, str)]),
                "filters": {random.choice(["city", "salary", "x'; DROP"]): random.choice(values)},
            }
        path = random.choice(
            [
                "/search",
                "/similar",
                "/embed",
                "/health",
                "/resume",
                "/" + "".join(random.choices(string.printable[:80], k=5)).replace("#", "").replace("?", ""),
            ]
        )
        if path == "/resume" and number % 20 == 0:
            content = bytearray(random.choice([pdf, word]))
            for _ in range(random.randrange(1, 30)):
                content[random.randrange(len(content))] = random.randrange(256)
            answer = client.post(path, content=bytes(content[: random.randrange(len(content))]))
        elif path == "/resume":
            answer = client.post(path, content=b"", headers={"X-Options": json.dumps(body)})
        elif random.random() < 0.1:
            answer = client.post(
                path,
                content=json.dumps(body)[: random.randrange(1, 30)].encode(),
                headers={"Content-Type": "application/json"},
            )
        else:
            answer = client.request(random.choice(["POST", "POST", "POST", "GET", "PUT"]), path, json=body)
        assert answer.status_code in (200, 404, 405, 422), (path, body, answer.text)


def test_requests_of_all_sorts_are_answered_or_refused(client: TestClient) -> None:
    fuzzed(client, int(os.environ.get("FUZZED", "60")))
