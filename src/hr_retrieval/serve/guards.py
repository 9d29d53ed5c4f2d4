"""What every request is held against before it is looked at: host, rate, token, size, time."""

import asyncio
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What anybody may ask for: the page without any data, and whether the service lives.
OPEN = {"/", "/page.js", "/page.css", "/health"}
_BODY = 1 << 20
# Addresses whose rate is remembered.
_ADDRESSES = 10_000
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Guards:
    """Limits.

    Attributes:
        token: that each request must bring; `None` for none.
        upload: bytes of a file.
        timeout: seconds of a request, its sending included.
        rate: requests a minute of one address; `None` for any number.
        hosts: names under which the service may be asked; `None` for any. Under another name a
            stranger's page could ask it in a visitor's browser.
    """

    token: str | None
    upload: int
    timeout: float
    rate: int | None
    hosts: Sequence[str] | None


class Guarded:
    """An application behind its guards."""

    def __init__(self, app: ASGIApp, guards: Guards) -> None:
        self._app, self._guards = app, guards
        self._left: dict[str, tuple[float, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def safely(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(scope)
        if refused is None:
            try:
                async with asyncio.timeout(self._guards.timeout):
                    body = await self._body(scope, receive)
                    if body is not None:
                        await self._app(scope, _replayed(body, receive), safely)
                        return
                    refused = answer(413, f"a body of at most {self._most(scope):,} bytes", "more", "Send less.")
            except TimeoutError:
                refused = answer(504, f"an answer within {self._guards.timeout:g} s", "none", "Try again later.")
        if not begun:
            await refused(scope, receive, safely)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        headers, guards = Headers(scope=scope), self._guards
        host = (
            headers.get("host", "").rsplit(":", 1)[0] if not headers.get("host", "").endswith("]") else headers["host"]
        )
        if guards.hosts is not None and host not in guards.hosts:
            return answer(421, f"one of the hosts {', '.join(guards.hosts[:3])}", host[:100], "Ask under that name.")
        wait = self._wait(scope["client"][0] if scope.get("client") else "")
        if wait is not None:
            refused = answer(429, f"at most {guards.rate} requests a minute", "more", f"Wait {wait} s.")
            refused.headers["Retry-After"] = str(wait)
            return refused
        given, wanted = headers.get("authorization", "").encode(), f"Bearer {guards.token}".encode()
        if guards.token is None or scope["path"] in OPEN or hmac.compare_digest(given, wanted):
            return None
        refused = answer(401, "the header Authorization: Bearer <token>", "none, or another token", "Ask for it.")
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused

    def _wait(self, address: str) -> int | None:
        """Seconds until this address may ask again; `None` if it may now."""
        rate = self._guards.rate
        if rate is None:
            return None
        now = time.monotonic()
        left, before = self._left.pop(address, (float(rate), now))
        left = min(float(rate), left + (now - before) * rate / 60)
        while len(self._left) >= _ADDRESSES:
            # The one that has asked for the longest time.
            self._left.pop(next(iter(self._left)))
        self._left[address] = (max(0.0, left - 1), now)
        return None if left >= 1 else max(1, round((1 - left) * 60 / rate))

    def _most(self, scope: Scope) -> int:
        return self._guards.upload if scope["path"] == "/resume" else _BODY

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; `None` where it is larger than it may be, or nobody is there any more."""
        declared, most = Headers(scope=scope).get("content-length", "0"), self._most(scope)
        if not declared.isdecimal() or int(declared[:20]) > most:
            return None
        body = bytearray()
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > most or message["type"] == "http.disconnect":
                return None
        return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever else comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def answer(status: int, expected: str, got: str, remedy: str) -> JSONResponse:
    """An error as every endpoint says it."""
    content = {
        "expected": expected,
        "got": got,
        "remedy": remedy,
        "message": f"Expected {expected}; got {got}. {remedy}",
    }
    return JSONResponse(content, status)
