"""Sources on web servers and in object stores: the same rows, no secret anywhere, and one message for what fails."""

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hr_retrieval.errors import UserError
from hr_retrieval.prepare.columns import Columns
from hr_retrieval.prepare.preparation import Preparation
from hr_retrieval.prepare.readers.csv import CsvReader
from hr_retrieval.prepare.readers.json_lines import JsonLinesReader
from hr_retrieval.prepare.readers.parquet import ParquetReader
from hr_retrieval.prepare.readers.reader import RawBatch
from tests.prepare.readers.servers import Store, store, store_apart
from tests.prepare.readers.sources import ROWS, read, rows_of

FRAME = pd.DataFrame(ROWS)
LINES = FRAME.to_json(orient="records", lines=True).encode()
MANY = "".join(json.dumps({"a": f"title {n}", "p": f"text {n}"}) + "\n" for n in range(30)).encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    for name, value in (("ACCESS_KEY_ID", "someone"), ("SECRET_ACCESS_KEY", "hidden-key"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with store() as own:
        monkeypatch.setenv("AWS_ENDPOINT_URL", own.url)
        yield own


def preparation(folder: Path, path: str) -> Preparation:
    return Preparation(JsonLinesReader(path), str(folder / "prepared"), "far", columns=Columns("a", "p"))


def test_a_web_server(server: Store) -> None:
    sink = io.BytesIO()
    FRAME.to_parquet(sink)
    server.files = {
        "/rows.csv": FRAME.to_csv(index=False).encode(),
        "/rows.jsonl.gz": gzip.compress(LINES),
        "/имя.parquet": sink.getvalue(),
    }
    assert rows_of(read(CsvReader(f"{server.url}/rows.csv"))) == ROWS
    assert rows_of(read(JsonLinesReader([f"{server.url}/rows.jsonl.gz"]))) == ROWS
    assert rows_of(read(ParquetReader(f"{server.url}/имя.parquet"))) == ROWS


def stored() -> dict[str, bytes]:
    sink = io.BytesIO()
    FRAME.to_parquet(sink)
    return {
        "/jobs/2026/b.jsonl": LINES,
        "/jobs/2026/a.jsonl": LINES,
        "/jobs/2026/_SUCCESS": b"",
        "/jobs/rows.parquet": sink.getvalue(),
    }


def check_store(kind: str) -> None:
    folder = JsonLinesReader(f"{kind}://jobs/2026")
    assert [str(file) for file in folder.inputs()] == [f"{kind}://jobs/2026/{name}.jsonl" for name in "ab"]
    assert rows_of(read(folder)) == ROWS * 2
    assert rows_of(read(JsonLinesReader(f"{kind}://jobs/20*/b*"))) == ROWS
    assert rows_of(read(ParquetReader(f"{kind}://jobs/rows.parquet"))) == ROWS
    with pytest.raises(UserError, match="nothing there"):
        JsonLinesReader(f"{kind}://jobs/2025").inputs()


def check_forbidden(kind: str) -> None:
    with pytest.raises(UserError, match=rf"a file at {kind}://jobs/2026.*credentials in the environment") as raised:
        JsonLinesReader(f"{kind}://jobs/2026").inputs()
    assert "hidden-key" not in str(raised.value)


def test_an_object_store(server: Store) -> None:
    server.files = stored()
    check_store("s3")
    server.status = 403
    check_forbidden("s3")


def test_google_s_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with store_apart(stored() | {"/jobs/many.jsonl": MANY}) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url.removeprefix("http://"))
        check_store("gs")
        own = preparation(tmp_path, "gs://jobs/many.jsonl")
        assert own.run().query_count == 30
        assert own.open_or_run().info["inputs"].keys() == {"gs://jobs/many.jsonl"}
    with store_apart(stored(), status=403) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        check_forbidden("gs")


def test_what_a_server_answers_is_one_message(server: Store) -> None:
    with pytest.raises(UserError, match=r"a file at http.*/none\.csv.*no such file"):
        CsvReader(f"{server.url}/none.csv").inputs()
    server.status = 503
    with pytest.raises(UserError, match="the server answers 503"):
        CsvReader(f"{server.url}/none.csv").inputs()
    with pytest.raises(UserError, match=r"a file at http://127\.0\.0\.1:9/x"):
        CsvReader("http://127.0.0.1:9/x").inputs()


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hidden@host/rows.csv",
        "https://host/rows.csv?X-Amz-Signature=hidden",
        "s3://bucket/rows.csv?secret_key=hidden",
    ],
)
def test_a_secret_stands_in_no_url(url: str) -> None:
    with pytest.raises(UserError, match="into the environment") as raised:
        CsvReader(url)
    assert "hidden" not in str(raised.value)


def test_other_urls_are_none() -> None:
    with pytest.raises(UserError, match="one of ftp://"):
        CsvReader("ftp://host/rows.csv")


def test_the_token_goes_to_the_server_alone(server: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HR_RETRIEVAL_HTTP_TOKEN", "hidden")
    server.files["/rows.jsonl"] = MANY
    dataset = preparation(tmp_path, f"{server.url}/rows.jsonl").run()
    assert set(server.asked) == {"Bearer hidden"}
    assert "hidden" not in json.dumps(dataset.info)


@pytest.mark.parametrize("marked", [True, False])
def test_a_remote_source_has_a_fingerprint(server: Store, tmp_path: Path, marked: bool) -> None:
    server.marked, server.files = marked, {"/rows.jsonl": MANY}
    own = preparation(tmp_path, f"{server.url}/rows.jsonl")
    dataset = own.run()
    (name,) = dataset.info["inputs"]
    assert name == f"{server.url}/rows.jsonl"
    assert dataset.info["counts"]["queries"] == 30
    assert own.open_or_run().info == dataset.info
    server.files["/rows.jsonl"] = MANY.replace(b"title 7", b"title x")
    with pytest.raises(UserError, match="has changed since"):
        own.open_or_run()
    server.files.clear()
    # What was prepared stands for a source that is gone.
    assert own.open_or_run().info == dataset.info


def test_a_remote_source_that_changes_while_it_is_read(server: Store, tmp_path: Path) -> None:
    server.files["/rows.jsonl"] = MANY

    @dataclass(frozen=True)
    class Changing(JsonLinesReader):
        def batches(self, wanted: Any) -> Iterator[RawBatch]:
            yield from super().batches(wanted)
            server.files["/rows.jsonl"] = MANY + MANY

    own = Preparation(Changing(f"{server.url}/rows.jsonl"), str(tmp_path / "made"), "far", columns=Columns("a", "p"))
    with pytest.raises(UserError, match=r"stays as it is while it is read.*rows\.jsonl, which has changed meanwhile"):
        own.run()
    assert not (tmp_path / "made").exists()
