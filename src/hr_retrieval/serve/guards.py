"""What every request is held against before it is looked at: host, token, rate, size, time; and what answers say of safety."""

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


class TooLarge(Exception):
    """A body is larger than it may be."""


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
                    await self._app(scope, self._limited(scope, receive), safely)
                return
            except TooLarge:
                refused = answer(413, "a smaller body", "one beyond the limit", "Send less.")
            except TimeoutError:
                refused = answer(504, f"an answer within {self._guards.timeout:g} s", "none", "Try again later.")
        if not begun:
            await refused(scope, receive, safely)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        headers, guards = Headers(scope=scope), self._guards
        host = headers.get("host", "").rsplit(":", 1)[0] if not headers.get("host", "").endswith("]") else headers["host"]
        if guards.hosts is not None and host not in guards.hosts:
            return answer(421, f"one of the hosts {', '.join(guards.hosts[:3])}", host[:100], "Ask under that name.")
        wait = self._wait(scope["client"][0] if scope.get("client") else "")
        if wait is not None:
            refused = answer(429, f"at most {guards.rate} requests a minute", "more", f"Wait {wait} s.")
            refused.headers["Retry-After"] = str(wait)
            return refused
        given = headers.get("authorization", "").encode()
        if guards.token is not None and scope["path"] not in OPEN:
            if not hmac.compare_digest(given, f"Bearer {guards.token}".encode()):
                refused = answer(401, "the header Authorization: Bearer <token>", "none, or another token", "Ask for it.")
                refused.headers["WWW-Authenticate"] = "Bearer"
                return refused
        return None

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

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        most = self._guards.upload if scope["path"] == "/resume" else _BODY
        declared = Headers(scope=scope).get("content-length", "0")
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            if declared.isdecimal() and int(declared) > most:
                raise TooLarge
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise TooLarge
            return message

        return limited


def answer(status: int, expected: str, got: str, remedy: str) -> JSONResponse:
    """An error as every endpoint says it."""
    content = {"expected": expected, "got": got, "remedy": remedy, "message": f"Expected {expected}; got {got}. {remedy}"}
    return JSONResponse(content, status)
