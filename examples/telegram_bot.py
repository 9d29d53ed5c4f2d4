"""A Telegram bot over the service: a message is a query, a file is a résumé, the answer the five best documents.

    python -m hr_retrieval.serve index=indexes/vacancies
    TELEGRAM_TOKEN=... python examples/telegram_bot.py

Of the Bot API it takes four methods over the standard library, so that it needs nothing installed.
It asks Telegram for messages and is asked by nobody: it needs no address of its own. It keeps
nothing of what it is sent.

| variable | |
|---|---|
| `TELEGRAM_TOKEN` | of the bot, from @BotFather |
| `SEARCH_URL` | of the service; http://127.0.0.1:8000 by default |
| `SEARCH_TOKEN` | its bearer token, where it has one |
| `TELEGRAM_URL` | of the Bot API; https://api.telegram.org by default |
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

# Documents of an answer; letters of each that are shown; seconds that Telegram holds a request
# without news, and that a call may take; bytes of a file.
_HITS, _SHOWN, _HELD, _LONGEST, _MOST = 5, 300, 25, 60, 10 << 20
# Seconds to wait after Telegram could not be reached.
_PAUSE = 5.0
_GREETING = (
    "Send a job title, a few words, or a résumé as PDF, DOCX or text.\n"
    "Пришлите название должности, несколько слов или резюме: PDF, DOCX или текст."
)


class NoAnswerError(Exception):
    """A service refused, or could not be reached; the text says why, for people."""


@dataclass(frozen=True)
class Bot:
    """The bot between two services.

    Attributes:
        telegram: the Bot API, without its token.
        token: of the bot.
        search: the service of `hr_retrieval.serve`.
        search_token: its bearer token; empty for none.
    """

    telegram: str
    token: str
    search: str
    search_token: str = ""

    def poll(self, offset: int) -> int:
        """Answer what has come since the update of this number; return the number of the next one."""
        for update in self._call("getUpdates", {"offset": offset, "timeout": _HELD, "allowed_updates": ["message"]}):
            offset = update["update_id"] + 1
            message = update.get("message")
            if message is not None:
                self._send(message["chat"]["id"], self._reply(message))
        return offset

    def _send(self, chat: int, text: str) -> None:
        try:
            self._call("sendMessage", {"chat_id": chat, "text": text})
        except NoAnswerError as error:
            # Whoever has blocked the bot keeps nobody else waiting.
            print(error, file=sys.stderr, flush=True)

    def _reply(self, message: Mapping[str, Any]) -> str:
        text = message.get("text", "").strip()
        try:
            if "document" in message:
                hits = self._resume(message["document"])
            elif text and not text.startswith("/"):
                hits = self._hits("search", json.dumps({"query": text, "k": _HITS}).encode(), {})
            else:
                return _GREETING
        except NoAnswerError as error:
            return str(error)
        lines = [_line(number, hit) for number, hit in enumerate(hits, 1)]
        # Telegram takes 4,096 letters. It is sent as plain text: nothing in it is markup.
        return "\n\n".join(lines)[:4000] or "Nothing found. Ничего не найдено."

    def _resume(self, document: Mapping[str, Any]) -> list[dict[str, Any]]:
        if document.get("file_size", 0) > _MOST:
            raise NoAnswerError(f"The file is too large, at most {_MOST >> 20} MB. Файл слишком большой.")
        path = self._call("getFile", {"file_id": document["file_id"]})["file_path"]
        content = _sent(Request(f"{self.telegram}/file/bot{self.token}/{path}"), "Telegram")
        return self._hits("resume", content, {"X-Options": json.dumps({"k": _HITS})})

    def _hits(self, path: str, body: bytes, headers: Mapping[str, str]) -> list[dict[str, Any]]:
        own = {"Content-Type": "application/json" if path == "search" else "application/octet-stream", **headers}
        if self.search_token:
            own["Authorization"] = f"Bearer {self.search_token}"
        answer = json.loads(_sent(Request(f"{self.search}/{path}", body, own), "The search"))
        found: list[dict[str, Any]] = answer["hits"]
        return found

    def _call(self, method: str, content: Mapping[str, Any]) -> Any:
        request = Request(
            f"{self.telegram}/bot{self.token}/{method}",
            json.dumps(content).encode(),
            {"Content-Type": "application/json"},
        )
        return json.loads(_sent(request, "Telegram"))["result"]


def _line(number: int, hit: Mapping[str, Any]) -> str:
    begin, end = hit["begin"], hit["end"]
    facts = ", ".join(f"{name}: {value}" for name, value in hit["metadata"].items() if value is not None)
    passage = " ".join(hit["text"][begin:end].split())
    shown = passage[:_SHOWN] + ("…" if len(passage) > _SHOWN else "")
    return "\n".join([f"{number}. {shown}", *([facts] if facts else [])])


def _sent(request: Request, name: str) -> bytes:
    """The body of the answer.

    Raises:
        NoAnswerError: the service refused, or could not be reached. The address is not told: the
            token is in it.
    """
    try:
        with urlopen(request, timeout=_LONGEST) as answer:
            content: bytes = answer.read()
            return content
    except HTTPError as error:
        with error:
            try:
                told = json.loads(error.read())
                told = told.get("message") or told.get("description")
            except (ValueError, AttributeError):
                told = None
        raise NoAnswerError(f"{name}: {told or f'status {error.code}'}") from None
    except (URLError, TimeoutError, ConnectionError) as error:
        raise NoAnswerError(f"{name} does not answer ({type(error).__name__}). Try again later.") from None


def main() -> None:
    """Answer until interrupted."""
    token = os.environ.get("TELEGRAM_TOKEN", "")
    if not token:
        sys.exit("Expected the bot's token in the environment; got none. Get one from @BotFather: TELEGRAM_TOKEN=...")
    bot = Bot(
        os.environ.get("TELEGRAM_URL", "https://api.telegram.org").rstrip("/"),
        token,
        os.environ.get("SEARCH_URL", "http://127.0.0.1:8000").rstrip("/"),
        os.environ.get("SEARCH_TOKEN", ""),
    )
    offset = 0
    try:
        while True:
            try:
                offset = bot.poll(offset)
            except NoAnswerError as error:
                print(error, file=sys.stderr, flush=True)
                time.sleep(_PAUSE)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
