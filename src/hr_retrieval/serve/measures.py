"""Counts and times of requests, as Prometheus reads them."""

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Measures:
    """What one service counts.

    Attributes:
        batches: queries answered together.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "requests_total", "Requests by path and status.", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram("request_seconds", "Time to an answer.", ["path"], registry=self._registry)
        self.batches = Histogram(
            "batch_queries", "Queries answered together.", registry=self._registry, buckets=(1, 2, 4, 8, 16, 32, 64)
        )

    def text(self) -> bytes:
        """All of it in Prometheus' own format."""
        return generate_latest(self._registry)

    def count(self, path: str, status: int, seconds: float) -> None:
        """One request that was answered."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)


class Measured:
    """An application whose requests are counted."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and count."""
        status, start = 500, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            if scope["type"] == "http":
                # Paths that there are not would each be a series of their own.
                route: Any = scope.get("route")
                self._measures.count(getattr(route, "path", "other"), status, time.perf_counter() - start)
