"""The Telegram bot against a local stand-in of the Bot API and of the service."""

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest

HIT = {
    "document": "7",
    "text": "Сварщик на вахту. " * 40,
    "begin": 0,
    "end": 400,
    "metadata": {"city": "Омск", "x": None},
}
TOKEN = "123:secret"


@pytest.fixture(scope="module")
def module() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "telegram_bot.py"
    spec = importlib.util.spec_from_file_location("telegram_bot", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@contextmanager
def answering(answers: Any) -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """A server whose answers are `answers(path, body)`, status and body; and what it was asked."""
    asked: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.path, dict(self.headers), body))
            status, content = answers(self.path, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *told: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def telegram(updates: list[dict[str, Any]]) -> Any:
    def answers(path: str, body: bytes) -> tuple[int, Any]:
        if path == f"/file/bot{TOKEN}/documents/cv.pdf":
            return 200, b"%PDF-1.7 a resume"
        method = path.removeprefix(f"/bot{TOKEN}/")
        if method == "sendMessage" and json.loads(body)["chat_id"] == 19:
            return 403, {"description": "Forbidden: bot was blocked by the user"}
        results = {"getUpdates": updates, "sendMessage": {}, "getFile": {"file_path": "documents/cv.pdf"}}
        return (
            (200, {"ok": True, "result": results[method]}) if method in results else (404, {"description": "Not Found"})
        )

    return answers


def message(number: int, **content: Any) -> dict[str, Any]:
    return {"update_id": number, "message": {"chat": {"id": 10 + number}, **content}}


def search(path: str, body: bytes) -> tuple[int, Any]:
    if path == "/search" and json.loads(body)["query"] == "?":
        return 422, {"message": "Expected a query with a word; got '?'. Type what you look for."}
    return 200, {"hits": [HIT] * 2 if b"nothing" not in body else []}


def test_messages_are_queries_and_files_are_resumes(module: ModuleType) -> None:
    updates = [
        message(1, text="сварщик"),
        message(2, text="/start"),
        message(3, text="?"),
        message(4, document={"file_id": "f", "file_size": 100}),
        message(5, document={"file_id": "f", "file_size": 1 << 30}),
        message(6, text="nothing"),
        message(7, sticker={}),
        {"update_id": 8},
        message(9, text="cook"),
    ]
    with answering(telegram(updates)) as (api, asked), answering(search) as (url, searched):
        assert module.Bot(api, TOKEN, url, "bearer").poll(1) == 10
    sent = [json.loads(body) for path, _, body in asked if path.endswith("sendMessage")]
    texts = {one["chat_id"]: one["text"] for one in sent}
    assert all("parse_mode" not in one for one in sent)
    assert texts[11].startswith("1. Сварщик на вахту.")
    assert "\ncity: Омск\n\n2. " in texts[11]
    assert "x:" not in texts[11]
    assert texts[14] == texts[11]
    assert "PDF" in texts[12] == texts[17]
    assert "a query with a word" in texts[13]
    assert "too large" in texts[15]
    assert "Ничего не найдено" in texts[16]
    assert set(texts) == {*range(11, 18), 19}
    assert json.loads(asked[0][2])["offset"] == 1
    assert [path for path, _, _ in searched] == ["/search", "/search", "/resume", "/search", "/search"]
    assert searched[2][2] == b"%PDF-1.7 a resume"
    assert json.loads(searched[0][2]) == {"query": "сварщик", "k": 5}
    assert all(headers["Authorization"] == "Bearer bearer" for _, headers, _ in searched)


def test_what_does_not_answer_is_told_without_the_token(module: ModuleType) -> None:
    with answering(telegram([message(1, text="cook")])) as (api, asked):
        module.Bot(api, TOKEN, "http://127.0.0.1:9").poll(0)
        assert "does not answer" in json.loads(asked[-1][2])["text"]
        with pytest.raises(module.NoAnswerError, match="Not Found") as raised:
            module.Bot(api, TOKEN, api)._call("getMe", {})
    assert TOKEN not in str(raised.value)
    with pytest.raises(module.NoAnswerError, match="does not answer") as raised:
        module.Bot("http://127.0.0.1:9", TOKEN, "").poll(0)
    assert TOKEN not in str(raised.value)


def test_the_token_is_of_the_environment(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELEGRAM_TOKEN", raising=False)
    with pytest.raises(SystemExit, match="BotFather"):
        module.main()
